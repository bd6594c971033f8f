"""The gate of fuel: it finds models that are wrong, its modules are valid, and what goes wrong in a run is told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ci.gates import fuel
from ci.gates.fuel import Tally, check_chunk, check_module, check_points, main, plan_of
from ci.gates.lengths import text_of
from engine.binary import decode
from engine.execution.fuel_models import fuel_model
from engine.instructions.model import Control
from engine.validation import validate
from generators.source import Source
from tests.support.wasm import wasm

FEW = 30  # modules, by which each wrong model is found


def tally_of(modules: range, oracle: str = "wasmtime", budgets: int = 3) -> Tally:
    tally = Tally()
    for i in modules:
        tally.add(check_module(oracle, 1, i, budgets))
    return tally


@pytest.mark.parametrize("heap", [False, True])
@pytest.mark.parametrize("exceptions", [False, True])
def test_modules_full_of_lengths_are_valid_and_full_of_lengths(heap, exceptions):
    for i in range(10):
        module = decode(wasm(text_of(Source.fresh("lengths", i), heap=heap, exceptions=exceptions)))
        validate(module)
        assert sum(ins.row.bulk is not None for code in module.codes for ins in code.body) >= 3


def test_engines_that_count_alike_agree_and_every_call_is_counted():
    for oracle in ("wasmtime", "wasmtime:winch"):
        tally = tally_of(range(4), oracle)
        assert tally.failures == []
        assert tally.seen >= tally.outcomes.total() > 20
        assert any("out of fuel" in word for word in tally.outcomes)
        assert any("returned" in word for word in tally.outcomes)


def test_check_points_are_those_of_a_run_in_slices_of_one_unit():
    points = check_points(plan_of(1, 1, fuel.engine("wasmtime").description), fuel_model("wasmtime", 50))
    for spent in points.values():
        *at_checks, at_end = spent  # which is less where a trap gave something back
        assert at_checks == sorted(at_checks)
        assert spent[0] in (0, 1)  # what is entered costs 1, what needs no startup function nothing
        assert at_end >= 0


_RIGHT = fuel_model("wasmtime", 50)
WRONG = {
    "if is free": replace(_RIGHT, flat=lambda row: 0 if row.control is Control.IF else _RIGHT.flat(row)),
    "one unit too much": replace(_RIGHT, pieces=lambda row, n: n + (row.bulk.unit == "byte")),
    "no length is a constant": replace(_RIGHT, unchecked=None),
    "more lengths are not checked": replace(_RIGHT, unchecked=129),
    "loops are not checked": replace(_RIGHT, checks=frozenset(s for s in _RIGHT.checks if s.name != "LOOP")),
    "entries are free": replace(_RIGHT, entry=0),
    "traps keep what was spent": replace(_RIGHT, refund=fuel_model("unit").refund),
    "instantiation is free": replace(_RIGHT, startup=None),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_model_is_found(name, monkeypatch):
    right = fuel.engine("wasmtime")
    monkeypatch.setattr(fuel, "engine", lambda oracle_id: replace(right, model=WRONG[name]))
    assert any(check_module("wasmtime", 1, i, 6).failures for i in range(FEW))


def test_what_escapes_is_a_failure_of_its_module():
    tally = check_chunk("nothing-like-this", 1, 1, [3, 4])
    assert [i for i, _ in tally.failures] == [3, 4]
    assert tally.tried == 2


def test_the_command_says_how_the_run_went(capsys):
    assert main(["--modules", "3", "--budgets", "2", "--engines", "wasmtime", "--jobs", "1"]) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith("fuel: wasmtime 3 modules of 3, ")
    assert line.endswith(" 0 mismatches")


@pytest.mark.external
@pytest.mark.parametrize("engine", ["wasmtime@48", "wasmtime@36"])
def test_an_engine_of_another_version_is_asked_in_its_environment(engine):
    found = fuel.engine(engine)
    assert found.description.version.partition(".")[0] == engine.partition("@")[2]
    assert str(found.model) == engine.replace("@", " ")
    assert check_module(engine, 1, 2, 2).failures == []


def test_one_module_is_shown(capsys):
    assert main(["--only", "1", "--budgets", "1", "--engines", "wasmtime"]) == 0
    assert '(export "f0"' in capsys.readouterr().out
