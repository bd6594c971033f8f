"""Slices, suspension and frames: wasmtime and the reference that counts like it do the same at every pause."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from generators.module import generate
from generators.profile import PRESETS
from generators.source import Source
from harness.cases import fit_profile
from oracles.adapters import reference, wasmtime
from oracles.metered import MAX_TIMES, PAUSES
from oracles.outcome import Blocked, Exhausted, HostError, Returned, Threw, Trapped, Unsupported
from oracles.plan import HOST, HostFunc, Plan, Step
from oracles.traps import merged

if TYPE_CHECKING:
    from oracles.adapter import Adapter

VARIANTS = ("", "none", "winch", "pulley")
I32 = ("i32",)


def ours(theirs: Adapter) -> Adapter:
    """Return the reference that counts as an engine does."""
    return reference.adapter("fuel=" + theirs.describe().fuel_model.replace(" ", "-").replace(":", "-"))


def play(adapter: Adapter, plan: Plan) -> list[Any]:
    session = adapter.open(plan)
    answers = [session.run(step) for step in plan.steps]
    session.close()
    return answers


def call(export: str, *args: int) -> Step:
    return Step("call", {"instance": "i", "export": export, "args": [["i32", f"{n:08x}"] for n in args]})


def make(module: str = "m") -> Step:
    return Step("instantiate", {"instance": "i", "module": module, "imports": {"h": [HOST]}})


def watched(text: str, *steps: Step, intervals: tuple[int, ...] = (1000,), **hosts: HostFunc) -> Plan:
    before = (
        Step("assemble", {"module": "m", "text": "t"}), Step("set_fuel", {"fuel": 10_000}),
        Step("yield_schedule", {"intervals": list(intervals)}), Step("debug", {"frames": 20}),
    )  # fmt: skip
    return Plan((*before, *steps), texts={"t": text.encode()}, hosts=hosts, features=("all",), nan="none")


@cache
def restored() -> Adapter:
    """Return the reference that counts like wasmtime and is restored all the time."""
    return reference.adapter("restored+fuel=wasmtime-50")


def agreed(plan: Plan, variant: str = "none") -> list[Any]:
    """Return what both engines answered to the steps after those that :func:`watched` adds.

    Restored at every pause the reference must answer the same.
    """
    theirs = wasmtime.adapter(variant)
    left, right = play(ours(theirs), plan)[4:], play(theirs, plan)[4:]
    if ours(theirs).describe().fuel_model == restored().describe().fuel_model:
        assert json.dumps(shared(play(restored(), plan)[4:])) == json.dumps(shared(left))
    for step, (outcome, told), (other, other_data) in zip(plan.steps[4:], left, right, strict=True):
        data = {name: told[name] for name in told if name != "executed"} or None if told else None
        assert type(outcome) is type(other), step
        if isinstance(outcome, Returned):
            assert outcome == other, step
        assert data == other_data, step
    return left


def shared(answers: list[Any]) -> list[Any]:
    return [(repr(outcome), data) for outcome, data in answers]


def suspending(*actions: tuple[Any, ...], params: tuple[str, ...] = (), results: tuple[str, ...] = ()) -> HostFunc:
    return HostFunc(params, results, actions)


# -- lock step


@pytest.mark.parametrize("variant", VARIANTS)
def test_generated_cases_are_the_same_at_every_pause(variant: str) -> None:
    theirs = wasmtime.adapter(variant)
    profile = fit_profile(PRESETS["module-nan"], [theirs.describe()])
    lacking = {"relaxed-simd", "reference-types"} if variant == "winch" else {"relaxed-simd"}
    profile = replace(profile, features=frozenset(f for f in profile.features if f.name not in lacking))
    pauses = 0
    for i in range(40):
        choices = Source.fresh("slices", i)
        plan = generate(Source.fresh("sliced", i), profile).plan
        intervals = [choices.between(1, 30) for _ in range(choices.between(1, 3))]
        hosts = {
            name: replace(host, actions=(("fuel",), *host.actions, ("suspend", choices.below(3))))
            for name, host in plan.hosts.items()
        }
        before = (Step("set_fuel", {"fuel": choices.between(100, 20_000)}), Step("debug", {"frames": 20}))
        sliced = Step("yield_schedule", {"intervals": intervals, "pauses": 200})
        plan = replace(plan, steps=(*before, sliced, *plan.steps), hosts=hosts, nan="none")
        for step, left, right in zip(plan.steps, play(ours(theirs), plan), play(theirs, plan), strict=True):
            if isinstance(right[0], Unsupported) or getattr(left[0], "resource", "fuel") != "fuel":
                break
            assert type(left[0]) is type(right[0]), (i, step)
            if isinstance(left[0], Trapped):
                assert right[0].trap in merged(left[0].trap, "wasmtime", theirs.describe().version), (i, step)
                assert variant in ("", "pulley") or (left[1] or {}).get("frames") == (right[1] or {}).get("frames")
            for name in ("fuel", "pauses", "paused", "instances", "trace"):
                assert (left[1] or {}).get(name) == (right[1] or {}).get(name), (i, step, name)
            pauses += (left[1] or {}).get("paused", 0)
    assert pauses > 100


# -- where calls pause


def test_a_start_function_pauses_and_so_do_functions_that_it_calls() -> None:
    text = """(module (import "h" "f" (func $f)) (global $g (mut i32) (i32.const 9))
      (func $s (loop (global.set $g (i32.sub (global.get $g) (i32.const 1))) (call $f) (br_if 0 (global.get $g))))
      (start $s))"""
    ((_, data),) = agreed(watched(text, make(), intervals=(10,), f=suspending(("suspend", 1))))
    assert [p["cause"] for p in data["pauses"]].count("host") == 9
    assert data["paused"] > 9


def test_a_start_function_of_the_host_suspends() -> None:
    text = '(module (import "h" "f" (func $f)) (start $f))'
    ((_, data),) = agreed(watched(text, make(), f=suspending(("suspend", 2))))
    assert [p["cause"] for p in data["pauses"]] == ["host"] * 2


def test_a_start_function_that_ends_by_calling_the_host_suspends() -> None:
    text = (
        '(module (import "h" "f" (func $f)) (func $s (return_call $f)) (start $s) (func (export "g") (return_call $f)))'
    )
    answers = agreed(watched(text, make(), call("g"), f=suspending(("suspend", 2))))
    assert [data["paused"] for _, data in answers] == [2, 2]


def test_a_host_function_that_is_exported_suspends_when_it_is_called() -> None:
    text = '(module (import "h" "f" (func $f (param i32) (result i32))) (export "f" (func $f)))'
    host = suspending(("suspend", 3), ("mix", 5), params=I32, results=I32)
    _, (outcome, data) = agreed(watched(text, make(), call("f", 7), f=host))
    assert outcome.values
    assert (data["paused"], data["fuel"]) == (3, 10_000)


def test_a_function_that_suspends_may_throw_what_its_caller_catches() -> None:
    text = """(module (import "h" "f" (func $f)) (tag (export "e") (param i32))
      (func (export "catch") (result i32) (block $h (result i32) (try_table (catch 0 $h) (call $f)) (i32.const 1)))
      (func (export "not") (call $f)))"""
    host = suspending(("suspend", 2), ("throw", "i", "e", [["i32", "0000002a"]], 0))
    _, (caught, data), (thrown, more) = agreed(watched(text, make(), call("catch"), call("not"), f=host))
    assert caught == Returned((("i32", "0000002a"),))
    assert isinstance(thrown, Threw)
    assert data["paused"] == more["paused"] == 2


def test_pauses_beyond_those_shown_are_counted() -> None:
    text = """(module (func (export "f") (param i32)
      (loop (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br_if 0 (local.get 0)))))"""
    _, (_, data) = agreed(watched(text, make(), call("f", 300), intervals=(1,)))
    assert len(data["pauses"]) == PAUSES
    assert data["paused"] == 301 - 1


def test_the_host_may_change_the_state_while_a_call_stands_still() -> None:
    text = """(module (import "h" "f" (func $f))
      (memory (export "m") 1 3) (global $g (export "g") (mut i32) (i32.const 1))
      (func (export "f") (result i32) (call $f)
        (i32.add (global.get $g) (i32.add (memory.size) (i32.load (i32.const 4))))))"""
    host = suspending(
        ("suspend", 1), ("mem.grow", "i", "m", 2), ("global.set", "i", "g", ["i32", "00000100"]),
        ("mem.write", "i", "m", 4, "00000100"),
    )  # fmt: skip
    _, (outcome, data) = agreed(watched(text, make(), call("f"), f=host))
    assert outcome == Returned((("i32", "00010103"),))
    assert data["paused"] == 1


@pytest.mark.parametrize("variant", ["none", "pulley"])
@pytest.mark.parametrize("intervals", [(1,), (7,), (50,), (2, 1000, 2), (1 << 30,)])
def test_a_collection_of_garbage_is_no_pause(variant: str, intervals: tuple[int, ...]) -> None:
    text = """(module (type $a (array (mut i64)))
      (func $leaf (param i32) (result (ref $a)) (array.new_default $a (local.get 0)))
      (func (export "f") (param i32 i32)
        (loop
          (drop (call $leaf (local.get 1))) (local.set 0 (i32.sub (local.get 0) (i32.const 1)))
          (br_if 0 (local.get 0)))))"""
    steps = (make(), Step("set_fuel", {"fuel": 10_000_000}), call("f", 200, 2000))
    *_, (outcome, data) = agreed(watched(text, *steps, intervals=intervals), variant)
    assert outcome == Returned()
    assert (data["paused"] == 0) == (intervals == (1 << 30,))


def test_references_cross_into_slices() -> None:
    text = """(module (import "h" "f" (func $f (param externref) (result externref)))
      (table (export "t") 2 externref)
      (func (export "f") (param externref) (result externref)
        (table.set (i32.const 1) (local.get 0)) (drop (call $f (local.get 0))) (table.get (i32.const 1))))"""
    step = Step("call", {"instance": "i", "export": "f", "args": [["externref", 5]]})
    host = suspending(("suspend", 1), ("record",), params=("externref",), results=("externref",))
    _, (outcome, data) = agreed(watched(text, make(), step, f=host))
    assert outcome == Returned((("externref", 5),))
    assert data["paused"] == 1


# -- how calls end


def test_whatever_ends_a_suspended_call_ends_it_after_its_pauses() -> None:
    text = '(module (import "h" "f" (func $f)) (func (export "f") (call $f)) (func (export "trap") unreachable))'
    for last, expected in ((("trap", "T", 0), HostError), (("call", "i", "trap", []), Trapped)):
        _, (outcome, data) = agreed(watched(text, make(), call("f"), f=suspending(("suspend", 2), last)))
        assert isinstance(outcome, expected)
        assert [p["cause"] for p in data["pauses"]] == ["host", "host"]


def test_the_store_goes_on_after_every_end() -> None:
    text = """(module (import "h" "f" (func $f)) (func (export "host") (call $f)) (func (export "trap") unreachable)
      (func (export "spin") (loop (br 0))) (func (export "ok") (result i32) i32.const 1))"""
    ok = call("ok")
    steps = (call("trap"), ok, call("host"), ok, call("spin"), Step("set_fuel", {"fuel": 1000}), ok)
    answers = agreed(watched(text, make(), *steps, intervals=(50,), f=suspending(("suspend", 1), ("trap", "T", 0))))
    assert [type(outcome) for outcome, _ in answers] == [
        Returned, Trapped, Returned, HostError, Returned, Exhausted, Returned, Returned,
    ]  # fmt: skip


def test_the_slices_end_and_begin_with_the_plan() -> None:
    text = '(module (func (export "f") (loop (br_if 0 (i32.const 0)))))'
    slices = Step("yield_schedule", {"intervals": [1]})
    plan = watched(text, make(), call("f"), Step("yield_schedule", {"intervals": []}), call("f"), slices, call("f"))
    answers = agreed(plan)
    assert ["paused" in (data or {}) for _, data in answers] == [True, True, False, False, False, True]


@pytest.mark.parametrize("intervals", [[-1], ["x"], 5, [1] * 5000, [True]])
def test_intervals_that_are_none_block_the_step(intervals: Any) -> None:
    step = Step("yield_schedule", {"intervals": intervals})
    for adapter in (wasmtime.adapter(""), reference.adapter("")):
        ((outcome, _),) = play(adapter, Plan((step,), nan="none"))
        assert isinstance(outcome, Blocked)


def test_a_function_that_suspends_too_often_blocks_the_call() -> None:
    text = '(module (import "h" "f" (func $f)) (export "f" (func $f)))'
    _, (outcome, _) = agreed(watched(text, make(), call("f"), f=suspending(("suspend", MAX_TIMES + 1))))
    assert isinstance(outcome, Blocked)


# -- frames


def test_a_trap_in_a_start_function_shows_its_frames() -> None:
    text = "(module (func $a nop unreachable) (func $b (call $a)) (start $b))"
    ((outcome, data),) = agreed(watched(text, make()))
    assert isinstance(outcome, Trapped)
    assert [funcidx for funcidx, _ in data["frames"]] == [0, 1]


def test_a_tail_call_leaves_no_frame() -> None:
    text = """(module (func $a (param i32) (result i32) (i32.div_u (i32.const 1) (local.get 0)))
      (func $b (param i32) (result i32) (return_call $a (local.get 0)))
      (func (export "f") (param i32) (result i32) (call $b (local.get 0)) (i32.const 1) i32.add))"""
    _, (_, data) = agreed(watched(text, make(), call("f", 0)))
    assert [funcidx for funcidx, _ in data["frames"]] == [0, 2]


def test_at_most_twenty_frames_are_shown() -> None:
    text = """(module (func $f (export "f") (param i32)
      (if (local.get 0) (then (call $f (i32.sub (local.get 0) (i32.const 1)))) (else unreachable))))"""
    _, (_, data) = agreed(watched(text, make(), call("f", 50)))
    assert len(data["frames"]) == 20


def test_segments_that_trap_have_no_frames() -> None:
    text = '(module (memory 1) (data (i32.const 65535) "abc"))'
    ((outcome, data),) = agreed(watched(text, make()))
    assert isinstance(outcome, Trapped)
    assert data["frames"] == []
