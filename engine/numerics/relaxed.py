"""Relaxed vector operators: functions of which an engine may choose one of several (spec: aux-relaxed).

The first parameter is the choice, the index that the specification calls R; the deterministic profile takes 0
everywhere.  Then the width and the lanes, as everywhere in ``numerics``.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import repeat
from math import copysign, inf, isfinite, isnan, trunc

from engine.numerics.conversions import extend_s, extend_u, trunc_sat_s, trunc_sat_u
from engine.numerics.floats import NAN, canonical, fadd, fmax, fmin, fmul
from engine.numerics.ints import iadd, iadd_sat_s, ibitselect, imul, iq15mulr_sat_s, ishr_s, mask, sign
from engine.numerics.lanes import I16X8, I32X4, vbinop, vextadd_pairwise

__all__ = [
    "fma", "frelaxed_madd", "frelaxed_max", "frelaxed_min", "frelaxed_nmadd", "irelaxed_laneselect",
    "irelaxed_q15mulr_s", "ivrelaxed_swizzle", "relaxed_trunc_s", "relaxed_trunc_u", "vrelaxed_dot", "vrelaxed_dot_add",
]  # fmt: skip

_DIGITS = {32: (24, -126), 64: (53, -1022)}  # precision, exponent of the smallest normal number


def _nearest(n: int, q: Fraction) -> float:
    """Return the ``n``-bit float nearest to a rational other than zero, ties to even."""
    digits, lowest = _DIGITS[n]
    exponent = abs(q.numerator).bit_length() - q.denominator.bit_length()
    if abs(q) < Fraction(2) ** exponent:
        exponent -= 1
    quantum = Fraction(2) ** (max(exponent, lowest) - digits + 1)
    rounded = round(q / quantum) * quantum
    if abs(rounded) >= Fraction(2) ** (2 - lowest):
        return inf if q > 0 else -inf
    return float(rounded) if rounded else (0.0 if q > 0 else -0.0)


def fma(n: int, z: float, w: float, x: float) -> float:
    """Spec: op-fma.  The exact product and sum, rounded once."""
    if not (isfinite(z) and isfinite(w) and isfinite(x)):
        return canonical(x if isfinite(z) and isfinite(w) else z * w + x)
    if z == 0 or w == 0:
        return fadd(n, z * w, x)
    q = Fraction(z) * Fraction(w) + Fraction(x)
    return _nearest(n, q) if q else 0.0


def frelaxed_madd(r: int, n: int, z: float, w: float, x: float) -> float:
    """Spec: op-frelaxed_madd."""
    return fma(n, z, w, x) if r else fadd(n, fmul(n, z, w), x)


def frelaxed_nmadd(r: int, n: int, z: float, w: float, x: float) -> float:
    """Spec: op-frelaxed_nmadd."""
    return frelaxed_madd(r, n, -z, w, x)


def _zeros_differ(z: float, w: float) -> bool:
    return z == w == 0 and copysign(1.0, z) != copysign(1.0, w)


def frelaxed_min(r: int, n: int, z: float, w: float) -> float:
    """Spec: op-frelaxed_min."""
    if isnan(z):
        return (NAN, NAN, w, w)[r]
    if isnan(w):
        return (NAN, z, NAN, z)[r]
    return (fmin(n, z, w), z, w, -0.0)[r] if _zeros_differ(z, w) else fmin(n, z, w)


def frelaxed_max(r: int, n: int, z: float, w: float) -> float:
    """Spec: op-frelaxed_max."""
    if isnan(z):
        return (NAN, NAN, w, w)[r]
    if isnan(w):
        return (NAN, z, NAN, z)[r]
    return (fmax(n, z, w), z, w, 0.0)[r] if _zeros_differ(z, w) else fmax(n, z, w)


def irelaxed_q15mulr_s(r: int, n: int, i: int, j: int) -> int:
    """Spec: op-irelaxed_q15mulr_s."""
    return sign(n) if r and i == j == sign(n) else iq15mulr_sat_s(n, i, j)


def relaxed_trunc_u(r: int, m: int, n: int, z: float) -> int:
    """Spec: op-relaxed_trunc_u.  The other choice is what processors give where there is no result: all ones."""
    return mask(n) if r and not (isfinite(z) and 0 <= trunc(z) <= mask(n)) else trunc_sat_u(m, n, z)


def relaxed_trunc_s(r: int, m: int, n: int, z: float) -> int:
    """Spec: op-relaxed_trunc_s.  The other choice is what processors give where there is no result: the smallest."""
    return sign(n) if r and not (isfinite(z) and -sign(n) <= trunc(z) < sign(n)) else trunc_sat_s(m, n, z)


def irelaxed_laneselect(r: int, n: int, i: int, j: int, k: int) -> int:
    """Spec: op-irelaxed_laneselect.  By every bit, or by the highest bit for the whole lane.

    Choice 2 goes by the highest bit of each byte, as processors do that have no selection of 16 bits; the specification
    lacks it, its official test suite accepts it for that width.
    """
    if r == 2:
        k = sum(0xFF << b for b in range(0, n, 8) if k >> b & 0x80)
    return ibitselect(n, i, j, ishr_s(n, k, n - 1) if r == 1 else k)


def ivrelaxed_swizzle(r: int, v: bytes, s: bytes) -> bytes:
    """Spec: op-ivrelaxed_swizzle.  An index from 16 to 127 gives 0, or counts modulo 16."""
    return s.translate((v * 8 if r else v + bytes(112)) + bytes(128))


def vrelaxed_dot(r: int, v: bytes, w: bytes) -> bytes:
    """Spec: op-irelaxed_dot.  The second operand is signed or unsigned; neighbours are summed with saturation."""
    i = map(extend_s, repeat(8), repeat(16), v)
    j = map(extend_u if r else extend_s, repeat(8), repeat(16), w)
    products = list(map(imul, repeat(16), i, j))
    return I16X8.pack(*map(iadd_sat_s, repeat(16), products[::2], products[1::2]))


def vrelaxed_dot_add(r: int, v: bytes, w: bytes, x: bytes) -> bytes:
    """Spec: op-irelaxed_dot_add.

    Choices 2 and 3 are 0 and 1 with sums of 32 bits from the beginning, so that no sum of two saturates, as processors
    do that have the whole operator; the specification lacks them, its official test suite accepts them.
    """
    if r >= 2:
        i = map(extend_s, repeat(8), repeat(32), v)
        j = map(extend_u if r == 3 else extend_s, repeat(8), repeat(32), w)
        products = list(map(imul, repeat(32), i, j))
        sums = map(sum, zip(*(products[k::4] for k in range(4)), I32X4.unpack(x), strict=True))
        return I32X4.pack(*(i & mask(32) for i in sums))
    return vbinop(I32X4, iadd, vextadd_pairwise(I16X8, I32X4, extend_s, vrelaxed_dot(r, v, w)), x)
