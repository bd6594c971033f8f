"""What the checks of the conformance kit are written in: a check, and short names for steps and answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from oracles.conformance_modules import TEXTS, binary
from oracles.outcome import Blocked, Returned
from oracles.plan import Plan, Step, Value

if TYPE_CHECKING:
    from oracles.adapter import Description

__all__ = ["BLOCKED", "OBSERVE", "OK", "Check", "call", "check", "i32", "i64", "make", "on", "values"]


@dataclass(frozen=True)
class Check:
    """A plan with the outcome and data of each step, and what an engine must claim to be held to it.

    ``needs`` is a set of ``feature:NAME``, ``step:KIND``, ``action:NAME``, ``type:NAME``, ``sees:PART`` of the words
    of ``Description.can``, ``fuel``, and ``counts:NAME`` for the name of the fuel model.
    """

    name: str
    plan: Plan
    expected: tuple[tuple[Any, Any], ...]
    needs: frozenset[str] = frozenset()

    def applies(self, description: Description) -> bool:
        """Return whether the engine says that numbers of its own choice are those of the check."""
        own = {need for need in self.needs if need.startswith("counts:") or need == "frames"}
        return own <= {f"counts:{description.fuel_model.partition(' ')[0]}", *description.can}

    def claimed(self, description: Description) -> bool:
        """Return whether the description claims all that the check needs."""
        claims = {f"feature:{f}" for f in description.features} | {f"step:{s}" for s in description.steps}
        claims |= {f"action:{a}" for a in description.actions} | {f"type:{t}" for t in description.types}
        claims |= {f"sees:{s}" for s in description.sees} | set(description.can)
        claims |= {"fuel"} if description.fuel else set()
        claims |= {f"counts:{description.fuel_model.partition(' ')[0]}"}
        return self.needs <= claims


OK = (Returned(), None)
BLOCKED = (Blocked(""), None)


def i32(n: int) -> Value:
    return "i32", f"{n % 2**32:08x}"


def i64(n: int) -> Value:
    return "i64", f"{n % 2**64:016x}"


def call(export: str, *args: Value, on: str = "i") -> Step:
    return Step("call", {"instance": on, "export": export, "args": [list(a) for a in args]})


def make(module: str, instance: str = "i", **imports: list[str]) -> Step:
    return Step("instantiate", {"instance": instance, "module": module, "imports": imports})


def on(kind: str, export: str, instance: str = "i", **fields: Any) -> Step:
    return Step(kind, {"instance": instance, "export": export, **fields})


OBSERVE = Step("observe", {})


def values(*values: Value) -> tuple[Any, Any]:
    return Returned(values), None


def check(name: str, *steps: tuple[Step, tuple[Any, Any]], needs: str = "", **fields: Any) -> Check:
    modules = {s["module"]: binary(s["module"]) for s, _ in steps if "module" in s.args and s["module"] in TEXTS}
    features = ("mvp", "mutable-globals", *(n.partition(":")[2] for n in needs.split() if n.startswith("feature:")))
    modules.update(fields.pop("modules", {}))
    plan = Plan(tuple(s for s, _ in steps), modules, features=features, **fields)
    return Check(name, plan, tuple(e for _, e in steps), frozenset(needs.split()))
