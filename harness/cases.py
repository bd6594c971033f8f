"""Case ``i`` of a campaign: a function of (seed, i, profile) alone, and what it comes to on the oracles.

The checks (``harness.checks``) dress its plan and derive further plans from what it did.  Engines that count fuel by
different models have an examiner each, with a reference that counts alike; :class:`Examiners` adds up what they say.

The profile is first fitted to the oracles: only features and instructions that all of them have, and a NaN profile that
all of them keep.  Nothing else may enter a case: no clock, no order, no process.  ``Examiner.start`` generates a case
and hands it to the workers; ``Examiner.finish`` waits, compares and returns plain data that crosses process boundaries.
"""

from __future__ import annotations

import hashlib
import platform
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from engine.instructions import TABLE
from generators.module import generate
from generators.profile import PRESETS
from generators.source import Source
from harness import __version__
from harness.case import Case, Finding
from harness.checks import ALL_CHECKS
from harness.checks.course import Course
from harness.compare import Differ, Incomparable
from oracles.outcome import Rejected

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from generators.profile import Profile
    from harness.runner import Judgement, Pending, Run, Runner
    from oracles.plan import Plan

__all__ = ["CHECKED_TWICE", "CaseResult", "Examiner", "Examiners", "Found", "fit_profile", "source_of"]

CHECKED_TWICE = 100  # of each hundred cases one runs twice (R12)
_FALLBACK_NAN = ("engine", "module", "none")


def fit_profile(profile: Profile, descriptions: Iterable[Any]) -> Profile:
    """Return the profile without what some described engine lacks."""
    features, nan = profile.features, list(_FALLBACK_NAN[_FALLBACK_NAN.index(profile.nan) :])
    without = set(profile.without)
    for description in descriptions:
        features = frozenset(f for f in features if f.name in description.features)
        nan = [n for n in nan if n in description.nan]
        without.update(description.without)
    missing = frozenset(r.name for r in TABLE if r.feature in features and r.name in without)
    return replace(profile, features=features, without=missing, nan=nan[0] if nan else "none")


def source_of(seed: int, index: int, profile: str) -> Source:
    """Return the source of choices of case ``index``."""
    return Source.fresh("case", seed, index, profile)


@dataclass(slots=True)
class Found:
    """A finding to be kept, if there is room for another of its signature."""

    signature: str
    case: Case


@dataclass(slots=True)
class CaseResult:
    """What one case came to.

    ``digest`` is None where a wall clock or the machine's memory had a say.  ``counts`` has keys ``KIND/NAME`` with the
    kinds outcome, trap, note, run (plans by check), compared, off (checks that could not be made), passed (plans that
    should have followed and did not), and one of ``harness.report.VERDICTS`` for each comparison.  ``seconds`` is by
    phase.
    ``error`` tells a fault of our own: a traceback, or why a generated module is refused.
    """

    index: int
    digest: str | None = None
    executed: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=dict)
    found: list[Found] = field(default_factory=list)
    error: str | None = None


@dataclass(slots=True)
class Started:
    """A case on its way; ``error`` instead of ``pending`` where it could not even be generated."""

    index: int
    choices: Source
    tape: tuple[int, ...] = ()
    pending: Pending | None = None
    generate_s: float = 0.0
    error: str | None = None


def _refusal(run: Run) -> str | None:
    """Return why the reference engine does not accept a generated module: the fault of one of ours, whoever agrees."""
    for record in run.sides[0].records:
        if isinstance(record.outcome, Rejected):
            return f"the generated module is {record.outcome.stage}: {record.outcome.text}"
    return None


@dataclass(frozen=True, slots=True)
class Made:
    """What the generator made: the plan and its tape, or why there is none."""

    plan: Plan | None
    tape: tuple[int, ...]
    seconds: float
    error: str | None = None


def make(seed: int, index: int, name: str, profile: Profile) -> Made:
    """Generate the plan of case ``index``."""
    begin = time.perf_counter()
    source = source_of(seed, index, name)
    try:
        plan = generate(source, profile).plan
    except Exception:  # noqa: BLE001  a generator that fails is a harness error of this case, not the end of all
        return Made(None, (), 0.0, traceback.format_exc())
    return Made(plan, tuple(source.tape), time.perf_counter() - begin)


class Examiner:
    """Makes and judges the cases of one campaign on one runner."""

    def __init__(
        self, runner: Runner, seed: int, profile: str, fitted: Profile | None = None,
        checks: frozenset[str] = ALL_CHECKS,
    ) -> None:  # fmt: skip
        self.runner = runner
        self.seed = seed
        self.name = profile
        descriptions = runner.descriptions()
        self.profile = fitted or fit_profile(PRESETS[profile], descriptions)
        described = {o.id: d for o, d in zip(runner.oracles, descriptions, strict=True)}
        self.course = Course(described, checks, runner.aside[0].id if runner.aside else None)
        self.versions = {
            "wfuzz": __version__,
            "python": platform.python_version(),
            **{oracle: str(d.version) for oracle, d in described.items()},
        }

    def start(self, index: int, made: Made | None = None) -> Started:
        """Generate a case, unless it is given, and hand it to the oracles."""
        made = made or make(self.seed, index, self.name, self.profile)
        choices = Source.fresh("checks", self.seed, index, self.name)
        if made.plan is None:
            return Started(index, choices, error=made.error)
        started = Started(index, choices, made.tape, generate_s=made.seconds)
        started.pending = self.runner.submit(self.course.dress(made.plan, choices))
        return started

    def finish(self, started: Started) -> CaseResult:
        """Return what a started case came to."""
        result = CaseResult(started.index, error=started.error)
        if started.pending is None:
            return result
        run = self.runner.collect(started.pending)
        begin = time.perf_counter()
        judgements = self.runner.judge(run)
        self._count(result, run, judgements)
        result.seconds["compare"] = time.perf_counter() - begin
        result.seconds["generate"] = started.generate_s
        derived = self._derived(result, run, judgements, started)
        if started.index % CHECKED_TWICE == 0:
            judgements += self.runner.check_determinism(run)
        for judgement in judgements:
            self._tally(result, judgement)
            if judgement.is_finding and judgement.signature is not None:
                result.found.append(self.found(run.plan, judgement, started.index, started.tape))
        for plan, judgement in derived:
            self._tally(result, judgement)
            if judgement.is_finding and judgement.signature is not None:
                result.found.append(self.found(plan, judgement, started.index))
        return result

    def _derived(
        self, result: CaseResult, run: Run, judgements: list[Judgement], started: Started
    ) -> list[tuple[Plan, Judgement]]:
        """Run the plans that follow from a run, and return the judgements on each."""
        found: list[tuple[Plan, Judgement]] = []
        digests = [result.digest]
        passed: Counter[str] = Counter()
        trials = self.course.derive(run, judgements, started.choices, passed)
        trial, before = next(trials, None), run
        while trial is not None:
            tried = self.runner.run(trial.plan, trial.oracles)
            more = self.runner.judge(tried)
            if trial.check == "resume":
                more += self.runner.check_straight(tried, run)
            elif trial.check == "values":
                more += self.runner.check_values(tried, before)
            before = tried
            self._note(result, trial.check, tried, more)
            digests.append(None if tried.is_timed_out else tried.digest())
            found += [(trial.plan, judgement) for judgement in more]
            try:
                trial = trials.send(tried)
            except StopIteration:
                trial = None
        result.counts.update({f"passed/{why}": n for why, n in passed.items()})
        result.digest = _joined(digests)
        return found

    def test(self, index: int) -> CaseResult:
        """Return what case ``index`` comes to."""
        return self.finish(self.start(index))

    def close(self) -> None:
        """End the workers."""
        self.runner.close()

    def _count(self, result: CaseResult, run: Run, judgements: list[Judgement]) -> None:
        result.counts.update(self.course.counts)
        if not run.is_timed_out:
            result.digest = run.digest()
        outcomes, traps = run.outcome_counts()
        result.counts.update({f"outcome/{k}": n for k, n in outcomes.items()})
        result.counts.update({f"trap/{k}": n for k, n in traps.items()})
        result.error = _refusal(run)
        result.executed = sum(int((r.data or {}).get("executed", 0)) for r in run.sides[0].records)
        self._note(result, "case", run, judgements)

    @staticmethod
    def _note(result: CaseResult, check: str, run: Run, judgements: list[Judgement]) -> None:
        """Count a run of a check, what was compared in it and what tolerated."""
        result.counts[f"run/{check}"] += 1
        for judgement in judgements:
            result.counts.update(f"note/{note}" for note in judgement.comparison.notes)
            result.counts.update({f"compared/{k}": n for k, n in judgement.comparison.compared.items() if n})
        busy = run.busy_s()
        for phase, seconds in (("reference", busy[0]), ("oracle", sum(busy[1:]))):
            result.seconds[phase] = result.seconds.get(phase, 0.0) + seconds

    @staticmethod
    def _tally(result: CaseResult, judgement: Judgement) -> None:
        verdict = judgement.comparison.verdict
        kind, name = "agree", judgement.oracle
        if isinstance(verdict, Incomparable):
            kind, _, name = verdict.reason.partition(": ")
            kind = "unsupported" if kind == "unsupported" else "inconclusive"
            name = f"{judgement.oracle} {name}" if kind == "unsupported" else verdict.reason
        elif judgement.divergence is not None:
            kind, name = "divergence", judgement.divergence.id
        elif judgement.signature is not None:
            kind, name = "finding", judgement.signature
        result.counts[f"{kind}/{name}"] += 1

    def found(self, plan: Plan, judgement: Judgement, index: int, tape: tuple[int, ...] | None = None) -> Found:
        """Return the finding of a judgement as a case to keep; a plan that a check derived has no tape."""
        verdict, signature = judgement.comparison.verdict, judgement.signature
        assert isinstance(verdict, Differ)
        assert signature is not None
        left = judgement.oracle if judgement.is_with_itself else self.runner.oracles[0].id
        provenance = {"seed": self.seed, "index": index, "profile": self.name, "versions": self.versions}
        if self.profile.without:
            provenance["without"] = sorted(self.profile.without)
        finding = Finding(signature, verdict.rule, verdict.step, verdict.what, verdict.left, verdict.right)
        case = Case(plan, provenance, (left, judgement.oracle), tape, finding)
        return Found(signature, case)


class Examiners:
    """The examiners of one campaign: one for each bench of engines that count alike."""

    def __init__(self, examiners: Sequence[Examiner]) -> None:
        self.examiners = list(examiners)

    def start(self, index: int) -> list[Started]:
        """Generate a case and hand it to the oracles."""
        first = self.examiners[0]
        made = make(first.seed, index, first.name, first.profile)
        return [examiner.start(index, made) for examiner in self.examiners]

    def finish(self, started: list[Started]) -> CaseResult:
        """Return what a started case came to on all benches; outcomes are those of the first."""
        results = [e.finish(s) for e, s in zip(self.examiners, started, strict=True)]
        whole = results[0]
        for result in results[1:]:
            whole.counts.update({k: n for k, n in result.counts.items() if k.partition("/")[0] not in _OF_THE_CASE})
            for phase in result.seconds.keys() - {"generate"}:
                whole.seconds[phase] = whole.seconds.get(phase, 0.0) + result.seconds[phase]
            whole.found += result.found
            whole.error = whole.error or result.error
        whole.digest = _joined([result.digest for result in results])
        return whole

    def close(self) -> None:
        """End the workers."""
        for examiner in self.examiners:
            examiner.close()


_OF_THE_CASE = ("outcome", "trap")


def _joined(digests: Sequence[str | None]) -> str | None:
    """Return one digest for all runs of a case, that of its only run as it is; None where one has none."""
    if len(digests) == 1 or None in digests:
        return None if None in digests else digests[0]
    return hashlib.sha256("".join(d for d in digests if d is not None).encode()).hexdigest()
