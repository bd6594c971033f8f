"""The case of each format number that was ever written loads and says the same for ever."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.case import FORMAT, case_to_files, load_case
from harness.compare import Agree, Differ
from harness.runner import Runner
from oracles.process import Oracle

GOLDEN = Path(__file__).parents[1] / "golden"
CASES = sorted(GOLDEN.glob("case-format-*"))


def test_there_is_a_golden_case_of_every_format():
    assert [p.name for p in CASES] == [f"case-format-{n}" for n in range(1, FORMAT + 1)]


@pytest.mark.parametrize("place", CASES, ids=lambda p: p.name)
def test_a_golden_case_shows_its_finding_and_wasmtime_agrees_with_us(place):
    case = load_case(place)
    with Runner([Oracle(o) for o in (*case.oracles, "wasmtime")]) as runner:
        planted, wasmtime = runner.judge(runner.run(case.plan))
    verdict = planted.comparison.verdict
    assert planted.signature == case.finding.signature
    assert isinstance(verdict, Differ)
    assert (verdict.step, verdict.what, verdict.left, verdict.right) == (
        case.finding.step, case.finding.what, case.finding.left, case.finding.right,
    )  # fmt: skip
    assert wasmtime.comparison.verdict == Agree()


def test_the_newest_golden_case_is_written_as_it_was():
    place = CASES[-1]
    files = case_to_files(load_case(place))
    assert files["case.json"] == (place / "case.json").read_bytes()
