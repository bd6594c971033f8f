"""Rows of control, variable, reference, table and memory instructions: what ``run`` does and what ``type`` allows."""

from __future__ import annotations

import struct
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import InvalidError, Trap, TrapKind
from engine.features import EXECUTED
from engine.instructions import TABLE, control, memory, reference, table, variable
from engine.instructions.immediates import MemArg
from engine.instructions.model import Effect, Region
from engine.module import Data, Elem, Global, Module, Passive, Table
from engine.runtime.globals import GlobalInst
from engine.runtime.memory import MemInst
from engine.runtime.segments import DataInst, ElemInst
from engine.runtime.table import TableInst
from engine.types import (
    EXTERNREF,
    F32,
    F64,
    FUNCREF,
    I32,
    I64,
    V128,
    Arrow,
    FuncType,
    GlobalType,
    Limits,
    MemType,
    RecType,
    SubType,
    TableType,
    exact,
    func_deftype,
    ref,
)
from engine.validation.context import Context
from engine.values import from_bits, to_bits

PAGE = 65536
MINE = (control, variable, reference, table, memory)

# name: (struct format of the bytes in memory, result or operand type)
ACCESSES: dict[str, tuple[str, Any]] = {
    "i32.load": ("<I", I32), "i64.load": ("<Q", I64), "f32.load": ("<I", F32), "f64.load": ("<Q", F64),
    "i32.load8_s": ("<b", I32), "i32.load8_u": ("<B", I32), "i32.load16_s": ("<h", I32), "i32.load16_u": ("<H", I32),
    "i64.load8_s": ("<b", I64), "i64.load8_u": ("<B", I64), "i64.load16_s": ("<h", I64), "i64.load16_u": ("<H", I64),
    "i64.load32_s": ("<i", I64), "i64.load32_u": ("<I", I64),
    "i32.store": ("<I", I32), "i64.store": ("<Q", I64), "f32.store": ("<I", F32), "f64.store": ("<Q", F64),
    "i32.store8": ("<B", I32), "i32.store16": ("<H", I32),
    "i64.store8": ("<B", I64), "i64.store16": ("<H", I64), "i64.store32": ("<I", I64),
}  # fmt: skip
LOADS = [name for name in ACCESSES if "load" in name]
STORES = [name for name in ACCESSES if "store" in name]


def frame(pages: int = 1, **module: Any) -> Any:
    return SimpleNamespace(module=SimpleNamespace(mems=[MemInst(0, MemType(Limits(pages)), 10)], **module), locals=[])


def run(name: str, *operands: Any) -> Any:
    row = TABLE.by_name[name]
    assert row.run is not None
    return row.run(*operands)


# -- loads and stores


def test_every_load_and_store_is_tested():
    assert set(ACCESSES) == {row.name for row in memory.ROWS if row.family in ("load", "store")}


@pytest.mark.parametrize("name", LOADS)
@given(data=st.binary(min_size=8, max_size=8), at=st.sampled_from([0, 1, 7, PAGE - 8]), offset=st.integers(0, 3))
def test_a_load_is_what_struct_reads(name, data, at, offset):
    fmt, t = ACCESSES[name]
    f = frame()
    f.module.mems[0].write(at, data)
    expected = struct.unpack_from(fmt, data, 0)[0] % 2**t.bits
    assert to_bits(t, run(name, f, MemArg(0, at - min(at, offset)), min(at, offset))) == expected


@pytest.mark.parametrize("name", STORES)
@given(bits=st.integers(0, 2**64 - 1), at=st.sampled_from([0, 1, 7, PAGE - 8]))
def test_a_store_is_what_struct_writes_and_nothing_else_changes(name, bits, at):
    fmt, t = ACCESSES[name]
    f = frame()
    f.module.mems[0].fill(0, 0xEE, PAGE)
    size = struct.calcsize(fmt)
    assert run(name, f, MemArg(0, 0), at, from_bits(t, bits % 2**t.bits)) is None
    expected = bytearray(b"\xee" * PAGE)
    struct.pack_into(fmt, expected, at, bits % 2 ** (8 * size))
    assert f.module.mems[0].read(0, PAGE) == expected


@pytest.mark.parametrize("name", ["f32.load", "f64.load"])
def test_loads_and_stores_keep_signalling_nans(name):
    t = ACCESSES[name][1]
    bits = 0xFFA0_0001 if t is F32 else 0xFFF4_0000_0000_0001
    f = frame()
    run(name.replace("load", "store"), f, MemArg(0, 0), 0, from_bits(t, bits))
    assert int.from_bytes(f.module.mems[0].read(0, t.bits // 8), "little") == bits
    assert to_bits(t, run(name, f, MemArg(0, 0), 0)) == bits


@pytest.mark.parametrize("name", ACCESSES)
@pytest.mark.parametrize("past", [1, 2**32, 2**64])
def test_an_access_beyond_the_end_traps_and_writes_nothing(name, past):
    fmt, t = ACCESSES[name]
    f = frame()
    last = PAGE - struct.calcsize(fmt)
    operands = (from_bits(t, 1),) if "store" in name else ()
    run(name, f, MemArg(0, 0), last, *operands)
    before = f.module.mems[0].read(0, PAGE)
    for m, i in ((MemArg(0, past), last), (MemArg(0, last), past), (MemArg(0, 0), last + past)):
        with pytest.raises(Trap) as caught:
            run(name, f, m, i, *operands)
        assert caught.value.kind is TrapKind.MEMORY_OUT_OF_BOUNDS
    assert f.module.mems[0].read(0, PAGE) == before


@pytest.mark.parametrize("name", ACCESSES)
def test_alignment_is_at_most_natural_and_the_offset_fits_the_address_type(name):
    fmt, t = ACCESSES[name]
    c = Context.of_module(Module(mems=(MemType(Limits(1)), MemType(Limits(1), I64))))
    row, exponent = TABLE.by_name[name], struct.calcsize(fmt).bit_length() - 1
    for mem, at in ((0, I32), (1, I64)):
        arrow = row.arrow(c, (MemArg(exponent, 2**at.bits - 1, mem),))
        assert arrow == (Arrow((at, t), ()) if "store" in name else Arrow((at,), (t,)))
        rejects(c, name, "offset out of range", MemArg(0, 2**at.bits, mem))
        rejects(c, name, "alignment must not be larger than natural", MemArg(exponent + 1, 0, mem))
        rejects(c, name, "alignment must not be larger than natural", MemArg(2**32 - 1, 0, mem))
    rejects(c, name, "unknown memory", MemArg(0, 0, 2))


# -- the rest of memory


def test_memory_size_and_grow_in_pages():
    f = frame()
    assert (run("memory.size", f, 0), run("memory.grow", f, 0, 2), run("memory.size", f, 0)) == (1, 1, 3)
    assert run("memory.grow", f, 0, 8) == 2**32 - 1
    f.module.mems[0] = MemInst(0, MemType(Limits(0), I64), 1)
    assert run("memory.grow", f, 0, 2) == 2**64 - 1


def test_memory_fill_takes_the_low_byte():
    f = frame()
    run("memory.fill", f, 0, 2, 0x1234, 3)
    assert f.module.mems[0].read(0, 6) == b"\0\0\x34\x34\x34\0"


def test_memory_init_reads_a_segment_until_it_is_dropped():
    f = frame(datas=[DataInst(0, b"a"), DataInst(1, b"hello")])
    run("memory.init", f, 1, 0, 10, 1, 3)
    assert f.module.mems[0].read(9, 5) == b"\0ell\0"
    run("data.drop", f, 1)
    run("memory.init", f, 1, 0, PAGE, 0, 0)
    with pytest.raises(Trap):
        run("memory.init", f, 1, 0, 0, 0, 1)


def test_memory_copy_goes_from_the_second_memory_to_the_first():
    f = frame()
    f.module.mems.append(MemInst(1, MemType(Limits(1)), 10))
    f.module.mems[1].write(0, b"abc")
    run("memory.copy", f, 0, 1, 5, 0, 3)
    assert f.module.mems[0].read(4, 5) == b"\0abc\0"


# -- variables, references, tables


def test_locals():
    f = SimpleNamespace(locals=[1, 2])
    assert (run("local.get", f, 1), run("local.tee", f, 0, 7), run("local.set", f, 1, 8), f.locals) == (
        2,
        7,
        None,
        [7, 8],
    )


def test_globals():
    f = frame(globals=[GlobalInst(0, GlobalType(True, I32), 5)])
    assert (run("global.get", f, 0), run("global.set", f, 0, 6), run("global.get", f, 0)) == (5, None, 6)


def test_references():
    f = frame(funcs=["f", "g"])
    assert (run("ref.null", FUNCREF.heap), run("ref.is_null", None), run("ref.is_null", "f")) == (None, 1, 0)
    assert run("ref.func", f, 1) == "g"


def test_tables():
    tables = [TableInst(x, TableType(FUNCREF, Limits(3)), 5, "a") for x in range(2)]
    f = frame(tables=tables, elems=[ElemInst(0, FUNCREF, ()), ElemInst(1, FUNCREF, ("x", "y", "z"))])
    run("table.set", f, 1, 2, "b")
    assert (run("table.get", f, 1, 2), run("table.size", f, 1)) == ("b", 3)
    run("table.copy", f, 0, 1, 0, 1, 2)
    assert tables[0].elems == ["a", "b", "a"]
    run("table.init", f, 1, 0, 1, 1, 2)
    assert tables[0].elems == ["a", "y", "z"]
    run("elem.drop", f, 1)
    with pytest.raises(Trap) as caught:
        run("table.init", f, 1, 0, 0, 0, 1)
    assert caught.value.kind is TrapKind.TABLE_OUT_OF_BOUNDS
    assert (run("table.grow", f, 0, "g", 2), run("table.grow", f, 0, "g", 1)) == (3, 2**32 - 1)
    run("table.fill", f, 0, 1, None, 2)
    assert tables[0].elems == ["a", None, None, "g", "g"]


# -- typing

NULLARY, BINARY = FuncType((), ()), FuncType((I32, F64), (I64,))


def context(**more: Any) -> Context:
    types = tuple(RecType((SubType(True, (), t),)) for t in (NULLARY, BINARY))
    c = Context.of_module(
        Module(
            types=types,
            funcs=(1, 0),
            tables=tuple(Table(TableType(t, Limits(0), at)) for t in (FUNCREF, EXTERNREF) for at in (I32, I64)),
            mems=(MemType(Limits(0)), MemType(Limits(0), I64)),
            globals=(Global(GlobalType(False, V128), ()), Global(GlobalType(True, F32), ())),
            elems=(Elem(FUNCREF, (), Passive()), Elem(EXTERNREF, (), Passive())),
            datas=(Data(b"", Passive()),),
        ),
        EXECUTED,
    ).function(BINARY, [(1, F32)])
    c.labels = [(I64,), (F32, F64)]
    c.refs = {1}
    return c


def rejects(c: Context, name: str, phrase: str, *imms: Any) -> None:
    with pytest.raises(InvalidError) as caught:
        TABLE.by_name[name].arrow(c, imms)
    assert caught.value.message.startswith(phrase)


ARROWS: list[tuple[str, tuple[Any, ...], Arrow]] = [
    ("unreachable", (), Arrow((), (), True)),
    ("nop", (), Arrow((), ())),
    ("block", (None,), Arrow((), ())),
    ("loop", (F32,), Arrow((), (F32,))),
    ("if", (1,), Arrow((I32, F64, I32), (I64,))),
    ("br", (0,), Arrow((F32, F64), (), True)),
    ("br_if", (0,), Arrow((F32, F64, I32), (F32, F64))),
    ("br_table", (((0,), 1),), Arrow((I64, I32), (), True)),
    ("return", (), Arrow((I64,), (), True)),
    ("call", (0,), Arrow((I32, F64), (I64,))),
    ("call_indirect", (1, 0), Arrow((I32, F64, I32), (I64,))),
    ("call_indirect", (0, 1), Arrow((I64,), ())),
    ("local.get", (2,), Arrow((), (F32,))),
    ("local.set", (1,), Arrow((F64,), ())),
    ("local.tee", (0,), Arrow((I32,), (I32,))),
    ("global.get", (0,), Arrow((), (V128,))),
    ("global.set", (1,), Arrow((F32,), ())),
    ("ref.null", (EXTERNREF.heap,), Arrow((), (EXTERNREF,))),
    ("ref.null", (1,), Arrow((), (ref(True, func_deftype(BINARY)),))),
    ("ref.func", (1,), Arrow((), (ref(False, exact(func_deftype(NULLARY))),))),
    ("table.get", (1,), Arrow((I64,), (FUNCREF,))),
    ("table.set", (2,), Arrow((I32, EXTERNREF), ())),
    ("table.size", (3,), Arrow((), (I64,))),
    ("table.grow", (3,), Arrow((EXTERNREF, I64), (I64,))),
    ("table.fill", (0,), Arrow((I32, FUNCREF, I32), ())),
    ("table.init", (1, 3), Arrow((I64, I32, I32), ())),
    ("table.copy", (0, 1), Arrow((I32, I64, I32), ())),
    ("table.copy", (1, 1), Arrow((I64, I64, I64), ())),
    ("elem.drop", (0,), Arrow((), ())),
    ("memory.size", (1,), Arrow((), (I64,))),
    ("memory.grow", (0,), Arrow((I32,), (I32,))),
    ("memory.fill", (1,), Arrow((I64, I32, I64), ())),
    ("memory.copy", (1, 0), Arrow((I64, I32, I32), ())),
    ("memory.init", (0, 1), Arrow((I64, I32, I32), ())),
    ("data.drop", (0,), Arrow((), ())),
]


@pytest.mark.parametrize(("name", "imms", "expected"), ARROWS)
def test_arrows(name, imms, expected):
    assert TABLE.by_name[name].arrow(context(), imms) == expected


@pytest.mark.parametrize(
    ("name", "imms", "phrase"),
    [
        ("br", (2,), "unknown label"),
        ("br_table", (((), 2),), "unknown label"),
        ("block", (2,), "unknown type"),
        ("call", (2,), "unknown function"),
        ("call_indirect", (2, 0), "unknown type"),
        ("call_indirect", (0, 4), "unknown table"),
        ("call_indirect", (0, 2), "type mismatch"),
        ("local.get", (3,), "unknown local"),
        ("global.get", (2,), "unknown global"),
        ("global.set", (0,), "immutable global"),
        ("ref.null", (2,), "unknown type"),
        ("ref.func", (2,), "unknown function"),
        ("ref.func", (0,), "undeclared function reference"),
        ("table.get", (4,), "unknown table"),
        ("table.init", (2, 0), "unknown elem segment"),
        ("table.init", (0, 4), "unknown table"),
        ("table.init", (0, 2), "type mismatch"),
        ("table.copy", (0, 2), "type mismatch"),
        ("elem.drop", (2,), "unknown elem segment"),
        ("memory.size", (2,), "unknown memory"),
        ("memory.init", (1, 0), "unknown data segment"),
        ("memory.copy", (0, 2), "unknown memory"),
        ("data.drop", (1,), "unknown data segment"),
    ],
)
def test_rejections(name, imms, phrase):
    rejects(context(), name, phrase, *imms)


# -- what rows tell about themselves


@pytest.mark.parametrize("row", [row for module in MINE for row in module.ROWS], ids=lambda row: row.name)
def test_a_row_tells_its_effect_truthfully(row):
    assert (row.effect is Effect.CONTROL) == (row.control is not None)
    if row.effect is Effect.PURE:
        assert not row.reads | row.writes
    if TrapKind.MEMORY_OUT_OF_BOUNDS in row.traps:
        assert Region.MEMORY in row.reads | row.writes
    if TrapKind.TABLE_OUT_OF_BOUNDS in row.traps:
        assert Region.TABLE in row.reads | row.writes
    if row.bulk is not None:
        pops = row.arrow(context(), tuple(0 for _ in row.imms)).pops
        assert pops[row.bulk.length] in (I32, I64)


def test_drops_write_segments_and_growth_reads_what_it_writes():
    for name, region in (("memory.grow", Region.MEMORY), ("table.grow", Region.TABLE)):
        assert region in TABLE.by_name[name].reads & TABLE.by_name[name].writes
    for name in ("elem.drop", "data.drop"):
        assert TABLE.by_name[name].writes == {Region.SEGMENT}
