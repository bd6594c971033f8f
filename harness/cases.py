"""Case ``i`` of a campaign: a function of (seed, i, profile) alone, and what it comes to on the oracles.

The profile is first fitted to the oracles: only features and instructions that all of them have, and a NaN profile that
all of them keep.  Nothing else may enter a case: no clock, no order, no process.  ``Examiner.start`` generates a case
and hands it to the workers; ``Examiner.finish`` waits, compares and returns plain data that crosses process boundaries.
"""

from __future__ import annotations

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
from harness.compare import Differ, Incomparable
from oracles.outcome import Rejected

if TYPE_CHECKING:
    from collections.abc import Iterable

    from generators.profile import Profile
    from harness.runner import Judgement, Pending, Run, Runner
    from oracles.plan import Plan

__all__ = ["CHECKED_TWICE", "CaseResult", "Found", "Examiner", "fit_profile", "source_of"]

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
    kinds outcome, trap and note, and one of ``harness.report.VERDICTS`` for each comparison.  ``seconds`` is by phase.
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


class Examiner:
    """Makes and judges the cases of one campaign on one runner."""

    def __init__(self, runner: Runner, seed: int, profile: str, fitted: Profile | None = None) -> None:
        self.runner = runner
        self.seed = seed
        self.name = profile
        self.profile = fitted or fit_profile(PRESETS[profile], runner.descriptions())
        self.versions = {
            "wfuzz": __version__,
            "python": platform.python_version(),
            **{o.id: str(d.version) for o, d in zip(runner.oracles, runner.descriptions(), strict=True)},
        }

    def start(self, index: int) -> Started:
        """Generate a case and hand it to the oracles."""
        begin = time.perf_counter()
        source = source_of(self.seed, index, self.name)
        try:
            plan = generate(source, self.profile).plan
        except Exception:  # noqa: BLE001  a generator that fails is a harness error of this case, not the end of all
            return Started(index, error=traceback.format_exc())
        started = Started(index, tuple(source.tape), generate_s=time.perf_counter() - begin)
        started.pending = self.runner.submit(plan)
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
        if started.index % CHECKED_TWICE == 0:
            judgements += self.runner.check_determinism(run)
        for judgement in judgements:
            self._tally(result, judgement)
            if judgement.is_finding and judgement.signature is not None:
                result.found.append(self.found(run.plan, judgement, started.index, started.tape))
        busy = run.busy_s()
        result.seconds |= {"generate": started.generate_s, "reference": busy[0], "oracle": sum(busy[1:])}
        return result

    def test(self, index: int) -> CaseResult:
        """Return what case ``index`` comes to."""
        return self.finish(self.start(index))

    @staticmethod
    def _count(result: CaseResult, run: Run, judgements: list[Judgement]) -> None:
        if not run.is_timed_out:
            result.digest = run.digest()
        outcomes, traps = run.outcome_counts()
        result.counts.update({f"outcome/{k}": n for k, n in outcomes.items()})
        result.counts.update({f"trap/{k}": n for k, n in traps.items()})
        result.error = _refusal(run)
        result.executed = sum(int((r.data or {}).get("executed", 0)) for r in run.sides[0].records)
        for judgement in judgements:
            result.counts.update(f"note/{note}" for note in judgement.comparison.notes)

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

    def found(self, plan: Plan, judgement: Judgement, index: int, tape: tuple[int, ...]) -> Found:
        """Return the finding of a judgement as a case to keep."""
        verdict, signature = judgement.comparison.verdict, judgement.signature
        assert isinstance(verdict, Differ)
        assert signature is not None
        left = judgement.oracle if verdict.rule == "R12" else self.runner.oracles[0].id
        provenance = {"seed": self.seed, "index": index, "profile": self.name, "versions": self.versions}
        if self.profile.without:
            provenance["without"] = sorted(self.profile.without)
        finding = Finding(signature, verdict.rule, verdict.step, verdict.what, verdict.left, verdict.right)
        case = Case(plan, provenance, (left, judgement.oracle), tape, finding)
        return Found(signature, case)
