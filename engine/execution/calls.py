"""Calls from the host into the engine (spec: exec-invocation)."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from engine.errors import ExhaustionError, Resource
from engine.execution.driver import Activation, call_host
from engine.runtime.instance import HostFunc

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.runtime.instance import FuncInst
    from engine.runtime.store import Store

__all__ = ["invoke"]

_PYTHON_FRAMES = 40  # of one activation: ours and those of the host function that re-enters


def invoke(store: Store, func: FuncInst | HostFunc, args: Sequence[Any]) -> list[Any]:
    """Call a function with values in the engine's representation and return its results.

    Raises TypeError for a wrong number of arguments; Trap, ExhaustionError, UncaughtException, or whatever a host
    function raised.  Values are trusted; ``engine.values`` makes them.
    """
    if len(args) != len(func.functype.params):
        raise TypeError(f"{func!r} takes {len(func.functype.params)} arguments, not {len(args)}")
    if store.activations >= store.config.max_activations:
        raise ExhaustionError(Resource.STACK)
    before = _make_room(store.activations)
    store.activations += 1
    try:
        if isinstance(func, HostFunc):
            return call_host(store, func, list(args))
        results = Activation(store, func, list(args)).run()
        assert results is not None  # only resumable activations pause
        return results
    finally:
        store.activations -= 1
        if before:
            sys.setrecursionlimit(before)


def _make_room(activations: int) -> int:
    """Raise the interpreter's own recursion limit, so that ours decides, which is the same on every version.

    Returns the limit to go back to, or 0.  It does not stay raised: other code of the process, a JSON decoder for
    instance, relies on it to stop before the C stack ends.
    """
    needed = 1000 + activations * _PYTHON_FRAMES
    before = sys.getrecursionlimit()
    if not activations or before >= needed:
        return 0
    sys.setrecursionlimit(needed + 100 * _PYTHON_FRAMES)
    return before
