"""Vectors as lanes: scalar functions lifted over shapes (spec: op-vec).

A v128 is 16 bytes.  A :class:`Shape` divides them into lanes, lane 0 first, which are what ``ints``, ``floats`` and
``conversions`` compute with: unsigned integers, or floats with all their bits.  So a lift takes a shape and a function
of ``(n, lane, ...)``, and no function is written once per shape: ``vbinop(I8X16, iadd, v, w)``.

A few functions have a second definition over the vector as one integer (:data:`WHOLE`), many times faster than lane by
lane: ``vbinop(sh, f, ...)`` and ``WHOLE[f](sh, ...)`` are equal, and a test says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import repeat
from struct import Struct
from typing import TYPE_CHECKING, Any

from engine.numerics.conversions import extend_s
from engine.numerics.floats import fabs, fneg
from engine.numerics.ints import iadd, imul, ineg, ishl, ishr_u, isub, mask
from engine.values import f32_from_bits, f32_to_bits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Scalar = Callable[..., Any]  # of a width, or two, and lanes

__all__ = [
    "F32X4", "F64X2", "I16X8", "I32X4", "I64X2", "I8X16", "SHAPES", "WHOLE", "Shape", "vall_true", "vany_true",
    "vbinop", "vbitmask", "vcvtop", "vdot", "vextadd_pairwise", "vextmul", "vextract_lane", "vextract_lane_s",
    "vnarrow", "vrelop", "vreplace_lane", "vshiftop", "vshuffle", "vsplat", "vswizzle", "vternop", "vunop",
    "vvbinop", "vvternop", "vvunop",
]  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """Spec: syntax-shape.  ``lanes`` lanes of ``bits`` bits.

    ``unpack(v)`` gives the lanes of a vector, ``pack(*lanes)`` the vector of all its lanes.  ``ones`` and ``tops`` have
    the lowest and the highest bit of each lane.
    """

    name: str
    bits: int
    lanes: int
    is_float: bool
    unpack: Callable[[bytes], Sequence[Any]]
    pack: Callable[..., bytes]
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


def _shape(name: str, code: str) -> Shape:
    layout = Struct("<" + code)
    n, bits = int(code[:-1]), 128 // int(code[:-1])
    is_narrow = code[-1] == "f"
    unpack: Callable[[bytes], Sequence[Any]] = _unpack_f32 if is_narrow else layout.unpack
    pack: Callable[..., bytes] = _pack_f32 if is_narrow else layout.pack
    ones = mask(128) // mask(bits)
    return Shape(name, bits, n, code[-1] in "fd", unpack, pack, ones, ones << bits - 1)


I8X16 = _shape("i8x16", "16B")
I16X8 = _shape("i16x8", "8H")
I32X4 = _shape("i32x4", "4I")
I64X2 = _shape("i64x2", "2Q")
F32X4 = _shape("f32x4", "4f")
F64X2 = _shape("f64x2", "2d")
SHAPES = (I8X16, I16X8, I32X4, I64X2, F32X4, F64X2)


_ALL = mask(128)


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


_PACK_SIGNED = {128 // n: Struct(f"<{n}{code}").pack for n, code in ((16, "b"), (8, "h"), (4, "i"), (2, "q"))}


def vrelop(sh: Shape, f: Scalar, v: bytes, w: bytes) -> bytes:
    """Spec: exec-vrelop.  True is all ones, -1."""
    return _PACK_SIGNED[sh.bits](*[-i for i in map(f, repeat(sh.bits), sh.unpack(v), sh.unpack(w))])


def vshiftop(sh: Shape, f: Scalar, v: bytes, j: int) -> bytes:
    """Spec: exec-vshiftop."""
    return sh.pack(*map(f, repeat(sh.bits), sh.unpack(v), repeat(j)))


def vcvtop(source: Shape, target: Shape, start: int, f: Scalar, v: bytes) -> bytes:
    """Spec: exec-vcvtop.  From lane ``start`` on as many lanes as ``target`` has; where it has more, they are zero."""
    lanes = source.unpack(v)[start : start + target.lanes]
    rest = repeat(0, target.lanes - len(lanes))
    return target.pack(*map(f, repeat(source.bits), repeat(target.bits), lanes), *rest)


def vnarrow(source: Shape, target: Shape, f: Scalar, v: bytes, w: bytes) -> bytes:
    """Spec: exec-vnarrow."""
    m, n = repeat(source.bits), repeat(target.bits)
    return target.pack(*map(f, m, n, source.unpack(v)), *map(f, m, n, source.unpack(w)))


def _extended(source: Shape, target: Shape, extend: Scalar, v: bytes) -> list[int]:
    return list(map(extend, repeat(source.bits), repeat(target.bits), source.unpack(v)))


def vextadd_pairwise(source: Shape, target: Shape, extend: Scalar, v: bytes) -> bytes:
    """Spec: exec-vextunop, op-ivadd_pairwise."""
    i = _extended(source, target, extend, v)
    return target.pack(*map(iadd, repeat(target.bits), i[::2], i[1::2]))


def vextmul(source: Shape, target: Shape, start: int, extend: Scalar, v: bytes, w: bytes) -> bytes:
    """Spec: exec-vextbinop, op-ivmul.  Half of the lanes, from ``start`` on."""
    half = slice(start, start + target.lanes)
    i, j = _extended(source, target, extend, v)[half], _extended(source, target, extend, w)[half]
    return target.pack(*map(imul, repeat(target.bits), i, j))


def vdot(source: Shape, target: Shape, add: Scalar, v: bytes, w: bytes) -> bytes:
    """Spec: exec-vextbinop, op-ivdot.  Products of signed lanes, neighbours summed by ``add``."""
    n = repeat(target.bits)
    products = list(map(imul, n, _extended(source, target, extend_s, v), _extended(source, target, extend_s, w)))
    return target.pack(*map(add, n, products[::2], products[1::2]))


# -- single lanes


def vsplat(sh: Shape, c: Any) -> bytes:
    """Spec: exec-vsplat.  Of an integer as many bits as a lane has."""
    return sh.pack(*repeat(c if sh.is_float else c & mask(sh.bits), sh.lanes))


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
    return 1 if any(v) else 0


def vall_true(sh: Shape, v: bytes) -> int:
    """Spec: exec-vtestop."""
    return 1 if all(sh.unpack(v)) else 0


def vbitmask(sh: Shape, v: bytes) -> int:
    """Spec: exec-vbitmask.  Bit l is the sign of lane l."""
    return sum(1 << l for l, i in enumerate(sh.unpack(v)) if i >> (sh.bits - 1))


def _add(sh: Shape, v: bytes, w: bytes) -> bytes:
    """Add all bits but the highest of each lane, so that no carry leaves a lane, then the highest without carry."""
    i, j, tops = _int(v), _int(w), sh.tops
    return _vec((i & (tops ^ _ALL)) + (j & (tops ^ _ALL)) ^ (i ^ j) & tops)


def _sub(sh: Shape, v: bytes, w: bytes) -> bytes:
    """Likewise: the highest bit of each lane is set first, so that no borrow leaves a lane."""
    i, j, tops = _int(v), _int(w), sh.tops
    return _vec((i | tops) - (j & (tops ^ _ALL)) ^ (i ^ j ^ tops) & tops)


def _neg(sh: Shape, v: bytes) -> bytes:
    return _sub(sh, _ZEROS[:16], v)


def _shl(sh: Shape, v: bytes, j: int) -> bytes:
    """Shift what stays inside of its lane."""
    k = j & (sh.bits - 1)
    return _vec((_int(v) & sh.ones * (mask(sh.bits) >> k)) << k)


def _shr_u(sh: Shape, v: bytes, j: int) -> bytes:
    k = j & (sh.bits - 1)
    return _vec(_int(v) >> k & sh.ones * (mask(sh.bits) >> k))


def _fabs(sh: Shape, v: bytes) -> bytes:
    return _vec(_int(v) & (sh.tops ^ _ALL))


def _fneg(sh: Shape, v: bytes) -> bytes:
    return _vec(_int(v) ^ sh.tops)


WHOLE: dict[Scalar, Callable[..., bytes]] = {
    iadd: _add, isub: _sub, ineg: _neg, ishl: _shl, ishr_u: _shr_u, fabs: _fabs, fneg: _fneg,
}  # fmt: skip
"""What equals a lift of a function, without going lane by lane."""
