"""Numeric rows as a whole: inside the inlinable subset, and equal to a real engine on raw bits."""

import ast
import inspect
import itertools
import random
import textwrap
from functools import partial

import pytest
import wasmtime

from engine.errors import Trap, TrapKind
from engine.features import EXECUTED
from engine.instructions import TABLE
from engine.types import F32, F64, V128
from engine.values import from_bits, to_bits
from tests.support import bits, exact

FAMILIES = ("unop", "binop", "testop", "relop", "cvtop")
ROWS = [row for row in TABLE if row.family in FAMILIES and row.feature in EXECUTED and row.type.pushes[0].bits <= 64]
CONSTS = [row for row in TABLE if row.family == "const"]
every_row = pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
TRAPS = {
    wasmtime.TrapCode.INTEGER_DIVISION_BY_ZERO: TrapKind.DIVIDE_BY_ZERO,
    wasmtime.TrapCode.INTEGER_OVERFLOW: TrapKind.INTEGER_OVERFLOW,
    wasmtime.TrapCode.BAD_CONVERSION_TO_INTEGER: TrapKind.BAD_CONVERSION,
}


# The inlinable subset (engine/numerics/__init__.py).


def definition(fn):
    node = ast.parse(textwrap.dedent(inspect.getsource(fn))).body[0]
    return node.body[1:] if isinstance(node.body[0], ast.Expr) else node.body


def outside_subset(fn, seen=()):
    """Return what makes a function unfit for inlining, or None."""
    *assignments, last = definition(fn)
    if not isinstance(last, ast.Return) or not all(isinstance(node, ast.Assign) for node in assignments):
        return f"{fn.__name__} is not assignments and one return"
    for node in ast.walk(ast.Module([*assignments, last], [])):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            callee = fn.__globals__.get(node.func.id)
            if inspect.isfunction(callee) and callee not in seen and (why := outside_subset(callee, (*seen, fn))):
                return why
        if isinstance(node, ast.Lambda | ast.ListComp | ast.GeneratorExp | ast.Await | ast.Yield):
            return f"{fn.__name__} holds a {type(node).__name__}"
    return None


@every_row
def test_hot_rows_are_inlinable_and_the_others_are_those_that_trap(row):
    assert isinstance(row.run, partial)
    assert (outside_subset(row.run.func) is None) == row.hot
    assert row.hot == (not row.traps)


def test_the_subset_checker_sees_a_loop_below_a_call():
    assert "trunc_u" in outside_subset(TABLE.by_name["i32.trunc_f32_u"].run.func)
    assert "inner" in outside_subset(_outer)


def _inner(i):
    while i > 9:
        i -= 9
    return i


def _outer(i):
    return _inner(i)


# A real engine.  Floats cross as integers of the same width, so that every bit is seen.


def carried(t):
    """The integer type that carries the bits of ``t``, and the instructions from it and to it."""
    if t is F32:
        return "i32", "f32.reinterpret_i32", "i32.reinterpret_f32"
    if t is F64:
        return "i64", "f64.reinterpret_i64", "i64.reinterpret_f64"
    return t.name, "", ""


def module_text(row):
    """A module that applies one row to its parameters."""
    params = [carried(t) for t in row.type.pops]
    result, _, back = carried(row.type.pushes[0])
    loads = " ".join(f"local.get {x} {into}" for x, (_, into, _) in enumerate(params))
    types = " ".join(name for name, _, _ in params)
    return f'(module (func (export "f") (param {types}) (result {result}) {loads} {row.keyword} {back}))'


@pytest.fixture(scope="module")
def wasmtime_engine():
    config = wasmtime.Config()
    config.cranelift_nan_canonicalization = True
    return wasmtime.Engine(config)


def signed(t, b):
    return b - 2**t.bits if b >> (t.bits - 1) else b


def evaluations(row):
    """Edge values, for two operands every pair of a thinned grid, and random bits from a fixed seed."""
    draw = random.Random(row.name)
    grids = [edges(t) for t in row.type.pops]
    if len(grids) == 2:
        grids = [sorted({*draw.sample(grid, 16), *extremes(t)}) for t, grid in zip(row.type.pops, grids, strict=True)]
    yield from itertools.product(*grids)
    for _ in range(20):
        yield tuple(draw.getrandbits(t.bits) for t in row.type.pops)


def edges(t):
    if t is V128:
        return [0, 1, 2**128 - 1, 0x7FA00001 << 96, int.from_bytes(range(16), "little")]
    return (bits.FLOATS if t.is_float else bits.INTEGERS)[t.bits]


def extremes(t):
    """Zero and the sign bit alone, all ones, and for floats the infinities too."""
    values = {0, 1 << (t.bits - 1), 2**t.bits - 1}
    return values | {exact.infinity(t.bits), exact.infinity(t.bits) | 1 << (t.bits - 1)} if t.is_float else values


def ours(row, operands):
    try:
        result = row.run(*map(from_bits, row.type.pops, operands))
    except Trap as trap:
        return trap.kind
    return to_bits(row.type.pushes[0], result)


@every_row
def test_row_agrees_with_wasmtime_on_raw_bits(row, wasmtime_engine):
    store = wasmtime.Store(wasmtime_engine)
    module = wasmtime.Module(wasmtime_engine, wasmtime.wat2wasm(module_text(row)))
    f = wasmtime.Instance(store, module, []).exports(store)["f"]

    def theirs(operands):
        try:
            return f(store, *map(signed, row.type.pops, operands)) % 2 ** row.type.pushes[0].bits
        except wasmtime.Trap as trap:
            return TRAPS[trap.trap_code]

    for operands in evaluations(row):
        assert ours(row, operands) == theirs(operands), [hex(b) for b in operands]


@pytest.mark.parametrize("row", CONSTS, ids=[row.name for row in CONSTS])
def test_const_rows_give_the_value_of_the_immediate(row):
    (t,) = row.type.pushes
    for b in edges(t):
        assert to_bits(t, row.run(b)) == b


def test_traps_of_a_row_are_those_it_raises():
    raised = {row.name: {kind for o in evaluations(row) if isinstance(kind := ours(row, o), TrapKind)} for row in ROWS}
    assert raised == {row.name: set(row.traps) for row in ROWS}
