"""Frames that a module keeps account of itself, the same in every engine: what the step ``shadow`` asks for.

An engine that shows no frames still executes Wasm.  An *instrumented* module keeps its live frames in a memory of its
own, the *shadow*, whose bytes end at the global ``end``; what a function called now may write begins at ``base``
(``harness.checks.twins`` makes such modules).  The session gives the two globals the values that a new activation must
find, and takes down the bytes wherever a debugger would look: in host calls, at traps, where exceptions leave.

Standard library only, syntax of CPython 3.10.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oracles.adapter import Stop, blocked
from oracles.metered import MeteredSession
from oracles.outcome import Returned, Threw, Trapped
from oracles.plan import SHADOW_NOTE, Step

if TYPE_CHECKING:
    from oracles.adapter import Answer
    from oracles.outcome import Outcome
    from oracles.plan import Plan

__all__ = ["MAX_SHADOW", "ShadowSession"]

MAX_SHADOW = 1 << 14  # bytes that are told at once; of more, nothing but that


class ShadowSession(MeteredSession):
    """A session that reads the shadows that modules keep."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.shadow: Step | None = None
        self.entered = [(0, 0)]  # ``end`` and ``base`` where each host function under way was called
        self.passed_on: list[Outcome] = []
        self.origin: str | None = None  # at the latest trap or exception, where it came from

    def step_shadow(self, step: Step) -> Answer:
        self.shadow = step
        return Returned(), None

    def run(self, step: Step) -> Answer:
        if self.shadow is None or step.kind != "call" or not self._is_live():
            return super().run(step)
        self.passed_on.clear()
        try:
            self._set((0, 0))
            outcome, data = super().run(step)
            self.ended(outcome)
        except Stop as stop:
            return stop.outcome, None
        told = isinstance(outcome, (Trapped, Threw))
        return outcome, {**(data or {}), "shadow": self.origin} if told else data

    def ended(self, outcome: Outcome) -> None:
        if not isinstance(outcome, (Trapped, Threw)) or any(outcome is passed for passed in self.passed_on):
            return
        self.passed_on.append(outcome)
        if self._is_live():
            self.origin = self._look()

    def entering(self) -> None:
        at = (0, 0)
        if self._is_live():
            self.trace.append([SHADOW_NOTE, [["bytes", self._look()]]])
            at = self._get("end"), self._get("base")
        self.entered.append(at)

    def calling(self) -> None:
        if self._is_live():
            self._set(self.entered[-1])

    def left(self) -> None:
        at = self.entered.pop()
        if self._is_live():
            self._set(at)

    def _is_live(self) -> bool:
        return self.shadow is not None and self.shadow["instance"] in self.instances

    def _look(self) -> str | None:
        end = self._get("end")
        if end > MAX_SHADOW:
            return None
        shown: str = self._ask("read", "memory", address=0, length=end)["bytes"]
        return shown

    def _get(self, name: str) -> int:
        kind, payload = self._ask("get", name)["value"]
        if kind != "i32":
            raise blocked(f"{name} of a shadow is a {kind}")
        return int(payload, 16)

    def _set(self, values: tuple[int, int]) -> None:
        for name, value in zip(("end", "base"), values, strict=True):
            self._ask("set", name, value=["i32", f"{value:08x}"])

    def _ask(self, kind: str, name: str, **args: Any) -> Any:
        assert self.shadow is not None
        step = Step(kind, {"instance": self.shadow["instance"], "export": self.shadow[name], **args})
        outcome, data = self.dispatch(step)
        if not isinstance(outcome, Returned):
            raise blocked(f"{name} of a shadow: {outcome}")
        return data
