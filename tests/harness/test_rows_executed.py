"""Our own scripts execute every row, by a record of what control came to and not by what stands in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine import Store, Trap, instantiate, invoke
from engine.features import EXECUTED
from engine.instructions import TABLE
from engine.instructions.model import Control
from engine.runtime.store import Config
from harness.wast.judge import judge
from harness.wast.reader import read_script
from harness.wast.runner import ScriptRunner
from harness.wast.schedule import schedule
from harness.wast.spectest import parts_for
from harness.wast.suite import features_of, load_manifest, load_path
from oracles.adapters.reference import COUNT, ReferenceSession
from oracles.outcome import Record
from tests.support.recording import Recording
from tests.support.wasm import wat

FILES = load_path(Path(__file__).parents[2] / "corpus" / "conformance", load_manifest())
ROWS = [row for row in TABLE if row.feature in EXECUTED]
GOES_ON = {None, Control.NOP, Control.BLOCK, Control.END, Control.CALL}  # other rows may be done elsewhere


@pytest.fixture(scope="module")
def executed():
    """Return the record of all scripts, each of which is as it should be under the build that records."""
    recording = Recording()
    with ScriptRunner("reference") as runner:
        for file in FILES:
            script = read_script(file.data)
            binaries, said = runner.assemble(script)
            engine, features = runner.oracle.description, features_of(file.folder)
            planned = schedule(script, binaries, parts_for(engine.features, features), features)
            session = ReferenceSession(planned.plan, recording.build, COUNT)
            records = [Record(i, *session.run(step)) for i, step in enumerate(planned.plan.steps)]
            assert [v for v in judge(planned, records, said, engine) if not v.passed] == [], file.name
    return recording


def test_control_comes_to_every_row(executed):
    assert [row.name for row in ROWS if row.name not in executed.begun] == []


def test_every_row_has_been_executed_without_a_trap(executed):
    assert [row.name for row in ROWS if row.control in GOES_ON and row.name not in executed.ended] == []


def recorded(text: str, *args: int) -> Recording:
    recording = Recording()
    instance = instantiate(Store(Config(build=recording.build)), wat(text))
    try:
        invoke(instance.store, instance.exports["f"], args)
    except Trap:
        recording.ended.add("trap")
    return recording


def test_what_control_does_not_come_to_is_not_recorded():
    text = """(func (export "f") (param i32)
        (block (br_if 0 (i32.eqz (local.get 0))) (drop (i64.const 1))) (if (local.get 0) (then nop) (else return)))"""
    away = {"i64.const", "drop", "end", "nop", "else"}
    on = {"block", "br_if", "i32.eqz", "local.get", "if"}
    assert recorded(text, 0).begun == on | {"return"}
    assert recorded(text, 1).begun == on | away
    assert {"return", "else", "if"}.isdisjoint(recorded(text, 1).ended)


def test_what_stands_behind_a_trap_is_not_recorded():
    recording = recorded("""(func (export "f") (param i32) (result i32)
        (i32.add (i32.div_u (i32.const 1) (local.get 0)) (i32.popcnt (i32.const 3))))""", 0)  # fmt: skip
    assert recording.begun == {"i32.const", "local.get", "i32.div_u"}
    assert recording.ended == {"i32.const", "local.get", "trap"}


def test_a_value_that_nobody_needs_is_recorded_where_it_stands():
    recording = recorded("""(memory 1) (func (export "f") (param i32)
        (drop (i32.load (local.get 0))) (drop (f32.neg (f32.const 1))))""", 1 << 31)  # fmt: skip
    assert recording.begun == {"local.get", "i32.load"}
