"""Wrong counts, resumes and restores are found by the checks in few cases, and what is found is an ordinary case."""

from __future__ import annotations

import pytest

from harness.case import load_case, save_case
from harness.cases import Examiner
from harness.checks import ALL_CHECKS
from harness.planted_models import WRONG_COUNTS, WRONG_RESTORES, WRONG_RESUMES
from harness.reduce.check import Check
from harness.reduce.shrink import reduce_case
from harness.runner import Runner
from oracles.adapter import Unavailable, load
from oracles.process import Oracle

MODEL = "fuel=wasmtime-50"
NAMES = tuple(WRONG_COUNTS | WRONG_RESUMES | WRONG_RESTORES)
CASES = 150


def oracle_of(name):
    return f"reference:{'restored+' if name in WRONG_RESTORES else ''}plant={name}+{MODEL}"


@pytest.fixture(scope="module")
def found():
    """The first finding of each mistake, by name."""
    first = {}
    with Runner([Oracle(f"reference:{MODEL}"), *(Oracle(oracle_of(name)) for name in NAMES)]) as runner:
        examiner = Examiner(runner, 3, "standard", checks=ALL_CHECKS)
        for index in range(CASES):
            for finding in examiner.test(index).found:
                oracle = finding.case.oracles[1]
                name = next(n for n in NAMES if oracle == oracle_of(n))
                if name not in first:
                    first[name] = finding.case
                    runner.drop(oracle)
            if len(first) == len(NAMES):
                break
    return first


@pytest.mark.parametrize("name", NAMES)
def test_a_mistake_is_found_within_a_few_cases(found, name):
    assert name in found


def test_a_wrong_count_of_a_trap_or_an_operator_is_found_by_fuel(found):
    assert {found[name].finding.rule for name in ("if-free", "no-refund", "fill-extra", "host-blind")} == {"R8"}


def test_whatever_a_wrong_restore_changes_is_found_by_rule_9(found):
    assert {found[name].finding.rule for name in WRONG_RESTORES} == {"R9"}
    assert "reference:restored:" not in found["lost-global"].finding.signature


@pytest.mark.parametrize("name", ["if-free", "host-twice", "lost-global"])
def test_a_finding_of_a_check_is_saved_reduced_and_reproduced_like_any_other(found, name, tmp_path):
    case = found[name]
    assert (case.tape is not None) == (name != "host-twice")  # a derived plan has none
    with Runner([Oracle(oracle) for oracle in case.oracles]) as runner:
        check = Check(runner, case.finding.signature, tries=400, time_s=30)
        reduced = reduce_case(case, check)
        assert reduced.after < reduced.before / 4
        assert check.shows(load_case(save_case(reduced.case, tmp_path / "small")).plan)


def test_a_mistake_keeps_the_name_of_the_model_that_it_gets_wrong():
    right, wrong = load(f"reference:{MODEL}"), load(oracle_of("if-free"))
    assert wrong.describe().fuel_model == right.describe().fuel_model == "wasmtime 50"


def test_a_mistake_that_there_is_not_is_unavailable():
    with pytest.raises(Unavailable, match=r"no planted bug 'nothing'; known: .*host-twice"):
        load("reference:plant=nothing")
