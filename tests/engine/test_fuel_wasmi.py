"""The model of wasmi: a charge is all or nothing, bulk operators pay before they do anything."""

from __future__ import annotations

import pytest

from engine import ExhaustionError, Store, Trap, instantiate
from engine.errors import Resource, TrapKind
from engine.execution.driver import Activation
from engine.execution.fuel_models import fuel_model
from engine.runtime.store import Config
from tests.support.wasm import wat

WASMI = fuel_model("wasmi", 2)
FILL = """(memory (export "m") 1 4) (func (export "f") (param i32 i32)
    (memory.fill (local.get 0) (i32.const 7) (local.get 1)))"""


def instance(text):
    return instantiate(Store(Config(fuel_model=WASMI)), wat(text))


def activation(i, *args, fuel, export="f"):
    i.store.set_fuel(fuel)
    return Activation(i.store, i.exports[export], list(args))


def wanted(call):
    """Return what a call that runs out of fuel wants."""
    with pytest.raises(ExhaustionError) as caught:
        call.run()
    assert caught.value.resource is Resource.FUEL
    return call.required_fuel


def need(text, *args, export="f"):
    """Return the least fuel that a fresh instance needs, found by asking for what is wanted each time."""
    i = instance(text)
    call = activation(i, *args, fuel=0, export=export)
    total = 0
    while True:
        try:
            call.run()
        except ExhaustionError:
            assert i.store.fuel < call.required_fuel
            total += call.required_fuel - i.store.fuel
            i.store.set_fuel(call.required_fuel)
        else:
            return total


def test_a_failing_charge_takes_nothing_and_wants_the_same_again():
    i = instance("""(func (export "f") (result i32) (i32.add (i32.const 1) (i32.const 2)))""")
    call = activation(i, fuel=2)
    assert wanted(call) == 3
    assert wanted(call) == 3
    assert i.store.fuel == 2
    i.store.set_fuel(3)
    assert call.run() == [3]
    assert i.store.fuel == 0


def test_every_block_is_charged_before_it_runs():
    text = """(global $g (export "g") (mut i32) (i32.const 0))
      (func (export "f") (param i32)
        (if (local.get 0) (then (global.set $g (i32.const 1)) (global.set $g (i32.const 2)))))"""
    i = instance(text)
    call = activation(i, 1, fuel=3)
    assert wanted(call) == 4
    assert (i.store.fuel, i.exports["g"].value) == (1, 0)


@pytest.mark.parametrize(("n", "pieces"), [(0, 0), (63, 0), (64, 1), (6400, 100), (65536, 1024)])
def test_filling_costs_by_64_bytes_and_does_nothing_without(n, pieces):
    i = instance(FILL)
    if pieces:
        call = activation(i, 0, n, fuel=4 + pieces - 1)
        assert wanted(call) == pieces
        assert i.store.fuel == pieces - 1
        assert i.exports["m"].data[0] == 0
        assert wanted(call) == pieces
        i.store.set_fuel(pieces)
    else:
        call = activation(i, 0, n, fuel=4)
    assert call.run() == []
    assert i.store.fuel == 0
    assert bytes(i.exports["m"].data[:n]) == b"\7" * n


OUT = {
    "memory.fill": "(memory.fill (i32.const 65536) (i32.const 0) (i32.const 640000))",
    "memory.copy": "(memory.copy (i32.const 0) (i32.const 1) (i32.const 65536))",
    "memory.init": "(memory.init 0 (i32.const 0) (i32.const 1) (i32.const 4))",
    "table.fill": "(table.fill (i32.const 1) (ref.null func) (i32.const 100))",
    "table.copy": "(table.copy (i32.const 0) (i32.const 51) (i32.const 50))",
    "table.init": "(table.init 0 (i32.const 0) (i32.const 0) (i32.const 2))",
    "wrapped": "(memory.fill (i32.const -1) (i32.const 0) (i32.const 2))",
}


@pytest.mark.parametrize("name", OUT)
def test_bounds_come_before_the_charge(name):
    text = f"""(memory 1) (table 100 funcref) (data "abcd") (elem func $f)
      (func $f (export "f") {OUT[name]})"""
    i = instance(text)
    with pytest.raises(Trap) as caught:
        activation(i, fuel=4).run()
    assert caught.value.kind in (TrapKind.MEMORY_OUT_OF_BOUNDS, TrapKind.TABLE_OUT_OF_BOUNDS)
    assert caught.value.where.offset is not None
    assert i.store.fuel == 0  # the block was paid for


GROW = """(memory (export "m") 1 4) (table (export "t") 1 100 funcref)
  (func (export "m.grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "t.grow") (param i32) (result i32) (table.grow (ref.null func) (local.get 0)))"""


@pytest.mark.parametrize(("export", "delta", "flat", "pieces"), [("m.grow", 3, 2, 3072), ("t.grow", 99, 3, 6)])
def test_growing_pays_for_what_is_new_before_it_is_there(export, delta, flat, pieces):
    i = instance(GROW)
    call = activation(i, delta, fuel=flat + pieces - 1, export=export)
    assert wanted(call) == pieces
    assert (i.exports["m"].size_pages, i.exports["t"].size) == (1, 1)
    i.store.set_fuel(pieces)
    assert call.run() == [1]
    assert i.store.fuel == 0


@pytest.mark.parametrize(("export", "delta", "flat"), [("m.grow", 4, 2), ("t.grow", 100, 3), ("m.grow", 0, 2)])
def test_growth_that_is_refused_or_nothing_costs_no_pieces(export, delta, flat):
    i = instance(GROW)
    assert activation(i, delta, fuel=flat, export=export).run() == ([2**32 - 1] if delta else [1])
    assert i.store.fuel == 0


def test_what_is_wanted_adds_up_to_what_is_spent():
    text = """(memory 1) (func (export "f") (param i32)
      (loop (memory.fill (i32.const 0) (i32.const 1) (i32.const 640)) (call $g)
        (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))) (func $g nop (drop (i32.const 1)))"""
    i = instance(text)
    activation(i, 5, fuel=1000).run()
    assert need(text, 5) == 1000 - i.store.fuel == 5 * (4 + 10 + 1 + 1 + 5)


def test_an_operand_below_the_operator_is_still_there():
    text = """(memory 1) (func (export "f") (param i32) (result i32)
      (local.get 0) (i32.const 5) (local.set 0 (i32.const 9))
      (memory.fill (i32.const 0) (i32.const 1) (i32.const 64)) (i32.add))"""
    i = instance(text)
    call = activation(i, 3, fuel=8)
    assert wanted(call) == 1
    i.store.set_fuel(100)
    assert call.run() == [8]
