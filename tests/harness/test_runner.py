"""The runner: who is compared with whom, what is run again, and when an engine must agree with itself."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from harness.compare import Agree, Differ, Incomparable
from harness.divergences import parse
from harness.runner import RETRY_FACTOR, Runner
from oracles.outcome import Exhausted, Record, Returned, TimedOut, Trapped
from oracles.plan import Limits, Plan, Step
from tests.support.fakes import FakeOracle, all_return

CALL = Step("call", {"instance": "a", "export": "f", "args": []})
PLAN = Plan(steps=(CALL, CALL), limits=Limits(step_ms=100))


def returns(*bits):
    return lambda plan: [Returned((("i32", b),)) for b in bits]


def traps(phrase):
    return lambda plan: [Trapped(phrase), Returned()]


def test_each_oracle_is_compared_with_the_first():
    oracles = [FakeOracle("reference"), FakeOracle("one"), FakeOracle("two", traps("unreachable"))]
    with Runner(oracles) as runner:
        one, two = runner.judge(runner.run(PLAN))
    assert (one.oracle, one.comparison.verdict, one.is_finding) == ("one", Agree(), False)
    assert (two.oracle, two.is_finding) == ("two", True)
    assert two.signature == "reference two R3 call outcome: returned / trapped: unreachable"


def test_closing_a_runner_closes_its_oracles():
    oracles = [FakeOracle("reference"), FakeOracle("one")]
    with Runner(oracles) as runner:
        runner.run(PLAN)
    assert all(o.is_closed for o in oracles)


def test_an_oracle_aside_runs_only_what_is_meant_for_it():
    main, aside = [FakeOracle("reference"), FakeOracle("one")], FakeOracle("reference:restored", traps("unreachable"))
    with Runner(main, aside=[aside]) as runner:
        assert len(runner.descriptions()) == 2
        assert [side.oracle for side in runner.run(PLAN).sides] == ["reference", "one"]
        assert not aside.runs
        runner.drop("one")
        run = runner.run(PLAN, ("reference", "reference:restored"))
        (judgement,) = runner.judge(run)
    assert judgement.oracle == "reference:restored"
    assert judgement.comparison.verdict.rule == "R9"
    assert judgement.signature == "reference reference:restored R9 call outcome: returned / trapped: unreachable"
    assert aside.is_closed
    with pytest.raises(ValueError, match="twice"):
        Runner(main, aside=main)


def test_an_oracle_twice_is_refused():
    with pytest.raises(ValueError, match="twice"):
        Runner([FakeOracle("one"), FakeOracle("one")])


def test_a_timeout_is_run_again_with_more_time():
    slow = FakeOracle("slow", lambda p: all_return(p) if p.limits.step_ms > 100 else [Returned(), TimedOut(100)])
    with Runner([FakeOracle("reference"), slow]) as runner:
        run = runner.run(PLAN)
        (judgement,) = runner.judge(run)
    assert [p.limits.step_ms for p in slow.runs] == [100, 100 * RETRY_FACTOR]
    assert judgement.comparison.verdict == Agree()
    assert not run.is_timed_out


def test_a_hang_is_inconclusive_and_marks_the_run():
    hanging = FakeOracle("hanging", lambda p: [Returned(), TimedOut(100)])
    with Runner([FakeOracle("reference"), hanging]) as runner:
        run = runner.run(PLAN)
        (judgement,) = runner.judge(run)
    assert judgement.comparison.verdict == Incomparable("limit: time", 1)
    assert run.is_timed_out


def test_memory_that_the_machine_lacks_marks_the_run_too():
    with Runner([FakeOracle("reference", lambda p: [Exhausted("memory")]), FakeOracle("one")]) as runner:
        assert runner.run(PLAN).is_timed_out


def test_a_registered_divergence_is_no_finding():
    registry = parse("""
        format = 1
        [[divergence]]
        id = "known"
        engine = "one"
        versions = ">=1.0,<2"
        rule = "R3"
        outcome = ["returned", "trapped: unreachable"]
        reason = "they trap where nobody else does"
        count = 1
    """)
    with Runner([FakeOracle("reference"), FakeOracle("one", traps("unreachable"))], registry) as runner:
        (judgement,) = runner.judge(runner.run(PLAN))
    assert judgement.divergence is not None
    assert judgement.divergence.id == "known"
    assert not judgement.is_finding


def test_an_engine_that_disagrees_with_itself_is_a_finding():
    numbers = itertools.count()
    moody = FakeOracle(
        "moody", lambda _: [Returned((("i32", "00000000"),)), Returned((("i32", f"{next(numbers):08x}"),))]
    )
    with Runner([FakeOracle("steady", returns("00000000", "00000001")), moody]) as runner:
        (judgement,) = runner.check_determinism(runner.run(PLAN))
    verdict = judgement.comparison.verdict
    assert isinstance(verdict, Differ)
    assert (judgement.oracle, verdict.rule, verdict.step) == ("moody", "R12", 1)
    assert judgement.signature == "moody moody R12 call result: i32 / i32"


def test_the_digest_covers_every_oracle_and_no_wording():
    def digest(phrase, text=""):
        with Runner([FakeOracle("reference"), FakeOracle("one", lambda p: [Trapped(phrase, None, text)])]) as runner:
            return runner.run(PLAN).digest()

    assert digest("unreachable", "a") == digest("unreachable", "b")
    assert digest("unreachable") != digest("integer overflow")


def test_outcomes_and_traps_of_effective_steps_are_counted():
    plan = Plan(steps=(CALL, Step("observe", {}), CALL))
    behave = lambda p: [Trapped("unreachable"), Returned(), Returned()]  # noqa: E731
    with Runner([FakeOracle("reference", behave), FakeOracle("one", behave)]) as runner:
        outcomes, trapped = runner.run(plan).outcome_counts()
    assert (outcomes, trapped) == ({"trapped": 1, "returned": 1}, {"unreachable": 1})


METERED = replace(PLAN, steps=(Step("set_fuel", {"fuel": 100}), *PLAN.steps))
SLICED = replace(METERED, steps=(Step("yield_schedule", {"intervals": [1]}), *METERED.steps))


def spending(after_trap, after_trap_in_slices):
    """Return an engine whose first call traps and leaves so much fuel, and whose second spends one unit."""

    def behave(plan):
        is_sliced = plan.steps[0].kind == "yield_schedule"
        left = after_trap_in_slices if is_sliced else after_trap
        pauses = {"pauses": [], "paused": 1} if is_sliced else {}
        answers = [(Returned(), None)] * (1 + is_sliced)
        answers += [(Trapped("unreachable"), {"fuel": left, **pauses}), (Returned(), {"fuel": left - 1, **pauses})]
        return [Record(i, *answer) for i, answer in enumerate(answers)]

    return behave


def test_what_a_trap_in_slices_does_not_give_back_is_tolerated_by_name():
    with Runner([FakeOracle("reference", spending(90, 85), fuel_model="unit"), FakeOracle("one")]) as runner:
        (judgement,) = runner.check_straight(runner.run(SLICED))
    assert (judgement.comparison.verdict, judgement.comparison.notes) == (Agree(), ("fuel-pause",))
    assert judgement.is_with_itself


def test_what_a_trap_in_slices_gives_back_beyond_the_straight_run_is_a_finding():
    with Runner([FakeOracle("reference", spending(85, 90), fuel_model="unit"), FakeOracle("one")]) as runner:
        (judgement,) = runner.check_straight(runner.run(SLICED))
    assert isinstance(judgement.comparison.verdict, Differ)
    assert judgement.comparison.verdict.rule == "R9"


def test_slices_that_change_nothing_agree_without_a_note():
    with Runner([FakeOracle("reference", spending(90, 90), fuel_model="unit"), FakeOracle("one")]) as runner:
        (judgement,) = runner.check_straight(runner.run(SLICED), runner.run(METERED))
    assert (judgement.comparison.verdict, judgement.comparison.notes) == (Agree(), ())


def test_equal_runs_are_told_once_in_the_digest_and_others_are_not():
    def digest(*bits):
        engines = [FakeOracle(f"e{n}", returns(b, b)) for n, b in enumerate(bits)]
        with Runner(engines) as runner:
            return runner.run(PLAN).digest()

    assert len({digest(*bits) for bits in ("11", "12", "21", "22")}) == 4
