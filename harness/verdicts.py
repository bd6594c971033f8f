"""Verdicts on two runs, the rules and tolerances that they name, and what every comparison needs to make one."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from oracles.plan import FRAMES_NOTE, FUEL_NOTE, SHADOW_NOTE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.show import Pair
    from oracles.outcome import Record
    from oracles.plan import Plan

__all__ = [
    "MISSING", "NOTES", "RULES", "TOLERANCES", "Agree", "Comparison", "Differ", "Divergent", "Incomparable",
    "Pairing", "Side", "Verdict", "same",
]  # fmt: skip

RULES: dict[str, str] = {
    "R1": "values have the declared count and types",
    "R2": "values are equal bit for bit",
    "R3": "outcomes are of one kind",
    "R4": "traps are of one class",
    "R5": "memories, tables, globals and the host trace are equal",
    "R6": "a run that meets a limit is a prefix of the other",
    "R7": "the first divergence in the order of events names the finding",
    "R8": "engines that count by one model have the same fuel left and run out of it at the same point",
    "R9": "a run in slices pauses at the same points with the same state, and comes to what the straight run comes to; "
    "that a store is saved and restored changes nothing",
    "R10": "both engines accept a module or neither does",
    "R12": "an engine agrees with itself",
    "R13": "each lane of a relaxed instruction's result is one that the specification allows",
    "R14": "the frames at a trap are equal where both engines tell them exactly, and so is what modules tell of theirs",
}

TOLERANCES: dict[str, str] = {
    "stage-module": "an engine that cannot tell malformed from invalid matches either",
    "stage-validity": "engines may reject a module as malformed or as invalid (R10 asks for the rejection alone)",
    "trap-merge": "an engine reports two trap classes as one (the merge is listed in oracles.traps)",
    "reference-unknown": "an engine sees that a reference is not null, but not which it is",
    "tag-unknown": "an engine cannot tell which tag an uncaught exception has",
    "unsupported": "an engine cannot do a step that changes nothing; the step is left out",
    "unobserved": "an engine cannot show a kind of state; that kind is left out of its observations",
    "relaxed-lane": "engines chose differently among the results of a relaxed instruction (each is allowed by R13)",
    "fuel-model": "engines count fuel by different models; what is left is not compared",
    "fuel-overflow": "a stack overflowed: how deep a stack is, and so what was spent by then, is each engine's own",
    "fuel-pause": "a trap in slices gives back less than in the straight run, because a pause had saved what was spent",
}
"""Every difference that does not make a finding; hits are counted by these names."""

NOTES = frozenset({FUEL_NOTE, FRAMES_NOTE, SHADOW_NOTE})  # what the host trace has beside calls
MISSING: Any = object()


@dataclass(frozen=True, slots=True)
class Side:
    """The records of one engine; ``oracle`` is the full id, ``name`` and ``version`` those of the engine.

    ``fuel_model`` names the model by which it counts, and ``tells_frames`` says that the frames it tells are exact.
    """

    oracle: str
    records: Sequence[Record]
    name: str = ""
    version: str = ""
    fuel_model: str = ""
    tells_frames: bool = False


@dataclass(frozen=True, slots=True)
class Agree:
    """Every step was compared and equal."""


@dataclass(frozen=True, slots=True)
class Differ:
    """The first divergence.

    ``what`` names the place (``memory a.mem page 3``) and ``left``, ``right`` show what each engine had there.  The
    rest is for signatures and free of numbers: ``aspect`` is ``what`` without names, the classes say what kind of thing
    each side had.
    """

    rule: str
    step: int
    what: str
    left: str
    right: str
    aspect: str = ""
    step_kind: str = ""
    left_class: str = ""
    right_class: str = ""


@dataclass(frozen=True, slots=True)
class Incomparable:
    """From ``step`` on nothing could be compared; equal before.  ``reason`` is counted and shown."""

    reason: str
    step: int


Verdict = Agree | Differ | Incomparable


@dataclass(frozen=True, slots=True)
class Comparison:
    """A verdict and the tolerances (keys of TOLERANCES) that it took, one entry per hit.

    ``compared`` counts what was compared beside the specification's own: ``fuel``, ``exhausted``, ``pauses``,
    ``frames``.
    """

    verdict: Verdict
    notes: tuple[str, ...] = ()
    compared: Mapping[str, int] = field(default_factory=dict, compare=False)


class Divergent(Exception):
    """Ends a comparison with its verdict."""

    def __init__(self, verdict: Differ | Incomparable) -> None:
        self.verdict = verdict


@dataclass(slots=True)
class Pairing:
    """Two runs of one plan under comparison: what was tolerated and counted so far."""

    plan: Plan
    left: Side
    right: Side
    notes: list[str] = field(default_factory=list)
    compared: Counter[str] = field(default_factory=Counter)

    def differ(self, rule: str, i: int, what: str, aspect: str, shown: Pair, classes: Pair) -> NoReturn:
        raise Divergent(Differ(rule, i, what, *shown, aspect, self.plan.steps[i].kind, *classes))

    def same(self, a: Any, b: Any) -> bool:
        """Return whether the values are equal; a reference that an engine cannot name is noted where it decides."""
        if same(a, b):
            return True
        if not same(a, b, unknown=True):
            return False
        self.notes.append("reference-unknown")
        return True


def same(a: Any, b: Any, *, unknown: bool = False) -> bool:
    """Return whether plain data is equal, a tuple and a list with the same elements being one thing.

    With ``unknown`` the payload ``"?"`` (a reference, and which one cannot be seen) equals every one but null.
    """
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(same(x, y, unknown=unknown) for x, y in zip(a, b, strict=True))
    if unknown and "?" in (a, b):
        return a is not None and b is not None
    return type(a) is type(b) and bool(a == b)
