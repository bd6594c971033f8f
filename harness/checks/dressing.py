"""What checks add to a plan: steps before all others, and actions of host functions; both can be taken off again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from oracles.plan import Plan, Step

__all__ = ["LARGE", "dressed_like", "prologue", "with_actions", "with_prologue", "without"]

LARGE = 1 << 40  # more fuel than any case spends
_PROLOGUE = ("set_fuel", "yield_schedule", "debug", "shadow")


def prologue(plan: Plan) -> tuple[Step, ...]:
    """Return the steps that checks put before all others."""
    n = next((n for n, step in enumerate(plan.steps) if step.kind not in _PROLOGUE), len(plan.steps))
    return plan.steps[:n]


def with_prologue(plan: Plan, *steps: Step) -> Plan:
    """Return the plan with these steps after those that checks put before all others already."""
    n = len(prologue(plan))
    return replace(plan, steps=(*plan.steps[:n], *steps, *plan.steps[n:]))


def with_actions(plan: Plan, first: Mapping[str, Any], last: Mapping[str, Any]) -> Plan:
    """Return the plan whose host functions have one more action each, ``first`` or ``last`` of all."""
    hosts = dict(plan.hosts)
    for name, action in first.items():
        hosts[name] = replace(hosts[name], actions=(action, *hosts[name].actions))
    for name, action in last.items():
        hosts[name] = replace(hosts[name], actions=(*hosts[name].actions, action))
    return replace(plan, hosts=hosts)


def without(plan: Plan, kinds: Iterable[str], actions: Iterable[str]) -> Plan:
    """Return the plan without steps and host actions of these kinds."""
    kinds, actions = frozenset(kinds), frozenset(actions)
    hosts = {n: replace(h, actions=tuple(a for a in h.actions if a[0] not in actions)) for n, h in plan.hosts.items()}
    return replace(plan, steps=tuple(s for s in plan.steps if s.kind not in kinds), hosts=hosts)


def dressed_like(plan: Plan, model: Plan) -> Plan:
    """Return a generated plan with what checks added to ``model``: reduction generates plans without it."""
    dressed = with_prologue(plan, *prologue(model))
    for kind in ("fuel", "suspend"):
        first: dict[str, Any] = {}
        last: dict[str, Any] = {}
        for name in plan.hosts.keys() & model.hosts.keys():
            actions = model.hosts[name].actions
            k = next((k for k, action in enumerate(actions) if action[0] == kind), None)
            if k is not None:
                (first if kind == "fuel" or k == 0 else last)[name] = actions[k]
        dressed = with_actions(dressed, first, last)
    return dressed
