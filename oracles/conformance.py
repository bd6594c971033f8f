"""The kit that every adapter passes: small plans, and the one answer that each step may have.

A :class:`Check` says what it needs; an adapter whose description lacks that must answer ``Unsupported`` somewhere and
may not answer anything wrong before, one that claims it must answer exactly.  So a description cannot be too modest
without being silent, nor too bold.  ``failures(run, description)`` runs the kit; an empty list is a pass.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from oracles.conformance_modules import binary
from oracles.outcome import Blocked, Exhausted, HostError, Rejected, Returned, Threw, Trapped, Unsupported
from oracles.plan import HOST, HostFunc, Limits, Plan, Step, Value, host_mix
from oracles.traps import merged

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from oracles.adapter import Description
    from oracles.outcome import Record

__all__ = ["CHECKS", "Check", "failure", "failures"]


@dataclass(frozen=True)
class Check:
    """A plan with the outcome and data of each step, and what an engine must claim to be held to it.

    ``needs`` is a set of ``feature:NAME``, ``step:KIND``, ``action:NAME``, ``type:NAME``, ``sees:PART`` of the words
    of ``Description.can``, and ``fuel``.
    """

    name: str
    plan: Plan
    expected: tuple[tuple[Any, Any], ...]
    needs: frozenset[str] = frozenset()

    def claimed(self, description: Description) -> bool:
        """Return whether the description claims all that the check needs."""
        claims = {f"feature:{f}" for f in description.features} | {f"step:{s}" for s in description.steps}
        claims |= {f"action:{a}" for a in description.actions} | {f"type:{t}" for t in description.types}
        claims |= {f"sees:{s}" for s in description.sees} | set(description.can)
        claims |= {"fuel"} if description.fuel else set()
        return self.needs <= claims


def failures(run: Callable[[Plan], list[Record]], description: Description) -> list[str]:
    """Return a sentence for each check that the engine behind ``run`` does not pass."""
    found = [failure(check, run, description) for check in CHECKS]
    return [text for text in found if text is not None]


def failure(check: Check, run: Callable[[Plan], list[Record]], description: Description) -> str | None:
    """Return how the engine fails a check, or None."""
    plan = replace(check.plan, nan=description.nan[0])
    records = run(plan)
    claimed = check.claimed(description)
    for i, (outcome, data) in enumerate(check.expected):
        place = f"{check.name}, step {i} ({check.plan.steps[i].kind})"
        if i >= len(records):
            return f"{place}: no record"
        got = records[i]
        if isinstance(got.outcome, Unsupported):
            return f"{place}: claimed, yet {got.outcome}" if claimed else None
        if not _alike(outcome, got.outcome, description):
            return f"{place}: {got.outcome} instead of {outcome}"
        if not _same(data, _asked(got.data)):
            return f"{place}: {got.data} instead of {data}"
    return None if len(records) == len(check.expected) else f"{check.name}: {len(records)} records"


def _alike(want: Any, got: Any, description: Description) -> bool:
    """Compare what is meant: texts and places are free, phrases within the engine's merges, stages as far as known."""
    if type(want) is not type(got):
        return False
    if isinstance(want, Trapped):
        return bool(got.trap in merged(want.trap, description.name, description.version))
    if isinstance(want, Rejected):
        return bool(got.stage in (want.stage, "module" if want.stage in ("malformed", "invalid") else want.stage))
    if isinstance(want, Exhausted):
        return bool(want.resource == got.resource)
    if isinstance(want, Returned):
        return _same(_plain(want.values), _plain(got.values))
    return isinstance(want, Blocked) or bool(want == got)


def _same(want: Any, got: Any) -> bool:
    """Compare plain data; a reference shown as ``"?"`` is one that is not null."""
    if isinstance(want, dict) and isinstance(got, dict):
        return want.keys() == got.keys() and all(_same(v, got[k]) for k, v in want.items())
    if isinstance(want, list) and isinstance(got, list):
        return len(want) == len(got) and all(map(_same, want, got))
    return bool(want == got) or (got == "?" and isinstance(want, int))


def _asked(data: Any) -> Any:
    """Return the answer as plain data without ``executed``, which an engine that counts adds unasked."""
    return {k: _plain(v) for k, v in (data or {}).items() if k != "executed"} or None


def _plain(data: Any) -> Any:
    """Return data as it is after a journey through JSON."""
    if isinstance(data, dict):
        return {k: _plain(v) for k, v in data.items()}
    if isinstance(data, (list, tuple)):
        return [_plain(v) for v in data]
    return data


# what the checks are written in

_OK = (Returned(), None)
_BLOCKED = (Blocked(""), None)
_NAN = {
    "i32": ("00000000", "80000000", "ffffffff"),
    "i64": ("0000000000000001", "8000000000000000", "ffffffffffffffff"),
    "f32": ("7fc00000", "7fa00001", "ffffffff", "80000000", "00000001"),
    "f64": ("7ff8000000000000", "7ff4000000000001", "ffffffffffffffff", "8000000000000000", "0000000000000001"),
    "v128": ("00112233445566778899aabbccddeeff", "7fa00001ffffffff7ff4000000000001"),
}
_OUT_OF_BOUNDS = Trapped("out of bounds memory access")


def i32(n: int) -> Value:
    return "i32", f"{n % 2**32:08x}"


def i64(n: int) -> Value:
    return "i64", f"{n % 2**64:016x}"


def _call(export: str, *args: Value, on: str = "i") -> Step:
    return Step("call", {"instance": on, "export": export, "args": [list(a) for a in args]})


def _make(module: str, instance: str = "i", **imports: list[str]) -> Step:
    return Step("instantiate", {"instance": instance, "module": module, "imports": imports})


def _on(kind: str, export: str, instance: str = "i", **fields: Any) -> Step:
    return Step(kind, {"instance": instance, "export": export, **fields})


_OBSERVE = Step("observe", {})


def _values(*values: Value) -> tuple[Any, Any]:
    return Returned(values), None


def _check(name: str, *steps: tuple[Step, tuple[Any, Any]], needs: str = "", **fields: Any) -> Check:
    modules = {s["module"]: binary(s["module"]) for s, _ in steps if "module" in s.args and s["module"] in _KNOWN}
    features = ("mvp", "mutable-globals", *(n.partition(":")[2] for n in needs.split() if n.startswith("feature:")))
    modules.update(fields.pop("modules", {}))
    plan = Plan(tuple(s for s, _ in steps), modules, features=features, **fields)
    return Check(name, plan, tuple(e for _, e in steps), frozenset(needs.split()))


_KNOWN = frozenset({
    "echo", "echo_vector", "echo_reference", "many", "traps", "trap_table", "state", "wide", "table_grow", "host",
    "provider", "consumer", "mistyped", "start_traps", "segment_traps", "ill_typed", "loop", "functions", "exceptions",
    "objects",
})  # fmt: skip


def _echoes(module: str, types: tuple[str, ...], needs: str) -> Check:
    calls = [(_call(t, (t, bits)), _values((t, bits))) for t in types for bits in _NAN[t]]
    return _check(f"bits of {module}", (_make(module), _OK), *calls, needs=needs)


def _values_checks() -> list[Check]:
    swapped = (("f64", "7ff4000000000001"), ("f32", "7fa00001"), i64(-1), i32(7))
    echo = [
        (_call("funcref", ("funcref", None)), _values(("funcref", None))),
        (_call("funcref", ("funcref", 1)), _values(("funcref", 1))),
        (_call("externref", ("externref", None)), _values(("externref", None))),
        (_call("externref", ("externref", 0)), _values(("externref", 0))),
        (_call("externref", ("externref", 9)), _values(("externref", 9))),
        (_call("funcref", ("funcref", 7)), _BLOCKED),
    ]
    slots = [["funcref", 2], ["funcref", 0], ["funcref", 3], ["funcref", None]]
    shown = {"functions": {"memories": {}, "globals": {}, "tables": {"table": slots}}}
    return [
        _echoes("echo", ("i32", "i64", "f32", "f64"), ""),
        _echoes("echo_vector", ("v128",), "feature:simd type:v128"),
        _check(
            "references", (_make("echo_reference"), _OK), *echo,
            needs="feature:reference-types type:funcref type:externref",
        ),
        _object_check(),
        _check(
            "several results", (_make("many"), _OK),
            (_call("swap", *reversed(swapped)), _values(*swapped)), (_call("none"), _values()),
            needs="feature:multi-value",
        ),
        _check(
            "functions are numbered by first sight", (_make("functions", "functions", env=[HOST]), _OK),
            (_call("pick", i32(0), on="functions"), _values(("funcref", 2))),
            (_call("pick", i32(1), on="functions"), _values(("funcref", 0))),
            (_OBSERVE, (Returned(), {"instances": shown, "trace": []})),
            needs="feature:reference-types type:funcref sees:tables action:record",
            hosts={"f": HostFunc(("i32", "f64"), ("i64",))},
        ),
        _check(
            "values that do not fit", (_make("echo"), _OK), (_call("i32", i64(0)), _BLOCKED), (_call("i32"), _BLOCKED),
            (_call("nothing"), _BLOCKED), (_call("i32", i32(1)), _values(i32(1))),
        ),
    ]  # fmt: skip


def _object_check() -> Check:
    """References of the garbage-collected hierarchy: what their payloads are, and which of them may be passed."""

    def same(export: str, payload: Any) -> tuple[Step, tuple[Any, Any]]:
        return _call(export, ("anyref", payload)), _values(("anyref", payload))

    most = {"i31": 2**31 - 1}
    slots = [["anyref", None], ["anyref", most], ["anyref", "array"]]
    shown = {"memories": {}, "tables": {"objects": slots}, "globals": {"object": ["anyref", "struct"]}}
    return _check(
        "objects", (_make("objects"), _OK),
        *[same("any", payload) for payload in (None, {"i31": 0}, most, {"host": 3})],
        *[same("eq", payload) for payload in (None, {"i31": 1})], same("struct", None),
        (_call("eq", ("anyref", {"host": 3})), _BLOCKED), (_call("struct", ("anyref", {"i31": 1})), _BLOCKED),
        (_call("make"), _values(("anyref", "struct"), ("anyref", "array"), ("anyref", {"i31": 2**31 - 2}))),
        (_call("internal", ("externref", 5)), _values(("anyref", {"host": 5}))),
        (_call("internal", ("externref", None)), _values(("anyref", None))),
        (_call("external", i32(0)), _values(("externref", None))),
        (_call("external", i32(1)), _values(("externref", {"any": most}))),
        (_call("external", i32(2)), _values(("externref", {"any": "array"}))),
        (_OBSERVE, (Returned(), {"instances": {"i": shown}, "trace": []})),
        needs="feature:gc feature:function-references feature:reference-types feature:bulk-memory feature:multi-value "
        "type:anyref type:externref sees:tables sees:globals",
    )  # fmt: skip


def _trap_checks() -> list[Check]:
    def trapped(phrase: str) -> tuple[Any, Any]:
        return Trapped(phrase), None

    kinds = (
        (_call("unreachable"), trapped("unreachable")),
        (_call("divide", i32(1), i32(0)), trapped("integer divide by zero")),
        (_call("divide", i32(-(2**31)), i32(-1)), trapped("integer overflow")),
        (_call("truncate", ("f64", "7ff8000000000000")), trapped("invalid conversion to integer")),
        (_call("truncate", ("f64", "41e0000000000000")), trapped("integer overflow")),
        (_call("load", i32(65533)), trapped("out of bounds memory access")),
        (_call("indirect", i32(0)), trapped("uninitialized element")),
        (_call("indirect", i32(3)), trapped("undefined element")),
        (_call("mismatch", i32(1)), trapped("indirect call type mismatch")),
        (_call("recurse"), (Exhausted("stack"), None)),
    )
    fine = (_call("indirect", i32(1)), _values(i32(1)))
    return [
        *(_check(f"trap {n}", (_make("traps"), _OK), fine, kind) for n, kind in enumerate(kinds)),
        _check("traps in a row", (_make("traps"), _OK), *kinds, fine, needs="after-trap"),
        _check(
            "table trap", (_make("trap_table"), _OK), (_call("get", i32(1)), _values(i32(1))),
            (_call("get", i32(2)), trapped("out of bounds table access")), needs="feature:reference-types",
        ),
        _check(
            "a trapping start function", (_make("start_traps"), trapped("unreachable")), (_call("run"), _BLOCKED),
        ),
        _check(
            "a trapping segment leaves the others", (_make("provider", "lib"), _OK),
            (_make("segment_traps", lib=["lib"]), trapped("out of bounds memory access")),
            (_on("read", "memory", "lib", address=8, length=4), (Returned(), {"bytes": b"kept".hex()})),
            (_on("read", "memory", "lib", address=65535, length=1), (Returned(), {"bytes": "00"})),
            needs="step:read feature:bulk-memory imports",
        ),
        _check(
            "fuel", (_make("loop"), _OK), (_call("spin"), (Exhausted("fuel"), None)), (_call("one"), _values(i32(1))),
            needs="fuel", limits=Limits(fuel=100_000),
        ),
    ]  # fmt: skip


def _state(pages: int, crc: Mapping[str, str], slots: list[Any], counter: int) -> tuple[Any, Any]:
    globals_ = {"counter": list(i64(counter)), "fixed": ["f32", "7fa00001"]}
    memories = {"memory": {"pages": pages, "crc": dict(crc)}}
    return Returned(), {
        "instances": {"i": {"memories": memories, "tables": {"table": slots}, "globals": globals_}},
        "trace": [],
    }


def _state_checks() -> list[Check]:
    crc_at_5000 = {"1": "25e33190"}  # of a page that is zero but for 01 02 03 04 at 904
    slots = [["funcref", None], ["funcref", 0], ["funcref", None]]
    return [
        _check(
            "state", (_make("state"), _OK), (_OBSERVE, _state(1, {}, slots, -2)),
            (_call("store", i32(5000), i32(0x04030201)), _values()), (_call("count"), _values(i64(-1))),
            (_OBSERVE, _state(1, crc_at_5000, slots, -1)),
            (_call("grow", i32(2)), _values(i32(1))), (_call("grow", i32(1)), _values(i32(-1))),
            (_call("store", i32(5000), i32(0)), _values()), (_OBSERVE, _state(3, {}, slots, -1)),
            needs="sees:memories sees:tables sees:globals",
        ),
        _check(
            "globals from outside", (_make("state"), _OK),
            (_on("get", "fixed"), (Returned(), {"value": ["f32", "7fa00001"]})),
            (_on("set", "counter", value=list(i64(41))), _OK), (_call("count"), _values(i64(42))),
            (_on("set", "fixed", value=["f32", "00000000"]), _BLOCKED),
            (_on("set", "counter", value=list(i32(1))), _BLOCKED), (_on("get", "memory"), _BLOCKED),
            needs="step:get step:set",
        ),
        _check(
            "memory from outside", (_make("state"), _OK),
            (_on("write", "memory", address=65532, data="2a000000"), _OK),
            (_call("load", i32(65532)), _values(i32(42))),
            (_on("read", "memory", address=65530, length=4), (Returned(), {"bytes": "00002a00"})),
            (_on("read", "memory", address=65533, length=4), (_OUT_OF_BOUNDS, None)),
            (_on("write", "memory", address=65533, data="01020304"), (_OUT_OF_BOUNDS, None)),
            (_call("load", i32(65532)), _values(i32(42))),
            (_on("grow", "memory", delta=1), (Returned(), {"size": 1})), (_call("size"), _values(i32(2))),
            (_on("grow", "memory", delta=2), (Returned(), {"size": -1})), (_call("size"), _values(i32(2))),
            (_on("read", "nothing", address=0, length=1), _BLOCKED),
            needs="step:read step:write step:grow",
        ),
        _check(
            "limits of memories", (_make("wide"), _OK), (_call("grow", i32(3)), _values(i32(1))),
            (_call("grow", i32(1)), _values(i32(-1))), needs="limits", limits=Limits(memory_pages=4),
        ),
        _check(
            "limits of tables", (_make("table_grow"), _OK), (_call("grow", i32(9)), _values(i32(1))),
            (_call("grow", i32(1)), _values(i32(-1))), (_on("grow", "table", delta=1), (Returned(), {"size": -1})),
            needs="feature:reference-types step:grow limits", limits=Limits(table_elements=10),
        ),
    ]  # fmt: skip


_ARGS = (i32(5), ("f64", "7ff4000000000001"))


def _host_check(name: str, actions: list[list[Any]], *steps: tuple[Step, tuple[Any, Any]], needs: str) -> Check:
    host = HostFunc(("i32", "f64"), ("i64",), tuple(tuple(a) for a in actions))
    return _check(f"host: {name}", (_make("host", env=[HOST]), _OK), *steps, needs=needs, hosts={"f": host})


def _host_checks() -> list[Check]:
    zero = _values(i64(0))
    mix = host_mix(77, list(_ARGS), ("i64",))
    trace = [["f", [list(v) for v in _ARGS]]]
    seen = (Returned(), {"instances": {}, "trace": trace})
    call = _call("call", *_ARGS)
    shown = {
        "memories": {"memory": {"pages": 1, "crc": {}}},
        "tables": {"table": [["funcref", None], ["funcref", 0]]},
        "globals": {"global": list(i32(1))},
    }
    return [
        _host_check(
            "record and mix", [["record"], ["mix", 77]], (call, _values(*mix)),
            (Step("observe", {"instances": []}), seen),
            (Step("observe", {"instances": []}), (Returned(), {"instances": {}, "trace": []})),
            needs="action:record action:mix",
        ),
        _host_check(
            "mem.write", [["mem.write", "i", "memory", 4, "0a000000"], ["mem.write", "i", "memory", 65536, "00"]],
            (call, zero), (_call("load", i32(4)), _values(i32(10))), needs="action:mem.write",
        ),
        _host_check(
            "mem.grow", [["mem.grow", "i", "memory", 1]], (call, zero), (_call("load", i32(65536)), _values(i32(0))),
            needs="action:mem.grow",
        ),
        _host_check(
            "global.set", [["global.set", "i", "global", list(i32(9))]], (call, zero),
            (_on("get", "global"), (Returned(), {"value": list(i32(9))})), needs="action:global.set step:get",
        ),
        _host_check(
            "table.set", [["table.set", "i", "table", n, ["funcref", 0]] for n in (1, 2)],
            (call, zero), (_OBSERVE, (Returned(), {"instances": {"i": shown}, "trace": []})),
            needs="action:table.set sees:memories sees:tables sees:globals",
        ),
        _host_check(
            "call", [["call", "i", "bump", []], ["call", "absent", "bump", []]], (call, zero), (call, zero),
            (_on("get", "global"), (Returned(), {"value": list(i32(3))})), needs="action:call step:get",
        ),
        _host_check(
            "a nested trap ends the call", [["call", "i", "fail", []]], (call, (Trapped("unreachable"), None)),
            (_call("load", i32(0)), _values(i32(0))), needs="action:call after-trap",
        ),
        _host_check(
            "endless re-entry", [["call", "i", "call", [list(v) for v in _ARGS]]], (call, (Exhausted("stack"), None)),
            (_call("load", i32(0)), _values(i32(0))), needs="action:call after-trap",
        ),
        _host_check(
            "trap on the second call", [["trap", "T", 2]], (call, zero), (call, (HostError("T"), None)), (call, zero),
            needs="action:trap after-trap",
        ),
        _host_check("trap", [["trap", "T", 0]], (call, (HostError("T"), None)), needs="action:trap"),
        _host_check(
            "a nested trap", [["call", "i", "fail", []]], (call, (Trapped("unreachable"), None)), needs="action:call",
        ),
        _host_check(
            "trap always", [["trap", "T", 0]], (call, (HostError("T"), None)), (call, (HostError("T"), None)),
            needs="action:trap after-trap",
        ),
    ]  # fmt: skip


def _exception_checks() -> list[Check]:
    payload = (i32(5), ("f64", "7ff4000000000001"))
    threw, caught, ok = (Threw(0, payload), None), _values(*payload), _values()
    make = (_make("exceptions", env=[HOST]), _OK)

    def check(name: str, actions: list[list[Any]], *steps: tuple[Step, tuple[Any, Any]], needs: str = "") -> Check:
        host = HostFunc((), (), tuple(tuple(a) for a in actions))
        needs = f"feature:exceptions feature:multi-value {needs}"
        return _check(f"exceptions: {name}", make, *steps, needs=needs, hosts={"f": host})

    values = [list(v) for v in payload]
    return [
        check("caught or not", [], (_call("throw", *payload), threw), (_call("catch", *payload), caught)),
        check("a trap is none", [], (_call("fail"), (Trapped("unreachable"), None))),
        check(
            "through a host function", [["call", "i", "throw", values]], (_call("call and catch"), caught),
            (_call("call"), threw), (_call("call and catch"), caught), needs="action:call",
        ),
        check(
            "thrown by a host function", [["throw", "i", "tag", values, 0]], (_call("call and catch"), caught),
            (_call("call"), threw), needs="action:throw",
        ),
        check(
            "thrown on the second call", [["throw", "i", "tag", values, 2]],
            (_call("call"), ok), (_call("call"), threw), (_call("call"), ok), needs="action:throw",
        ),
        check(
            "not thrown", [
                ["throw", "i", "tag", values[:1], 0], ["throw", "i", "tag", values[::-1], 0],
                ["throw", "i", "fail", [], 0], ["throw", "absent", "tag", values, 0],
            ], (_call("call"), ok), needs="action:throw",
        ),
    ]  # fmt: skip


def _link_checks() -> list[Check]:
    unlinkable = (Rejected("unlinkable"), None)
    return [
        _check(
            "instances share", (_make("provider", "lib"), _OK), (_make("consumer", lib=["lib"]), _OK),
            (_call("run"), _values(i32(42))), (_call("again"), _values(i32(42))),
            (_call("func", on="lib"), _values(i32(42))), needs="imports",
        ),
        _check("an unknown import", (_make("consumer", lib=[]), unlinkable), (_call("run"), _BLOCKED), needs="imports"),
        _check(
            "the first provider that has the name", (_make("provider", "lib"), _OK),
            (_make("consumer", lib=[HOST, "lib"]), _OK), (_call("run"), _values(i32(42))), needs="imports",
        ),
        _check(
            "an import of another type", (_make("provider", "lib"), _OK),
            (_make("mistyped", lib=["lib"]), unlinkable), needs="imports",
        ),
        _check("a missing provider", (_make("mistyped", lib=["lib"]), _BLOCKED), needs="imports"),
    ]  # fmt: skip


def _module_checks() -> list[Check]:
    validate = Step("validate", {"module": "m"})
    ill = Step("validate", {"module": "ill_typed"})
    return [
        _check(
            "malformed", (validate, (Rejected("malformed"), None)), (_make("m"), (Rejected("malformed"), None)),
            (_call("run"), _BLOCKED), modules={"m": b"\0asm\1\0\0\0\1\5"}, needs="step:validate",
        ),
        _check(
            "invalid", (ill, (Rejected("invalid"), None)), (_make("ill_typed"), (Rejected("invalid"), None)),
            needs="step:validate",
        ),
        _check("valid", (Step("validate", {"module": "state"}), _OK), needs="step:validate"),
        _check("an absent module", (validate, _BLOCKED), (_make("m"), _BLOCKED), needs="step:validate"),
    ]  # fmt: skip


CHECKS: tuple[Check, ...] = (
    *_values_checks(), *_trap_checks(), *_state_checks(), *_host_checks(), *_exception_checks(), *_link_checks(),
    *_module_checks(),
)  # fmt: skip
