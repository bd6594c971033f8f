"""Shapes keep every bit, and what is done on whole vectors equals the same function lane by lane."""

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.numerics import floats, ints
from engine.numerics.conversions import extend_s, extend_u, trunc_sat_s
from engine.numerics.floats import fabs, fneg
from engine.numerics.lanes import (
    F32X4,
    F64X2,
    I8X16,
    I16X8,
    I32X4,
    I64X2,
    SHAPES,
    vall_true,
    vbinop,
    vbitmask,
    vcvtop,
    vdot,
    vextadd_pairwise,
    vextend,
    vextmul,
    vextract_lane,
    vextract_lane_s,
    vnarrow,
    vrelop,
    vreplace_lane,
    vshiftop,
    vshuffle,
    vsplat,
    vswizzle,
    vunop,
)
from engine.numerics.whole import WHOLE
from tests.support import bits

every_shape = pytest.mark.parametrize("sh", SHAPES, ids=str)
integer_shapes = pytest.mark.parametrize("sh", [sh for sh in SHAPES if not sh.is_float], ids=str)
float_shapes = pytest.mark.parametrize("sh", [F32X4, F64X2], ids=str)
edge_bytes = st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]) | st.integers(0, 255)
vectors = st.lists(edge_bytes, min_size=16, max_size=16).map(bytes)
A = bytes(range(0x7C, 0x8C))
B = bytes(16 * i % 255 for i in range(16))


@every_shape
def test_a_shape_divides_128_bits(sh):
    assert sh.bits * sh.lanes == 128
    assert sh.name == f"{'f' if sh.is_float else 'i'}{sh.bits}x{sh.lanes}"
    assert sh.ones == sum(1 << sh.bits * l for l in range(sh.lanes))
    assert sh.tops == sum(1 << sh.bits * l + sh.bits - 1 for l in range(sh.lanes))


@every_shape
@given(v=vectors)
def test_packing_what_was_unpacked_gives_the_same_bytes(sh, v):
    lanes = sh.unpack(v)
    assert len(lanes) == sh.lanes
    assert sh.pack(*lanes) == v


@given(st.lists(bits.floats(32), min_size=4, max_size=4))
@example([0x7FA00001, 0xFFA00001, 0x7F800000, 0xFF800000])
def test_signalling_nans_stay_signalling(lanes):
    v = I32X4.pack(*lanes)
    assert F32X4.pack(*F32X4.unpack(v)) == v


@integer_shapes
def test_lane_0_is_first_and_little_endian(sh):
    assert sh.unpack(A)[0] == int.from_bytes(A[: sh.bits // 8], "little")


# Whole vectors.

UNARY = {ints.ineg, ints.iabs, ints.ipopcnt, fabs, fneg, floats.fsqrt}
SHIFTS = {ints.ishl, ints.ishr_u, ints.ishr_s}
RELATIONS = {
    getattr(ints, f"i{op}") for op in ("eq", "ne", "lt_u", "lt_s", "gt_u", "gt_s", "le_u", "le_s", "ge_u", "ge_s")
}
FLOATS = {fabs, fneg, floats.fadd, floats.fsub, floats.fmul, floats.fdiv, floats.fsqrt}
ONLY = {ints.ipopcnt: [I8X16], ints.iq15mulr_sat_s: [I16X8]}
PAIRS = [
    (f, sh) for f in WHOLE for sh in SHAPES
    if sh.is_float == (f in FLOATS) and sh in ONLY.get(f, SHAPES)
]  # fmt: skip


@pytest.mark.parametrize(("f", "sh"), PAIRS, ids=lambda part: getattr(part, "__name__", str(part)))
def test_whole_vectors_equal_lanes(f, sh):
    lanes = bits.floats(sh.bits) if sh.is_float else edge_lanes(sh.bits)
    vectors = st.lists(lanes, min_size=sh.lanes, max_size=sh.lanes).map(
        lambda found: sum(i << sh.bits * l for l, i in enumerate(found)).to_bytes(16, "little")
    )

    @given(vectors, vectors, st.integers(0, 130) | st.integers(0, 2**32 - 1))
    def equal(v, w, j):
        if f in UNARY:
            assert WHOLE[f](sh, v) == vunop(sh, f, v)
        elif f in SHIFTS:
            assert WHOLE[f](sh, v, j) == vshiftop(sh, f, v, j)
        else:
            lift = vrelop if f in RELATIONS else vbinop
            assert WHOLE[f](sh, v, w) == lift(sh, f, v, w)

    equal()


def edge_lanes(n):
    edges = {0, 1, 2 ** (n - 1) - 1, 2 ** (n - 1), 2 ** (n - 1) + 1, 2**n - 2, 2**n - 1}
    return st.sampled_from(sorted(edges)) | st.integers(0, 2**n - 1)


# Lifts, by hand.


def test_relations_give_all_ones():
    assert vrelop(I16X8, ints.ilt_s, I16X8.pack(0x8000, *range(7)), I16X8.pack(*range(8))) == I16X8.pack(
        0xFFFF, *[0xFFFF] * 7
    )
    assert vrelop(I64X2, ints.ieq, A, A[:8] + B[8:]) == I64X2.pack(2**64 - 1, 0)


def test_conversions_take_the_half_they_name_and_fill_with_zeros():
    v = I8X16.pack(*range(0x78, 0x88))
    assert I16X8.unpack(vcvtop(I8X16, I16X8, 0, extend_s, v)) == tuple(range(0x78, 0x80))
    assert I16X8.unpack(vcvtop(I8X16, I16X8, 8, extend_s, v)) == tuple(range(0xFF80, 0xFF88))
    assert I16X8.unpack(vcvtop(I8X16, I16X8, 8, extend_u, v)) == tuple(range(0x80, 0x88))
    for start, extend in itertools.product((0, 8), (extend_s, extend_u)):
        assert vextend(I8X16, I16X8, start, extend, v) == vcvtop(I8X16, I16X8, start, extend, v)
    assert I32X4.unpack(vcvtop(F64X2, I32X4, 0, trunc_sat_s, F64X2.pack(-1.5, 3e9))) == (2**32 - 1, 2**31 - 1, 0, 0)


def test_narrow_saturates_signed_lanes():
    v, w = I16X8.pack(0, 127, 128, 255, 256, 0x7FFF, 0x8000, 0xFFFF), I16X8.pack(*[0xFF80] * 8)
    assert vnarrow(I16X8, I8X16, ints.sat_s, v, w) == bytes([0, 127, 127, 127, 127, 127, 128, 255, *[128] * 8])
    assert vnarrow(I16X8, I8X16, ints.sat_u, v, w) == bytes([0, 127, 128, 255, 255, 255, 0, 0, *[0] * 8])


def test_products_and_sums_of_neighbours():
    v = I16X8.pack(0x8000, 0x8000, 1, 2, 3, 4, 0xFFFF, 1)
    assert I32X4.unpack(vextadd_pairwise(I16X8, I32X4, extend_s, v)) == (2**32 - 2**16, 3, 7, 0)
    assert I32X4.unpack(vextadd_pairwise(I16X8, I32X4, extend_u, v)) == (2**16, 3, 7, 2**16)
    assert I32X4.unpack(vextmul(I16X8, I32X4, 0, extend_s, v, v)) == (2**30, 2**30, 1, 4)
    assert I32X4.unpack(vextmul(I16X8, I32X4, 4, extend_u, v, v)) == (9, 16, 0xFFFE0001, 1)
    assert I32X4.unpack(vdot(I16X8, I32X4, v, v)) == (2**31, 5, 25, 2)


@every_shape
def test_single_lanes(sh):
    c = 1.5 if sh.is_float else 7
    assert list(sh.unpack(vsplat(sh, c))) == [c] * sh.lanes
    for l in range(sh.lanes):
        v = vreplace_lane(sh, l, bytes(16), c)
        assert [vextract_lane(sh, k, v) for k in range(sh.lanes)] == [c if k == l else 0 for k in range(sh.lanes)]


def test_integers_are_wrapped_into_lanes_and_extended_out_of_them():
    assert vsplat(I8X16, 0x1FF) == b"\xff" * 16
    assert vreplace_lane(I16X8, 1, bytes(16), 0x18000) == b"\0\0\0\x80" + bytes(12)
    assert vextract_lane(I8X16, 0, b"\x80" + bytes(15)) == 0x80
    assert vextract_lane_s(I8X16, 0, b"\x80" + bytes(15)) == 0xFFFFFF80


def test_swizzle_and_shuffle():
    assert vswizzle(A, bytes([15, 16, 0, 255, *range(1, 13)])) == bytes([A[15], 0, A[0], 0, *A[1:13]])
    assert vshuffle(bytes([0, 15, 16, 31, *range(12)]), A, B) == bytes([A[0], A[15], B[0], B[15], *A[:12]])


@integer_shapes
@given(v=vectors)
def test_bitmask_and_all_true_look_at_each_lane(sh, v):
    lanes = sh.unpack(v)
    assert vbitmask(sh, v) == int("".join(str(i >> sh.bits - 1) for i in reversed(lanes)), 2)
    assert vall_true(sh, v) == int(0 not in lanes)
