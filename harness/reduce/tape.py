"""Reduction of the choice tape: the generator itself rebuilds every candidate, so each is valid and well-typed.

The measure is shortlex: a shorter tape is simpler, and of two tapes of one length the smaller in order.  Generators
keep two promises that make this work (``generators.source``): choice 0 is the simplest alternative, and a tape that
ends early goes on with zeros.  Passes, repeated until none helps: delete what a span covers (functions before
statements before expressions, by size), set spans to zero, delete and zero blocks of choices wherever they lie, lower
single choices, and put neighbouring spans of one label in order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from generators.source import Source
from harness.reduce.check import BudgetSpent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from generators.source import Span
    from oracles.plan import Plan

__all__ = ["Tape", "TapeReducer"]

BLOCKS = (64, 32, 16, 8, 4, 2, 1)


@dataclass(frozen=True, slots=True)
class Tape:
    """Choices as the generator took them, what they mark, and what they made."""

    choices: tuple[int, ...]
    spans: tuple[Span, ...]
    plan: Plan

    @property
    def order(self) -> tuple[int, tuple[int, ...]]:
        """The shortlex key."""
        return len(self.choices), self.choices


class TapeReducer:
    """Holds the simplest tape so far in ``best``; ``build`` is the generator and may refuse a tape by ValueError."""

    def __init__(self, choices: Sequence[int], build: Callable[[Source], Plan], holds: Callable[[Plan], bool]) -> None:
        self.build = build
        self.holds = holds
        self.best = self.replay(choices)
        self._seen: set[tuple[int, ...]] = {self.best.choices, tuple(choices)}

    def replay(self, choices: Sequence[int]) -> Tape:
        """Return the tape that the generator makes of these choices: cut to what it takes, clamped to its bounds."""
        source = Source.replay(choices)
        plan = self.build(source)
        taken = list(source.tape)
        while taken and taken[-1] == 0:  # zeros come by themselves
            taken.pop()
        return Tape(tuple(taken), tuple(source.spans), plan)

    def reduce(self) -> Tape:
        """Run all passes until none helps or the budget is spent, and return the best tape."""
        try:
            while True:
                before = self.best.order
                for candidates in (
                    self.delete_spans,
                    self.zero_spans,
                    self.delete_blocks,
                    self.zero_blocks,
                    self.lower,
                    self.sort,
                ):
                    candidates()
                if self.best.order == before:
                    break
        except BudgetSpent:
            pass
        return self.best

    def attempt(self, choices: Sequence[int]) -> bool:
        """Take these choices if what they make is simpler and still shows the finding."""
        key = tuple(choices)
        if key in self._seen:
            return False
        self._seen.add(key)
        try:
            tape = self.replay(key)
        except ValueError:
            return False
        if tape.order >= self.best.order:
            return False
        self._seen.add(tape.choices)
        if not self.holds(tape.plan):
            return False
        self.best = tape
        return True

    # passes

    def delete_spans(self) -> None:
        self._over_spans(lambda c, s: c[: s.start] + c[s.end :])

    def zero_spans(self) -> None:
        self._over_spans(lambda c, s: c[: s.start] + (0,) * (min(s.end, len(c)) - s.start) + c[s.end :])

    def _over_spans(self, edit: Callable[[tuple[int, ...], Span], tuple[int, ...]]) -> None:
        """Try an edit of each span, large ones first; after a success go on among the new spans of that size."""
        n = 0
        while n < len(spans := self._spans()):
            if not self.attempt(edit(self.best.choices, spans[n])):
                n += 1

    def _spans(self) -> list[Span]:
        inside = {(s.start, s.end): s for s in self.best.spans if s.start < len(self.best.choices)}
        return sorted(inside.values(), key=lambda s: (s.start - s.end, -s.start))

    def delete_blocks(self) -> None:
        for start, end in self._blocks():
            self.attempt(self.best.choices[:start] + self.best.choices[end:])

    def zero_blocks(self) -> None:
        for start, end in self._blocks():
            choices = self.best.choices
            if any(choices[start:end]):
                self.attempt(choices[:start] + (0,) * (min(end, len(choices)) - start) + choices[end:])

    def _blocks(self) -> Iterator[tuple[int, int]]:
        for size in BLOCKS:
            end = len(self.best.choices)
            while end > 0:
                end = min(end, len(self.best.choices))
                yield max(0, end - size), end
                end -= size

    def lower(self) -> None:
        """Lower each choice: to 0 if it can be, else by halving the distance to what is still too low."""
        for i in range(len(self.best.choices) - 1, -1, -1):
            if i >= len(self.best.choices):
                continue
            low, high = -1, self.best.choices[i]
            for target in (0, 1):
                if target < high and self._set(i, target):
                    high = target
                    break
                low = max(low, min(target, high - 1))
            while low + 1 < high and i < len(self.best.choices):
                middle = (low + high) // 2
                if self._set(i, middle):
                    high = min(middle, self.best.choices[i] if i < len(self.best.choices) else middle)
                else:
                    low = middle

    def _set(self, i: int, choice: int) -> bool:
        choices = self.best.choices
        return i < len(choices) and self.attempt((*choices[:i], choice, *choices[i + 1 :]))

    def sort(self) -> None:
        """Swap neighbouring spans of one label where that is smaller in order."""
        n = 0
        while n + 1 < len(spans := sorted(self.best.spans)):
            one = spans[n]
            two = next((s for s in spans if s.start == one.end and s.label == one.label), None)
            c = self.best.choices
            if two is not None and two.end <= len(c) and c[two.start : two.end] < c[one.start : one.end]:
                self.attempt(c[: one.start] + c[two.start : two.end] + c[one.start : one.end] + c[two.end :])
            n += 1
