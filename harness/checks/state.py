"""The check of state is in every plan: leaving it out is what takes a transformation."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from oracles.plan import Step

if TYPE_CHECKING:
    from oracles.plan import Plan

__all__ = ["blind"]

_TRACE_ONLY = Step("observe", {"instances": []})


def blind(plan: Plan) -> Plan:
    """Return the plan whose observations show the host calls alone."""
    return replace(plan, steps=tuple(_TRACE_ONLY if s.kind == "observe" else s for s in plan.steps))
