"""Comparison of what engines share that work by one model: fuel (R8), pauses (R9), frames and what they hold (R14).

No specification says any of this, so it is compared between engines that count by one model, and frames between engines
that promise to tell them exactly or that run an instrumented module; that an engine does none of it is counted, not
excused here.  It comes after a step's results and state: where those differ too they are the finding, and fuel is its
consequence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.show import clip, pair
from harness.states import States
from harness.verdicts import MISSING
from oracles.outcome import Exhausted, Returned, TimedOut
from oracles.plan import FRAMES_NOTE, FUEL_NOTE, SHADOW_NOTE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.verdicts import Side
    from oracles.outcome import Outcome

__all__ = ["Lockstep", "is_limit", "notes_of"]


def is_limit(outcome: Outcome) -> bool:
    """Return whether a run ended at a limit."""
    return isinstance(outcome, (Exhausted, TimedOut))


@dataclass(slots=True)
class Lockstep(States):
    """Compares what a model of fuel, and nothing else, says must be equal."""

    @property
    def counts_alike(self) -> bool:
        """Whether both engines count fuel by one model."""
        return bool(self.left.fuel_model) and self.left.fuel_model == self.right.fuel_model

    def is_excused(self, outcome: Outcome) -> bool:
        """Return whether an engine may meet this limit where the other does not."""
        return is_limit(outcome) and not (self.counts_alike and _resource(outcome) == "fuel")

    def limit(self, a: Outcome, b: Outcome) -> str:
        """Return the resource of the limit that excuses a difference."""
        return next(_resource(o) for o in (a, b) if self.is_excused(o))

    def overflow(self, i: int) -> None:
        """Note that a stack overflow leaves fuel uncompared, if there was any to compare."""
        left, right = self.left.records[i], self.right.records[i]
        told = all("fuel" in (r.data or {}) for r in (left, right))
        if told and "stack" in (_resource(left.outcome), _resource(right.outcome)):
            self.notes.append("fuel-overflow")

    def lockstep(self, i: int) -> None:
        """Compare what step ``i`` told of fuel, pauses and frames."""
        left, right = self.left.records[i], self.right.records[i]
        a, b = left.data or {}, right.data or {}
        if not ({"fuel", "pauses", "trace", "frames", "shadow"} & (a.keys() | b.keys())):
            return
        if self.counts_alike:
            self._pauses(i, a, b)
            self._notes(i, a, b)
            self._fuel(i, a, b)
            self.compared["exhausted"] += all(_resource(r.outcome) == "fuel" for r in (left, right))
        elif "fuel" in a or "fuel" in b:
            self.notes.append("fuel-model")
        if self.left.tells_frames and self.right.tells_frames and not is_limit(left.outcome):
            self._frames(i, a.get("frames"), b.get("frames"))
        self._shadows(i, a, b)

    def _fuel(self, i: int, a: Mapping[str, Any], b: Mapping[str, Any]) -> None:
        if ("fuel" in a) != ("fuel" in b):
            self.notes.append("unobserved")
        elif "fuel" in a:
            self._same_fuel(i, "fuel left", "fuel", a["fuel"], b["fuel"])

    def _same_fuel(self, i: int, what: str, aspect: str, a: Any, b: Any) -> None:
        self.compared["fuel"] += 1
        if a != b:
            self.differ("R8", i, what, aspect, pair(str, a, b), ("fuel", "fuel"))

    def _notes(self, i: int, a: Mapping[str, Any], b: Mapping[str, Any]) -> None:
        """Compare the fuel that host functions saw; an observation tells it, as it does their calls."""
        if self.plan.steps[i].kind != "observe":
            return
        left, right = ([int(bits, 16) for (bits,) in notes_of(data, FUEL_NOTE)] for data in (a, b))
        for n, (x, y) in enumerate(zip(left, right, strict=False)):
            self._same_fuel(i, f"fuel in host call {n}", "fuel in a host call", x, y)
        if len(left) != len(right):
            self.differ(
                "R8", i, "fuel seen by host calls", "fuel in a host call", pair(_times, left, right), ("fuel", "fuel")
            )

    def _pauses(self, i: int, a: Mapping[str, Any], b: Mapping[str, Any]) -> None:
        """Compare pauses one by one, then how many there were: the first that differs is the finding."""
        left, right = a.get("pauses"), b.get("pauses")
        if left is None or right is None:
            if left is not right:
                self.notes.append("unobserved")
            return
        for n in range(max(len(left), len(right))):
            x = left[n] if n < len(left) else MISSING
            y = right[n] if n < len(right) else MISSING
            self.compared["pauses"] += 1
            if x == y:
                continue
            if x is MISSING or y is MISSING:
                self.differ("R9", i, f"pause {n}", "pause", pair(_pause, x, y), pair(_pause_class, x, y))
            for part in ("cause", "fuel", "state"):
                if x.get(part) != y.get(part):
                    shown = clip(str(x.get(part))), clip(str(y.get(part)))
                    self.differ("R9", i, f"{part} at pause {n}", f"{part} at a pause", shown, pair(_pause_class, x, y))
        if a.get("paused") != b.get("paused"):
            shown = pair(lambda d: f"{d.get('paused')} pauses", a, b)
            self.differ("R9", i, "number of pauses", "pauses", shown, ("pauses", "pauses"))

    def _frames(self, i: int, a: Any, b: Any) -> None:
        if a is None or b is None:
            if a is not b:
                self.notes.append("unobserved")
            return
        left, right = ([f if isinstance(f, dict) else tuple(f) for f in frames] for frames in (a, b))
        for n in range(max(len(left), len(right))):
            self.compared["frames"] += 1
            x = left[n] if n < len(left) else None
            y = right[n] if n < len(right) else None
            if x != y:
                classes = pair(_frame_class if n else _innermost_class, x, y)
                self.differ("R14", i, f"frame {n}", "frame", pair(_frame, x, y), classes)

    def _shadows(self, i: int, a: Mapping[str, Any], b: Mapping[str, Any]) -> None:
        """Compare what frames hold, as told in host calls, and by an instrumented module also where the step ended."""
        left, right = ([*_values_told(data), data.get("shadow")] for data in (a, b))
        if left == right == [None]:
            return
        if not all(self._does_all(side, i) for side in (self.left, self.right)):
            self.notes.append("unobserved")
            return
        for n in range(max(len(left), len(right))):
            x, y = (told[n] if n < len(told) else MISSING for told in (left, right))
            self.compared["shadows"] += x is not None or y is not None
            if x != y:
                what = f"shadow of frames {n}"
                self.differ("R14", i, what, "shadow of frames", pair(_shadow, x, y), ("shadow", "shadow"))

    def _does_all(self, side: Side, i: int) -> bool:
        """Return whether an engine did the steps before ``i`` that ask for what frames hold."""
        steps = (k for k, step in enumerate(self.plan.steps[:i]) if step.kind == "shadow" or step.get("values"))
        return all(isinstance(side.records[k].outcome, Returned) for k in steps)


def _values_told(data: Mapping[str, Any]) -> list[Any]:
    return [*notes_of(data, SHADOW_NOTE), *notes_of(data, FRAMES_NOTE)]


def _resource(outcome: Outcome) -> str:
    return "time" if isinstance(outcome, TimedOut) else outcome.resource if isinstance(outcome, Exhausted) else ""


def notes_of(data: Mapping[str, Any], name: str) -> list[list[Any]]:
    """Return what each note of a name in a host trace tells: the payloads of its values."""
    trace = data.get("trace")
    calls = trace if isinstance(trace, list) else []
    return [[payload for _, payload in c[1]] for c in calls if isinstance(c, (list, tuple)) and c and c[0] == name]


def _times(notes: list[int]) -> str:
    return f"told {len(notes)} times"


def _pause(p: Any) -> str:
    return "no pause" if p is MISSING else f"{p.get('cause')}, fuel {p.get('fuel')}"


def _pause_class(p: Any) -> str:
    return "missing" if p is MISSING else f"pause by {p.get('cause')}"


def _frame(f: Any) -> str:
    if isinstance(f, dict):
        return clip(str(f))
    return "no frame" if f is None else f"function {f[0]} at {f[1]:#x}"


def _frame_class(f: Any) -> str:
    return "missing" if f is None else "waiting frame"


def _shadow(told: Any) -> str:
    return "untold" if told is MISSING or told is None else clip(str(told))


def _innermost_class(f: Any) -> str:
    return "missing" if f is None else "frame of the trap"
