"""Table instances: a list of references that only ever grows, in place."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from engine.errors import ExhaustionError, Resource, Trap, TrapKind
from engine.types import Limits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.types import TableType

__all__ = ["TableInst"]


class TableInst:
    """Spec: syntax-tableinst.  ``type`` has the current size as its minimum; ``limit`` is the store's budget.

    The identity of ``elems`` never changes.
    """

    __slots__ = ("addr", "elems", "limit", "type")

    def __init__(self, addr: int, type: TableType, limit: int, init: Any = None) -> None:
        """Make a table of ``init``, or raise ExhaustionError where its minimum is beyond the budget or the machine."""
        if type.limits.min > limit:
            raise ExhaustionError(Resource.HEAP)
        self.addr = addr
        self.type = type
        self.limit = min(limit, (1 << type.addrtype.bits) - 1)
        try:
            self.elems: list[Any] = [init] * type.limits.min
        except (MemoryError, OverflowError):
            raise ExhaustionError(Resource.HEAP) from None

    @property
    def size(self) -> int:
        """The current number of elements."""
        return len(self.elems)

    def _check(self, i: int, n: int) -> None:
        if i + n > len(self.elems):
            raise Trap(TrapKind.TABLE_OUT_OF_BOUNDS, f"{n} elements at {i} of {len(self.elems)}")

    def get(self, i: int) -> Any:
        """Return element ``i``, or trap.  Spec: exec-table.get."""
        self._check(i, 1)
        return self.elems[i]

    def set(self, i: int, r: Any) -> None:
        """Replace element ``i``, or trap.  Spec: exec-table.set."""
        self._check(i, 1)
        self.elems[i] = r

    def has_room(self, n: int) -> bool:
        """Tell whether the declared maximum and the budget allow so many more elements."""
        new, declared = len(self.elems) + n, self.type.limits.max
        return new <= self.limit and (declared is None or new <= declared)

    def grow(self, n: int, r: Any) -> int:
        """Append ``n`` times ``r`` and return the old size, or -1 if refused, when nothing has changed.

        Spec: exec-table.grow.
        """
        old, declared = len(self.elems), self.type.limits.max
        new = old + n
        if not self.has_room(n):
            return -1
        try:
            self.elems += [r] * n
        except (MemoryError, OverflowError):
            return -1
        self.type = replace(self.type, limits=Limits(new, declared))
        return old

    def fill(self, i: int, r: Any, n: int) -> None:
        """Set ``n`` elements from ``i`` to ``r``, or trap before any is.  Spec: exec-table.fill."""
        self._check(i, n)
        self.elems[i : i + n] = [r] * n

    def copy(self, src: TableInst, d: int, s: int, n: int) -> None:
        """Copy ``n`` elements as if at once from ``s`` in ``src``, or trap before any is.  Spec: exec-table.copy."""
        src._check(s, n)
        self._check(d, n)
        self.elems[d : d + n] = src.elems[s : s + n]

    def init(self, elems: Sequence[Any], d: int, s: int, n: int) -> None:
        """Copy ``n`` references from ``s`` in a segment's ``elems``, or trap before any is.  Spec: exec-table.init."""
        if s + n > len(elems):
            raise Trap(TrapKind.TABLE_OUT_OF_BOUNDS, f"{n} elements at {s} of a segment of {len(elems)}")
        self._check(d, n)
        self.elems[d : d + n] = elems[s : s + n]
