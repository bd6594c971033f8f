"""Integer operators against definitions by bit strings, Fractions and ranges."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import Trap, TrapKind
from engine.numerics import ints
from tests.support import bits


def two(n, v):
    """Two's complement of any integer, as a bit string of ``n`` characters."""
    return "".join(str((v // 2**k) % 2) for k in reversed(range(n)))


def number(text):
    return int(text, 2)


def value(n, i):
    """The signed value: the top bit weighs -2**(n-1)."""
    text = two(n, i)
    return -int(text[0]) * 2 ** (n - 1) + int("0" + text[1:], 2)


def bitwise(rule, left, right):
    return number("".join("1" if rule(a, b) else "0" for a, b in zip(left, right, strict=True)))


def nearest(i, low, high):
    """The integer from low to high that is nearest to i."""
    return sorted([low, i, high])[1]


def nearest_signed(n, i):
    return nearest(i, -(2 ** (n - 1)), 2 ** (n - 1) - 1) % 2**n


def quotient(a, b):
    return math.trunc(Fraction(a, b))


BINARY = {
    "iadd": lambda n, i, j: (i + j) % 2**n,
    "isub": lambda n, i, j: (i - j) % 2**n,
    "imul": lambda n, i, j: (i * j) % 2**n,
    "iand": lambda n, i, j: bitwise(lambda a, b: a == b == "1", two(n, i), two(n, j)),
    "ior": lambda n, i, j: bitwise(lambda a, b: not a == b == "0", two(n, i), two(n, j)),
    "ixor": lambda n, i, j: bitwise(lambda a, b: a != b, two(n, i), two(n, j)),
    "ishl": lambda n, i, j: number((two(n, i) + "0" * (j % n))[-n:]),
    "ishr_u": lambda n, i, j: number(("0" * (j % n) + two(n, i))[:n]),
    "ishr_s": lambda n, i, j: number((two(n, i)[0] * (j % n) + two(n, i))[:n]),
    "irotl": lambda n, i, j: number(two(n, i)[j % n :] + two(n, i)[: j % n]),
    "irotr": lambda n, i, j: number((two(n, i) * 2)[n - j % n : 2 * n - j % n]),
    "ieq": lambda n, i, j: int(two(n, i) == two(n, j)),
    "ine": lambda n, i, j: int(two(n, i) != two(n, j)),
    "ilt_u": lambda n, i, j: int(i < j),
    "igt_u": lambda n, i, j: int(i > j),
    "ile_u": lambda n, i, j: int(i <= j),
    "ige_u": lambda n, i, j: int(i >= j),
    "ilt_s": lambda n, i, j: int(value(n, i) < value(n, j)),
    "igt_s": lambda n, i, j: int(value(n, i) > value(n, j)),
    "ile_s": lambda n, i, j: int(value(n, i) <= value(n, j)),
    "ige_s": lambda n, i, j: int(value(n, i) >= value(n, j)),
    "iandnot": lambda n, i, j: bitwise(lambda a, b: (a, b) == ("1", "0"), two(n, i), two(n, j)),
    "imin_u": lambda n, i, j: sorted([i, j])[0],
    "imax_u": lambda n, i, j: sorted([i, j])[1],
    "imin_s": lambda n, i, j: sorted([i, j], key=lambda k: value(n, k))[0],
    "imax_s": lambda n, i, j: sorted([i, j], key=lambda k: value(n, k))[1],
    "iadd_sat_u": lambda n, i, j: nearest(i + j, 0, 2**n - 1),
    "isub_sat_u": lambda n, i, j: nearest(i - j, 0, 2**n - 1),
    "iadd_sat_s": lambda n, i, j: nearest_signed(n, value(n, i) + value(n, j)),
    "isub_sat_s": lambda n, i, j: nearest_signed(n, value(n, i) - value(n, j)),
    "iavgr_u": lambda n, i, j: math.ceil(Fraction(i + j, 2)),
    "iq15mulr_sat_s": lambda n, i, j: nearest_signed(
        n, math.floor(Fraction(value(n, i) * value(n, j), 2**15) + Fraction(1, 2))
    ),
}  # fmt: skip
UNARY = {
    "iclz": lambda n, i: len(two(n, i)) - len(two(n, i).lstrip("0")),
    "ictz": lambda n, i: len(two(n, i)) - len(two(n, i).rstrip("0")),
    "ipopcnt": lambda n, i: two(n, i).count("1"),
    "ieqz": lambda n, i: int("1" not in two(n, i)),
    "iextend8_s": lambda n, i: number(two(n, i)[-8] * (n - 8) + two(n, i)[-8:]),
    "iextend16_s": lambda n, i: number(two(n, i)[-16] * (n - 16) + two(n, i)[-16:]),
    "iextend32_s": lambda n, i: number(two(n, i)[-32] * (n - 32) + two(n, i)[-32:]),
    "signed": value,
    "inot": lambda n, i: number("".join("10"[int(b)] for b in two(n, i))),
    "ineg": lambda n, i: -value(n, i) % 2**n,
    "iabs": lambda n, i: abs(value(n, i)) % 2**n,
}
TERNARY = {
    "ibitselect": lambda n, i, j, k: number(
        "".join(a if c == "1" else b for a, b, c in zip(two(n, i), two(n, j), two(n, k), strict=True))
    ),
}
SATURATION = {
    "sat_u": lambda n, i: nearest(i, 0, 2**n - 1),
    "sat_s": nearest_signed,
}
DIVISION = {
    "idiv_u": lambda n, i, j: quotient(i, j),
    "irem_u": lambda n, i, j: i - j * quotient(i, j),
    "idiv_s": lambda n, i, j: quotient(value(n, i), value(n, j)) % 2**n,
    "irem_s": lambda n, i, j: (value(n, i) - value(n, j) * quotient(value(n, i), value(n, j))) % 2**n,
}


@pytest.mark.parametrize("n", [32, 64])
@pytest.mark.parametrize("name", BINARY)
def test_binary_operators_agree_with_their_definition_on_bits(name, n):
    operator, expected = getattr(ints, name), BINARY[name]

    @given(bits.integers(n), bits.integers(n))
    def agree(i, j):
        assert operator(n, i, j) == expected(n, i, j)

    agree()


@pytest.mark.parametrize("n", [32, 64])
@pytest.mark.parametrize("name", UNARY)
def test_unary_operators_agree_with_their_definition_on_bits(name, n):
    operator, expected = getattr(ints, name), UNARY[name]

    @given(bits.integers(n))
    def agree(i):
        assert operator(n, i) == expected(n, i)

    agree()


@pytest.mark.parametrize("n", [8, 16])
@pytest.mark.parametrize("name", [*BINARY, *(name for name in UNARY if not name.startswith("iextend"))])
def test_operators_on_narrow_lanes_agree_with_their_definition(name, n):
    operator, expected = getattr(ints, name), (BINARY | UNARY)[name]
    edges = {0, 1, 2, n - 1, n, 2 ** (n - 1) - 1, 2 ** (n - 1), 2 ** (n - 1) + 1, 2**n - 2, 2**n - 1}
    lanes = st.sampled_from(sorted(edges)) | st.integers(0, 2**n - 1)

    @given(lanes, lanes)
    def agree(i, j):
        operands = (i, j) if name in BINARY else (i,)
        assert operator(n, *operands) == expected(n, *operands)

    agree()


@pytest.mark.parametrize("n", [32, 128])
@pytest.mark.parametrize("name", TERNARY)
@given(st.data())
def test_ternary_operators_agree_with_their_definition_on_bits(name, n, data):
    operands = [data.draw(st.integers(0, 2**n - 1)) for _ in range(3)]
    assert getattr(ints, name)(n, *operands) == TERNARY[name](n, *operands)


@pytest.mark.parametrize("n", [8, 16, 32])
@pytest.mark.parametrize("name", SATURATION)
@given(i=st.integers(-(2**40), 2**40) | st.integers(-70000, 70000))
def test_saturation_gives_the_nearest_integer_of_the_range(name, n, i):
    assert getattr(ints, name)(n, i) == SATURATION[name](n, i)


@pytest.mark.parametrize("n", [32, 64])
@pytest.mark.parametrize("name", DIVISION)
def test_division_agrees_with_exact_quotients(name, n):
    operator, expected = getattr(ints, name), DIVISION[name]

    @given(bits.integers(n), bits.integers(n) | st.integers(1, 100))
    def agree(i, j):
        if j == 0 or (name == "idiv_s" and (i, j) == (2 ** (n - 1), 2**n - 1)):
            with pytest.raises(Trap):
                operator(n, i, j)
        else:
            assert operator(n, i, j) == expected(n, i, j)

    agree()


def test_the_definitions_cover_every_operator():
    helpers = {"mask", "sign"}
    assert {*BINARY, *UNARY, *TERNARY, *DIVISION, *SATURATION} | helpers == set(ints.__all__)


@pytest.mark.parametrize("n", [32, 64])
@pytest.mark.parametrize("name", DIVISION)
def test_division_by_zero_traps(name, n):
    for i in (0, 1, 2 ** (n - 1)):
        with pytest.raises(Trap) as e:
            getattr(ints, name)(n, i, 0)
        assert e.value.kind is TrapKind.DIVIDE_BY_ZERO


@pytest.mark.parametrize("n", [32, 64])
def test_the_one_signed_quotient_that_does_not_fit_traps(n):
    with pytest.raises(Trap) as e:
        ints.idiv_s(n, 2 ** (n - 1), 2**n - 1)
    assert e.value.kind is TrapKind.INTEGER_OVERFLOW


@pytest.mark.parametrize("n", [32, 64])
def test_the_remainder_beside_it_is_zero(n):
    assert ints.irem_s(n, 2 ** (n - 1), 2**n - 1) == 0


@pytest.mark.parametrize(("i", "j", "q", "r"), [(7, 2, 3, 1), (-7, 2, -3, -1), (7, -2, -3, 1), (-7, -2, 3, -1)])
def test_signed_division_truncates_toward_zero_and_the_remainder_has_the_sign_of_the_dividend(i, j, q, r):
    assert ints.idiv_s(32, i % 2**32, j % 2**32) == q % 2**32
    assert ints.irem_s(32, i % 2**32, j % 2**32) == r % 2**32


@pytest.mark.parametrize("n", [32, 64])
def test_shift_counts_are_modulo_the_width(n):
    for k in (n, 2 * n, 2**n - n):
        assert ints.ishl(n, 5, k) == ints.ishr_u(n, 5, k) == ints.irotl(n, 5, k) == ints.irotr(n, 5, k) == 5
        assert ints.ishr_s(n, 2**n - 5, k) == 2**n - 5
