"""Frames with their values, out of the debugger's cursor: what the step ``debug`` shows with ``values``.

The cursor shows one activation, so below a host function lie the frames that it showed there.  Of a reference it is
told whether it is null, which is what can be compared with an engine that only executes Wasm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.debug import Trap, UncaughtExceptionThrown
from engine.types import RefType
from oracles.adapter import count_of
from oracles.adapters.reference_calls import CallSession
from oracles.outcome import Returned, Threw, Trapped
from oracles.plan import FRAMES_NOTE, WIDTHS

if TYPE_CHECKING:
    from engine.debug import Cursor, Event, TypedValue
    from engine.runtime.store import Store
    from oracles.adapter import Answer
    from oracles.plan import Plan, Step

__all__ = ["FrameSession", "shows_values"]

MAX_VALUES = 200  # frames that are shown at once

Frames = tuple[dict[str, Any], ...]


def shows_values(plan: Plan) -> bool:
    """Return whether the plan asks for what frames hold, for which the store needs a debugger."""
    return any(step.kind == "debug" and step.get("values") for step in plan.steps)


class FrameSession(CallSession):
    """A session that may show frames with their values; only in a plan that asks for them it has a debugger."""

    def __init__(self, plan: Plan, store: Store) -> None:
        super().__init__(plan, store)
        self.shown_values = 0  # of so many frames
        self.is_calling = False  # the plan's step is a call
        self.below: list[Frames] = [()]  # of the activations that lie below each host function
        self.latest: Frames = ()  # where the latest trap or exception came from
        if store.debugger is not None:
            store.set_debug_handler(self._happened)

    def step_debug(self, step: Step) -> Answer:
        if not step.get("values"):
            self.shown_values = 0
            return super().step_debug(step)
        self.shown_frames, self.shown_values = 0, min(count_of(step["frames"]), MAX_VALUES)
        return Returned(), None

    def run(self, step: Step) -> Answer:
        self.latest, self.is_calling = (), step.kind == "call"
        outcome, data = super().run(step)
        if not self.shown_values or not self.is_calling or not isinstance(outcome, (Trapped, Threw)):
            return outcome, data
        return outcome, {**(data or {}), "frames": list(self.latest[: self.shown_values])}

    def entering(self) -> None:
        super().entering()
        frames = self._now() if self.shown_values and self.is_calling else ()
        if self.shown_values and self.is_calling:
            self.trace.append([FRAMES_NOTE, [["frame", frame] for frame in frames[: self.shown_values]]])
        self.below.append(frames)

    def left(self) -> None:
        self.below.pop()
        super().left()

    def _happened(self, store: Store, event: Event) -> None:
        if self.shown_values and isinstance(event, (Trap, UncaughtExceptionThrown)):
            self.latest = self._now()

    def _now(self) -> Frames:
        """Return the live frames of all activations, innermost first, no more than are ever shown."""
        cursor = self.store.debug_frames()
        assert cursor is not None
        frames: list[dict[str, Any]] = []
        while len(frames) < MAX_VALUES and not cursor.done():
            frames.append(_shown(cursor))
            cursor.move_to_parent()
        return (*frames, *self.below[-1])[:MAX_VALUES]


def _shown(cursor: Cursor) -> dict[str, Any]:
    return {
        "func": cursor.function().funcidx,
        "offset": cursor.function_index_and_pc()[1],
        "locals": [_value(cursor.local(i)) for i in range(cursor.num_locals())],
        "operands": [_value(cursor.stack(i)) for i in range(cursor.num_stacks())],
    }


def _value(typed: TypedValue) -> list[Any] | None:
    """Return a value; None for a local that has not been set and has no default."""
    t = typed.type
    if not isinstance(t, RefType):
        return [str(t), f"{typed.bits:0{WIDTHS[str(t)] // 4}x}"]
    if typed.value is None and not t.null:
        return None
    return ["ref", None if typed.value is None else 0]
