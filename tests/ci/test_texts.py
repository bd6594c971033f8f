"""The gates of the text format: what they make, and that they would notice."""

from __future__ import annotations

import pytest

from ci.gates import pool, roundtrip, texts
from engine import MalformedError, decode, encode, parse
from harness.wast.suite import SuiteFile

SCRIPT = b"""(module $m (func $f (export "f")) (table funcref (elem $f)))
(assert_malformed (module quote "(func) (start 0) (start 0)") "multiple start sections")
(module binary "\\00asm\\01\\00\\00\\00\\01\\01\\00\\00\\02\\01\\61")"""


def test_a_small_run_is_clean_and_gets_past_each_check():
    tally = pool.run_chunk(texts.GATE, seed=1, start=0, end=400)
    assert tally.failures == []
    assert tally.counts.total() == 400
    assert {"accepted", "unexpected token", "unknown operator", "unexpected end"} <= set(tally.counts)


def test_a_mutant_depends_on_seed_and_index_alone():
    some = [texts.mutant(3, i) for i in range(20)]
    assert [texts.mutant(3, i) for i in reversed(range(20))] == some[::-1]
    assert [texts.mutant(4, i) for i in range(20)] != some


@pytest.mark.parametrize("text", texts.SAMPLES)
def test_samples_are_accepted(text):
    assert texts.check(text) == "accepted"


@pytest.mark.parametrize("error", [KeyError("x"), RecursionError(), MemoryError(), MalformedError("no offset")])
def test_an_escaped_exception_or_a_missing_place_is_a_failure(monkeypatch, error):
    def broken(text, features):
        raise error

    monkeypatch.setattr(texts, "parse", broken)
    assert [i for i, _ in pool.run_chunk(texts.GATE, seed=1, start=0, end=3).failures] == [0, 1, 2]


def test_a_printer_that_loses_something_is_a_failure(monkeypatch):
    monkeypatch.setattr(texts, "print_module", lambda module: "(module)")
    with pytest.raises(AssertionError, match="printing and parsing gives another module"):
        texts.check(b"(module (memory 1))")


def test_a_script_is_compared_and_every_disagreement_explained():
    counts, failures = roundtrip.check([SuiteFile("a.wast", SCRIPT)])
    assert failures == []
    assert counts == {
        "survive": 2,
        "both right: the same module": 1,
        "own right: the script says that it is malformed": 1,
    }


def test_a_parser_that_changes_a_module_is_a_failure(monkeypatch):
    monkeypatch.setattr(roundtrip, "parse", lambda text, features, names: decode(encode(parse("(memory 1)"))))
    assert roundtrip.survives(encode(parse("(func)"))) == "its text is another module"


def test_what_text_cannot_say_is_no_difference():
    empty_sections = b"\0asm\1\0\0\0\1\1\0\0\2\1a\3\1\0\0\2\1b"
    assert roundtrip.survives(empty_sections) == ""
    assert roundtrip.survives(encode(parse("(func (local i32 i32))"))) == ""


CHANGED = '(func (param i32)) (global i32 (i32.const 0)) (elem func 0) (data "x") (memory 1) (data (i32.const 0) "")'


@pytest.mark.parametrize(("old", "new"), [
    ("param i32", "param i64"), ("global i32", "global (mut i32)"), ("i32.const 0) ", "i32.const 1) "),
    ("elem func", "elem declare func"), ('"x"', '"y"'), ("memory 1", "memory 1 1"), ("param", "local"),
])  # fmt: skip
def test_modules_are_compared_part_by_part(old, new):
    assert roundtrip.same(parse(CHANGED), parse(CHANGED))
    assert not roundtrip.same(parse(CHANGED), parse(CHANGED.replace(old, new, 1)))


def test_a_decoder_that_loses_something_is_a_failure(monkeypatch):
    wasm = encode(parse("(func nop)"))
    modules = [parse("(func nop)"), parse("(func)")]
    monkeypatch.setattr(roundtrip, "decode", lambda data, features: modules.pop(0))
    assert roundtrip.survives(wasm) == "decoding and encoding changes it"
