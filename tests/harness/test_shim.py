"""Plans as programs: wasmer passes the kit through the shim, and the words it tells are read as they were meant."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from engine.binary import decode
from engine.features import EXECUTED, SIMD
from engine.instructions import TABLE
from engine.validation import validate
from generators.module import generate
from generators.profile import PRESETS
from generators.source import Source
from harness.cases import fit_profile
from harness.compare import Agree, Differ, Side, compare
from harness.shim import Program, Shimmed, connect, described
from harness.shim_module import IMPORT, WASI, Refused
from oracles.adapter import Description
from oracles.adapters import wasmer1
from oracles.conformance import CHECKS, failure
from oracles.conformance_modules import binary
from oracles.outcome import Blocked, Crashed, Exhausted, HostError, Record, Returned, TimedOut, Trapped, Unsupported
from oracles.plan import HOST, HostFunc, Limits, Plan, Step, host_mix
from oracles.process import Oracle
from tests.support.wasm import wasm

if TYPE_CHECKING:
    from collections.abc import Iterator

    from oracles.conformance import Check


@pytest.fixture(scope="module")
def wasmer() -> Iterator[Shimmed | Oracle]:
    with connect("wasmer") as oracle:
        yield oracle


@pytest.mark.parametrize("check", CHECKS, ids=lambda c: c.name)
def test_wasmer_passes_the_kit(wasmer: Shimmed, check: Check) -> None:
    assert failure(check, wasmer.run, wasmer.description) is None


@pytest.mark.parametrize("flavour", [WASI, IMPORT])
@pytest.mark.parametrize("check", CHECKS, ids=lambda c: c.name)
def test_every_program_is_a_valid_module(check: Check, flavour: str) -> None:
    features = frozenset(EXECUTED)
    try:
        program = Program(check.plan, flavour)
    except Refused as e:
        assert str(e)
        return
    if flavour == IMPORT:
        validate(decode(program.wasm, features), features)
    else:  # two memories are not executed here yet; the engine says whether they are valid
        with Oracle("wasmtime") as oracle:
            plan = Plan((Step("validate", {"module": "m"}),), {"m": program.wasm})
            assert oracle.run(plan)[0].outcome == Returned()


def generated(index: int, description: Description) -> Plan:
    return generate(Source.fresh(7, index), fit_profile(PRESETS["standard"], [description])).plan


def plan_of(*steps: Step, **fields: object) -> Plan:
    modules = {"host": binary("host"), "state": binary("state"), "traps": binary("traps")}
    return Plan(steps, modules, nan="none", **fields)  # type: ignore[arg-type]


def make(module: str) -> Step:
    return Step("instantiate", {"instance": "i", "module": module, "imports": {"env": [HOST]}})


def call(export: str, *args: tuple[str, str | None]) -> Step:
    return Step("call", {"instance": "i", "export": export, "args": list(args)})


def told(*words: int) -> dict[str, str]:
    return {"output": b"".join(w.to_bytes(8, "little") for w in words).hex()}


DONE, TRACE, HOST_ERROR = 1 << 56, 2 << 56, 3 << 56


def test_what_follows_a_trap_is_lost_with_a_wasi_program() -> None:
    divide = call("divide", ("i32", "00000001"), ("i32", "00000000"))
    program = Program(plan_of(make("traps"), divide, call("unreachable")), WASI)
    answers = [Record(0, Returned()), Record(1, Trapped("integer divide by zero"), told(DONE))]
    outcomes = [r.outcome for r in program.records(answers)]
    assert outcomes == [
        Returned(), Trapped("integer divide by zero"), Unsupported("the program ended with an earlier step"),
    ]  # fmt: skip


def test_with_an_import_steps_go_on_after_a_trap() -> None:
    divide = call("divide", ("i32", "00000001"), ("i32", "00000000"))
    program = Program(plan_of(make("traps"), divide, call("indirect", ("i32", "00000001"))), IMPORT)
    answers = [
        Record(0, Returned()), Record(1, Returned(), told(DONE)), Record(2, Trapped("integer divide by zero"), told()),
        Record(3, Returned(), told(DONE, 1)),
    ]  # fmt: skip
    outcomes = [r.outcome for r in program.records(answers)]
    assert outcomes == [Returned(), Trapped("integer divide by zero"), Returned((("i32", "00000001"),))]


def test_a_host_that_traps_is_told_from_an_unreachable() -> None:
    hosts = {"f": HostFunc(("i32", "f64"), ("i64",), (("record",), ("trap", "T", 0)))}
    args = ("i32", "00000007"), ("f64", "7ff4000000000001")
    plan = plan_of(make("host"), call("call", *args), Step("observe", {"instances": []}), hosts=hosts)
    program = Program(plan, IMPORT)
    answers = [
        Record(0, Returned()), Record(1, Returned(), told(DONE)),
        Record(2, Trapped("unreachable"), told(TRACE, 7, 0x7FF4000000000001, HOST_ERROR | 1 << 32)),
        Record(3, Returned(), told(DONE)),
    ]  # fmt: skip
    records = program.records(answers)
    assert records[1].outcome == HostError("T")
    assert records[2].data == {"instances": {}, "trace": [["f", [list(a) for a in args]]]}


@pytest.mark.parametrize("end", [Crashed(11, "boom"), TimedOut(5), Exhausted("memory")])
def test_a_worker_that_ends_ends_the_list_at_the_step_at_fault(end: object) -> None:
    program = Program(plan_of(make("state"), call("count"), call("count")), IMPORT)
    answers = [Record(0, Returned()), Record(1, Returned(), told(DONE)), Record(2, end)]
    assert [r.outcome for r in program.records(answers)] == [Returned(), end]
    assert [r.outcome for r in program.records([Record(0, end)])] == [end]


def test_a_program_that_tells_too_little_is_a_crash_not_a_guess() -> None:
    program = Program(plan_of(make("state"), call("count")), WASI)
    records = program.records([Record(0, Returned()), Record(1, Returned(), told(DONE))])
    assert isinstance(records[-1].outcome, Crashed)


def test_what_a_program_cannot_say_is_unsupported_step_by_step() -> None:
    second = Step("instantiate", {"instance": "j", "module": "state", "imports": {}})
    read = Step("read", {"instance": "i", "export": "memory", "address": 0, "length": 1})
    program = Program(plan_of(make("state"), second, read, call("nothing"), call("count")), WASI)
    answers = [Record(0, Returned()), Record(1, Returned(), told(DONE, DONE, 5))]
    outcomes = [r.outcome for r in program.records(answers)]
    assert [type(o) for o in outcomes] == [Returned, Unsupported, Unsupported, Blocked, Returned]


@pytest.mark.parametrize(
    ("plan", "reason"),
    [
        (plan_of(call("count")), "without an instance"),
        (plan_of(make("host")), "does not match"),
        (plan_of(make("absent")), "not in the plan"),
        (plan_of(make("state"), limits=Limits(memory_pages=0)), "limit"),
    ],
)
def test_a_plan_that_no_program_can_be_made_of_is_refused(plan: Plan, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        Program(plan, WASI)


@pytest.mark.parametrize(
    "fields", ["(memory 1 1 shared)", "(memory i64 1)", "(memory 1 (pagesize 1))", "(table i64 1 funcref)"]
)
def test_memories_and_tables_that_a_program_could_not_show_are_refused(fields: str) -> None:
    plan = replace(plan_of(make("state")), modules={"state": wasm(fields)})
    with pytest.raises(Refused, match=r"a memory that is|64-bit indices"):
        Program(plan, WASI)


def test_a_described_oracle_claims_what_the_shim_adds() -> None:
    inner = Description("wasmer", "1", features=("mvp",), steps=("instantiate", "call"), actions=(), can=("wasi",))
    assert "after-trap" not in described(inner).can
    assert "observe" in described(inner).steps
    assert "after-trap" in described(replace(inner, can=("import",))).can


def test_a_module_with_an_instruction_that_the_engine_lacks_is_unsupported(wasmer: Shimmed) -> None:
    class Poor(Shimmed):
        @property
        def description(self) -> Description:
            return replace(super().description, without=("i32.clz", "i32.ctz"))

    module = wasm('(func (export "f") (result i32) (i32.ctz (i32.const 1)))')
    plan = Plan((Step("instantiate", {"instance": "i", "module": "m", "imports": {}}),), {"m": module}, nan="none")
    assert Poor(wasmer.oracle).run(plan)[0].outcome == Unsupported("instruction i32.ctz")
    assert Poor(wasmer.oracle).run(replace(plan, modules={"m": wasm("(func)")}))[0].outcome == Returned()


def test_what_the_old_wasmer_lacks_are_vector_instructions_of_the_table() -> None:
    names = wasmer1.DRAFT
    assert len(set(names)) == len(names) == 27
    assert {TABLE.by_name[name].feature for name in names} == {SIMD}


def test_vectors_pass_through_host_functions_and_globals(wasmer: Shimmed) -> None:
    module = wasm("""
        (import "host" "h" (func $h (param v128 f32) (result v128 i64)))
        (global (export "g") (mut v128) (v128.const i64x2 1 2))
        (func (export "f") (param v128) (result v128)
          (call $h (local.get 0) (f32.const 1)) (drop) (global.set 0) (global.get 0))""")
    vector = ("v128", "7fa00001ffffffff7ff4000000000001")
    host = HostFunc(("v128", "f32"), ("v128", "i64"), (("record",), ("mix", 7), ("global.set", "i", "g", vector)))
    steps = (
        Step("instantiate", {"instance": "i", "module": "m", "imports": {"host": [HOST]}}),
        Step("set", {"instance": "i", "export": "g", "value": vector}),
        Step("get", {"instance": "i", "export": "g"}),
        Step("call", {"instance": "i", "export": "f", "args": [vector]}),
        Step("observe", {}),
    )
    plan = Plan(steps, {"m": module}, hosts={"h": host}, nan="none")
    with Oracle("reference") as reference:
        left = Side("reference", reference.run(plan), "reference", "1")
    right = Side("wasmer", wasmer.run(plan), "wasmer", wasmer.description.version)
    assert compare(plan, left, right).verdict == Agree()
    assert right.records[2].data == {"value": list(vector)}
    assert right.records[3].outcome.values[0] == host_mix(7, [vector, ("f32", "3f800000")], ("v128",))[0]


def test_generated_cases_agree_with_the_reference(wasmer: Shimmed) -> None:
    compared = 0
    with Oracle("reference") as reference:
        for index in range(25):
            plan = generated(index, wasmer.description)
            left = Side("reference", reference.run(plan), "reference", "1")
            right = Side("wasmer", wasmer.run(plan), "wasmer", wasmer.description.version)
            comparison = compare(plan, left, right)
            assert not isinstance(comparison.verdict, Differ), json.dumps(plan.to_json())
            compared += sum(isinstance(r.outcome, Returned) for r in right.records)
    assert compared > 100


@pytest.mark.external
def test_the_old_wasmer_refuses_each_instruction_that_its_adapter_leaves_out() -> None:
    with connect("wasmer@1.1:cranelift") as oracle:
        assert oracle.description.without == wasmer1.DRAFT
        make = (Step("instantiate", {"instance": "i", "module": "m", "imports": {}}),)
        for name in wasmer1.DRAFT:
            pops = TABLE.by_name[name].arrow(None, ()).pops
            gets = " ".join(f"(local.get {x})" for x in range(len(pops)))
            module = wasm(f"(func (param {' '.join(map(str, pops))}) (drop ({name} {gets})))")
            inner = Program(Plan(make, {"m": module}, nan="none"), IMPORT).inner()
            (record, *_) = oracle.oracle.run(inner)
            assert "proposed simd operator" in getattr(record.outcome, "text", ""), name


@pytest.mark.external
@pytest.mark.parametrize("check", CHECKS, ids=lambda c: c.name)
@pytest.mark.parametrize("compiler", ["cranelift", "singlepass"])
def test_the_old_wasmer_passes_the_kit(compiler: str, check: Check) -> None:
    with connect(f"wasmer@1.1:{compiler}") as oracle:
        assert failure(check, oracle.run, oracle.description) is None
