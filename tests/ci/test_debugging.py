"""The gate of debugging: a small run, that it would notice, twins, and each place that wasmtime shows wrongly."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ci.gates import stops
from ci.gates.debugging import judge, program, run_chunk
from ci.gates.places import EXPLAINED
from ci.gates.shapes import FEATURES
from ci.gates.stops import CursorSession, twinned
from ci.gates.twins import MEMORY, twin_of
from engine.binary import decode
from engine.validation import validate
from oracles.adapters.reference import COUNT, ReferenceSession
from oracles.outcome import Returned
from oracles.plan import HostFunc, Plan, Step
from tests.support.wasm import wasm


def plan_of(text: str, *args: tuple[str, object], host: tuple = (("record",),)) -> Plan:
    """Return a plan that calls ``f`` of a module, whose import ``host.h`` takes and gives nothing."""
    steps = (
        Step("instantiate", {"instance": "m", "module": "m", "imports": {"host": ["@host"]}}),
        Step("call", {"instance": "m", "export": "f", "args": list(args)}),
    )
    return Plan(steps, {"m": wasm(text)}, hosts={"h": HostFunc((), (), host)}, features=FEATURES)


def play(session, plan: Plan):
    """Run all steps and return the session."""
    for step in plan.steps:
        session.run(step)
    return session


def stops_of(text: str, *args: tuple[str, object], **rest) -> list[list[tuple]]:
    """Return locals and operands of each frame at each stop, which the cursor and a twin in our engine agree on."""
    plan = plan_of(text, *args, **rest)
    twin = twin_of(plan.modules["m"])
    seen = play(twinned(ReferenceSession, twin, replace(plan, modules={"m": twin.wasm}), None, COUNT), plan).stops
    assert play(CursorSession(plan), plan).stops == seen
    return [[(frame.funcidx, frame.locals, frame.operands) for frame in stop.frames] for stop in seen]


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
    plan = plan_of(text, ("externref", 2))
    first, second = play(CursorSession(plan), plan).stops
    assert [f.locals for f in first.frames] == [(0, None)]
    assert [(f.locals, f.operands) for f in second.frames] == [((0, 0), (1,))]
    assert stops_of(text, ("externref", 2))[1] == [(1, (0, 0), (1,))]


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
    assert MEMORY in session.instances["m"].exports


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
    usual = stops._shown
    monkeypatch.setattr(stops, "_shown", lambda cursor: change(usual(cursor)))
    text = """(func $g (param i32 f32) (local i64) i32.const 1 local.get 0 i32.div_s drop)
        (func (export "f") i64.const 4 i32.const 0 f32.const 2 call $g drop)"""
    return judge(plan_of(text), "none").difference


CHANGES = {
    "nothing": (lambda f: f, None),
    "a lost local": (lambda f: f._replace(locals=(*f.locals[:-1], 1) if f.locals else ()), "in the twin"),
    "a missing operand": (lambda f: f._replace(operands=f.operands[1:]), "in the twin"),
    "operands in another order": (lambda f: f._replace(operands=f.operands[::-1]), "in the twin"),
    "the next instruction": (lambda f: f._replace(offset=f.offset + 1), "in the twin"),
    "another function": (lambda f: f._replace(funcidx=f.funcidx ^ 1), "in the twin"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_wrong_frames_are_differences(monkeypatch, name):
    change, expected = CHANGES[name]
    found = planted(monkeypatch, change)
    assert found is None if expected is None else expected in str(found)


def test_lost_frames_are_differences(monkeypatch):
    monkeypatch.setattr(CursorSession, "look", lambda self, cause: self.latest[:1])
    text = """(func $g unreachable) (func (export "f") i64.const 4 call $g drop)"""
    assert "1 frames, in the twin 2" in str(judge(plan_of(text), "none").difference)


def test_programs_are_functions_of_their_number():
    assert program(1, 3) == program(1, 3)
    assert program(1, 3) != program(1, 6)
    assert program(1, 4) == program(1, 4)
