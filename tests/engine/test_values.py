import struct
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import EngineBug
from engine.types import EXTERNREF, F32, F64, FUNC, FUNCREF, I8, I32, I64, V128, ref
from engine.values import (
    default,
    f32_from_bits,
    f32_round,
    f32_to_bits,
    f64_from_bits,
    f64_to_bits,
    from_bits,
    to_bits,
)
from tests.support import bits, exact


@given(bits.floats(64))
def test_f64_keeps_every_bit(b):
    assert f64_to_bits(f64_from_bits(b)) == b


@given(bits.floats(32))
def test_f32_keeps_every_bit(b):
    assert f32_to_bits(f32_from_bits(b)) == b


@pytest.mark.parametrize("b", [0x7F80_0001, 0xFF80_0001, 0x7FA0_0000, 0xFFC0_0000, 0x7FFF_FFFF, 0xFF81_2345])
def test_f32_nan_is_widened_by_bits(b):
    wide = f64_to_bits(f32_from_bits(b))
    assert wide >> 63 == b >> 31
    assert wide >> 52 & 0x7FF == 0x7FF
    assert wide & (1 << 52) - 1 == (b & 0x7F_FFFF) << 29


@given(bits.floats(32))
def test_f32_number_is_the_exact_value(b):
    if not exact.is_nan(32, b) and not exact.is_infinite(32, b):
        assert Fraction(f32_from_bits(b)) == exact.rational(32, b)


@given(bits.floats(64))
def test_f32_round_is_to_nearest_even(b):
    if not exact.is_nan(64, b) and not exact.is_infinite(64, b):
        expected = exact.nearest(32, exact.rational(64, b), exact.is_negative(64, b))
        assert f32_to_bits(f32_round(f64_from_bits(b))) == expected


@pytest.mark.parametrize(
    ("x", "b"),
    [(3.4028235677973366e38, 0x7F80_0000), (3.4028235677973362e38, 0x7F7F_FFFF), (1e300, 0x7F80_0000),
     (-1e300, 0xFF80_0000), (2.0**-150, 0), (-(2.0**-150), 0x8000_0000), (2.0**-150 * 1.5, 1), (2.0**-149, 1)],
)  # fmt: skip
def test_f32_round_at_both_ends(x, b):
    assert f32_to_bits(f32_round(x)) == b


@given(st.integers(0, 2**128 - 1))
def test_v128_is_sixteen_bytes_in_memory_order(i):
    v = from_bits(V128, i)
    assert v == b"".join(struct.pack("<I", i >> 32 * lane & 0xFFFF_FFFF) for lane in range(4))
    assert to_bits(V128, v) == i


@pytest.mark.parametrize(("t", "n"), [(I32, 32), (I64, 64), (F32, 32), (F64, 64)])
@given(data=st.data())
def test_bits_round_trip_by_type(t, n, data):
    b = data.draw(bits.integers(n) | bits.floats(n))
    assert to_bits(t, from_bits(t, b)) == b


@pytest.mark.parametrize(
    ("t", "value"), [(I32, 0), (I64, 0), (F32, 0.0), (F64, 0.0), (V128, bytes(16)), (FUNCREF, None), (EXTERNREF, None)]
)
def test_default_is_zero_or_null(t, value):
    assert default(t) == value
    assert type(default(t)) is type(value)


def test_what_has_no_default_or_no_bits_is_our_fault():
    for question in (lambda: default(ref(False, FUNC)), lambda: default(I8), lambda: from_bits(FUNCREF, 0)):
        with pytest.raises(EngineBug):
            question()
    with pytest.raises(EngineBug):
        to_bits(FUNCREF, None)
