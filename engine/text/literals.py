"""Values of number tokens (spec: text-int, text-float).

Input is a token that the lexer has recognised; out of range raises MalformedError ("constant out of range").  All
rounding is exact integer arithmetic, to nearest with ties to even, and its cost is linear in the length of the token:
digits that cannot matter are folded into one sticky digit and exponents are clamped before anything is scaled.
"""

from __future__ import annotations

import re
from functools import lru_cache

from engine.errors import MalformedError

__all__ = ["float_bits", "integer", "signed", "unsigned"]

_EXACT_DIGITS = 1200  # more than the 770 significant digits that decide the rounding of any f64
_FAR = 10**6  # an exponent beyond this is infinite or zero at every width

_MANTISSA = {32: 23, 64: 52}  # stored bits
_NUMBER = re.compile(
    rb"(?P<sign>[+-]?)(?:(?P<inf>inf)|(?P<nan>nan)(?::0x(?P<payload>[0-9A-Fa-f]+))?"
    rb"|0x(?P<hex>[0-9A-Fa-f]+)(?:\.(?P<hexfrac>[0-9A-Fa-f]*))?(?:[pP](?P<binexp>[+-]?[0-9]+))?"
    rb"|(?P<dec>[0-9]+)(?:\.(?P<frac>[0-9]*))?(?:[eE](?P<exp>[+-]?[0-9]+))?)"
)


def _out_of_range() -> MalformedError:
    return MalformedError("constant out of range")


def _magnitude(digits: bytes, n: int) -> int:
    """Return the value of unsigned digits, or ``2 ** n`` for anything larger than that."""
    if digits[:2] == b"0x":
        significant = digits[2:].lstrip(b"0")
        return 1 << n if len(significant) > n // 4 + 1 else int(significant or b"0", 16)
    significant = digits.lstrip(b"0")
    return 1 << n if len(significant) > n // 3 + 1 else int(significant or b"0")


@lru_cache(maxsize=1 << 14)
def integer(text: bytes, n: int) -> int:
    """Return an iN, written signed or unsigned, in ``0 <= i < 2**n`` (spec: text-int)."""
    text = text.replace(b"_", b"")
    negative = text[:1] == b"-"
    value = _magnitude(text.lstrip(b"+-"), n)
    if value > (1 << n - 1 if negative else (1 << n) - 1):
        raise _out_of_range()
    return -value % (1 << n) if negative else value


def signed(text: bytes, n: int) -> int:
    """Return an sN in ``-2**(n-1) <= i < 2**(n-1)``."""
    text = text.replace(b"_", b"")
    negative = text[:1] == b"-"
    value = _magnitude(text.lstrip(b"+-"), n)
    if value > (1 << n - 1) - (not negative):
        raise _out_of_range()
    return -value if negative else value


def unsigned(text: bytes, n: int) -> int:
    """Return a uN; a sign is a token of another kind ("unexpected token")."""
    if text[:1] in (b"+", b"-"):
        raise MalformedError("unexpected token: an unsigned number is expected")
    value = _magnitude(text.replace(b"_", b""), n)
    if value >> n:
        raise _out_of_range()
    return value


@lru_cache(maxsize=1 << 14)
def float_bits(text: bytes, n: int) -> int:
    """Return the bits of an fN, ``n`` 32 or 64, rounded to nearest, ties to even (spec: text-float)."""
    m = _NUMBER.fullmatch(text.replace(b"_", b""))
    if m is None:
        raise MalformedError("unexpected token: a number is expected")
    mantissa = _MANTISSA[n]
    infinity = ((1 << n - 1 - mantissa) - 1) << mantissa
    sign = (m["sign"] == b"-") << n - 1
    if m["inf"]:
        return sign | infinity
    if m["nan"]:
        payload = _magnitude(b"0x" + m["payload"], n) if m["payload"] else 1 << mantissa - 1
        if not 0 < payload < 1 << mantissa:
            raise _out_of_range()
        return sign | infinity | payload
    if m["hex"] is not None:
        fraction = m["hexfrac"] or b""
        num, den = int(m["hex"] + fraction, 16), 1
        scale = _clamp(m["binexp"]) - 4 * len(fraction)
        size = scale + num.bit_length()
        if num and abs(size) > _FAR:
            num, scale = 1, _FAR if size > 0 else -_FAR
        num, den = (num << scale, 1) if scale >= 0 else (num, 1 << -scale)
    else:
        num, den = _decimal(m["dec"], m["frac"] or b"", _clamp(m["exp"]))
    return sign | _round(num, den, n, mantissa)


def _clamp(digits: bytes | None) -> int:
    if digits is None:
        return 0
    significant = digits.lstrip(b"+-").lstrip(b"0")
    value = int(significant or b"0") if len(significant) < 18 else 10**18
    return -value if digits[:1] == b"-" else value


def _decimal(whole: bytes, fraction: bytes, exponent: int) -> tuple[int, int]:
    """Return numerator and denominator of a decimal that rounds like the written one."""
    digits = (whole + fraction).lstrip(b"0")
    exponent -= len(fraction)
    if len(digits) > _EXACT_DIGITS:
        exponent += len(digits) - _EXACT_DIGITS - 1
        digits = digits[:_EXACT_DIGITS] + (b"1" if digits[_EXACT_DIGITS:].strip(b"0") else b"0")
    if not digits:
        return 0, 1
    point = exponent + len(digits)  # the value lies in 10**(point-1) <= v < 10**point
    if point > 400:
        return 1 << _FAR, 1
    if point < -400:
        return 1, 1 << _FAR
    num = int(digits)
    return (num * 10**exponent, 1) if exponent >= 0 else (num, 10**-exponent)


def _round(num: int, den: int, n: int, mantissa: int) -> int:
    """Return the bits, without sign, of ``num / den`` (spec: aux-ieee)."""
    if not num:
        return 0
    emax = (1 << n - 2 - mantissa) - 1
    e = num.bit_length() - den.bit_length()
    if num << max(0, -e) < den << max(0, e):
        e -= 1
    if e > emax + 1:
        raise _out_of_range()
    e = max(e, 1 - emax)
    shift = mantissa - e
    num, den = (num << shift, den) if shift >= 0 else (num, den << -shift)
    if den.bit_length() - num.bit_length() > 2:
        return 0
    q, r = divmod(num, den)
    q += 2 * r > den or (2 * r == den and q & 1)
    # A carry out of the mantissa moves into the exponent by itself; a subnormal has the biased exponent 0.
    bits = q + ((e + emax - 1) << mantissa)
    if bits >> mantissa >= 2 * emax + 1:
        raise _out_of_range()
    return bits
