"""Disagreements of two assemblers: who is right, and that nothing is explained away."""

from __future__ import annotations

import pytest

from engine import encode, parse
from harness.wast.reader import read_script
from harness.wast.texts import disagreements
from oracles.outcome import Rejected
from tests.support.wasm import wasm

FINAL = "a function type that is written out is final; theirs takes one that is open"
FIRST = "a function type that is written out is the first alone in its group, however that is written"


def found(script: str, own, other):
    """Return who is right and why, if the assemblers said this about the only text of a script."""
    return [(d.right, d.why) for d in disagreements(read_script(script.encode()), {0: own}, {0: other}, "wasmtime")]


def both(text: str):
    return found(f"(module {text})", encode(parse(text.encode())), wasm(text))


@pytest.mark.parametrize(("text", "answer"), [
    ("(func (param i32))", []),
    ("(table 1 funcref) (elem (table 0) (i32.const 0) func)",
     [("both", "the same module; theirs is not the shortest form")]),
    ("(type (sub (func))) (func)", [("own", FINAL)]),
    ("(type (sub (func))) (func) (func (result i32) (i32.const 0))", [("own", FINAL)]),
    ("(rec (type (func))) (func)", [("own", FIRST)]),
])  # fmt: skip
def test_what_wasmtime_writes_in_another_way_is_explained(text, answer):
    assert both(text) == answer


@pytest.mark.parametrize(("ours", "theirs"), [
    ("(func)", "(memory 1)"),
    ("(type (sub (func))) (func)", "(type (sub (func (param i32)))) (func (type 0))"),
    ("(type (sub (func))) (type (struct)) (func (type 0))", "(type (sub (func))) (func (type 0))"),
    ("(type (sub (func))) (func) (memory 1)", "(type (sub (func))) (func (type 0))"),
])  # fmt: skip
def test_other_modules_are_not_explained(ours, theirs):
    (disagreement,) = found("(module)", encode(parse(ours.encode())), encode(parse(theirs.encode())))
    assert disagreement[0] == "nobody"


def test_the_script_says_who_is_right_about_what_one_refuses():
    refused = Rejected("text", "unexpected token")
    assert found("(module)", wasm("(func)"), refused)[0][0] == "own"
    assert found("(module)", refused, wasm("(func)"))[0][0] == "wasmtime"
    malformed = '(assert_malformed (module quote "(func") "unexpected token")'
    assert found(malformed, wasm("(func)"), refused)[0][0] == "wasmtime"
    assert found(malformed, refused, wasm("(func)"))[0][0] == "own"
