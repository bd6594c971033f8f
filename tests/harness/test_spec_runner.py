"""Runs of scripts when something goes wrong, and when there are several at once."""

from __future__ import annotations

import json
import threading
from dataclasses import replace

import pytest

from ci.gates.scope import FEATURES, unexplained
from harness import __version__, baselines
from harness.wast import schedule as schedules
from harness.wast.expectations import Expectations
from harness.wast.runner import FileResult, ScriptRunner, run_files
from harness.wast.suite import FileInfo, SuiteFile, load_manifest
from oracles.adapter import Unavailable

LOOP = b"""(module (func (export "spin") (loop (br 0))) (func (export "one") (result i32) (i32.const 1)))
(assert_return (invoke "one") (i32.const 1))
(invoke "spin")
(assert_return (invoke "one") (i32.const 1))
(assert_trap (invoke "one") "unreachable")
"""
GOOD = b'(module (func (export "one") (result i32) (i32.const 1))) (assert_return (invoke "one") (i32.const 1))'


def file(data: bytes, name: str = "a.wast") -> SuiteFile:
    return SuiteFile(name, data)


@pytest.mark.parametrize("engine", ["reference", "wasmtime"])
def test_a_hang_fails_the_rest_of_its_file_and_nothing_else(monkeypatch, engine):
    monkeypatch.setattr(schedules, "LIMITS", replace(schedules.LIMITS, step_ms=400))
    with ScriptRunner(engine) as runner:
        reasons = [v.reason for v in runner.run(file(LOOP)).verdicts]
        assert reasons == ["", "", "timed out", "timed out", "timed out"]
        assert all(v.passed for v in runner.run(file(GOOD)).verdicts)


def test_what_is_no_script_is_a_problem_of_the_file():
    with ScriptRunner("wasmtime") as runner:
        result = runner.run(file(b"(module"))
    assert result.problem.startswith("not a script: unexpected end")
    assert result.verdicts == ()


def test_a_script_with_other_commands_than_pinned_is_a_problem():
    pinned = FileInfo("a.wast", "", 0, {"assert_return": 2, "module text": 1})
    with ScriptRunner("wasmtime") as runner:
        result = runner.run(SuiteFile("a.wast", GOOD, pinned))
    assert "other commands than the manifest counts" in result.problem


def test_an_assembler_that_dies_fails_every_command(monkeypatch):
    with ScriptRunner("wasmtime", assembler="wasmtime") as runner:
        monkeypatch.setattr(runner.oracle, "run", lambda plan: [])
        result = runner.run(file(GOOD))
    assert "the assembler wasmtime failed" in result.problem
    assert [v.reason for v in result.verdicts] == ["text", "text"]


@pytest.mark.parametrize("jobs", [1, 2, 5])
def test_results_do_not_depend_on_the_number_of_jobs(jobs):
    files = [file(GOOD + b"\n" * i, f"{i}.wast") for i in range(4)] + [file(b"(", "bad.wast")]
    results = sorted(run_files(files, "wasmtime", jobs), key=lambda r: r.file.name)
    assert [(r.file.name, len(r.verdicts), bool(r.problem)) for r in results] == [
        *((f"{i}.wast", 2, False) for i in range(4)),
        ("bad.wast", 0, True),
    ]


def test_leaving_early_stops_the_threads():
    before = threading.active_count()
    results = run_files([file(GOOD, f"{i}.wast") for i in range(6)], "wasmtime", 2)
    assert isinstance(next(results), FileResult)
    results.close()
    assert threading.active_count() == before


def test_an_unknown_engine_is_unavailable():
    with pytest.raises(Unavailable, match="no oracle"):
        next(run_files([file(GOOD)], "nonsense", 1))


def test_an_error_in_a_thread_reaches_the_caller(monkeypatch):
    def broken(self, file):
        raise ZeroDivisionError

    monkeypatch.setattr(ScriptRunner, "run", broken)
    with pytest.raises(ZeroDivisionError):
        list(run_files([file(GOOD, "1"), file(GOOD, "2")], "wasmtime", 2))


# what is checked in


def scope():
    return json.loads((baselines() / "spec" / "scope.json").read_text())


def test_wasmtime_is_expected_to_pass_all_of_core():
    expected = Expectations.load(baselines() / "spec", "wasmtime@50.0.1", load_manifest().name, "wasmtime")
    assert expected.known
    core = {name: entry for name, entry in expected.files.items() if name.startswith("core/")}
    assert not any("failing" in entry for entry in core.values())
    assert sum(entry["text"] for entry in core.values()) == 1226


def test_the_reference_engine_is_expected_to_pass_everything_in_scope():
    assert len(scope()["files"]) > 80
    assert unexplained(scope()) == []
    assert scope()["features"] == list(FEATURES)


def test_a_failure_in_scope_would_be_noticed(monkeypatch):
    expected = Expectations.load(baselines() / "spec", f"reference@{__version__}", load_manifest().name)
    expected.files["core/base/i32.wast"] = {"failing": {"value": "3", "unsupported feature": "7"}}
    monkeypatch.setattr(Expectations, "load", lambda *_: expected)
    assert unexplained(scope()) == ["core/base/i32.wast: 3,7"]


def test_the_pinned_texts_name_files_of_the_manifest():
    for path in (baselines() / "spec").glob("*@*.json"):
        assert set(json.loads(path.read_text())["files"]) <= set(load_manifest().files)
