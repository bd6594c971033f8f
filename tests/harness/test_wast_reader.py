"""From bytes to commands."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import MalformedError
from harness.wast.reader import read_script
from harness.wast.script import Action, InstanceOf, ModuleSource, Register
from harness.wast.values import Either, Exact, Lanes, Nan, NullRef, SomeRef


def one(text: str):
    (command,) = read_script(text.encode()).commands
    return command


def pattern(text: str):
    return one(f'(assert_return (invoke "f") {text})').patterns[0]


def arguments(text: str):
    return one(f'(invoke "f" {text})').subject.args


def test_module_text_is_kept_verbatim():
    text = '(module $m (; ) ;) (func (export ")") ;; )\n (@x (y)) nop))'
    assert one(f"  {text} ;; end").subject == ModuleSource("text", text.encode(), "m")


def test_binary_and_quoted_strings_are_joined_without_a_separator():
    assert one('(module $b binary "\\00a" "sm" )').subject == ModuleSource("binary", b"\x00asm", "b")
    assert one('(module quote "(fu" "nc)")').subject == ModuleSource("quote", b"(func)")


def test_definition_loses_the_word_that_assemblers_do_not_know():
    assert one("(module definition $d (func))").subject == ModuleSource("text", b"(module  $d (func))", "d", True)
    assert one('(module definition binary "x")').subject == ModuleSource("binary", b"x", None, True)


def test_instances_of_definitions():
    assert one("(module instance $i $m)").subject == InstanceOf("i", "m")
    assert one("(module instance)").subject == InstanceOf(None, None)


def test_a_file_of_fields_is_one_module():
    text = b";; fields\n(func) (memory 0)"
    assert read_script(text).commands[0].subject == ModuleSource("text", text)


@pytest.mark.parametrize("text", ["", ";; nothing", "(; nothing ;)"])
def test_an_empty_file_has_no_commands(text):
    assert read_script(text.encode()).commands == ()


def test_actions_name_instances_and_exports():
    assert one('(invoke $m "a\\u{1f980}\\00" (i32.const -1))').subject == Action(
        "invoke", "m", "a\U0001f980\x00", (("i32", "ffffffff"),)
    )
    assert one('(get "g")').subject == Action("get", None, "g")
    assert one('(assert_return (get $m "g") (i32.const 1))').subject == Action("get", "m", "g")
    assert one('(register "n" $m)').subject == Register("n", "m")
    assert one('(register "n")').subject == Register("n", None)


def test_assertions_have_subject_and_phrase():
    trap = one('(assert_trap (module (func)) "unreachable")')
    assert (trap.kind, trap.form, trap.phrase) == ("assert_trap", "assert_trap text", "unreachable")
    assert one('(assert_exception (invoke "f"))').subject == Action("invoke", None, "f")
    assert one('(assert_unlinkable (module instance $m) "x")').form == "assert_unlinkable instance"


def test_commands_know_their_line():
    script = read_script(b'(module)\r\n\n(invoke\n"f")(get "g")')
    assert [c.line for c in script.commands] == [1, 3, 4]


def test_counts_are_by_kind_and_form():
    script = read_script(b'(module)(module quote "")(assert_invalid (module) "x")(invoke "f")(invoke "f")')
    assert script.counts() == {"assert_invalid text": 1, "invoke": 2, "module quote": 1, "module text": 1}


def test_numbers_cross_by_their_bits():
    assert arguments("(i64.const 0x1_0) (f32.const -nan:0x1) (f64.const 1.5)") == (
        ("i64", "0000000000000010"),
        ("f32", "ff800001"),
        ("f64", "3ff8000000000000"),
    )


@pytest.mark.parametrize(
    ("text", "bits"),
    [
        ("i8x16 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 -1", "ff0f0e0d0c0b0a090807060504030201"),
        ("i64x2 1 2", "00000000000000020000000000000001"),
        ("f32x4 0 -0 inf 1", "3f8000007f8000008000000000000000"),
    ],
)
def test_vectors_have_lane_zero_in_the_low_bits(text, bits):
    assert arguments(f"(v128.const {text})") == (("v128", bits),)


def test_references_as_arguments():
    assert arguments("(ref.null func) (ref.null none) (ref.extern 7) (ref.host 2)") == (
        ("funcref", None),
        ("nullref", None),
        ("externref", 7),
        ("anyref", {"host": 2}),
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(f32.const nan:canonical)", Nan("f32", "canonical")),
        ("(f64.const nan:arithmetic)", Nan("f64", "arithmetic")),
        ("(v128.const f64x2 1 nan:canonical)", Lanes(64, (0x3FF0000000000000, "canonical"))),
        ("(ref.null)", NullRef(None)),
        ("(ref.null nofunc)", NullRef("func")),
        ("(ref.null $t)", NullRef(None)),
        ("(ref.func)", SomeRef("func")),
        ("(ref.i31)", SomeRef("i31")),
        ("(ref)", SomeRef(None)),
        ("(ref.extern 3)", Exact(("externref", 3))),
        ("(ref.extern)", SomeRef("extern")),
        ("(either (i32.const 1) (i32.const 2))", Either((Exact(("i32", "00000001")), Exact(("i32", "00000002"))))),
    ],
)
def test_result_patterns(text, expected):
    assert pattern(text) == expected


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("(assert_nonsense (module))", "unknown command"),
        ("(module) (thread $t)", "unknown command"),
        ("(module) func", "unexpected token"),
        ("(module", "unexpected end"),
        ("(module) )", "unexpected token"),
        ('(invoke "f" (i32.const 4294967296))', "constant out of range"),
        ('(invoke "f" (i32.const x))', "unexpected token"),
        ('(invoke "f" (f32.const nan:canonical))', "unexpected token"),
        ('(invoke "f" (either (i32.const 1)))', "unexpected token"),
        ('(invoke "f" (v128.const i64x2 1))', "unexpected token"),
        ('(invoke "f" (ref.null $t))', "unexpected token"),
        ('(invoke "f" (ref.null nonsense))', "unexpected token"),
        ('(invoke "f" 1)', "unexpected token"),
        ("(invoke f)", "unexpected token"),
        ('(invoke "\\ff")', "malformed UTF-8 encoding"),
        ("(register)", "unexpected token"),
        ("(assert_return)", "unexpected token"),
        ("(assert_return (module))", "unexpected token"),
        ('(assert_trap (invoke "f"))', "unexpected token"),
        ("(module binary 1)", "unexpected token"),
        ("(module binary (func))", "unexpected token"),
        ("(module) " + "(" * 5000, "unexpected token"),
    ],
)
def test_what_is_no_script_is_a_typed_error_with_a_place(text, phrase):
    with pytest.raises(MalformedError, match=r"at line 1, column \d+") as caught:
        read_script(text.encode())
    assert caught.value.message.startswith(phrase)


WORDS = ["(module", "binary", "quote", "definition", "instance", "$a", '"s"', "(", ")", "(invoke", "(assert_return"]
WORDS += [
    "(i32.const",
    "1",
    "nan:canonical",
    "(either",
    "(ref.null",
    "func",
    "(;",
    ";)",
    ";;\n",
    "(@a",
    '"',
    "(v128.const",
]


@given(st.lists(st.sampled_from(WORDS), max_size=30))
def test_any_text_is_a_script_or_a_typed_error(words):
    try:
        read_script(" ".join(words).encode())
    except MalformedError as e:
        assert e.offset is not None
