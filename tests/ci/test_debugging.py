"""The gate of debugging: a small run, that it would notice, twins, and each place that wasmtime shows wrongly."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from ci.gates.debugging import judge, program, run_chunk
from ci.gates.places import EXPLAINED
from ci.gates.shapes import FEATURES
from engine.binary import decode
from engine.validation import validate
from harness.checks import shadow
from harness.checks.twins import EXPORTS, frames_of, twin_of
from oracles.adapters import reference_frames
from oracles.adapters.reference import COUNT, ReferenceSession
from oracles.outcome import Record, Returned, Trapped
from oracles.plan import SHADOW_NOTE, HostFunc, Plan, Step
from tests.support.wasm import wasm


def plan_of(text: str, *args: tuple[str, object], host: tuple = (("record",),)) -> Plan:
    """Return a plan that calls ``f`` of a module, whose import ``host.h`` takes and gives nothing."""
    steps = (
        Step("instantiate", {"instance": "m", "module": "m", "imports": {"host": ["@host"]}}),
        Step("call", {"instance": "m", "export": "f", "args": list(args)}),
        Step("observe", {"instances": []}),
    )
    return Plan(steps, {"m": wasm(text)}, hosts={"h": HostFunc((), (), host)}, features=FEATURES)


def records(plan: Plan) -> list[Record]:
    """Run all steps in our engine."""
    session = ReferenceSession(plan, None, COUNT)
    return [Record(n, *session.run(step)) for n, step in enumerate(plan.steps)]


def stops_of(text: str, *args: tuple[str, object], **rest) -> list[list[tuple]]:
    """Return locals and operands of each frame at each stop, which the cursor and a twin in our engine agree on."""
    plan = plan_of(text, *args, **rest)
    twin_plan, twin = shadow.derive(plan)
    shown_plan = shadow.with_values(plan)
    told = records(twin_plan)
    assert shadow.disagreement(shown_plan, records(shown_plan), twin, told, Counter()) is None
    call, observe = told[-2:]
    shadows = [(note[1][0][1], True) for note in observe.data["trace"] if note[0] == SHADOW_NOTE]
    if "shadow" in (call.data or {}):
        shadows.append((call.data["shadow"], not isinstance(call.outcome, Trapped)))
    found = [frames_of(twin, bytes.fromhex(told), is_in_host=is_in_host) for told, is_in_host in shadows]
    return [[(frame.funcidx, frame.locals, frame.operands) for frame in frames] for frames in found]


def test_a_small_run_is_clean():
    tally = run_chunk(2, range(24))
    counts = tally.counts
    assert tally.found == []
    assert counts["trap stops"] > 20
    assert counts["host stops"] > 20


def test_operands_below_a_construct_are_those_at_its_beginning():
    text = """(import "host" "h" (func $h))
        (func (export "f") (param i64) i32.const 7 local.get 0
          (block (param i64) (local.set 0 (i64.const 9)) (f32.const 1) (call $h) drop drop) drop)"""
    assert stops_of(text, ("i64", f"{5:016x}")) == [[(1, (9,), (7, 5, 0x3F80_0000))]]


def test_a_frame_that_waits_has_its_arguments_and_a_trap_its_operands():
    text = """(func $g (param i32) (result i32) i32.const 3 local.get 0 i32.div_u)
        (func (export "f") (local v128) i64.const 1 i32.const 0 call $g drop drop)"""
    assert stops_of(text) == [[(0, (0,), (3, 0)), (1, (0,), (1, 0))]]


def test_a_tail_call_leaves_no_frame():
    text = """(import "host" "h" (func $h))
        (func $g (param i32) return_call $h)
        (func $k (param i32) local.get 0 return_call $g)
        (func (export "f") i32.const 4 i32.const 5 call $k drop)"""
    assert stops_of(text) == [[(3, (), (4, 5))]]


def test_a_tail_call_that_traps_still_has_its_frame():
    text = """(table 1 funcref) (func (export "f") (param i32) i32.const 0 return_call_indirect (param))"""
    assert stops_of(text, ("i32", "00000001")) == [[(0, (1,), (0,))]]


def test_references_are_shown_by_whether_they_are_null_and_not_before_they_are_set():
    text = """(import "host" "h" (func $h))
        (func (export "f") (param externref) (local (ref func)) call $h
          (local.set 1 (ref.func $h)) ref.null func call $h drop) (elem declare func $h)"""
    assert stops_of(text, ("externref", 2)) == [[(1, (0, None), ())], [(1, (0, 0), (1,))]]


def test_frames_of_outer_activations_lie_below():
    text = """(import "host" "h" (func $h))
        (func (export "g") i64.const 2 unreachable)
        (func (export "f") i32.const 1 call $h drop)"""
    assert stops_of(text, host=(("call", "m", "g", []),)) == [[(2, (), (1,))], [(1, (), (2,)), (2, (), (1,))]]


def test_after_a_handler_the_record_is_that_of_its_frame():
    text = """(tag $e) (import "host" "h" (func $h))
        (func $g i32.const 5 call $h throw $e)
        (func (export "f") i32.const 1 (block (try_table (catch $e 0) call $g)) call $h unreachable)"""
    text = text.replace('(tag $e) (import "host" "h" (func $h))', '(import "host" "h" (func $h)) (tag $e)')
    here = (2, (), (1,))
    assert stops_of(text) == [[(1, (), (5,)), here], [here], [here]]


def test_an_exception_that_leaves_is_a_stop_where_it_was_thrown():
    text = """(tag $e (param i32)) (func $g (param i32) local.get 0 throw $e) (func (export "f") i32.const 3 call $g)"""
    assert stops_of(text) == [[(0, (3,), (3,)), (1, (), (3,))]]


def test_a_twin_is_a_valid_module_that_does_the_same():
    plan = plan_of("""(func (export "f") (result i32 i64) i32.const 1 (block (nop)) i64.const 2)""")
    twin = twin_of(plan.modules["m"])
    validate(decode(twin.wasm))
    session = ReferenceSession(replace(plan, modules={"m": twin.wasm}), None, COUNT)
    outcomes = [session.run(step)[0] for step in plan.steps]
    assert outcomes[1] == Returned((("i32", "00000001"), ("i64", f"{2:016x}")))
    assert EXPORTS["memory"] in session.instances["m"].exports


RECURSION = """(func $f (export "f") (param i32)
    (if (i32.eqz (local.get 0)) (then return))
    (call $f (i32.sub (local.get 0) (i32.const 1)))
    unreachable)"""
ADDRESS = '(memory 1) (func (export "f") (param i32) (result f32) local.get 0 i32.load f32.load)'


@pytest.mark.parametrize(
    ("name", "text", "arg"),
    [("trap at a return address", RECURSION, "00000003"), ("load sunk into its user", ADDRESS, "ffffffff")],
)
def test_what_is_explained_still_happens(name, text, arg):
    verdict = judge(plan_of(text, ("i32", arg)), "none")
    assert verdict.difference is None
    assert verdict.counts[name] == 1
    assert name in [entry.name for entry in EXPLAINED]


def planted(monkeypatch, change) -> str | None:
    """Return the difference that the gate finds where our frames are changed."""
    usual = reference_frames._shown
    monkeypatch.setattr(reference_frames, "_shown", lambda cursor: change(usual(cursor)))
    text = """(func $g (param i32 f32) (local i64) i32.const 1 local.get 0 i32.div_s drop)
        (func (export "f") i64.const 4 i32.const 0 f32.const 2 call $g drop)"""
    return judge(plan_of(text), "none").difference


ONE = ["i32", "00000001"]
CHANGES = {
    "nothing": (lambda f: f, None),
    "a lost local": (lambda f: {**f, "locals": [*f["locals"][:-1], ONE][: len(f["locals"])]}, "in the twin"),
    "a missing operand": (lambda f: {**f, "operands": f["operands"][1:]}, "in the twin"),
    "operands in another order": (lambda f: {**f, "operands": f["operands"][::-1]}, "in the twin"),
    "the next instruction": (lambda f: {**f, "offset": f["offset"] + 1}, "in the twin"),
    "another function": (lambda f: {**f, "func": f["func"] ^ 1}, "in the twin"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_wrong_frames_are_differences(monkeypatch, name):
    change, expected = CHANGES[name]
    found = planted(monkeypatch, change)
    assert found is None if expected is None else expected in str(found)


def test_lost_frames_are_differences(monkeypatch):
    usual = reference_frames.FrameSession._now
    monkeypatch.setattr(reference_frames.FrameSession, "_now", lambda self: usual(self)[:1])
    text = """(func $g unreachable) (func (export "f") i64.const 4 call $g drop)"""
    assert "number of frames" in str(judge(plan_of(text), "none").difference)


def test_programs_are_functions_of_their_number():
    assert program(1, 3) == program(1, 3)
    assert program(1, 3) != program(1, 6)
    assert program(1, 4) == program(1, 4)
