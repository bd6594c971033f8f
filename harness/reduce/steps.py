"""Reduction of the plan around the modules: fewer steps, simpler arguments, hosts that do less."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from harness.reduce.chunks import delete_chunks
from oracles.plan import WIDTHS, Plan, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["reduce_steps"]


def reduce_steps(plan: Plan, holds: Callable[[Plan], bool]) -> Plan:
    """Return a simpler plan on the same modules for which ``holds`` is still true."""
    plan = _delete_steps(plan, holds)
    plan = _simplify_values(plan, holds)
    return _simplify_hosts(plan, holds)


def _delete_steps(plan: Plan, holds: Callable[[Plan], bool]) -> Plan:
    steps = delete_chunks(plan.steps, lambda kept: holds(replace(plan, steps=tuple(kept))))
    return replace(plan, steps=tuple(steps))


def _simplify_values(plan: Plan, holds: Callable[[Plan], bool]) -> Plan:
    """Lower every argument and every value that is set, one at a time."""
    for i in range(len(plan.steps)):
        for name in ("args", "value"):
            if plan.steps[i].get(name) is None:
                continue
            values = plan.steps[i][name] if name == "args" else [plan.steps[i][name]]
            for n in range(len(values)):
                for simpler in simpler_values(tuple(values[n])):
                    changed = [*values[:n], simpler, *values[n + 1 :]]
                    args = {**plan.steps[i].args, name: changed if name == "args" else simpler}
                    step = Step(plan.steps[i].kind, args)
                    candidate = replace(plan, steps=(*plan.steps[:i], step, *plan.steps[i + 1 :]))
                    if holds(candidate):
                        plan, values = candidate, changed
                        break
    return plan


def simpler_values(value: tuple[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield values of the same type that are simpler, the simplest first."""
    kind, payload = value
    if kind not in WIDTHS:
        if payload is not None:
            yield kind, None
        return
    digits = WIDTHS[kind] // 4
    bits = int(payload, 16)
    plain = [0, 1, (1 << WIDTHS[kind]) - 1]
    if kind in ("f32", "f64"):
        plain = [0, 0x3F800000 if kind == "f32" else 0x3FF << 52, 1 << WIDTHS[kind] - 1]
    for simple in plain:
        if simple == bits:
            return
        yield kind, format(simple, f"0{digits}x")


def _simplify_hosts(plan: Plan, holds: Callable[[Plan], bool]) -> Plan:
    for name in list(plan.hosts):
        host = plan.hosts[name]
        without = {k: h for k, h in plan.hosts.items() if k != name}
        if holds(replace(plan, hosts=without)):
            plan = replace(plan, hosts=without)
            continue
        actions = delete_chunks(host.actions, partial(_holds_with_actions, plan, name, holds))
        plan = _with_actions(plan, name, actions)
    return plan


def _with_actions(plan: Plan, name: str, actions: list[Any]) -> Plan:
    return replace(plan, hosts={**plan.hosts, name: replace(plan.hosts[name], actions=tuple(actions))})


def _holds_with_actions(plan: Plan, name: str, holds: Callable[[Plan], bool], actions: list[Any]) -> bool:
    return holds(_with_actions(plan, name, actions))
