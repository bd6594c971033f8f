"""Floating-point operators, bit by bit, against exact rationals rounded once."""

import math
from fractions import Fraction

import pytest
from hypothesis import example, given

from engine.numerics import floats
from engine.types import F32, F64
from engine.values import from_bits, to_bits
from tests.support import bits, exact
from tests.support.exact import infinity, is_infinite, is_nan, is_negative, nan, nearest, rational, sign_bit

TYPES = {32: F32, 64: F64}
both_widths = pytest.mark.parametrize("n", [32, 64])


def apply(name, n, *operands):
    """Apply an operator to bits and return bits."""
    result = getattr(floats, name)(n, *(from_bits(TYPES[n], b) for b in operands))
    return to_bits(TYPES[n], result)


def compare(name, n, *operands):
    return getattr(floats, name)(n, *(from_bits(TYPES[n], b) for b in operands))


def signed_infinity(n, negative):
    return infinity(n) | (sign_bit(n) if negative else 0)


def add(n, b, c):
    if is_nan(n, b) or is_nan(n, c) or (is_infinite(n, b) and is_infinite(n, c) and b != c):
        return nan(n)
    if is_infinite(n, b) or is_infinite(n, c):
        return b if is_infinite(n, b) else c
    return nearest(n, rational(n, b) + rational(n, c), is_negative(n, b) and is_negative(n, c))


def sub(n, b, c):
    return nan(n) if is_nan(n, c) else add(n, b, c ^ sign_bit(n))


def mul(n, b, c):
    negative = is_negative(n, b) != is_negative(n, c)
    if is_nan(n, b) or is_nan(n, c):
        return nan(n)
    if is_infinite(n, b) or is_infinite(n, c):
        zero = 0 in (b & ~sign_bit(n), c & ~sign_bit(n))
        return nan(n) if zero else signed_infinity(n, negative)
    return rounded(n, rational(n, b) * rational(n, c), negative)


def div(n, b, c):
    negative = is_negative(n, b) != is_negative(n, c)
    if is_nan(n, b) or is_nan(n, c):
        return nan(n)
    if is_infinite(n, b) or is_infinite(n, c):
        if is_infinite(n, b) and is_infinite(n, c):
            return nan(n)
        return signed_infinity(n, negative) if is_infinite(n, b) else sign_bit(n) * negative
    if rational(n, c) == 0:
        return nan(n) if rational(n, b) == 0 else signed_infinity(n, negative)
    return rounded(n, rational(n, b) / rational(n, c), negative)


def rounded(n, q, negative):
    """Round, keeping the sign of what becomes zero."""
    return nearest(n, q) | sign_bit(n) * negative


def smaller(n, b, c):
    if is_nan(n, b) or is_nan(n, c):
        return nan(n)
    return min((b, c), key=lambda x: order(n, x))


def larger(n, b, c):
    if is_nan(n, b) or is_nan(n, c):
        return nan(n)
    return max((b, c), key=lambda x: order(n, x))


def order(n, b):
    """An integer that orders the floats other than NaN, -0 below +0."""
    magnitude = b & ~sign_bit(n)
    return -magnitude - 1 if is_negative(n, b) else magnitude


def chosen(is_second):
    """One of two operands with all its bits, the second where it is ordered before (or after) the first."""

    def operator(n, b, c):
        if is_nan(n, b) or is_nan(n, c) or not (b | c) & ~sign_bit(n):
            return b
        return c if is_second(order(n, c), order(n, b)) else b

    return operator


def copysign(n, b, c):
    return b & ~sign_bit(n) | c & sign_bit(n)


def sqrt(n, b):
    if is_nan(n, b) or (is_negative(n, b) and b != sign_bit(n)):
        return nan(n)
    if b in (0, sign_bit(n), infinity(n)):
        return b
    q = rational(n, b) * 4**1200  # an integer with hundreds of spare digits
    root = math.isqrt(int(q))
    sticky = Fraction(0 if root * root == q else 1, 2)
    return nearest(n, (root + sticky) / Fraction(2) ** 1200)


def integral(rule):
    def operator(n, b):
        if is_nan(n, b):
            return nan(n)
        return b if is_infinite(n, b) else rounded(n, Fraction(rule(rational(n, b))), is_negative(n, b))

    return operator


BINARY = {
    "fadd": add, "fsub": sub, "fmul": mul, "fdiv": div, "fmin": smaller, "fmax": larger, "fcopysign": copysign,
    "fpmin": chosen(int.__lt__), "fpmax": chosen(int.__gt__),
}  # fmt: skip
UNARY = {
    "fabs": lambda n, b: b & ~sign_bit(n),
    "fneg": lambda n, b: b ^ sign_bit(n),
    "fsqrt": sqrt,
    "fceil": integral(math.ceil),
    "ffloor": integral(math.floor),
    "ftrunc": integral(math.trunc),
    "fnearest": integral(round),  # of a Fraction: ties to even
}
RELATIONS = {
    "feq": lambda q, r: q == r, "fne": lambda q, r: q != r, "flt": lambda q, r: q < r, "fgt": lambda q, r: q > r,
    "fle": lambda q, r: q <= r, "fge": lambda q, r: q >= r,
}  # fmt: skip


@both_widths
@pytest.mark.parametrize("name", BINARY)
def test_binary_operators_round_the_exact_result_once(name, n):
    @given(bits.floats(n), bits.floats(n))
    def agree(b, c):
        assert hex(apply(name, n, b, c)) == hex(BINARY[name](n, b, c))

    agree()


@both_widths
@pytest.mark.parametrize("name", UNARY)
def test_unary_operators_round_the_exact_result_once(name, n):
    @given(bits.floats(n))
    def agree(b):
        assert hex(apply(name, n, b)) == hex(UNARY[name](n, b))

    agree()


@both_widths
@pytest.mark.parametrize("name", RELATIONS)
def test_relations_compare_exact_values_and_nothing_holds_of_nan(name, n):
    def extended(b):
        return (-1) ** is_negative(n, b) * math.inf if is_infinite(n, b) else rational(n, b)

    @given(bits.floats(n), bits.floats(n))
    @example(0, sign_bit(n))
    @example(nan(n), nan(n))
    def agree(b, c):
        if is_nan(n, b) or is_nan(n, c):
            assert compare(name, n, b, c) == int(name == "fne")
        else:
            assert compare(name, n, b, c) == int(RELATIONS[name](extended(b), extended(c)))

    agree()


def test_the_definitions_cover_every_operator():
    helpers = {"NAN", "canonical", "fround"}
    assert {*BINARY, *UNARY, *RELATIONS} | helpers == set(floats.__all__)


@both_widths
@pytest.mark.parametrize("name", ["fadd", "fsub", "fmul", "fdiv", "fmin", "fmax"])
@pytest.mark.parametrize("payload", [1, 0x12345])
def test_nan_results_are_the_canonical_positive_nan_whatever_went_in(name, n, payload):
    odd = infinity(n) | sign_bit(n) | payload
    one = nearest(n, Fraction(1))
    assert apply(name, n, odd, one) == apply(name, n, one, odd) == apply(name, n, odd, odd) == nan(n)


@both_widths
@pytest.mark.parametrize("payload", [1, 0x12345])
def test_sign_operators_keep_payload_and_quiet_bit(n, payload):
    signalling = infinity(n) | payload
    assert apply("fneg", n, signalling) == signalling | sign_bit(n)
    assert apply("fabs", n, signalling | sign_bit(n)) == signalling
    assert apply("fcopysign", n, signalling, sign_bit(n)) == signalling | sign_bit(n)


@both_widths
@pytest.mark.parametrize(
    ("q", "ceil", "floor", "trunc", "nearby"),
    [
        ("1/2", 1, 0, 0, 0), ("3/2", 2, 1, 1, 2), ("5/2", 3, 2, 2, 2), ("-1/2", "-0", -1, "-0", "-0"),
        ("-3/2", -1, -2, -1, -2), ("-0", "-0", "-0", "-0", "-0"), ("-1/8", "-0", -1, "-0", "-0"),
        ("8388607/2", 4194304, 4194303, 4194303, 4194304), ("-8388605/2", -4194302, -4194303, -4194302, -4194302),
    ],
)  # fmt: skip
def test_rounding_to_integers(n, q, ceil, floor, trunc, nearby):
    def b(text):
        return nearest(n, Fraction(text), text == "-0")

    assert apply("fceil", n, b(q)) == b(str(ceil))
    assert apply("ffloor", n, b(q)) == b(str(floor))
    assert apply("ftrunc", n, b(q)) == b(str(trunc))
    assert apply("fnearest", n, b(q)) == b(str(nearby))


@both_widths
def test_zeros_are_ordered_by_min_and_max_only(n):
    zero, minus = 0, sign_bit(n)
    assert apply("fmin", n, zero, minus) == apply("fmin", n, minus, zero) == minus
    assert apply("fmax", n, zero, minus) == apply("fmax", n, minus, zero) == zero
    assert compare("feq", n, zero, minus) == 1


@both_widths
def test_division_by_zero_is_a_signed_infinity(n):
    one, minus_one = nearest(n, Fraction(1)), nearest(n, Fraction(-1))
    assert apply("fdiv", n, one, sign_bit(n)) == apply("fdiv", n, minus_one, 0) == infinity(n) | sign_bit(n)
    assert apply("fdiv", n, minus_one, sign_bit(n)) == infinity(n)
    assert apply("fdiv", n, 0, 0) == nan(n)


def test_f32_is_not_computed_in_double_and_left_there():
    third = nearest(32, Fraction(1, 3))
    assert apply("fmul", 32, third, third) == nearest(32, exact.rational(32, third) ** 2)
    assert apply("fadd", 32, 0x4B80_0000, 0x3F80_0000) == 0x4B80_0000  # 2**24 + 1 ties to even
