"""One plan on several oracles: runs, verdicts against the first of them, and what is counted of both.

The first oracle is the side that the others are compared with (the reference engine in a campaign).  Each oracle has a
thread of its own that does nothing but wait for its worker, so the workers of one plan run at the same time and the
caller may generate the next plan meanwhile.  The threads live as long as the runner, because a worker dies with the
thread that started it.

A step that passed its wall-clock limit is run again, alone and with ten times the limit; only what hangs then too is
inconclusive.  A wall clock decides nothing else.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, Self

from harness.checks import shadow
from harness.checks.resume import forgets, is_restored, is_sliced, kept, settled
from harness.checks.resume import straight as without_slices
from harness.compare import Agree, Comparison, Differ, Side, canonical, compare, outcome_class
from harness.divergences import Registry
from harness.triage import signature
from oracles.outcome import Exhausted, Returned, TimedOut, Trapped

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from harness.divergences import Divergence
    from oracles.outcome import Record
    from oracles.plan import Plan

__all__ = ["EFFECTS", "RETRY_FACTOR", "Judgement", "OracleLike", "Run", "Runner", "side_of"]

RETRY_FACTOR = 10
EFFECTS = frozenset({"instantiate", "call", "set", "write", "grow"})
"""Step kinds that change state: their outcomes are what a summary counts."""


class OracleLike(Protocol):
    """What a runner needs of ``oracles.process.Oracle``."""

    id: str

    @property
    def description(self) -> Any: ...

    def run(self, plan: Plan, *, deadline_s: float | None = None) -> list[Record]: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Run:
    """What one plan did on every oracle, in the order of the runner's oracles."""

    plan: Plan
    sides: tuple[Side, ...]

    @property
    def is_timed_out(self) -> bool:
        """Return whether a wall clock or the system's memory ended a side, so that another run may differ."""
        last = (s.records[-1].outcome for s in self.sides if s.records)
        return any(
            isinstance(o, TimedOut) or (isinstance(o, Exhausted) and o.resource in ("time", "memory")) for o in last
        )

    def digest(self) -> str:
        """Return the hex SHA-256 of every record of every oracle, in canonical form; equal runs are told once."""
        told: list[Any] = []
        for side in self.sides:
            records = list(canonical(self.plan, side.records))
            same = next((n for n, (_, before) in enumerate(told) if before == records), None)
            told.append([side.oracle, records if same is None else same])
        return hashlib.sha256(json.dumps(told, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    def busy_s(self) -> list[float]:
        """Return the time that each engine says its steps took, in seconds."""
        return [sum(r.us for r in s.records) / 1e6 for s in self.sides]

    def outcome_counts(self) -> tuple[Counter[str], Counter[str]]:
        """Return the outcome classes and the trap phrases of the first oracle's effective steps."""
        outcomes: Counter[str] = Counter()
        traps: Counter[str] = Counter()
        for record in self.sides[0].records:
            if record.step < len(self.plan.steps) and self.plan.steps[record.step].kind in EFFECTS:
                outcome = record.outcome
                if isinstance(outcome, Trapped):
                    traps[outcome.trap] += 1
                outcomes[outcome_class(outcome).partition(":")[0]] += 1
        return outcomes, traps


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict on one oracle against the first; ``divergence`` explains a difference that is known."""

    oracle: str
    comparison: Comparison
    signature: str | None = None
    divergence: Divergence | None = None
    is_with_itself: bool = False

    @property
    def is_finding(self) -> bool:
        return isinstance(self.comparison.verdict, Differ) and self.divergence is None


@dataclass(slots=True)
class Pending:
    """A plan on its way through oracles, by their numbers."""

    plan: Plan
    deadline_s: float | None = None
    futures: dict[int, Future[list[Record]]] = field(default_factory=dict)


class Runner:
    """Runs plans on oracles that it owns from now on; a context manager that ends their workers."""

    def __init__(
        self, oracles: Sequence[OracleLike], registry: Registry | None = None, aside: Sequence[OracleLike] = ()
    ) -> None:
        """Take the oracles of every plan, and others ``aside`` that run what is meant for them and start with that."""
        self._all = [*oracles, *aside]
        if len({o.id for o in self._all}) != len(self._all):
            raise ValueError("an oracle is there twice")
        self.oracles = list(oracles)
        self.aside = list(aside)
        self.registry = registry or Registry()
        self._threads = [ThreadPoolExecutor(1, thread_name_prefix=o.id) for o in self._all]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every worker at once, whatever it is doing, then the threads."""
        for thread, oracle in zip(self._threads, self._all, strict=True):
            thread.shutdown(wait=False, cancel_futures=True)
            pid = getattr(oracle, "pid", None)
            if pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)  # what waits for it returns
        for thread, oracle in zip(self._threads, self._all, strict=True):
            thread.shutdown()
            oracle.close()

    def drop(self, oracle_id: str) -> None:
        """Do without an oracle from now on."""
        n = next(n for n, o in enumerate(self.oracles) if o.id == oracle_id)
        thread, oracle = self._threads.pop(n), self.oracles.pop(n)
        del self._all[n]
        thread.submit(oracle.close).result()
        thread.shutdown()

    def descriptions(self) -> list[Any]:
        """Return every oracle's description, starting the workers at the same time; Unavailable passes through."""
        futures = [t.submit(_describe, o) for t, o in zip(self._threads, self.oracles, strict=False)]
        return [f.result() for f in futures]

    def submit(self, plan: Plan, only: Collection[str] | None = None, deadline_s: float | None = None) -> Pending:
        """Start a plan on every oracle, or only on those with these ids, and return at once.

        Whatever passes a deadline for its steps is not run again.
        """
        pending = Pending(plan, deadline_s)
        for n, (thread, oracle) in enumerate(zip(self._threads, self._all, strict=True)):
            if n < len(self.oracles) if only is None else oracle.id in only:
                pending.futures[n] = thread.submit(oracle.run, plan, deadline_s=deadline_s)
        return pending

    def collect(self, pending: Pending) -> Run:
        """Wait for a submitted plan; sides that timed out run again, alone, with ten times the limit."""
        plan = pending.plan
        answers = {n: f.result() for n, f in pending.futures.items()}
        for n, records in answers.items():
            if records and isinstance(records[-1].outcome, TimedOut) and pending.deadline_s is None:
                answers[n] = self._again(n, plan)
        return Run(plan, tuple(side_of(self._all[n], records) for n, records in answers.items()))

    def run(self, plan: Plan, only: Collection[str] | None = None, deadline_s: float | None = None) -> Run:
        """Return what a plan does on every oracle, or on those with these ids (see :meth:`submit`)."""
        return self.collect(self.submit(plan, only, deadline_s))

    def _again(self, n: int, plan: Plan) -> list[Record]:
        limits = replace(plan.limits, step_ms=plan.limits.step_ms * RETRY_FACTOR)
        return self._threads[n].submit(self._all[n].run, replace(plan, limits=limits)).result()

    def judge(self, run: Run) -> list[Judgement]:
        """Return the verdict on each oracle after the first."""
        left = run.sides[0]
        return [self._judge(run.plan, left, right) for right in run.sides[1:]]

    def _judge(self, plan: Plan, left: Side, right: Side) -> Judgement:
        comparison = compare(plan, left, right)
        verdict = comparison.verdict
        if not isinstance(verdict, Differ):
            return Judgement(right.oracle, comparison)
        if is_restored(right.oracle):
            verdict = replace(verdict, rule="R9")
            comparison = replace(comparison, verdict=verdict)
        known = self.registry.explain(plan, left, right, verdict)
        return Judgement(right.oracle, comparison, signature(left.oracle, right.oracle, verdict), known)

    def check_determinism(self, run: Run) -> list[Judgement]:
        """Run the plan of ``run`` once more and return a finding for each oracle that disagrees with itself (R12)."""
        if run.is_timed_out:
            return []
        again = self.run(run.plan)
        if again.is_timed_out:
            return []
        return [
            _with_itself(one, verdict)
            for one, two in zip(run.sides, again.sides, strict=True)
            if (verdict := _self_disagreement(run.plan, one, two)) is not None
        ]

    def check_straight(self, sliced: Run, straight: Run | None = None) -> list[Judgement]:
        """Return the judgement on whether the first oracle's run in slices came to what the straight run comes to (R9).

        ``straight`` is that run where there has been one; nothing is said of plans without slices, and of models that
        forget.
        """
        if not is_sliced(sliced.plan) or forgets(sliced.sides[0].fuel_model):
            return []
        plan = without_slices(sliced.plan)
        if straight is None or straight.plan != plan:
            straight = self.run(plan, (sliced.sides[0].oracle,))
        one, two = straight.sides[0], sliced.sides[0]
        pairs = kept(sliced.plan, two.records)
        if sliced.is_timed_out or straight.is_timed_out or not pairs:
            return []
        steps, records = zip(*pairs, strict=True)
        wanted = settled(plan, one.records, records)
        verdict = compare(plan, one, replace(two, records=wanted)).verdict
        if not isinstance(verdict, Differ):
            tolerated = ("fuel-pause",) * _refunds_lost(records, wanted)
            return [Judgement(two.oracle, Comparison(verdict, tolerated), is_with_itself=True)]
        verdict = replace(verdict, rule="R9", step=steps[min(verdict.step, len(steps) - 1)])
        return [_with_itself(one, verdict)]

    def check_values(self, shown: Run, twin: Run | None = None) -> list[Judgement]:
        """Return a judgement on what the first oracle's frames hold, by the twin of the plan that shows them (R14).

        ``twin`` is a run of that twin where there has been one; there is no judgement on plans that show no values.
        """
        derived = shadow.derive(shown.plan) if shadow.shows_values(shown.plan) else None
        if derived is None:
            return []
        plan, made = derived
        if twin is None or twin.plan != plan:
            twin = self.run(plan, (shown.sides[0].oracle,))
        if shown.is_timed_out or twin.is_timed_out:
            return []
        compared: Counter[str] = Counter()
        one, two = shown.sides[0], twin.sides[0]
        if not all(side.records and isinstance(side.records[0].outcome, Returned) for side in (one, two)):
            return []  # an engine that has not these steps
        verdict = shadow.disagreement(shown.plan, one.records, made, two.records, compared)
        return [_with_itself(one, verdict, compared)]

    def check_itself(self, run: Run) -> list[Judgement]:
        """Return the judgements on engines beside themselves.

        Runs that differ (R12), slices that change something (R9), frames that hold something else (R14).
        """
        return self.check_determinism(run) + self.check_straight(run) + self.check_values(run)


def _describe(oracle: OracleLike) -> Any:
    return oracle.description


def side_of(oracle: OracleLike, records: Sequence[Record]) -> Side:
    """Return the records of an oracle with what its description says of it."""
    d = oracle.description
    return Side(oracle.id, tuple(records), str(d.name), str(d.version), str(d.fuel_model), "frames" in d.can)


def _refunds_lost(before: Sequence[Record], after: Sequence[Record]) -> int:
    """Return how many traps gave back less, by records before and after that is made good: all later fuel is more."""
    fuel = [((a.data or {}).get("fuel"), (b.data or {}).get("fuel")) for a, b in zip(before, after, strict=True)]
    return len({b - a for a, b in fuel if isinstance(a, int) and isinstance(b, int)} - {0})


def _with_itself(side: Side, verdict: Differ | None, compared: Mapping[str, int] | None = None) -> Judgement:
    comparison = Comparison(verdict or Agree(), compared=compared or {})
    found = None if verdict is None else signature(side.oracle, side.oracle, verdict)
    return Judgement(side.oracle, comparison, found, is_with_itself=True)


def _self_disagreement(plan: Plan, one: Side, two: Side) -> Differ | None:
    firsts, seconds = list(canonical(plan, one.records)), list(canonical(plan, two.records))
    if firsts == seconds:
        return None
    verdict = compare(plan, one, two).verdict
    if isinstance(verdict, Differ):
        return replace(verdict, rule="R12")
    step = next((i for i, (a, b) in enumerate(zip(firsts, seconds, strict=False)) if a != b), 0)
    return Differ(
        "R12", min(step, len(plan.steps) - 1), "record", "first run", "second run", "record", plan.steps[step].kind
    )
