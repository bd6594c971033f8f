"""The check of what frames hold: locals and operands at host calls, traps and exceptions, by an instrumented twin.

Two things are compared (R14).  The twin of a case (``harness.checks.twins``) runs on every engine, which shows that
real engines have what our engine has in every live frame.  And our engine runs the case itself with a debugger, whose
cursor must show what the twin has told, place by place and bit by bit (:func:`disagreement`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from engine.errors import WasmError
from engine.features import EXECUTED, FEATURES, MULTI_MEMORY, MUTABLE_GLOBALS
from harness.checks.dressing import with_prologue, without
from harness.checks.twins import EXPORTS, Shown, frames_of, twin_of
from harness.lockstep import is_limit, notes_of
from harness.show import pair
from harness.verdicts import Differ
from oracles.adapter import ALL
from oracles.outcome import Trapped
from oracles.plan import FRAMES_NOTE, SHADOW_NOTE, Step

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator, Sequence

    from harness.checks.twins import Twin
    from oracles.outcome import Record
    from oracles.plan import Plan

__all__ = ["derive", "disagreement", "reason_against", "shows_values", "with_values"]

NEEDED = (MULTI_MEMORY.name, MUTABLE_GLOBALS.name)  # by a twin, whatever its original needs
CANONICAL = "engine"  # NaNs: before a module makes them so itself, a frame may hold any
FRAMES = 100  # that are compared, innermost first
_STEPS = ("set_fuel", "get_fuel", "yield_schedule", "debug", "shadow")
_ACTIONS = ("fuel", "suspend")


def reason_against(description: Any) -> str | None:
    """Return why a described engine cannot run twins, or None."""
    if "shadow" not in description.steps:
        return f"{description.name} has no shadow"
    if CANONICAL not in description.nan:
        return f"{description.name} leaves open which NaNs a frame holds"
    missing = (f"{description.name} has no {name}" for name in NEEDED if name not in description.features)
    return next(missing, None)


def with_values(plan: Plan) -> Plan:
    """Return the plan, without other checks, whose host calls, traps and exceptions show what frames hold."""
    step = Step("debug", {"frames": FRAMES, "values": True})
    return with_prologue(without(plan, _STEPS, _ACTIONS), step)


def shows_values(plan: Plan) -> bool:
    """Return whether the plan is one of :func:`with_values`."""
    return any(step.get("values") for step in plan.steps[:1]) and plan == with_values(plan)


def derive(plan: Plan) -> tuple[Plan, Twin] | None:
    """Return the plan, without other checks, on the twin of its module; None unless it has one, in one instance."""
    plan = replace(without(plan, _STEPS, _ACTIONS), nan=CANONICAL)
    made = [s for s in plan.steps if s.kind == "instantiate"]
    if len(made) != 1 or made[0]["module"] not in plan.modules or plan.limits.fuel is not None:
        return None
    instance, name = made[0]["instance"], made[0]["module"]
    everything = not plan.features or ALL in plan.features
    try:
        features = EXECUTED if everything else frozenset(FEATURES[f] for f in plan.features)
        twin = twin_of(plan.modules[name], features)
    except (WasmError, KeyError, ValueError):
        return None
    if not everything:
        plan = replace(plan, features=tuple(sorted({*plan.features, *NEEDED})))
    step = Step("shadow", {"instance": instance, **EXPORTS})
    return with_prologue(replace(plan, modules={**plan.modules, name: twin.wasm}), step), twin


def disagreement(
    plan: Plan, shown: Sequence[Record], twin: Twin, told: Sequence[Record], compared: Counter[str]
) -> Differ | None:
    """Return where frames with values, shown in a run of ``plan``, are not those that the twin has told.

    Both plans have one step before all others.  Nothing is said from a limit on, and where frames are too many to be
    told.  ``compared`` counts stops by their causes, frames and values.
    """
    for i, (one, two) in enumerate(zip(shown, told, strict=True)):
        if is_limit(one.outcome) or is_limit(two.outcome):
            compared["runs up to a limit"] += 1
            return None
        for n, (cause, frames, shadow) in enumerate(_stops(one, two)):
            if shadow is None:
                compared["stops too deep to be told"] += 1
                continue
            compared[f"{cause} stops"] += 1
            try:  # an exception that stands at a tail call came from a function of the host, too
                theirs = frames_of(twin, bytes.fromhex(shadow), is_in_host=cause != "trap")[:FRAMES]
            except ValueError as e:
                return Differ("R14", i, f"stop {n}", f"{len(frames)} frames", str(e), "shadow of frames")
            found = _difference([_frame(f) for f in frames], theirs, compared)
            if found is not None:
                return replace(found, step=i, what=f"{found.what} at stop {n}", step_kind=plan.steps[i].kind)
        if type(one.outcome) is not type(two.outcome):
            if (two.data or {}).get("shadow", "") is None:
                compared["twins without room for more frames"] += 1
                return None
            kinds = pair(lambda r: type(r.outcome).__name__.lower(), one, two)
            return Differ("R14", i, "outcome of the twin", *kinds, "outcome", plan.steps[i].kind, *kinds)
    return None


def _stops(one: Record, two: Record) -> Iterator[tuple[str, Any, Any]]:
    """Yield the cause of each stop that two records tell of, its frames and its shadow."""
    a, b = one.data or {}, two.data or {}
    frames, shadows = notes_of(a, FRAMES_NOTE), [told for (told,) in notes_of(b, SHADOW_NOTE)]
    for n in range(max(len(frames), len(shadows))):
        yield "host", frames[n] if n < len(frames) else [], shadows[n] if n < len(shadows) else ""
    if "frames" in a or "shadow" in b:
        yield "trap" if isinstance(one.outcome, Trapped) else "throw", a.get("frames", []), b.get("shadow", "")


def _frame(data: Any) -> Shown:
    locals_, operands = (tuple(map(_bits, data[part])) for part in ("locals", "operands"))
    return Shown(data["func"], data["offset"], locals_, operands)


def _bits(value: Any) -> int | None:
    if value is None:
        return None
    kind, payload = value
    return int(payload is None) if kind == "ref" else int(payload, 16)


def _difference(ours: Sequence[Shown], theirs: Sequence[Shown], compared: Counter[str]) -> Differ | None:
    if len(ours) != len(theirs):
        counts = pair(lambda frames: f"{len(frames)} frames", ours, theirs)
        return Differ("R14", 0, "number of frames", *counts, "number of frames", "", "frames", "frames")
    for n, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        known = tuple(v for v, w in zip(a.locals, b.locals, strict=False) if w is not None)
        if len(a.locals) != len(b.locals) or a._replace(locals=known) != b._replace(
            locals=tuple(w for w in b.locals if w is not None)
        ):
            return Differ("R14", 0, f"frame {n}", str(a), str(b), "frame", "", "frame", "frame")
        compared["frames"] += 1
        compared["values"] += len(known) + len(a.operands)
        compared["locals that a twin cannot tell"] += len(a.locals) - len(known)
    return None
