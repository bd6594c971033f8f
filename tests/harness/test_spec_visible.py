"""Modules with all their state exported: nothing but the exports is another."""

from __future__ import annotations

import pytest

from engine import Store, decode, instantiate, validate
from engine.binary import encode
from engine.text.parser import parse
from harness.wast.visible import with_state_exported


def exports(text: str) -> list[tuple[str, str, int]]:
    """Return the exports of the module of these fields after all its state is exported."""
    module = decode(with_state_exported(encode(parse(f"(module {text})".encode()))))
    validate(module)
    return [tuple(e) for e in module.exports]


def sections(wasm: bytes) -> dict[int, bytes]:
    """Return the contents of each section by id, of modules whose sections are shorter than 128 bytes."""
    found, at = {}, 8
    while at < len(wasm):
        found[wasm[at]] = wasm[at + 2 : at + 2 + wasm[at + 1]]
        at += 2 + wasm[at + 1]
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(memory 1)", [("@mem0", "mem", 0)]),
        ("(global i32 (i32.const 1)) (table 1 funcref)", [("@table0", "table", 0), ("@global0", "global", 0)]),
        ('(memory (export "m") 1) (memory 1)', [("m", "mem", 0), ("@mem1", "mem", 1)]),
        ('(import "a" "b" (memory 1)) (memory 2)', [("@mem1", "mem", 1)]),
        ('(func (export "@mem0")) (memory 1)', [("@mem0", "func", 0), ("@@mem0", "mem", 0)]),
        ('(func (export "f")) (tag)', [("f", "func", 0)]),
        ("", []),
    ],
)
def test_what_a_module_defines_is_exported_under_unused_names(text, expected):
    assert exports(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        '(memory 1) (global i32 (i32.const 0)) (func (export "f")) (data (i32.const 0) "x")',
        "(memory 1) (tag) (global i32 (i32.const 0)) (func $f) (start $f) (elem declare func $f)",
        "(memory 1)",
    ],
)
def test_no_other_section_changes(text):
    before = encode(parse(f"(module {text})".encode()))
    after = with_state_exported(before)
    old, new = sections(before), sections(after)
    new.pop(7)
    old.pop(7, None)
    assert list(old.items()) == list(new.items())
    instantiate(Store(), decode(after), [])


@pytest.mark.parametrize("data", [b"", b"\0asm", b"\0asm\1\0\0\0\5\3\1\0", b"(module)"])
def test_what_is_no_module_stays_as_it_is(data):
    assert with_state_exported(data) == data
