"""Text to modules: what each form means, in another assembler's bytes where there is a choice of none."""

from __future__ import annotations

import pytest
import wasmtime

from ci.gates.roundtrip import survives
from engine import TextError, encode, parse, print_module
from engine.binary.names import Names, names_of
from engine.features import EXECUTED, WASM_1
from engine.instructions import TABLE
from engine.module import Active, Custom, Declare, Passive
from engine.text.parser.operands import natural_alignment
from engine.types import FUNC, FUNCREF, I32, I64, FuncType, Limits, ref
from generators.module import generate
from generators.profile import PRESETS
from generators.source import Source


def body(text: str) -> list[str]:
    """Return the instructions of a function with this body, printed flat; two locals, a type and a table are there."""
    module = parse(f"(module (type $v (func)) (table $t 1 funcref) (memory $m 1) (func $f (local $x i32) {text}))")
    return [" ".join(line.split()) for line in print_module(module).split("\n") if line.startswith("    ")][1:]


# -- the same bytes as another assembler

SAME = {
    "nothing": "(module)",
    "fields alone": '(func (export "f")) (memory 1)',
    "names": '(module $m (func $f (param $x i32) (local $"y z" i64)) (type $t (func)) (global $"\\u{e9}" i32 '
    "i32.const 1))",
    "labels": "(func (block $a (loop $b (if $c (i32.const 0) (then (br $a)) (else (br $b) (br $c) (br 0))))))",
    "fields": "(type $s (struct (field $a i32) (field i8 (mut i16)) (field) (field $b (mut (ref null $s)))))",
    "recursion": "(rec (type $a (struct (field (ref $b)))) (type $b (array (mut (ref null $a))))) (type (sub (func)))",
    "subtypes": "(type $a (sub (struct))) (type (sub $a (struct (field i32)))) (type (sub final $a (struct)))",
    "references": "(func (param anyref (ref any) (ref null none) nullexternref (ref eq) i31ref (ref null func) "
    "exnref))",
    "implicit types": "(func (param i32)) (type $x (func)) (func (type $x)) (func (result i64) (block (param) "
    "(result i64 i64) unreachable) drop) (func (param i32))",
    "parameters of a type": "(type $t (func (param i32 i64))) (func (type $t) (local $l f32) local.get $l drop)",
    "imports": '(import "a" "f" (func $f (param $x i32))) (import "a" "t" (table i64 1 2 externref)) (func (import '
    '"a" "g")) (global $g (export "g") (import "a" "h") (mut i64)) (memory (import "a" "m") 1 2 shared)',
    "exports": '(table (export "a") (export "b") 0 funcref) (tag (export "t") (param i32)) (export "c" (table 0))',
    "segments": '(memory (data "a" "" "\\00b")) (data "p") (data $d (offset i32.const 0) "x") (data (i32.const 1))',
    "elements": "(table 9 funcref) (func $f) (elem func $f 0) (elem declare func) (elem funcref (item ref.func $f) "
    "(ref.null func)) (elem (i32.const 0) $f $f) (elem (offset i32.const 1)) (elem externref)",
    "tables": "(func $f) (table 1 (ref func) ref.func $f) (table 2 3 anyref (ref.null any))",
    "address types": "(memory i64 1 2) (table i64 0 funcref) (memory i32 1) (func i64.const 0 i32.load 1 drop) "
    '(memory i64 (data "x"))',
    "page sizes": '(memory 0 (pagesize 1)) (memory 1 2 (pagesize 1)) (memory (pagesize 1) (data "abc"))',
    "numbers": "(func (i32.const 0xffff_ffff) (i32.const -0x8000_0000) (i64.const +1_0) (f32.const 0x1.8p-3) "
    "(f64.const nan) (f32.const -nan:0x1) (f64.const 1e-400) (f32.const 16777217) (f64.const inf) unreachable)",
    "selects": "(func (select (i32.const 1) (i32.const 2) (i32.const 3)) (select (result i64)) select (result) drop "
    "(select (result i32) (result i64)))",
    "calls": "(table $a 0 funcref) (table $b 0 funcref) (func (call_indirect (i32.const 0)) (call_indirect $b (param "
    "i32) (i32.const 1) (i32.const 0)) (call_indirect 1 (type 0)))",
    "bulk": '(memory $a 1) (memory $b 1) (data $d "") (func (memory.init $d) (memory.init $b $d) (memory.copy) '
    "(memory.copy $b $a) (memory.fill 1) (memory.size) drop memory.grow $b data.drop 0)",
    "table bulk": "(table $a 1 funcref) (table $b 1 funcref) (elem $e func) (func (table.init $e) (table.init $b $e) "
    "table.copy (table.copy 1 0) (table.get) (table.get $b) table.size 1 elem.drop $e)",
    "memory arguments": "(memory $a 1) (memory $b 1) (func i32.load i64.load8_u align=1 i32.store16 $b offset=0x10 "
    "align=2 i64.load 1 offset=1_0 f64.store align=4)",
    "vectors": "(memory 1) (memory $n 1) (func v128.const i32x4 1 -1 0xff 4 v128.const f64x2 nan -0 i8x16.shuffle 0 "
    "1 2 3 4 5 6 7 8 9 10 11 12 13 14 31 v128.load8_lane 3 v128.load8_lane $n 3 v128.load8_lane offset=1 3 "
    "v128.store64_lane 1 offset=8 align=4 1 i8x16.extract_lane_s 15)",
    "casts": "(type $s (struct)) (func (param anyref) (block (result anyref) (br_on_cast 0 anyref (ref null $s) "
    "(local.get 0))) (ref.test (ref $s)) (ref.test (ref null any)) (ref.cast i31ref) (ref.cast (ref eq)) drop)",
    "structures": "(type $s (struct (field $a i32) (field $b i8))) (type $v (array (mut i32))) (func (param $p (ref "
    "$s)) (struct.get $s $a (local.get $p)) (struct.get_u $s $b) (array.new_fixed $v 2) (array.copy $v $v) "
    "(array.get $v))",
    "handlers": "(tag $e (param i32)) (func (block $l (try_table $t (result i32) (catch $e $l) (catch_ref 0 0) "
    "(catch_all $l) (catch_all_ref 1) (i32.const 1)) drop) (throw $e (i32.const 0)))",
    "comments": "(;(;;);)(module;;)\n(func(;a;)nop;;\n))",
    "no blanks": '(module(func(export "a")(param i32)(result i32)local.get 0)(memory 1)(data(i32.const 0)"a" "b"))',
    "custom": '(@custom "a") (func) (@custom "b" (before type) "x" "y") (@custom "c" (after func)) (@custom "d" '
    '(before first)) (@custom "e" (before data)) (@custom "f" (after last)) (@custom "g" (after code)) (@custom '
    '"h" (after func))',
    "hints": '(func $d) (func (local i32) (local i64) (@metadata.code.branch_hint "\\00") if end block i32.const '
    '100000 (@metadata.code.branch_hint "\\01") br_if 0 end) (func (@metadata.code.branch_hint "\\01") (if '
    "(i32.const 1) (then)))",
    "name annotations": '(module $m (@name "n") (func $f (@name "g h") (param $x (@name "") i32)) (memory (@name '
    '"k") 1))',
}  # fmt: skip


@pytest.mark.parametrize("what", SAME)
def test_bytes_are_those_of_another_assembler(what):
    text = SAME[what]
    assert encode(parse(text)).hex() == bytes(wasmtime.wat2wasm(text)).hex()


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_printed_modules_parse_to_themselves(preset, seed):
    assert survives(generate(Source.fresh("parse", seed), PRESETS[preset]).wasm) == ""


@pytest.mark.parametrize("row", [row for row in TABLE if row.feature in EXECUTED], ids=lambda row: row.name)
def test_the_keyword_of_every_row_is_known(row):
    try:
        parse(f"(func {row.keyword})", EXECUTED)
    except TextError as e:
        assert not e.message.startswith("unknown operator"), e.message


# -- folding


@pytest.mark.parametrize(
    ("folded", "flat"),
    [
        ("(i32.add (local.get $x) (i32.const 1)) drop", ["local.get 0", "i32.const 1", "i32.add", "drop"]),
        ("(drop (i32.eqz (i32.eqz (i32.const 0))))", ["i32.const 0", "i32.eqz", "i32.eqz", "drop"]),
        ("(block (nop) nop)", ["block", "nop", "nop", "end"]),
        ("(loop (result i32) i32.const 1) drop", ["loop (result i32)", "i32.const 1", "end", "drop"]),
        ("(if (local.get $x) (then nop))", ["local.get 0", "if", "nop", "end"]),
        ("(if (i32.const 1) (then) (else nop nop))", ["i32.const 1", "if", "else", "nop", "nop", "end"]),
        ("local.get 0 (if (then))", ["local.get 0", "if", "end"]),
        ("(if (block (result i32) i32.const 1) (then))", ["block (result i32)", "i32.const 1", "end", "if", "end"]),
        ("i32.const 0 if $l (br $l) else $l br $l end $l", ["i32.const 0", "if", "br 0", "else", "br 0", "end"]),
        ("(block $l (if $l (br_if $l (i32.const 1)) (i32.const 0) (then (br $l))))",
         ["block", "i32.const 1", "br_if 0", "i32.const 0", "if", "br 0", "end", "end"]),
        ("(block $a (block $a (br $a)) (br $a))", ["block", "block", "br 0", "end", "br 0", "end"]),
    ],
)  # fmt: skip
def test_folded_forms_come_out_flat(folded, flat):
    assert body(folded) == flat


@pytest.mark.parametrize(
    "nest", ["(block ", "(i32.eqz ", "(if (i32.const 0) (then ", "(loop $l ", "(if (result i32) (block "]
)
def test_nesting_costs_no_stack(nest):
    depth = 30_000
    text = "(module (func " + nest * depth + ")" * (nest.count("(") - nest.count(")")) * depth + "))"
    try:
        parse(text)
    except TextError as e:
        assert e.message.startswith("unexpected token: then expected")


# -- types


def test_a_written_out_type_is_the_first_that_stands_alone():
    text = "(rec (type (func)) (type (func))) (type (sub (func))) (type $f (func)) (func) (func (param i32)) (func)"
    module = parse(text)
    assert module.funcs == (3, 4, 3)
    assert len(module.types) == 4


def test_a_written_out_type_may_repeat_the_one_it_names():
    text = (
        "(type $t (func (param i32) (result i64))) (func (type $t) (param $x i32) (result i64) (drop (local.get $x)))"
    )
    assert parse(text).funcs == (0,)


def test_block_types_are_as_short_as_they_can_be():
    assert body("block (result) end block (param) end")[1:] == ["block", "end", "block", "end"][1:]
    module = parse("(type $t (func)) (func block (type $t) end loop (type $t) (result) end)")
    assert [ins.imms for ins in module.codes[0].body if ins.imms] == [(0,), (0,)]


def test_locals_are_runs():
    module = parse("(func (local i32 i32) (local $x i32) (local) (local f32 i32))")
    assert [(n, str(t)) for n, t in module.codes[0].locals] == [(3, "i32"), (1, "f32"), (1, "i32")]


def test_limits_and_address_types():
    module = parse("(memory i64 1 0xffff_ffff_ffff_ffff shared) (table i64 2 funcref)")
    assert module.mems[0].limits == Limits(1, 2**64 - 1)
    assert (module.mems[0].addrtype, module.mems[0].shared, module.tables[0].type.addrtype) == (I64, True, I64)


@pytest.mark.parametrize(
    ("name", "align"),
    [("i32.load", 2), ("i64.load8_s", 0), ("f64.store", 3), ("i64.load32_u", 2), ("v128.load", 4),
     ("v128.load8x8_s", 3), ("v128.load16_splat", 1), ("v128.store32_lane", 2), ("i32.atomic.rmw8.add_u", 0),
     ("memory.atomic.wait64", 3)],
)  # fmt: skip
def test_alignment_is_natural_where_it_is_left_out(name, align):
    assert natural_alignment(TABLE.by_name[name]) == align


# -- segments


def test_modes_and_types_of_segments():
    text = """(table $t 1 funcref) (table $u 1 funcref) (func)
      (elem func 0) (elem declare func 0) (elem (i32.const 0) 0) (elem (table $u) (i32.const 0) func 0)
      (elem (i32.const 0) funcref (ref.func 0)) (elem (ref null func))"""
    elems = parse(text).elems
    assert [type(e.mode) for e in elems] == [Passive, Declare, Active, Active, Active, Passive]
    assert [e.type for e in elems] == [ref(False, FUNC)] * 4 + [FUNCREF, FUNCREF]
    assert [e.mode.index for e in elems if isinstance(e.mode, Active)] == [0, 1, 0]


def test_a_memory_with_data_is_as_large_as_its_data():
    module = parse(f'(memory (data "{"x" * 65537}")) (memory (data))')
    assert [m.limits for m in module.mems] == [Limits(2, 2), Limits(0, 0)]
    assert [d.mode.index for d in module.datas] == [0, 1]


def test_segments_of_tables_and_memories_have_indices_in_the_order_of_the_text():
    module = parse('(data $a "") (memory (data "x")) (data $b "") (func data.drop $a data.drop $b)')
    assert [ins.imms for ins in module.codes[0].body[:2]] == [(0,), (2,)]
    assert module.data_count == 3


def test_the_data_count_is_there_where_an_instruction_needs_it():
    assert parse('(data "")').data_count is None
    assert parse("(func (data.drop 0))").data_count == 0


# -- names and annotations


def test_names_of_everything():
    text = """(module $m (type $t (struct (field $a i32) (field i32) (field $b i32)))
      (func $f (param $p i32) (local $l i32) (block $k)) (table $u 0 funcref) (memory $v 0)
      (global $g i32 (i32.const 0)) (elem $e func) (data $d "") (tag $x))"""
    assert names_of(parse(text)) == Names(
        "m", {0: "f"}, {0: {0: "p", 1: "l"}}, {0: {0: "k"}}, {0: "t"}, {0: "u"}, {0: "v"}, {0: "g"}, {0: "e"}, {0: "d"},
        {0: {0: "a", 2: "b"}}, {0: "x"},
    )  # fmt: skip
    assert parse(text, names=False).customs == ()


def test_identifiers_are_the_same_however_they_are_written():
    assert parse(r'(func $a call $"a" call $"\61" call $"\u{61}")').codes[0].body[2].imms == (0,)


def test_a_custom_section_stands_behind_a_section_that_is_there():
    module = parse('(@custom "a" (after memory) "x") (func) (@custom "b" (before type))', names=False)
    assert module.customs == (Custom("b", b"", 0), Custom("a", b"x", 3))


def test_annotations_that_mean_nothing_to_us_are_not_there():
    text = '((@a) module (@b "(" ";;" ((x))) (func (@c) nop (@metadata.code.other "x")) (@d))'
    assert encode(parse(text)) == encode(parse("(module (func nop))"))


# -- whole modules


def test_forms_of_a_module():
    wasm = encode(parse('(module (memory 1) (export "m" (memory 0)))'))
    escaped = "".join(f"\\{b:02x}" for b in wasm)
    for text in (
        f'(module binary "{escaped[:12]}" "{escaped[12:]}")', f'(module definition $x binary "{escaped}")',
        '(module quote "(memory 1)" "(export \\"m\\" (memory 0))")', '(module definition (memory (export "m") 1))',
        '(module quote "(module quote \\"(memory 1)(export \\\\\\"m\\\\\\" (memory 0))\\")")',
    ):  # fmt: skip
        assert encode(parse(text)) == wasm


def test_text_may_be_bytes_or_a_string():
    assert parse(b'(export "\xc3\xa9" (func 0))').exports == parse('(export "é" (func 0))').exports


def test_offsets_are_places_in_the_text():
    text = "(module (func nop (drop (i32.const 1))))"
    (code,) = parse(text).codes
    assert [ins.row.name for ins in code.body[:3]] == ["nop", "i32.const", "drop"]
    assert all(text.startswith(ins.row.name, ins.offset) for ins in code.body[:3])


def test_a_keyword_of_a_feature_that_is_off_is_unknown():
    with pytest.raises(TextError, match=r"unknown operator: i32\.extend8_s needs sign-extension at line 1"):
        parse("(func i32.extend8_s)", WASM_1)


def test_functions_of_a_type_keep_its_results():
    module = parse("(func (result i32 i64) unreachable)")
    assert module.types[0].subtypes[0].comp == FuncType((), (I32, I64))
