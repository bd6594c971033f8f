"""Why a poll of a call was not the last one: fuel, the host, or the engine's own collector.

The engine does not say.  A continuation of ours knows that it said no.  A collection of garbage gives way, too: in
each it does so :data:`COLLECTION` times in a row, while nothing runs, so that many polls in a row leave the same fuel.
Between two pauses at fuel at least the interval was spent.  What is left to doubt is a collection after as much was
spent but before the engine looked; that shows when its other polls follow, and the pause is taken back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["COLLECTION", "Polled", "Polls"]

COLLECTION = 5  # polls that one collection takes in wasmtime 50


class Polled(Protocol):
    """What of a session is asked and told."""

    suspended: bool  # a continuation said no in this poll
    unsure: bool  # what was told of pauses may be wrong
    slice_fuel: int  # what was left when the slice began
    interval: int
    intervals: Sequence[int]

    def fuel(self) -> int: ...

    def pause(self, cause: str) -> None: ...

    def take_back(self) -> None: ...


class Polls:
    """The polls of one call that were not its last; ``is_told`` whether its pauses are to be told."""

    def __init__(self, session: Polled, is_told: bool) -> None:
        self.session = session
        self.is_told = is_told
        self.length = 0  # of the run of polls that left the same fuel
        self.left = 0
        self.before: tuple[int, int] | None = None  # slice_fuel and interval before the run, if it began with a pause

    def missed(self) -> None:
        """Take note of one more."""
        session = self.session
        if session.suspended:
            self.end()
            session.suspended = False
            if self.is_told:
                session.pause("host")
            return
        left = session.fuel()
        if self.length and left == self.left:
            self.length += 1
            return
        self.end()
        self.length, self.left = 1, left
        began, interval = session.slice_fuel, session.interval
        if interval and began - left >= min(interval, began):
            self.before = began, interval
            session.slice_fuel = left
            if self.is_told:
                session.pause("fuel")

    def end(self) -> None:
        """End a run of polls that left the same fuel: all but the first of a pause are those of collections."""
        session, before = self.session, self.before
        rest = self.length % COLLECTION
        self.length, self.before = 0, None
        if rest == (0 if before is None else 1):
            return
        if before is None or rest:
            session.unsure = True
            return
        session.slice_fuel = before[0]
        if self.is_told:
            session.take_back()
            session.unsure |= session.interval != before[1]
