"""Conversions, bit by bit, against exact rationals; traps by kind."""

import math
from fractions import Fraction

import pytest
from hypothesis import given

from engine.errors import Trap, TrapKind
from engine.numerics import conversions
from engine.types import F32, F64
from engine.values import from_bits, to_bits
from tests.support import bits
from tests.support.exact import infinity, is_infinite, is_nan, is_negative, nan, nearest, rational, sign_bit

FLOAT = {32: F32, 64: F64}
widths = pytest.mark.parametrize(("m", "n"), [(32, 32), (32, 64), (64, 32), (64, 64)])
LIMITS = {"u": lambda n: (0, 2**n - 1), "s": lambda n: (-(2 ** (n - 1)), 2 ** (n - 1) - 1)}


def truncated(m, n, b, kind):
    """The integer part, or the kind of the trap."""
    if is_nan(m, b):
        return TrapKind.BAD_CONVERSION
    low, high = LIMITS[kind](n)
    if is_infinite(m, b) or not low <= math.trunc(rational(m, b)) <= high:
        return TrapKind.INTEGER_OVERFLOW
    return math.trunc(rational(m, b)) % 2**n


def saturated(m, n, b, kind):
    if is_nan(m, b):
        return 0
    low, high = LIMITS[kind](n)
    if is_infinite(m, b):
        return (low if is_negative(m, b) else high) % 2**n
    return min(max(math.trunc(rational(m, b)), low), high) % 2**n


def value(n, i):
    """The signed value of ``n`` bits."""
    return i if i < 2 ** (n - 1) else i - 2**n


def result(operator, *args):
    try:
        return operator(*args)
    except Trap as trap:
        return trap.kind


@widths
@pytest.mark.parametrize("kind", "us")
def test_trunc_is_the_integer_part_or_the_right_trap(kind, m, n):
    operator = getattr(conversions, f"trunc_{kind}")

    @given(bits.floats(m))
    def agree(b):
        assert result(operator, m, n, from_bits(FLOAT[m], b)) == truncated(m, n, b, kind)

    agree()
    for b in bits.FLOATS[m]:
        assert result(operator, m, n, from_bits(FLOAT[m], b)) == truncated(m, n, b, kind), hex(b)


@widths
@pytest.mark.parametrize("kind", "us")
def test_trunc_sat_clamps(kind, m, n):
    operator = getattr(conversions, f"trunc_sat_{kind}")

    @given(bits.floats(m))
    def agree(b):
        assert operator(m, n, from_bits(FLOAT[m], b)) == saturated(m, n, b, kind)

    agree()
    for b in bits.FLOATS[m]:
        assert operator(m, n, from_bits(FLOAT[m], b)) == saturated(m, n, b, kind), hex(b)


@widths
@pytest.mark.parametrize("kind", "us")
def test_convert_rounds_the_integer_once(kind, m, n):
    operator = getattr(conversions, f"convert_{kind}")

    @given(bits.integers(m))
    def agree(i):
        expected = nearest(n, Fraction(i if kind == "u" else value(m, i)))
        assert hex(to_bits(FLOAT[n], operator(m, n, i))) == hex(expected)

    agree()


@pytest.mark.parametrize(
    ("i", "f32"),
    [(0x7FFF_FFBF_FFFF_FFFF, 0x5EFF_FFFF), (0x7FFF_FFC0_0000_0000, 0x5F00_0000), (0x7FFF_FFC0_0000_0001, 0x5F00_0000),
     (0x0020_0000_2000_0001, 0x5A00_0001), (0x0020_0000_2000_0000, 0x5A00_0000), (0x0020_0000_6000_0000, 0x5A00_0002),
     (0x0020_0000_1FFF_FFFF, 0x5A00_0000)],
)  # fmt: skip
def test_convert_i64_to_f32_does_not_round_twice(i, f32):
    assert to_bits(F32, conversions.convert_s(64, 32, i)) == f32
    assert to_bits(F32, conversions.convert_u(64, 32, i)) == f32
    assert to_bits(F32, conversions.convert_s(64, 32, -i % 2**64)) == f32 | 1 << 31


@given(bits.floats(64))
def test_demote_rounds_once_and_makes_nans_canonical(b):
    expected = nan(32) if is_nan(64, b) else None
    if expected is None:
        sign = sign_bit(32) * is_negative(64, b)
        expected = (infinity(32) if is_infinite(64, b) else nearest(32, rational(64, b))) | sign
    assert hex(to_bits(F32, conversions.demote(64, 32, from_bits(F64, b)))) == hex(expected)


@given(bits.floats(32))
def test_promote_is_exact_and_makes_nans_canonical(b):
    expected = nan(64) if is_nan(32, b) else None
    if expected is None:
        sign = sign_bit(64) * is_negative(32, b)
        expected = (infinity(64) if is_infinite(32, b) else nearest(64, rational(32, b))) | sign
    assert hex(to_bits(F64, conversions.promote(32, 64, from_bits(F32, b)))) == hex(expected)


@pytest.mark.parametrize("n", [32, 64])
def test_reinterpret_keeps_every_bit(n):
    @given(bits.floats(n))
    def agree(b):
        z = conversions.reinterpret_f(n, n, b)
        assert to_bits(FLOAT[n], z) == b
        assert conversions.reinterpret_i(n, n, z) == b

    agree()


@given(bits.integers(64), bits.integers(32))
def test_wrap_and_extend(i, j):
    assert conversions.wrap(64, 32, i) == i % 2**32
    assert conversions.extend_u(32, 64, j) == j
    assert conversions.extend_s(32, 64, j) == value(32, j) % 2**64
