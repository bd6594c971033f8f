"""Whole reductions: what a check accepts, steps and values, budgets, and a case from tape to module."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from engine.binary import decode
from generators.module import generate
from generators.profile import PRESETS
from harness.case import Case, Finding
from harness.cases import source_of
from harness.divergences import parse
from harness.reduce.check import BudgetSpent, Check, CheckError
from harness.reduce.shrink import reduce_case
from harness.reduce.steps import reduce_steps, simpler_values
from harness.runner import Runner
from oracles.outcome import Returned, Trapped
from oracles.plan import HostFunc, Plan, Step
from tests.support.fakes import FakeOracle, all_return
from tests.support.wasm import wasm

CALL = Step("call", {"instance": "m", "export": "f", "args": []})
TURNS = itertools.count()
SIGNATURE = "reference other R3 call outcome: returned / trapped: unreachable"
FINDING = Finding(SIGNATURE, "R3", 3, "outcome", "returned", "trapped")


def traps_on(condition, phrase="unreachable"):
    """An engine that traps in each call of a plan for which the condition holds."""

    def behave(plan):
        bad = condition(plan)
        return [Trapped(phrase) if bad and s.kind == "call" else Returned() for s in plan.steps]

    return behave


def check_on(behave, **budget):
    other = FakeOracle("other", behave)
    runner = Runner([FakeOracle("reference", all_return), other])
    return Check(runner, SIGNATURE, **({"tries": 10_000, "time_s": 60} | budget)), other


def test_only_the_same_signature_is_accepted():
    check, _ = check_on(traps_on(lambda p: True))
    assert check(Plan((CALL,)))
    check, _ = check_on(traps_on(lambda p: True, "integer overflow"))
    assert not check(Plan((CALL,)))
    check, _ = check_on(all_return)
    assert not check(Plan((CALL,)))


def test_a_new_bug_does_not_slip_into_a_known_one():
    known = """format = 1
        [[divergence]]
        id = "other-eqz"
        engine = "other"
        versions = ">=1,<2"
        rule = "R3"
        rows = ["i32.eqz"]
        reason = "a bug that we know"
        count = 1
        """
    eqz, clz = (wasm(f"(func (drop (i32.{name} (i32.const 0))))") for name in ("eqz", "clz"))
    runner = Runner([FakeOracle("reference"), FakeOracle("other", traps_on(lambda p: True))], parse(known))
    for start, slipped in ((clz, eqz), (eqz, clz)):
        check = Check(runner, SIGNATURE, tries=100, time_s=60)
        check.be_sure(Plan((CALL,), {"m": start}))
        assert check(Plan((CALL, CALL), {"m": start}))
        assert not check.share(0.5)(Plan((CALL, CALL), {"m": slipped}))


def test_a_plan_is_run_once_however_often_it_is_asked_for():
    check, other = check_on(traps_on(lambda p: True))
    assert [check(Plan((CALL,))) for _ in range(3)] == [True] * 3
    assert (check.tries, check.answered, len(other.runs)) == (1, 3, 1)


def test_tries_and_time_are_bounded():
    check, _ = check_on(all_return, tries=2)
    plans = [Plan((CALL,) * n) for n in range(1, 4)]
    assert not check(plans[0])
    assert not check(plans[1])
    with pytest.raises(BudgetSpent):
        check(plans[2])
    assert not check(plans[0])  # known answers are free
    check, _ = check_on(all_return, time_s=0)
    with pytest.raises(BudgetSpent):
        check(plans[0])


def test_a_share_of_a_budget_has_the_same_memory():
    check, other = check_on(all_return, tries=10)
    part = check.share(0.5)
    part(Plan((CALL,)))
    check(Plan((CALL,)))
    assert len(other.runs) == 1
    with pytest.raises(BudgetSpent):
        for n in range(2, 10):
            part(Plan((CALL,) * n))
    assert part.tries == 5


@pytest.mark.parametrize(
    ("behave", "why"),
    [
        (all_return, "does not reproduce"),
        (traps_on(lambda p: next(TURNS) % 2), "runs only"),
    ],
)
def test_a_finding_that_does_not_hold_still_is_not_reduced(behave, why):
    check, _ = check_on(behave)
    with pytest.raises(CheckError, match=why):
        check.be_sure(Plan((CALL,)))


def test_a_signature_that_an_empty_plan_shows_means_nothing():
    class Everything(Check):
        def shows(self, plan):
            return True

    runner = Runner([FakeOracle("reference"), FakeOracle("other")])
    with pytest.raises(CheckError, match="without steps"):
        Everything(runner, SIGNATURE, tries=1, time_s=1).be_sure(Plan((CALL,)))


def test_steps_that_a_finding_does_not_need_go():
    need = replace(CALL, args={**CALL.args, "export": "g"})
    plan = Plan((CALL, need, CALL, Step("observe", {}), CALL))
    assert reduce_steps(plan, lambda p: need in p.steps).steps == (need,)


def test_arguments_and_hosts_get_simple():
    step = Step("call", {"instance": "m", "export": "f", "args": [["i32", "0000beef"], ["i64", "0" * 15 + "7"]]})
    hosts = {
        "a": HostFunc((), (), (("record",), ("mix", 3), ("trap", "x", 1))),
        "b": HostFunc((), (), (("record",),)),
    }

    def holds(plan):
        odd = any(int(s["args"][0][1], 16) % 2 for s in plan.steps)
        return odd and "a" in plan.hosts and any(a[0] == "trap" for a in plan.hosts["a"].actions)

    reduced = reduce_steps(Plan((step,), hosts=hosts), holds)
    assert [list(map(tuple, s["args"])) for s in reduced.steps] == [[("i32", "00000001"), ("i64", "0" * 16)]]
    assert reduced.hosts == {"a": HostFunc((), (), (("trap", "x", 1),))}


def test_simpler_values_end():
    for start in (("i32", "deadbeef"), ("f64", "7ff8000000000000"), ("funcref", 3), ("i64", "f" * 16)):
        value, seen = start, 0
        while (simpler := next(simpler_values(value), None)) is not None:
            value, seen = simpler, seen + 1
            assert seen < 5
        assert value[1] in (None, "0" * len(str(value[1])))


def executes(name):
    """Whether a plan still calls a function of a module with this instruction."""

    def condition(plan):
        rows = (i.row.name for wasm in plan.modules.values() for c in decode(wasm).codes for i in c.body)
        return name in rows and any(s.kind == "call" for s in plan.steps)

    return condition


@pytest.mark.parametrize("with_tape", [True, False])
def test_a_generated_case_shrinks_through_all_levels(with_tape):
    source = source_of(1, 5, "standard")
    plan = generate(source, PRESETS["standard"]).plan
    name = "i64.mul"
    index = 5
    while not executes(name)(plan):
        index += 1
        source = source_of(1, index, "standard")
        plan = generate(source, PRESETS["standard"]).plan
    provenance = {"seed": 1, "index": index, "profile": "standard"}
    case = Case(plan, provenance, ("reference", "other"), tuple(source.tape) if with_tape else None, FINDING)
    check, _ = check_on(traps_on(executes(name)))
    reduced = reduce_case(case, check)
    assert reduced.is_minimal
    assert reduced.after <= 8 < reduced.before
    assert len(reduced.case.plan.steps) == 1
    assert reduced.case.finding is not None
    assert reduced.case.finding.signature == SIGNATURE
    assert reduced.case.finding.step == 0
    assert reduced.case.tape is None
    assert check(reduced.case.plan)


def test_a_reduction_without_budget_hands_back_what_there_is():
    source = source_of(1, 5, "standard")
    plan = generate(source, PRESETS["standard"]).plan
    case = Case(
        plan,
        {"profile": "standard"},
        ("reference", "other"),
        tuple(source.tape),
        Finding(SIGNATURE, "R3", 3, "", "", ""),
    )
    check, _ = check_on(traps_on(lambda p: True), tries=5)
    reduced = reduce_case(case, check)
    assert not reduced.is_minimal
    assert check(reduced.case.plan)


def test_a_tape_of_another_generator_is_set_aside():
    source = source_of(1, 5, "small")
    plan = generate(source, PRESETS["small"]).plan
    case = Case(
        plan,
        {"profile": "standard"},
        ("reference", "other"),
        tuple(source.tape),
        Finding(SIGNATURE, "R3", 3, "", "", ""),
    )
    check, _ = check_on(traps_on(lambda p: True))
    assert len(reduce_case(case, check).case.plan.steps) == 1
