"""Two runs of one script compared whole: past what the script leaves open, past limits, past each mismatch.

A comparison of a random case ends with its first divergence (``harness.compare``).  A script has a thousand commands
that have little to do with one another, and it says itself which results it leaves open.  So the records of both
sides are first *settled*: what a named rule of ``OPEN`` allows is made equal and counted.  After a mismatch its step is
set aside, with what lies in the same group of instances where the states have parted, and the rest is compared again.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from harness.compare import Differ, Incomparable, compare
from harness.wast.values import Either, Lanes, Nan
from oracles.outcome import Crashed, Exhausted, Record, Returned, Threw, TimedOut, Trapped, Unsupported
from oracles.plan import FUEL_NOTE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from engine.execution.fuel import FuelModel
    from harness.compare import Side
    from harness.wast.values import Pattern
    from harness.wast.watched import Watched
    from oracles.outcome import Outcome
    from oracles.plan import Value

__all__ = ["MOST", "OF_SLICES", "OPEN", "Settled", "renumbered", "rules_of_slices", "settle"]

MOST = 50  # mismatches of one script that are told apart

OPEN: dict[str, str] = {
    "nan-set": "a result is a NaN, and each engine's is one that the script allows",
    "either": "each engine's result is one of those that the script allows",
    "stack-overflow": "both ran out of stack, at a depth that is each engine's own: what they did by then is left out",
    "unseen": "neither engine shows so large a table",
    "lacking": "an engine lacks what a module needs; it and what is linked with it are left out",
    "slice-refund": "a trap gives back what was spent since the last save; a pause saves, so less comes back",
    "slice-forgets": "by a model that forgets what callees spent, how much that is depends on where a call paused",
    "slice-wraps": "where the counter wraps, pieces that nobody could pay for are a present once a pause was late",
    "set-aside": "a step on instances whose states have parted by a mismatch or a limit",
}
"""Every difference or step that a comparison of scripts leaves out, beyond ``harness.compare.TOLERANCES``."""


@dataclass(slots=True)
class Settled:
    """What came of one script: mismatches in order, what was left out by rule, and the steps that were compared.

    ``left_out`` counts keys of OPEN, of ``harness.compare.TOLERANCES`` and ``limit: RESOURCE``; ``lost`` is a sentence
    if the rest of the script was lost.
    """

    mismatches: list[Differ] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    compared: Counter[str] = field(default_factory=Counter)
    skipped: set[int] = field(default_factory=set)
    lost: str = ""


OF_SLICES = frozenset({"slice-refund"})  # rules of OPEN that hold between the two runs of one engine alone


def rules_of_slices(model: FuelModel | None) -> frozenset[str]:
    """Return the rules of OPEN that hold between a straight run and one in slices, of an engine that counts so."""
    rules = set(OF_SLICES)
    if model is not None and model.forgets:
        rules.add("slice-forgets")
    if model is not None and model.wraps:
        rules.add("slice-wraps")
    return frozenset(rules)


def settle(watched: Watched, left: Side, right: Side, more: frozenset[str] = frozenset()) -> Settled:
    """Return what comes of comparing two runs of a watched plan.

    With ``more`` rules (:func:`rules_of_slices`) they are a straight run and one in slices of the same engine.
    """
    pairs = _Pairs(watched, left, right, more)
    found = Settled()
    while True:
        pairs.settle()
        one, two = (
            replace(side, records=renumbered(records) if pairs.parted else tuple(records))
            for side, records in ((left, pairs.lefts), (right, pairs.rights))
        )
        comparison = compare(watched.plan, one, two)
        verdict = comparison.verdict
        if isinstance(verdict, Differ):
            found.mismatches.append(verdict)
        if not isinstance(verdict, (Differ, Incomparable)) or len(found.mismatches) >= MOST:
            break
        if isinstance(verdict, Incomparable):
            found.left_out[verdict.reason] += 1
        if pairs.ends_at(verdict.step):
            found.lost = f"the run ended at step {verdict.step}"
            break
        is_harmless = isinstance(verdict, Differ) and (verdict.rule in _HARMLESS or pairs.agree_after(verdict.step))
        pairs.set_aside(verdict.step, is_parted=not is_harmless)
    found.left_out.update(pairs.left_out)
    found.left_out.update(comparison.notes)
    found.compared.update(comparison.compared)
    found.skipped = pairs.skipped
    return found


_HARMLESS = ("R2", "R8", "R9", "R10", "R13", "R14")  # whether the states have parted, later observations tell


@dataclass
class _Pairs:
    watched: Watched
    left: Side
    right: Side
    more: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        self.lefts, self.rights = list(self.left.records), list(self.right.records)
        self.left_out: Counter[str] = Counter()
        self.skipped: set[int] = set()
        self.parted: set[str] = set()  # instances whose states need not be equal
        self.next = 0  # first step that is not settled

    def settle(self) -> None:
        """Make equal what may differ, as far as both sides have records."""
        end = min(len(self.lefts), len(self.rights))
        for i in range(self.next, end):
            self._settle(i)
        self.next = end

    def ends_at(self, i: int) -> bool:
        """Return whether a side has nothing after step ``i``: its worker has died or was ended there."""
        sides = (self.lefts, self.rights)
        return any(i >= len(s) or (i == len(s) - 1 and isinstance(s[i].outcome, _LAST)) for s in sides)

    def agree_after(self, i: int) -> bool:
        """Return whether an observation right after step ``i`` shows the same state of its group on both sides."""
        steps, groups = self.watched.plan.steps, self.watched.groups
        if (
            i + 1 >= min(len(self.lefts), len(self.rights))
            or steps[i + 1].kind != "observe"
            or groups[i] != groups[i + 1]
        ):
            return False
        left, right = ((records[i + 1].data or {}).get("instances") for records in (self.lefts, self.rights))
        return bool(left) and left == right

    def set_aside(self, i: int, *, is_parted: bool) -> None:
        """Take step ``i`` out, and where the states have parted all later steps of its group."""
        self._blank(i)
        if is_parted:
            self.parted |= self.watched.groups[i]
            for j in range(i + 1, min(len(self.lefts), len(self.rights))):
                self._leave_out_parted(j)

    def _blank(self, i: int) -> None:
        self.skipped.add(i)
        self.lefts[i] = self.rights[i] = Record(i, Returned())

    def _settle(self, i: int) -> None:
        if i in self.skipped:
            return
        a, b = self.lefts[i].outcome, self.rights[i].outcome
        if isinstance(a, _LAST) or isinstance(b, _LAST):
            return
        if isinstance(a, Unsupported) != isinstance(b, Unsupported):
            self.left_out["lacking"] += 1
            self.set_aside(i, is_parted=self.watched.plan.steps[i].kind in ("instantiate", "call"))
        elif _is_exhausted(a, "stack") and _is_exhausted(b, "stack"):
            self.left_out["stack-overflow"] += 1
            self._blank(i)
            self._forget(i + 1, "trace")
        elif _is_exhausted(a, "memory") and _is_exhausted(b, "memory") and self.watched.plan.steps[i].kind == "observe":
            self.left_out["unseen"] += 1
            self._blank(i)
        elif isinstance(a, Returned) and isinstance(b, Returned) and a.values != b.values:
            self._results(i, a.values, b.values)
        elif "slice-wraps" in self.more and self._went_on(i, a, b):
            self.left_out["slice-wraps"] += 1
            self.set_aside(i, is_parted=True)
        elif "slice-refund" in self.more and isinstance(a, Trapped) and isinstance(b, Trapped):
            self._refund(i)
        if "slice-forgets" in self.more:
            self._take_fuel(i)

    def _went_on(self, i: int, a: Outcome, b: Outcome) -> bool:
        """Return whether slices that paused went on beyond where the straight run was out of fuel."""
        paused = (self.rights[i].data or {}).get("paused")
        return bool(paused) and _is_exhausted(a, "fuel") and not _is_exhausted(b, "fuel")

    def _results(self, i: int, left: Sequence[Value], right: Sequence[Value]) -> None:
        """Take the left value for the right one where the script leaves open which it is and allows both."""
        command = self.watched.commands[i]
        patterns = () if command is None else command.patterns
        if not len(left) == len(right) == len(patterns):
            return
        values = []
        for a, b, pattern in zip(left, right, patterns, strict=True):
            rule = _rule_of(pattern)
            if a != b and rule and pattern.matches(a) and pattern.matches(b):
                self.left_out[rule] += 1
                values.append(a)
            else:
                values.append(b)
        self.rights[i] = replace(self.rights[i], outcome=Returned(tuple(values)))

    def _refund(self, i: int) -> None:
        """Take the fuel left after a trap in a straight run for what is left in slices, where that is less."""
        left, right = (dict(records[i].data or {}) for records in (self.lefts, self.rights))
        if "fuel" in left and right.get("paused") and right["fuel"] < left["fuel"]:
            self.left_out["slice-refund"] += 1
            self.rights[i] = replace(self.rights[i], data={**right, "fuel": left["fuel"]})

    def _take_fuel(self, i: int) -> None:
        """Take the fuel of the straight run, left and seen by host functions, for that in slices."""
        left, right = (dict(records[i].data or {}) for records in (self.lefts, self.rights))
        taken = dict(right)
        if "fuel" in left and "fuel" in right:
            taken["fuel"] = left["fuel"]
        seen, again = left.get("trace") or [], right.get("trace") or []
        if seen and len(seen) == len(again):
            taken["trace"] = [a if _is_fuel(a) and _is_fuel(b) else b for a, b in zip(seen, again, strict=True)]
        if taken != right:
            self.left_out["slice-forgets"] += 1
            self.rights[i] = replace(self.rights[i], data=taken)

    def _leave_out_parted(self, i: int) -> None:
        """Leave out what a step tells of parted instances; what it links with them has parted from there on."""
        if i not in self.skipped and self.watched.groups[i] & self.parted:
            self.left_out["set-aside"] += 1
            self._blank(i)
            self.parted |= self.watched.groups[i]
        for records in (self.lefts, self.rights):
            records[i] = replace(records[i], data=_without(records[i].data, self.parted))

    def _forget(self, i: int, name: str) -> None:
        """Leave out one part of what an observation at step ``i`` tells."""
        for records in (self.lefts, self.rights):
            data = records[i].data if i < len(records) and self.watched.plan.steps[i].kind == "observe" else None
            if data is not None:
                records[i] = replace(records[i], data={k: v for k, v in data.items() if k != name})


_LAST = (Crashed, TimedOut)


def _is_exhausted(outcome: Any, resource: str) -> bool:
    return isinstance(outcome, Exhausted) and outcome.resource == resource


def _is_fuel(call: Any) -> bool:
    return isinstance(call, (list, tuple)) and call[:1] in ([FUEL_NOTE], (FUEL_NOTE,))


def _rule_of(pattern: Pattern) -> str:
    """Return the rule of OPEN by which a pattern leaves its value open, or ""."""
    if isinstance(pattern, Either):
        return "either"
    is_open = isinstance(pattern, Nan) or (
        isinstance(pattern, Lanes) and any(isinstance(x, str) for x in pattern.lanes)
    )
    return "nan-set" if is_open else ""


def _without(data: Any, parted: set[str]) -> Any:
    """Return the data of a record without parted instances, and without what stands for the state of all."""
    if data is None:
        return None
    out = dict(data)
    if isinstance(out.get("instances"), dict):
        out["instances"] = {name: state for name, state in out["instances"].items() if name not in parted}
    if isinstance(out.get("pauses"), list):
        out["pauses"] = [{k: v for k, v in pause.items() if k != "state"} for pause in out["pauses"]]
    return out


def renumbered(records: Iterable[Record]) -> tuple[Record, ...]:
    """Return the records with function references numbered by their first sight in these records.

    What is shown at a pause counts as seen too, and so do the exports of an instance that only one side has: then the
    same function has another number.
    """
    numbers: dict[int, int] = {}

    def again(x: Any) -> Any:
        if isinstance(x, (list, tuple)):
            if len(x) == 2 and x[0] == "funcref" and isinstance(x[1], int):
                return (x[0], numbers.setdefault(x[1], len(numbers)))
            return tuple(again(y) for y in x)
        return {k: again(v) for k, v in x.items()} if isinstance(x, dict) else x

    out = []
    for record in records:
        outcome = record.outcome
        if isinstance(outcome, (Returned, Threw)):
            outcome = replace(outcome, values=again(outcome.values))
        data = record.data
        if data is not None and any(name in data for name in ("instances", "value")):
            data = again(data) | {name: data[name] for name in ("trace",) if name in data}
        out.append(replace(record, outcome=outcome, data=data))
    return tuple(out)
