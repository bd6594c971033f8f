"""Checks as transformations of plans: what they add, what they derive from a run, and for which engines they are on."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest

from generators.source import Source
from harness.checks import ALL_CHECKS, CheckNameError, checks_of, debug, exhaustion, fuel, resume
from harness.checks.abilities import arrange, reasons_off, reference_for
from harness.checks.course import Course
from harness.checks.dressing import LARGE, dressed_like, prologue
from harness.checks.exhaustion import Target
from harness.checks.state import blind
from harness.runner import Judgement, Run
from harness.verdicts import Agree, Comparison, Differ, Side
from oracles.adapter import BASIC_ACTIONS, BASIC_STEPS, Unavailable
from oracles.outcome import Exhausted, Record, Returned, Trapped
from oracles.plan import HostFunc, Plan, Step
from tests.support.fakes import FakeOracle

HOSTS = {"h": HostFunc(("i32",), (), (("record",),)), "k": HostFunc((), (), (("record",), ("trap", "x", 2)))}
INSTANTIATE = Step("instantiate", {"instance": "m", "module": "m", "imports": {}})
OBSERVE = Step("observe", {})
SET = Step("set", {"instance": "m", "export": "work", "value": ["i32", "00000001"]})


def call(name):
    return Step("call", {"instance": "m", "export": name, "args": []})


PLAN = Plan(steps=(INSTANTIATE, OBSERVE, SET, call("f"), OBSERVE, SET, call("g"), OBSERVE), hosts=HOSTS)


def choices(*seed):
    return Source.fresh("test", *seed)


def metered():
    return fuel.derive(PLAN, Source.replay(()))


def told(plan, fuels, outcomes=()):
    """Return records that tell fuel after instantiations and calls, and outcomes other than returned by step."""
    left = iter(fuels)
    return [
        Record(
            i, dict(outcomes).get(i, Returned()), {"fuel": next(left)} if s.kind in ("call", "instantiate") else None
        )
        for i, s in enumerate(plan.steps)
    ]


# names


def test_results_are_always_checked():
    assert checks_of("fuel, state") == {"results", "fuel", "state"}
    assert checks_of("") == {"results"}


def test_a_check_that_there_is_not_is_refused_by_name():
    with pytest.raises(CheckNameError, match="no check 'fule'; known: results, state, fuel"):
        checks_of("results,fule")


# transformations


def test_a_metered_plan_sets_fuel_first_and_its_hosts_tell_it():
    plan = metered()
    assert plan.steps == (Step("set_fuel", {"fuel": LARGE}), *PLAN.steps)
    assert all(host.actions == (("fuel",), *HOSTS[name].actions) for name, host in plan.hosts.items())


def test_a_plan_without_the_check_of_state_observes_host_calls_alone():
    assert {tuple(s["instances"]) for s in blind(PLAN).steps if s.kind == "observe"} == {()}
    assert len(blind(PLAN).steps) == len(PLAN.steps)


@pytest.mark.parametrize("seed", range(20))
def test_a_plan_in_slices_is_the_straight_plan_once_slices_are_taken_off(seed):
    plan = resume.derive(metered(), choices(seed))
    assert resume.is_sliced(plan)
    assert resume.straight(plan) == metered()
    assert [s.kind for s in prologue(plan)] == ["set_fuel", "yield_schedule"]


def test_random_slices_are_of_all_kinds():
    plans = [resume.derive(metered(), choices(seed)) for seed in range(60)]
    at_every = [resume.steps_through(plan) for plan in plans]
    assert 5 < sum(at_every) < 55
    suspends = {tuple(a[0] for a in plan.hosts["h"].actions) for plan in plans}
    assert suspends == {("fuel", "record"), ("suspend", "fuel", "record"), ("fuel", "record", "suspend")}
    assert resume.steps_through(resume.derive(metered(), choices(1), at_every=True))


@pytest.mark.parametrize("seed", range(20))
def test_what_checks_added_to_a_plan_can_be_added_to_another(seed):
    dressed = resume.derive(fuel.derive(debug.derive(PLAN), choices(seed)), choices(seed))
    assert dressed_like(PLAN, dressed) == dressed
    smaller = replace(PLAN, hosts={"h": HOSTS["h"]})
    assert dressed_like(smaller, dressed).hosts == {"h": dressed.hosts["h"]}


# a run in slices as a straight one


def test_records_of_a_run_in_slices_are_those_of_the_straight_steps():
    plan = resume.derive(metered(), choices(0))
    records = [Record(i, Returned(), {"n": i}) for i in range(len(plan.steps))]
    kept = resume.kept(plan, records)
    assert [step for step, _ in kept] == [0, *range(2, len(plan.steps))]
    assert [record.step for _, record in kept] == list(range(len(plan.steps) - 1))


def run_of(*answers):
    return [Record(i, outcome, data) for i, (outcome, data) in enumerate(answers)]


NOTE = ["@fuel", [["i64", f"{50:016x}"]]]
MORE = ["@fuel", [["i64", f"{53:016x}"]]]


def test_a_trap_gives_back_less_after_a_pause_and_all_later_fuel_is_less_by_that():
    trap = Trapped("unreachable")
    straight = run_of(
        (trap, {"fuel": 90}),
        (Returned(), {"trace": [NOTE]}),
        (Returned(), {"fuel": 80}),
        (Returned(), {"trace": [MORE]}),
    )
    sliced = run_of(
        (trap, {"fuel": 87, "paused": 1}),
        (Returned(), {"trace": [NOTE]}),
        (Returned(), {"fuel": 77}),
        (Returned(), {"trace": [NOTE]}),
    )
    settled = resume.settled(PLAN, straight, sliced)
    assert [r.data.get("fuel") for r in settled] == [90, None, 80, None]
    assert [r.data.get("trace") for r in settled] == [None, [NOTE], None, [MORE]]  # before the trap nothing was missing


@pytest.mark.parametrize(
    ("outcome", "data"),
    [
        (Returned(), {"fuel": 87, "paused": 1}),
        (Trapped("x"), {"fuel": 87}),
        (Trapped("x"), {"fuel": 87, "paused": 0}),
        (Trapped("x"), {"fuel": 93, "paused": 1}),
    ],
)
def test_nothing_else_may_change_fuel(outcome, data):
    (record,) = resume.settled(PLAN, run_of((outcome, {"fuel": 90})), run_of((outcome, data)))
    assert record.data["fuel"] == data["fuel"]


def test_fuel_that_is_set_anew_is_not_less_for_what_was_lost_before():
    plan = replace(PLAN, steps=(call("f"), Step("set_fuel", {"fuel": 50}), call("f")))
    straight = run_of((Trapped("x"), {"fuel": 90}), (Returned(), {}), (Returned(), {"fuel": 40}))
    sliced = run_of((Trapped("x"), {"fuel": 87, "paused": 1}), (Returned(), {}), (Returned(), {"fuel": 40}))
    assert [r.data.get("fuel") for r in resume.settled(plan, straight, sliced)] == [90, None, 40]


# exhaustion


def test_targets_are_the_steps_whose_fuel_was_told():
    plan = metered()
    records = told(plan, (LARGE - 3, LARGE - 10, LARGE - 12), {7: Trapped("unreachable")})
    assert exhaustion.targets(plan, records) == [Target(1, 3, 0, True), Target(4, 7, 3, True), Target(7, 2, 10, False)]


def test_nothing_after_a_limit_is_a_target():
    records = told(metered(), (LARGE - 3, LARGE - 10, LARGE - 12), {4: Exhausted("stack")})
    assert [t.step for t in exhaustion.targets(metered(), records)] == [1]


def test_every_budget_of_a_small_need_is_tried():
    assert exhaustion.budgets(Target(4, 5, 0, True), (), choices()) == [0, 1, 2, 3, 4, 5, 6, 7]


def test_of_a_large_need_those_around_check_points_are_tried():
    tried = exhaustion.budgets(Target(4, 1000, 0, True), (333,), choices(1))
    assert {0, 332, 333, 334, 335, 999, 1000, 1001, 1002} <= set(tried)
    assert len(tried) < 40


def test_check_points_are_what_was_spent_at_pauses():
    plan = metered()
    pauses = [{"cause": "fuel", "fuel": LARGE - 7}, {"cause": "host", "fuel": LARGE - 8}]
    records = told(plan, (LARGE - 3, LARGE - 10, LARGE - 12))
    records[4] = replace(records[4], data={"fuel": LARGE - 10, "pauses": pauses})
    assert exhaustion.points(plan, records) == {4: [4]}


def test_each_budget_has_a_fresh_instance_and_all_that_came_before():
    plan = exhaustion.plan_for(metered(), Target(7, 2, 10, True), [0, 1])
    again = [Step("set_fuel", {"fuel": LARGE}), INSTANTIATE, SET, call("f"), SET]
    budgets = [[*again, Step("set_fuel", {"fuel": b}), call("g"), OBSERVE] for b in (0, 1)]
    assert list(plan.steps) == budgets[0] + budgets[1]


def test_an_instantiation_is_tried_alone():
    plan = exhaustion.plan_for(metered(), Target(1, 2, 0, True), [4])
    assert list(plan.steps) == [Step("set_fuel", {"fuel": 4}), INSTANTIATE, OBSERVE]


def test_a_derived_plan_is_bounded():
    records = told(metered(), (LARGE - 60, LARGE - 120, LARGE - 180))
    for seed in range(20):
        plan = exhaustion.derive(metered(), records, choices(seed))
        assert plan is not None
        assert len(plan.steps) <= exhaustion.STEPS
    assert exhaustion.derive(metered(), told(metered(), (LARGE, LARGE - 10**7, LARGE)), choices()) is None


# engines


def described(name, model="wasmtime 50", **changes):
    return replace(FakeOracle(name, fuel_model=model).description, **changes)


def test_engines_are_compared_with_the_reference_that_counts_alike():
    engines = {
        "a": described("a"),
        "b": described("b", "wasmtime 50:winch"),
        "c": described("c", ""),
        "d": described("d"),
    }
    assert arrange(engines, ALL_CHECKS) == (
        ("reference:fuel=wasmtime-50", "a", "d"), ("reference:fuel=wasmtime-50-winch", "b"), ("reference", "c"),
    )  # fmt: skip
    assert arrange(engines, checks_of("state,debug")) == (("reference", "a", "b", "c", "d"),)


def test_an_engine_is_not_compared_with_itself():
    for oracle, model in (("reference", ""), ("reference:fuel=wasmtime-50", "wasmtime 50")):
        with pytest.raises(Unavailable, match=f"^{oracle} is what such an engine is compared with"):
            arrange({"a": described("a"), oracle: described(oracle, model)}, ALL_CHECKS)


def test_the_plain_reference_counts_instructions():
    assert reference_for("unit:none") == reference_for("") == "reference"


OURS = described("reference", can=("frames",))


@pytest.mark.parametrize(
    ("engine", "off"),
    [
        (described("a", can=("frames",)), {}),
        (described("a"), {"debug": "its frames are not exact"}),
        (described("a", steps=BASIC_STEPS, actions=BASIC_ACTIONS), {
            "fuel": "a has no set_fuel", "resume": "a has no set_fuel", "debug": "a has no debug",
        }),
        (described("a", "", can=("frames",), fuel_note="too old"), {"fuel": "too old", "resume": "too old"}),
        (described("a", "wasmtime 36", can=("frames",)), {
            "fuel": "no reference counts by wasmtime 36", "resume": "no reference counts by wasmtime 36",
        }),
    ],
)  # fmt: skip
def test_a_check_that_cannot_be_made_has_its_reason(engine, off):
    assert reasons_off(OURS, engine, ALL_CHECKS) == off


# the course of a case


def course(**engines):
    return Course({"reference": OURS, **engines}, ALL_CHECKS)


def followed(given, plan, records, judgements, seed, passed=None):
    """Return the trials that follow from a run, each answered by the same records."""
    run = Run(plan, (Side("reference", records), Side("a", records)))
    trials = given.derive(run, judgements, choices(seed), Counter() if passed is None else passed)
    found = []
    trial = next(trials, None)
    while trial is not None:
        found.append(trial)
        answers = [Record(i, Returned(), {"fuel": 0}) for i in range(len(trial.plan.steps))]
        try:
            trial = trials.send(Run(trial.plan, tuple(Side(o, answers) for o in trial.oracles)))
        except StopIteration:
            trial = None
    return found


def agreeing(oracle, verdict=None):
    return Judgement(oracle, Comparison(verdict or Agree()))


def test_about_half_of_the_cases_are_metered_and_a_share_of_those_runs_again():
    given = course(a=described("a"), b=described("b", steps=BASIC_STEPS))
    dressed = [given.dress(PLAN, choices(seed)) for seed in range(200)]
    share = sum(map(fuel.is_metered, dressed))
    assert 70 < share < 130
    records = told(metered(), (LARGE - 3, LARGE - 10, LARGE - 12))
    trials = [
        t for seed in range(200) for t in followed(given, metered(), records, [agreeing("a"), agreeing("b")], seed)
    ]
    kinds = [t.check for t in trials]
    assert 30 < kinds.count("resume") < 100
    assert 30 < kinds.count("exhaustion") < 100
    assert {t.oracles for t in trials} == {("reference", "a")}  # it is off for b


def test_some_plans_in_slices_run_again_on_the_reference_that_is_restored():
    records = told(metered(), (LARGE - 3, LARGE - 10, LARGE - 12))
    given = Course({"reference": OURS, "a": described("a")}, ALL_CHECKS, "reference:restored")
    runs = [followed(given, metered(), records, [agreeing("a")], seed) for seed in range(600)]
    found = [(before, trial) for trials in runs for before, trial in pairwise(trials) if trial.check == "restored"]
    assert 3 < len(found) < 30
    assert {trial.oracles for _, trial in found} == {("reference", "reference:restored")}
    assert all(before.check == "resume" and before.plan == trial.plan for before, trial in found)
    without = course(a=described("a"))
    others = [followed(without, metered(), records, [agreeing("a")], seed) for seed in range(600)]
    assert others == [[trial for trial in trials if trial.check != "restored"] for trials in runs]


def test_nothing_follows_where_states_have_parted_or_nothing_is_metered():
    given = course(a=described("a"))
    records = told(metered(), (LARGE - 3, LARGE - 10, LARGE - 12))
    parted = agreeing("a", Differ("R2", 0, "result", "1", "2"))
    assert not [t for seed in range(50) for t in followed(given, metered(), records, [parted], seed)]
    assert not [t for seed in range(50) for t in followed(given, PLAN, records, [agreeing("a")], seed)]
    cut = told(metered(), (LARGE - 3, LARGE - 10, LARGE - 12), {4: Exhausted("stack")})
    assert not [t for seed in range(50) for t in followed(given, metered(), cut, [agreeing("a")], seed)]


def test_what_does_not_follow_is_counted_with_its_reason():
    given = Course({"reference": OURS, "a": described("a")}, ALL_CHECKS - {"debug"})
    spent = (LARGE - 3, LARGE - 10, LARGE - 12)

    def reasons(records, judgement):
        passed = Counter()
        trials = sum(len(followed(given, metered(), records, [judgement], seed, passed)) for seed in range(50))
        return trials, passed

    trials, passed = reasons(told(metered(), spent), agreeing("a"))
    assert not passed
    for why, records, judgement in (
        (" of a: the case has its difference", told(metered(), spent), agreeing("a", Differ("R2", 0, "x", "1", "2"))),
        (": the case came to a limit", told(metered(), spent, {4: Exhausted("stack")}), agreeing("a")),
    ):
        none, passed = reasons(records, judgement)
        assert none == 0
        assert sum(passed.values()) == trials
        assert set(passed) == {"resume" + why, "exhaustion" + why}
    _, passed = reasons(told(metered(), (LARGE, LARGE, LARGE)), agreeing("a"))
    assert set(passed) == {"exhaustion: no step spends fuel, or all spend too much"}
    given = course(a=described("a"))
    _, passed = reasons(told(metered(), spent), agreeing("a"))
    assert set(passed) == {"twin: the plan has none"}  # it has no modules


def test_a_model_that_forgets_is_not_held_against_its_straight_run_and_that_is_said():
    ours = replace(OURS, fuel_model="wasmtime 48")
    given = Course({"reference": ours, "a": described("a", "wasmtime 48")}, ALL_CHECKS)
    assert given.counts["off/straight runs of reference: its model forgets what callees spent"] == 1


def test_checks_that_are_off_are_counted_with_their_reason():
    given = course(a=described("a"), b=described("b", ""))
    assert given.counts == {
        "off/debug of a: its frames are not exact": 1,
        "off/debug of b: its frames are not exact": 1,
        "off/fuel of b: no model counts as it does": 1,
        "off/resume of b: no model counts as it does": 1,
    }


def test_a_plan_is_dressed_only_for_checks_that_are_on():
    given = Course({"reference": OURS, "a": described("a", can=("frames",))}, checks_of("state"))
    assert {given.dress(PLAN, choices(seed)) == PLAN for seed in range(20)} == {True}
