"""Other bytes of the same module: forms of the encoder, and integers longer than they must be."""

from __future__ import annotations

import pytest

from engine import MalformedError, decode, encode, parse
from engine.binary import SHORTEST, Form
from engine.binary.padding import integers, pad
from engine.module import Active
from generators.module import generate
from generators.profile import PRESETS
from generators.source import Source
from tests.support.wasm import wasm

TEXT = """(module
  (type $s (struct (field i32))) (type $f (func (param i32) (result i64)))
  (table $t 3 funcref) (memory 1)
  (func $g (type $f) (local f32 f32) (block (result i64) (i64.const -5)) (i32.const -1) (if (then)) (f32.const 1) drop)
  (func (call_indirect (type $f) (i32.const 0) (i32.const 1)) drop (br_table 0 0 0 (i32.const 1)) (i64.const -64) drop
    (i64.const 0x8000_0000_0000_0000) drop (drop (i32.load offset=7 (i32.const 0))) (data.drop 0))
  (elem (i32.const 0) $g) (data (i32.const 0) "abc") (data "d") (@custom "c" "x"))"""
FORMS = [Form(explicit_index=True), Form(explicit_types=True), Form(empty_sections=True), Form(True, True, True)]


def module(form: Form = SHORTEST) -> bytes:
    return encode(parse(TEXT), form)


@pytest.mark.parametrize("form", FORMS)
def test_a_form_is_another_way_to_write_the_same_module(form):
    other = module(form)
    assert other != module()
    assert len(other) > len(module())
    assert encode(decode(other)) == module()


def test_what_each_form_writes():
    elems = decode(module(Form(explicit_index=True))).elems
    assert [(e.flag, e.mode.index) for e in elems if isinstance(e.mode, Active)] == [(2, 0)]
    assert bytes.fromhex("4e014f005f017f00") in module(Form(explicit_types=True))
    assert bytes.fromhex("06 01 00".replace(" ", "")) in module(Form(empty_sections=True))  # no globals


def test_padding_as_much_as_possible_uses_every_byte_that_an_integer_may_have():
    padded = pad(module(), lambda most: most)
    assert encode(decode(padded)) == module()
    assert all(n.end - n.start == -(-n.bits // 7) for n in integers(padded))
    assert pad(padded, lambda most: most) == padded


def test_padding_by_nothing_changes_nothing():
    assert pad(module(), lambda most: 0) == module()


@pytest.mark.parametrize("x", range(0, 50, 7))
def test_one_longer_integer_leaves_the_others(x):
    count = iter(range(1000))
    padded = pad(module(), lambda most: next(count) == x)
    assert len(padded) >= len(module()) + 1
    assert encode(decode(padded)) == module()


@pytest.mark.parametrize("seed", range(12))
def test_generated_modules_survive_every_form_and_length(seed):
    source = Source.fresh("forms", seed)
    original = generate(Source.fresh("forms module", seed), list(PRESETS.values())[seed % len(PRESETS)]).wasm
    canonical = encode(decode(original))
    for form in FORMS:
        other = pad(encode(decode(original), form), lambda most: source.between(0, most))
        assert encode(decode(other)) == canonical


def test_another_decoder_reads_the_same_module():
    wasmtime = pytest.importorskip("wasmtime")
    body = '(func (export "f") (param i32) (result i32) (i32.add (local.get 0) (i32.const -7)))'
    data = pad(encode(decode(wasm(f"(module {body} (memory 1) (data))")), Form(True, True, True)), lambda most: most)
    store = wasmtime.Store()
    instance = wasmtime.Instance(store, wasmtime.Module(store.engine, data), [])
    assert instance.exports(store)["f"](store, 10) == 3


def test_what_cannot_be_decoded_cannot_be_padded():
    with pytest.raises(MalformedError):
        pad(module()[:-1], lambda most: most)
