"""Encoding is canonical, and decoding gives back what was encoded."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from engine import decode, encode, validate
from engine.features import EXECUTED
from engine.instructions import TABLE
from engine.instructions.immediates import CastBranch, Catch
from engine.module import (
    Active,
    Code,
    Custom,
    Data,
    Declare,
    Elem,
    Export,
    FuncImport,
    Global,
    Import,
    In,
    Module,
    Passive,
    Table,
)
from engine.types import (
    EXTERNREF,
    FUNC,
    FUNCREF,
    I8,
    I32,
    I64,
    ArrayType,
    FieldType,
    FuncType,
    GlobalType,
    Limits,
    MemType,
    RecType,
    StructType,
    SubType,
    TableType,
    TagType,
    ref,
)
from generators.module import generate
from generators.profile import PRESETS
from generators.source import Source
from tests.support.binary import HEADER, module, section


def unplaced(x: Any) -> Any:
    """Return the same without the offsets of instructions."""
    if isinstance(x, In):
        return In(x.row, x.imms)
    if isinstance(x, tuple) and type(x) is tuple:
        return tuple(map(unplaced, x))
    if isinstance(x, Module | Code | Table | Global | Elem | Data | Active):
        return dataclasses.replace(x, **{f.name: unplaced(getattr(x, f.name)) for f in dataclasses.fields(x) if f.init})
    return x


def survives(m: Module) -> None:
    """Check the round trip, and that the bytes are a fixed point."""
    data = encode(m)
    again = decode(data, EXECUTED)
    assert unplaced(again) == unplaced(m)
    assert encode(again) == data


def ins(name: str, *imms: Any) -> In:
    return In(TABLE.by_name[name], imms)


END = ins("end")
ZERO = (ins("i32.const", 0), END)
FUNCTIONS = ref(False, FUNC)
FUNCTION = RecType((SubType(True, (), FuncType((), ())),))


@pytest.mark.parametrize("preset", sorted(PRESETS))
@pytest.mark.parametrize("seed", range(5))
def test_generated_modules_survive(preset, seed):
    m = generate(Source.fresh("encode", seed), PRESETS[preset]).module
    validate(m)
    survives(m)


def test_every_kind_of_definition_survives():
    struct = SubType(False, (), StructType((FieldType(I8, True), FieldType(I64, False))))
    survives(
        Module(
            types=(
                FUNCTION,
                RecType((struct, SubType(True, (1,), ArrayType(FieldType(ref(True, 1), True))))),
                RecType(()),
                RecType((SubType(False, (), FuncType((I32,), (I64, FUNCREF))),)),
            ),
            imports=(
                Import("a", "", FuncImport(0)),
                Import("", "é\0", TableType(ref(False, 0), Limits(0, 2**64 - 1), I64)),
                Import("a", "m", MemType(Limits(1, 2), I64, True)),
                Import("a", "g", GlobalType(True, ref(True, 1))),
                Import("a", "t", TagType(0)),
            ),
            funcs=(0,),
            tables=(
                Table(TableType(FUNCREF, Limits(0))),
                Table(TableType(FUNCTIONS, Limits(1)), (ins("ref.func", 0), END)),
            ),
            mems=(MemType(Limits(2**48)),),
            tags=(TagType(0),),
            globals=(Global(GlobalType(False, I32), (*ZERO[:1], *ZERO[:1], ins("i32.add"), END)),),
            exports=(Export("x", "func", 0), Export("y", "tag", 1)),
            start=0,
            datas=(Data(b"\0\xff", Active(0, ZERO)), Data(b"", Active(7, ZERO)), Data(b"x", Passive())),
            data_count=3,
            codes=(Code(((3, I32), (0, EXTERNREF), (2**32 - 4, I32)), (ins("memory.init", 2, 0), END)),),
        )
    )


@pytest.mark.parametrize(
    ("elem", "flag"),
    [
        (Elem(FUNCTIONS, ((ins("ref.func", 3), END),), Active(0, ZERO)), 0),
        (Elem(FUNCTIONS, (), Passive()), 1),
        (Elem(FUNCTIONS, ((ins("ref.func", 300), END),), Active(1, ZERO)), 2),
        (Elem(FUNCTIONS, ((ins("ref.func", 3), END),), Declare()), 3),
        (Elem(FUNCREF, ((ins("ref.func", 3), END),), Active(0, ZERO)), 4),
        (Elem(FUNCREF, ((ins("ref.null", FUNC), END),), Passive()), 5),
        (Elem(EXTERNREF, (), Active(0, ZERO)), 6),
        (Elem(FUNCREF, (), Active(1, ZERO)), 6),
        (Elem(FUNCTIONS, ((ins("global.get", 3), END),), Active(0, ZERO)), 6),
        (Elem(EXTERNREF, (), Declare()), 7),
    ],
)
def test_an_element_segment_takes_its_shortest_form(elem, flag):
    m = Module(elems=(elem,))
    survives(m)
    assert decode(encode(m)).elems[0].flag == flag


def test_longer_forms_are_shortened():
    long = module(section(5, b"\x81\0\0\x81\0"), section(11, b"\1\2\x80\0\x41\x80\0\x0b\x80\0"))
    short = module(section(5, b"\1\0\1"), section(11, b"\1\0\x41\0\x0b\0"))
    assert encode(decode(long)) == short


def test_custom_sections_keep_their_place():
    custom = section(0, b"\1x", b"abc")
    data = module(custom, section(5, b"\1\0\1"), custom, section(7, b"\0"), custom)
    assert encode(decode(data)) == data  # the empty section is there for the last custom one
    m = Module(customs=(Custom("a", b"", 0), Custom("b", b"\1", 8)))
    assert encode(m) == HEADER + section(0, b"\1a") + section(0, b"\1b\1")


def test_the_data_count_is_written_where_a_body_needs_it():
    needs = Code((), (*ZERO[:1], *ZERO[:1], *ZERO[:1], ins("memory.init", 0, 0), END))
    base = {"types": (FUNCTION,), "funcs": (0,), "mems": (MemType(Limits(1)),), "datas": (Data(b"", Passive()),)}
    assert decode(encode(Module(**base, codes=(needs,)))).data_count == 1
    assert decode(encode(Module(**base, codes=(Code((), (END,)),)))).data_count is None


@pytest.mark.parametrize("row", list(TABLE), ids=lambda row: row.name)
def test_every_row_survives(row):
    samples = {
        "br_table": ((1, 300), 2), "blocktype": 5, "heaptype": FUNC, "valtypes": (I32, FUNCREF),
        "cast": CastBranch(2, FUNCREF, ref(False, 1)), "catches": (Catch(300, False, 1), Catch(None, True, 2)),
        "i32": 2**31, "i64": 2**63, "f32": 0x7FA00001, "f64": 0x7FF4000000000001,
        "v128": 2**127 + 1, "lanes": bytes(range(16)), "zero": 0,
    }  # fmt: skip
    imms = []
    for kind in row.imms:
        imms.append(kind.read(_Sample()) if kind.name == "memarg" else samples.get(kind.name, 129))
    body = [In(row, tuple(imms)), END]
    control = "" if row.control is None else row.control.name
    if control in ("BLOCK", "LOOP", "IF", "TRY_TABLE", "TRY"):
        body.append(END)
    if control in ("ELSE", "END"):
        body = [ins("if", None), ins("else"), END, END]
    if control in ("CATCH", "DELEGATE"):
        body = [ins("try", None), *body, *[END] * (control == "CATCH")]
    survives(Module(types=(FUNCTION,), funcs=(0,), codes=(Code((), tuple(body)),), data_count=0))


class _Sample:
    """A reader whose every integer is small."""

    pos = 0

    def u32(self) -> int:
        return 2

    def u64(self) -> int:
        return 2**40

    def address(self) -> int:
        return 2**40
