"""Differential checks: what two engines must share beyond results, each as a transformation of plans.

A check is a function of a plan, of what the reference engine did with it, and of choices from a
:class:`~generators.source.Source`; it returns another plan.  So whatever it finds is an ordinary case: it replays,
reduces and reproduces like any other, and the comparison (``harness.compare``) knows nothing of checks.

    results   outcomes, values, traps, host calls: of every plan, always on
    state     every step observes memories, tables and globals              ``state``
    fuel      the plan is metered (``fuel``); one call with every small budget on fresh instances (``exhaustion``)
    resume    the plan runs in slices, with host functions that suspend (``resume``)
    debug     traps tell their frames (``debug``)

``abilities`` says which check is off for which engine and why, and which engines are compared with which reference;
``course`` puts the checks of one case in order.
"""

from __future__ import annotations

__all__ = ["ALL_CHECKS", "CHECKS", "CheckNameError", "checks_of"]

CHECKS: dict[str, str] = {
    "results": "outcomes, values, traps and host calls; always on",
    "state": "memories, tables and globals after every step",
    "fuel": "fuel after every call and in host calls, and where it runs out",
    "resume": "pauses at intervals of fuel and in host functions, and what goes on after them",
    "debug": "the frames at traps",
}
ALL_CHECKS = frozenset(CHECKS)


class CheckNameError(ValueError):
    """There is no such check; the message is one sentence."""


def checks_of(text: str) -> frozenset[str]:
    """Return the checks in a list separated by commas, or raise CheckNameError."""
    names = frozenset(filter(None, (name.strip() for name in text.split(","))))
    if unknown := sorted(names - ALL_CHECKS):
        raise CheckNameError(f"no check {unknown[0]!r}; known: {', '.join(CHECKS)}")
    return names | {"results"}
