"""Our own scripts on the reference engine and on wasmtime, what they cover, and what the judge would notice."""

from __future__ import annotations

from pathlib import Path

import pytest

from ci.gates.comparer import survivors
from harness.wast.reader import read_script
from harness.wast.runner import ScriptRunner
from harness.wast.script import ASSERTIONS
from harness.wast.suite import load_manifest, load_path
from oracles.traps import PHRASES

CORPUS = Path(__file__).parents[2] / "corpus" / "conformance"
FILES = load_path(CORPUS, load_manifest())
OURS = ("legacy_exceptions.wast", "proposals/custom-descriptors/descriptors.wast")  # wasmtime does not execute these
PAIRS = [
    (engine, file)
    for file in FILES
    for engine in ("reference", "wasmtime")
    if engine == "reference" or file.name not in OURS
]


@pytest.fixture(scope="module")
def runners():
    """Return the runner of each engine; workers start with the first script."""
    with ScriptRunner("reference") as reference, ScriptRunner("wasmtime") as wasmtime:
        yield {"reference": reference, "wasmtime": wasmtime}


@pytest.mark.parametrize(("engine", "file"), PAIRS, ids=lambda part: getattr(part, "name", part))
def test_every_command_is_as_expected(runners, engine, file):
    result = runners[engine].run(file)
    assert result.problem == ""
    assert [(v.command.line, v.command.kind, v.reason, v.detail) for v in result.verdicts if not v.passed] == []
    assert len(result.verdicts) == sum(read_script(file.data).counts().values())


@pytest.mark.parametrize(("engine", "file"), PAIRS, ids=lambda part: getattr(part, "name", part))
def test_the_judge_notices_every_wrong_expectation(runners, engine, file):
    made, alive = survivors(runners[engine], file)
    assert alive == []
    assert made.total() > 0


def test_every_kind_of_assertion_and_every_trap_of_wasm_2_stands_in_a_script():
    commands = [c for file in FILES for c in read_script(file.data).commands]
    assert set(ASSERTIONS) - {c.kind for c in commands} == {
        "assert_malformed_custom",
        "assert_invalid_custom",
    }
    assert {c.phrase for c in commands if c.kind == "assert_trap"} == set(PHRASES[:6]) | {
        "undefined element",
        "uninitialized element",
        "indirect call type mismatch",
        "null function reference",
        "null reference",
        "null structure reference",
        "null array reference",
        "null i31 reference",
        "null exception reference",
        "null descriptor reference",
        "out of bounds array access",
        "cast failure",
        "unaligned atomic",
        "expected shared memory",
    }
