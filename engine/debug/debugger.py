"""The debugger of a store: which activations are on the stack, who is told of events, where to pause.

The driver asks it before every instruction and tells it of failures; see ``execution/driver.py``.  ``clock`` counts
whatever makes an older cursor invalid.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from engine.debug.cursor import Cursor
from engine.debug.events import (
    Breakpoint,
    CaughtExceptionThrown,
    HostcallError,
    Step,
    Trap,
    UncaughtExceptionThrown,
)
from engine.debug.operands import OperandTypes
from engine.execution.frame import THROW

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.debug.events import Event
    from engine.errors import ExhaustionError
    from engine.errors import Trap as TrapError
    from engine.execution.driver import Activation
    from engine.execution.frame import Block, Handlers, Registers
    from engine.runtime.heap import ExnInst
    from engine.runtime.instance import FuncInst, ModuleInst
    from engine.runtime.store import Store

__all__ = ["Debugger"]

_BREAKPOINT, _STEP = Breakpoint(), Step()


class Debugger:
    """``single_step`` has the handler told of every instruction that runs in a call without a stepper."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.single_step = False
        self.clock = 0
        self.operands = OperandTypes()
        self._handler: Callable[[Store, Event], object] | None = None
        self._breakpoints: dict[FuncInst, set[int]] = {}
        self._live: list[Activation] = []
        self._told: Activation | None = None  # of what happens at its current instruction itself
        self._settled: BaseException | None = None  # no event any more
        self._controlled: Activation | None = None
        self._pauses_everywhere = False

    # -- for whoever debugs

    def set_handler(self, handler: Callable[[Store, Event], object] | None) -> None:
        """Have ``handler(store, event)`` called on each event, with the Wasm that it is about still on the stack.

        It may use the store as a function of the host may, and call Wasm, of which it is told in turn.  What it returns
        means nothing; what it raises ends the call instead.
        """
        self._handler = handler

    @property
    def nesting(self) -> int:
        """How many activations run Wasm, the innermost or waiting for a function of the host."""
        return len(self._live)

    def frames(self, pc_mode: str = "call") -> Cursor:
        """Return a cursor at the innermost frame of the current activation; those below it are opaque.

        Outside of any activation it is done.  See Cursor for ``pc_mode``.
        """
        activation = self._live[-1] if self._live else None
        return Cursor(self, activation, activation is not self._told, pc_mode)

    def frames_of(self, activation: Activation, pc_mode: str = "call") -> Cursor:
        """Return a cursor over an activation that is paused."""
        return Cursor(self, activation, activation.failed is not None, pc_mode)

    def set_breakpoint(self, instance: ModuleInst, function_index: int, offset: int) -> None:
        """Stop before an instruction, named as by ``Cursor.function_index_and_pc``; ValueError where there is none."""
        func, pc = self._find(instance, function_index, offset)
        self._breakpoints.setdefault(func, set()).add(pc)

    def clear_breakpoint(self, instance: ModuleInst, function_index: int, offset: int) -> None:
        """Take back a breakpoint; ValueError where there is none."""
        func, pc = self._find(instance, function_index, offset)
        if pc not in self._breakpoints.get(func, ()):
            raise ValueError(f"no breakpoint at function {function_index}, offset {offset:#x}")
        self._breakpoints[func].remove(pc)
        if not self._breakpoints[func]:
            del self._breakpoints[func]

    def _find(self, instance: ModuleInst, function_index: int, offset: int) -> tuple[FuncInst, int]:
        funcs = instance.module.funcs
        if not 0 <= function_index < len(funcs):
            raise ValueError(f"the module defines {len(funcs)} functions, none of index {function_index}")
        func = instance.funcs[len(instance.funcs) - len(funcs) + function_index]
        body = func.code.body  # type: ignore[union-attr]  # not an import
        pc = bisect_left(body, offset, key=lambda ins: ins.offset)
        if pc == len(body) or body[pc].offset != offset:
            raise ValueError(f"function {function_index} has no instruction at offset {offset:#x}")
        return func, pc  # type: ignore[return-value]

    # -- for steppers

    def control(self, activation: Activation | None, everywhere: bool) -> tuple[Activation | None, bool]:
        """Pause this activation from now on, at every instruction or at breakpoints; return what was set before."""
        before = self._controlled, self._pauses_everywhere
        self._controlled, self._pauses_everywhere = activation, everywhere
        return before

    # -- for the driver

    def enter(self, activation: Activation, block: Block, R: Registers) -> None:
        """Take note of an activation that begins or goes on."""
        self.clock += 1
        activation.here = block, R
        del self._live[max(self.store.activations - 1, 0) :]  # which an interrupt kept from leaving
        self._live.append(activation)

    def leave(self, activation: Activation) -> None:
        """Take note of an activation that pauses or is over."""
        self.clock += 1
        activation.here = None
        del self._live[self._live.index(activation) :]
        if not self._live:
            self._settled = None

    def stop(self, activation: Activation, block: Block, R: Registers) -> Event | None:
        """Return what the handler, or a pause, is about before the instruction of ``block``."""
        self.clock += 1
        activation.here = block, R
        if self._breakpoints and block.number in self._breakpoints.get(block.code.func, ()):
            return _BREAKPOINT
        if activation is self._controlled:
            return _STEP if self._pauses_everywhere else None
        return _STEP if self.single_step else None

    def pauses(self, activation: Activation) -> bool:
        """Tell whether a stop is a pause, instead of an event."""
        return activation is self._controlled

    def tell(self, activation: Activation, event: Event, block: Block, R: Registers) -> None:
        """Have the handler told of something that the current instruction does, or is about to do."""
        activation.here = block, R
        self._tell(event, activation)

    def trapped(self, activation: Activation, error: TrapError | ExhaustionError, block: Block, R: Registers) -> None:
        """Have the handler told of a trap, unless it was told of the error already or the call can be resumed."""
        if error is self._settled:
            return
        activation.here = block, R
        if activation.required_fuel is not None:
            if activation.resumable or activation is self._controlled:
                return
            activation.here = None  # the frame is on the list
        self._tell(Trap(error), activation)

    def host_failed(self, activation: Activation, error: Exception, block: Block, R: Registers) -> None:
        """Have the handler told of what a function of the host raised."""
        activation.here = block, R
        self._tell(HostcallError(error), None)
        self._settled = error

    def threw(self, activation: Activation, exn: ExnInst, block: Block, R: Registers) -> None:
        """Have the handler told of an exception that Wasm throws or that came out of a function of the host."""
        activation.here = block, R
        caught = _catches(block.handlers, exn) or any(_catches(b.handlers, exn) for b, _ in activation.frames)
        event = CaughtExceptionThrown(exn) if caught else UncaughtExceptionThrown(exn)
        self._tell(event, activation if block.kind == THROW else None)

    def _tell(self, event: Event, told: Activation | None) -> None:
        if self._handler is None:
            return
        before, self._told = self._told, told
        self.clock += 1
        try:
            self._handler(self.store, event)
        except BaseException as error:
            self._settled = error
            raise
        finally:
            self._told = before
            self.clock += 1


def _catches(handlers: Handlers | None, exn: ExnInst) -> bool:
    while handlers is not None:
        if any(clause.tag is None or clause.tag is exn.tag for clause in handlers.clauses):
            return True
        handlers = handlers.outer
    return False
