"""Where a program stops and what its frames are there: sessions of oracles that watch, and what each of them shows.

A *stop* is a call of the host or a trap.  The engine under test shows its frames through the debugger's cursor, another
engine through an instrumented twin of the module (``ci.gates.twins``); both sessions run the same steps and list the
same stops.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ci.gates.twins import CUR, MEMORY, NOWHERE, TOP, Shown, frames_of
from oracles.outcome import Trapped
from oracles.plan import Step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ci.gates.twins import Twin
    from oracles.adapter import Answer, Session
    from oracles.outcome import Outcome
    from oracles.plan import Value

__all__ = ["INSTANCE", "Stop", "Watching", "watched_twin"]

INSTANCE = "m"  # of every generated plan


class Stop(NamedTuple):
    """``cause`` is ``host`` and the function's name, or ``trap`` and the phrase; frames of all activations."""

    cause: str
    frames: tuple[Shown, ...]


class Watching:
    """What every watching session does beside its engine: it notes host calls and traps, each where it happens.

    To be mixed into a session, before it.  A trap that host functions pass on is noted once.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.stops: list[Stop] = []
        self.passed_on: list[Outcome] = []

    def look(self, *, is_in_host: bool) -> tuple[Shown, ...]:
        """Return the frames there are now."""
        raise NotImplementedError

    def host_call(self, name: str, args: Sequence[Value]) -> list[Value]:
        self.stops.append(Stop(f"host {name}", self.look(is_in_host=True)))
        results: list[Value] = super().host_call(name, args)  # type: ignore[misc]
        return results

    def propagate(self, outcome: Outcome) -> None:
        self.passed_on.append(outcome)
        super().propagate(outcome)  # type: ignore[misc]

    def run(self, step: Step) -> Answer:
        answer: Answer = super().run(step)  # type: ignore[misc]
        outcome = answer[0]
        if step.kind == "call" and isinstance(outcome, Trapped) and not any(outcome is o for o in self.passed_on):
            self.stops.append(Stop(f"trap {outcome.trap}", self.look(is_in_host=False)))
        return answer


class _TwinWatching(Watching):
    """Reads the frames from the memory of a twin."""

    def __init__(self, twin: Twin, *args: Any) -> None:
        super().__init__(*args)
        self.twin = twin
        self.below = [(NOWHERE, 0)]  # ``cur`` and ``top`` where each host function under way was entered

    def look(self, *, is_in_host: bool) -> tuple[Shown, ...]:
        return frames_of(self.twin, self.get(CUR), self.read, is_in_host=is_in_host)

    def get(self, export: str) -> int:
        return int(self.step_get(Step("get", {"instance": INSTANCE, "export": export}))[1]["value"][1], 16)  # type: ignore[attr-defined]

    def set(self, export: str, value: int) -> None:
        args = {"instance": INSTANCE, "export": export, "value": ["i32", f"{value:08x}"]}
        self.step_set(Step("set", args))  # type: ignore[attr-defined]

    def read(self, address: int, length: int) -> bytes:
        args = {"instance": INSTANCE, "export": MEMORY, "address": address, "length": length}
        return bytes.fromhex(self.step_read(Step("read", args))[1]["bytes"])  # type: ignore[attr-defined]

    def host_call(self, name: str, args: Sequence[Value]) -> list[Value]:
        self.below.append((self.get(CUR), self.get(TOP)))
        try:
            return super().host_call(name, args)
        finally:
            self.below.pop()

    def run(self, step: Step) -> Answer:
        if step.kind == "call" and INSTANCE in self.instances:  # type: ignore[attr-defined]
            cur, top = self.below[-1]
            self.set(CUR, cur)
            self.set(TOP, top)
        return super().run(step)


def watched_twin(session: type[Session], twin: Twin, *args: Any) -> Any:
    """Return a session of this class that runs a twin, and lists the stops of the original."""
    return type("TwinSession", (_TwinWatching, session), {})(twin, *args)
