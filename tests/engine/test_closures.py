"""Generated closures: current, few enough, and equal to the rows' own functions bit for bit."""

from __future__ import annotations

import ast
from itertools import product
from pathlib import Path
from types import FunctionType, SimpleNamespace

import pytest

from engine import Trap, TrapKind
from engine.errors import EngineBug
from engine.execution import _closures, closures, generate
from engine.execution.closures import CLOSURE, CONDITION, CONSTANT, REGISTER, VALUE
from engine.execution.frame import Frame
from engine.execution.inline import NotInlinable, expand
from engine.instructions import TABLE
from engine.instructions.immediates import MemArg
from engine.instructions.model import Effect
from engine.runtime.memory import MemInst
from engine.types import F32, F64, I32, I64, V128, Limits, MemType
from engine.values import from_bits, to_bits

HOT = [row for row in TABLE if row.hot]
PURE = [row for row in HOT if row.effect is Effect.PURE and row.family != "select"]
BITS = {
    I32: [0, 1, 2, 7, 31, 32, 33, 0x7F, 0x80, 0xFFFF, 0x8000, 0x7FFFFFFF, 0x80000000, 0x80000001, 0xFFFFFFFF],
    I64: [0, 1, 63, 64, 65, 0x80, 0xFFFF, 0x80000000, 0xFFFFFFFF, 0x7FFFFFBFFFFFFFFF, 0x20000000000001, 2**63 - 1,
          2**63, 2**63 + 1, 2**64 - 1],
    F32: [0, 0x80000000, 1, 0x80000001, 0x3F800000, 0xBF800000, 0x3F000000, 0x40200000, 0xC0200000, 0x7F7FFFFF,
          0x4F000000, 0xCF000000, 0x5F000000, 0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC00000, 0x7FA00000],
    F64: [0, 1 << 63, 1, 0x3FF0 << 48, 0xBFF0 << 48, 0x3FE0 << 48, 0x4004 << 48, 0xC004 << 48, 0x7FEFFFFFFFFFFFFF,
          0x41E0 << 48, 0x43E0 << 48, 0xC3E0 << 48, 0x47EFFFFFEFFFFFFF, 0x7FF0 << 48, 0xFFF0 << 48, 0x7FF8 << 48,
          0xFFF8 << 48, 0x7FF4 << 48],
    V128: [0, 2**128 - 1, int.from_bytes(range(16), "little")],
}  # fmt: skip


def made(make, d, values, kinds, x=None):
    """Return what the closure of ``make`` gives for operands of these kinds, and the registers after it."""
    evaluated = []

    def closure(i):
        def f(R):
            evaluated.append(i)
            return values[i]

        return f

    registers = [None, *values]
    operands = [i + 1 if k == REGISTER else v if k == CONSTANT else closure(i)
                for i, (k, v) in enumerate(zip(kinds, values, strict=True))]  # fmt: skip
    a, b, c = [*operands, None, None][:3]
    if len(values) == 3:
        x = c if x is None else (x, c)
    out = make(d, a, b, 99, x)(registers)
    assert evaluated == [i for i, k in enumerate(kinds) if k == CLOSURE]
    return registers[0] if d == 0 else out


def index(kinds):
    out = 0
    for k in kinds:
        out = out * 3 + k
    return out


def test_the_checked_in_module_is_what_the_rows_give():
    path = Path(_closures.__file__)
    assert ast.dump(ast.parse(path.read_text(encoding="utf-8"))) == ast.dump(ast.parse(generate.generate())), (
        "run python -m engine.execution.generate"
    )


def test_there_are_at_most_4000_factories():
    assert 500 < sum(isinstance(v, FunctionType) for v in vars(_closures).values()) < 4000


def test_every_hot_row_is_inlined_and_no_other():
    assert set(_closures.INLINED) == {row.name for row in HOT}


@pytest.mark.parametrize("row", PURE, ids=lambda row: row.name)
def test_inlined_equals_shaped_equals_run(row):
    pops, (result,), _ = row.type
    n = len(pops)
    inlined, shaped = closures.inlined(row), closures.shaped(n, bool(row.traps))
    for bits in product(*(BITS[t] for t in pops)):
        values = [from_bits(t, v) for t, v in zip(pops, bits, strict=True)]
        expected = to_bits(result, row.run(*values))
        for kinds in product((REGISTER, CONSTANT, CLOSURE), repeat=n):
            assert to_bits(result, made(shaped[index(kinds)], VALUE, values, kinds, row.run)) == expected
            make = inlined[index(kinds)]
            if set(kinds) == {CONSTANT}:
                assert make is None
                continue
            assert to_bits(result, made(make, VALUE, values, kinds)) == expected, (values, kinds)
            assert to_bits(result, made(make, 0, values, kinds)) == expected
            if result is I32:
                assert bool(made(make, CONDITION, values, kinds)) is bool(expected)


def test_select_evaluates_all_operands_in_order():
    row = TABLE.by_name["select"]
    for kinds, i in product(product((REGISTER, CONSTANT, CLOSURE), repeat=3), (0, 1, 2**31)):
        values = [5, 7, i]
        shaped = closures.shaped(3, False)[index(kinds)]
        assert made(shaped, VALUE, values, kinds, row.run) == row.run(*values)
        make = closures.inlined(row)[index(kinds)]
        if make is not None:
            assert made(make, VALUE, values, kinds) == made(make, 0, values, kinds) == row.run(*values)


def frame_with(data):
    mem = MemInst(0, MemType(Limits(1, 1)), 1)
    mem.data[:] = data.ljust(65536, b"\xa5")
    return Frame(SimpleNamespace(mems=[mem]))


PATTERNS = [bytes(range(0x7C, 0x8C)), b"\xff" * 16, bytes(16), bytes.fromhex("0000a07f0000a0ff000000000000f47f")]
EDGES = [0, 1, 3, 8, 65527, 65528, 65529, 65531, 65532, 65533, 65535, 65536, 2**32 - 1]


@pytest.mark.parametrize("row", [row for row in HOT if row.family == "load"], ids=lambda row: row.name)
def test_inlined_load_equals_run(row):
    t = row.run.args[0]
    for data, ea, offset in product(PATTERNS, EDGES, (0, 1, 2**32 - 1, 2**63)):
        frame = frame_with(data[:8] + bytes(65520) + data[8:])
        try:
            expected = to_bits(t, row.run(frame, MemArg(0, offset), ea))
        except Trap as trap:
            expected = trap.kind
        x = (frame.module.mems[0].data, offset)
        for kind, d in product((REGISTER, CONSTANT, CLOSURE), (VALUE, 0)):
            try:
                found = to_bits(t, made(closures.inlined(row)[kind], d, [ea], (kind,), x))
            except Trap as trap:
                found = trap.kind
                assert trap.where.offset == 99
            assert found == expected, (ea, offset, kind)


@pytest.mark.parametrize("row", [row for row in HOT if row.family == "store"], ids=lambda row: row.name)
def test_inlined_store_equals_run(row):
    t = row.run.args[0]
    for bits, ea in product(BITS[t], EDGES):
        v = from_bits(t, bits)
        expected, memory = None, frame_with(b"")
        try:
            row.run(memory, MemArg(0, 2), ea, v)
        except Trap as trap:
            expected = trap.kind
            assert memory.module.mems[0].data == frame_with(b"").module.mems[0].data
        for kinds in product((REGISTER, CONSTANT, CLOSURE), repeat=2):
            frame, found = frame_with(b""), None
            try:
                made(closures.inlined(row)[index(kinds)], VALUE, [ea, v], kinds, (frame.module.mems[0].data, 2))
            except Trap as trap:
                found = trap.kind
            assert found is expected
            assert frame.module.mems[0].data == memory.module.mems[0].data


def test_a_value_that_does_not_fit_is_our_fault_and_no_trap():
    make = closures.inlined(TABLE.by_name["i32.store"])[index((REGISTER, REGISTER))]
    with pytest.raises(EngineBug):
        make(VALUE, 0, 1, 0, (bytearray(8), 0))([0, 2**32])


def test_a_shaped_trap_is_placed_and_the_first_place_stays():
    row = TABLE.by_name["i32.div_u"]
    inner = closures.shaped(2, True)[index((CONSTANT, CONSTANT))](VALUE, 1, 0, 7, row.run)
    outer = closures.shaped(2, True)[index((CLOSURE, CONSTANT))](VALUE, inner, 0, 8, row.run)
    with pytest.raises(Trap) as caught:
        outer([])
    assert caught.value.kind is TrapKind.DIVIDE_BY_ZERO
    assert caught.value.where.offset == 7


@pytest.mark.parametrize("n", range(7))
def test_registers_of_a_call(n):
    code = SimpleNamespace(zeros=[0, None])
    for kinds in [*product((REGISTER, CONSTANT, CLOSURE), repeat=n)][::7]:
        operands = [k + i if k == REGISTER else 10 + i if k == CONSTANT else (lambda R, i=i: R[i] + 20)
                    for i, k in enumerate(kinds)]  # fmt: skip
        expected = [100 + i if k == REGISTER else 10 + i if k == CONSTANT else 120 + i for i, k in enumerate(kinds)]
        R = [100 + i for i in range(8)]
        assert closures.registers(code, index(kinds), operands)(R) == [*expected, 0, None]


# -- the inliner


def doubled(n, i):
    return i + i


def halves(n, i):
    j = doubled(n, i & 3)
    return j if n == 64 else j >> 1


def loops(n, i):
    for _ in range(n):
        i += 1
    return i


def branches(n, i, j):
    return i if j else doubled(n, i + 1)


def test_an_argument_used_twice_is_bound_to_a_local():
    expansion = expand(doubled, ["n", "x"])
    assert ast.unparse(expansion.result) == "x + x"
    expansion = expand(halves, ["n", "x"])
    assert [ast.unparse(ast.fix_missing_locations(s)) for s in expansion.body] == ["i = x & 3", "j = i + i"]


def test_a_condition_on_a_width_is_decided():
    from functools import partial

    assert ast.unparse(expand(partial(halves, 64), ["x"]).result).startswith("i + i")


@pytest.mark.parametrize("fn", [loops, branches, len])
def test_what_is_outside_of_the_subset_is_refused(fn):
    names = ["n", "i", "j"][: 3 if fn is branches else 2]
    with pytest.raises(NotInlinable):
        expand(fn, names)
