"""The check of fuel: the plan is metered from its start, and host functions say what they see of it.

The budget is more than any case spends: what is compared (R8) is what every call and instantiation left of it, however
it ended, and what was left in each host call.  Where fuel runs out is what ``exhaustion`` is about.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.checks.dressing import LARGE, prologue, with_actions, with_prologue
from oracles.plan import Step

if TYPE_CHECKING:
    from generators.source import Source
    from oracles.plan import Plan

__all__ = ["derive", "is_metered"]

_BUDGETS = (LARGE, (1 << 63) - 1)  # also more than engines keep in one counter with a sign


def derive(plan: Plan, choices: Source) -> Plan:
    """Return the plan metered."""
    metered = with_prologue(plan, Step("set_fuel", {"fuel": choices.choose(_BUDGETS)}))
    return with_actions(metered, dict.fromkeys(plan.hosts, ("fuel",)), {})


def is_metered(plan: Plan) -> bool:
    """Return whether the plan sets fuel first of all, but for what else checks do there."""
    return any(step.kind == "set_fuel" for step in prologue(plan))
