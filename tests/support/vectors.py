"""Vector rows on a real engine: operands at edges, many evaluations in one call."""

from __future__ import annotations

import itertools
import random
from typing import TYPE_CHECKING, Any

import wasmtime

from engine.instructions.immediates import print_operands
from engine.numerics.lanes import I8X16
from engine.types import V128
from tests.support import bits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.instructions.model import Instr
    from engine.numerics.lanes import Shape

CELL = 64  # bytes of one evaluation: up to three operands, then the result
NARROW = {
    8: [0, 1, 2, 7, 8, 15, 16, 17, 0x7E, 0x7F, 0x80, 0x81, 0xFE, 0xFF],
    16: [0, 1, 2, 15, 16, 0x7F, 0x80, 0xFF, 0x100, 0x7FFE, 0x7FFF, 0x8000, 0x8001, 0xFF7F, 0xFF80, 0xFFFE, 0xFFFF],
}


def immediates(row: Instr) -> list[tuple[Any, ...]]:
    """Every lane; a few constants; shuffles that take from both vectors."""
    if not row.imms:
        return [()]
    (kind,) = row.imms
    if kind.name == "laneidx":
        return [(l,) for l in range(row.lanes[0].lanes)]
    if kind.name == "v128":
        return [(0,), (2**128 - 1,), (int.from_bytes(range(16), "little"),)]
    return [(bytes(range(16)),), (bytes(range(31, -1, -2)),), (bytes([0, 16, 31, 15] * 4),)]


def arrow(row: Instr, imms: tuple[Any, ...]) -> Any:
    return row.arrow(None, imms)


def edges(shape: Shape) -> list[int]:
    return NARROW[shape.bits] if shape.bits < 32 else (bits.FLOATS if shape.is_float else bits.INTEGERS)[shape.bits]


def lane_tuples(row: Instr, count: int, draw: random.Random) -> Iterator[tuple[int, ...]]:
    """For one lane, the values of all vector operands: each edge alone, pairs of edges, anything."""
    values = edges(row.lanes[0])
    pairs = list(itertools.product(values, repeat=min(count, 2)))
    chosen = draw.sample(pairs, 480) if len(pairs) > 480 else pairs
    for head in [*itertools.product(draw.sample(values, 4), repeat=count), *chosen]:
        yield (*head, *(draw.choice(values) for _ in range(count - len(head))))
    for _ in range(40):
        yield tuple(draw.getrandbits(row.lanes[0].bits) for _ in range(count))


def evaluations(row: Instr, pops: tuple[Any, ...]) -> Iterator[tuple[int, ...]]:
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


def module_text(row: Instr, imms: tuple[Any, ...]) -> str:
    """A module whose ``f(n)`` applies a row to the operands of n cells and puts the result behind them."""
    pops, pushes, _ = arrow(row, imms)
    loads = " ".join(f"({t}.load offset={16 * k} (local.get $p))" for k, t in enumerate(pops))
    operator = f"({row.keyword} {print_operands(row.imms, imms)} {loads})"
    return f"""(module (memory (export "m") 64) (func (export "f") (param $n i32) (local $p i32)
      (loop $l ({pushes[0]}.store offset=48 (local.get $p) {operator})
        (local.set $p (i32.add (local.get $p) (i32.const {CELL})))
        (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))"""


def on_wasmtime(engine: Any, row: Instr, imms: tuple[Any, ...], operands: list[tuple[int, ...]]) -> list[int]:
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
