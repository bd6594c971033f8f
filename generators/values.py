"""Interesting values of each type, as bits: zero and one first, then edges of the operations, then anything.

An engine is wrong at edges far more often than in the middle, and at *pairs* of edges (``INT_MIN / -1``, ``-0``
with ``+0``) more often still; so the tables are short enough for a pair to come up.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from engine.numerics.lanes import F32X4, F64X2, I8X16, I16X8, I32X4, I64X2, SHAPES
from engine.types import F32, F64, I32, I64, VecType

if TYPE_CHECKING:
    from engine.numerics.lanes import Shape
    from engine.types import NumType
    from generators.source import Source

__all__ = ["EDGES", "LANES", "SHARP", "choose_bits", "choose_sharp", "choose_vector"]


def _f32(x: float) -> int:
    return int(struct.unpack("<I", struct.pack("<f", x))[0])


def _f64(x: float) -> int:
    return int(struct.unpack("<Q", struct.pack("<d", x))[0])


def _int_edges(n: int) -> tuple[int, ...]:
    top = 1 << n
    near = [0, 1, top - 1, top >> 1, (top >> 1) - 1, 2, n, n - 1, n + 1, (top >> 1) + 1, top - 2, 3, 7, 8, 255, 256]
    powers = [(1 << k) + d for k in (7, 8, 15, 16, 31, 32, 63) if k < n for d in (-1, 0, 1)]
    signs = [top - (1 << k) - d for k in (7, 8, 15, 16, 31) if k < n - 1 for d in (0, 1)]
    patterns = [int("a5" * (n // 8), 16), int("5a" * (n // 8), 16), int("0f" * (n // 8), 16)]
    return tuple(dict.fromkeys(i % top for i in near + powers + signs + patterns))


def _neighbours(bits: int) -> list[int]:
    return [bits, bits - 1, bits + 1]


_LIMITS = (2.0**31, 2.0**32, 2.0**63, 2.0**64)  # where conversions to integers begin to trap
_PLAIN = (0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, -2.5, 3.7, -0.9999, 2.0, 10.0, 1e10, -1e10, 0.1)

_F32_SPECIAL = [0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC00000, 0x7FA00000, 0xFF812345, 1, 0x80000001, 0x007FFFFF]
_F32_SPECIAL += [0x00800000, 0x7F7FFFFF, 0xFF7FFFFF, 0x4B000000, 0x4B7FFFFF, 0x34000000]
_F64_SPECIAL = [0x7FF0 << 48, 0xFFF0 << 48, 0x7FF8 << 48, 0xFFF8 << 48, 0x7FF4 << 48, 0xFFF0123456789ABC, 1]
_F64_SPECIAL += [(1 << 63) + 1, (1 << 52) - 1, 1 << 52, 0x7FEFFFFFFFFFFFFF, 0xFFEFFFFFFFFFFFFF, _f64(2.0**52)]
_F64_SPECIAL += [_f64(2.0**53), _f64(3.4028234663852886e38), _f64(3.4028235677973366e38), _f64(1.401298464324817e-45)]
_F64_SPECIAL += [_f64(2147483647.5), _f64(-2147483648.5), _f64(-2147483649.0), _f64(4294967295.5)]

EDGES: dict[NumType, tuple[int, ...]] = {
    I32: _int_edges(32),
    I64: _int_edges(64),
    F32: tuple(dict.fromkeys(
        [_f32(x) for x in _PLAIN] + _F32_SPECIAL + [b for x in _LIMITS for s in (x, -x) for b in _neighbours(_f32(s))]
    )),
    F64: tuple(dict.fromkeys(
        [_f64(x) for x in _PLAIN] + _F64_SPECIAL + [b for x in _LIMITS for s in (x, -x) for b in _neighbours(_f64(s))]
    )),
}  # fmt: skip
"""Bits of the interesting values of each number type, the simplest first."""

SHARP: dict[NumType, tuple[int, ...]] = {
    I32: (0, 1, 0xFFFFFFFF, 1 << 31, (1 << 31) - 1, 32, 31),
    I64: (0, 1, (1 << 64) - 1, 1 << 63, (1 << 63) - 1, 64, 63),
    F32: (0, 1 << 31, _f32(1.0), 0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC00000),
    F64: (0, 1 << 63, _f64(1.0), 0x7FF0 << 48, 0xFFF0 << 48, 0x7FF8 << 48, 0xFFF8 << 48),
}
"""The sharpest few, for operand pairs."""

LANES: dict[Shape, tuple[int, ...]] = {
    I8X16: (0, 1, 255, 128, 127, 2, 7, 8, 9, 15, 16, 17, 31, 64, 129, 254),
    I16X8: (0, 1, 65535, 32768, 32767, 2, 15, 16, 17, 127, 128, 255, 256, 32769, 65408, 65534),
    I32X4: EDGES[I32],
    I64X2: EDGES[I64],
    F32X4: EDGES[F32],
    F64X2: EDGES[F64],
}
"""Bits of the interesting lanes of each shape."""


def choose_bits(source: Source, t: NumType | VecType) -> int:
    """Return the bits of a value of ``t``: a small integer, an edge, or any bits."""
    if isinstance(t, VecType):
        return choose_vector(source, source.choose(SHAPES))
    how = source.below(8)
    if how < 2 and not t.is_float:
        return source.below(16)
    if how < 7:
        return source.choose(EDGES[t])
    return source.bits(t.bits)


def choose_vector(source: Source, shape: Shape) -> int:
    """Return the bits of a vector: one edge in all lanes, two or four edges in turn, or any bits."""
    how = source.below(8)
    if how == 7:
        return source.bits(128)
    edges = [source.choose(LANES[shape]) for _ in range((1, 1, 2, 2, 2, 4, 4)[how])]
    return sum([edges[k % len(edges)] << k * shape.bits for k in range(shape.lanes)])


def choose_sharp(source: Source, t: NumType | VecType) -> int:
    """Return the bits of one of the sharpest values of ``t``."""
    return choose_bits(source, t) if isinstance(t, VecType) else source.choose(SHARP[t])
