"""What a call or an instantiation leaves of its fuel, on our engine counting like another and on that one."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from oracles.adapter import load
from oracles.outcome import Exhausted, Trapped
from oracles.plan import HOST, HostFunc, Plan, Step
from tests.support.wasm import wasm

if TYPE_CHECKING:
    from collections.abc import Iterable

    from oracles.adapter import Adapter
    from oracles.outcome import Outcome

__all__ = ["AMPLE", "CRANELIFT", "WINCH", "instantiated", "instantiated_with", "left", "seen", "swept"]

AMPLE = 1_000_000
CRANELIFT = ("reference:fuel=wasmtime-50", "wasmtime", "wasmtime:none", "wasmtime:pulley")
WINCH = ("reference:fuel=wasmtime-50-winch", "wasmtime:winch")
WITHOUT_HEAP = ("bulk-memory", "memory64", "multi-memory", "multi-value", "reference-types", "extended-const")
HOSTS = {
    "host": HostFunc((), (), (("fuel",),)),
    "trap": HostFunc((), (), (("trap", 1, 0),)),
    "again": HostFunc((), (), (("call", "m", "inner", ()),)),
}


@cache
def _adapter(oracle: str) -> Adapter:
    return load(oracle)


def _word(outcome: Outcome) -> str:
    if isinstance(outcome, Trapped):
        return outcome.trap
    return f"out of {outcome.resource}" if isinstance(outcome, Exhausted) else type(outcome).__name__.lower()


def _run(oracle: str, text: str, *steps: Step) -> list[Any]:
    features = WITHOUT_HEAP if "winch" in oracle else ("all",)
    provided = Step("instantiate", {"instance": "p", "module": "p", "imports": {}})
    provider = wasm('(table (export "t") 20 funcref) (memory (export "m") 2) (global (export "g") i32 (i32.const 4))')
    plan = Plan((provided, *steps), {"m": wasm(text), "p": provider}, {}, HOSTS, features, "none")
    session = _adapter(oracle).open(plan)
    try:
        return [session.run(step) for step in plan.steps][1:]
    finally:
        session.close()


_INSTANTIATE = Step("instantiate", {"instance": "m", "module": "m", "imports": {"": ["p", HOST]}})
_CALL = Step("call", {"instance": "m", "export": "f", "args": []})


def left(oracle: str, text: str, *calls: str, fuel: int = AMPLE) -> list[tuple[str, int]]:
    """Return how calls of exports without parameters end, in a row, and the fuel that each leaves."""
    steps = [Step("set_fuel", {"fuel": AMPLE}), _INSTANTIATE, Step("set_fuel", {"fuel": fuel})]
    steps += [Step("call", {"instance": "m", "export": export, "args": []}) for export in calls or ("f",)]
    return [(_word(outcome), data["fuel"]) for outcome, data in _run(oracle, text, *steps)[3:]]


def swept(oracle: str, text: str, budgets: Iterable[int]) -> list[tuple[str, int]]:
    """Return the same of one call of ``f`` with each budget, every time on a fresh instance."""
    steps: list[Step] = []
    for fuel in budgets:
        steps += [Step("set_fuel", {"fuel": AMPLE}), _INSTANTIATE, Step("set_fuel", {"fuel": fuel}), _CALL]
    return [(_word(outcome), data["fuel"]) for outcome, data in _run(oracle, text, *steps)[3::4]]


def instantiated_with(oracle: str, text: str, budgets: Iterable[int]) -> list[tuple[str, int]]:
    """Return how instantiation ends with each budget, and the fuel that it leaves."""
    steps: list[Step] = []
    for fuel in budgets:
        steps += [Step("set_fuel", {"fuel": fuel}), _INSTANTIATE]
    return [(_word(outcome), data["fuel"]) for outcome, data in _run(oracle, text, *steps)[1::2]]


def seen(oracle: str, text: str, fuel: int = AMPLE) -> list[int]:
    """Return the fuel that host functions see while ``f`` runs."""
    steps = [Step("set_fuel", {"fuel": AMPLE}), _INSTANTIATE, Step("observe", {}), Step("set_fuel", {"fuel": fuel})]
    steps += [_CALL, Step("observe", {})]
    trace = _run(oracle, text, *steps)[-1][1]["trace"]
    return [int(args[0][1], 16) for name, args in trace if name == "@fuel"]


def instantiated(oracle: str, text: str, fuel: int = AMPLE) -> tuple[str, int]:
    """Return how instantiation ends, and the fuel that it leaves."""
    return instantiated_with(oracle, text, [fuel])[0]
