"""Kept cases: what the reference engine had then it has now, and a real engine's bug is in the registry."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import baselines
from harness.case import load_case
from harness.compare import Agree, Differ, Side, outcome_class
from harness.corpus import case_directories
from harness.divergences import load
from harness.runner import Runner
from oracles.adapter import OracleId
from oracles.process import Oracle

CASES = case_directories(Path(__file__).parents[2] / "corpus" / "regressions")


@pytest.mark.parametrize("place", CASES, ids=lambda place: place.name)
def test_wasmtime_agrees_with_us_unless_the_entry_is_its_own(place):
    case = load_case(place)
    finding = case.finding
    assert finding is not None
    name = case.oracles[1]
    is_own = OracleId.parse(name).base == "wasmtime"
    with Runner([Oracle("reference"), Oracle(name if is_own else "wasmtime")]) as runner:
        run = runner.run(case.plan)
        (judgement,) = runner.judge(run)
    verdict = judgement.comparison.verdict
    if is_own:
        assert isinstance(verdict, Differ)
        assert (verdict.rule, verdict.step) == (finding.rule, finding.step)
        assert judgement.signature == finding.signature
        differ = verdict
    else:
        assert verdict == Agree()
        record = run.sides[0].records[finding.step]
        ours = outcome_class(record.outcome)
        if finding.rule == "R14":
            ours = finding.signature.partition(": ")[2].partition(" / ")[0]
            x, at = record.data["frames"][int(finding.what.removeprefix("frame "))]
            assert finding.left == f"function {x} at {at:#x}"
        theirs = finding.signature.rpartition(" / ")[2]
        differ = Differ(
            finding.rule, finding.step, finding.what, finding.left, finding.right, left_class=ours, right_class=theirs
        )
    ids = case.oracles
    records = [side.records if is_own else () for side in run.sides]
    left, right = (
        Side(i, r, OracleId.parse(i).name, case.provenance["versions"][i]) for i, r in zip(ids, records, strict=True)
    )
    entry = load(baselines() / "divergences.toml").explain(case.plan, left, right, differ)
    assert entry is not None
    assert entry.id == place.name
