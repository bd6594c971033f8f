"""Second definitions of lane-wise operators, on a vector at once, where that is measured to be several times faster.

``WHOLE[f](sh, v, ...)`` equals the lift of ``f`` (``vunop``, ``vbinop``, ``vrelop`` or ``vshiftop`` of ``lanes``); a
test says so.  Integer lanes are computed in one integer of 128 bits: whatever could leave a lane, a carry or a shifted
bit, is masked off first.  A *mask* has all ones in the lanes where something holds.  Sums, products and roots of floats
are left to C and rounded once, when they are packed; wherever that is not the whole truth (a NaN, a zero divisor, an
overflow) the lift is asked.
"""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any

from engine.numerics import floats, ints
from engine.numerics.ints import mask
from engine.numerics.lanes import vbinop, vunop

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.numerics.lanes import Scalar, Shape

    Whole = Callable[..., bytes]
    OfInts = Callable[..., int]

__all__ = ["WHOLE"]

_ALL = mask(128)


def _int(v: bytes) -> int:
    return int.from_bytes(v, "little")


def _unary(f: OfInts) -> Whole:
    return lambda sh, v: f(sh, _int(v)).to_bytes(16, "little")


def _binary(f: OfInts) -> Whole:
    return lambda sh, v, w: f(sh, _int(v), _int(w)).to_bytes(16, "little")


def _shift(f: OfInts) -> Whole:
    return lambda sh, v, j: f(sh, _int(v), j & (sh.bits - 1)).to_bytes(16, "little")


# -- integers


def _add(sh: Shape, i: int, j: int) -> int:
    """Add all bits but the highest of each lane, so that no carry leaves a lane, then the highest without carry."""
    low = sh.tops ^ _ALL
    return (i & low) + (j & low) ^ (i ^ j) & sh.tops


def _sub(sh: Shape, i: int, j: int) -> int:
    """Likewise: the highest bit of each lane is set first, so that no borrow leaves a lane."""
    return (i | sh.tops) - (j & (sh.tops ^ _ALL)) ^ (i ^ j ^ sh.tops) & sh.tops


def _mask(sh: Shape, i: int) -> int:
    """Return the mask of lanes whose highest bit is set in ``i``."""
    return ((i & sh.tops) >> sh.bits - 1) * mask(sh.bits)


def _lt_u(sh: Shape, i: int, j: int) -> int:
    """Return the mask of lanes where subtraction borrows."""
    return _mask(sh, (i ^ _ALL) & j | ((i ^ _ALL) | j) & _sub(sh, i, j))


def _lt_s(sh: Shape, i: int, j: int) -> int:
    return _lt_u(sh, i ^ sh.tops, j ^ sh.tops)


def _ne(sh: Shape, i: int, j: int) -> int:
    """Return the mask of lanes with a difference: adding all ones but the highest carries into the highest."""
    low, x = sh.tops ^ _ALL, i ^ j
    return _mask(sh, (x & low) + low | x)


def _choose(m: int, i: int, j: int) -> int:
    return j ^ (i ^ j) & m


def _limits(sh: Shape, i: int) -> int:
    """Return the largest signed integer in each lane of ``i`` that is not negative, the smallest in the others."""
    return (sh.tops ^ _ALL) + ((i & sh.tops) >> sh.bits - 1)


def _add_sat_u(sh: Shape, i: int, j: int) -> int:
    total = _add(sh, i, j)
    return total | _lt_u(sh, total, i)


def _sub_sat_u(sh: Shape, i: int, j: int) -> int:
    return _sub(sh, i, j) & (_lt_u(sh, i, j) ^ _ALL)


def _add_sat_s(sh: Shape, i: int, j: int) -> int:
    total = _add(sh, i, j)
    return _choose(_mask(sh, (i ^ total) & (j ^ total)), _limits(sh, i), total)


def _sub_sat_s(sh: Shape, i: int, j: int) -> int:
    rest = _sub(sh, i, j)
    return _choose(_mask(sh, (i ^ j) & (i ^ rest)), _limits(sh, i), rest)


def _abs(sh: Shape, i: int) -> int:
    negative = _mask(sh, i)
    return _sub(sh, i ^ negative, negative)


def _avgr_u(sh: Shape, i: int, j: int) -> int:
    return (i | j) - (((i ^ j) & (sh.ones ^ _ALL)) >> 1)


def _shl(sh: Shape, i: int, k: int) -> int:
    return (i & sh.ones * (mask(sh.bits) >> k)) << k


def _shr_u(sh: Shape, i: int, k: int) -> int:
    return i >> k & sh.ones * (mask(sh.bits) >> k)


def _shr_s(sh: Shape, i: int, k: int) -> int:
    kept = sh.ones * (mask(sh.bits) >> k)
    return i >> k & kept | _mask(sh, i) & (kept ^ _ALL)


def _mul(sh: Shape, v: bytes, w: bytes) -> bytes:
    m = mask(sh.bits)
    return sh.pack(*[i * j & m for i, j in zip(sh.unpack(v), sh.unpack(w), strict=True)])


def _q15mulr_sat_s(sh: Shape, v: bytes, w: bytes) -> bytes:
    """Only the product of the smallest with itself is too large."""
    products = zip(sh.unpack_s(v), sh.unpack_s(w), strict=True)
    return sh.pack_s(*[min(i * j + 0x4000 >> 15, 0x7FFF) for i, j in products])


_COUNTS = bytes([i.bit_count() for i in range(256)])


def _popcnt(sh: Shape, v: bytes) -> bytes:
    return v.translate(_COUNTS)  # of lanes of one byte, which are all there are


# -- floats


def _rounded(f: Scalar, exact: Callable[..., float]) -> Whole:
    """Return ``f`` on two vectors by ``exact``, which rounds to f64 or not at all; packing rounds to f32."""

    def whole(sh: Shape, v: bytes, w: bytes) -> bytes:
        try:
            zs = list(map(exact, sh.unpack(v), sh.unpack(w)))
            total = sum(zs)
            if total == total:  # noqa: PLR0124
                return sh.pack(*zs)
        except ArithmeticError:
            pass
        return vbinop(sh, f, v, w)

    return whole


def _sqrt(sh: Shape, v: bytes) -> bytes:
    try:
        zs = list(map(math.sqrt, sh.unpack(v)))
    except ValueError:
        return vunop(sh, floats.fsqrt, v)
    total = sum(zs)
    return sh.pack(*zs) if total == total else vunop(sh, floats.fsqrt, v)  # noqa: PLR0124


# fmt: off
WHOLE: dict[Scalar, Any] = {
    ints.iadd: _binary(_add),
    ints.isub: _binary(_sub),
    ints.imul: _mul,
    ints.ineg: _unary(lambda sh, i: _sub(sh, 0, i)),
    ints.iabs: _unary(_abs),
    ints.ipopcnt: _popcnt,
    ints.iavgr_u: _binary(_avgr_u),
    ints.iadd_sat_u: _binary(_add_sat_u),
    ints.iadd_sat_s: _binary(_add_sat_s),
    ints.isub_sat_u: _binary(_sub_sat_u),
    ints.isub_sat_s: _binary(_sub_sat_s),
    ints.iq15mulr_sat_s: _q15mulr_sat_s,
    ints.imin_u: _binary(lambda sh, i, j: _choose(_lt_u(sh, i, j), i, j)),
    ints.imin_s: _binary(lambda sh, i, j: _choose(_lt_s(sh, i, j), i, j)),
    ints.imax_u: _binary(lambda sh, i, j: _choose(_lt_u(sh, i, j), j, i)),
    ints.imax_s: _binary(lambda sh, i, j: _choose(_lt_s(sh, i, j), j, i)),
    ints.ieq: _binary(lambda sh, i, j: _ne(sh, i, j) ^ _ALL),
    ints.ine: _binary(_ne),
    ints.ilt_u: _binary(_lt_u),
    ints.ilt_s: _binary(_lt_s),
    ints.igt_u: _binary(lambda sh, i, j: _lt_u(sh, j, i)),
    ints.igt_s: _binary(lambda sh, i, j: _lt_s(sh, j, i)),
    ints.ile_u: _binary(lambda sh, i, j: _lt_u(sh, j, i) ^ _ALL),
    ints.ile_s: _binary(lambda sh, i, j: _lt_s(sh, j, i) ^ _ALL),
    ints.ige_u: _binary(lambda sh, i, j: _lt_u(sh, i, j) ^ _ALL),
    ints.ige_s: _binary(lambda sh, i, j: _lt_s(sh, i, j) ^ _ALL),
    ints.ishl: _shift(_shl),
    ints.ishr_u: _shift(_shr_u),
    ints.ishr_s: _shift(_shr_s),
    floats.fabs: _unary(lambda sh, i: i & (sh.tops ^ _ALL)),
    floats.fneg: _unary(lambda sh, i: i ^ sh.tops),
    floats.fadd: _rounded(floats.fadd, operator.add),
    floats.fsub: _rounded(floats.fsub, operator.sub),
    floats.fmul: _rounded(floats.fmul, operator.mul),
    floats.fdiv: _rounded(floats.fdiv, operator.truediv),
    floats.fsqrt: _sqrt,
}
# fmt: on
"""Every entry takes the shape, then vectors, or a vector and a count."""
