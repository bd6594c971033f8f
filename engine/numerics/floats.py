"""Floating-point operators (spec: op-fadd and the sections around it).

Operands and results are Python floats; for ``n == 32`` they hold values that an f32 has.  The f32 operators compute in
double and round once more, which is the correctly rounded f32 result for + - * / and square root because a double has
more than twice the digits and two to spare.  NaN results are the canonical positive NaN, as in the deterministic
profile; ``fneg``, ``fabs`` and ``fcopysign`` only touch the sign bit, of NaNs too.
"""

from __future__ import annotations

from math import ceil, copysign, floor, sqrt, trunc

from engine.values import f32_round, f64_from_bits

__all__ = [
    "NAN", "canonical", "fabs", "fadd", "fceil", "fcopysign", "fdiv", "feq", "ffloor", "fge", "fgt", "fle", "flt",
    "fmax", "fmin", "fmul", "fne", "fnearest", "fneg", "fpmax", "fpmin", "fround", "fsqrt", "fsub", "ftrunc",
]  # fmt: skip

NAN = f64_from_bits(0x7FF8_0000_0000_0000)  # also the widened canonical NaN of f32
INFINITY = float("inf")
INTEGRAL = 2.0**52  # from here on every f64, and so every f32, is an integer


def fround(n: int, x: float) -> float:
    """Return the ``n``-bit float nearest to a double, ties to even."""
    return x if n == 64 else f32_round(x)


def canonical(z: float) -> float:
    """Return ``z``, or the canonical NaN for any NaN (spec: aux-nans)."""
    return z if z == z else NAN  # noqa: PLR0124


def fadd(n: int, z: float, w: float) -> float:
    """Spec: op-fadd."""
    return canonical(fround(n, z + w))


def fsub(n: int, z: float, w: float) -> float:
    """Spec: op-fsub."""
    return canonical(fround(n, z - w))


def fmul(n: int, z: float, w: float) -> float:
    """Spec: op-fmul."""
    return canonical(fround(n, z * w))


def fdiv(n: int, z: float, w: float) -> float:
    """Spec: op-fdiv.  Python refuses a zero divisor; multiplying by its signed reciprocal is the same rule."""
    return canonical(fround(n, z / w if w else z * copysign(INFINITY, w)))


def fmin(n: int, z: float, w: float) -> float:
    """Spec: op-fmin.  -0 is less than +0."""
    return z if z < w else w if w < z else NAN if z != w else z if copysign(1.0, z) < 0 else w


def fmax(n: int, z: float, w: float) -> float:
    """Spec: op-fmax.  +0 is greater than -0."""
    return z if z > w else w if w > z else NAN if z != w else w if copysign(1.0, z) < 0 else z


def fpmin(n: int, z: float, w: float) -> float:
    """Spec: op-fpmin.  One of the operands with all its bits, the first unless the second is less."""
    return w if w < z else z


def fpmax(n: int, z: float, w: float) -> float:
    """Spec: op-fpmax.  One of the operands with all its bits, the first unless it is less."""
    return w if z < w else z


def fcopysign(n: int, z: float, w: float) -> float:
    """Spec: op-fcopysign.  Exact on the bits of NaNs."""
    return copysign(z, w)


def fabs(n: int, z: float) -> float:
    """Spec: op-fabs.  Exact on the bits of NaNs."""
    return abs(z)


def fneg(n: int, z: float) -> float:
    """Spec: op-fneg.  Exact on the bits of NaNs."""
    return -z


def fsqrt(n: int, z: float) -> float:
    """Spec: op-fsqrt.  The root of -0 is -0."""
    return fround(n, sqrt(z) if z >= 0 else NAN)


def fceil(n: int, z: float) -> float:
    """Spec: op-fceil."""
    return copysign(ceil(z), z) if abs(z) < INTEGRAL else canonical(z)


def ffloor(n: int, z: float) -> float:
    """Spec: op-ffloor."""
    return copysign(floor(z), z) if abs(z) < INTEGRAL else canonical(z)


def ftrunc(n: int, z: float) -> float:
    """Spec: op-ftrunc."""
    return copysign(trunc(z), z) if abs(z) < INTEGRAL else canonical(z)


def fnearest(n: int, z: float) -> float:
    """Spec: op-fnearest.  Ties to even: the addition rounds away the fraction, the subtraction is exact."""
    return copysign(abs(z) + INTEGRAL - INTEGRAL, z) if abs(z) < INTEGRAL else canonical(z)


def feq(n: int, z: float, w: float) -> int:
    """Spec: op-feq."""
    return 1 if z == w else 0


def fne(n: int, z: float, w: float) -> int:
    """Spec: op-fne."""
    return 1 if z != w else 0


def flt(n: int, z: float, w: float) -> int:
    """Spec: op-flt."""
    return 1 if z < w else 0


def fgt(n: int, z: float, w: float) -> int:
    """Spec: op-fgt."""
    return 1 if z > w else 0


def fle(n: int, z: float, w: float) -> int:
    """Spec: op-fle."""
    return 1 if z <= w else 0


def fge(n: int, z: float, w: float) -> int:
    """Spec: op-fge."""
    return 1 if z >= w else 0
