"""Conditions of the registry: an entry with one explains what follows from it, and nothing else."""

from __future__ import annotations

import pytest

from engine.binary import encode
from engine.text.parser import parse
from harness import baselines
from harness.compare import Differ, Side
from harness.divergences import load
from oracles.outcome import Record, Returned, Trapped
from oracles.plan import Plan, Step

REGISTRY = load(baselines() / "divergences.toml")
VERDICT = Differ("R2", 3, "result", "i32:00000000", "i32:00000005", "result", "call", "i32", "i32")
IMPORT, GET = '(import "a" "t" (table 2 funcref))', "(func $get (result i32) (i32.load (i32.const 8)))"
DATA = '(memory 1) (data (i32.const 8) "a")'
ELEMS = "(elem (i32.const 0) $get) (elem (i32.const 2) $get)"
TRAPPED = Trapped("out of bounds table access")


def explained(text=f"{IMPORT} {DATA} {GET} {ELEMS}", ended=TRAPPED, version="50.0.1", metered=True, verdict=VERDICT):
    """Return the entry that explains a finding at step 3, after step 2 instantiated the module and ended so."""
    steps = (
        Step("get_fuel", {}) if metered else Step("observe", {}),
        Step("instantiate", {"instance": "a", "module": "a", "imports": {}}),
        Step("instantiate", {"instance": "b", "module": "b", "imports": {"a": ["a"]}}),
        Step("call", {"instance": "a", "export": "f", "args": []}),
    )
    plan = Plan(steps, modules={"b": encode(parse(f"(module {text})")), "a": encode(parse("(module)"))})
    records = tuple(Record(n, ended if n == 2 else Returned()) for n in range(4))
    left = Side("reference", records, "reference", "0")
    entry = REGISTRY.explain(plan, left, Side("wasmtime", records, "wasmtime", version), verdict)
    return None if entry is None else entry.id


@pytest.mark.parametrize("version", ["36.0.0", "48.0.0", "50.0.1"])
def test_functions_left_over_an_image_show_it(version):
    assert explained(version=version) == "wasmtime-image-before-elements"


OTHERWISE = {
    "no image": {"text": f"{IMPORT} (memory 1) {GET} {ELEMS}"},
    "data that are copied": {
        "text": f'{IMPORT} (memory 1) (data (i32.add (i32.const 8) (i32.const 0)) "a") {GET} {ELEMS}'
    },
    "no functions left": {"text": f"{IMPORT} {DATA} {GET} (elem (i32.const 2) $get)"},
    "only the last segment fills the table": {
        "text": f"{IMPORT} (table 1 funcref) {DATA} {GET} (elem (table 1) (i32.const 0) func $get) "
        "(elem (i32.const 2) $get)"
    },
    "functions in a table of its own": {"text": f"(table 2 funcref) {DATA} {GET} {ELEMS}"},
    "instantiated": {"ended": Returned()},
    "another trap": {"ended": Trapped("out of bounds memory access")},
    "a trap in the start function": {"ended": Trapped("out of bounds table access", (0, 40))},
    "not metered": {"metered": False},
    "another release": {"version": "51.0.0"},
    "another rule": {
        "verdict": Differ("R3", 3, "outcome", "", "", "outcome", "call", "returned", "trapped: unreachable")
    },
    "before": {"verdict": Differ("R2", 2, "result", "", "", "result", "call", "i32", "i32")},
}


@pytest.mark.parametrize("name", OTHERWISE)
def test_nothing_else_is_explained_by_it(name):
    assert explained(**OTHERWISE[name]) is None


SAME = "(func $same (result i32) (ref.eq (array.get $a (local.get 0) (i32.const 0)) (ref.null any)))"
COPY = "(func (drop (array.new_elem $a $e (i32.const 0) (i32.const 1))))"
ALLOCATED = "(elem $e arrayref (item (array.new_default $a (i32.const 0))))"


@pytest.mark.parametrize(
    ("parts", "version", "is_known"),
    [
        ((ALLOCATED, COPY, SAME), "36.0.0", True),
        ((ALLOCATED, COPY, SAME), "48.0.0", False),
        ((ALLOCATED, COPY), "36.0.0", False),
        ((ALLOCATED, SAME), "36.0.0", False),
        (("(elem $e arrayref (item (ref.null array)))", COPY, SAME), "36.0.0", False),
        (("(table 1 arrayref)", ALLOCATED.replace("$e", "$e (i32.const 0)"), COPY, SAME), "36.0.0", False),
    ],
)  # fmt: skip
def test_elements_evaluated_again_need_allocation_copies_and_equality(parts, version, is_known):
    text = f"(type $a (array (mut arrayref))) {' '.join(parts)}".replace(
        "$same (result", "$same (param (ref $a)) (result"
    )
    plan = Plan((Step("get_fuel", {}),) * 4, modules={"m": encode(parse(f"(module {text})"))})
    left, right = Side("reference", (), "reference", "0"), Side("wasmtime", (), "wasmtime", version)
    entry = REGISTRY.explain(plan, left, right, VERDICT)
    assert (entry is not None and entry.id == "wasmtime-36-elements-evaluated-again") == is_known


def test_without_answers_nothing_is_known():
    left, right = Side("reference", (), "reference", "0"), Side("wasmtime", (), "wasmtime", "50.0.1")
    plan = Plan((Step("get_fuel", {}),) * 4)
    assert REGISTRY.explain(plan, left, right, VERDICT) is None
