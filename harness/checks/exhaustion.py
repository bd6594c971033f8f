"""Where fuel runs out: one step of a case again and again, each time on a fresh instance and with another budget.

An engine looks at its fuel only at some points, so what an exhausted run leaves behind is a staircase over the budget.
Where what the step needs is small, every budget up to two more is tried; else those around the check points that a run
in slices of one unit has shown, and some at random.  After each the state is compared: both engines are out of fuel at
the same point or neither is (R8).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.checks.dressing import LARGE, prologue
from oracles.outcome import Exhausted, Trapped
from oracles.plan import Plan, Step

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from generators.source import Source
    from oracles.outcome import Record

__all__ = ["SMALL", "Target", "budgets", "derive", "every", "plan_for", "points", "targets"]

SMALL = 64  # fuel up to which every budget is tried
FEW = 12  # budgets at random
POINTS = 8  # check points that are looked at
PREFIX = 3  # calls before the one in question, at most
WORK = 10_000  # fuel that all the budgets together may cost, more or less
STEPS = 400  # of a derived plan, at most
_OBSERVE = Step("observe", {})


@dataclass(frozen=True, slots=True)
class Target:
    """A step that spends fuel: its index, what it spent and all before it did; a trap may have given some back."""

    step: int
    need: int
    before: int
    is_exact: bool


def targets(plan: Plan, records: Sequence[Record]) -> list[Target]:
    """Return the instantiation and the first calls of a metered plan, as far as what they spent was told."""
    found: list[Target] = []
    left = next((s["fuel"] for s in prologue(plan) if s.kind == "set_fuel"), None)
    for i, (step, record) in enumerate(zip(plan.steps, records, strict=False)):
        if step.kind not in ("instantiate", "call"):
            continue
        fuel = (record.data or {}).get("fuel")
        if not isinstance(fuel, int) or left is None or isinstance(record.outcome, Exhausted) or len(found) > PREFIX:
            break
        spent = sum(t.need for t in found)
        found.append(Target(i, left - fuel, spent, not isinstance(record.outcome, Trapped)))
        left = fuel
    return found


def points(plan: Plan, records: Sequence[Record]) -> dict[int, list[int]]:
    """Return, by step, what was spent at the check points that a run in slices of one unit showed."""
    shown: dict[int, list[int]] = {}
    left = next((s["fuel"] for s in prologue(plan) if s.kind == "set_fuel"), 0)
    for i, record in enumerate(records):
        data = record.data or {}
        if "pauses" in data:
            shown[i] = [left - p["fuel"] for p in data["pauses"] if p["cause"] == "fuel"]
        left = data.get("fuel", left)
    return shown


def every(target: Target) -> list[int]:
    """Return every budget up to two more than a step needs."""
    return list(range(target.need + 3))


def budgets(target: Target, checked: Iterable[int], choices: Source) -> list[int]:
    """Return the budgets to try, ascending."""
    if target.is_exact and target.need <= SMALL:
        return every(target)
    chosen = {0, 1, 2, target.need - 1, target.need, target.need + 1, target.need + 2}
    spots = list(checked)
    for _ in range(min(POINTS, len(spots))):
        spot = choices.choose(spots)
        chosen |= {spot - 1, spot, spot + 1, spot + 2}
    chosen |= {choices.below(max(target.need, SMALL) + 3) for _ in range(FEW)}
    return sorted(b for b in chosen if b >= 0)


def plan_for(plan: Plan, target: Target, tried: Sequence[int]) -> Plan:
    """Return the plan that makes a step of ``plan`` once with each budget, all that came before it done anew."""
    start = len(prologue(plan))
    effective = [s for s in plan.steps[start : target.step] if s.kind != "observe"]
    steps = [s for s in prologue(plan) if s.kind == "debug"]
    for budget in tried:
        steps += [Step("set_fuel", {"fuel": LARGE}), *effective] if effective else []
        steps += [Step("set_fuel", {"fuel": budget}), plan.steps[target.step], _OBSERVE]
    return replace(plan, steps=tuple(steps))


def derive(
    plan: Plan, records: Sequence[Record], choices: Source, checked: dict[int, list[int]] | None = None
) -> Plan | None:
    """Return the plan for one step of a metered plan, by what its run told, or None where that is too much work."""
    possible = [t for t in targets(plan, records) if t.need > 0 or not t.is_exact]
    if not possible:
        return None
    target = choices.choose(possible)
    tried = budgets(target, (checked or {}).get(target.step, ()), choices)
    room = min(WORK // (target.before + target.need + 1), STEPS // (target.step + 3))
    if room < 2:
        return None
    while len(tried) > room:
        tried.pop(choices.below(len(tried)))
    return plan_for(plan, target, tried)
