"""Whether a candidate still shows the finding: the one question every pass of reduction asks.

The answer is yes only for the same signature (``harness.triage``) and the same entry of the registry, if any; a
candidate that differs in another way is another finding, and a new bug does not slip into a known one.  Answers are
remembered by the plan's digest, tries and time are budgeted, and before anything is reduced the finding must reproduce
three times while an empty plan shows nothing.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.compare import Differ

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.divergences import Divergence
    from harness.runner import Judgement, Runner
    from oracles.plan import Plan

__all__ = ["REPEATS", "BudgetSpent", "Check", "CheckError"]

REPEATS = 3
MIN_DEADLINE_S = 2.0  # for a step of a candidate: one that hangs is not worth its wall-clock limit, twice
SLOWER = 20  # times what the longest step of the finding took


class CheckError(ValueError):
    """The finding cannot be reduced; the message is one sentence."""


class BudgetSpent(Exception):
    """No more tries: keep what there is."""


@dataclass(frozen=True, slots=True)
class _Limits:
    tries: int
    end: float


class Check:
    """Call it with a plan; ``tries`` counts the runs that it took, ``answered`` the questions."""

    def __init__(
        self,
        runner: Runner,
        signature: str,
        *,
        tries: int,
        time_s: float,
        progress: Callable[[Check], None] | None = None,
    ) -> None:
        self.runner = runner
        self.signature = signature
        self.divergence: Divergence | None = None  # what explains the finding; ``be_sure`` finds out
        self.tries = 0
        self.answered = 0
        self.deadline_s: float | None = None  # of a step; ``be_sure`` finds out what it may take
        self._longest_s = 0.0
        self._time_s = time_s
        self._limits = _Limits(tries, time.monotonic() + time_s)
        self._known: dict[str, bool] = {}
        self._progress = progress or (lambda _: None)

    def share(self, part: float) -> Check:
        """Return a check with the same memory that may use only a part of what is left of the budget."""
        now = time.monotonic()
        end = now + (self._limits.end - now) * part
        shared = Check(self.runner, self.signature, tries=0, time_s=0, progress=self._progress)
        shared.divergence = self.divergence
        shared.deadline_s = self.deadline_s
        shared._known = self._known
        shared._limits = _Limits(int((self._limits.tries - self.tries) * part), end)
        return shared

    def __call__(self, plan: Plan) -> bool:
        """Return whether ``plan`` has the finding's signature; raise BudgetSpent where that would be a run too many."""
        self.answered += 1
        key = plan.digest()
        answer = self._known.get(key)
        if answer is None:
            if self.tries >= self._limits.tries or time.monotonic() >= self._limits.end:
                raise BudgetSpent
            self.tries += 1
            answer = self._known[key] = self.shows(plan)
            self._progress(self)
        return answer

    def shows(self, plan: Plan) -> bool:
        """Run ``plan`` and return whether it has the signature, for the same known reason or also for none."""
        return any((j.signature, j.divergence) == (self.signature, self.divergence) for j in self.judgements(plan))

    def judgements(self, plan: Plan) -> list[Judgement]:
        """Return the differences that one run of ``plan`` shows; with a single oracle, those with itself."""
        run = self.runner.run(plan, deadline_s=self.deadline_s)
        longest_us = max((record.us for side in run.sides for record in side.records), default=0)
        self._longest_s = max(self._longest_s, longest_us / 1e6)
        found = self.runner.judge(run) if len(self.runner.oracles) > 1 else self.runner.check_itself(run)
        return [j for j in found if isinstance(j.comparison.verdict, Differ)]

    def be_sure(self, plan: Plan) -> None:
        """Check that the finding is one: it shows every time, and nothing shows without steps; or raise CheckError."""
        self.divergence = next((j.divergence for j in self.judgements(plan) if j.signature == self.signature), None)
        self.deadline_s = max(MIN_DEADLINE_S, SLOWER * self._longest_s)
        if self.shows(replace(plan, steps=())):
            raise CheckError("a plan without steps shows the signature too, so no reduction would mean anything")
        shown = [self.shows(plan) for _ in range(REPEATS)]
        if not any(shown):
            raise CheckError("the finding does not reproduce")
        if not all(shown):
            raise CheckError(f"the finding shows in {sum(shown)} of {REPEATS} runs only")
