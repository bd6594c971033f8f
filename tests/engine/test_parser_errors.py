"""What is no text of a module: the suite's phrase, the place, and the line with a caret; and hostile texts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import MalformedError, TextError, UnsupportedError, WasmError, parse

# One text per rule, with the phrase that its error starts with.
REJECTED = {
    "(func": "unexpected end",
    "(func))": "unexpected token",
    "(func) x": "unexpected token",
    "(module) (module)": "unexpected token",
    "(module (module))": "unexpected token",
    "module": "unexpected token",
    "(foo)": "unexpected token",
    "(func (foo))": "unknown operator",
    "(func foo)": "unknown operator",
    "(func i32.const)": "unexpected token",
    "(func i32.const $x)": "unexpected token",
    "(func i32.const 1.0)": "unexpected token",
    "(func i32.const 0x)": "unknown operator",
    "(func i32.const 1__0)": "unknown operator",
    "(func i32.const 0x1_0000_0000)": "constant out of range",
    "(func i32.const -0x8000_0001)": "constant out of range",
    "(func i64.const 0x1_0000_0000_0000_0000)": "constant out of range",
    "(func f32.const 0x1p128)": "constant out of range",
    "(func f64.const 1e309)": "constant out of range",
    "(func f32.const nan:0x80_0000)": "constant out of range",
    "(func f32.const nan:0x0)": "constant out of range",
    "(func local.get $x)": "unknown local",
    "(func call $x)": "unknown function",
    "(func global.get $x)": "unknown global",
    "(func br $x)": "unknown label",
    "(func block $x end br $x)": "unknown label",
    "(func i32.load $x)": "unknown memory",
    "(func table.get $x)": "unknown table",
    "(func (type $x))": "unknown type",
    "(func (type 0) (param i32))": "unknown type",
    "(func data.drop $x)": "unknown data segment",
    "(func elem.drop $x)": "unknown elem segment",
    "(func throw $x)": "unknown tag",
    "(type $s (struct)) (func struct.get $s $x)": "unknown field",
    '(export "a" (func $x))': "unknown function",
    "(start $x)": "unknown function",
    "(func $a) (func $a)": "duplicate func",
    '(import "" "" (func $a)) (func $a)': "duplicate func",
    "(func (param $a i32) (local $a i32))": "duplicate local",
    "(memory $a 1) (memory $a 1)": "duplicate memory",
    "(table $a 1 funcref) (table $a 1 funcref)": "duplicate table",
    "(global $a i32) (global $a i32)": "duplicate global",
    "(type $a (func)) (type $a (func))": "duplicate type",
    "(tag $a) (tag $a)": "duplicate tag",
    "(type (struct (field $a i32) (field $a i32)))": "duplicate field",
    "(func block $a end $b)": "mismatching label",
    "(func block end $b)": "mismatching label",
    "(func if $a else $b end)": "mismatching label",
    "(type $t (func)) (func (type $t) (param i32))": "inline function type",
    '(func) (import "" "" (func))': "import after function",
    '(memory 1) (import "" "" (func))': "import after memory",
    '(table 1 funcref) (func (import "" ""))': "import after table",
    '(global i32 i32.const 0) (memory (import "" "") 1)': "import after global",
    '(tag) (import "" "" (tag))': "import after tag",
    "(func) (start 0) (start 0)": "multiple start sections",
    "(func (result i32) (param i32))": "unexpected token",
    "(func (local i32) (result i32))": "unexpected token",
    "(func nop (local i32))": "unexpected token",
    "(func (param $x i32 i32))": "unexpected token",
    "(func (block (param $x i32)))": "unexpected token",
    "(func call_indirect (param $x i32))": "unexpected token",
    "(func (then))": "unexpected token",
    "(func (if (i32.const 0)))": "unexpected token",
    "(func (if (then) (then)))": "unexpected token",
    "(func (if (then) (else) (else)))": "unexpected token",
    "(func (if (then) (nop)))": "unexpected token",
    "(func (if nop (then)))": "unexpected token",
    "(func (i32.eqz nop))": "unexpected token",
    "(func (nop (nop) end))": "unexpected token",
    "(func block)": "unexpected token",
    "(func (block block))": "unexpected token",
    "(func end)": "unexpected token",
    "(func else)": "unexpected token",
    "(func block else end)": "unexpected token",
    "(func if else else end)": "unexpected token",
    "(func (end))": "unexpected token",
    "(func (else))": "unexpected token",
    "(func br_table)": "unexpected token",
    "(func memory.copy 0)": "unexpected token",
    "(func i32.load align=0)": "alignment must be a power of two",
    "(func i32.load align=3)": "alignment must be a power of two",
    "(func i32.load offset=)": "unknown operator",
    "(func i32.load offset=-1)": "unknown operator",
    "(func i32.load align=4 offset=4)": "unknown operator",
    "(func i32.load offset=0x1_0000_0000_0000_0000)": "constant out of range",
    "(func v128.const i32x4 0 0 0)": "wrong number of lane literals",
    "(func v128.const i33x4 0 0 0 0)": "unexpected token",
    "(func v128.const i8x16 256 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0)": "constant out of range",
    "(func i8x16.extract_lane_s 256)": "constant out of range",
    "(func i8x16.extract_lane_s -1)": "unexpected token",
    "(memory)": "unexpected token",
    "(memory -1)": "unexpected token",
    "(memory 1 2 3)": "unexpected token",
    "(memory 0x1_0000_0000_0000_0000)": "constant out of range",
    "(memory 1 (pagesize 3))": "invalid custom page size",
    "(memory 1 (pagesize 0))": "invalid custom page size",
    "(table 1)": "unexpected token",
    "(table 1 i32)": "unexpected token",
    "(global (mut i32 i32))": "unexpected token",
    "(type (func) (func))": "unexpected token",
    "(type (sub final))": "unexpected token",
    "(type $t)": "unexpected token",
    "(rec (func))": "unexpected token",
    "(type (array i32 i32))": "unexpected token",
    "(type (struct (field $a i32 i32)))": "unexpected token",
    "(func (param (ref foo)))": "unexpected token",
    "(func (param i8))": "unexpected token",
    '(export "a")': "unexpected token",
    '(export "a" (type 0))': "unexpected token",
    '(export "\\ff" (func 0))': "malformed UTF-8 encoding",
    '(import "a" (func))': "unexpected token",
    '(import "" "" (type 0))': "unexpected token",
    "(elem declare (i32.const 0) func)": "unexpected token",
    "(elem (table 0) (i32.const 0) 0)": None,
    "(elem 0)": "unexpected token",
    "(data 1)": "unexpected token",
    '(data "a" x)': "unexpected token",
    '(data "a""b")': "unknown operator",
    "(func $)": "empty identifier",
    '(func $"")': "empty identifier",
    "(func (@))": "empty annotation id",
    "(func (@x)": "unexpected end",
    "(@custom)": "@custom annotation: missing section name",
    "(@custom 4)": "@custom annotation: missing section name",
    '(@custom "\\df")': "@custom annotation: malformed UTF-8 encoding",
    '(@custom "a" here)': "@custom annotation: unexpected token",
    '(@custom "a" (after))': "@custom annotation: malformed section kind",
    '(@custom "a" (before types))': "@custom annotation: malformed section kind",
    '(@custom "a" (aft type))': "@custom annotation: malformed placement",
    '(@custom "a" (before last))': "@custom annotation: malformed section kind",
    '(func (@custom "a"))': "misplaced @custom annotation",
    '(type (@custom "a") $t (func))': "misplaced @custom annotation",
    '(module (@name "a") (@name "b"))': "@name annotation: multiple module",
    '(module (func) (@name "a"))': "misplaced @name annotation",
    "(module (@name 4))": "@name annotation: unexpected token",
    '(@metadata.code.branch_hint "\\00")': "@metadata.code.branch_hint annotation: not in a function",
    '(func (@metadata.code.branch_hint "\\00") nop)': "@metadata.code.branch_hint annotation: invalid target",
    '(func (@metadata.code.branch_hint "\\02") if end)': "@metadata.code.branch_hint annotation: invalid value",
    '(func (@metadata.code.branch_hint "\\00") (@metadata.code.branch_hint "\\00") if end)':
        "@metadata.code.branch_hint annotation: duplicate annotation",
    '(module quote "(func")': "unexpected end",
    '(module binary "\\00as")': "unexpected end",
    '(module binary "" x)': "unexpected token",
    "(module quote) x": "unexpected token",
}  # fmt: skip


@pytest.mark.parametrize("text", REJECTED)
def test_the_phrase_of_an_error_is_the_suites(text):
    phrase = REJECTED[text]
    if phrase is None:
        parse(text)
        return
    with pytest.raises(MalformedError) as caught:
        parse(text)
    assert caught.value.message.startswith(phrase), caught.value.message


def test_messages_and_carets(golden):
    texts = [
        "(module\n  (func (result i32)\n    (i32.add (i32.const 1)\n      (i32.cont 2))))",
        '(module\n\t(func $é (param $x i32) (local.get $é)) ;; "wide" letters',
        "(module\r\n  (memory 1)\r\n  (func\r\n    (i32.load align=3 (i32.const 0))))",
        "(module " + "(func) " * 100 + "(func $a) (func $a)" + " (func)" * 100 + ")",
        "(module (func (block $outer (br $inner))))",
        "(module (type $t (func (param i32))) (func (type $t) (param i64)))",
        "(module (data \"\\zz\"))",
        "(module\n  (func",
        "(module (func i32.const 4294967296))",
        "(module (func) (import \"a\" \"b\" (func)))",
    ]  # fmt: skip
    golden("text-errors.txt", "\n\n".join(map(message, texts)) + "\n")


def message(text: str) -> str:
    with pytest.raises(TextError) as caught:
        parse(text)
    return str(caught.value)


def test_an_error_has_line_column_offset_and_excerpt():
    with pytest.raises(TextError) as caught:
        parse("(module\n  (func é))")
    e = caught.value
    assert (e.line, e.column, e.offset, e.excerpt) == (2, 9, 16, "  (func é))\n        ^")


def test_a_feature_that_is_not_executed_is_said_to_be_unsupported():
    with pytest.raises((UnsupportedError, TextError)):
        parse("(func cont.new 0)")


# -- hostile


@given(st.text(alphabet='()"$;@ \nfunci32.add0x_\\e', max_size=200))
def test_any_text_is_a_module_or_malformed(text):
    judge(text.encode())


@given(st.binary(max_size=100))
def test_any_bytes_are_a_module_or_malformed(data):
    judge(data)
    judge(b'(module (data "' + data + b'"))')


def judge(text: bytes) -> None:
    try:
        parse(text)
    except WasmError as e:
        assert isinstance(e, MalformedError | UnsupportedError)


@pytest.mark.parametrize("word", ["(", "(func ", "(module ", "(type (func (param ", "(@a ", "(; ", '"', "(func (then "])
def test_endless_beginnings(word):
    with pytest.raises(MalformedError):
        parse(word * 20_000)


def test_a_quote_in_a_quote_in_a_quote():
    text = "(func)"
    for _ in range(7):
        text = '(module quote "' + text.replace("\\", "\\\\").replace('"', '\\"') + '")'
    assert len(parse(text).funcs) == 1


@pytest.mark.parametrize("size", [1000, 100_000])
def test_numbers_of_any_length(size):
    for literal, ok in (("0" * size + "7", True), ("9" * size, False), ("0x" + "f" * size, False)):
        text = f"(func (i32.const {literal}) drop)"
        if ok:
            assert parse(text).codes[0].body[0].imms == (7,)
        else:
            with pytest.raises(TextError, match="constant out of range"):
                parse(text)
