"""A bounded cursor over the bytes of a module: LEB128 and names (spec: binary-values).

A reader sees ``data[pos:end]`` and never a byte beyond; offsets in errors count from the start of the module.  Every
refusal is a :class:`MalformedError` with the suite's phrase.  Immediate kinds read themselves from a reader.
"""

from __future__ import annotations

from engine.errors import MalformedError
from engine.features import EXECUTED, MEMORY64, MULTI_MEMORY, REFERENCE_TYPES, FeatureSet

__all__ = ["Reader"]

Bytes = bytes  # the name inside the class is a method


class Reader:
    """``data[pos:end]`` still to be read, under ``features``; ``starts`` are the offsets of a section's items."""

    __slots__ = ("data", "end", "features", "pos", "starts")

    def __init__(self, data: Bytes, pos: int = 0, end: int | None = None, features: FeatureSet = EXECUTED) -> None:
        self.data = data
        self.pos = pos
        self.end = len(data) if end is None else end
        self.features = features
        self.starts: list[int] = []

    # -- bytes and integers

    def byte(self) -> int:
        """Read one byte."""
        pos = self.pos
        if pos >= self.end:
            raise MalformedError("unexpected end", pos)
        self.pos = pos + 1
        return self.data[pos]

    def bytes(self, n: int) -> Bytes:
        """Read ``n`` bytes."""
        pos = self.pos
        if n > self.end - pos:
            raise MalformedError("unexpected end", self.end)
        self.pos = pos + n
        return self.data[pos : pos + n]

    def u32(self) -> int:
        """Spec: binary-uint."""
        pos = self.pos
        if pos < self.end:
            b = self.data[pos]
            if b < 0x80:
                self.pos = pos + 1
                return b
        return self._leb(32)

    def u64(self) -> int:
        """Spec: binary-uint."""
        return self._leb(64)

    def address(self) -> int:
        """Read an offset or a size in a memory or table; it has 64 bits only where addresses can have them."""
        return self.u64() if MEMORY64 in self.features else self.u32()

    def memidx(self) -> int:
        """Read a memory index, for which only a zero byte stood before there could be several memories."""
        return self.u32() if MULTI_MEMORY in self.features else self.zero()

    def tableidx(self) -> int:
        """Read a table index, for which only a zero byte stood before there could be several tables."""
        return self.u32() if REFERENCE_TYPES in self.features else self.zero()

    def zero(self) -> int:
        """Read a byte that means nothing yet."""
        if self.byte():
            raise MalformedError("zero byte expected", self.pos - 1)
        return 0

    def s32(self) -> int:
        """Read a signed integer (spec: binary-sint)."""
        return self._signed(32)

    def s33(self) -> int:
        """Read a signed integer (spec: binary-sint)."""
        return self._signed(33)

    def s64(self) -> int:
        """Read a signed integer (spec: binary-sint)."""
        return self._signed(64)

    def _leb(self, n: int) -> int:
        """Read at most ``ceil(n / 7)`` bytes; the bits of the last byte beyond ``n`` must be zero."""
        start = self.pos
        value = self._raw(n)
        if value >> n:
            raise MalformedError("integer too large", start)
        return value

    def _signed(self, n: int) -> int:
        """Read at most ``ceil(n / 7)`` bytes; the bits of the last byte beyond ``n`` must repeat the sign."""
        start = self.pos
        value = self._raw(n)
        bits = 7 * (self.pos - start)
        if value >> bits - 1:
            value -= 1 << bits
        if not -1 <= value >> n - 1 <= 0:
            raise MalformedError("integer too large", start)
        return value

    def _raw(self, n: int) -> int:
        """Read groups of seven bits, least significant first."""
        start = pos = self.pos
        data, end = self.data, self.end
        value = shift = 0
        while pos < end:
            b = data[pos]
            pos += 1
            if b < 0x80:
                self.pos = pos
                return value | b << shift
            value |= (b & 0x7F) << shift
            shift += 7
            if shift >= n:
                raise MalformedError("integer representation too long", start)
        raise MalformedError("unexpected end", end)

    # -- lengths and names

    def count(self) -> int:
        """Read the length of a list whose elements take at least a byte each, so that nothing can be huge unread."""
        start = self.pos
        n = self.u32()
        if n > self.end - self.pos:
            raise MalformedError("length out of bounds", start)
        return n

    def blob(self) -> Bytes:
        """Read a length and that many bytes."""
        return self.bytes(self.count())

    def name(self) -> str:
        """Spec: binary-name."""
        n = self.count()
        start = self.pos
        try:
            return self.bytes(n).decode("utf-8")
        except UnicodeDecodeError as e:
            raise MalformedError("malformed UTF-8 encoding", start + e.start) from None

    def part(self, size: int) -> Reader:
        """Return a reader of the next ``size`` bytes and step over them."""
        inner = Reader(self.data, self.pos, self.pos + size, self.features)
        self.pos += size
        return inner
