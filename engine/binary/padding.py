"""Longer integers in the bytes of a module: LEB128 that is valid and not minimal (spec: binary-int).

Which bytes are integers is known by whoever reads them, so a module is decoded by a reader that takes notes, and then
written again with each integer as long as is wanted.  Sizes are integers too: they are written last.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.features import EXECUTED
from engine.instructions.leb import u

from . import read_module
from .code import CLAUSE, ELSE, END, OPEN, OTHER, PLAIN, Plan, make_plan
from .reader import Reader

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.features import FeatureSet

__all__ = ["integers", "pad"]


class Integer(NamedTuple):
    """One integer: where it stands, of how many bits, and the end of the bytes whose size it is, or -1."""

    start: int
    end: int
    bits: int
    is_signed: bool
    sized_end: int = -1


class _Notes(Reader):
    """A reader that appends every integer to ``found``."""

    __slots__ = ("found",)

    def __init__(self, data: bytes, pos: int, end: int, features: FeatureSet, found: list[Integer]) -> None:
        super().__init__(data, pos, end, features)
        self.found = found

    def u32(self) -> int:
        return self._note(super().u32, 32, False)

    def u64(self) -> int:
        return self._note(super().u64, 64, False)

    def s32(self) -> int:
        return self._note(super().s32, 32, True)

    def s33(self) -> int:
        return self._note(super().s33, 33, True)

    def s64(self) -> int:
        return self._note(super().s64, 64, True)

    def _note(self, read: Callable[[], int], bits: int, is_signed: bool) -> int:
        start = self.pos
        value = read()
        self.found.append(Integer(start, self.pos, bits, is_signed))
        return value

    def part(self, size: int) -> Reader:
        """Return a reader of the next bytes, which the integer before them has counted."""
        self.found[-1] = self.found[-1]._replace(sized_end=self.pos + size)
        inner = _Notes(self.data, self.pos, self.pos + size, self.features, self.found)
        self.pos += size
        return inner


class _Nothing(list[Any]):
    """Remembers no immediates, so that every one of them is read."""

    def __setitem__(self, key: Any, value: Any) -> None:
        """Forget the value."""


@cache
def _forgetful(features: FeatureSet, has_data_count: bool) -> Plan:
    """Return a plan under which a body is read by its reader alone."""
    p = make_plan(features, has_data_count)
    p.shapes = [shape if shape in (PLAIN, OPEN, ELSE, CLAUSE, END) else OTHER for shape in p.shapes]
    p.small = [_Nothing([None] * 256) for _ in p.small]
    return p


def integers(wasm: bytes, features: FeatureSet = EXECUTED) -> list[Integer]:
    """Return the integers of a module in order, or raise what decoding raises."""
    found: list[Integer] = []
    read_module(_Notes(wasm, 0, len(wasm), features, found), _forgetful)
    return found


def pad(wasm: bytes, extra: Callable[[int], int], features: FeatureSet = EXECUTED) -> bytes:
    """Return the module with longer integers; ``extra(most)`` says by how many bytes, ``0 <= n <= most``.

    The result decodes to an equal module.
    """
    found = integers(wasm, features)
    out: list[bytearray] = [bytearray()]  # the module, a section, a body
    sized: list[tuple[int, Integer]] = []
    pos = 0
    for n in [*found, Integer(len(wasm), len(wasm), 0, False)]:
        while sized and sized[-1][0] <= n.start:
            end, size = sized.pop()
            contents = out.pop() + wasm[pos:end]
            pos = end
            out[-1] += _longer(u(len(contents)), size, extra) + contents
        out[-1] += wasm[pos : n.start]
        pos = n.end
        if n.sized_end >= 0:
            sized.append((n.sized_end, n))
            out.append(bytearray())
        elif n.bits:
            out[-1] += _longer(wasm[n.start : n.end], n, extra)
    return bytes(out[0])


def _longer(written: bytes, n: Integer, extra: Callable[[int], int]) -> bytes:
    most = -(-n.bits // 7) - len(written)
    more = extra(most) if most > 0 else 0
    if not more:
        return written
    fill = 0x7F if n.is_signed and written[-1] & 0x40 else 0
    return written[:-1] + bytes((written[-1] | 0x80,)) + bytes((fill | 0x80,)) * (more - 1) + bytes((fill,))
