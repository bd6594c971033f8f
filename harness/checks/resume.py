"""The check of resuming: the plan in slices of fuel, with host functions that suspend.

What is compared is each pause (R9: its cause, the fuel and a digest of the state) and, on the reference engine alone,
that a run in slices comes to what the straight run does.  An interval of 1 pauses at every check point.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from harness.checks.dressing import with_actions, with_prologue, without
from oracles.plan import Plan, Step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from generators.source import Source
    from oracles.outcome import Record

__all__ = ["EVERY", "derive", "is_sliced", "kept", "steps_through", "straight"]

EVERY = (1,)  # intervals that pause at every check point
_SIZES = (3, 10, 40, 200, 1000)
_MOST_SUSPENSIONS = 3


def derive(plan: Plan, choices: Source) -> Plan:
    """Return a metered plan in slices: every check point or random intervals; host functions suspend or do not."""
    if choices.chance(65):
        intervals = [1 + choices.below(choices.choose(_SIZES)) for _ in range(choices.between(1, 4))]
    else:
        intervals = list(EVERY)
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


def straight(plan: Plan) -> Plan:
    """Return the plan without slices: it must come to the same."""
    return without(plan, ("yield_schedule",), ("suspend",))


def kept(plan: Plan, records: Sequence[Record]) -> tuple[Record, ...]:
    """Return the records of a run in slices as those of the straight plan's steps."""
    of_steps = [r for r in records if r.step >= len(plan.steps) or plan.steps[r.step].kind != "yield_schedule"]
    return tuple(replace(r, step=n) for n, r in enumerate(of_steps))
