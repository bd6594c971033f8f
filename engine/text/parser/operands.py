"""Immediates of instructions: what the immediate kinds take from the text, and the rows of each keyword.

Nothing here names an instruction: a kind parses itself with the methods of :class:`Operands`, and which of the rows of
one keyword is meant, which kinds may be left out and what the natural alignment is follow from the rows.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from engine.errors import InvalidError
from engine.instructions import TABLE
from engine.instructions.immediates import MemArg
from engine.types import Limits, MemType

from .types import TypeReader

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.features import FeatureSet
    from engine.instructions.model import Instr
    from engine.text.lexer import Source

__all__ = ["Entry", "Operands", "keywords", "natural_alignment"]

Choice = tuple["Instr", "Callable[[Operands], tuple[Any, ...]] | None"]


class Operands(TypeReader):
    """What an immediate kind sees of the text (``engine.instructions.immediates.Text``)."""

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self.row: Instr | None = None
        self.reserved = 0

    @property
    def natural(self) -> int:
        """The exponent of the natural alignment of the instruction that is being read."""
        assert self.row is not None
        return natural_alignment(self.row)


class Entry:
    """What a keyword means: rows, each with the function that takes its immediates, None where it has none.

    ``missing`` is a row of the keyword that exists only with a feature that is off.
    """

    __slots__ = ("choices", "control", "missing", "row", "take")

    def __init__(self, rows: list[Instr], missing: Instr | None = None) -> None:
        ordered = sorted(rows, key=lambda row: -len(row.imms))
        self.choices: list[Choice] = [(row, _taker(row) if row.imms else None) for row in ordered]
        self.missing = missing
        self.row: Instr | None
        self.take: Callable[[Operands], tuple[Any, ...]] | None
        self.row, self.take = self.choices[0] if len(rows) == 1 else (None, None)
        self.control = ordered[0].control if ordered else None

    def choose(self, t: Operands) -> Choice:
        """Return the row that is meant by what follows."""
        for row, take in self.choices:
            if all(kind.fits(t) for kind in row.imms):
                return row, take
        return self.choices[-1]


@cache
def keywords(features: FeatureSet) -> dict[bytes, Entry]:
    """Return what each keyword of an instruction means under ``features``."""
    known: dict[str, list[Instr]] = {}
    missing: dict[str, Instr] = {}
    for row in TABLE:
        if row.feature in features:
            known.setdefault(row.keyword, []).append(row)
        else:
            missing[row.keyword] = row
    entries = {word.encode(): Entry(rows) for word, rows in known.items()}
    return entries | {w.encode(): Entry([], row) for w, row in missing.items() if w.encode() not in entries}


def _taker(row: Instr) -> Callable[[Operands], tuple[Any, ...]]:
    """Return the function that takes the immediates of a row from the text, in the order of the row."""
    kinds = row.imms
    if len(kinds) == 1 and kinds[0].default is None:
        parse = kinds[0].parse

        def take_one(t: Operands) -> tuple[Any, ...]:
            t.row, t.reserved = row, 0
            return (parse(t),)

        return take_one
    order = sorted(range(len(kinds)), key=lambda i: not kinds[i].leads)
    words = sum(kind.words for kind in kinds)
    optional = any(kind.default is not None for kind in kinds)
    behind = [sum(kinds[j].words for j in order[n + 1 :]) for n in range(len(order))]

    def take(t: Operands) -> tuple[Any, ...]:
        t.row = row
        values: list[Any] = [None] * len(kinds)
        complete = not optional or t.words_ahead(words) == words
        for i, after in zip(order, behind, strict=True):
            kind = kinds[i]
            if kind.default is not None and not complete:
                values[i] = kind.default
            else:
                t.reserved = after
                values[i] = kind.parse(t)
        return tuple(values)

    return take


class _AnyMemory:
    """A context that has every memory: whoever asks about alignment asks it of a typing rule."""

    def mem(self, x: int) -> MemType:
        return MemType(Limits(0))


@cache
def natural_alignment(row: Instr) -> int:
    """Return the largest exponent that the typing rule of a memory access admits."""
    found = 0
    for align in range(8):
        imms = tuple([MemArg(align, 0) if kind.name == "memarg" else 0 for kind in row.imms])
        try:
            row.arrow(_AnyMemory(), imms)
        except InvalidError:
            continue
        found = align
    return found
