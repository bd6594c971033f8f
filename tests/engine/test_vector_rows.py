"""Vector rows as a whole: equal to a real engine on raw bits, lanes at their edges."""

import itertools
import random
from types import SimpleNamespace

import pytest
import wasmtime

from engine.errors import InvalidError, Trap, TrapKind
from engine.execution.frame import Frame
from engine.features import SIMD
from engine.instructions import TABLE
from engine.instructions.immediates import MemArg, print_operands
from engine.instructions.model import Effect
from engine.numerics.lanes import I8X16
from engine.runtime.memory import MemInst
from engine.types import V128, Limits, MemType
from engine.values import from_bits, to_bits
from tests.support import bits

ROWS = [row for row in TABLE if row.feature is SIMD]
PURE = [row for row in ROWS if row.effect is Effect.PURE]
ACCESSES = [row for row in ROWS if row.effect is Effect.STATE]
PAGE = 1 << 16
CELL = 64  # bytes of one evaluation: up to three operands, then the result
NARROW = {
    8: [0, 1, 2, 7, 8, 15, 16, 17, 0x7E, 0x7F, 0x80, 0x81, 0xFE, 0xFF],
    16: [0, 1, 2, 15, 16, 0x7F, 0x80, 0xFF, 0x100, 0x7FFE, 0x7FFF, 0x8000, 0x8001, 0xFF7F, 0xFF80, 0xFFFE, 0xFFFF],
}


def test_there_are_236_rows():
    assert len(ROWS) == 236
    assert len(ACCESSES) == 22


def immediates(row):
    """Every lane; a few constants; shuffles that take from both vectors."""
    if not row.imms:
        return [()]
    (kind,) = row.imms
    if kind.name == "laneidx":
        return [(l,) for l in range(row.lanes[0].lanes)]
    if kind.name == "v128":
        return [(0,), (2**128 - 1,), (int.from_bytes(range(16), "little"),)]
    return [(bytes(range(16)),), (bytes(range(31, -1, -2)),), (bytes([0, 16, 31, 15] * 4),)]


def arrow(row, imms):
    return row.arrow(None, imms)


def edges(shape):
    return NARROW[shape.bits] if shape.bits < 32 else (bits.FLOATS if shape.is_float else bits.INTEGERS)[shape.bits]


def lane_tuples(row, count, draw):
    """For one lane, the values of all vector operands: each edge alone, pairs of edges, anything."""
    values = edges(row.lanes[0])
    pairs = list(itertools.product(values, repeat=min(count, 2)))
    chosen = draw.sample(pairs, 480) if len(pairs) > 480 else pairs
    for head in [*itertools.product(draw.sample(values, 4), repeat=count), *chosen]:
        yield (*head, *(draw.choice(values) for _ in range(count - len(head))))
    for _ in range(40):
        yield tuple(draw.getrandbits(row.lanes[0].bits) for _ in range(count))


def evaluations(row, pops):
    """Bits of operands; the lanes of a vector are different values, each in each place by and by."""
    draw = random.Random(row.name)
    count = sum(t is V128 for t in pops)
    scalars = [(t, bits.FLOATS[t.bits] if t.is_float else bits.INTEGERS[t.bits]) for t in pops if t is not V128]
    shape = row.lanes[0] if row.lanes else I8X16
    lanes = list(lane_tuples(row, count, draw)) if count else [()] * 40
    size = shape.lanes
    for at in range(0, len(lanes), size if len(lanes) > 200 else 1):
        turn = [lanes[(at + k) % len(lanes)] for k in range(size)]
        vectors = [sum(t[i] << shape.bits * k for k, t in enumerate(turn)) for i in range(count)]
        others = [draw.choice(values) for _, values in scalars]
        yield tuple(vectors.pop(0) if t is V128 else others.pop(0) for t in pops)


def module_text(row, imms):
    """A module whose ``f(n)`` applies a row to the operands of n cells and puts the result behind them."""
    pops, pushes, _ = arrow(row, imms)
    loads = " ".join(f"({t}.load offset={16 * k} (local.get $p))" for k, t in enumerate(pops))
    operator = f"({row.keyword} {print_operands(row.imms, imms)} {loads})"
    return f"""(module (memory (export "m") 64) (func (export "f") (param $n i32) (local $p i32)
      (loop $l ({pushes[0]}.store offset=48 (local.get $p) {operator})
        (local.set $p (i32.add (local.get $p) (i32.const {CELL})))
        (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))"""


@pytest.fixture(scope="module")
def wasmtime_engine():
    config = wasmtime.Config()
    config.cranelift_nan_canonicalization = True
    return wasmtime.Engine(config)


def on_wasmtime(engine, row, imms, operands):
    """Return the bits of the results for a list of operand tuples."""
    result = arrow(row, imms).pushes[0]
    store = wasmtime.Store(engine)
    module = wasmtime.Module(engine, wasmtime.wat2wasm(module_text(row, imms)))
    exports = wasmtime.Instance(store, module, []).exports(store)
    cells = bytearray()
    for values in operands:
        cell = b"".join(v.to_bytes(16, "little") for v in values)
        cells += cell.ljust(CELL, b"\0")
    exports["m"].write(store, cells, 0)
    exports["f"](store, len(operands))
    size = result.bits // 8
    out = exports["m"].read(store, 0, len(cells))
    return [int.from_bytes(out[at + 48 : at + 48 + size], "little") for at in range(0, len(cells), CELL)]


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
