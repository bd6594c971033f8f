"""Fuel, slices and frames as steps, the same in every engine that can: what is told of a call beside its outcome.

A plan is *metered* if it limits fuel or asks for it anywhere; then the engine counts from the start.  Until the first
``set_fuel`` each call and instantiation has the budget of ``limits.fuel``, or more than any can spend; from there on
what is left goes from one to the next.  Calls that host functions make spend of the budget of the one around them.

A plan is *sliced* if it has a ``yield_schedule``.  A pause is seen from outside, between the host's entry into the
engine and its end: calls that host functions make do not show theirs.  Standard library only, syntax of CPython 3.10.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oracles.adapter import MAX_FRAMES, Answer, Session, Stop, count_of
from oracles.outcome import Returned, Trapped, Unsupported, state_digest
from oracles.plan import PlanError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from oracles.plan import Plan, Step

__all__ = ["FUEL_STEPS", "PAUSES", "UNMETERED", "MeteredSession", "is_metered", "is_sliced"]

FUEL_STEPS = ("set_fuel", "get_fuel", "yield_schedule")
PAUSES = 64  # that one step shows unless the plan says otherwise
UNMETERED = 1 << 62  # fuel for anything that ends
MAX_INTERVALS = 4096
MAX_TIMES = 4096


def is_metered(plan: Plan) -> bool:
    """Return whether the engine must count what the plan executes."""
    return (
        plan.limits.fuel is not None
        or any(step.kind in FUEL_STEPS for step in plan.steps)
        or any(action[:1] == ("fuel",) for host in plan.hosts.values() for action in host.actions)
    )


def is_sliced(plan: Plan) -> bool:
    """Return whether calls may run in slices."""
    return any(step.kind == "yield_schedule" for step in plan.steps)


class MeteredSession(Session):
    """A session of an engine that counts; a subclass defines ``fuel``, ``set_fuel`` and ``set_interval``."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.metered = is_metered(plan)
        self.sliced = is_sliced(plan)
        self.is_set = False  # the plan has set the fuel: nothing refills it
        self.intervals: Sequence[int] = ()
        self.shown_pauses = PAUSES
        self.pauses: list[dict[str, Any]] = []
        self.paused = 0
        self.suspensions = 0  # that the host function under way still owes
        self.shown_frames = 0
        self.frames: Sequence[Sequence[int]] = ()  # of the latest trap, innermost first

    def set_fuel(self, fuel: int) -> None:
        """Replace what is left."""
        raise NotImplementedError

    def set_interval(self, interval: int) -> None:
        """Make sliced calls pause each time they have spent this much; 0 ends that."""
        raise NotImplementedError

    def run(self, step: Step) -> Answer:
        if step.kind not in ("call", "instantiate"):
            return self.dispatch(step)
        if self.metered and not self.is_set:
            budget = self.plan.limits.fuel
            self.set_fuel(UNMETERED if budget is None else budget)
        if self.intervals:
            self.pauses, self.paused = [], 0
            self.set_interval(self.intervals[0])
        return self.told(self.dispatch(step))

    def told(self, answer: Answer) -> Answer:
        """Return the answer to a call or an instantiation with what was seen beside it."""
        outcome, data = answer
        more: dict[str, Any] = {"fuel": self.fuel()} if self.is_set else {}
        if self.intervals:
            more |= {"pauses": self.pauses, "paused": self.paused}
        if self.shown_frames and isinstance(outcome, Trapped):
            more["frames"] = [list(place) for place in self.frames[: self.shown_frames]]
        return outcome, {**(data or {}), **more} if more else data

    def step_set_fuel(self, step: Step) -> Answer:
        self.set_fuel(count_of(step["fuel"]))
        self.is_set = True
        return Returned(), None

    def step_get_fuel(self, step: Step) -> Answer:
        return Returned(), {"fuel": self.fuel()}

    def step_yield_schedule(self, step: Step) -> Answer:
        intervals = step["intervals"]
        if not isinstance(intervals, (list, tuple)) or len(intervals) > MAX_INTERVALS:
            raise PlanError(f"intervals are a list of at most {MAX_INTERVALS} counts")
        self.intervals = [count_of(n) for n in intervals]
        self.shown_pauses = count_of(step.get("pauses", PAUSES))
        if not self.intervals:
            self.set_interval(0)
        return Returned(), None

    def step_debug(self, step: Step) -> Answer:
        if step.get("values"):
            return Unsupported("values of frames"), None
        self.shown_frames = min(count_of(step["frames"]), MAX_FRAMES)
        return Returned(), None

    # pauses

    def suspend(self, times: int) -> None:
        if times > MAX_TIMES:
            raise PlanError(f"a call suspends at most {MAX_TIMES} times")
        if self.intervals and self.nesting == 1:
            self.suspensions += times

    def pause(self, cause: str) -> None:
        """Take note of a pause of the call under way, and begin the next slice."""
        if self.paused < self.shown_pauses:
            self.pauses.append({"cause": cause, "fuel": self.fuel(), "state": self._state()})
        before, after = (self.intervals[min(n, len(self.intervals) - 1)] for n in (self.paused, self.paused + 1))
        self.paused += 1
        if before != after:
            self.set_interval(after)

    def take_back(self) -> None:
        """Forget the latest pause: it was none."""
        self.paused -= 1
        del self.pauses[self.paused :]

    def _state(self) -> str:
        try:
            return state_digest({name: self.observe_instance(name) for name in self.instances})
        except Stop:
            return ""  # too large to be shown
