"""Entering and leaving the interpreter: what every way in shares (spec: exec-invocation).

Each call from the host into the engine is an *activation*.  It may come out of a function of the host that another
activation called, so activations nest, to an explicit limit.  However one ends (results, trap, exception of the host,
pause), what it set up on the way in is as it was: ``store.depth``, ``store.activations`` and the interpreter's own
limit of recursion; its frames are its own.  With ``Config(checks=True)`` this is asserted at every way out.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from engine.errors import EngineBug, ExhaustionError, Resource
from engine.execution.driver import Activation, call_host
from engine.execution.stacks import PER_STACK, elsewhere, make_room
from engine.runtime.instance import HostFunc

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from engine.runtime.instance import FuncInst
    from engine.runtime.store import Store

__all__ = ["enter", "invoke"]

T = TypeVar("T")


def invoke(store: Store, func: FuncInst | HostFunc, args: Sequence[Any]) -> list[Any]:
    """Call a function with values in the engine's representation and return its results.

    Raises TypeError for a wrong number of arguments; Trap, ExhaustionError, UncaughtException, or whatever a host
    function raised.  Values are trusted; ``engine.values`` makes them.
    """
    if len(args) != len(func.functype.params):
        raise TypeError(f"{func!r} takes {len(func.functype.params)} arguments, not {len(args)}")
    if isinstance(func, HostFunc):
        return enter(store, partial(call_host, store, func, list(args)))
    results = enter(store, Activation(store, func, list(args)).run)
    assert results is not None  # only resumable activations pause
    return results


def enter(store: Store, run: Callable[[], T]) -> T:
    """Return what ``run`` does, which goes through the engine, as one more activation.

    Raises ExhaustionError instead of running where there are too many, and whatever ``run`` raises.
    """
    activations, config = store.activations, store.config
    if activations >= config.max_activations:
        raise ExhaustionError(Resource.STACK)
    before = make_room() if activations else 0
    depth = store.depth
    store.activations = activations + 1
    try:
        return elsewhere(run) if activations and not activations % PER_STACK else run()
    finally:
        entered, store.activations = store.activations, activations  # before anything that an interrupt could end
        if before:
            sys.setrecursionlimit(before)
        if config.checks and (entered - 1, store.depth) != (activations, depth):
            found, store.depth = store.depth, depth
            raise EngineBug(f"entered at activation {activations} and depth {depth}, left at {entered - 1} and {found}")
