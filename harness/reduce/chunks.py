"""Deleting from a list while a test holds: the one loop under every pass that removes things."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["delete_chunks"]

T = TypeVar("T")


def delete_chunks(items: Sequence[T], holds: Callable[[list[T]], bool], largest: int | None = None) -> list[T]:
    """Return a sublist for which ``holds`` is true and from which no single item can be taken.

    Chunks are tried from large to small and from the end to the start, because what comes late depends on what comes
    early.  ``items`` itself is taken to hold.
    """
    kept = list(items)
    size = min(largest or len(kept), len(kept))
    while size:
        end, removed = len(kept), False
        while end > 0:
            start = max(0, end - size)
            candidate = kept[:start] + kept[end:]
            if holds(candidate):
                kept, removed = candidate, True
            end = start
        size = min(size, len(kept)) if removed and size == 1 else size // 2
    return kept
