"""The checks of one case in order: how the plan is dressed before it runs, and which plans follow from its run.

All is a function of the case's plan, of what the engines did with it, and of choices that depend on the case alone, so
that jobs and shards change nothing.  A plan that follows runs on those engines only for which its check is on and which
agreed so far: where states have parted, nothing follows.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.checks import debug, exhaustion, fuel, resume, shadow
from harness.checks.abilities import reasons_off
from harness.checks.state import blind
from harness.verdicts import Differ
from oracles.outcome import Exhausted, TimedOut

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from generators.source import Source
    from harness.runner import Judgement, Run
    from oracles.plan import Plan

__all__ = ["Course", "Trial"]

METERED = 50  # percent of the cases
RESUMED = 30  # percent of the metered cases
RESTORED = 6  # percent of those in slices: one costs as much as a dozen others
EXHAUSTED = 30
TWINNED = 5  # percent of the cases


@dataclass(frozen=True, slots=True)
class Trial:
    """A plan that a check derived, and the oracles that run it, the reference first."""

    check: str
    plan: Plan
    oracles: tuple[str, ...]


class Course:
    """The checks that are on for the oracles of a bench, given with their descriptions, the reference first.

    ``restored`` is the id of the same reference that is restored at its pauses, if it can be had.
    """

    def __init__(self, descriptions: Mapping[str, Any], checks: frozenset[str], restored: str | None = None) -> None:
        self.checks = checks
        self.restored = restored
        (self.reference, of_reference), *engines = descriptions.items()
        self.off = {oracle: reasons_off(of_reference, d, checks) for oracle, d in engines}
        off_values = {o: reason for o, d in engines if (reason := shadow.reason_against(d)) is not None}
        self.twinned = [o for o, _ in engines if o not in off_values] if "debug" in checks else []
        self.counts = Counter(
            f"off/{check} of {oracle}: {reason}" for oracle, off in self.off.items() for check, reason in off.items()
        )
        if self.on("resume") and resume.forgets(of_reference.fuel_model):
            self.counts[f"off/straight runs of {self.reference}: its model forgets what callees spent"] += 1
        if "debug" in checks:
            self.counts.update(f"off/values of {oracle}: {reason}" for oracle, reason in off_values.items())

    def on(self, check: str) -> list[str]:
        """Return the engines for which a check is on."""
        if check not in self.checks:
            return []
        return [oracle for oracle, off in self.off.items() if check not in off]

    def dress(self, plan: Plan, choices: Source) -> Plan:
        """Return the plan of a case as its checks want it."""
        if "state" not in self.checks:
            plan = blind(plan)
        metered = choices.chance(METERED)
        if self.on("debug"):
            plan = debug.derive(plan)
        return fuel.derive(plan, choices) if metered and (self.on("fuel") or self.on("resume")) else plan

    def derive(
        self, run: Run, judgements: Sequence[Judgement], choices: Source, passed: Counter[str]
    ) -> Generator[Trial, Run, None]:
        """Yield the trials that follow from the run of a case; each is sent the run that it came to.

        Those that should have followed and do not are counted in ``passed``, by check and reason.
        """
        if not run.sides:
            return
        parted = {j.oracle for j in judgements if isinstance(j.comparison.verdict, Differ)}
        is_cut = _is_cut(run)

        def left(kind: str, on: Sequence[str]) -> list[str]:
            """Return those of the engines for which a trial makes sense."""
            if on and is_cut:
                passed[f"{kind}: the case came to a limit"] += 1
                return []
            passed.update(f"{kind} of {o}: the case has its difference" for o in on if o in parted)
            return [o for o in on if o not in parted]

        if choices.chance(TWINNED) and (oracles := left("twin", self.twinned)):
            twin = shadow.derive(run.plan)
            if twin is None:
                passed["twin: the plan has none"] += 1
            else:
                yield Trial("twin", twin[0], (self.reference, *oracles))
                yield Trial("values", shadow.with_values(run.plan), (self.reference,))
        if not fuel.is_metered(run.plan):
            return
        resumed, exhausted = choices.chance(RESUMED), choices.chance(EXHAUSTED)
        checked: dict[int, list[int]] = {}
        if resumed and (oracles := left("resume", self.on("resume"))):
            plan = resume.derive(run.plan, choices)
            sliced = yield Trial("resume", plan, (self.reference, *oracles))
            if choices.chance(RESTORED) and self.restored is not None and not sliced.is_timed_out:
                yield Trial("restored", plan, (self.reference, self.restored))
            if resume.steps_through(plan):
                records = [record for _, record in resume.kept(plan, sliced.sides[0].records)]
                checked = exhaustion.points(run.plan, records)
        if exhausted and (oracles := left("exhaustion", self.on("fuel"))):
            tried = exhaustion.derive(run.plan, run.sides[0].records, choices, checked)
            if tried is None:
                passed["exhaustion: no step spends fuel, or all spend too much"] += 1
            else:
                yield Trial("exhaustion", tried if "state" in self.checks else blind(tried), (self.reference, *oracles))


def _is_cut(run: Run) -> bool:
    """Return whether the reference came to a limit, so that what follows would only come to it again."""
    return any(isinstance(r.outcome, (Exhausted, TimedOut)) for r in run.sides[0].records)
