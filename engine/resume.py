"""Calls that can stop half-way and go on: resumable calls.

A resumable call of a function ends in one of three ways: its results (:class:`Finished`), an exception that is final (a
trap of Wasm, an exception of Wasm that nothing caught, an exhausted stack), or a :class:`Suspended`, a handle on the
call as it stands:

==================  ===================================================  ============================================
:class:`HostTrap`   a function of the host raised, whatever it raised    ``resume(store, *values)`` as if it had
                                                                         returned these values
:class:`OutOfFuel`  a check point wants more fuel than there is; it has  ``resume(store)`` to ask again
                    charged nothing and nothing behind it has happened
:class:`Yielded`    the store's interval of fuel is used up              ``resume(store)``
==================  ===================================================  ============================================

``resume`` gives one of the three again, any number of times, in any order.  It consumes the handle whatever happens,
even when it raises: an error of use (``CallError``) comes before anything has run, but the call is over.  So does
``into_error``, and ``close``, which is also the way out of a ``with``; a handle that is merely forgotten frees all it
has at once.  A handle owns the stack of its call, a plain list of frames: to pause is to keep it, to drop it is to free
it, and there is nothing to gain from a pool, for a list has no cost to set up.  The store knows nothing of suspended
calls, so it is as usable as ever: other calls, also of the same instance, may run and be suspended in between, and what
they change is what the call sees when it goes on.

Some failures of the host are final.  A function of the host that is called directly, or that the outermost frame
calls in its own place (``return_call``), has no caller in Wasm who could take values for its results; what it raises
is raised.  An exception thrown into Wasm (``UncaughtException``) is not a failure: it unwinds to its handler and,
without one, leaves.  A call that a function of the host makes in the ordinary way cannot be suspended: out of fuel, it
raises in that function, and if that lets it pass, the outer call is a :class:`HostTrap` with this error.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Self

from engine.errors import (
    CallError,
    ExhaustionError,
    InvocationConsumed,
    MismatchingParameterLen,
    MismatchingParameterType,
    MismatchingResultLen,
    MismatchingResultType,
    Resource,
    StoreMismatch,
    Trap,
)
from engine.execution import calls, driver, instantiate, stacks
from engine.execution.calls import enter, invoke
from engine.execution.driver import Activation, call_host
from engine.execution.instantiate import Instantiation
from engine.runtime.fits import fits
from engine.runtime.heap import ExternRef
from engine.runtime.instance import FuncInst, HostFunc

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from engine.module import Module
    from engine.runtime.instance import ExternVal
    from engine.runtime.store import Store
    from engine.types import ValType

__all__ = [
    "Finished",
    "HostTrap",
    "OutOfFuel",
    "Suspended",
    "TypedFunc",
    "Yielded",
    "call_resumable",
    "instantiate_resumable",
    "typed",
]


@dataclass(frozen=True, slots=True)
class Finished:
    """The call returned these results."""

    results: tuple[Any, ...]


class Suspended:
    """A call that stands still.  Use it once: to resume, to have its error, or to close."""

    __slots__ = ("_activation",)
    _wants_values: ClassVar[bool] = False

    def __init__(self, activation: Activation | Instantiation) -> None:
        self._activation: Activation | Instantiation | None = activation

    @property
    def is_consumed(self) -> bool:
        """Whether the handle was used."""
        return self._activation is None

    @property
    def under_way(self) -> Activation | Instantiation:
        """The call or instantiation as it stands, or InvocationConsumed."""
        if self._activation is None:
            raise InvocationConsumed
        return self._activation

    @property
    def activation(self) -> Activation:
        """The call as it stands, or InvocationConsumed; CallError for an instantiation, which is none."""
        activation = self.under_way
        if isinstance(activation, Instantiation):
            raise CallError("an instantiation under way is no call")
        return activation

    def resume(self, store: Store, *values: Any) -> Finished | Suspended:
        """Let the call go on, with values for the results of the function of the host that failed.

        Raises InvocationConsumed, StoreMismatch, MismatchingResultLen, MismatchingResultType; ExhaustionError where the
        stack that the call has does not fit any more; else what the call itself raises.
        """
        # Traceback objects keep the frames of Python alive, with their variables.  So that a suspended call never
        # refers to itself through the error that stopped it, and is freed as soon as nobody wants it, none survives.
        activation = self._activation
        if activation is None:
            raise InvocationConsumed
        self._activation = None
        try:
            if activation.store is not store:
                raise StoreMismatch
            if values or self._wants_values:
                self._take(activation, values)
            if store.depth and store.depth + len(activation.frames) > store.config.max_depth:  # at 0 they did fit
                raise ExhaustionError(Resource.STACK)
            results = enter(store, activation.run) if type(activation) is Activation else activation.run()
            if results is not None:
                return Finished(tuple(results))
            if activation.required_fuel is not None:
                return OutOfFuel(activation, activation.required_fuel)
            handle = _new(Yielded)  # by hand what Yielded(activation) does: this is the way of each slice
            handle._activation = activation
            return handle
        except Exception as error:
            failed = activation.failed
            if failed is None or failed[1] is not error:
                raise
            _forget_variables(error)
            return HostTrap(activation, *failed)
        finally:
            failed = None
            del activation, self, values

    def into_error(self) -> Exception:
        """Return what an ordinary call would have raised here, and end the call."""
        raise NotImplementedError

    def close(self) -> None:
        """End the call: its frames are gone.  What it did to the store stays."""
        self._activation = None

    def _take(self, activation: Activation | Instantiation, values: tuple[Any, ...]) -> None:
        """Hand the values to resume with to the activation, which wants none."""
        raise MismatchingResultLen(0, len(values))

    def _consume(self) -> Activation | Instantiation:
        activation = self._activation
        if activation is None:
            raise InvocationConsumed
        self._activation = None
        return activation

    def __reduce_ex__(self, protocol: Any) -> str:
        """Refuse: with a copy the call would go on twice."""
        raise TypeError("a suspended call cannot be copied; engine.save keeps it as data")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.close()


class HostTrap(Suspended):
    """``host_func``, which Wasm called, raised ``host_error``."""

    __slots__ = ("host_error", "host_func")
    _wants_values = True

    def __init__(self, activation: Activation | Instantiation, host_func: HostFunc, host_error: Exception) -> None:
        self._activation = activation
        self.host_func = host_func
        self.host_error = host_error

    def into_error(self) -> Exception:
        activation = self._consume().ended()
        if activation is not None and isinstance(self.host_error, Trap):
            self.host_error.activations.append(activation)
        return self.host_error

    def _take(self, activation: Activation | Instantiation, values: tuple[Any, ...]) -> None:
        wanted = self.host_func.functype.results
        _check_values(activation.store, values, wanted, MismatchingResultLen, MismatchingResultType)
        activation.answer(list(values))


class OutOfFuel(Suspended):
    """The call wants ``required_fuel`` before it goes on.

    With a fuel model whose check is that a block fits (``Check.FITS``), this is what the store must have, the whole
    charge, of which nothing has been taken.  With one that checks that some remains (``Check.REMAINS``, as in
    wasmtime), it is what must be added to the store, its debt and one more.  With less, the call is out of fuel again
    at the same place and wants the rest.
    """

    __slots__ = ("required_fuel",)

    def __init__(self, activation: Activation | Instantiation, required_fuel: int) -> None:
        self._activation = activation
        self.required_fuel = required_fuel

    def into_error(self) -> Exception:
        return self._consume().exhausted()


class Yielded(Suspended):
    """The call has used up what the store gives at once (``Store.set_fuel_interval``), and pauses.

    Not to go on with it is to say that this was all its fuel.
    """

    __slots__ = ()

    def into_error(self) -> Exception:
        return self._consume().exhausted()


# -- calling


def call_resumable(store: Store, func: FuncInst | HostFunc, *args: Any) -> Finished | Suspended:
    """Call a function with values in the engine's representation.

    Raises StoreMismatch, MismatchingParameterLen, MismatchingParameterType, or what the call itself raises.
    """
    _check_call(store, func, args)
    if isinstance(func, HostFunc):
        return Finished(tuple(enter(store, partial(call_host, store, func, list(args)))))
    return Suspended(Activation(store, func, list(args), resumable=True)).resume(store)


def _forget_variables(error: Exception) -> None:
    """Clear the variables of the engine's own frames that an error came through; those of the host stay."""
    trace = error.__traceback__
    trace = None if trace is None else trace.tb_next  # the first one is still running
    while trace is not None and trace.tb_frame.f_globals.get("__name__") in _OURS:
        trace.tb_frame.clear()
        trace = trace.tb_next


_new = object.__new__
_OURS = {calls.__name__, driver.__name__, instantiate.__name__, stacks.__name__}


# -- instantiation


def instantiate_resumable(store: Store, module: Module, imports: Sequence[ExternVal] = ()) -> Finished | Suspended:
    """Instantiate as ``instantiate`` does, stopping as a resumable call does; the one result is the instance.

    The start function and, where the fuel model charges for them, expressions and segments can stop.  What was done
    before stays done.
    """
    return Suspended(Instantiation(store, module, imports)).resume(store)


# -- typed functions


@dataclass(frozen=True, slots=True)
class TypedFunc:
    """A function whose type is known to be the one that its user wants; made by :func:`typed`."""

    func: FuncInst | HostFunc

    def call(self, store: Store, *args: Any) -> tuple[Any, ...]:
        """Call in the ordinary way, with checked arguments, and return the results."""
        _check_call(store, self.func, args)
        return tuple(invoke(store, self.func, args))

    def call_resumable(self, store: Store, *args: Any) -> Finished | Suspended:
        """As the function of that name."""
        return call_resumable(store, self.func, *args)


def typed(func: FuncInst | HostFunc, params: Sequence[ValType], results: Sequence[ValType]) -> TypedFunc:
    """Return the function as one of exactly this type.

    Raises MismatchingParameterLen, MismatchingParameterType, MismatchingResultLen or MismatchingResultType.
    """
    functype = func.functype
    for wanted, given, len_error, type_error in (
        (params, functype.params, MismatchingParameterLen, MismatchingParameterType),
        (results, functype.results, MismatchingResultLen, MismatchingResultType),
    ):
        if len(wanted) != len(given):
            raise len_error(len(given), len(wanted))
        for i, (t, actual) in enumerate(zip(wanted, given, strict=True)):
            if t != actual:
                raise type_error(i, actual, t)
    return TypedFunc(func)


# -- checks


def _check_call(store: Store, func: FuncInst | HostFunc, args: Sequence[Any]) -> None:
    if not _is_of(store, func):
        raise StoreMismatch
    _check_values(store, args, func.functype.params, MismatchingParameterLen, MismatchingParameterType)


def _is_of(store: Store, v: Any) -> bool:
    """Tell whether a value is of a store, if it has an address at all."""
    kind = type(v)
    if kind is FuncInst or kind is HostFunc:
        return v.addr < len(store.funcs) and store.funcs[v.addr] is v
    return kind is not ExternRef or (v.addr < len(store.externs) and store.externs[v.addr] is v)


def _check_values(
    store: Store, values: Sequence[Any], types: Sequence[ValType],
    len_error: type[MismatchingParameterLen | MismatchingResultLen],
    type_error: type[MismatchingParameterType | MismatchingResultType],
) -> None:  # fmt: skip
    if len(values) != len(types):
        raise len_error(len(types), len(values))
    for i, (v, t) in enumerate(zip(values, types, strict=True)):
        if not fits(v, t):
            raise type_error(i, t, f"{v!r:.60}")
        if not _is_of(store, v):
            raise StoreMismatch
