"""Relaxed rows: the deterministic choice, the set of what is allowed, and operands on which no choice matters."""

import itertools
import random

import pytest
import wasmtime
from hypothesis import example, given

from engine.features import RELAXED_SIMD
from engine.instructions import TABLE
from engine.instructions.relaxed import allowed
from engine.numerics.lanes import F32X4, F64X2, I8X16, I16X8, I32X4, I64X2
from engine.numerics.relaxed import fma
from engine.types import F32, F64, V128
from engine.values import from_bits, to_bits
from generators.profile import DISPUTED
from tests.support import bits
from tests.support.exact import infinity, is_infinite, is_nan, is_negative, nan, nearest, rational, sign_bit
from tests.support.vectors import evaluations, on_wasmtime

ROWS = [row for row in TABLE if row.feature is RELAXED_SIMD]
every_row = pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
LANES = {F32X4: I32X4, F64X2: I64X2}


def run(row, values):
    return row.run(*[v.to_bytes(16, "little") for v in values])


def lanes(row, v):
    shape = LANES.get(row.lanes[1], row.lanes[1])
    return shape.unpack(v)


def engine(deterministic):
    config = wasmtime.Config()
    config.cranelift_nan_canonicalization = True
    config.wasm_relaxed_simd = True
    config.wasm_relaxed_simd_deterministic = deterministic
    return wasmtime.Engine(config)


def test_there_are_20_rows_and_each_has_choices_and_operands_on_which_they_agree():
    assert len(ROWS) == 20
    for row in ROWS:
        many = {"i16x8.relaxed_laneselect": 2, "i32x4.relaxed_dot_i8x16_i7x16_add_s": 3}
        assert len(row.choices) == (3 if row.name.endswith(("min", "max")) else many.get(row.name, 1))
        assert len(row.agree) == len(row.type.pops)


@every_row
def test_row_agrees_with_wasmtime_where_its_deterministic_option_is_the_profile(row):
    operands = list(evaluations(row, row.type.pops))
    theirs = on_wasmtime(engine(True), row, (), operands)
    differ = [i for i, values in enumerate(operands) if int.from_bytes(run(row, values), "little") != theirs[i]]
    if row.name not in DISPUTED:
        assert not differ
    elif "dot" in row.name:  # it wraps what the specification saturates
        assert all(b"\x80\x80" in operands[i][0].to_bytes(16, "little") for i in differ)
    else:  # it rounds once
        assert differ
        for values, bits_ in zip(operands, theirs, strict=True):
            (fused,) = row.choices
            assert fused(*[v.to_bytes(16, "little") for v in values]) == bits_.to_bytes(16, "little")


@every_row
def test_what_the_machine_gives_is_allowed(row):
    """But for NaNs of any bits."""
    operands = list(evaluations(row, row.type.pops))
    theirs = on_wasmtime(engine(False), row, (), operands)
    for values, bits_ in zip(operands, theirs, strict=True):
        sets = allowed(row, *[v.to_bytes(16, "little") for v in values])
        n = row.lanes[1].bits
        for lane, found in zip(sets, lanes(row, bits_.to_bytes(16, "little")), strict=True):
            if row.nan and is_nan(n, found):
                assert any(is_nan(n, b) for b in lane)
            else:
                assert found in lane, [hex(v) for v in values]


@every_row
def test_the_result_of_the_profile_is_allowed_and_so_is_each_choice(row):
    for values in itertools.islice(evaluations(row, row.type.pops), 40):
        operands = [v.to_bytes(16, "little") for v in values]
        sets = allowed(row, *operands)
        for function in (row.run, *row.choices):
            assert all(lane in s for lane, s in zip(lanes(row, function(*operands)), sets, strict=True))


def test_choices_differ_somewhere():
    for row in ROWS:
        found = itertools.chain.from_iterable(
            allowed(row, *[v.to_bytes(16, "little") for v in values]) for values in evaluations(row, row.type.pops)
        )
        assert max(map(len, found)) > 1, row


@every_row
def test_all_choices_agree_behind_the_guards(row):
    draw = random.Random(row.name)
    cases = [
        *evaluations(row, row.type.pops),
        *(tuple(draw.getrandbits(128) for _ in row.type.pops) for _ in range(50)),
    ]
    for values in cases:
        operands = []
        for v, guard in zip(values, row.agree, strict=True):
            stack = [from_bits(V128, v)]
            for name, *imms in guard:
                r = TABLE.by_name[name]
                n = len(r.type.pops)
                stack[len(stack) - n :] = [r.run(*imms, *stack[len(stack) - n :])]
            operands += stack
        assert {function(*operands) for function in row.choices} == {row.run(*operands)}, list(map(hex, values))


def test_choices_by_hand():
    swizzle = TABLE.by_name["i8x16.relaxed_swizzle"]
    v, s = bytes(range(0x40, 0x50)), bytes([0, 15, 16, 31, 127, 128, 255, *[0] * 9])
    assert swizzle.run(v, s)[:7] == bytes([0x40, 0x4F, 0, 0, 0, 0, 0])
    assert [set(lane) for lane in allowed(swizzle, v, s)[:7]] == [
        {0x40}, {0x4F}, {0, 0x40}, {0, 0x4F}, {0, 0x4F}, {0}, {0},
    ]  # fmt: skip
    q15 = TABLE.by_name["i16x8.relaxed_q15mulr_s"]
    assert allowed(q15, b"\0\x80" * 8, b"\0\x80" * 8)[0] == {0x7FFF, 0x8000}
    dot = TABLE.by_name["i16x8.relaxed_dot_i8x16_i7x16_s"]
    assert allowed(dot, b"\x80" * 16, b"\x80" * 16)[0] == {0x7FFF, 0x8000}
    four = TABLE.by_name["i32x4.relaxed_dot_i8x16_i7x16_add_s"]  # what the suite says of -128 * -127 * 4 + 1
    sums = {4 * 128 * 127 + 1, -2 * 32768 + 1 + 2**32, -4 * 128 * 129 + 1 + 2**32}
    assert allowed(four, b"\x80" * 16, b"\x81" * 16, b"\1\0\0\0" * 4)[0] == sums
    sums = {4 * 16384, 2 * 32767, -2 * 32768 + 2**32}
    assert allowed(four, b"\x80" * 16, b"\x80" * 16, bytes(16))[3] == sums
    least = TABLE.by_name["f32x4.relaxed_min"]
    zeros = I32X4.pack(0, 0x80000000, 0x7FC00000, 0x3F800000), I32X4.pack(0x80000000, 0, 0x3F800000, 0x7FC00000)
    assert allowed(least, *zeros) == (
        {0x80000000, 0}, {0x80000000, 0}, {0x7FC00000, 0x3F800000}, {0x3F800000, 0x7FC00000},
    )  # fmt: skip
    trunc = TABLE.by_name["i32x4.relaxed_trunc_f64x2_u_zero"]
    assert allowed(trunc, F64X2.pack(-1.0, 7.5)) == ({0, 2**32 - 1}, {7}, {0}, {0})
    select = TABLE.by_name["i16x8.relaxed_laneselect"]
    assert allowed(select, b"\xff" * 16, bytes(16), I16X8.pack(0x8001, *[0] * 7))[0] == {0x8001, 0xFFFF, 0xFF00}
    halves = I16X8.pack(0x1234, *[0] * 7), I16X8.pack(0x5678, *[0] * 7), I16X8.pack(0x0080, *[0] * 7)
    assert allowed(select, *halves)[0] == {0x5678, 0x5634}
    assert I8X16 in TABLE.by_name["i8x16.relaxed_laneselect"].lanes


@pytest.mark.parametrize("n", [32, 64])
def test_fma_rounds_the_exact_result_once(n):
    t = {32: F32, 64: F64}[n]

    def expected(b, c, d):
        if any(is_nan(n, x) for x in (b, c, d)):
            return nan(n)
        if any(is_infinite(n, x) for x in (b, c, d)):
            infinite = is_infinite(n, b) or is_infinite(n, c)
            if infinite and 0 in (b & ~sign_bit(n), c & ~sign_bit(n)):
                return nan(n)
            product = infinity(n) | (sign_bit(n) if is_negative(n, b) != is_negative(n, c) else 0)
            if infinite:
                return nan(n) if is_infinite(n, d) and d != product else product
            return d
        negative = is_negative(n, b) != is_negative(n, c)
        exact = rational(n, b) * rational(n, c) + rational(n, d)
        product = rational(n, b) * rational(n, c)
        if exact == 0:
            return sign_bit(n) if product == 0 and negative and is_negative(n, d) else 0
        return nearest(n, exact) | (sign_bit(n) if exact < 0 else 0)

    @given(bits.floats(n), bits.floats(n), bits.floats(n))
    @example(nan(n), 0, 0)
    @example(1, 1, 1 | sign_bit(n))
    @example(sign_bit(n), 1, sign_bit(n))
    @example(infinity(n) - 1, infinity(n) - 1, 1)
    def agree(b, c, d):
        found = to_bits(t, fma(n, *(from_bits(t, x) for x in (b, c, d))))
        assert hex(found) == hex(expected(b, c, d))

    agree()
