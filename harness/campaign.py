"""A campaign: cases by index until a budget is spent, folded in the order of their indices.

Results arrive in any order and are added to the tally strictly in order, so that numbers, digest and recorded progress
are those of a prefix of the campaign whatever the jobs.  Findings are saved the moment they arrive.  The parts:
``harness.cases`` makes and judges a case, ``harness.pool`` runs them, ``harness.directory`` keeps what must not be
lost.
"""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.cli import Exit
from harness.directory import DiskFull
from harness.pool import PoolFault
from harness.report import INCONCLUSIVE_PERCENT, UNSUPPORTED_PERCENT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.cases import CaseResult
    from harness.directory import RunDirectory
    from harness.divergences import Registry
    from harness.pool import Pool

__all__ = ["Budget", "Campaign", "Ending", "Shard"]

SAVE_EVERY_S = 2.0
MIN_CASES_FOR_RATE = 200  # below, a share of inconclusive cases says little


@dataclass(frozen=True, slots=True)
class Shard:
    """Part ``number`` (from 1) of ``of``: the shards of a campaign partition its indices."""

    number: int = 1
    of: int = 1
    first: int = 0

    def indices(self) -> Iterator[int]:
        """Yield the shard's indices in order, without end."""
        return itertools.count(self.first + self.number - 1, self.of)


@dataclass(frozen=True, slots=True)
class Budget:
    """``cases`` of the whole campaign, earlier sittings included; ``time_s`` of this sitting; None is no bound."""

    cases: int | None = None
    time_s: float | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """Why the campaign stopped, and the exit status that it deserves."""

    why: str
    status: Exit


class Campaign:
    """Runs one sitting."""

    def __init__(
        self, directory: RunDirectory, shard: Shard, budget: Budget, registry: Registry,
        progress: Callable[[Campaign], Any] = lambda _: None, clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self.directory = directory
        self.tally = directory.tally
        self.shard = shard
        self.budget = budget
        self.registry = registry
        self.progress = progress
        self._clock = clock
        self._began = clock()
        self._before_s = self.tally.elapsed_s
        self._arrived: dict[int, CaseResult] = {}
        self._order = shard.indices()
        for _ in range(self.tally.cases):
            next(self._order)
        self._next = next(self._order)

    def run(self, pool: Pool) -> Ending:
        """Run cases until the budget is spent, Ctrl-C or a full disk; record progress in any case."""
        try:
            why = self._loop(pool)
            ending = Ending(why, self._status())
        except KeyboardInterrupt:
            ending = Ending("interrupted", Exit.INTERRUPTED)
        except PoolFault as e:
            ending = Ending(str(e), Exit.ENVIRONMENT)
        except DiskFull as e:
            return Ending(str(e.strerror), Exit.ENVIRONMENT)
        try:
            self._clock_in()
            self.directory.save_progress()
        except DiskFull as e:
            return Ending(str(e.strerror), Exit.ENVIRONMENT)
        return ending

    def _loop(self, pool: Pool) -> str:
        sent = itertools.islice(self.shard.indices(), self.tally.cases, None)
        handed = self.tally.cases
        saved = self._clock()
        while True:
            why = self._spent(handed)
            while why is None and pool.room > 0:
                pool.put(next(sent))
                handed += 1
                why = self._spent(handed)
            if why is not None and self.tally.cases == handed:
                return why
            for result in pool.get(0.2):
                self._take(result)
            self._clock_in()
            self.progress(self)
            if self._clock() - saved >= SAVE_EVERY_S:
                self.directory.save_progress()
                saved = self._clock()

    def _spent(self, handed: int) -> str | None:
        """Return why no more cases are handed out, or None."""
        if self.budget.cases is not None and handed >= self.budget.cases:
            return "all cases done"
        if self.budget.time_s is not None and self._clock() - self._began >= self.budget.time_s:
            return "time is up"
        return None

    def _take(self, result: CaseResult) -> None:
        """Save what a result found, then fold all results that are next in order."""
        for found in result.found:
            self.directory.keep(found, result.index)
        result.found.clear()
        if result.error is not None:
            self.directory.record_error(result.index, result.error)
        self._arrived[result.index] = result
        while (folded := self._arrived.pop(self._next, None)) is not None:
            self.tally.add(folded)
            self._next = next(self._order)

    def _clock_in(self) -> None:
        self.tally.elapsed_s = self._before_s + self._clock() - self._began

    def over_count(self) -> list[str]:
        """Return a sentence for each registered divergence that was met more often than it says."""
        return self.registry.over_count(self.tally.of_kind("divergence"), self.tally.cases)

    def _status(self) -> Exit:
        if self.tally.errors:
            return Exit.INTERNAL
        if self.tally.of_kind("finding") or self.over_count():
            return Exit.FINDINGS
        limits = (("inconclusive", INCONCLUSIVE_PERCENT), ("unsupported", UNSUPPORTED_PERCENT))
        if self.tally.cases >= MIN_CASES_FOR_RATE and any(self.tally.percent(k) > limit for k, limit in limits):
            return Exit.INCONCLUSIVE
        return Exit.CLEAN
