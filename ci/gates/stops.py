"""Where a program stops and what its frames are there: sessions of oracles that watch, and what each of them shows.

A *stop* is a call of the host, a trap, or an exception that nobody catches.  Our engine shows its frames through the
debugger's cursor; another engine through an instrumented twin of the module (``ci.gates.twins``), or no more than where
the frames of a trap stood.  All run the same steps and list the same stops.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from ci.gates.twins import CUR, MEMORY, NOWHERE, TOP, Shown, frames_of
from engine.debug import Trap, UncaughtExceptionThrown
from engine.runtime.store import Store
from engine.types import RefType
from oracles.adapters.reference import COUNT, ReferenceSession
from oracles.metered import UNMETERED
from oracles.outcome import Threw, Trapped
from oracles.plan import Step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ci.gates.twins import Twin
    from engine.debug import Cursor, Event, TypedValue
    from oracles.adapter import Answer
    from oracles.outcome import Outcome
    from oracles.plan import Plan, Value

__all__ = ["INSTANCE", "TRACED", "CursorSession", "Stop", "traced", "twinned"]

INSTANCE = "m"  # of every generated plan
TRACED = 20  # frames of a trap that wasmtime shows


class Stop(NamedTuple):
    """``cause`` is ``host`` and the function's name, ``trap`` or ``throw``; frames of all activations, innermost first.

    Which trap it is others compare.
    """

    cause: str
    frames: tuple[Shown, ...]


class _Watching:
    """Notes host calls, traps and exceptions, each where it happens.  To be mixed into a session, before it.

    What host functions pass on is noted once: where it came from.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.stops: list[Stop] = []
        self.passed_on: list[Outcome] = []

    def look(self, cause: str) -> tuple[Shown, ...]:
        """Return the frames there are now, or were when what a call ended with happened."""
        raise NotImplementedError

    def note(self, cause: str) -> None:
        self.stops.append(Stop(cause, self.look(cause)))

    def host_call(self, name: str, args: Sequence[Value]) -> list[Value]:
        self.note(f"host {name}")
        self.enter()
        try:
            results: list[Value] = super().host_call(name, args)  # type: ignore[misc]
            return results
        finally:
            self.leave()

    def enter(self) -> None:
        """Take note that a function of the host begins."""

    def leave(self) -> None:
        """Take note that a function of the host has ended."""

    def propagate(self, outcome: Outcome) -> None:
        self.passed_on.append(outcome)
        super().propagate(outcome)  # type: ignore[misc]

    def dispatch(self, step: Step) -> Answer:
        answer: Answer = super().dispatch(step)  # type: ignore[misc]
        outcome = answer[0]
        if step.kind == "call" and not any(outcome is o for o in self.passed_on):
            if isinstance(outcome, Trapped):
                self.note("trap")
            elif isinstance(outcome, Threw):
                self.note("throw")
        return answer


class CursorSession(_Watching, ReferenceSession):
    """Our engine, whose cursor shows one activation; below a host call lie the frames that it showed there."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan, None, COUNT)
        self.store = Store(replace(self.store.config, guest_debug=True))
        self.set_fuel(UNMETERED)
        self.store.set_debug_handler(self.happened)
        self.below: list[tuple[Shown, ...]] = [()]
        self.latest: tuple[Shown, ...] = ()  # frames of the latest trap or exception

    def happened(self, store: Store, event: Event) -> None:
        if isinstance(event, (Trap, UncaughtExceptionThrown)):
            self.latest = self.now()

    def look(self, cause: str) -> tuple[Shown, ...]:
        return self.now() if cause.startswith("host") else self.latest

    def now(self) -> tuple[Shown, ...]:
        cursor = self.store.debug_frames()
        assert cursor is not None
        frames = []
        while not cursor.done():
            frames.append(_shown(cursor))
            cursor.move_to_parent()
        return (*frames, *self.below[-1])

    def enter(self) -> None:
        self.below.append(self.now())

    def leave(self) -> None:
        self.below.pop()


def _shown(cursor: Cursor) -> Shown:
    return Shown(
        cursor.function().funcidx,
        cursor.function_index_and_pc()[1],
        tuple(_bits(cursor.local(i)) for i in range(cursor.num_locals())),
        tuple(_bits(cursor.stack(i)) for i in range(cursor.num_stacks())),
    )


def _bits(typed: TypedValue) -> int | None:
    if not isinstance(typed.type, RefType):
        return typed.bits
    return None if typed.value is None and not typed.type.null else int(typed.value is None)


class _Traced(_Watching):
    """Shows where the frames of a trap stood, and no frames of other stops."""

    def look(self, cause: str) -> tuple[Shown, ...]:
        places: Any = self.frames if cause == "trap" else ()  # type: ignore[attr-defined]
        return tuple(Shown(funcidx, offset, (), ()) for funcidx, offset in places)


class _Twinned(_Watching):
    """Reads the frames from the memory of a twin."""

    def __init__(self, twin: Twin, *args: Any) -> None:
        super().__init__(*args)
        self.twin = twin
        self.below = [(NOWHERE, 0)]  # ``cur`` and ``top`` where each host function under way was entered

    def look(self, cause: str) -> tuple[Shown, ...]:
        # an exception that stands at a tail call came from a function of the host, too
        return frames_of(self.twin, self.get(CUR), self.read, is_in_host=cause != "trap")

    def get(self, export: str) -> int:
        return int(self.ask("get", export=export)["value"][1], 16)

    def read(self, address: int, length: int) -> bytes:
        return bytes.fromhex(self.ask("read", export=MEMORY, address=address, length=length)["bytes"])

    def begin(self) -> None:
        """Set the twin to where the innermost host function was entered."""
        for export, value in zip((CUR, TOP), self.below[-1], strict=True):
            self.ask("set", export=export, value=["i32", f"{value:08x}"])

    def ask(self, kind: str, **args: Any) -> Any:
        return super().dispatch(Step(kind, {"instance": INSTANCE, **args}))[1]

    def enter(self) -> None:
        self.below.append((self.get(CUR), self.get(TOP)))

    def leave(self) -> None:
        self.begin()
        self.below.pop()

    def dispatch(self, step: Step) -> Answer:
        if step.kind == "call":
            self.begin()
        return super().dispatch(step)


def traced(session: Any, *args: Any) -> Any:
    """Return a session of this class that lists where the frames of its traps stood."""
    made = type("TracedSession", (_Traced, session), {})(*args)
    made.run(Step("debug", {"frames": TRACED}))
    return made


def twinned(session: Any, twin: Twin, *args: Any) -> Any:
    """Return a session of this class that runs a twin, and lists the stops of the original."""
    return type("TwinnedSession", (_Twinned, session), {})(twin, *args)
