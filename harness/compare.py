"""From the records of two engines to one verdict, bit by bit; every tolerance is a named, counted rule.

The idea to hold while reading: two runs of a plan are compared *in the order in which things happened*, and the first
divergence names the finding (R7).  Nothing after it is a finding, because the states have parted.  Within one step the
order is host trace, outcome, state, so that the cause is named before its consequence; a module that one engine refuses
has made no calls, so there the outcome comes first.  What no specification fixes but a model does (fuel, pauses,
frames: ``harness.lockstep``) comes after the state that the step left.

What "incomparable" means.  A limit (stack, fuel, memory, wall time) is reached at a point that no specification fixes,
so an engine that stops early is not wrong.  What it did *before* it stopped must still be a prefix of what the other
did (R6); if it is, the rest of the case is *incomparable*, with the limit as its reason, and that is counted and
shown.  Two engines that count fuel by one model have no such excuse: where one runs out, the other does, in the same
state (R8), and the comparison goes on.  A crash is never excused: it is a finding even after the states have parted.

Rules.  R1: values have the declared count and types.  R2: values are equal bit for bit.  R3: outcomes are of one kind.
R4: traps are of one class.  R5: every memory page, table slot and global is equal after every step, and so is the trace
of host calls.  R6: a limited run is a prefix.  R7: the order above.  R8: fuel.  R9: pauses, and that slicing and
restoring change nothing (``harness.runner`` makes such verdicts).  R10: both engines accept a module or neither does.
R12: an engine agrees with itself (``harness.runner``).  R13: where a relaxed instruction's result is returned as it is
(``harness.relaxed``), each lane is an allowed one on both sides, in place of R2.  R14: frames at traps, and what
instrumented modules tell of theirs; that our debugger shows the same is for ``harness.runner`` to say.

Not compared, because no rule gives them a meaning across engines: wording of messages, times, the bytes an assembler
chose, and the place of a trap where an engine does not promise that it is exact.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from harness.lockstep import Lockstep, is_limit
from harness.relaxed import Probes, vector_bits
from harness.show import outcome_class, outcome_pair, pair, show_call, show_outcome, show_value, value_class
from harness.verdicts import (
    RULES,
    TOLERANCES,
    Agree,
    Comparison,
    Differ,
    Divergent,
    Incomparable,
    Side,
    Verdict,
)
from oracles.outcome import (
    Crashed,
    HostError,
    Record,
    Rejected,
    Returned,
    Threw,
    Trapped,
    Unsupported,
)
from oracles.traps import merged

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.relaxed import Lanes
    from oracles.outcome import Outcome
    from oracles.plan import Plan

__all__ = [
    "RULES", "TOLERANCES", "Agree", "Comparison", "Differ", "Incomparable", "Side", "Verdict", "canonical", "compare",
    "outcome_class", "show_call", "show_outcome", "show_value", "value_class",
]  # fmt: skip

_PASSIVE = frozenset(
    {"validate", "get", "read", "observe", "get_fuel", "debug", "shadow"}
)  # without effect, so leaving one out taints nothing


def compare(plan: Plan, left: Side, right: Side) -> Comparison:
    """Return the verdict on two runs of ``plan``."""
    walk = _Walk(plan, left, right)
    try:
        walk.steps()
    except Divergent as found:
        verdict: Verdict = found.verdict
        if isinstance(verdict, Incomparable):
            verdict = walk.crash_after(verdict.step) or verdict
        return Comparison(verdict, tuple(walk.notes), walk.compared)
    return Comparison(Agree(), tuple(walk.notes), walk.compared)


@dataclass(slots=True)
class _Walk(Lockstep):
    probes: Probes = field(init=False)

    def __post_init__(self) -> None:
        self.probes = Probes(self.plan)

    def steps(self) -> None:
        lefts, rights = list(self.left.records), list(self.right.records)
        steps = self.plan.steps
        held: list[int] = []  # steps whose state is still to be observed
        for i in range(len(steps)):
            if i >= len(lefts) or i >= len(rights):
                self.cut_short(i, lefts, rights)
            self.trace_after(i)
            left, right = lefts[i], rights[i]
            self.outcomes(i, left.outcome, right.outcome)
            if isinstance(left.outcome, Returned) and isinstance(right.outcome, Returned):
                self.data(i, left.data or {}, right.data or {})
            held.append(i)
            if i + 1 == len(steps) or steps[i + 1].kind != "observe":
                for k in held:
                    self.lockstep(k)
                held.clear()

    def cut_short(self, i: int, lefts: list[Record], rights: list[Record]) -> None:
        """A list is shorter than its last outcome allows: the worker did not account for every step."""
        shown = f"{len(lefts)} records", f"{len(rights)} records"
        self.differ("R3", i, "records of the run", "records", shown, ("missing", "missing"))

    def crash_after(self, step: int) -> Differ | None:
        """Return the finding of a crash at or after ``step``: a crash is never excused by a limit."""
        for i in range(step, len(self.plan.steps)):
            left, right = (s.records[i].outcome if i < len(s.records) else None for s in (self.left, self.right))
            if isinstance(left, Crashed) or isinstance(right, Crashed):
                shown = pair(lambda o: "no record" if o is None else show_outcome(o), left, right)
                classes = pair(lambda o: "missing" if o is None else outcome_class(o), left, right)
                return Differ("R3", i, "outcome", *shown, "outcome", self.plan.steps[i].kind, *classes)
        return None

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
        if not any(self.is_excused(o) or isinstance(o, (Crashed, Unsupported, Rejected)) for o in outcomes):
            self.same_trace("R5", i, traces[0], traces[1])

    # outcomes

    def outcomes(self, i: int, a: Outcome, b: Outcome) -> None:
        crashed = isinstance(a, Crashed) or isinstance(b, Crashed)
        if not crashed and (isinstance(a, Unsupported) or isinstance(b, Unsupported)):
            self.unsupported(i, a, b)
            return
        if not crashed and (self.is_excused(a) or self.is_excused(b)):
            self.limited(i, a, b)
        if crashed or type(a) is not type(b):
            rule = "R10" if self.plan.steps[i].kind == "validate" and not crashed else "R3"
            if not crashed and (is_limit(a) or is_limit(b)):
                rule = "R8"
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
        raise Divergent(Incomparable(f"unsupported: {what[:80]}", i))

    def limited(self, i: int, a: Outcome, b: Outcome) -> None:
        """Check that the shorter run is a prefix of the longer (R6), then give up on the rest."""
        left, right = self.trace(self.left, i + 1), self.trace(self.right, i + 1)
        if left is not None and right is not None and self.plan.steps[i].kind != "observe":
            if is_limit(a) and is_limit(b):
                n = min(len(left), len(right))
                self.same_trace("R6", i, left[:n], right[:n])
            elif is_limit(a):
                self.same_trace("R6", i, left, right[: len(left)])
            else:
                self.same_trace("R6", i, left[: len(right)], right)
        self.overflow(i)
        raise Divergent(Incomparable(f"limit: {self.limit(a, b)}", i))

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


_SHARED = ("value", "bytes", "size", "instances", "trace", "fuel", "pauses", "paused", "frames", "shadow")
"""Parts of the data that two runs must share; where a stack overflowed, none but the first five."""

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
            names = _SHARED[:5] if outcome.get("resource") == "stack" else _SHARED
            data["data"] = {k: data["data"][k] for k in names if k in data["data"]}
        yield data
