"""From the records of two engines to one verdict, bit by bit; every tolerance is a named, counted rule.

The idea to hold while reading: two runs of a plan are compared *in the order in which things happened*, and the first
divergence names the finding (R7).  Nothing after it is a finding, because the states have parted.  Within one step the
order is host trace, outcome, state, so that the cause is named before its consequence; a module that one engine refuses
has made no calls, so there the outcome comes first.

What "incomparable" means.  A limit (stack, fuel, memory, wall time) is reached at a point that no specification fixes,
so an engine that stops early is not wrong.  What it did *before* it stopped must still be a prefix of what the other
did (R6); if it is, the rest of the case is *incomparable*, with the limit as its reason, and that is counted and
shown.  A crash is never excused: it is a finding even after the states have parted.

Rules.  R1: values have the declared count and types.  R2: values are equal bit for bit.  R3: outcomes are of one kind.
R4: traps are of one class.  R5: every memory page, table slot and global is equal after every step, and so is the
trace of host calls.  R6: a limited run is a prefix.  R7: the order above.  R10: both engines accept a module or neither
does.  R12: an engine agrees with itself (``harness.runner`` makes such verdicts).  R13: where a relaxed instruction's
result is returned as it is (``harness.relaxed``), each lane is an allowed one on both sides, in place of R2.

Not compared, because no rule gives them a meaning across engines: wording of messages, times, the bytes an assembler
chose, and the place of a trap.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from harness.relaxed import Probes, vector_bits
from harness.show import (
    Pair,
    clip,
    outcome_class,
    outcome_pair,
    pair,
    show_call,
    show_outcome,
    show_value,
    type_name,
    value_class,
    value_pair,
)  # fmt: skip
from oracles.outcome import (
    Crashed,
    Exhausted,
    HostError,
    Record,
    Rejected,
    Returned,
    Threw,
    TimedOut,
    Trapped,
    Unsupported,
)
from oracles.traps import merged

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from harness.relaxed import Lanes
    from oracles.outcome import Outcome
    from oracles.plan import Plan

__all__ = [
    "RULES", "TOLERANCES", "Agree", "Comparison", "Differ", "Incomparable", "Side", "Verdict", "canonical", "compare",
    "outcome_class", "show_call", "show_outcome", "show_value", "value_class",
]  # fmt: skip

RULES: dict[str, str] = {
    "R1": "values have the declared count and types",
    "R2": "values are equal bit for bit",
    "R3": "outcomes are of one kind",
    "R4": "traps are of one class",
    "R5": "memories, tables, globals and the host trace are equal",
    "R6": "a run that meets a limit is a prefix of the other",
    "R7": "the first divergence in the order of events names the finding",
    "R10": "both engines accept a module or neither does",
    "R12": "an engine agrees with itself",
    "R13": "each lane of a relaxed instruction's result is one that the specification allows",
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
}
"""Every difference that does not make a finding; hits are counted by these names."""

_PASSIVE = frozenset({"validate", "get", "read", "observe"})  # without effect, so leaving one out taints nothing
_STATE = ("memories", "tables", "globals")
_MISSING = object()


@dataclass(frozen=True, slots=True)
class Side:
    """The records of one engine; ``oracle`` is the full id, ``name`` and ``version`` those of the engine."""

    oracle: str
    records: Sequence[Record]
    name: str = ""
    version: str = ""


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
    """A verdict and the tolerances (keys of TOLERANCES) that it took, one entry per hit."""

    verdict: Verdict
    notes: tuple[str, ...] = ()


class _Found(Exception):
    def __init__(self, verdict: Differ | Incomparable) -> None:
        self.verdict = verdict


def compare(plan: Plan, left: Side, right: Side) -> Comparison:
    """Return the verdict on two runs of ``plan``."""
    walk = _Walk(plan, left, right)
    try:
        walk.steps()
    except _Found as found:
        verdict: Verdict = found.verdict
        if isinstance(verdict, Incomparable):
            verdict = walk.crash_after(verdict.step) or verdict
        return Comparison(verdict, tuple(walk.notes))
    return Comparison(Agree(), tuple(walk.notes))


@dataclass(slots=True)
class _Walk:
    plan: Plan
    left: Side
    right: Side
    notes: list[str] = field(default_factory=list)
    probes: Probes = field(init=False)

    def __post_init__(self) -> None:
        self.probes = Probes(self.plan)

    def steps(self) -> None:
        lefts, rights = list(self.left.records), list(self.right.records)
        for i in range(len(self.plan.steps)):
            if i >= len(lefts) or i >= len(rights):
                self.cut_short(i, lefts, rights)
            self.trace_after(i)
            left, right = lefts[i], rights[i]
            self.outcomes(i, left.outcome, right.outcome)
            if isinstance(left.outcome, Returned) and isinstance(right.outcome, Returned):
                self.data(i, left.data or {}, right.data or {})

    def cut_short(self, i: int, lefts: list[Record], rights: list[Record]) -> None:
        """A list is shorter than its last outcome allows: the worker did not account for every step."""
        shown = f"{len(lefts)} records", f"{len(rights)} records"
        self.differ("R3", i, "records of the run", "records", shown, ("missing", "missing"))

    def differ(self, rule: str, i: int, what: str, aspect: str, shown: Pair, classes: Pair) -> NoReturn:
        raise _Found(Differ(rule, i, what, *shown, aspect, self.plan.steps[i].kind, *classes))

    def crash_after(self, step: int) -> Differ | None:
        """Return the finding of a crash at or after ``step``: a crash is never excused by a limit."""
        for i in range(step, len(self.plan.steps)):
            left, right = (s.records[i].outcome if i < len(s.records) else None for s in (self.left, self.right))
            if isinstance(left, Crashed) or isinstance(right, Crashed):
                shown = pair(lambda o: "no record" if o is None else show_outcome(o), left, right)
                classes = pair(lambda o: "missing" if o is None else outcome_class(o), left, right)
                return Differ("R3", i, "outcome", *shown, "outcome", self.plan.steps[i].kind, *classes)
        return None

    def same(self, a: Any, b: Any) -> bool:
        """Return whether the values are equal; a reference that an engine cannot name is noted where it decides."""
        if _same(a, b):
            return True
        if not _same(a, b, unknown=True):
            return False
        self.notes.append("reference-unknown")
        return True

    # the host trace

    def trace_after(self, i: int) -> None:
        """Compare the host calls made by step ``i``, which the observation right after it tells."""
        steps = self.plan.steps
        if steps[i].kind == "observe" or i + 1 >= len(steps) or steps[i + 1].kind != "observe":
            return
        traces = self.trace(self.left, i + 1), self.trace(self.right, i + 1)
        if traces[0] is None or traces[1] is None:
            return
        outcomes = self.left.records[i].outcome, self.right.records[i].outcome
        if not any(_is_limit(o) or isinstance(o, (Crashed, Unsupported, Rejected)) for o in outcomes):
            self.same_trace("R5", i, traces[0], traces[1])

    @staticmethod
    def trace(side: Side, i: int) -> list[Any] | None:
        if i >= len(side.records) or not isinstance(side.records[i].outcome, Returned):
            return None
        trace = (side.records[i].data or {}).get("trace")
        return trace if isinstance(trace, list) else None

    def same_trace(self, rule: str, i: int, left: list[Any], right: list[Any]) -> None:
        for n in range(max(len(left), len(right))):
            a = left[n] if n < len(left) else _MISSING
            b = right[n] if n < len(right) else _MISSING
            if not self.same(a, b):
                classes = pair(lambda c: "missing" if c is _MISSING else "host call", a, b)
                shown = pair(lambda c: "no call" if c is _MISSING else show_call(c), a, b)
                self.differ(rule, i, f"host call {n}", "host trace", shown, classes)

    # outcomes

    def outcomes(self, i: int, a: Outcome, b: Outcome) -> None:
        crashed = isinstance(a, Crashed) or isinstance(b, Crashed)
        if not crashed and (isinstance(a, Unsupported) or isinstance(b, Unsupported)):
            self.unsupported(i, a, b)
            return
        if not crashed and (_is_limit(a) or _is_limit(b)):
            self.limited(i, a, b)
        if crashed or type(a) is not type(b):
            rule = "R10" if self.plan.steps[i].kind == "validate" and not crashed else "R3"
            self.differ(rule, i, "outcome", "outcome", *outcome_pair(a, b))
        if isinstance(a, Returned):
            self.results(i, a.values, b.values)
        elif isinstance(a, Trapped):
            self.traps(i, a, b)
        elif isinstance(a, Threw):
            self.threw(i, a, b)
        elif isinstance(a, Rejected):
            self.rejected(i, a, b)
        elif isinstance(a, HostError) and a.id != b.id:
            self.differ("R3", i, "host error", "host error", (a.id, b.id), ("hosterror", "hosterror"))

    def unsupported(self, i: int, a: Outcome, b: Outcome) -> None:
        if self.plan.steps[i].kind in _PASSIVE or (isinstance(a, Unsupported) and isinstance(b, Unsupported)):
            self.notes.append("unsupported")
            return
        what = a.what if isinstance(a, Unsupported) else b.what
        raise _Found(Incomparable(f"unsupported: {what[:80]}", i))

    def limited(self, i: int, a: Outcome, b: Outcome) -> None:
        """Check that the shorter run is a prefix of the longer (R6), then give up on the rest."""
        left, right = self.trace(self.left, i + 1), self.trace(self.right, i + 1)
        if left is not None and right is not None and self.plan.steps[i].kind != "observe":
            if _is_limit(a) and _is_limit(b):
                n = min(len(left), len(right))
                self.same_trace("R6", i, left[:n], right[:n])
            elif _is_limit(a):
                self.same_trace("R6", i, left, right[: len(left)])
            else:
                self.same_trace("R6", i, left[: len(right)], right)
        raise _Found(Incomparable(f"limit: {_resource(a) or _resource(b)}", i))

    def results(self, i: int, left: Sequence[Any], right: Sequence[Any]) -> None:
        """Compare results of a call bit by bit, those of a relaxed instruction by what is allowed."""
        lanes = self.probes.lanes(i)
        vectors = [vector_bits(values[0]) if len(values) == 1 else None for values in (left, right)]
        if lanes is None or vectors[0] is None or vectors[1] is None:
            self.values(i, "result", left, right)
            return
        self.relaxed(i, lanes, vectors[0], vectors[1])
        if vectors[0] != vectors[1]:
            self.notes.append("relaxed-lane")

    def relaxed(self, i: int, lanes: Lanes, left: int, right: int) -> None:
        """Check every lane on both sides, even where the sides agree (R13)."""
        for k, found in enumerate(zip(lanes.split(left), lanes.split(right), strict=True)):
            if not all(lanes.admits(k, lane) for lane in found):
                name = lanes.row.name
                shown = pair(partial(lanes.show, k), *found)
                classes = pair(partial(lanes.classify, k), *found)
                self.differ("R13", i, f"lane {k} of {name}", f"lane of {name}", shown, classes)

    def values(self, i: int, noun: str, left: Sequence[Any], right: Sequence[Any]) -> None:
        if [type_name(v) for v in left] != [type_name(v) for v in right]:
            shown = pair(lambda values: " ".join(map(show_value, values)) or "nothing", left, right)
            self.differ("R1", i, f"{noun} types", f"{noun} types", shown, ("values", "values"))
        for n, (a, b) in enumerate(zip(left, right, strict=True)):
            if not self.same(a, b):
                what = f"{noun} {n}" if len(left) > 1 else noun
                self.differ("R2", i, what, noun, *value_pair(a, b))

    def traps(self, i: int, a: Trapped, b: Trapped) -> None:
        if a.trap == b.trap:
            return
        classes = (merged(t.trap, s.name, s.version) for t, s in ((a, self.left), (b, self.right)))
        if frozenset.intersection(*classes):
            self.notes.append("trap-merge")
            return
        self.differ("R4", i, "trap", "trap", *outcome_pair(a, b))

    def threw(self, i: int, a: Threw, b: Threw) -> None:
        if a.tag is None or b.tag is None:
            self.notes.append("tag-unknown")
        elif a.tag != b.tag:
            self.differ("R3", i, "tag", "tag", (str(a.tag), str(b.tag)), ("threw", "threw"))
        self.values(i, "payload", a.values, b.values)

    def rejected(self, i: int, a: Rejected, b: Rejected) -> None:
        if a.stage == b.stage:
            return
        validity = {"malformed", "invalid", "module"}
        if a.stage in validity and b.stage in validity:
            self.notes.append("stage-module" if "module" in (a.stage, b.stage) else "stage-validity")
            return
        self.differ("R3", i, "stage", "stage", *outcome_pair(a, b))

    # data

    def data(self, i: int, left: Mapping[str, Any], right: Mapping[str, Any]) -> None:
        kind = self.plan.steps[i].kind
        if kind == "get":
            values = [d.get("value") for d in (left, right)]
            self.values(i, "global", *([[] if v is None else [v] for v in values]))
        elif kind == "grow":
            a, b = left.get("size"), right.get("size")
            if a != b:
                self.differ("R2", i, "old size", "old size", (clip(repr(a)), clip(repr(b))), ("size", "size"))
        elif kind == "read":
            a, b = str(left.get("bytes", "")), str(right.get("bytes", ""))
            if a != b:
                place = f"memory byte {_first_difference(a, b) // 2}"
                self.differ("R5", i, place, "memory contents", (clip(a), clip(b)), ("bytes", "bytes"))
        elif kind == "observe":
            if isinstance(left.get("trace"), list) and isinstance(right.get("trace"), list):
                self.same_trace("R5", i, left["trace"], right["trace"])
            self.instances(i, left.get("instances") or {}, right.get("instances") or {})

    def instances(self, i: int, left: Mapping[str, Any], right: Mapping[str, Any]) -> None:
        if left == right:
            return
        for name in sorted(set(left) | set(right)):
            a, b = left.get(name), right.get(name)
            if not isinstance(a, dict) or not isinstance(b, dict):
                shown = pair(lambda x: "seen" if isinstance(x, dict) else "absent", a, b)
                self.differ("R5", i, f"instance {name}", "instance", shown, shown)
            for part in _STATE:
                if part not in a or part not in b:
                    if part in a or part in b:
                        self.notes.append("unobserved")
                    continue
                for export in sorted(set(a[part]) | set(b[part])):
                    self.item(i, part, f"{name}.{export}", a[part].get(export), b[part].get(export))

    def item(self, i: int, part: str, name: str, a: Any, b: Any) -> None:
        if a is None or b is None:
            shown = pair(lambda x: "absent" if x is None else "seen", a, b)
            self.differ("R5", i, f"{part} {name}", part, shown, shown)
        elif part == "memories":
            self.memory(i, name, a, b)
        elif part == "tables":
            self.table(i, name, a, b)
        elif not self.same(a, b):
            self.differ("R5", i, f"global {name}", "global", *value_pair(a, b))

    def memory(self, i: int, name: str, a: Mapping[str, Any], b: Mapping[str, Any]) -> None:
        if a.get("pages") != b.get("pages"):
            shown = pair(lambda m: f"{m.get('pages')} pages", a, b)
            self.differ("R5", i, f"memory {name} size", "memory size", shown, ("pages", "pages"))
        crcs = dict(a.get("crc") or {}), dict(b.get("crc") or {})
        if crcs[0] == crcs[1]:
            return
        for page in sorted(set(crcs[0]) | set(crcs[1]), key=_page_number):
            left, right = crcs[0].get(page), crcs[1].get(page)
            if left != right:
                shown = pair(lambda c: "all zero" if c is None else f"crc {c}", left, right)
                place = f"memory {name} bytes {_page_number(page) * 4096:#x}..{_page_number(page) * 4096 + 4095:#x}"
                self.differ("R5", i, place, "memory contents", shown, ("bytes", "bytes"))

    def table(self, i: int, name: str, a: Sequence[Any], b: Sequence[Any]) -> None:
        if len(a) != len(b):
            shown = pair(lambda t: f"{len(t)} elements", a, b)
            self.differ("R5", i, f"table {name} size", "table size", shown, ("elements", "elements"))
        for n, (x, y) in enumerate(zip(a, b, strict=True)):
            if not self.same(x, y):
                self.differ("R5", i, f"table {name} element {n}", "table contents", *value_pair(x, y))


_SHARED = ("value", "bytes", "size", "instances", "trace")  # parts of the data that two runs must share
_OPEN = frozenset({"text", "where", "ms"})  # fields of an outcome that two runs need not share


def canonical(plan: Plan, records: Sequence[Record]) -> Iterator[dict[str, Any]]:
    """Yield the plain data of each record that two runs of one engine must share: no times, no wording, no places."""
    for record in records:
        data = record.to_json()
        data.pop("us", None)
        outcome = data["outcome"]
        for name in _OPEN & outcome.keys():
            del outcome[name]
        if "data" in data and 0 <= record.step < len(plan.steps):
            data["data"] = {k: data["data"][k] for k in _SHARED if k in data["data"]}
        yield data


def _is_limit(outcome: Outcome) -> bool:
    return isinstance(outcome, (Exhausted, TimedOut))


def _resource(outcome: Outcome) -> str:
    return "time" if isinstance(outcome, TimedOut) else outcome.resource if isinstance(outcome, Exhausted) else ""


def _same(a: Any, b: Any, *, unknown: bool = False) -> bool:
    """Equality of plain data in which a tuple and a list with the same elements are one thing.

    With ``unknown`` the payload ``"?"`` (a reference, and which one cannot be seen) equals every one but null.
    """
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(_same(x, y, unknown=unknown) for x, y in zip(a, b, strict=True))
    if unknown and "?" in (a, b):
        return a is not None and b is not None
    return type(a) is type(b) and bool(a == b)


def _page_number(page: Any) -> int:
    return int(page) if str(page).isdecimal() else -1


def _first_difference(a: str, b: str) -> int:
    return next((n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
