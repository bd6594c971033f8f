"""The conformance kit's checks of fuel, slices and frames.

What instructions cost is an engine's own affair, so most are of engines that count as some wasmtime does; none of
them uses what its compilers differ in.
"""

from __future__ import annotations

from typing import Any

from oracles.conformance_plans import OK, Check, call, check, i32, make, on
from oracles.outcome import Exhausted, HostError, Returned, Trapped, state_digest
from oracles.plan import HOST, HostFunc, Step

__all__ = ["FUEL_CHECKS"]

Line = tuple[Step, tuple[Any, Any]]


def _set(fuel: int) -> Line:
    return Step("set_fuel", {"fuel": fuel}), OK


def _left(fuel: int) -> Line:
    return Step("get_fuel", {}), (Returned(), {"fuel": fuel})


def _slices(*intervals: int, **more: int) -> Line:
    return Step("yield_schedule", {"intervals": list(intervals), **more}), OK


def _frames(n: int) -> Line:
    return Step("debug", {"frames": n}), OK


def _answers(outcome: Any, fuel: int, *pauses: tuple[str, int, int], paused: int | None = None) -> tuple[Any, Any]:
    """Return the answer of a call in slices; a pause is its cause, what is left, and the exported global."""
    shown = [{"cause": cause, "fuel": left, "state": _state(value)} for cause, left, value in pauses]
    return outcome, {"fuel": fuel, "pauses": shown, "paused": len(pauses) if paused is None else paused}


def _state(value: int) -> str:
    memories = {"memory": {"pages": 1, "crc": {}}}
    return state_digest({"i": {"memories": memories, "tables": {}, "globals": {"global": list(i32(value))}}})


def _check(name: str, *steps: Line, actions: tuple[Any, ...] = (), needs: str) -> Check:
    made = (make("slices", env=[HOST]), OK)
    return check(name, made, *steps, needs=needs, hosts={"f": HostFunc(("i32",), ("i32",), actions)})


def _fuel_checks() -> list[Check]:
    needs = "step:set_fuel step:get_fuel"
    counts = f"{needs} counts:wasmtime"
    trace = [["@fuel", [["i64", f"{n:016x}"]]] for n in (96, 46)]
    seen = (Returned(), {"instances": {}, "trace": trace})
    host, ended = call("host", i32(7)), HostError("T")
    return [
        _check(
            "fuel is set and told", _set(1000), _left(1000), _set(0),
            (call("count", i32(1)), (Exhausted("fuel"), {"fuel": 0})),
            _left(0), _set(1 << 40), _left(1 << 40), needs=f"{needs} after-trap",
        ),
        _check(
            "fuel goes from call to call", _set(1000),
            (call("count", i32(3)), (Returned(), {"fuel": 972})), (call("count", i32(1)), (Returned(), {"fuel": 962})),
            _left(962), needs=counts,
        ),
        _check(
            "fuel runs out at a loop", _set(15), (call("count", i32(3)), (Exhausted("fuel"), {"fuel": 0})),
            (on("get", "global"), (Returned(), {"value": list(i32(2))})), _set(29),
            (call("count", i32(3)), (Returned(), {"fuel": 1})), needs=f"{counts} step:get after-trap",
        ),
        _check(
            "fuel in host functions", _set(100), (host, (Returned((i32(0),)), {"fuel": 95})),
            _set(50), (host, (ended, {"fuel": 46})), (Step("observe", {"instances": []}), seen),
            actions=(("fuel",), ("trap", "T", 2)), needs=f"{counts} action:fuel action:trap after-trap",
        ),
        _check(
            "fuel of calls that host functions make", _set(100), (host, (Returned((i32(0),)), {"fuel": 76})),
            actions=(("call", "i", "count", [list(i32(2))]),), needs=f"{counts} action:call",
        ),
    ]  # fmt: skip


def _slice_checks() -> list[Check]:
    needs = "step:set_fuel step:yield_schedule counts:wasmtime sees:memories sees:globals"
    count, host = call("count", i32(3)), call("host", i32(7))
    first, second = ("fuel", 990, 1), ("fuel", 981, 2)
    two = (("host", 996, 0), ("host", 996, 0))
    ended = HostError("T")
    return [
        _check(
            "slices", _set(1000), _slices(5), (count, _answers(Returned(), 972, first, second)), _slices(),
            (count, (Returned(), {"fuel": 944})), needs=needs,
        ),
        _check(
            "slices of several sizes", _set(1000), _slices(10, 4, 100),
            (call("count", i32(4)), _answers(Returned(), 963, first, second)), needs=needs,
        ),
        _check(
            "slices that are not shown", _set(1000), _slices(5, pauses=1),
            (count, _answers(Returned(), 972, first, paused=2)), needs=needs,
        ),
        _check(
            "fuel that runs out in slices", _set(15), _slices(5),
            (count, _answers(Exhausted("fuel"), 0, ("fuel", 5, 1))), needs=needs,
        ),
        _check(
            "a host function that suspends", _set(1000), _slices(100),
            (host, _answers(Returned((i32(0),)), 995, *two)), actions=(("suspend", 2),),
            needs=f"{needs} action:suspend",
        ),
        _check(
            "no slices, no suspension", _set(1000), (host, (Returned((i32(0),)), {"fuel": 995})),
            _slices(100), _slices(), actions=(("suspend", 2),), needs=f"{needs} action:suspend",
        ),
        _check(
            "suspended, then ended by a trap", _set(1000), _slices(100), (host, _answers(ended, 996, *two)),
            actions=(("suspend", 2), ("trap", "T", 0)), needs=f"{needs} action:suspend action:trap",
        ),
        _check(
            "pauses below a host function are not shown", _set(1000), _slices(5),
            (host, _answers(Returned((i32(0),)), 967, ("host", 968, 3))),
            actions=(("call", "i", "count", [list(i32(3))]), ("suspend", 1)),
            needs=f"{needs} action:suspend action:call",
        ),
        _check(
            "endless re-entry in slices", _set(1 << 40), _slices(1 << 30),
            (host, (Exhausted("stack"), {"fuel": (1 << 40) - 404, "pauses": [], "paused": 0})),
            actions=(("call", "i", "host", [list(i32(7))]),), needs=f"{needs} action:call",
        ),
    ]  # fmt: skip


def _frame_checks() -> list[Check]:
    needs = "step:debug frames"
    divide, through = call("divide", i32(0)), call("through", i32(0))
    trap = Trapped("integer divide by zero")
    inner, outer = [[3, 148], [4, 154]], [[2, 138], [5, 165]]

    def shown(*frames: list[int]) -> tuple[Any, Any]:
        return trap, {"frames": list(frames)}

    return [
        _check(
            "frames of a trap", (divide, (trap, None)), _frames(20), (divide, shown(*inner)), _frames(1),
            (divide, shown(inner[0])), _frames(0), (divide, (trap, None)), needs=f"{needs} after-trap",
        ),
        _check(
            "frames of several activations", _frames(20), (through, shown(*inner, *outer)),
            actions=(("call", "i", "divide", [list(i32(0))]),), needs=f"{needs} action:call",
        ),
    ]  # fmt: skip


FUEL_CHECKS: tuple[Check, ...] = (*_fuel_checks(), *_slice_checks(), *_frame_checks())
