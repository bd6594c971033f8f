"""Calls back and forth as deep as they go, for any CPython: ``python -m tests.support.deep``, standard library only.

Prints, per way in which a function of the host calls back, how many activations nested before the stack was exhausted,
once at the default limit and once at the highest there may be, in the main thread and in one with a small stack.
"""

from __future__ import annotations

import json
import sys
import threading
from typing import TYPE_CHECKING, Any

from engine import Config, ExhaustionError, Store, instantiate, invoke, parse, validate
from engine.runtime.store import MAX_ACTIVATIONS
from engine.types import FuncType

if TYPE_CHECKING:
    from collections.abc import Callable

TEXT = '(module (import "" "h" (func $h)) (func (export "f") (call $h)))'
SMALL = 1 << 20  # bytes of stack, less than any thread has that nobody chose


def plainly(again: Callable[[], None]) -> None:
    again()


def through_c(again: Callable[[], None]) -> None:
    """Call back from a function written in C, which takes stack of the process."""
    sorted([0], key=lambda _: again())  # type: ignore[arg-type,return-value]


def through_much_python(again: Callable[[], None], frames: int = 12) -> None:
    """Call back from below some functions of the host's own."""
    if frames:
        through_much_python(again, frames - 1)
    else:
        again()


WAYS = {"plain": plainly, "c": through_c, "python": through_much_python}


def reached(way: str, limit: int | None) -> int:
    """Return how many activations nested, or raise AssertionError where something stayed behind."""
    store = Store(Config(checks=True) if limit is None else Config(checks=True, max_activations=limit))
    deepest = 0

    def host(caller: Any, args: Any) -> tuple[()]:
        nonlocal deepest
        deepest = max(deepest, store.activations)
        WAYS[way](lambda: void(invoke(store, f, ())))
        return ()

    module = parse(TEXT)
    validate(module)
    i = instantiate(store, module, [store.alloc_host_func(FuncType((), ()), host)])
    f: Any = i.exports["f"]
    before = sys.getrecursionlimit()
    depths = set()
    for _ in range(3):
        deepest = 0
        try:
            invoke(store, f, ())
        except ExhaustionError as error:
            assert error.resource.name == "STACK"
        assert (store.depth, store.activations, sys.getrecursionlimit()) == (0, 0, before)
        depths.add(deepest)
    assert len(depths) == 1, depths
    return depths.pop()


def void(results: list[Any]) -> None:
    assert results == []


def main() -> None:
    """Print the table as one line of JSON."""
    out = {way: [reached(way, None), reached(way, MAX_ACTIVATIONS)] for way in WAYS}
    threading.stack_size(SMALL)
    thread = threading.Thread(target=lambda: out.update({"thread": [reached("plain", None)]}))
    thread.start()
    thread.join()
    print(json.dumps(out))


if __name__ == "__main__":
    main()
