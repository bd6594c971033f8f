"""The check of resuming: the plan in slices of fuel, with host functions that suspend.

What is compared is each pause (R9: its cause, the fuel and a digest of the state) and, on the reference engine alone,
that a run in slices comes to what the straight run does.  An interval of 1 pauses at every check point.  Some plans in
slices also run on the reference engine that is *restored* at its pauses, in another process: nothing may change.

One thing slicing does change, by the models themselves: where a trap gives back what was spent since the engine last
saved its counter, a pause is such a point, so that after it a trap gives back less (:func:`settled`).  Nothing is said
of models that forget what callees spent (:func:`forgets`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from engine.execution.fuel_models import MODELS
from harness.checks.dressing import with_actions, with_prologue, without
from oracles.outcome import Trapped
from oracles.plan import FUEL_NOTE, Plan, Step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from generators.source import Source
    from oracles.outcome import Record

__all__ = [
    "EVERY", "derive", "forgets", "is_restored", "is_sliced", "kept", "restored", "settled", "steps_through",
    "straight",
]  # fmt: skip

EVERY = (1,)  # intervals that pause at every check point
_SIZES = (3, 10, 40, 200, 1000)
_MOST_SUSPENSIONS = 3
_RESTORED = "restored"  # the part of an oracle's variant that says so


def derive(plan: Plan, choices: Source, *, at_every: bool | None = None) -> Plan:
    """Return a metered plan in slices; host functions suspend or do not.

    Slices end ``at_every`` check point or have random intervals; None leaves that to the choices.
    """
    if at_every is None:
        at_every = not choices.chance(65)
    intervals = list(EVERY)
    if not at_every:
        intervals = [1 + choices.below(choices.choose(_SIZES)) for _ in range(choices.between(1, 4))]
    first: dict[str, Any] = {}
    last: dict[str, Any] = {}
    for name in plan.hosts:
        where = choices.below(3)
        if where:
            (first if where == 1 else last)[name] = ("suspend", choices.between(1, _MOST_SUSPENSIONS))
    return with_actions(with_prologue(plan, Step("yield_schedule", {"intervals": intervals})), first, last)


def is_sliced(plan: Plan) -> bool:
    """Return whether calls of the plan run in slices."""
    return any(step.kind == "yield_schedule" for step in plan.steps)


def steps_through(plan: Plan) -> bool:
    """Return whether the plan pauses at every check point, throughout."""
    return [tuple(s["intervals"]) for s in plan.steps if s.kind == "yield_schedule"] == [EVERY]


def restored(reference: str) -> str:
    """Return the id of a reference engine that is restored at its pauses, by the id of one that is not."""
    base, _, variant = reference.partition(":")
    return f"{base}:{_RESTORED}" + (f"+{variant}" if variant else "")


def is_restored(oracle: str) -> bool:
    """Return whether an oracle is one of those, so that no difference is one between engines."""
    return _RESTORED in oracle.partition(":")[2].split("+")


def forgets(fuel_model: str) -> bool:
    """Return whether, by this model, calls lose what callees spent: how much then depends on where they paused."""
    return any(model.forgets for model in MODELS.values() if str(model) == fuel_model)


def straight(plan: Plan) -> Plan:
    """Return the plan without slices: it must come to the same."""
    return without(plan, ("yield_schedule",), ("suspend",))


def kept(plan: Plan, records: Sequence[Record]) -> list[tuple[int, Record]]:
    """Return the records of a run in slices as those of the straight plan's steps, each with its own step."""
    of_steps = [r for r in records if r.step >= len(plan.steps) or plan.steps[r.step].kind != "yield_schedule"]
    return [(r.step, replace(r, step=n)) for n, r in enumerate(of_steps)]


def settled(plan: Plan, straight: Sequence[Record], sliced: Sequence[Record]) -> tuple[Record, ...]:
    """Return the records of a run in slices with the fuel that they would show had its traps given back as much.

    ``plan`` is the straight one.  A trap gives back less only if there was a pause, but those of calls that functions
    of the host make are not told.
    """
    reenters = any(action[0] == "call" for host in plan.hosts.values() for action in host.actions)
    less = noted = 0
    out = []
    for one, two in zip(straight, sliced, strict=False):
        if one.step < len(plan.steps) and plan.steps[one.step].kind == "set_fuel":
            less = noted = 0
        data = dict(two.data or {})
        fuel, wanted = data.get("fuel"), (one.data or {}).get("fuel")
        if isinstance(fuel, int) and isinstance(wanted, int):
            missing = wanted - fuel - less
            if missing > 0 and isinstance(one.outcome, Trapped) and (data.get("paused") or reenters):
                less += missing
            data["fuel"] = fuel + less
        if isinstance(data.get("trace"), list):
            data["trace"] = [_with_more(call, noted) for call in data["trace"]]
            noted = less  # host calls before a trap saw nothing of it
        out.append(replace(two, data=data) if data else two)
    return (*out, *sliced[len(out) :])


def _with_more(call: Any, fuel: int) -> Any:
    """Return an entry of the host trace, a note of fuel with so much more."""
    return [FUEL_NOTE, [["i64", f"{int(call[1][0][1], 16) + fuel:016x}"]]] if call[0] == FUEL_NOTE else call
