"""Memory instances: one flat buffer that only ever grows, in place.

Execution binds the buffer into closures, so its identity is fixed when the memory is made, and with it its kind: a
``bytearray`` for memories that stay small, an anonymous private ``mmap`` for those that may become big, because the
system hands out its pages only when touched and moves them without copying.  An ``mmap`` cannot be empty, so a memory
that starts with no pages is a ``bytearray`` whatever its maximum.
"""

from __future__ import annotations

import mmap
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from engine.errors import ExhaustionError, Resource, Trap, TrapKind
from engine.types import Limits

if TYPE_CHECKING:
    from engine.types import MemType

__all__ = ["MAPPED_FROM_BYTES", "MemInst"]

MAPPED_FROM_BYTES = (
    1 << 24
)  # a memory that may reach this size is mapped; below, a bytearray is made and dropped faster
_CHUNK = 1 << 20


def _buffer(size_bytes: int, may_reach_bytes: int) -> bytearray | mmap.mmap:
    if size_bytes and may_reach_bytes >= MAPPED_FROM_BYTES and sys.platform == "linux":
        return mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return bytearray(size_bytes)


class MemInst:
    """Spec: syntax-meminst.  ``type`` has the current size as its minimum; ``limit_pages`` is the store's budget."""

    __slots__ = ("addr", "data", "limit_pages", "type")

    def __init__(self, addr: int, type: MemType, limit_pages: int) -> None:
        """Make a memory of zeros, or raise ExhaustionError where its minimum is beyond the budget or the machine."""
        size_pages, max_pages = type.limits
        self.addr = addr
        self.type = type
        self.limit_pages = min(limit_pages, type.max_pages)
        may_reach = self.limit_pages if max_pages is None else min(max_pages, self.limit_pages)
        if size_pages > self.limit_pages:
            raise ExhaustionError(Resource.HEAP)
        try:
            self.data = _buffer(size_pages << type.page_bits, may_reach << type.page_bits)
        except (MemoryError, OSError, OverflowError):
            raise ExhaustionError(Resource.HEAP) from None

    @property
    def size_pages(self) -> int:
        """The current size in pages of the memory's own page size."""
        return len(self.data) >> self.type.page_bits

    def has_room(self, delta: int) -> bool:
        """Tell whether the declared maximum and the budget allow so many more pages."""
        new, declared = self.size_pages + delta, self.type.limits.max
        return new <= self.limit_pages and (declared is None or new <= declared)

    def grow(self, delta: int) -> int:
        """Grow by ``delta`` pages and return the old size in pages, or -1 if refused.

        Refusal (declared maximum, budget, no memory left) is a result, not a trap; nothing has changed then.
        Spec: exec-memory.grow.
        """
        old, declared = self.size_pages, self.type.limits.max
        new = old + delta
        if not self.has_room(delta):
            return -1
        if delta == 0:
            return old
        try:
            if isinstance(self.data, bytearray):
                self.data += bytes(delta << self.type.page_bits)
            else:
                self.data.resize(new << self.type.page_bits)
        except (MemoryError, OSError, OverflowError):
            return -1
        self.type = replace(self.type, limits=Limits(new, declared))
        return old

    def _check(self, ea: int, n: int) -> None:
        if ea + n > len(self.data):
            raise Trap(TrapKind.MEMORY_OUT_OF_BOUNDS, f"{n} bytes at {ea:#x} of {len(self.data):#x}")

    def read(self, ea: int, n: int) -> bytes:
        """Return ``n`` bytes from ``ea``, or trap."""
        self._check(ea, n)
        return bytes(self.data[ea : ea + n])

    def write(self, ea: int, data: bytes) -> None:
        """Replace the bytes from ``ea``, or trap before any is."""
        self._check(ea, len(data))
        self.data[ea : ea + len(data)] = data

    def fill(self, d: int, val: int, n: int) -> None:
        """Set ``n`` bytes from ``d`` to the byte ``val``, or trap before any is.  Spec: exec-memory.fill."""
        self._check(d, n)
        for at in range(d, d + n, _CHUNK):
            size = min(_CHUNK, d + n - at)
            self.data[at : at + size] = bytes((val,)) * size

    def copy(self, src: MemInst, d: int, s: int, n: int) -> None:
        """Copy ``n`` bytes as if at once from ``s`` in ``src``, or trap before any is.  Spec: exec-memory.copy."""
        src._check(s, n)
        self._check(d, n)
        if src is self and isinstance(self.data, mmap.mmap):
            self.data.move(d, s, n)
        else:
            self.data[d : d + n] = src.data[s : s + n]

    def init(self, data: bytes, d: int, s: int, n: int) -> None:
        """Copy ``n`` bytes from ``s`` in a segment's ``data``, or trap before any is.  Spec: exec-memory.init."""
        if s + n > len(data):
            raise Trap(TrapKind.MEMORY_OUT_OF_BOUNDS, f"{n} bytes at {s:#x} of a segment of {len(data):#x}")
        self._check(d, n)
        self.data[d : d + n] = data[s : s + n]
