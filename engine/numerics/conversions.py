"""Conversions between number types (spec: exec-cvtop); widths of source ``m`` and target ``n`` first."""

from __future__ import annotations

from math import isinf, isnan, trunc

from engine.errors import Trap, TrapKind
from engine.numerics.floats import canonical, fround
from engine.numerics.ints import mask, sign, signed
from engine.values import f32_from_bits, f32_to_bits, f64_from_bits, f64_to_bits

__all__ = [
    "convert_s", "convert_u", "demote", "extend_s", "extend_u", "promote", "reinterpret_f", "reinterpret_i",
    "trunc_s", "trunc_sat_s", "trunc_sat_u", "trunc_u", "wrap",
]  # fmt: skip


def wrap(m: int, n: int, i: int) -> int:
    """Spec: op-wrap."""
    return i & mask(n)


def extend_u(m: int, n: int, i: int) -> int:
    """Spec: op-extend_u."""
    return i


def extend_s(m: int, n: int, i: int) -> int:
    """Spec: op-extend_s."""
    return signed(m, i) & mask(n)


def integral(z: float) -> int:
    """Return ``z`` without its fraction; traps where that is no integer."""
    if isnan(z):
        raise Trap(TrapKind.BAD_CONVERSION)
    if isinf(z):
        raise Trap(TrapKind.INTEGER_OVERFLOW)
    return trunc(z)


def trunc_u(m: int, n: int, z: float) -> int:
    """Spec: op-trunc_u."""
    i = integral(z)
    if not 0 <= i <= mask(n):
        raise Trap(TrapKind.INTEGER_OVERFLOW)
    return i


def trunc_s(m: int, n: int, z: float) -> int:
    """Spec: op-trunc_s."""
    i = integral(z)
    limit = sign(n)
    if not -limit <= i < limit:
        raise Trap(TrapKind.INTEGER_OVERFLOW)
    return i & mask(n)


def trunc_sat_u(m: int, n: int, z: float) -> int:
    """Spec: op-trunc_sat_u.  NaN, which is neither greater nor less, gives 0."""
    return trunc(z) if 0 < z < mask(n) + 1 else mask(n) if z > 0 else 0


def trunc_sat_s(m: int, n: int, z: float) -> int:
    """Spec: op-trunc_sat_s."""
    return trunc(z) & mask(n) if -sign(n) < z < sign(n) else sign(n) - 1 if z > 0 else sign(n) if z < 0 else 0


def odd(i: int) -> int:
    """Return an integer of at most 64 bits cut to 53 digits by rounding to odd.

    It is exact in a double, and rounding it again, to an f32, gives what rounding ``i`` itself gives.
    """
    return i if -(1 << 53) < i < 1 << 53 else (i >> 11 | (1 if i & 0x7FF else 0)) << 11


def convert_u(m: int, n: int, i: int) -> float:
    """Spec: op-convert_u.  ``float`` rounds an int once, ties to even."""
    return float(i) if n == 64 else fround(n, float(i if m == 32 else odd(i)))


def convert_s(m: int, n: int, i: int) -> float:
    """Spec: op-convert_s."""
    return float(signed(m, i)) if n == 64 else fround(n, float(signed(m, i) if m == 32 else odd(signed(m, i))))


def promote(m: int, n: int, z: float) -> float:
    """Spec: op-promote."""
    return canonical(z)


def demote(m: int, n: int, z: float) -> float:
    """Spec: op-demote."""
    return canonical(fround(n, z))


def reinterpret_i(m: int, n: int, z: float) -> int:
    """Spec: op-reinterpret, from a float to an integer."""
    return f64_to_bits(z) if m == 64 else f32_to_bits(z)


def reinterpret_f(m: int, n: int, i: int) -> float:
    """Spec: op-reinterpret, from an integer to a float."""
    return f64_from_bits(i) if m == 64 else f32_from_bits(i)
