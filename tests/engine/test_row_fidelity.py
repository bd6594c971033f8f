"""Every row against the specification's index of instructions, through both formats and through another assembler.

What is typed under a context comes from ``tests.support.uses``; that rows are generated is tested with the generator,
that they are executed below: our own scripts call the function of each.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from engine import decode, encode, parse, print_module
from engine.execution.build import Build
from engine.features import WASM_1, WASM_2, WASM_3
from engine.instructions import TABLE
from engine.types import I32, I64, RefType
from harness.wast.reader import read_script
from harness.wast.runner import ASSEMBLERS, ScriptRunner
from harness.wast.schedule import schedule
from harness.wast.spectest import parts_for
from harness.wast.suite import features_of, load_manifest, load_path
from oracles.adapters.reference import ReferenceAdapter
from tests.support.uses import ROWS, uses
from tests.support.wasm import wasm

ROOT = Path(__file__).parents[2]
INDEX = {row[0]: row[1:] for row in json.loads((ROOT / "tests/golden/index.json").read_text())["rows"]}
SINCE = {1.0: WASM_1, 2.0: WASM_2 - WASM_1, 3.0: WASM_3 - WASM_2}

# How the index writes immediates of a kind, where that is not "x" for an index.
WORDS = {
    "memarg": ["memarg"], "br_table": ["l*", "l"], "labelidx": ["l"], "cast": ["t", "t"], "catches": [],
    "blocktype": ["bt"], "heaptype": ["ht"], "valtypes": ["t"], "u32": ["n"], "v128": ["i128"],
    "lanes": ["laneidx*16"], "laneidx": ["laneidx"], "i32": ["i32"], "i64": ["i64"], "f32": ["f32"], "f64": ["f64"],
}  # fmt: skip
# Where the index points elsewhere: the comparisons of i64x2 stand among the binary operators there, and the paper has
# a section for array.new_default.
ANCHORS = {
    "exec-vrelop": "exec-vbinop",
    "exec-array.new_default": "exec-array.new",
    "exec-label": None,
    "exec-if": None,
}


def code(row) -> str:
    return f"{row.opcode:02X}" if isinstance(row.opcode, int) else f"{row.opcode[0]:02X}:{row.opcode[1]:02X}"


def fits(word: str, t) -> bool:
    """Tell whether a type of an instance is one that the index writes like this."""
    if word in ("t", "at", "at_1", "at_2"):
        return word == "t" or t in (I32, I64)
    if word.startswith("(ref"):
        null, heap = word.startswith("(ref null"), word.strip("()").split()[-1]
        return (
            isinstance(t, RefType) and (t.null or not null) and (heap in ("x", "y", "t", "ht") or heap == str(t.heap))
        )
    return word == str(t)


def words(side: str) -> list[str]:
    """Cut one side of a type; a reference type is one word."""
    out: list[str] = []
    for word in side.split():
        if out and out[-1].count("(") > out[-1].count(")"):
            out[-1] += f" {word}"
        else:
            out.append(word)
    return out


def agrees(side: str, ts) -> bool:
    """Compare one side of a type, from the right up to the first list of types of any length."""
    expected = words(side)
    while expected and not expected[-1].endswith(("*", "^n")):
        if not ts or not fits(expected.pop(), ts[-1]):
            return False
        ts = ts[:-1]
    return bool(expected) or not ts


def test_the_index_has_every_row_of_the_standard_and_no_other():
    assert set(INDEX) == {code(row) for row in TABLE if row.feature in WASM_3}


@pytest.mark.parametrize("row", [row for row in TABLE if code(row) in INDEX], ids=lambda row: row.name)
def test_a_row_is_what_the_index_says(row):
    since, immediates, _, execution = INDEX[code(row)]
    assert row.feature in SINCE[since]
    written = [word for kind in row.imms for word in WORDS.get(kind.name, ["x"])]
    immediates = [word for i, word in enumerate(immediates) if immediates[i + 1 : i + 2] != ["memarg"]]
    assert [w.replace("ht", "t") for w in written] == [w.replace("ht", "t") for w in immediates]  # of ref.test
    assert execution in (row.spec, ANCHORS.get(row.spec, row.spec))


@pytest.mark.parametrize("row", [row for row in ROWS if code(row) in INDEX], ids=lambda row: row.name)
def test_the_type_of_a_row_is_what_the_index_says(row):
    _, _, type_, _ = INDEX[code(row)]
    _, use, _, _ = uses(row)
    pops, _, pushes = type_.partition("->")
    assert agrees(pops, use.pops), use.pops
    assert use.diverges or agrees(pushes, use.pushes), use.pushes


CLAUSES = {
    "else": "(func (if (i32.const 0) (then nop) (else nop)))",
    "end": "(func block end)",
    "catch": "(tag) (func try catch 0 end)",
    "rethrow": "(func try catch_all rethrow 0 end)",
    "delegate": "(func try delegate 0)",
    "catch_all": "(func try catch_all end)",
}


@pytest.mark.parametrize("row", list(TABLE), ids=lambda row: row.name)
def test_a_row_survives_both_formats(row):
    if row in ROWS:
        around, _, modules, _ = uses(row)
        features = around.features
    else:
        modules, features = [encode(parse(CLAUSES[row.name]))], frozenset({*WASM_3, row.feature})
    for data in modules:
        module = decode(data, features)
        assert any(i.row is row for i in module.codes[-1].body)
        assert encode(decode(encode(module), features)) == data
        assert encode(parse(print_module(module), features, names=False)) == data


@pytest.mark.parametrize("row", [row for row in ROWS if uses(row)[0].shared], ids=lambda row: row.name)
def test_another_assembler_writes_the_same_bytes(row):
    around, _, modules, _ = uses(row)
    for data in modules[:3]:
        assert wasm(print_module(decode(data, around.features))) == data


def test_our_scripts_call_the_function_of_every_row():
    called = set()

    def noting(name, fn):
        def note(*args):
            called.add(name)
            return fn(*args)

        return note

    rows = [
        replace(row, run=noting(row.name, row.run), make=row.make and noting(row.name, row.make))
        for row in TABLE
        if row.run is not None
    ]
    adapter = ReferenceAdapter()
    adapter.build = Build(table=TABLE.with_rows(rows), inline=False)
    engine = adapter.describe()
    with ScriptRunner("reference", ASSEMBLERS["own"]) as runner:
        for file in load_path(ROOT / "corpus/conformance", load_manifest()):
            script = read_script(file.data)
            binaries, _ = runner.assemble(script)
            features = features_of(file.folder)
            plan = schedule(script, binaries, parts_for(engine.features, features), features).plan
            session = adapter.open(plan)
            for step in plan.steps:
                session.run(step)
            session.close()
    assert {row.name for row in rows} - called == {"drop"}  # of which nothing is left to call
