"""Vectors as lanes: scalar functions lifted over shapes (spec: op-vec).

A v128 is 16 bytes.  A :class:`Shape` divides them into lanes, lane 0 first, which are what ``ints``, ``floats`` and
``conversions`` compute with: unsigned integers, or floats with all their bits.  So a lift takes a shape and a function
of ``(n, lane, ...)``, and no function is written once per shape: ``vbinop(I8X16, iadd, v, w)``.

``whole`` has faster equals of some lifts.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import repeat
from operator import mul
from struct import Struct
from typing import TYPE_CHECKING, Any

from engine.numerics.conversions import extend_s
from engine.numerics.ints import iadd, imul, mask
from engine.values import f32_from_bits, f32_to_bits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Scalar = Callable[..., Any]  # of a width, or two, and lanes

__all__ = [
    "F32X4", "F64X2", "I16X8", "I32X4", "I64X2", "I8X16", "SHAPES", "Shape", "vall_true", "vany_true", "vbinop",
    "vbitmask", "vcvtop", "vdot", "vextadd_pairwise", "vextend", "vextmul", "vextract_lane", "vextract_lane_s",
    "vnarrow", "vrelop", "vreplace_lane", "vshiftop", "vshuffle", "vsplat", "vswizzle", "vternop", "vunop",
    "vvbinop", "vvternop", "vvunop",
]  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """Spec: syntax-shape.  ``lanes`` lanes of ``bits`` bits.

    ``unpack(v)`` gives the lanes of a vector, ``pack(*lanes)`` the vector of all its lanes; ``unpack_s`` and ``pack_s``
    likewise with signed integers.  ``ones`` and ``tops`` have the lowest and the highest bit of each lane.
    """

    name: str
    bits: int
    lanes: int
    is_float: bool
    unpack: Callable[[bytes], Sequence[Any]]
    pack: Callable[..., bytes]
    unpack_s: Callable[[bytes], Sequence[int]]
    pack_s: Callable[..., bytes]
    ones: int
    tops: int

    def __repr__(self) -> str:
        return self.name


_F32 = Struct("<4f")
_I32 = Struct("<4I")


def _unpack_f32(v: bytes) -> Sequence[float]:
    """Return four lanes.  ``struct`` makes a signalling NaN quiet, so where a NaN may be, bits are used."""
    zs = _F32.unpack(v)
    total = sum(zs)
    return zs if total == total else [f32_from_bits(i) for i in _I32.unpack(v)]  # noqa: PLR0124


def _pack_f32(*zs: float) -> bytes:
    total = sum(zs)
    return _F32.pack(*zs) if total == total else _I32.pack(*map(f32_to_bits, zs))  # noqa: PLR0124


_SIGNED = {8: "b", 16: "h", 32: "i", 64: "q"}


def _shape(name: str, code: str) -> Shape:
    layout = Struct("<" + code)
    n, bits = int(code[:-1]), 128 // int(code[:-1])
    is_narrow = code[-1] == "f"
    unpack: Callable[[bytes], Sequence[Any]] = _unpack_f32 if is_narrow else layout.unpack
    pack: Callable[..., bytes] = _pack_f32 if is_narrow else layout.pack
    signed = Struct(f"<{n}{_SIGNED[bits]}")
    ones = mask(128) // mask(bits)
    return Shape(name, bits, n, code[-1] in "fd", unpack, pack, signed.unpack, signed.pack, ones, ones << bits - 1)


I8X16 = _shape("i8x16", "16B")
I16X8 = _shape("i16x8", "8H")
I32X4 = _shape("i32x4", "4I")
I64X2 = _shape("i64x2", "2Q")
F32X4 = _shape("f32x4", "4f")
F64X2 = _shape("f64x2", "2d")
SHAPES = (I8X16, I16X8, I32X4, I64X2, F32X4, F64X2)


def _int(v: bytes) -> int:
    return int.from_bytes(v, "little")


def _vec(i: int) -> bytes:
    return i.to_bytes(16, "little")


# -- lane by lane


def vunop(sh: Shape, f: Scalar, v: bytes) -> bytes:
    """Spec: exec-vunop."""
    return sh.pack(*map(f, repeat(sh.bits), sh.unpack(v)))


def vbinop(sh: Shape, f: Scalar, v: bytes, w: bytes) -> bytes:
    """Spec: exec-vbinop."""
    return sh.pack(*map(f, repeat(sh.bits), sh.unpack(v), sh.unpack(w)))


def vternop(sh: Shape, f: Scalar, v: bytes, w: bytes, x: bytes) -> bytes:
    """Spec: exec-vternop."""
    return sh.pack(*map(f, repeat(sh.bits), sh.unpack(v), sh.unpack(w), sh.unpack(x)))


def vrelop(sh: Shape, f: Scalar, v: bytes, w: bytes) -> bytes:
    """Spec: exec-vrelop.  True is all ones, -1."""
    return sh.pack_s(*[-i for i in map(f, repeat(sh.bits), sh.unpack(v), sh.unpack(w))])


def vshiftop(sh: Shape, f: Scalar, v: bytes, j: int) -> bytes:
    """Spec: exec-vshiftop."""
    return sh.pack(*map(f, repeat(sh.bits), sh.unpack(v), repeat(j)))


def vcvtop(source: Shape, target: Shape, start: int, f: Scalar, v: bytes) -> bytes:
    """Spec: exec-vcvtop.  From lane ``start`` on as many lanes as ``target`` has; where it has more, they are zero."""
    lanes = source.unpack(v)[start : start + target.lanes]
    rest = repeat(0, target.lanes - len(lanes))
    return target.pack(*map(f, repeat(source.bits), repeat(target.bits), lanes), *rest)


def vnarrow(source: Shape, target: Shape, sat: Scalar, v: bytes, w: bytes) -> bytes:
    """Spec: exec-vnarrow, op-narrow.  Signed lanes, cut by ``sat(n, i)``."""
    return target.pack(*map(sat, repeat(target.bits), (*source.unpack_s(v), *source.unpack_s(w))))


def _values(sh: Shape, extend: Scalar, v: bytes) -> Sequence[int]:
    """Return the integers that lanes are before ``extend``, modulo the target's width, gives them their new form."""
    return sh.unpack_s(v) if extend is extend_s else sh.unpack(v)


def vextend(source: Shape, target: Shape, start: int, extend: Scalar, v: bytes) -> bytes:
    """Spec: exec-vcvtop, op-extend.  Half of the lanes, from ``start`` on."""
    pack = target.pack_s if extend is extend_s else target.pack
    return pack(*_values(source, extend, v)[start : start + target.lanes])


def vextadd_pairwise(source: Shape, target: Shape, extend: Scalar, v: bytes) -> bytes:
    """Spec: exec-vextunop, op-ivadd_pairwise."""
    i = _values(source, extend, v)
    return target.pack(*map(iadd, repeat(target.bits), i[::2], i[1::2]))


def vextmul(source: Shape, target: Shape, start: int, extend: Scalar, v: bytes, w: bytes) -> bytes:
    """Spec: exec-vextbinop, op-ivmul.  Half of the lanes, from ``start`` on."""
    half = slice(start, start + target.lanes)
    i, j = _values(source, extend, v)[half], _values(source, extend, w)[half]
    return target.pack(*map(imul, repeat(target.bits), i, j))


def vdot(source: Shape, target: Shape, v: bytes, w: bytes) -> bytes:
    """Spec: exec-vextbinop, op-ivdot.  Sums of neighbouring products of signed lanes."""
    products = list(map(mul, source.unpack_s(v), source.unpack_s(w)))
    return target.pack(*map(iadd, repeat(target.bits), products[::2], products[1::2]))


# -- single lanes


def vsplat(sh: Shape, c: Any) -> bytes:
    """Spec: exec-vsplat.  Of an integer as many bits as a lane has."""
    if sh.is_float:
        return sh.pack(*repeat(c, sh.lanes))
    return _vec((c & mask(sh.bits)) * sh.ones)


def vextract_lane(sh: Shape, l: int, v: bytes) -> Any:
    """Spec: exec-vextract_lane."""
    return sh.unpack(v)[l]


def vextract_lane_s(sh: Shape, l: int, v: bytes) -> int:
    """Spec: exec-vextract_lane, to an i32 by sign."""
    return extend_s(sh.bits, 32, sh.unpack(v)[l])


def vreplace_lane(sh: Shape, l: int, v: bytes, c: Any) -> bytes:
    """Spec: exec-vreplace_lane."""
    lanes = list(sh.unpack(v))
    lanes[l] = c if sh.is_float else c & mask(sh.bits)
    return sh.pack(*lanes)


_ZEROS = bytes(240)


def vswizzle(v: bytes, s: bytes) -> bytes:
    """Spec: exec-vswizzlop.  An index beyond the lanes gives 0."""
    return s.translate(v + _ZEROS)


def vshuffle(lanes: bytes, v: bytes, w: bytes) -> bytes:
    """Spec: exec-vshuffle."""
    return lanes.translate(v + w + _ZEROS[:224])


# -- the vector as one integer


def vvunop(f: Scalar, v: bytes) -> bytes:
    """Spec: exec-vvunop."""
    return _vec(f(128, _int(v)))


def vvbinop(f: Scalar, v: bytes, w: bytes) -> bytes:
    """Spec: exec-vvbinop."""
    return _vec(f(128, _int(v), _int(w)))


def vvternop(f: Scalar, v: bytes, w: bytes, x: bytes) -> bytes:
    """Spec: exec-vvternop."""
    return _vec(f(128, _int(v), _int(w), _int(x)))


def vany_true(v: bytes) -> int:
    """Spec: exec-vvtestop."""
    return 1 if v.strip(b"\0") else 0


def vall_true(sh: Shape, v: bytes) -> int:
    """Spec: exec-vtestop."""
    return 0 if 0 in sh.unpack(v) else 1


def vbitmask(sh: Shape, v: bytes) -> int:
    """Spec: exec-vbitmask.  Bit l is the sign of lane l."""
    return sum(1 << l for l, i in enumerate(sh.unpack(v)) if i >> (sh.bits - 1))
