"""Where decisions come from: one typed, bounded, recorded, replayable choice tape.

Every random decision of the project is a *choice*: an integer in ``0 <= choice < bound``. A :class:`Source` takes
choices from a PRNG (fresh) or from a tape (replay) and records what it gave, so that the tape alone rebuilds the
case. Two rules make a tape shrink well, and every generator keeps them: choice 0 is the simplest alternative, and
an exhausted tape answers 0, so that any prefix of a tape, and any tape with values lowered, still describes a
(simpler) case.

``spans`` marks the choices that belong to one function, statement or expression; a reducer deletes whole spans. The
PRNG is used through ``getrandbits`` alone, whose stream is the same on every CPython.
"""

from __future__ import annotations

import hashlib
import random
from bisect import bisect_right
from typing import TYPE_CHECKING, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["MAX_CHOICES", "Source", "Span", "seed_bits"]

MAX_CHOICES = 1 << 16
T = TypeVar("T")


class Span(NamedTuple):
    """Choices ``start <= i < end`` of the tape made one ``label``."""

    start: int
    end: int
    label: str


def seed_bits(*parts: int | str) -> int:
    """Return a 128-bit seed that depends on every part, the same on every platform and process."""
    text = "\0".join(f"{type(p).__name__}:{p}" for p in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little")


class _Marking:
    """What :meth:`Source.span` gives: a context at whose end the span is marked, whatever ended it."""

    __slots__ = ("_label", "_source", "_start")

    def __init__(self, source: Source, label: str) -> None:
        self._source = source
        self._label = label

    def __enter__(self) -> None:
        self._start = len(self._source.tape)

    def __exit__(self, *_: object) -> None:
        self._source.mark(self._start, self._label)


class Source:
    """A stream of choices.  ``tape`` is what was given so far, ``spans`` the labelled ranges of it.

    After ``limit`` choices every further one is 0 and is not recorded (``exhausted`` is then true): whatever a
    generator does, its work is bounded.
    """

    __slots__ = ("_next", "exhausted", "limit", "spans", "tape")

    def __init__(self, next_choice: Callable[[int], int], limit: int = MAX_CHOICES) -> None:
        self._next = next_choice
        self.limit = limit
        self.tape: list[int] = []
        self.spans: list[Span] = []
        self.exhausted = False

    @classmethod
    def fresh(cls, *seed: int | str, limit: int = MAX_CHOICES) -> Source:
        """Return a source of pseudo-random choices determined by ``seed`` alone."""
        getrandbits = random.Random(seed_bits(*seed)).getrandbits

        def next_choice(bound: int) -> int:
            # scaling keeps one draw per choice; the bias is below 2**-32 for the bounds that matter
            return getrandbits(64) * bound >> 64 if bound <= 1 << 32 else getrandbits(bound.bit_length() + 32) % bound

        return cls(next_choice, limit)

    @classmethod
    def replay(cls, tape: Sequence[int], limit: int = MAX_CHOICES) -> Source:
        """Return a source that gives the choices of ``tape``, each lowered to its bound, then zeros."""
        iterator = iter(tape)

        def next_choice(bound: int) -> int:
            choice = next(iterator, 0)
            return choice if 0 <= choice < bound else bound - 1 if choice > 0 else 0

        return cls(next_choice, limit)

    def below(self, bound: int) -> int:
        """Return a choice in ``0 <= choice < bound``; ``bound`` is at least 1."""
        if bound == 1:
            return 0
        tape = self.tape
        if len(tape) >= self.limit:
            self.exhausted = True
            return 0
        choice = self._next(bound)
        tape.append(choice)
        return choice

    def between(self, low: int, high: int) -> int:
        """Return an integer in ``low <= i <= high``; the simplest is ``low``."""
        return low + self.below(high - low + 1)

    def bits(self, n: int) -> int:
        """Return an integer in ``0 <= i < 2**n``."""
        return self.below(1 << n)

    def chance(self, percent: int) -> bool:
        """Return true with this probability; the simplest answer is false."""
        return self.below(100) >= 100 - percent

    def choose(self, options: Sequence[T]) -> T:
        """Return one option; the simplest is the first."""
        return options[self.below(len(options))]

    def weighted(self, cumulative: Sequence[int]) -> int:
        """Return an index with probability by ``cumulative`` weights (ascending); the simplest is 0."""
        return bisect_right(cumulative, self.below(cumulative[-1]))

    def span(self, label: str) -> _Marking:
        """Mark the choices made inside as one ``label``."""
        return _Marking(self, label)

    def mark(self, start: int, label: str) -> None:
        """Mark the choices since ``start`` as one ``label``, if there are any (the cheap form of :meth:`span`)."""
        end = len(self.tape)
        if end > start:
            self.spans.append(Span(start, end, label))
