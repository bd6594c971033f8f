"""Fuel: what is charged, where it is checked, and that running out only pauses."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine import ExhaustionError, Store, Trap, instantiate, invoke
from engine.errors import Resource
from engine.execution.build import Build
from engine.execution.driver import Activation
from engine.execution.fuel import Refund, Start
from engine.execution.fuel_models import UNIT, unit_model
from engine.runtime.store import Config
from engine.types import FuncType
from tests.support.wasm import call, wat

LOOP = """(memory 1) (global $g (export "g") (mut i32) (i32.const 0))
  (func (export "f") (param $n i32) (result i32) (local $s i32)
    (loop $l
      (local.set $s (i32.add (local.get $s) (call $twice (local.get $n))))
      (global.set $g (i32.add (global.get $g) (i32.const 1)))
      (memory.fill (i32.const 0) (local.get $n) (i32.const 2048))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $s))
  (func $twice (param i32) (result i32) (i32.add (local.get 0) (local.get 0)))"""


def instance(text=LOOP, **config):
    return instantiate(Store(Config(**config)), wat(text))


def spent(i, export, *args, budget=1 << 40):
    i.store.fuel_left = budget
    call(i, export, *args)
    return budget - i.store.fuel_left


BUILDS = [Build(), Build(inline=False), Build(fold=False), Build(inline=False, fold=False)]


@pytest.mark.parametrize("build", BUILDS)
def test_each_instruction_costs_its_row_and_pieces_extra(build):
    text = """(memory 1) (func (export "f") (param i32) (result i32) (nop)
      (block (br_if 0 (local.get 0)) (memory.fill (i32.const 0) (i32.const 0) (i32.const 4096)))
      (if (result i32) (local.get 0) (then (i32.const 1)) (else (i32.add (i32.const 1) (i32.const 2)))))"""
    i = instance(text, build=build)
    assert spent(i, "f", 1) == 2 + 2 + 1
    assert spent(i, "f", 0) == 2 + 4 + 4 + 2 + 3


def test_all_builds_spend_the_same():
    assert len({spent(instance(build=build), "f", 9) for build in BUILDS}) == 1


def test_without_pieces_fuel_counts_instructions():
    with_pieces, without = instance(), instance(fuel_model=unit_model(None))
    assert spent(with_pieces, "f", 9) - spent(without, "f", 9) == 9 * 2


def test_unmetered_stays_unmetered():
    i = instance()
    assert i.store.fuel_left is None
    call(i, "f", 9)
    assert i.store.fuel_left is None


def test_a_budget_is_enough_exactly_from_its_need_on():
    need = spent(instance(), "f", 9)
    i = instance()
    # the last check point is the last way back to the loop: what follows it may be overspent
    for budget in range(need + 2):
        i.store.fuel_left = budget
        try:
            call(i, "f", 9)
            assert i.store.fuel_left == budget - need
        except ExhaustionError as e:
            assert e.resource is Resource.FUEL
            assert e.where.funcidx in (0, 1)
            assert budget < need
            assert i.store.fuel_left <= budget


def test_fuel_is_checked_before_the_effects_of_a_loop():
    i = instance('(global $g (export "g") (mut i32) (i32.const 0)) (func (export "f")'
                 "(loop (global.set $g (i32.add (global.get $g) (i32.const 1))) (br 0)))")  # fmt: skip
    i.store.fuel_left = 5 * 10 + 4  # a round costs 5, the entry nothing
    with pytest.raises(ExhaustionError):
        call(i, "f")
    assert i.exports["g"].value == 10
    assert i.store.fuel_left == 4


@pytest.mark.parametrize("budget", [0, 1, 3, 7, 50])
def test_an_exhausted_activation_goes_on_where_it_stopped(budget):
    straight = instance()
    expected = call(straight, "f", 9)
    need = spent(instance(), "f", 9)
    i = instance()
    activation = Activation(i.store, i.exports["f"], [9])
    pauses = total = 0
    while True:
        i.store.fuel_left = budget + total
        before = i.store.fuel_left
        try:
            results = activation.run()
        except ExhaustionError:
            total = i.store.fuel_left + 1  # a little more than what was not enough
            pauses += 1
            assert activation.frames
            assert i.store.fuel_left <= before
            assert pauses < 10_000
        else:
            break
    assert results == [expected]
    assert i.exports["g"].value == 9
    assert pauses > 0 or budget >= need


def test_pieces_are_charged_after_success_only():
    text = """(memory 1) (func (export "f") (param i32) (memory.fill (local.get 0) (i32.const 0) (i32.const 4096)))"""
    i = instance(text)
    assert spent(i, "f", 0) == 4 + 4
    i.store.fuel_left = 100
    with pytest.raises(Trap):
        call(i, "f", 65535)
    assert i.store.fuel_left == 96


@pytest.mark.parametrize("grow", ["memory.grow", "table.grow 0 (ref.null func)"])
def test_growing_is_charged_by_the_piece_unless_refused(grow):
    text = f'(memory 0 3000) (table 0 3000 funcref) (func (export "f") (param i32) (result i32) ({grow} (local.get 0)))'
    base = 3 if "table" in grow else 2
    i = instance(text)
    assert spent(i, "f", 2**32 - 1) == base
    assert spent(i, "f", 2048) == base + 2


def model(**changes):
    return replace(UNIT, name="test", **changes)


def test_a_model_may_refund_at_a_trap():
    text = """(func (export "f") (param i32) (loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
      (drop (i32.div_u (i32.const 1) (local.get 0))))
      (func (export "g") (param i32) (call $leaf) (call 0 (local.get 0)))
      (func $leaf (nop) (nop) (drop (i32.const 1)))
      (func (export "u") (drop (i32.const 1)) (unreachable))"""
    expected = {"f": 0, "g": 1 + 2 + 2, "u": 2}
    for export, cost in expected.items():
        i = instance(text, fuel_model=model(refund=Refund.SAVED))
        i.store.fuel_left = 1000
        with pytest.raises(Trap):
            call(i, export, *[] if export == "u" else [5])
        assert 1000 - i.store.fuel_left == cost, export


def test_a_model_says_where_to_check_and_what_entry_costs():
    i = instance('(func (export "f") (param i32) (loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))',
                 fuel_model=model(entry=7, checks=frozenset({Start.ENTRY})))  # fmt: skip
    assert spent(i, "f", 4) == 7 + 4 * 5
    i.store.fuel_left = 7
    call(i, "f", 4)
    assert i.store.fuel_left == -20


def test_fuel_passes_through_the_host():
    text = """(import "" "h" (func $h)) (func (export "f") (nop) (drop (i32.const 1)) (call $h) (drop (i32.const 2)))
      (func (export "g") (drop (i32.const 1)))"""
    store = Store()
    seen = []

    def host(caller, args):
        seen.append(caller.store.fuel_left)
        invoke(caller.store, i.exports["g"], ())
        seen.append(caller.store.fuel_left)
        caller.store.fuel_left += 50
        return ()

    i = instantiate(store, wat(text), [store.alloc_host_func(FuncType((), ()), host)])
    store.fuel_left = 100
    call(i, "f")
    drop = 2
    assert seen == [100 - drop - 1, 100 - drop - 1 - drop]
    assert store.fuel_left == seen[1] + 50 - drop
