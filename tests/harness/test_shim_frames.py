"""Frames of a trap through the shim: places in the driver module become those of the plan's module, or are left out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from engine.binary import decode
from engine.features import EXECUTED
from harness.shim import Program, Shimmed, connect, described
from harness.shim_module import IMPORT, WASI
from harness.shim_places import NOWHERE, Places
from oracles.adapter import MAX_FRAMES, REENTRY_LIMIT, Description
from oracles.outcome import Blocked, Exhausted, HostError, Record, Returned, Trapped, Unsupported
from oracles.plan import HOST, HostFunc, Plan, Step
from oracles.process import Oracle
from tests.support.wasm import wasm

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from oracles.outcome import Outcome

FLAVOURS = (WASI, IMPORT)
DONE, HOST_ERROR = 1 << 56, 3 << 56
DIVIDED = Trapped("integer divide by zero")

# functions: 0 the host's, 1 that divides, 2 that calls it, 3 that calls the host
CHAIN = """(import "env" "h" (func $h))
    (func $divide (param i32) (result i32) (i32.div_u (i32.const 1) (local.get 0)))
    (func $outer (export "f") (param i32) (result i32) (call $divide (local.get 0)))
    (func (export "g") (call $h))"""


def plan_of(text: str, *steps: Step, actions: Sequence[tuple[object, ...]] = ()) -> Plan:
    make = Step("instantiate", {"instance": "i", "module": "m", "imports": {"env": [HOST]}})
    hosts = {"h": HostFunc((), (), tuple(actions))}
    return Plan((make, *steps), {"m": wasm(text)}, hosts=hosts, nan="none")


def frames(n: object) -> Step:
    return Step("debug", {"frames": n})


def call(export: str, *args: int) -> Step:
    return Step("call", {"instance": "i", "export": export, "args": [("i32", f"{n:08x}") for n in args]})


def offsets(wasm_: bytes, name: str) -> list[tuple[int, int]]:
    """Return function index and offset of the instructions of this name in a module."""
    module = decode(wasm_, EXECUTED)
    first = len(module.imports)
    return [
        (x, i.offset) for x, code in enumerate(module.codes, first) for i in code.body if i.row.name == name
    ]  # fmt: skip


def told(*words: int) -> str:
    return b"".join(w.to_bytes(8, "little") for w in words).hex()


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_every_instruction_is_found_again(flavour: str) -> None:
    calls = "(call 126) (call 127) " * 3  # of which one grows by a byte as its index moves up
    text = f'(import "env" "h" (func)) {"(func) " * 130} (func (export "f") {calls} unreachable)'
    program = Program(plan_of(text), flavour)
    wrapped = decode(program.wasm, EXECUTED)
    module = decode(program.plan.modules["m"], EXECUTED)
    moved = set()
    for x, (old, new) in enumerate(zip(module.codes, wrapped.codes[1:], strict=False), 1):
        for was, now in zip(old.body, new.body, strict=True):
            assert program.places.original([(x + 1, now.offset)]) == [[x, was.offset]]
            moved.add(now.offset - was.offset)
    assert len(moved) > 3


def test_functions_of_the_driver_are_no_frames() -> None:
    program = Program(plan_of(CHAIN, call("f", 0)), IMPORT)
    place = offsets(program.wasm, "i32.div_u")[0]
    host, step = (1, 7), (program.steps[1].func, 9)
    assert place[0] == 2
    assert program.places.original([place, host, step]) == [list(offsets(program.plan.modules["m"], "i32.div_u")[0])]


def test_a_place_without_an_instruction_is_equal_to_none() -> None:
    program = Program(plan_of(CHAIN), IMPORT)
    x, at = offsets(program.wasm, "local.get")[0]
    assert program.places.original([(x, at + 1), (x, 2**32 - 1)]) == [[x - 1, NOWHERE], [x - 1, NOWHERE]]
    assert all(at != NOWHERE for _, at in offsets(program.plan.modules["m"], "end"))


def test_bodies_that_are_not_alike_are_no_wrapping() -> None:
    with pytest.raises(ValueError, match="zip"):
        Places(decode(wasm("(func nop)"), EXECUTED), wasm('(import "a" "b" (func)) (func)'))


def answered(plan: Plan, flavour: str, *outcomes: Outcome) -> list[Record]:
    """Return the records where the engine answers the program's calls so, each with the same two frames."""
    program = Program(plan, flavour)
    inner = program.inner()
    divide, outer = offsets(program.wasm, "i32.div_u")[0], (3, offsets(program.wasm, "call")[0][1])
    answers = [Record(n, Returned()) for n in range(sum(s.kind != "call" for s in inner.steps))]
    for n, outcome in enumerate(outcomes, len(answers)):
        data = {"output": told(DONE) if isinstance(outcome, Returned) else ""}
        if isinstance(outcome, Trapped):
            data["frames"] = [list(divide), list(outer), [program.steps[-1].func, 3]]  # type: ignore[assignment]
        answers.append(Record(n, outcome, data))
    return program.records(answers)


def test_a_trap_shows_as_many_frames_as_the_plan_asks_for() -> None:
    plan = plan_of(CHAIN, call("f", 0), frames(20), call("f", 0), frames(1), call("f", 0), frames(0), call("f", 0))
    records = answered(plan, IMPORT, Returned(), DIVIDED, DIVIDED, DIVIDED, DIVIDED)
    place, outer = offsets(plan.modules["m"], "i32.div_u")[0], offsets(plan.modules["m"], "call")[0]
    assert [r.outcome for r in records] == [Returned(), DIVIDED, *(Returned(), DIVIDED) * 3]
    shown = [list(place), list(outer)]
    assert [r.data for r in records] == [None] * 3 + [{"frames": shown}, None, {"frames": shown[:1]}, None, None]


def test_frames_belong_to_traps_alone() -> None:
    plan = plan_of(CHAIN, frames(20), call("g"), actions=[("trap", "T", 0)])
    program = Program(plan, IMPORT)
    place = [list(offsets(program.wasm, "i32.div_u")[0])]
    start = [Record(0, Returned()), Record(1, Returned()), Record(2, Returned(), {"output": told(DONE)})]
    host = Record(3, Trapped("unreachable"), {"output": told(HOST_ERROR), "frames": place})
    assert program.records([*start, host])[2] == Record(2, HostError("T"))
    deep = Record(3, Exhausted("stack"), {"output": "", "frames": place})
    assert program.records([*start, deep])[2] == Record(2, Exhausted("stack"))
    silent = Record(3, DIVIDED, {"output": ""})
    assert program.records([*start, silent])[2] == Record(2, DIVIDED)


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_the_engine_is_asked_for_the_frames_of_host_functions_too(flavour: str) -> None:
    asked = Program(plan_of(CHAIN, frames(3), call("f", 0)), flavour).inner().steps[0]
    assert asked == Step("debug", {"frames": MAX_FRAMES + REENTRY_LIMIT})
    assert all(s.kind != "debug" for s in Program(plan_of(CHAIN, call("f", 0)), flavour).inner().steps)


def test_a_count_that_is_none_is_blocked() -> None:
    program = Program(plan_of(CHAIN, frames(-1), frames("x")), IMPORT)
    records = program.records([Record(0, Returned()), Record(1, Returned(), {"output": told(DONE)})])
    assert [r.outcome for r in records[1:]] == [Blocked("'-1' is not a count"), Blocked("'x' is not a count")]


def test_frames_are_shown_of_a_module_that_cannot_be_made() -> None:
    segment = '(memory 1) (data (i32.const 65536) "x") (func $f (export "f"))'
    steps = plan_of(segment, call("f")).steps
    plan = replace(plan_of(segment), steps=(frames(20), *steps))
    program = Program(plan, IMPORT)
    trap = Trapped("out of bounds memory access")
    records = program.records([Record(0, Returned()), Record(1, trap, {"frames": []})])
    assert records[1] == Record(1, trap, {"frames": []})


def test_an_engine_without_frames_is_not_said_to_have_them() -> None:
    inner = Description("wasmer", "1", features=("mvp",), steps=("instantiate", "call"), actions=(), can=("import",))
    assert "debug" not in described(inner).steps
    assert "frames" not in described(inner).can
    more = replace(inner, steps=(*inner.steps, "debug"), can=("import", "frames"))
    assert "debug" in described(more).steps
    assert "frames" in described(more).can
    program = Program(plan_of(CHAIN, frames(20), call("f", 1)), IMPORT)
    answers = [
        Record(0, Unsupported("step debug")),
        Record(1, Returned()),
        Record(2, Returned(), {"output": told(DONE)}),
    ]
    assert [type(r.outcome) for r in program.records([*answers, Record(3, DIVIDED)])] == [Returned, Returned, Trapped]


EXACT = ("wasmer", pytest.param("wasmer@1.1:cranelift", marks=pytest.mark.external))
FRAMED = {
    "a start function": plan_of('(import "env" "h" (func)) (start $s) (func $s (call $t)) (func $t unreachable)'),
    "a chain of calls": plan_of(CHAIN, call("f", 0)),
    "an import that is exported": plan_of(
        """(import "env" "h" (func $h)) (export "h" (func $h)) (global $n (mut i32) (i32.const 60))
        (func (export "f") (param i32) (result i32)
          (if (i32.eqz (global.get $n)) (then unreachable))
          (global.set $n (i32.sub (global.get $n) (i32.const 1))) (call $h) (i32.const 1))""",
        call("f", 0),
        actions=[("call", "i", "f", [("i32", "00000001")])],
    ),
    "segments": plan_of('(import "env" "h" (func)) (memory 1) (data (i32.const 65536) "x")'),
    "more frames than are shown": plan_of(
        """(func $f (export "f") (param i32) (result i32)
          (if (i32.eqz (local.get 0)) (then unreachable))
          (i32.add (i32.const 1) (call $f (i32.sub (local.get 0) (i32.const 1)))))""",
        call("f", 3000),
    ),
    "a stack overflow": plan_of(
        '(func $f (export "f") (param i32) (result i32) (i32.add (i32.const 1) (call $f (local.get 0))))', call("f", 1)
    ),
}


@pytest.fixture(scope="module", params=EXACT)
def exact(request: pytest.FixtureRequest) -> Iterator[Shimmed]:
    with connect(request.param) as oracle:
        assert isinstance(oracle, Shimmed)
        yield oracle


@pytest.fixture(scope="module")
def reference() -> Iterator[Oracle]:
    with Oracle("reference") as oracle:
        yield oracle


@pytest.mark.parametrize("name", FRAMED)
def test_frames_are_those_of_the_reference(exact: Shimmed, reference: Oracle, name: str) -> None:
    plan = replace(FRAMED[name], steps=(frames(20), *FRAMED[name].steps))
    ours, theirs = (r.run(plan) for r in (reference, exact))
    assert "frames" in exact.description.can
    assert [type(r.outcome) for r in theirs] == [type(r.outcome) for r in ours]
    assert [(r.data or {}).get("frames") for r in theirs] == [(r.data or {}).get("frames") for r in ours]


@pytest.mark.external
def test_singlepass_does_not_say_that_its_frames_are_exact() -> None:
    with connect("wasmer@1.1:singlepass") as oracle:
        assert "frames" not in oracle.description.can
