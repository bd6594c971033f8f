"""Compiled modules that outlive the plan they were made for: checks run the module of a case several times over.

A plan that runs again has its modules made again, so that an engine that compiles one module in two ways disagrees
with itself (R12).  Standard library only, syntax of CPython 3.10.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from oracles.plan import Plan

__all__ = ["MAX_BYTES", "MOST", "Kept"]

T = TypeVar("T")
MOST = 4  # modules that are kept
MAX_BYTES = 1 << 20  # of their binaries together


def _forget(thing: Any) -> None:
    """Leave it to the garbage collector."""


class Kept(Generic[T]):
    """Modules by their binary and by what else decides how they are made; ``release`` ends one."""

    def __init__(self, release: Callable[[T], object] = _forget) -> None:
        self._release = release
        self._things: dict[tuple[Hashable, bytes], tuple[Plan, T]] = {}  # the latest last

    def get(self, setup: Hashable, wasm: bytes, plan: Plan, make: Callable[[], T]) -> T:
        """Return what was made of a binary, for this very plan or for one that is not equal to it, or make it.

        It may be released with the next call.
        """
        found = self._things.pop((setup, wasm), None)
        if found is not None and found[0] is not plan and found[0] == plan:
            self._release(found[1])
            found = None
        if found is None:
            found = plan, make()
        self._things[setup, wasm] = found
        self._trim()
        return found[1]

    def _trim(self) -> None:
        """Release the oldest beyond what is kept, but never the latest."""
        size = sum(len(wasm) for _, wasm in self._things)
        for key in list(self._things)[:-1]:
            if len(self._things) <= MOST and size <= MAX_BYTES:
                return
            size -= len(key[1])
            self._release(self._things.pop(key)[1])
