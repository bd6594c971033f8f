"""The binary grammar: every way to be malformed, with its phrase; what is unsupported and never malformed."""

from __future__ import annotations

import pytest

from engine import MalformedError, decode, encode
from engine.binary import code
from engine.binary.reader import Reader
from engine.features import CUSTOM_PAGE_SIZES, EXECUTED, WASM_1
from engine.instructions import TABLE
from engine.module import Active, Declare, Export, FuncImport, In, Passive
from engine.types import (
    ANYREF,
    EXTERN,
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
from tests.support.binary import HEADER, func, module, section
from tests.support.wasm import wasm

ONE_TYPE = section(1, b"\1\x60\0\0")


def hexes(text: str) -> bytes:
    return bytes.fromhex(text)


# -- the module


@pytest.mark.parametrize(
    ("data", "phrase", "offset"),
    [
        (b"", "unexpected end", 0),
        (b"\0as", "unexpected end", 0),
        (b"asm\0", "magic header not detected", 0),
        (b"\0asn\1\0\0\0", "magic header not detected", 0),
        (b"\0asm", "unexpected end", 4),
        (b"\0asm\1\0", "unexpected end", 4),
        (b"\0asm\2\0\0\0", "unknown binary version", 4),
        (b"\0asm\x0d\0\1\0", "unknown binary version", 4),
        (HEADER + b"\x0e\0", "malformed section id", 8),
        (HEADER + b"\x7f\0", "malformed section id", 8),
        (HEADER + b"\1", "unexpected end", 9),
        (HEADER + b"\1\5\0", "length out of bounds", 8),
        (HEADER + b"\1\x80\x80\x80\x80\x80\0", "integer representation too long", 9),
        (HEADER + b"\1\2\0\0", "section size mismatch", 11),
        (HEADER + b"\1\2\1\x60", "unexpected end", 12),
        (HEADER + b"\1\1\0\1\1\0", "unexpected content after last section", 11),
        (HEADER + b"\3\1\0\1\1\0", "unexpected content after last section", 11),
        (HEADER + b"\0\0", "unexpected end", 10),
        (HEADER + b"\0\2\5a", "length out of bounds", 10),
        (HEADER + b"\0\3\2\xc3\x28", "malformed UTF-8 encoding", 11),
        (module(ONE_TYPE, section(3, b"\1\0")), "function and code section have inconsistent lengths", None),
        (module(section(10, b"\1\2\0\x0b")), "function and code section have inconsistent lengths", None),
        (module(section(12, b"\1")), "data count and data section have inconsistent lengths", None),
        (
            module(section(5, b"\1\0\1"), section(12, b"\2"), section(11, b"\1\1\0")),
            "data count and data section",
            None,
        ),
    ],
)
def test_malformed_modules(data, phrase, offset):
    with pytest.raises(MalformedError, match=phrase) as caught:
        decode(data)
    assert caught.value.offset == (len(data) if offset is None else offset)


def test_the_order_of_sections_has_tags_before_globals_and_the_data_count_before_code():
    m = decode(module(ONE_TYPE, section(13, b"\1\0\0"), section(6, b"\0"), section(12, b"\0"), section(10, b"\0")))
    assert (m.tags, m.data_count) == ((TagType(0),), 0)
    with pytest.raises(MalformedError, match="unexpected content"):
        decode(module(section(6, b"\0"), section(13, b"\0")))
    with pytest.raises(MalformedError, match="unexpected content"):
        decode(module(section(10, b"\0"), section(12, b"\0")))


def test_custom_sections_remember_their_place():
    custom = section(0, b"\1x", b"abc")
    m = decode(module(custom, ONE_TYPE, custom, custom))
    assert [(c.name, c.data, c.after) for c in m.customs] == [("x", b"abc", 0), ("x", b"abc", 1), ("x", b"abc", 1)]


# -- entries of sections


@pytest.mark.parametrize(
    ("id", "contents", "phrase"),
    [
        (1, "01 5d", "malformed definition type"),
        (1, "01 60 01 40", "malformed value type"),
        (1, "01 60 01 63 41", "malformed heap type"),
        (1, "01 5e 7f 02", "malformed mutability"),
        (1, "01 5f 01 42 00", "malformed value type"),
        (1, "ff ff ff ff 0f", "length out of bounds"),
        (2, "01 00 00 05", "malformed import kind"),
        (2, "01 00 00 80 00", "malformed import kind"),
        (2, "01 00 00 03 7f 02", "malformed mutability"),
        (2, "01 00 00 04 01 00", "malformed tag attribute"),
        (4, "01 7f 00 00", "malformed reference type"),
        (4, "01 70 08 00", "malformed limits flags"),
        (4, "01 70 02 00", "malformed limits flags"),
        (4, "01 70 81 00 00", "malformed limits flags"),
        (4, "01 40 01 70 00 00", "zero byte expected"),
        (5, "01 08 00 40", "invalid custom page size"),
        (5, "01 08 00 ff ff ff ff 0f", "invalid custom page size"),
        (5, "01 08 00", "unexpected end"),
        (5, "01 10 00", "malformed limits flags"),
        (5, "01 81 00 00", "malformed limits flags"),
        (5, "01 00 80 80 80 80 80 80 80 80 80 80 00", "integer representation too long"),
        (6, "01 7f ff 41 00 0b", "malformed mutability"),
        (6, "01 7f 00 41 00", "END opcode expected"),
        (7, "01 00 05 00", "malformed export kind"),
        (9, "01 08", "malformed element segment flag"),
        (9, "01 01 01 00", "malformed element kind"),
        (9, "01 05 7f 00", "malformed reference type"),
        (11, "01 03", "malformed data segment flag"),
        (11, "01 01 05 61", "length out of bounds"),
    ],
)
def test_malformed_entries(id, contents, phrase):
    with pytest.raises(MalformedError, match=phrase) as caught:
        decode(module(section(id, hexes(contents))))
    assert caught.value.offset is not None


def test_composite_and_recursive_types():
    m = decode(
        module(section(1, hexes("04 60 01 7f 01 64 70  5e 78 01  50 01 01 5f 01 6e 00  4e 02 4f 00 60 00 00 60 00 00")))
    )
    nothing = FuncType((), ())
    assert m.types == (
        RecType((SubType(True, (), FuncType((I32,), (ref(False, FUNC),))),)),
        RecType((SubType(True, (), ArrayType(FieldType(I8, True))),)),
        RecType((SubType(False, (1,), StructType((FieldType(ANYREF, False),))),)),
        RecType((SubType(True, (), nothing), SubType(True, (), nothing))),
    )


def test_imports_of_every_kind():
    m = decode(
        module(
            section(
                2,
                hexes(
                    "05 0161 0162 00 03  0161 0162 01 70 01 01 02  0161 0162 02 05 01 02"
                    "0161 0162 03 7e 01  0161 0162 04 00 07"
                ),
            )
        )
    )
    assert [i.desc for i in m.imports] == [
        FuncImport(3),
        TableType(FUNCREF, Limits(1, 2)),
        MemType(Limits(1, 2), I64),
        GlobalType(True, I64),
        TagType(7),
    ]


def test_memory_flags():
    m = decode(module(section(5, hexes("03 00 01  03 01 02  07 01 ff ff ff ff ff ff ff ff ff 01"))))
    assert m.mems == (
        MemType(Limits(1)),
        MemType(Limits(1, 2), shared=True),
        MemType(Limits(1, 2**64 - 1), I64, shared=True),
    )


def test_the_page_size_flag_exists_with_its_proposal():
    data = module(section(5, hexes("01 09 01 02 00")))
    assert decode(data).mems == (MemType(Limits(1, 2), page_bits=0),)
    with pytest.raises(MalformedError, match="malformed limits flags"):
        decode(data, EXECUTED - {CUSTOM_PAGE_SIZES})


@pytest.mark.parametrize(("flags", "memtype"), [
    ("00 05", MemType(Limits(5))), ("01 05 07", MemType(Limits(5, 7))),
    ("03 05 07", MemType(Limits(5, 7), shared=True)),
    ("04 05", MemType(Limits(5), I64)), ("05 05 07", MemType(Limits(5, 7), I64)),
    ("07 05 07", MemType(Limits(5, 7), I64, True)), ("08 05 00", MemType(Limits(5), page_bits=0)),
    ("0d 05 07 00", MemType(Limits(5, 7), I64, page_bits=0)), ("0f 05 07 00", MemType(Limits(5, 7), I64, True, 0)),
    ("05 00 ff ff ff ff ff ff ff ff ff 01", MemType(Limits(0, 2**64 - 1), I64)),
])  # fmt: skip
def test_flags_of_a_memory_read_and_write(flags, memtype):
    m = decode(module(section(5, b"\1", hexes(flags))))
    assert m.mems == (memtype,)
    assert encode(m) == module(section(5, b"\1", hexes(flags)))


def test_a_table_may_have_an_initialiser():
    (table,) = decode(module(section(4, hexes("01 40 00 70 00 05 d2 00 0b")))).tables
    assert table.type == TableType(FUNCREF, Limits(5))
    assert [ins.row.name for ins in table.init] == ["ref.func", "end"]


ELEMS = {
    "00 41 00 0b 02 03 04": (ref(False, FUNC), 2, Active),
    "01 00 02 03 04": (ref(False, FUNC), 2, Passive),
    "02 05 41 00 0b 00 02 03 04": (ref(False, FUNC), 2, Active),
    "03 00 02 03 04": (ref(False, FUNC), 2, Declare),
    "04 41 00 0b 01 d2 03 0b": (FUNCREF, 1, Active),
    "05 6f 01 d0 6f 0b": (EXTERNREF, 1, Passive),
    "06 00 41 00 0b 6f 01 d0 6f 0b": (EXTERNREF, 1, Active),
    "07 64 6f 00": (ref(False, EXTERN), 0, Declare),
}


@pytest.mark.parametrize("form", ELEMS)
def test_the_eight_forms_of_element_segments(form):
    (elem,) = decode(module(section(9, b"\1", hexes(form)))).elems
    assert (elem.type, len(elem.init), type(elem.mode)) == ELEMS[form]
    assert elem.flag == int(form[:2])
    if form.startswith("02"):
        assert elem.mode.index == 5


def test_function_indices_stand_for_expressions():
    (elem,) = decode(module(section(9, b"\1", hexes("01 00 01 07")))).elems
    assert [(ins.row.name, ins.imms) for ins in elem.init[0]] == [("ref.func", (7,)), ("end", ())]


def test_exports_and_start():
    m = decode(module(section(7, hexes("02 01 61 00 00 01 62 02 03")), section(8, b"\5")))
    assert m.exports == (Export("a", "func", 0), Export("b", "mem", 3))
    assert m.start == 5


# -- code


@pytest.mark.parametrize(
    ("body", "phrase"),
    [
        ("", "END opcode expected"),
        ("01", "END opcode expected"),
        ("02 40 0b", "END opcode expected"),
        ("0b 0b", "END opcode expected"),
        ("0b 01", "END opcode expected"),
        ("05 0b", "END opcode expected"),
        ("02 40 05 0b 0b", "END opcode expected"),
        ("04 40 05 05 0b 0b", "END opcode expected"),
        ("ff 0b", "illegal opcode ff"),
        ("27 0b", "illegal opcode 27"),
        ("16 0b", "illegal opcode 16"),
        ("d7 0b", "illegal opcode d7"),
        ("fd 9a 01 0b", "illegal opcode fd 9a"),
        ("fd 94 02 0b", "illegal opcode fd 114"),
        ("fe 04 0b", "illegal opcode fe 04"),
        ("1f 40 01 04 00 0b 0b", "malformed catch clause"),
        ("fc 18 0b", "illegal opcode fc 18"),
        ("fc ff ff ff ff 0f 0b", "illegal opcode fc"),
        ("fb 7f 0b", "illegal opcode fb 7f"),
        ("d0 7f 0b", "malformed heap type"),
        ("02 41 0b 0b", "malformed value type"),
        ("1c 01 40 0b", "malformed value type"),
        ("41 80 80 80 80 08 0b", "integer too large"),
        ("41 80 80 80 80 80 00 0b", "integer representation too long"),
        ("42 80 80 80 80 80 80 80 80 80 01 0b", "integer too large"),
        ("28 80 01 00 0b", "malformed memop flags"),
        ("28 02 80 80 80 80 80 80 80 80 80 02 0b", "integer too large"),
        ("44 00 00 00", "unexpected end"),
        ("0e ff ff ff ff 0f 00 0b", "unexpected end"),
        ("41", "unexpected end"),
        ("41 80", "unexpected end"),
    ],
)
def test_malformed_bodies(body, phrase):
    with pytest.raises(MalformedError, match=phrase) as caught:
        decode(func(hexes(body)))
    assert caught.value.offset is not None


@pytest.mark.parametrize(
    ("locals_", "phrase"),
    [
        ("01 ff ff ff ff 1f 7f", "integer too large"),
        ("02 ff ff ff ff 0f 7f 01 7e", "too many locals"),
        ("01 01 40", "malformed value type"),
        ("05 01 7f", "length out of bounds"),
        ("7f", "length out of bounds"),
    ],
)
def test_malformed_locals(locals_, phrase):
    with pytest.raises(MalformedError, match=phrase):
        decode(func(b"\x0b", hexes(locals_)))


def test_locals_stay_runs():
    (code_,) = decode(func(b"\x0b", hexes("02 ff ff ff ff 0f 7f 00 7e"))).codes
    assert code_.locals == ((2**32 - 1, I32), (0, I64))


def test_a_function_may_not_be_longer_than_its_section():
    with pytest.raises(MalformedError, match="unexpected end of section or function"):
        decode(module(ONE_TYPE, section(3, b"\1\0"), section(10, hexes("01 7f 00 0b"))))


def test_instructions_know_their_offset():
    data = func(hexes("41 80 01 1a 02 40 0b 0b"))
    (code_,) = decode(data).codes
    assert code_.offset == data.index(hexes("00 41 80"))
    first = code_.offset + 1
    assert [ins.offset - first for ins in code_.body] == [0, 3, 4, 6, 7]


@pytest.mark.parametrize("body", ["41 00 41 00 41 00 fc 08 00 00 0b", "fc 09 00 0b"])
def test_data_segment_indices_need_the_data_count(body):
    sections = [ONE_TYPE, section(3, b"\1\0"), section(5, b"\1\0\1")]
    code_section = section(10, b"\1", bytes((1 + len(hexes(body)),)), b"\0", hexes(body))
    data_section = section(11, b"\1\1\0")
    with pytest.raises(MalformedError, match="data count section required"):
        decode(module(*sections, code_section, data_section))
    assert decode(module(*sections, section(12, b"\1"), code_section, data_section)).data_count == 1


def test_an_instruction_of_a_feature_that_is_off_is_malformed():
    data = func(hexes("41 00 c0 1a 0b"))  # i32.extend8_s
    assert decode(data).codes
    with pytest.raises(MalformedError, match=r"illegal opcode: i32\.extend8_s needs sign-extension"):
        decode(data, WASM_1)


# -- fast paths against the slow, obvious one


def slowly(data: bytes) -> list[In]:
    """Decode one body by asking rows and kinds alone."""
    r = Reader(data)
    out = []
    while r.pos < r.end:
        offset = r.pos
        op = r.byte()
        row = TABLE.by_opcode[(op, r.u32()) if op in code.PREFIXES else op]
        out.append(In(row, tuple(kind.read(r) for kind in row.imms), offset))
    return out


WHOLE = """
(memory 1) (table 200 funcref) (global (mut i32) (i32.const 0))
(func (param i32 i64) (local f32 f64)
  (block (loop (br_if 0 (local.get 0)) (br_table 0 1 0 (local.get 0))))
  (if (result i32) (local.get 0) (then (i32.const -1)) (else (i32.const 1000000))) drop
  (i32.store offset=100000 align=1 (i32.const 70) (i32.load16_s offset=3 (i32.const -65)))
  (i64.store offset=300 (i32.const 64) (i64.const -9223372036854775808))
  (f32.store (i32.const 0) (f32.const nan:0x200001)) (f64.store (i32.const 0) (f64.const -0x1p-1074))
  (call_indirect (param i32) (i32.const 8191) (i32.const 8192)) (call_indirect (param i32) (i32.const 1) (i32.const 2))
  (memory.copy (i32.const 1) (i32.const 2) (i32.const 3)) (table.set 0 (i32.const 100) (ref.null func))
  (drop (select (result externref) (ref.null extern) (ref.null extern) (i32.const 1)))
  (global.set 0 (i32.trunc_sat_f64_u (local.get 3)))
  (local.set 1 (i64.const 127)) (local.set 1 (i64.const 128)) (local.set 1 (i64.const 16384)))
"""


@pytest.mark.parametrize("again", [1, 2])  # the second time from what the first remembered
def test_fast_decoding_is_slow_decoding(again):
    data = wasm(WHOLE)
    (code_,) = decode(data).codes
    start = code_.body[0].offset
    end = code_.body[-1].offset + 1
    slow = [ins._replace(offset=ins.offset + start) for ins in slowly(data[start:end])]
    assert list(code_.body) == slow
