"""Planted mistakes of counting, resuming, restoring and looking: what the checks of fuel, slices and frames must find.

A wrong count is a change of a fuel model: it keeps the model's name, as an engine would that counts wrongly.  A wrong
resume is a session that does damage where a call pauses, a wrong look one that shows other frames.  They run as
``reference:plant=NAME+fuel=MODEL`` beside ``reference:fuel=MODEL``.  A wrong restore is a right one of a snapshot that
was spoiled, so it runs as ``reference:restored+plant=NAME+fuel=MODEL``.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from engine.execution.fuel import FuelModel, Refund, Start
from oracles.adapters.reference import FUEL_PLANTS, RESTORE_PLANTS, SESSION_PLANTS, ReferenceSession

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from engine.instructions.model import Instr
    from engine.resume import Suspended
    from oracles.adapter import Answer
    from oracles.plan import Step, Value

__all__ = ["WRONG_COUNTS", "WRONG_FRAMES", "WRONG_RESTORES", "WRONG_RESUMES", "Wrong"]


@dataclass(frozen=True, slots=True)
class Wrong:
    """One mistake: what is wrong, and the model, session or spoiler of snapshots that is so."""

    name: str
    wrong: str
    plant: Any


# counting


def if_free(model: FuelModel) -> FuelModel:
    def flat(row: Instr) -> int:
        return 0 if row.name == "if" else model.flat(row)

    return replace(model, flat=flat)


class _CheckFirst(FuelModel):
    """A check asks what was left before the block's own entry was paid."""

    def price(self, start: Start) -> tuple[int, int]:
        paid, need = super().price(start)
        return paid, need if need < 0 or not paid else need - paid


def check_first(model: FuelModel) -> FuelModel:
    return _CheckFirst(**{f.name: getattr(model, f.name) for f in fields(model)})


def no_refund(model: FuelModel) -> FuelModel:
    return replace(model, refund=Refund.NOTHING)


def fill_extra(model: FuelModel) -> FuelModel:
    def pieces(row: Instr, n: int) -> int:
        return model.pieces(row, n) + (row.name == "memory.fill")

    return replace(model, pieces=pieces)


def no_back_edge(model: FuelModel) -> FuelModel:
    return replace(model, checks=model.checks - {Start.LOOP})


class HostBlind(ReferenceSession):
    """A host call sees the fuel that there was when the host entered Wasm."""

    def run(self, step: Step) -> Answer:
        self.entered_with = super().fuel()
        return super().run(step)

    def fuel(self) -> int:
        return self.entered_with if self.nesting else super().fuel()


# resuming


class LostLocal(ReferenceSession):
    """A pause loses an integer of the frame that pauses."""

    def _go_on(self, stopped: Suspended) -> Sequence[Any]:
        self.under_way = stopped.under_way
        return super()._go_on(stopped)

    def pause(self, cause: str) -> None:
        super().pause(cause)
        frames = self.under_way.frames
        if cause == "fuel" and frames:
            registers: list[Any] = frames[-1][1]
            k = next((k for k, v in enumerate(registers) if isinstance(v, int) and v), None)
            if k is not None:
                registers[k] = 0


class HostTwice(ReferenceSession):
    """A host function that suspends does all it does once more when the call goes on."""

    def host_call(self, name: str, args: Sequence[Value]) -> list[Value]:
        results = super().host_call(name, args)
        return super().host_call(name, args) if self.suspensions else results


class StaleMemory(ReferenceSession):
    """A call goes on with memories as they were one pause earlier."""

    def step_call(self, step: Step) -> Answer:
        self.earlier: Mapping[int, bytes] = {}
        return super().step_call(step)

    def pause(self, cause: str) -> None:
        super().pause(cause)
        now = {mem.addr: bytes(mem.data) for mem in self.store.mems}
        for mem in self.store.mems:
            before = getattr(self, "earlier", {}).get(mem.addr)
            if before is not None and len(before) == len(mem.data):
                mem.data[:] = before
        self.earlier = now


# restoring


def undropped(snapshot: dict[str, Any]) -> None:
    for instance in snapshot["store"]["instances"]:
        instance["datas"] = [True] * len(instance["datas"])


def lost_global(snapshot: dict[str, Any]) -> None:
    for global_ in reversed(snapshot["store"]["globals"]):
        if global_["mutable"] and isinstance(global_["type"], str):
            global_["value"] = "0" * len(global_["value"])
            return


def unpaid(snapshot: dict[str, Any]) -> None:
    for call in snapshot["calls"].values():
        if "paid" in call:
            call["paid"] = 0


# frames


class LostArgument(ReferenceSession):
    """A frame that waits for a call is shown without the last argument of it."""

    def _now(self) -> Any:
        frames = super()._now()
        return (*frames[:1], *({**frame, "operands": frame["operands"][:-1]} for frame in frames[1:]))


def _named(*wrong: Wrong) -> dict[str, Wrong]:
    return {w.name: w for w in wrong}


WRONG_COUNTS: dict[str, Wrong] = _named(
    Wrong("if-free", "an if costs nothing", if_free),
    Wrong("check-first", "fuel is checked before the entry of a function is charged", check_first),
    Wrong("no-refund", "a trap gives nothing back", no_refund),
    Wrong("fill-extra", "memory.fill costs one unit too much", fill_extra),
    Wrong("no-back-edge", "fuel is not checked at loops", no_back_edge),
    Wrong("host-blind", "a host call sees the fuel from before the call into Wasm", HostBlind),
)
WRONG_RESUMES: dict[str, Wrong] = _named(
    Wrong("lost-local", "a pause loses a local", LostLocal),
    Wrong("host-twice", "a suspended host call is repeated", HostTwice),
    Wrong("stale-memory", "a call goes on with the memory of the pause before", StaleMemory),
)
WRONG_RESTORES: dict[str, Wrong] = _named(
    Wrong("undropped", "data segments that were dropped are there again", undropped),
    Wrong("lost-global", "the last global is zero again", lost_global),
    Wrong("unpaid", "what was charged at a pause is charged again", unpaid),
)

WRONG_FRAMES: dict[str, Wrong] = _named(
    Wrong("lost-argument", "a waiting frame is shown without an operand", LostArgument),
)

_models: dict[str, Callable[[FuelModel], FuelModel]] = {
    w.name: w.plant for w in WRONG_COUNTS.values() if not isinstance(w.plant, type)
}
FUEL_PLANTS.update(_models)
RESTORE_PLANTS.update({w.name: w.plant for w in WRONG_RESTORES.values()})
SESSION_PLANTS.update(
    {w.name: w.plant for w in (WRONG_COUNTS | WRONG_RESUMES | WRONG_FRAMES).values() if isinstance(w.plant, type)}
)
