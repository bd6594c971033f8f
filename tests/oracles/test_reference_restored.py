"""The reference that is saved and restored in another process all the time: nothing changes, and it does move."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from generators.module import generate
from generators.profile import PRESETS
from generators.source import Source
from harness.checks import debug, fuel, resume
from harness.checks.resume import is_restored, restored
from harness.planted_models import WRONG_RESTORES
from oracles.adapter import Unavailable, load
from oracles.adapters.reference_restored import EVERY, MOVES, RestoredAdapter
from oracles.outcome import Blocked, Crashed, Returned
from oracles.plan import HOST, HostFunc, Plan, Step
from oracles.process import Oracle

if TYPE_CHECKING:
    from collections.abc import Iterator

MODEL = "fuel=wasmtime-50"


@contextmanager
def moving(variant: str = f"restored+{MODEL}") -> Iterator[RestoredAdapter]:
    adapter = load(f"reference:{variant}")
    assert isinstance(adapter, RestoredAdapter)
    try:
        yield adapter
    finally:
        adapter.close()


@pytest.fixture(scope="module")
def moves() -> Iterator[RestoredAdapter]:
    with moving() as adapter:
        yield adapter


def play(adapter: Any, plan: Plan) -> list[Any]:
    session = adapter.open(plan)
    return [session.run(step) for step in plan.steps]


def same(adapter: Any, plan: Plan, straight: str = MODEL) -> list[Any]:
    """Return the answers of the reference that stays, after those of the one that moves were found to be the same."""
    wanted = play(load(f"reference:{straight}"), plan)
    shown = [
        json.dumps([(repr(outcome), data) for outcome, data in answers]) for answers in (play(adapter, plan), wanted)
    ]
    assert shown[0] == shown[1]
    return wanted


def call(export: str, *args: Any) -> Step:
    values = [a if isinstance(a, list) else ["i32", f"{a:08x}"] for a in args]
    return Step("call", {"instance": "i", "export": export, "args": values})


def plan_for(text: str, *steps: Step, intervals: Any = (1,), **hosts: HostFunc) -> Plan:
    before = (
        Step("assemble", {"module": "m", "text": "t"}), Step("set_fuel", {"fuel": 100_000}),
        Step("yield_schedule", {"intervals": list(intervals)}), Step("debug", {"frames": 20}),
    )  # fmt: skip
    make = Step("instantiate", {"instance": "i", "module": "m", "imports": {"h": [HOST]}})
    return Plan((*before, make, *steps), texts={"t": text.encode()}, hosts=hosts, features=("all",), nan="none")


LOOP = """(module (global $g (export "g") (mut i64) (i64.const 0)) (memory (export "m") 1)
  (func (export "f") (param $n i32) (result i32)
    (loop $l
      (i32.store (local.get $n) (local.get $n)) (global.set $g (i64.add (global.get $g) (i64.const 3)))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i32.wrap_i64 (global.get $g))))"""


def test_it_moves_at_each_of_the_first_pauses_and_at_some_of_those_after_them():
    with moving() as adapter:
        # The third step runs elsewhere; the sixth begins there, then goes here and there, and ends there.
        answers = same(adapter, plan_for(LOOP, call("f", 10)))
        assert answers[-1][1]["paused"] == 10
        assert adapter.moves == 1 + 10 // 2 + 1
        adapter.moves = 0
        answers = same(adapter, plan_for(LOOP, call("f", 1000)))
        assert answers[-1][1]["paused"] == 1000
        powers = [n for n in range(MOVES + 1, 1001) if n & (n - 1) == 0]
        assert adapter.moves == 1 + (MOVES + len(powers)) // 2 + 1


def test_every_third_step_runs_elsewhere_where_nothing_pauses():
    with moving() as adapter:
        steps = [call("f", 1)] * 10
        same(adapter, plan_for(LOOP, *steps, intervals=()))
        assert adapter.moves == 15 // EVERY


@pytest.mark.parametrize("index", range(12))
def test_generated_cases_are_the_same(index, moves):
    plan = generate(Source.fresh("restored", index), PRESETS["standard"]).plan
    choices = Source.fresh("checks", index)
    metered = fuel.derive(debug.derive(plan), choices)
    before = moves.moves
    same(moves, resume.derive(metered, choices))
    same(moves, metered)
    assert moves.moves > before + 3


def test_what_host_functions_know_and_owe_crosses_with_the_call():
    text = """(module (import "h" "f" (func $f (param i32) (result i32))) (import "h" "g" (func $g (result externref)))
      (global $x (export "x") (mut externref) (ref.null extern))
      (func (export "run") (param $n i32) (result i32)
        (loop $l
          (local.set $n (call $f (local.get $n))) (global.set $x (call $g))
          (br_if $l (i32.and (local.get $n) (i32.const 7))))
        (local.get $n))
      (func (export "take") (param externref) (global.set $x (local.get 0))))"""
    hosts = {
        "f": HostFunc(("i32",), ("i32",), (("record",), ("fuel",), ("mix", 5), ("suspend", 3))),
        "g": HostFunc((), ("externref",), (("record",), ("suspend", 1))),
    }
    steps = [call("take", ["externref", 7]), call("run", 3), Step("observe", {}), call("run", 9), Step("observe", {})]
    with moving() as adapter:
        answers = same(adapter, plan_for(text, *steps, **hosts))
        assert {"host", "fuel"} == {pause["cause"] for pause in answers[6][1]["pauses"]}
        assert len(answers[7][1]["trace"]) > 4
        assert adapter.moves > 8


def test_start_functions_move_where_they_pause():
    text = """(module (import "h" "f" (func $f)) (global $g (mut i32) (i32.const 4))
      (global funcref (ref.null func)) (memory 1) (data (i32.add (i32.const 1) (i32.const 2)) "abc")
      (func $s (loop (global.set $g (i32.sub (global.get $g) (i32.const 1))) (call $f) (br_if 0 (global.get $g))))
      (start $s))"""
    host = HostFunc((), (), (("record",), ("fuel",), ("suspend", 2)))
    with moving() as adapter:
        answers = same(adapter, plan_for(text, f=host))
        causes = [pause["cause"] for pause in answers[-1][1]["pauses"]]
        assert (causes.count("host"), causes[:3]) == (8, ["fuel"] * 3)
        stands = len(causes) - 4  # the two pauses of one host call are at one place
        assert adapter.moves == 1 + stands // 2 + stands % 2


def test_functions_tags_and_instances_have_the_names_that_they_had():
    text = """(module (tag $e (export "e") (param i32)) (table (export "t") 3 funcref) (elem (i32.const 1) $a $b)
      (func $a (export "a") (param i32) (loop) (throw $e (local.get 0))) (func $b (export "b") (loop))
      (func (export "which") (param i32) (result funcref) (loop) (table.get 0 (local.get 0))))"""
    steps = [call("which", 2), call("which", 1), call("a", 5), Step("observe", {}), call("which", 0), call("a", 6)]
    with moving() as adapter:
        answers = same(adapter, plan_for(text, *steps))
        assert [a[0].values[0][1] for a in (answers[5], answers[6])] == [1, 0]
        assert answers[7][0].tag == answers[10][0].tag == 0


def test_a_name_that_is_taken_again_and_one_that_is_no_more():
    plan = plan_for(LOOP, call("f", 3))
    again = Step("assemble", {"module": "m", "text": "u"})
    broken = Step("assemble", {"module": "m", "text": "v"})
    texts = {**plan.texts, "u": LOOP.replace("const 3", "const 4").encode(), "v": b"(module (nothing))"}
    steps = (*plan.steps, again, call("f", 2), plan.steps[4], call("f", 2), broken, plan.steps[4], call("f", 1))
    with moving() as adapter:
        answers = same(adapter, Plan(steps, texts=texts, features=("all",), nan="none"))
    assert [type(a[0]) for a in answers[-2:]] == [Blocked, Blocked]
    assert [a[0].values[0][1] for a in answers if isinstance(a[0], Returned) and a[0].values] == [
        "00000009", "0000000f", "00000008",
    ]  # fmt: skip


def test_plans_after_each_other_know_nothing_of_each_other():
    one, two = plan_for(LOOP, call("f", 5)), plan_for(LOOP.replace("const 3", "const 9"), call("f", 5))
    with moving() as adapter:
        for plan in (one, two, one):
            same(adapter, plan)


# -- variants


@pytest.mark.parametrize("variant", ["restored", "restored+fuel=wasmtime-50-winch", "fuel=wasmtime-48+restored"])
def test_it_counts_as_the_rest_of_its_variant_says(variant):
    straight = "+".join(part for part in variant.split("+") if part != "restored")
    with moving(variant) as adapter:
        assert adapter.describe().variant == variant
        same(adapter, plan_for(LOOP, call("f", 20)), straight)


@pytest.mark.parametrize("plant", ["tee", "lost-local", "host-twice"])
def test_other_mistakes_are_made_in_both_processes(plant):
    text = """(module (import "h" "f" (func $f (param i32) (result i32)))
      (func (export "f") (param $n i32) (result i32) (local $m i32)
        (loop $l (local.set $m (local.tee $n (call $f (i32.sub (local.get $n) (i32.const 1)))))
          (br_if $l (i32.and (local.get $m) (i32.const 3))))
        (local.get $m)))"""
    host = HostFunc(("i32",), ("i32",), (("record",), ("mix", 1), ("suspend", 1)))
    plan = plan_for(text, call("f", 77), Step("observe", {}), f=host)
    right = play(load(f"reference:{MODEL}"), plan)
    with moving(f"restored+plant={plant}+{MODEL}") as adapter:
        wrong = same(adapter, plan, f"plant={plant}+{MODEL}")
    assert wrong != right


@pytest.mark.parametrize("name", WRONG_RESTORES)
def test_a_mistake_of_restoring_needs_restoring(name):
    with pytest.raises(Unavailable, match=rf"reference:restored\+plant={name}"):
        load(f"reference:plant={name}")
    with moving(f"restored+plant={name}"):
        pass


@pytest.mark.parametrize("variant", ["restored+plant=if-free+" + MODEL, "restored+nothing", "restored+plant=nothing"])
def test_what_it_cannot_do_is_unavailable(variant):
    with pytest.raises(Unavailable):
        load(f"reference:{variant}")


def test_ids_of_it():
    assert restored("reference") == "reference:restored"
    assert restored(f"reference:{MODEL}") == f"reference:restored+{MODEL}"
    assert is_restored(f"reference:restored+{MODEL}")
    assert not is_restored(f"reference:{MODEL}")


# -- what goes wrong


def test_what_fails_there_is_a_failure_here():
    with moving() as adapter:
        session = adapter.open(plan_for(LOOP))
        session.run(session.plan.steps[0])
        there = adapter.elsewhere()
        with pytest.raises(RuntimeError, match=r"(?s)in the other process: .*KeyError"):
            there.go_on(session.plan, session.plan.steps[1], {})


def test_if_the_other_process_dies_the_worker_does():
    with moving() as adapter:
        session = adapter.open(plan_for(LOOP))
        there = adapter.elsewhere()
        there.process.kill()
        there.process.wait()
        with pytest.raises((RuntimeError, BrokenPipeError)):
            there.go_on(session.plan, session.plan.steps[0], session.here.packed())


def test_under_supervision_it_is_an_oracle_like_any_other():
    plan = plan_for(LOOP, call("f", 5), Step("observe", {}))
    with Oracle(f"reference:restored+{MODEL}") as oracle, Oracle(f"reference:{MODEL}") as straight:
        records = oracle.run(plan)
        assert not any(isinstance(record.outcome, Crashed) for record in records)
        assert [(r.outcome, r.data) for r in records] == [(r.outcome, r.data) for r in straight.run(plan)]
        assert oracle.starts == 1
