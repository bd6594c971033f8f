"""A call that pauses: at every instruction, or at breakpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.errors import CallError, ExhaustionError, InvocationConsumed, Resource, StoreMismatch
from engine.execution.calls import enter
from engine.execution.driver import Activation
from engine.execution.frame import STOP
from engine.runtime.instance import FuncInst

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from engine.debug.cursor import Cursor
    from engine.runtime.store import Store

__all__ = ["Stepper"]


class Stepper:
    """One call of a function of Wasm; ``results`` is None until it returns.

    It is paused at first before its first instruction, then wherever :meth:`step` and :meth:`go` stop; meanwhile the
    store may be used at will.  Wasm that a function of the host calls is not paused, but its events are told.  What the
    call raises comes out of ``step`` and ``go``, and it is over; but out of fuel, they may be tried again, and so they
    may where the call and its frames do not fit on the stack of those that are under way.
    """

    def __init__(self, store: Store, func: FuncInst, args: Sequence[Any] = ()) -> None:
        """Raises ValueError in a store without a debugger, StoreMismatch for a function of another, TypeError for a
        function of the host or a wrong number of arguments.
        """
        if store.debugger is None:
            raise ValueError("a store without guest_debug has no debugger")
        if not isinstance(func, FuncInst):
            raise TypeError(f"{func!r} has no instructions to step through")
        if func.module.store is not store:
            raise StoreMismatch
        if len(args) != len(func.functype.params):
            raise TypeError(f"{func!r} takes {len(func.functype.params)} arguments, not {len(args)}")
        self._debugger = store.debugger
        self._activation: Activation | None = Activation(store, func, list(args))
        self.results: list[Any] | None = None

    @property
    def done(self) -> bool:
        """Whether the call is over."""
        return self._activation is None

    def step(self) -> bool:
        """Execute one instruction; a call stops next inside of the function.  Return False where the call returned."""
        return self._run(True)

    def go(self) -> bool:
        """Execute to the next breakpoint.  Return False where the call returned."""
        return self._run(False)

    def frames(self, pc_mode: str = "call") -> Cursor:
        """Return a cursor at the innermost frame of the paused call; raise InvocationConsumed if it is over.

        While it runs, which only functions of the host and handlers can notice, this and the others are a CallError.
        """
        return self._debugger.frames_of(self._paused(), pc_mode)

    def _paused(self) -> Activation:
        """Return the call; raise InvocationConsumed where it is over, CallError where it runs."""
        if self._activation is None:
            raise InvocationConsumed
        if self._activation.here is not None:
            raise CallError("the call is not paused")
        return self._activation

    def __iter__(self) -> Iterator[Cursor]:
        """Step to the end, with a cursor at each pause, from the present one on."""
        while not self.done:
            yield self.frames()
            self.step()

    def _run(self, everywhere: bool) -> bool:
        activation = self._paused()
        store, config = activation.store, activation.store.config
        if store.activations >= config.max_activations or store.depth + len(activation.frames) > config.max_depth:
            raise ExhaustionError(Resource.STACK)
        before = self._debugger.control(activation, everywhere)
        head = activation.frames[-1][0]
        try:
            self.results = enter(store, activation.run)
            if everywhere and head.kind == STOP and head.number == head.next.number:
                self.results = enter(store, activation.run)  # it had come to its instruction only
        except BaseException as error:
            if not isinstance(error, ExhaustionError) or activation.required_fuel is None:
                self._activation = None
            raise
        finally:
            self._debugger.control(*before)
        if self.results is not None:
            self._activation = None
        return self.results is None
