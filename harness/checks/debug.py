"""The check of debugging: traps tell the frames at which they happened, innermost first (R14)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.checks.dressing import with_prologue
from oracles.plan import Step

if TYPE_CHECKING:
    from oracles.plan import Plan

__all__ = ["FRAMES", "derive"]

FRAMES = 20  # as many as engines show


def derive(plan: Plan) -> Plan:
    """Return the plan whose traps tell their frames."""
    return with_prologue(plan, Step("debug", {"frames": FRAMES}))
