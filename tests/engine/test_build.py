"""Builds: planted bugs by row or by rule, all grades of closures alike, observation."""

from __future__ import annotations

from functools import partial

import pytest

from engine import Store, Trap, TrapKind, instantiate
from engine.execution import call_rules, control_rules
from engine.execution.build import DEFAULT, Build, build_of
from engine.execution.fuel_models import unit_model
from engine.instructions import TABLE
from engine.runtime.store import Config
from tests.support.wasm import call, wat


def run(build, text, *args):
    return call(instantiate(Store(Config(build=build)), wat(text)), "f", *args)


def test_a_replaced_row_runs_its_own_function():
    build = Build(table=TABLE.replace("i32.add", run=lambda i, j: (i - j) % 2**32))
    text = '(func (export "f") (param i32) (result i32) (i32.add (i32.mul (local.get 0) (i32.const 3)) (i32.const 4)))'
    assert (run(build, text, 5), run(None, text, 5)) == (11, 19)


def test_a_replaced_row_is_not_computed_by_the_old_one_for_constants():
    build = Build(table=TABLE.replace("i32.add", run=lambda i, j: 42))
    assert run(build, '(func (export "f") (result i32) (i32.add (i32.const 3) (i32.const 4)))') == 42


def test_a_replaced_load_and_store():
    def load(frame, m, i):
        return 1 + frame.module.mems[m.mem].data[i + m.offset]

    def store(frame, m, i, v):
        frame.module.mems[m.mem].data[i + m.offset + 1] = v % 256

    text = """(memory 1) (func (export "f") (param i32) (result i32)
      (i32.store (local.get 0) (i32.const 5)) (i32.load (i32.add (local.get 0) (i32.const 1))))"""
    assert run(None, text, 8) == 0
    assert run(Build(table=TABLE.replace("i32.load", run=load)), text, 8) == 1
    assert run(Build(table=TABLE.replace("i32.store", run=store)), text, 8) == 5


def test_a_replaced_local_tee_touches_the_frame():
    def tee(frame, x, v):
        frame.locals[x] = v + 1
        return v

    text = """(func (export "f") (param i32) (result i32)
      (i32.sub (i32.mul (local.get 0) (local.tee 0 (i32.const 10))) (local.get 0)))"""
    assert run(Build(table=TABLE.replace("local.tee", run=tee)), text, 3) == 30 - 11
    assert run(None, text, 3) == 30 - 10


def test_a_replaced_global_get_and_memory_grow():
    table = TABLE.replace("global.get", run=lambda frame, x: frame.module.globals[x].value + 1)
    text = """(global $g (mut i32) (i32.const 5))
      (func (export "f") (result i32) (global.get $g) (global.set $g (i32.const 0)))"""
    assert run(Build(table=table), text) == 6
    table = TABLE.replace("memory.grow", run=lambda frame, x, n: 7)
    assert run(Build(table=table), '(memory 1) (func (export "f") (result i32) (memory.grow (i32.const 1)))') == 7


def test_a_replaced_rule_of_br_table():
    def first_is_default(low, p, imms, offset):
        (labels, _) = imms[0]
        control_rules.br_table(low, p, ((labels, labels[0]),), offset)

    text = """(func (export "f") (param i32) (result i32)
      (block (block (br_table 0 1 (local.get 0))) (return (i32.const 1))) (i32.const 2))"""
    assert run(None, text, 9) == 2
    assert run(Build(rules={"br_table": first_is_default}), text, 9) == 1


def test_a_replaced_check_of_call_indirect():
    def unchecked(table, i, expected):
        return table.elems[i]

    build = Build(rules={"call_indirect": partial(call_rules.call_indirect, resolve=unchecked)})
    text = """(table 1 funcref) (elem (i32.const 0) $g) (func $g (param i32) (result i32) (i32.const 8))
      (func (export "f") (result i64) (call_indirect (param i64) (result i64) (i64.const 1) (i32.const 0)))"""
    assert run(build, text) == 8
    with pytest.raises(Trap) as caught:
        run(None, text)
    assert caught.value.kind is TrapKind.INDIRECT_CALL_MISMATCH


def test_a_replaced_rule_may_lose_an_effect():
    build = Build(rules={"store": lambda low, p, imms, offset: low.stack.__delitem__(slice(-2, None))})
    text = """(memory 1) (func (export "f") (param i32) (result i32)
      (i32.store (i32.const 0) (local.get 0)) (i32.load (i32.const 0)))"""
    assert (run(None, text, 4), run(build, text, 4)) == (4, 0)


def test_an_unknown_rule_is_refused():
    with pytest.raises(ValueError, match="no rule"):
        Build(rules={"br_tabel": control_rules.br_table})


def test_observation_sees_each_block_that_starts():
    seen = []
    build = Build(observe=lambda funcidx, number: seen.append((funcidx, number)))
    text = """(func (export "f") (param i32) (result i32)
      (loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))) (call $g))
      (func $g (result i32) (i32.const 3))"""
    assert run(build, text, 3) == 3
    assert seen == [(0, 0), (0, 1), (0, 1), (0, 1), (0, 6), (1, 0), (0, 8)]


def test_a_store_has_the_default_build_unless_told():
    assert build_of(Config()) is DEFAULT
    model = unit_model(7)
    build = build_of(Config(fuel_model=model))
    assert build.fuel_model is model
    assert build_of(Config(fuel_model=model)) is build


def test_every_row_that_runs_has_a_plan():
    assert set(DEFAULT.plans) == set(TABLE.by_opcode)
