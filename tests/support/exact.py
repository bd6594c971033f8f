"""Floating point from first principles: exact rationals, rounded once, as IEEE 754 words it.

Slow and obvious on purpose; shares nothing with the code under test.  A float is its bits.
"""

from __future__ import annotations

from fractions import Fraction

DIGITS = {32: 24, 64: 53}
LOWEST = {32: -126, 64: -1022}  # exponent of the smallest normal number
TINY = {32: 23, 64: 52}  # bits of the fraction field


def sign_bit(n: int) -> int:
    return 1 << (n - 1)


def infinity(n: int) -> int:
    return (sign_bit(n) - 1) >> TINY[n] << TINY[n]


def nan(n: int) -> int:
    """The canonical NaN, positive."""
    return infinity(n) | 1 << (TINY[n] - 1)


def is_nan(n: int, bits: int) -> bool:
    return bits & ~sign_bit(n) > infinity(n)


def is_infinite(n: int, bits: int) -> bool:
    return bits & ~sign_bit(n) == infinity(n)


def is_negative(n: int, bits: int) -> bool:
    return bits >= sign_bit(n)


def rational(n: int, bits: int) -> Fraction:
    """The value of a finite float."""
    field = bits & ~sign_bit(n)
    exponent, fraction = field >> TINY[n], field & (1 << TINY[n]) - 1
    digits = fraction | (1 << TINY[n] if exponent else 0)
    value = Fraction(digits) * Fraction(2) ** (max(exponent, 1) - 1 + LOWEST[n] - TINY[n])
    return -value if is_negative(n, bits) else value


def nearest(n: int, q: Fraction, negative_zero: bool = False) -> int:
    """The float nearest to a rational, ties to even; ``negative_zero`` is the sign of an exact zero."""
    if q == 0:
        return sign_bit(n) if negative_zero else 0
    negative, q = q < 0, abs(q)
    exponent = q.numerator.bit_length() - q.denominator.bit_length()
    exponent = max(exponent if q >= Fraction(2) ** exponent else exponent - 1, LOWEST[n])
    quantum = Fraction(2) ** (exponent - TINY[n])
    digits = round(q / quantum)  # of a Fraction: ties to even
    # A carry out of the digits moves into the exponent by itself, at the top into infinity.
    field = digits + (exponent - LOWEST[n] << TINY[n])
    return min(field, infinity(n)) | (sign_bit(n) if negative else 0)
