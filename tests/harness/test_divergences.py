"""The registry of known divergences: what an entry explains, and the entries that are refused."""

from __future__ import annotations

import pytest
import wasmtime

from engine.binary import encode
from engine.text.parser import parse as parse_text
from harness import baselines
from harness.compare import Differ, Side
from harness.divergences import Registry, RegistryError, load, parse
from oracles.plan import Plan

ENTRY = {
    "id": '"wasmer-trunc"',
    "engine": '"wasmer"',
    "versions": '">=1.1.0,<1.2"',
    "rule": '"R4"',
    "outcome": '["trapped: integer overflow", "trapped: invalid conversion to integer"]',
    "reason": '"one trap code for both conversions"',
    "count": "2",
}
VERDICT = Differ(
    "R4", 3, "trap", "", "", "trap", "call", "trapped: integer overflow", "trapped: invalid conversion to integer"
)


def toml(**changes):
    fields = {k: v for k, v in (ENTRY | changes).items() if v is not None}
    return "format = 1\n[[divergence]]\n" + "\n".join(f"{k} = {v}" for k, v in fields.items())


def explained(version="1.1.0", oracle="wasmer@1.1", name="wasmer", verdict=VERDICT, plan=None, **changes):
    sides = Side("reference", (), "reference", "0"), Side(oracle, (), name, version)
    return parse(toml(**changes)).explain(plan or Plan(steps=()), *sides, verdict) is not None


def test_an_entry_explains_its_own_divergence():
    assert explained()


@pytest.mark.parametrize(
    ("version", "versions", "inside"),
    [
        ("1.0.9", ">=1.1.0,<1.2", False),
        ("1.1.7", ">=1.1.0,<1.2", True),
        ("1.2.0", ">=1.1.0,<1.2", False),
        ("1.2.5", ">=1.1.0,<=1.2", True),  # 1.2 stands for all of 1.2
        ("1.3", ">=1.1.0,<=1.2", False),
        ("", ">=1.1.0,<1.2", False),
    ],
)
def test_versions_bound_an_entry(version, versions, inside):
    assert explained(version=version, versions=f'"{versions}"') == inside


def test_engine_rule_variant_and_outcome_must_all_fit():
    assert not explained(name="wasmtime")
    assert not explained(rule='"R2"')
    assert not explained(engine='"wasmer:singlepass"')
    assert explained(engine='"wasmer:singlepass"', oracle="wasmer@1.1:singlepass")
    assert not explained(outcome='["trapped: invalid conversion to integer", "trapped: integer overflow"]')


def test_the_reference_may_have_ended_in_several_ways():
    theirs = '"trapped: invalid conversion to integer"'
    assert explained(outcome=f'[["returned", "trapped: integer overflow"], {theirs}]')
    assert not explained(outcome=f'[["returned", "trapped: unreachable"], {theirs}]')


def test_rows_must_occur_in_the_case():
    plan = Plan(
        steps=(), modules={"m": wasmtime.wat2wasm("(module (func (drop (i32.trunc_f32_s (f32.const 1)))))"), "x": b"no"}
    )
    assert explained(plan=plan, rows='["i32.trunc_f32_s"]')
    assert not explained(plan=plan, rows='["i32.trunc_f32_u"]')


def test_several_rules_may_show_one_bug():
    assert explained(rule='["R2", "R4"]')
    assert not explained(rule='["R2", "R5"]')


@pytest.mark.parametrize(
    ("body", "operand", "has"),
    [
        ("(drop (select (v128.const i64x2 0 0) (v128.const i64x2 0 0) (i32.const 0)))", "v128", True),
        ("(drop (select (result v128) (v128.const i64x2 0 0) (v128.const i64x2 0 0) (i32.const 0)))", "v128", True),
        ("(drop (select (i64.const 0) (i64.const 0) (i32.const 0))) (drop (v128.const i64x2 0 0))", "v128", False),
        ("(drop (select (i64.const 0) (i64.const 0) (i32.const 0)))", "i64", True),
        ("(drop (f32.abs (f32.const 0)))", "f32", True),
        ("(drop (f32.abs (f32.const 0)))", "f64", False),
        ("drop", "f64", False),  # not valid
    ],
)
def test_an_instruction_may_be_known_for_one_type_of_operand(body, operand, has):
    wasm = encode(parse_text(f"(module (func {body}))"))
    plan = Plan(steps=(), modules={"m": wasm})
    assert explained(plan=plan, rows='["select", "select t", "f32.abs"]', operand=f'"{operand}"') == has


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"rule": "[]"}, "rule"),
        ({"rule": '["R2", "R99"]'}, "rule"),
        ({"operand": '"i33"', "rows": '["select"]'}, "operand"),
        ({"operand": '"i32"'}, "one of rows"),
        ({"command": '"rm"'}, "unknown field"),
        ({"when": '"it rains"'}, "when is one of"),
        ({"reason": None}, "missing"),
        ({"reason": '"flaky"'}, "sentence"),
        ({"outcome": None}, "over-broad"),
        ({"outcome": '["*", "*"]'}, "over-broad"),
        ({"outcome": '["trapped: x"]'}, "outcome"),
        ({"outcome": '[[], "trapped: x"]'}, "outcome"),
        ({"outcome": '[["returned", "*"], "trapped: x"]'}, "over-broad"),
        ({"outcome": '["returned", ["trapped: x"]]'}, "outcome"),
        ({"versions": '">=1.0"'}, "bounded"),
        ({"versions": '"*"'}, "bounded"),
        ({"engine": '"*"'}, "engine"),
        ({"rule": '"R99"'}, "rule"),
        ({"rows": '["i32.frobnicate"]'}, "no instruction"),
        ({"rows": "3"}, "rows"),
        ({"rows": str(["i32.add"] * 17)}, "over-broad"),
        ({"count": "0"}, "count"),
        ({"count": "true"}, "count"),
        ({"id": '"A B"'}, "id"),
    ],
)
def test_over_broad_and_malformed_entries_are_refused(changes, why):
    with pytest.raises(RegistryError, match=why):
        parse(toml(**changes))


@pytest.mark.parametrize("text", ["", "format = 2", "format = 1\nother = 1", "format = 1\ndivergence = 3", "{"])
def test_anything_but_a_registry_is_refused(text):
    with pytest.raises(RegistryError):
        parse(text)


def test_an_id_twice_is_refused():
    with pytest.raises(RegistryError, match="twice"):
        parse(toml() + "\n" + toml().removeprefix("format = 1"))


def test_more_hits_than_the_count_are_told():
    registry = parse(toml())
    assert registry.over_count({"wasmer-trunc": 2}, 900) == []
    assert registry.over_count({"wasmer-trunc": 4}, 1001) == []
    (sentence,) = registry.over_count({"wasmer-trunc": 3}, 900)
    assert "wasmer-trunc" in sentence


def test_the_checked_in_registry_loads():
    assert isinstance(load(baselines() / "divergences.toml"), Registry)


def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path):
    with pytest.raises(RegistryError, match="nothing"):
        load(tmp_path / "nothing.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff")
    with pytest.raises(RegistryError):
        load(tmp_path / "binary.toml")
