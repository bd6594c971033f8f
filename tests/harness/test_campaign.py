"""Campaigns: budgets, order, shards, jobs, resuming, and what survives interruption and a full disk."""

from __future__ import annotations

import errno
import itertools
import json
import os
import subprocess
import sys
import textwrap
from dataclasses import replace

import pytest

from generators.profile import PRESETS
from harness import cases
from harness.campaign import Budget, Campaign, Shard
from harness.case import load_case
from harness.cases import CaseResult, Examiner, Found, fit_profile, source_of
from harness.cli import Exit
from harness.directory import DirectoryError, RunDirectory
from harness.divergences import Registry, parse
from harness.pool import InProcess
from harness.report import Tally, summary_lines
from harness.runner import Runner
from harness.triage import KEEP
from oracles.adapter import Unavailable
from oracles.outcome import Exhausted, Rejected, Returned, TimedOut, Trapped, Unsupported
from oracles.plan import Plan, Step
from tests.support.fakes import FakeOracle

IDENTITY = {"format": 1, "seed": 1}


@pytest.fixture(autouse=True)
def _small_cases(monkeypatch):
    """Cases with one call whose argument is the first choice of the tape, and no modules."""

    class Made:
        def __init__(self, source, _profile):
            choice = format(source.bits(32), "08x")
            call = Step("call", {"instance": "a", "export": "f", "args": [["i32", choice]]})
            self.plan = Plan(steps=(call, Step("observe", {})))

    monkeypatch.setattr(cases, "generate", Made)


def argument(plan):
    return int(plan.steps[0]["args"][0][1], 16)


def echo(plan):
    return [Returned(tuple(map(tuple, plan.steps[0]["args"]))), Returned()]


def wrong_when(condition, outcome=None):
    """An engine that answers ``outcome`` to the arguments for which ``condition`` holds."""
    return lambda plan: [outcome or Trapped("unreachable"), Returned()] if condition(argument(plan)) else echo(plan)


def sitting(path, behave=echo, *, cases=20, shard=None, registry=None, seed=1, interrupt_after=None, time_s=None):
    """Run one sitting of a campaign; return its ending, tally and directory."""
    runner = Runner([FakeOracle("reference", echo), FakeOracle("other", behave)], registry)
    directory = RunDirectory(path, IDENTITY)
    seen = itertools.count(1)

    def progress(_):
        if next(seen) == interrupt_after:
            raise KeyboardInterrupt

    budget = Budget(cases, time_s)
    campaign = Campaign(directory, shard or Shard(), budget, registry or Registry(), progress)
    pool = InProcess(Examiner(runner, seed, "standard"))
    try:
        ending = campaign.run(pool)
    finally:
        pool.close()
        directory.close()
    return ending, campaign.tally, directory


def kept(path):
    return sorted(int(p.name) for p in path.glob("findings/*/*") if p.name.isdecimal())


def test_a_campaign_without_differences_is_clean(tmp_path):
    ending, tally, _ = sitting(tmp_path / "run")
    assert (ending.status, tally.cases, tally.errors) == (Exit.CLEAN, 20, [])
    assert tally.of_kind("outcome") == {"returned": 20}


def test_a_finding_is_saved_as_a_case_that_loads(tmp_path):
    ending, _, directory = sitting(tmp_path / "run", wrong_when(lambda a: True), cases=1)
    assert ending.status == Exit.FINDINGS
    case = load_case(directory.places()[0])
    assert case.finding is not None
    assert case.finding.signature == "reference other R3 call outcome: returned / trapped: unreachable"
    assert case.oracles == ("reference", "other")
    assert case.tape == tuple(replayed(case))


def replayed(case):
    source = source_of(case.provenance["seed"], case.provenance["index"], case.provenance["profile"])
    source.bits(32)
    return source.tape


def test_few_cases_of_a_signature_are_kept_and_all_are_counted(tmp_path):
    _, tally, _ = sitting(tmp_path / "run", wrong_when(lambda a: True), cases=12)
    assert kept(tmp_path / "run") == list(range(KEEP))
    assert sum(tally.of_kind("finding").values()) == 12


def test_the_digest_depends_on_seed_and_outcomes_alone(tmp_path):
    numbers = itertools.count()

    def digest(**kwargs):
        return sitting(tmp_path / str(next(numbers)), **kwargs)[1].digest

    assert digest() == digest()
    assert digest() != digest(seed=2)
    assert digest() != digest(behave=wrong_when(lambda a: a % 7 == 0))


def test_shards_partition_the_cases_and_their_digests_add_up(tmp_path):
    whole = sitting(tmp_path / "whole", cases=12)[1]
    parts = [sitting(tmp_path / str(n), cases=4, shard=Shard(n, 3))[1] for n in (1, 2, 3)]
    assert sum(p.digest for p in parts) % 2**256 == whole.digest
    indices = [list(itertools.islice(Shard(n, 3, 5).indices(), 3)) for n in (1, 2, 3)]
    assert sorted(itertools.chain(*indices)) == list(range(5, 14))


def test_an_interrupted_campaign_goes_on_where_it_stopped(tmp_path):
    behave = wrong_when(lambda a: a % 3 == 0)
    whole = sitting(tmp_path / "whole", behave, cases=20)[1]
    ending, tally, _ = sitting(tmp_path / "run", behave, cases=20, interrupt_after=6)
    assert ending.status == Exit.INTERRUPTED
    assert 0 < tally.cases < 20
    _, tally, _ = sitting(tmp_path / "run", behave, cases=20)
    assert (tally.cases, tally.digest, tally.counts) == (20, whole.digest, whole.counts)
    assert kept(tmp_path / "run") == kept(tmp_path / "whole")


def test_an_oracle_that_is_gone_ends_the_campaign_with_what_was_done(tmp_path):
    def gone(plan):
        if argument(plan) % 4 == 0:
            raise Unavailable("other: 5 workers in a row failed")
        return echo(plan)

    ending, tally, _ = sitting(tmp_path / "run", gone, cases=40)
    assert (ending.status, ending.why) == (Exit.ENVIRONMENT, "other: 5 workers in a row failed")
    assert 0 < tally.cases < 40
    assert json.loads((tmp_path / "run" / "progress.json").read_text())["cases"] == tally.cases


def test_a_time_budget_ends_a_sitting(tmp_path):
    ending, tally, _ = sitting(tmp_path / "run", cases=None, time_s=1e-9)
    assert (ending.why, tally.cases) == ("time is up", 0)


def test_a_hang_is_listed_and_out_of_the_digest(tmp_path):
    _, tally, _ = sitting(tmp_path / "run", lambda p: [TimedOut(1)], cases=3)
    assert tally.undigested == [0, 1, 2]
    assert tally.digest == 0
    assert tally.of_kind("inconclusive") == {"limit: time": 3}


def test_too_much_that_is_inconclusive_has_its_own_status(tmp_path):
    ending, tally, _ = sitting(tmp_path / "run", wrong_when(lambda a: True, Exhausted("stack")), cases=200)
    assert ending.status == Exit.INCONCLUSIVE
    assert tally.percent("inconclusive") == 100


def test_what_an_engine_cannot_do_is_counted_apart(tmp_path):
    ending, tally, _ = sitting(tmp_path / "run", wrong_when(lambda a: a % 4 == 0, Unsupported("externref")), cases=200)
    assert ending.status == Exit.CLEAN
    assert list(tally.of_kind("unsupported")) == ["other externref"]
    assert 0 < tally.percent("unsupported") < 50
    assert tally.percent("inconclusive") == 0
    ending, _, _ = sitting(tmp_path / "most", wrong_when(lambda a: a % 4, Unsupported("externref")), cases=200)
    assert ending.status == Exit.INCONCLUSIVE


def test_a_generator_that_fails_is_an_internal_error_of_its_case(tmp_path, monkeypatch):
    def broken(source, _profile):
        raise ZeroDivisionError("broken generator")

    monkeypatch.setattr(cases, "generate", broken)
    ending, tally, _ = sitting(tmp_path / "run", cases=3)
    assert (ending.status, tally.errors) == (Exit.INTERNAL, [0, 1, 2])
    assert "broken generator" in (tmp_path / "run" / "errors" / "1.txt").read_text()


def test_a_generated_module_that_both_engines_reject_is_our_fault(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "echo", lambda plan: [Rejected("invalid", "type mismatch")] * 2)
    ending, tally, _ = sitting(tmp_path / "run", echo, cases=2)
    assert (ending.status, tally.errors) == (Exit.INTERNAL, [0, 1])
    assert "type mismatch" in (tmp_path / "run" / "errors" / "0.txt").read_text()


def test_registered_divergences_are_counted_and_bounded(tmp_path):
    registry = parse("""
        format = 1
        [[divergence]]
        id = "known"
        engine = "other"
        versions = ">=1,<2"
        rule = "R3"
        outcome = ["returned", "trapped: unreachable"]
        reason = "they trap where nobody else does"
        count = 3
    """)
    ending, tally, _ = sitting(tmp_path / "few", wrong_when(lambda a: a % 16 == 0), registry=registry, cases=40)
    assert 0 < tally.of_kind("divergence")["known"] <= 3
    assert ending.status == Exit.CLEAN
    ending, _, _ = sitting(tmp_path / "many", wrong_when(lambda a: True), registry=registry, cases=20)
    assert ending.status == Exit.FINDINGS


@pytest.mark.parametrize("survive", range(0, 60, 3))
def test_a_full_disk_ends_the_campaign_and_loses_no_finding(tmp_path, monkeypatch, survive):
    """Whenever the disk fills up, what was reported as kept loads, and going on later finds everything."""
    behave = wrong_when(lambda a: a % 2 == 0)
    real, left = os.write, survive
    reserve = tmp_path / "run" / ".reserve"

    def limited(fd, data):
        nonlocal left
        left -= 1
        if left < 0 and reserve.exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(fd, data)

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", limited)
        try:
            ending, _, _ = sitting(tmp_path / "run", behave)
            assert ending.status in (Exit.FINDINGS, Exit.ENVIRONMENT)
        except OSError as e:
            assert e.errno == errno.ENOSPC
    for place in (tmp_path / "run" / "findings").glob("*/*"):
        assert load_case(place).finding is not None
    _, tally, _ = sitting(tmp_path / "run", behave)
    whole = sitting(tmp_path / "whole", behave)[1]
    assert (tally.digest, tally.counts) == (whole.digest, whole.counts)
    assert kept(tmp_path / "run") == kept(tmp_path / "whole")


def test_a_disk_without_room_even_for_the_reserve_is_told(tmp_path, monkeypatch):
    def full(fd, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="is full; the last write is lost"):
        RunDirectory(tmp_path / "run", IDENTITY)


def test_a_directory_belongs_to_one_campaign(tmp_path):
    sitting(tmp_path / "run")
    with pytest.raises(DirectoryError, match="another seed"):
        RunDirectory(tmp_path / "run", IDENTITY | {"seed": 2})
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "precious").write_text("x")
    with pytest.raises(DirectoryError, match="no campaign"):
        RunDirectory(tmp_path / "files", IDENTITY)
    assert [p.name for p in (tmp_path / "files").iterdir() if p.name != ".lock"] == ["precious"]


def test_a_directory_in_use_is_refused(tmp_path):
    directory = RunDirectory(tmp_path / "run", IDENTITY)
    with pytest.raises(DirectoryError, match="another campaign is running"):
        RunDirectory(tmp_path / "run", IDENTITY)
    directory.close()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"cases": "many"}', "[" * 100_000])
def test_damaged_progress_is_one_sentence(tmp_path, text):
    sitting(tmp_path / "run")
    (tmp_path / "run" / "progress.json").write_text(text)
    with pytest.raises(DirectoryError, match=r"progress\.json"):
        RunDirectory(tmp_path / "run", IDENTITY)


def test_killing_the_process_at_any_moment_loses_no_finding(tmp_path):
    """``kill -9`` right after a finding was kept, before any progress was recorded."""
    script = textwrap.dedent(f"""
        import os, signal
        from pathlib import Path
        from harness.case import Case, Finding
        from harness.cases import Found
        from harness.directory import RunDirectory
        from oracles.plan import Plan

        directory = RunDirectory(Path({str(tmp_path / "run")!r}), {IDENTITY!r})
        case = Case(Plan(steps=()), finding=Finding("sig", "R2", 0, "w", "l", "r"))
        directory.keep(Found("sig", case), 3)
        os.kill(os.getpid(), signal.SIGKILL)
    """)
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -9
    directory = RunDirectory(tmp_path / "run", IDENTITY)
    (place,) = directory.places()
    assert load_case(place).finding is not None
    directory.close()


def test_a_tally_survives_its_json_form():
    tally = Tally()
    tally.add(CaseResult(3, "ab", 7, seconds={"generate": 0.25}))
    tally.add(CaseResult(4, None))
    assert Tally.from_json(json.loads(json.dumps(tally.to_json()))) == tally


def test_the_order_of_results_does_not_change_the_digest():
    results = [CaseResult(i, f"{i:x}") for i in range(4)]
    digests = set()
    for order in itertools.permutations(results):
        tally = Tally()
        for result in order:
            tally.add(result)
        digests.add(tally.digest)
    assert len(digests) == 1


def test_a_profile_is_fitted_to_what_all_oracles_have():
    poor = replace(FakeOracle("poor").description, features=("mvp",), nan=("module", "none"))
    fitted = fit_profile(PRESETS["standard"], [FakeOracle("rich").description, poor])
    assert ({f.name for f in fitted.features}, fitted.nan) == ({"mvp"}, "module")


def test_a_profile_leaves_out_instructions_that_an_oracle_lacks_and_the_case_says_so():
    poor = FakeOracle("poor", wrong_when(lambda a: True))
    without = ("i32.popcnt", "i32.clz", "i8x16.popcnt")
    poor.description = replace(poor.description, without=without, features=("mvp",))
    fitted = fit_profile(PRESETS["standard"], [FakeOracle("rich").description, poor.description])
    assert fitted.without == {"i32.popcnt", "i32.clz"}  # of these features
    with Runner([FakeOracle("reference", echo), poor]) as runner:
        (found,) = Examiner(runner, 1, "standard").test(0).found
    assert found.case.provenance["without"] == ["i32.clz", "i32.popcnt"]


def test_the_summary_names_what_was_found(tmp_path):
    _, tally, directory = sitting(tmp_path / "run", wrong_when(lambda a: True), cases=3)
    text = "\n".join(summary_lines(tally, "title", directory.places()))
    for part in ("3 in ", "digest", "returned 3", "3 x reference other R3 call outcome", directory.places()[0]):
        assert part in text


def test_a_kept_finding_gives_way_to_lower_indices(tmp_path):
    directory = RunDirectory(tmp_path / "run", IDENTITY)
    _, _, other = sitting(tmp_path / "other", wrong_when(lambda a: True), cases=1)
    case = load_case(other.places()[0])
    for index in (9, 8, 7, 6, 5, 4):
        directory.keep(Found("sig", case), index)
    assert directory.keep(Found("sig", case), 10) is None
    directory.close()
    assert kept(tmp_path / "run") == [4, 5, 6, 7, 8]
