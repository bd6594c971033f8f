"""The gate of debugging on engines that show backtraces: a small run, that it would notice, and what is explained."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ci.gates.backtraces import judge_backtraces, judge_range, lack_of, program_for, wrong_rows
from ci.gates.places import EXPLAINED, Code
from ci.gates.shapes import FEATURES, shape
from engine.binary import decode
from engine.features import EXECUTED
from generators.source import Source
from harness.shim import connect
from oracles.plan import Plan, Step
from tests.support.wasm import wasm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from harness.runner import OracleLike
    from oracles.outcome import Record

OLD = "wasmer@1.1:cranelift"
ENGINES = ("wasmer", "wasmtime:none", pytest.param(OLD, marks=pytest.mark.external))
RECURSION = """(func $f (export "f") (param i32)
    (if (i32.eqz (local.get 0)) (then return))
    (call $f (i32.sub (local.get 0) (i32.const 1)))
    unreachable)"""
SUNK = '(memory 1) (func (export "f") (param i32) (result f32) local.get 0 f32.load f32.ceil)'
ADDRESS = '(memory 1) (func (export "f") (param i32) (result f32) local.get 0 i32.load f32.load)'
BLOCK = """(memory 1) (func (export "f") (param i32) (result f32)
    local.get 0 i32.load (block (param i32) (result f32) f32.load))"""
LOCALS = """(memory 1) (func (export "f") (param i32) (result f32) (local i32)
    local.get 0 i32.load local.set 1 i64.const 5 drop local.get 1 local.tee 0 f32.load)"""
SHAPE = """(func $g (param i32) (result i32) i32.const 1 local.get 0 i32.div_s)
    (func (export "f") (param i32) (result i32) local.get 0 call $g i32.const 1 i32.add)"""


def plan_of(text: str, arg: int) -> Plan:
    steps = (
        Step("instantiate", {"instance": "m", "module": "m", "imports": {}}),
        Step("call", {"instance": "m", "export": "f", "args": [("i32", f"{arg:08x}")]}),
    )
    return Plan(steps, {"m": wasm(text)}, features=("multi-value", "mvp"), nan="none")


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Iterator[OracleLike]:
    with connect(request.param) as oracle:
        yield oracle


def test_a_small_run_is_clean(engine: OracleLike) -> None:
    counts, found = judge_range(engine.id, seed=7, start=0, end=16)
    assert found == []
    assert counts["programs"] == 16
    assert counts["backtraces"] > 5
    assert counts["places"] > counts["backtraces"]


@pytest.mark.parametrize(
    ("oracle_id", "name", "text", "arg"),
    [
        ("wasmer", "load sunk into the access of its address", ADDRESS, 65536),
        ("wasmtime:none", "load sunk into its user", ADDRESS, 65536),
        ("wasmtime:none", "trap at a return address", RECURSION, 3),
        ("wasmtime:none", "load sunk into its user", BLOCK, 65536),
        ("wasmtime:none", "load sunk into its user", LOCALS, 65536),
        ("wasmer", "load sunk into the access of its address", LOCALS, 65536),
        pytest.param(OLD, "load sunk into its user", SUNK, 65536, marks=pytest.mark.external),
        pytest.param(OLD, "load sunk into its user", BLOCK, 65536, marks=pytest.mark.external),
        pytest.param(OLD, "load sunk into its user", LOCALS, 65536, marks=pytest.mark.external),
        pytest.param(OLD, "trap at a return address", RECURSION, 3, marks=pytest.mark.external),
    ],
)
def test_what_is_explained_still_happens(oracle_id: str, name: str, text: str, arg: int) -> None:
    with connect(oracle_id) as oracle:
        counts, difference = judge_backtraces(plan_of(text, arg), oracle)
    assert difference is None
    assert counts[name] == 1
    assert name in [entry.name for entry in EXPLAINED]


def test_what_explains_one_engine_does_not_explain_another() -> None:
    class Old(Planted):
        id = "wasmer@1.1:cranelift"

    with connect("wasmer") as oracle:
        assert judge_backtraces(plan_of(RECURSION, 3), Planted(oracle, at_trap))[1] is not None
        assert judge_backtraces(plan_of(RECURSION, 3), Old(oracle, at_trap))[1] is None


class Planted:
    """An oracle whose frames are changed on their way."""

    id = "wasmer"

    def __init__(self, oracle: OracleLike, change: Callable[[list[list[int]]], list[list[int]] | None]) -> None:
        self.oracle = oracle
        self.change = change

    def run(self, plan: Plan, *, deadline_s: float | None = None) -> list[Record]:
        return [self.changed(record) for record in self.oracle.run(plan, deadline_s=deadline_s)]

    def changed(self, record: Record) -> Record:
        data = dict(record.data or {})
        if "frames" not in data:
            return record
        frames = self.change(data.pop("frames"))
        return replace(record, data=data if frames is None else {**data, "frames": frames})


def at_trap(frames: list[list[int]]) -> list[list[int]]:
    return [frames[0]] * len(frames)


CHANGES: dict[str, tuple[Callable[[list[list[int]]], list[list[int]] | None], str | None]] = {
    "nothing": (lambda f: f, None),
    "no frames": (lambda f: None, "showed no frames"),
    "a lost frame": (lambda f: f[1:], "the frames are"),
    "the outermost frame twice": (lambda f: [*f, f[-1]], "the frames are"),
    "frames in another order": (lambda f: f[::-1], "the frames are"),
    "the next instruction": (lambda f: [[x, at + 1] for x, at in f], "the frames are"),
    "another function": (lambda f: [[x ^ 1, at] for x, at in f], "the frames are"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_wrong_frames_are_differences(name: str) -> None:
    change, expected = CHANGES[name]
    with connect("wasmer") as oracle:
        found = judge_backtraces(plan_of(SHAPE, 0), Planted(oracle, change))[1]
    assert found is None if expected is None else expected in str(found)


def test_a_program_has_nothing_that_its_engine_lacks_or_computes_wrongly(engine: OracleLike) -> None:
    wrong = wrong_rows(engine) | frozenset(engine.description.without)
    for i in range(12):
        plan = program_for(engine, 1, i)
        assert set(plan.features) <= set(engine.description.features)
        names = {ins.row.name for code in decode(plan.modules["m"], EXECUTED).codes for ins in code.body}
        assert names & wrong <= {"select"}  # by which the generator canonicalises scalar NaNs
    assert program_for(engine, 1, 4) == program_for(engine, 1, 4)


def test_an_engine_whose_frames_are_not_exact_is_refused() -> None:
    assert lack_of("wasmer") is None
    assert lack_of("wasmtime:pulley") == "wasmtime:pulley: its frames are not exact"
    assert "no oracle" in str(lack_of("nobody"))


@pytest.mark.parametrize(
    ("rest", "user"),
    [
        ("i32.eqz drop", "i32.eqz"),
        ("local.set 0 local.get 0 i32.clz drop", "i32.clz"),
        ("local.tee 0 drop local.get 0 i32.ctz drop", "i32.ctz"),
        ("i32.const 1 i32.eqz drop (block (param i32) i32.popcnt drop)", "i32.popcnt"),
        ("i32.const 1 i32.add drop", "i32.add"),
        ("drop i32.const 1 i32.eqz drop", None),
        ("local.set 0 i32.const 1 local.set 0 local.get 0 i32.eqz drop", None),
        ("(loop (param i32) i32.eqz drop)", None),
    ],
)
def test_the_user_of_a_value_is_followed_through_locals_and_blocks(rest: str, user: str | None) -> None:
    code = Code(decode(wasm(f"(memory 1) (func (param i32) local.get 0 i32.load {rest})"), EXECUTED))
    body = code.codes[0].body
    place = code.user((0, next(ins.offset for ins in body if ins.row.name == "i32.load")))
    assert (None if place is None else code.at(place).row.name) == user


@pytest.mark.parametrize("lacking", ["tail-call", "exceptions"])
def test_a_shape_does_without_a_feature(lacking: str) -> None:
    features = [name for name in FEATURES if name != lacking]
    rows = _rows([shape(Source.fresh(i), features) for i in range(12)])
    all_rows = _rows([shape(Source.fresh(i)) for i in range(12)])
    own = {"tail-call": {"return_call", "return_call_indirect"}, "exceptions": {"throw", "try_table"}}
    assert own[lacking] <= all_rows
    assert not own[lacking] & rows
    other = set().union(*own.values()) - own[lacking]
    assert other <= rows


def _rows(plans: Sequence[Plan]) -> set[str]:
    return {i.row.name for p in plans for code in decode(p.modules["m"], EXECUTED).codes for i in code.body}
