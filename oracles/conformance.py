"""The kit that every adapter passes: small plans, and the one answer that each step may have.

A :class:`Check` says what it needs; an adapter whose description lacks that must answer ``Unsupported`` somewhere and
may not answer anything wrong before, one that claims it must answer exactly.  So a description cannot be too modest
without being silent, nor too bold.  Where numbers are an engine's own affair, what its fuel counts for instance, a
check is made of engines that say they have the same.  ``failures(run, description)`` runs the kit; an empty list is a
pass.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from oracles.conformance_fuel import FUEL_CHECKS
from oracles.conformance_plans import BLOCKED, OBSERVE, OK, Check, call, check, i32, i64, make, on, values
from oracles.outcome import Blocked, Exhausted, HostError, Rejected, Returned, Threw, Trapped, Unsupported
from oracles.plan import HOST, HostFunc, Limits, Plan, Step, host_mix
from oracles.traps import merged

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from oracles.adapter import Description
    from oracles.outcome import Record

__all__ = ["CHECKS", "Check", "failure", "failures"]


def failures(run: Callable[[Plan], list[Record]], description: Description) -> list[str]:
    """Return a sentence for each check that the engine behind ``run`` does not pass."""
    found = [failure(check, run, description) for check in CHECKS]
    return [text for text in found if text is not None]


def failure(check: Check, run: Callable[[Plan], list[Record]], description: Description) -> str | None:
    """Return how the engine fails a check, or None."""
    if not check.applies(description):
        return None
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


_NAN = {
    "i32": ("00000000", "80000000", "ffffffff"),
    "i64": ("0000000000000001", "8000000000000000", "ffffffffffffffff"),
    "f32": ("7fc00000", "7fa00001", "ffffffff", "80000000", "00000001"),
    "f64": ("7ff8000000000000", "7ff4000000000001", "ffffffffffffffff", "8000000000000000", "0000000000000001"),
    "v128": ("00112233445566778899aabbccddeeff", "7fa00001ffffffff7ff4000000000001"),
}
_OUT_OF_BOUNDS = Trapped("out of bounds memory access")


def _echoes(module: str, types: tuple[str, ...], needs: str) -> Check:
    calls = [(call(t, (t, bits)), values((t, bits))) for t in types for bits in _NAN[t]]
    return check(f"bits of {module}", (make(module), OK), *calls, needs=needs)


def _values_checks() -> list[Check]:
    swapped = (("f64", "7ff4000000000001"), ("f32", "7fa00001"), i64(-1), i32(7))
    echo = [
        (call("funcref", ("funcref", None)), values(("funcref", None))),
        (call("funcref", ("funcref", 1)), values(("funcref", 1))),
        (call("externref", ("externref", None)), values(("externref", None))),
        (call("externref", ("externref", 0)), values(("externref", 0))),
        (call("externref", ("externref", 9)), values(("externref", 9))),
        (call("funcref", ("funcref", 7)), BLOCKED),
    ]
    slots = [["funcref", 2], ["funcref", 0], ["funcref", 3], ["funcref", None]]
    shown = {"functions": {"memories": {}, "globals": {}, "tables": {"table": slots}}}
    return [
        _echoes("echo", ("i32", "i64", "f32", "f64"), ""),
        _echoes("echo_vector", ("v128",), "feature:simd type:v128"),
        check(
            "references", (make("echo_reference"), OK), *echo,
            needs="feature:reference-types type:funcref type:externref",
        ),
        _object_check(),
        check(
            "several results", (make("many"), OK),
            (call("swap", *reversed(swapped)), values(*swapped)), (call("none"), values()),
            needs="feature:multi-value",
        ),
        check(
            "functions are numbered by first sight", (make("functions", "functions", env=[HOST]), OK),
            (call("pick", i32(0), on="functions"), values(("funcref", 2))),
            (call("pick", i32(1), on="functions"), values(("funcref", 0))),
            (OBSERVE, (Returned(), {"instances": shown, "trace": []})),
            needs="feature:reference-types type:funcref sees:tables action:record",
            hosts={"f": HostFunc(("i32", "f64"), ("i64",))},
        ),
        check(
            "values that do not fit", (make("echo"), OK), (call("i32", i64(0)), BLOCKED), (call("i32"), BLOCKED),
            (call("nothing"), BLOCKED), (call("i32", i32(1)), values(i32(1))),
        ),
    ]  # fmt: skip


def _object_check() -> Check:
    """References of the garbage-collected hierarchy: what their payloads are, and which of them may be passed."""

    def same(export: str, payload: Any) -> tuple[Step, tuple[Any, Any]]:
        return call(export, ("anyref", payload)), values(("anyref", payload))

    most = {"i31": 2**31 - 1}
    slots = [["anyref", None], ["anyref", most], ["anyref", "array"]]
    shown = {"memories": {}, "tables": {"objects": slots}, "globals": {"object": ["anyref", "struct"]}}
    return check(
        "objects", (make("objects"), OK),
        *[same("any", payload) for payload in (None, {"i31": 0}, most, {"host": 3})],
        *[same("eq", payload) for payload in (None, {"i31": 1})], same("struct", None),
        (call("eq", ("anyref", {"host": 3})), BLOCKED), (call("struct", ("anyref", {"i31": 1})), BLOCKED),
        (call("make"), values(("anyref", "struct"), ("anyref", "array"), ("anyref", {"i31": 2**31 - 2}))),
        (call("internal", ("externref", 5)), values(("anyref", {"host": 5}))),
        (call("internal", ("externref", None)), values(("anyref", None))),
        (call("external", i32(0)), values(("externref", None))),
        (call("external", i32(1)), values(("externref", {"any": most}))),
        (call("external", i32(2)), values(("externref", {"any": "array"}))),
        (OBSERVE, (Returned(), {"instances": {"i": shown}, "trace": []})),
        needs="feature:gc feature:function-references feature:reference-types feature:bulk-memory feature:multi-value "
        "type:anyref type:externref sees:tables sees:globals",
    )  # fmt: skip


def _trap_checks() -> list[Check]:
    def trapped(phrase: str) -> tuple[Any, Any]:
        return Trapped(phrase), None

    kinds = (
        (call("unreachable"), trapped("unreachable")),
        (call("divide", i32(1), i32(0)), trapped("integer divide by zero")),
        (call("divide", i32(-(2**31)), i32(-1)), trapped("integer overflow")),
        (call("truncate", ("f64", "7ff8000000000000")), trapped("invalid conversion to integer")),
        (call("truncate", ("f64", "41e0000000000000")), trapped("integer overflow")),
        (call("load", i32(65533)), trapped("out of bounds memory access")),
        (call("indirect", i32(0)), trapped("uninitialized element")),
        (call("indirect", i32(3)), trapped("undefined element")),
        (call("mismatch", i32(1)), trapped("indirect call type mismatch")),
        (call("recurse"), (Exhausted("stack"), None)),
    )
    fine = (call("indirect", i32(1)), values(i32(1)))
    return [
        *(check(f"trap {n}", (make("traps"), OK), fine, kind) for n, kind in enumerate(kinds)),
        check("traps in a row", (make("traps"), OK), *kinds, fine, needs="after-trap"),
        check(
            "table trap", (make("trap_table"), OK), (call("get", i32(1)), values(i32(1))),
            (call("get", i32(2)), trapped("out of bounds table access")), needs="feature:reference-types",
        ),
        check(
            "a trapping start function", (make("start_traps"), trapped("unreachable")), (call("run"), BLOCKED),
        ),
        check(
            "a trapping segment leaves the others", (make("provider", "lib"), OK),
            (make("segment_traps", lib=["lib"]), trapped("out of bounds memory access")),
            (on("read", "memory", "lib", address=8, length=4), (Returned(), {"bytes": b"kept".hex()})),
            (on("read", "memory", "lib", address=65535, length=1), (Returned(), {"bytes": "00"})),
            needs="step:read feature:bulk-memory imports",
        ),
        check(
            "fuel", (make("loop"), OK), (call("spin"), (Exhausted("fuel"), None)), (call("one"), values(i32(1))),
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
        check(
            "state", (make("state"), OK), (OBSERVE, _state(1, {}, slots, -2)),
            (call("store", i32(5000), i32(0x04030201)), values()), (call("count"), values(i64(-1))),
            (OBSERVE, _state(1, crc_at_5000, slots, -1)),
            (call("grow", i32(2)), values(i32(1))), (call("grow", i32(1)), values(i32(-1))),
            (call("store", i32(5000), i32(0)), values()), (OBSERVE, _state(3, {}, slots, -1)),
            needs="sees:memories sees:tables sees:globals",
        ),
        check(
            "globals from outside", (make("state"), OK),
            (on("get", "fixed"), (Returned(), {"value": ["f32", "7fa00001"]})),
            (on("set", "counter", value=list(i64(41))), OK), (call("count"), values(i64(42))),
            (on("set", "fixed", value=["f32", "00000000"]), BLOCKED),
            (on("set", "counter", value=list(i32(1))), BLOCKED), (on("get", "memory"), BLOCKED),
            needs="step:get step:set",
        ),
        check(
            "memory from outside", (make("state"), OK),
            (on("write", "memory", address=65532, data="2a000000"), OK),
            (call("load", i32(65532)), values(i32(42))),
            (on("read", "memory", address=65530, length=4), (Returned(), {"bytes": "00002a00"})),
            (on("read", "memory", address=65533, length=4), (_OUT_OF_BOUNDS, None)),
            (on("write", "memory", address=65533, data="01020304"), (_OUT_OF_BOUNDS, None)),
            (call("load", i32(65532)), values(i32(42))),
            (on("grow", "memory", delta=1), (Returned(), {"size": 1})), (call("size"), values(i32(2))),
            (on("grow", "memory", delta=2), (Returned(), {"size": -1})), (call("size"), values(i32(2))),
            (on("read", "nothing", address=0, length=1), BLOCKED),
            needs="step:read step:write step:grow",
        ),
        check(
            "limits of memories", (make("wide"), OK), (call("grow", i32(3)), values(i32(1))),
            (call("grow", i32(1)), values(i32(-1))), needs="limits", limits=Limits(memory_pages=4),
        ),
        check(
            "limits of tables", (make("table_grow"), OK), (call("grow", i32(9)), values(i32(1))),
            (call("grow", i32(1)), values(i32(-1))), (on("grow", "table", delta=1), (Returned(), {"size": -1})),
            needs="feature:reference-types step:grow limits", limits=Limits(table_elements=10),
        ),
    ]  # fmt: skip


_ARGS = (i32(5), ("f64", "7ff4000000000001"))


def _host_check(name: str, actions: list[list[Any]], *steps: tuple[Step, tuple[Any, Any]], needs: str) -> Check:
    host = HostFunc(("i32", "f64"), ("i64",), tuple(tuple(a) for a in actions))
    return check(f"host: {name}", (make("host", env=[HOST]), OK), *steps, needs=needs, hosts={"f": host})


def _host_checks() -> list[Check]:
    zero = values(i64(0))
    mix = host_mix(77, list(_ARGS), ("i64",))
    trace = [["f", [list(v) for v in _ARGS]]]
    seen = (Returned(), {"instances": {}, "trace": trace})
    calling = call("call", *_ARGS)
    shown = {
        "memories": {"memory": {"pages": 1, "crc": {}}},
        "tables": {"table": [["funcref", None], ["funcref", 0]]},
        "globals": {"global": list(i32(1))},
    }
    return [
        _host_check(
            "record and mix", [["record"], ["mix", 77]], (calling, values(*mix)),
            (Step("observe", {"instances": []}), seen),
            (Step("observe", {"instances": []}), (Returned(), {"instances": {}, "trace": []})),
            needs="action:record action:mix",
        ),
        _host_check(
            "mem.write", [["mem.write", "i", "memory", 4, "0a000000"], ["mem.write", "i", "memory", 65536, "00"]],
            (calling, zero), (call("load", i32(4)), values(i32(10))), needs="action:mem.write",
        ),
        _host_check(
            "mem.grow", [["mem.grow", "i", "memory", 1]], (calling, zero), (call("load", i32(65536)), values(i32(0))),
            needs="action:mem.grow",
        ),
        _host_check(
            "global.set", [["global.set", "i", "global", list(i32(9))]], (calling, zero),
            (on("get", "global"), (Returned(), {"value": list(i32(9))})), needs="action:global.set step:get",
        ),
        _host_check(
            "table.set", [["table.set", "i", "table", n, ["funcref", 0]] for n in (1, 2)],
            (calling, zero), (OBSERVE, (Returned(), {"instances": {"i": shown}, "trace": []})),
            needs="action:table.set sees:memories sees:tables sees:globals",
        ),
        _host_check(
            "call", [["call", "i", "bump", []], ["call", "absent", "bump", []]], (calling, zero), (calling, zero),
            (on("get", "global"), (Returned(), {"value": list(i32(3))})), needs="action:call step:get",
        ),
        _host_check(
            "a nested trap ends the call", [["call", "i", "fail", []]], (calling, (Trapped("unreachable"), None)),
            (call("load", i32(0)), values(i32(0))), needs="action:call after-trap",
        ),
        _host_check(
            "endless re-entry", [["call", "i", "call", [list(v) for v in _ARGS]]],
            (calling, (Exhausted("stack"), None)),
            (call("load", i32(0)), values(i32(0))), needs="action:call after-trap",
        ),
        _host_check(
            "trap on the second call", [["trap", "T", 2]],
            (calling, zero), (calling, (HostError("T"), None)), (calling, zero),
            needs="action:trap after-trap",
        ),
        _host_check("trap", [["trap", "T", 0]], (calling, (HostError("T"), None)), needs="action:trap"),
        _host_check(
            "a nested trap", [["call", "i", "fail", []]],
            (calling, (Trapped("unreachable"), None)), needs="action:call",
        ),
        _host_check(
            "trap always", [["trap", "T", 0]], (calling, (HostError("T"), None)), (calling, (HostError("T"), None)),
            needs="action:trap after-trap",
        ),
    ]  # fmt: skip


def _exception_checks() -> list[Check]:
    payload = (i32(5), ("f64", "7ff4000000000001"))
    threw, caught, ok = (Threw(0, payload), None), values(*payload), values()
    made = (make("exceptions", env=[HOST]), OK)

    def of_exceptions(
        name: str, actions: list[list[Any]], *steps: tuple[Step, tuple[Any, Any]], needs: str = ""
    ) -> Check:
        host = HostFunc((), (), tuple(tuple(a) for a in actions))
        needs = f"feature:exceptions feature:multi-value {needs}"
        return check(f"exceptions: {name}", made, *steps, needs=needs, hosts={"f": host})

    lists = [list(v) for v in payload]
    return [
        of_exceptions("caught or not", [], (call("throw", *payload), threw), (call("catch", *payload), caught)),
        of_exceptions("a trap is none", [], (call("fail"), (Trapped("unreachable"), None))),
        of_exceptions(
            "through a host function", [["call", "i", "throw", lists]], (call("call and catch"), caught),
            (call("call"), threw), (call("call and catch"), caught), needs="action:call",
        ),
        of_exceptions(
            "thrown by a host function", [["throw", "i", "tag", lists, 0]], (call("call and catch"), caught),
            (call("call"), threw), needs="action:throw",
        ),
        of_exceptions(
            "thrown on the second call", [["throw", "i", "tag", lists, 2]],
            (call("call"), ok), (call("call"), threw), (call("call"), ok), needs="action:throw",
        ),
        of_exceptions(
            "not thrown", [
                ["throw", "i", "tag", lists[:1], 0], ["throw", "i", "tag", lists[::-1], 0],
                ["throw", "i", "fail", [], 0], ["throw", "absent", "tag", lists, 0],
            ], (call("call"), ok), needs="action:throw",
        ),
    ]  # fmt: skip


def _link_checks() -> list[Check]:
    unlinkable = (Rejected("unlinkable"), None)
    return [
        check(
            "instances share", (make("provider", "lib"), OK), (make("consumer", lib=["lib"]), OK),
            (call("run"), values(i32(42))), (call("again"), values(i32(42))),
            (call("func", on="lib"), values(i32(42))), needs="imports",
        ),
        check("an unknown import", (make("consumer", lib=[]), unlinkable), (call("run"), BLOCKED), needs="imports"),
        check(
            "the first provider that has the name", (make("provider", "lib"), OK),
            (make("consumer", lib=[HOST, "lib"]), OK), (call("run"), values(i32(42))), needs="imports",
        ),
        check(
            "an import of another type", (make("provider", "lib"), OK),
            (make("mistyped", lib=["lib"]), unlinkable), needs="imports",
        ),
        check("a missing provider", (make("mistyped", lib=["lib"]), BLOCKED), needs="imports"),
    ]  # fmt: skip


def _module_checks() -> list[Check]:
    validate = Step("validate", {"module": "m"})
    ill = Step("validate", {"module": "ill_typed"})
    return [
        check(
            "malformed", (validate, (Rejected("malformed"), None)), (make("m"), (Rejected("malformed"), None)),
            (call("run"), BLOCKED), modules={"m": b"\0asm\1\0\0\0\1\5"}, needs="step:validate",
        ),
        check(
            "invalid", (ill, (Rejected("invalid"), None)), (make("ill_typed"), (Rejected("invalid"), None)),
            needs="step:validate",
        ),
        check("valid", (Step("validate", {"module": "state"}), OK), needs="step:validate"),
        check("an absent module", (validate, BLOCKED), (make("m"), BLOCKED), needs="step:validate"),
    ]  # fmt: skip


CHECKS: tuple[Check, ...] = (
    *_values_checks(), *_trap_checks(), *_state_checks(), *_host_checks(), *_exception_checks(), *_link_checks(),
    *_module_checks(), *FUEL_CHECKS,
)  # fmt: skip
