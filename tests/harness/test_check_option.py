"""``wfuzz run --check``: what is on, for which engine, beside which reference; the same cases on any number of jobs."""

from __future__ import annotations

import json
import re

import pytest

from harness import pool
from harness.case import load_case
from harness.cases import Examiner, Examiners
from harness.checks import ALL_CHECKS, checks_of, course
from harness.cli import Exit
from harness.runner import Runner
from tests.support.fakes import FakeOracle

WRONG = "reference:plant=host-twice+fuel=wasmtime-50"
WINCH = "reference:plant=if-free+fuel=wasmtime-50-winch"


def campaign(path):
    return json.loads((path / "campaign.json").read_text())


def findings(path):
    return [load_case(place.parent) for place in path.glob("findings/*/*/case.json")]


def test_a_check_that_there_is_not_is_wrong_usage(wfuzz, tmp_path):
    status, _, err = wfuzz("run", "--check", "fule", "--cases", 1, "--out", tmp_path / "run")
    assert status == Exit.USAGE
    assert "no check 'fule'; known: results, state, fuel, resume, debug" in err


def test_without_checks_of_fuel_engines_are_beside_the_plain_reference(wfuzz, tmp_path):
    out = tmp_path / "run"
    status, said, _ = wfuzz("run", "--check", "state", "--oracle", WRONG, "--seed", 1, "--cases", 4, "--out", out)
    assert status == Exit.CLEAN
    assert campaign(out)["oracles"] == [["reference", WRONG]]
    assert campaign(out)["checks"] == ["results", "state"]
    assert "checks" not in said


def test_each_engine_is_beside_the_reference_that_counts_alike(wfuzz, tmp_path):
    out = tmp_path / "run"
    oracles = ("--oracle", WRONG, "--oracle", WINCH)
    status, said, _ = wfuzz("run", *oracles, "--seed", 1, "--cases", 30, "--out", out)
    assert status == Exit.FINDINGS
    assert campaign(out)["oracles"] == [
        ["reference:fuel=wasmtime-50", WRONG],
        ["reference:fuel=wasmtime-50-winch", WINCH],
    ]
    assert {case.oracles for case in findings(out)} >= {tuple(bench) for bench in campaign(out)["oracles"]}
    assert "resume runs" in said


def test_a_finding_of_a_derived_plan_reproduces(wfuzz, tmp_path):
    out = tmp_path / "run"
    wfuzz("run", "--oracle", WRONG, "--seed", 1, "--cases", 30, "--out", out)
    derived = [place.parent for place in out.glob("findings/*/*/case.json") if load_case(place.parent).tape is None]
    assert derived
    status, said, _ = wfuzz("repro", derived[0])
    assert (status, said.splitlines()[-1]) == (Exit.FINDINGS, "  reproduced")


@pytest.mark.parametrize("plant", ["", "plant=lost-global+"])
def test_runs_on_the_restored_reference_are_counted_and_what_they_find_reproduces(wfuzz, tmp_path, monkeypatch, plant):
    restored = f"reference:restored+{plant}fuel=wasmtime-50"
    monkeypatch.setattr(course, "RESTORED", 100)
    monkeypatch.setattr(pool, "restored", lambda reference: restored)
    out = tmp_path / "run"
    run = ("run", "--oracle", "wasmtime", "--check", "state,fuel,resume", "--seed", 1)
    status, said, _ = wfuzz(*run, "--cases", 20, "--out", out)
    assert re.search(r"  restored runs [1-9]", said)
    assert status == (Exit.FINDINGS if plant else Exit.CLEAN)
    assert {(case.oracles, case.finding.rule) for case in findings(out)} == (
        {(("reference:fuel=wasmtime-50", restored), "R9")} if plant else set()
    )
    for place in [*out.glob("findings/*/*/case.json")][:1]:
        status, said, _ = wfuzz("repro", place.parent)
        assert (status, said.splitlines()[-1]) == (Exit.FINDINGS, "  reproduced")


def test_a_check_that_is_off_is_in_the_summary_with_its_reason(wfuzz, tmp_path):
    _, said, _ = wfuzz("run", "--oracle", "wasmtime", "--seed", 1, "--cases", 4, "--out", tmp_path / "run")
    assert "checks off     debug of wasmtime: its frames are not exact (4 cases)" in said


def test_jobs_change_nothing_with_several_benches_and_all_checks(wfuzz, tmp_path):
    digests = set()
    for jobs in (1, 2):
        args = ("--oracle", WRONG, "--oracle", WINCH, "--seed", 3, "--cases", 16, "--jobs", jobs)
        _, said, _ = wfuzz("run", *args, "--out", tmp_path / str(jobs))
        digests.add(next(line for line in said.splitlines() if "digest" in line))
    assert len(digests) == 1


def examiner(checks, *engines):
    return Examiner(Runner([FakeOracle("reference"), *engines]), 1, "small", checks=checks)


def test_the_digest_of_a_case_is_that_of_its_only_run_and_covers_all_of_several():
    alone = examiner(checks_of("state"), FakeOracle("one"))
    both = Examiners([alone, examiner(ALL_CHECKS, FakeOracle("two"))])
    one, two = alone.test(5), both.finish(both.start(5))
    assert one.digest is not None
    assert two.digest not in (None, one.digest)
    assert two.counts["agree/one"] == two.counts["agree/two"] == 1
    assert two.counts["outcome/returned"] == one.counts["outcome/returned"]  # of the case, not of each bench
    both.close()
