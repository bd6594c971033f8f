"""Every rejection of a decoded module says where in the bytes the fault is."""

from __future__ import annotations

import pytest
import wasmtime

from engine.binary import decode, encode
from engine.errors import InvalidError
from engine.module import FuncImport, Import
from engine.validation import validate
from tests.support.wasm import wasm

# What is wrong, and the field and item that the offset must lie in.
FAULTS = [
    ("(table 1 funcref) (table 2 1 funcref)", "tables", 1, "size minimum"),
    ("(memory 2 1)", "mems", 0, "size minimum"),
    ("(global i32 (i64.const 1))", "globals", 0, "type mismatch"),
    ('(func) (export "a" (func 0)) (export "a" (func 0))', "exports", 1, "duplicate export"),
    ("(func (param i32)) (start 0)", "start", -1, "start function"),
    ("(table 1 funcref) (elem (i64.const 0) func)", "elems", 0, "type mismatch"),
    ("(memory 1) (data (i32.const 0)) (data (i64.const 0))", "datas", 1, "type mismatch"),
]


@pytest.mark.parametrize(("text", "field", "item", "phrase"), FAULTS, ids=[f[3] + " " + f[1] for f in FAULTS])
def test_a_fault_has_the_offset_of_its_item(text, field, item, phrase):
    module = decode(bytes(wasmtime.wat2wasm(f"(module {text})")))
    with pytest.raises(InvalidError, match=phrase) as raised:
        validate(module)
    assert raised.value.where is not None
    offset = raised.value.where.offset
    starts = module.places[field]
    assert offset is not None
    assert starts[item + 1] <= offset
    assert item + 2 >= len(starts) or offset < starts[item + 2]


def test_an_import_of_an_unknown_type_has_its_offset():
    module = decode(wasm('(import "a" "b" (func))'))
    module.imports = (Import("a", "b", FuncImport(7)),)
    again = decode(encode(module))
    with pytest.raises(InvalidError, match="unknown type 7") as raised:
        validate(again)
    assert raised.value.where == again.place("imports", 0)
    assert raised.value.where.offset is not None


def test_a_built_module_has_no_places():
    module = decode(wasm("(memory 1)"))
    module.places.clear()
    assert module.place("mems", 0).offset is None
