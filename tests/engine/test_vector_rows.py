"""Vector rows as a whole: equal to a real engine on raw bits, lanes at their edges."""

import itertools
from types import SimpleNamespace

import pytest
import wasmtime

from engine.errors import InvalidError, Trap, TrapKind
from engine.execution.frame import Frame
from engine.features import SIMD
from engine.instructions import TABLE
from engine.instructions.immediates import MemArg, print_operands
from engine.instructions.model import Effect
from engine.runtime.memory import MemInst
from engine.types import Limits, MemType
from engine.values import from_bits, to_bits
from tests.support.vectors import arrow, evaluations, immediates, on_wasmtime

ROWS = [row for row in TABLE if row.feature is SIMD]
PURE = [row for row in ROWS if row.effect is Effect.PURE]
ACCESSES = [row for row in ROWS if row.effect is Effect.STATE]
PAGE = 1 << 16


def test_there_are_236_rows():
    assert len(ROWS) == 236
    assert len(ACCESSES) == 22


@pytest.fixture(scope="module")
def wasmtime_engine():
    config = wasmtime.Config()
    config.cranelift_nan_canonicalization = True
    return wasmtime.Engine(config)


@pytest.mark.parametrize("row", PURE, ids=[row.name for row in PURE])
def test_row_agrees_with_wasmtime_on_raw_bits(row, wasmtime_engine):
    for imms in immediates(row):
        pops, (result,), _ = arrow(row, imms)
        operands = list(evaluations(row, pops))
        theirs = on_wasmtime(wasmtime_engine, row, imms, operands)
        for values, expected in zip(operands, theirs, strict=True):
            found = to_bits(result, row.run(*imms, *map(from_bits, pops, values)))
            assert hex(found) == hex(expected), [imms, *map(hex, values)]


# Memory.

DATA = bytes((37 * i + 11) % 256 for i in range(PAGE))
VECTOR = int.from_bytes(bytes(range(0xF0, 0x100)), "little")


def frame():
    mem = MemInst(0, MemType(Limits(1, 1)), 1)
    mem.data[:] = DATA
    return Frame(SimpleNamespace(mems=[mem]))


MEMORY = SimpleNamespace(mem=lambda x: MemType(Limits(1, 1)))  # as much of a context as accesses ask


def width(row):
    """The bytes it touches: the greatest alignment that its type rule admits."""
    lane = (0,) * (len(row.imms) - 1)
    for align in range(4):
        try:
            row.arrow(MEMORY, (MemArg(align + 1, 0), *lane))
        except InvalidError:
            return 1 << align
    return 16


def access_text(row, m, lane):
    pops, pushes, _ = row.arrow(MEMORY, (m, *lane))
    vector = f"(v128.const i64x2 {VECTOR & 2**64 - 1} {VECTOR >> 64})"
    operands = f"(local.get 0) {vector if len(pops) == 2 else ''}"
    access = f"({row.keyword} {print_operands(row.imms, (m, *lane))} {operands})"
    if pushes:
        access = f"(global.set $g {access})"
    return f"""(module (memory (export "m") 1) (global $g (mut v128) (v128.const i32x4 0 0 0 0))
      (func (export "f") (param i32) {access})
      (func (export "g") (v128.store (i32.const 0) (global.get $g))))"""


@pytest.mark.parametrize("row", ACCESSES, ids=[row.name for row in ACCESSES])
def test_access_agrees_with_wasmtime_up_to_the_last_byte(row, wasmtime_engine):
    n = width(row)
    lanes = [(l,) for l in range(16 // n)] if len(row.imms) == 2 else [()]
    for lane, offset in itertools.product(lanes, (0, 3, 2**32 - 1)):
        m = MemArg(0, offset)
        store = wasmtime.Store(wasmtime_engine)
        module = wasmtime.Module(wasmtime_engine, wasmtime.wat2wasm(access_text(row, m, lane)))
        exports = wasmtime.Instance(store, module, []).exports(store)
        pops, pushes, _ = row.arrow(MEMORY, (m, *lane))
        for ea in (
            0,
            1,
            7,
            PAGE - n - 4,
            PAGE - n - 3,
            PAGE - n - 2,
            PAGE - n,
            PAGE - n + 1,
            PAGE - 1,
            PAGE,
            2**32 - 1,
        ):
            exports["m"].write(store, DATA, 0)
            here = frame()
            try:
                result = row.run(here, m, *lane, ea, *([VECTOR.to_bytes(16, "little")] if len(pops) == 2 else []))
                ours = "returned", result
            except Trap as trap:
                assert trap.kind is TrapKind.MEMORY_OUT_OF_BOUNDS
                ours = "trapped", None
            try:
                exports["f"](store, ea)
                theirs = "returned"
            except wasmtime.Trap:
                theirs = "trapped"
            assert ours[0] == theirs, (m, lane, ea)
            assert bytes(here.module.mems[0].data) == bytes(exports["m"].read(store, 0, PAGE))
            if pushes and theirs == "returned":
                exports["g"](store)
                assert ours[1] == bytes(exports["m"].read(store, 0, 16)), (m, lane, ea)


def test_a_lane_must_be_one_of_the_vector():
    for row in ROWS:
        names = [kind.name for kind in row.imms]
        if "laneidx" not in names:
            continue
        lanes = 16 // width(row) if "memarg" in names else row.lanes[0].lanes
        head = (MemArg(0, 0),) if "memarg" in names else ()
        row.arrow(MEMORY, (*head, lanes - 1))
        with pytest.raises(InvalidError, match="invalid lane index"):
            row.arrow(MEMORY, (*head, lanes))
    with pytest.raises(InvalidError, match="invalid lane index"):
        TABLE.by_name["i8x16.shuffle"].arrow(None, (bytes([0] * 15 + [32]),))
