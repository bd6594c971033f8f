"""Comparison of fuel, pauses and frames: what engines must share that count by one model, and what excuses nobody."""

from __future__ import annotations

import pytest

from harness.compare import canonical, compare
from harness.verdicts import Agree, Differ, Incomparable, Side
from oracles.outcome import Exhausted, Record, Returned, TimedOut, Trapped
from oracles.plan import Plan, Step

CALL = Step("call", {"instance": "a", "export": "f", "args": []})
OBSERVE = Step("observe", {})
MODEL = "wasmtime 50"


def side(*answers, oracle="wasmtime", model=MODEL, frames=False):
    """Return a side whose records are pairs of an outcome and its data."""
    records = [Record(i, outcome, data) for i, (outcome, data) in enumerate(answers)]
    return Side(oracle, records, oracle, "50", model, frames)


def judged(left, right, steps=(CALL,)):
    return compare(Plan(steps=tuple(steps)), left, right)


def on_call(left, right, **kwargs):
    return judged(side(left, **kwargs), side(right, **kwargs))


def pauses(*given, more=0):
    shown = [{"cause": cause, "fuel": fuel, "state": state} for cause, fuel, state in given]
    return {"pauses": shown, "paused": len(shown) + more}


@pytest.mark.parametrize("outcome", [Returned(), Trapped("unreachable"), Exhausted("fuel")])
def test_fuel_is_compared_however_a_call_ends(outcome):
    assert on_call((outcome, {"fuel": 5}), (outcome, {"fuel": 5})).verdict == Agree()
    verdict = on_call((outcome, {"fuel": 5}), (outcome, {"fuel": 6})).verdict
    assert isinstance(verdict, Differ)
    assert (verdict.rule, verdict.what, verdict.left, verdict.right) == ("R8", "fuel left", "5", "6")


def test_engines_of_different_models_are_not_compared_by_fuel_and_that_is_counted():
    comparison = judged(side((Returned(), {"fuel": 5})), side((Returned(), {"fuel": 6}), model="wasmtime 50:winch"))
    assert (comparison.verdict, comparison.notes) == (Agree(), ("fuel-model",))


def test_engines_without_a_model_do_not_count_alike():
    comparison = judged(side((Returned(), {"fuel": 5}), model=""), side((Returned(), {"fuel": 6}), model=""))
    assert comparison.notes == ("fuel-model",)


def test_running_out_of_fuel_excuses_nobody_who_counts_alike():
    verdict = on_call((Exhausted("fuel"), {"fuel": 0}), (Returned(), {"fuel": 0})).verdict
    assert isinstance(verdict, Differ)
    assert (verdict.rule, verdict.left_class, verdict.right_class) == ("R8", "exhausted: fuel", "returned")


def test_running_out_of_fuel_by_another_model_is_a_limit():
    left, right = side((Exhausted("fuel"), None)), side((Returned(), None), model="")
    assert judged(left, right).verdict == Incomparable("limit: fuel", 0)


def test_after_fuel_has_run_out_on_both_sides_the_comparison_goes_on():
    def run(fuel):
        return side((Exhausted("fuel"), {"fuel": 0}), (Returned(), {"fuel": fuel}))

    assert judged(run(1), run(1), (CALL, CALL)).verdict == Agree()
    verdict = judged(run(1), run(2), (CALL, CALL)).verdict
    assert isinstance(verdict, Differ)
    assert (verdict.rule, verdict.step) == ("R8", 1)


@pytest.mark.parametrize("other", [Exhausted("fuel"), Returned(), Exhausted("stack")])
def test_a_stack_overflow_ends_the_comparison_and_its_fuel_is_tolerated_by_name(other):
    comparison = on_call((Exhausted("stack"), {"fuel": 5}), (other, {"fuel": 9}))
    assert comparison.verdict == Incomparable("limit: stack", 0)
    assert comparison.notes == ("fuel-overflow",)


def test_a_wall_clock_still_excuses():
    assert on_call((TimedOut(1), None), (Returned(), {"fuel": 1})).verdict == Incomparable("limit: time", 0)


def state(value, trace=()):
    globals_ = {"g": ["i32", value]}
    return {"instances": {"a": {"memories": {}, "tables": {}, "globals": globals_}}, "trace": list(trace)}


def test_state_is_named_before_the_fuel_of_its_step():
    left, right = (side((Returned(), {"fuel": f}), (Returned(), state(v))) for f, v in ((1, "00"), (2, "01")))
    verdict = judged(left, right, (CALL, OBSERVE)).verdict
    assert isinstance(verdict, Differ)
    assert verdict.rule == "R5"


def note(fuel):
    return ["@fuel", [["i64", f"{fuel:016x}"]]]


def test_fuel_in_host_calls_is_compared_apart_from_the_calls():
    call = ["h", [["i32", "00000001"]]]

    def run(fuel):
        return side((Returned(), {"fuel": 3}), (Returned(), state("00", [note(fuel), call])))

    assert judged(run(7), run(7), (CALL, OBSERVE)).compared["fuel"] == 2
    verdict = judged(run(7), run(8), (CALL, OBSERVE)).verdict
    assert isinstance(verdict, Differ)
    assert (verdict.rule, verdict.what, verdict.left, verdict.right) == ("R8", "fuel in host call 0", "7", "8")


@pytest.mark.parametrize(
    ("left", "right", "what"),
    [
        (pauses(("fuel", 9, "a")), pauses(("fuel", 8, "a")), "fuel at pause 0"),
        (pauses(("fuel", 9, "a"), ("host", 8, "a")), pauses(("fuel", 9, "a"), ("fuel", 8, "a")), "cause at pause 1"),
        (pauses(("fuel", 9, "a")), pauses(("fuel", 9, "b")), "state at pause 0"),
        (pauses(("fuel", 9, "a")), pauses(), "pause 0"),
        (pauses(("fuel", 9, "a"), more=1), pauses(("fuel", 9, "a"), more=2), "number of pauses"),
    ],
)
def test_pauses_are_compared_one_by_one(left, right, what):
    assert on_call((Returned(), left), (Returned(), left)).verdict == Agree()
    verdict = on_call((Returned(), left), (Returned(), right)).verdict
    assert isinstance(verdict, Differ)
    assert (verdict.rule, verdict.what) == ("R9", what)


def test_frames_are_compared_where_both_tell_them_exactly():
    left, right = (
        (Trapped("unreachable"), {"frames": [[1, 40], [0, 30]]}),
        (Trapped("unreachable"), {"frames": [[1, 40]]}),
    )
    verdict = on_call(left, right, frames=True).verdict
    assert isinstance(verdict, Differ)
    assert (verdict.rule, verdict.what, verdict.left) == ("R14", "frame 1", "function 0 at 0x1e")
    assert judged(side(left, frames=True), side(right)).verdict == Agree()


def test_a_digest_has_fuel_but_not_that_of_an_overflow():
    plan = Plan(steps=(CALL,))

    def shown(outcome):
        (record,) = canonical(plan, [Record(0, outcome, {"fuel": 5, "executed": 7})])
        return record["data"]

    assert shown(Trapped("unreachable")) == {"fuel": 5}
    assert shown(Exhausted("stack")) == {}
