import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.binary.reader import Reader
from engine.instructions.leb import s, u


def minimal_length(v: int, is_signed: bool) -> int:
    """The smallest k such that 7k bits hold ``v``."""
    return next(
        k for k in range(1, 100) if (-(2 ** (7 * k - 1)) <= v < 2 ** (7 * k - 1) if is_signed else v < 2 ** (7 * k))
    )


def value(data: bytes, is_signed: bool) -> int:
    """Digits in base 128, lowest first; the top bit of the last one is the sign."""
    digits = sum((b % 128) * 128**k for k, b in enumerate(data))
    return digits - 128 ** len(data) if is_signed and data[-1] & 64 else digits


@pytest.mark.parametrize(
    ("v", "data"),
    [(0, "00"), (1, "01"), (127, "7f"), (128, "8001"), (624485, "e58e26"), (2**32 - 1, "ffffffff0f"),
     (2**64 - 1, "ff" * 9 + "01")],
)  # fmt: skip
def test_unsigned_examples(v, data):
    assert u(v).hex() == data


@pytest.mark.parametrize(
    ("v", "data"),
    [(0, "00"), (63, "3f"), (64, "c000"), (-1, "7f"), (-64, "40"), (-65, "bf7f"), (-123456, "c0bb78"),
     (2**31 - 1, "ffffffff07"), (-(2**31), "8080808078"), (-(2**63), "80" * 9 + "7f")],
)  # fmt: skip
def test_signed_examples(v, data):
    assert s(v).hex() == data


@given(st.integers(0, 2**64 - 1) | st.integers(0, 300))
def test_unsigned_form_is_the_shortest_and_means_the_value(v):
    data = u(v)
    assert len(data) == minimal_length(v, False)
    assert [b >= 128 for b in data] == [True] * (len(data) - 1) + [False]
    assert value(data, False) == v


@given(st.integers(-(2**63), 2**63 - 1) | st.integers(-300, 300))
def test_signed_form_is_the_shortest_and_means_the_value(v):
    data = s(v)
    assert len(data) == minimal_length(v, True)
    assert [b >= 128 for b in data] == [True] * (len(data) - 1) + [False]
    assert value(data, True) == v


@given(st.integers(0, 2**32 - 1), st.integers(-(2**31), 2**31 - 1), st.integers(-(2**63), 2**63 - 1))
def test_the_reader_reads_what_was_written(x, i, j):
    r = Reader(u(x) + s(i) + s(j) + u(j % 2**64))
    assert (r.u32(), r.s32(), r.s64(), r.u64()) == (x, i, j, j % 2**64)
    assert r.pos == r.end


def test_negative_numbers_have_no_unsigned_form():
    with pytest.raises(ValueError, match="-1"):
        u(-1)
