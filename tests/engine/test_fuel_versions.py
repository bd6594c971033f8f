"""What older releases of wasmtime count otherwise: numbers measured on the wheels of 48.0.0 and 36.0.0."""

from __future__ import annotations

import pytest

from engine import ExhaustionError, Store, Trap, instantiate, invoke
from engine.execution.fuel_models import fuel_model
from engine.runtime.store import Config
from engine.types import FuncType
from tests.support.wasm import wat

V36, V48, V50 = (fuel_model("wasmtime", version) for version in (36, 48, 50))


def instantiated(text, model, fuel, *imports):
    """Return what instantiation spends of so much fuel, and how it ends."""
    store = Store(Config(fuel_model=model))
    store.set_fuel(fuel)
    ended = "returned"
    try:
        instantiate(store, wat(text), imports)
    except ExhaustionError:
        ended = "exhausted"
    except Trap:
        ended = "trapped"
    return fuel - store.fuel, ended


def spent(text, model, *args, fuel=1000):
    """Return what a call of ``f`` spends, whose one import, if any, notes the fuel that it sees."""
    store = Store(Config(fuel_model=model))
    seen = []
    module = wat(text)
    host = store.alloc_host_func(FuncType((), ()), lambda caller, args: seen.append(fuel - store.fuel) or ())
    store.set_fuel(1 << 20)
    instance = instantiate(store, module, [host] * len(module.imports))
    store.set_fuel(fuel)
    invoke(store, instance.exports["f"], list(args))
    return (fuel - store.fuel, *seen)


TABLE = "(func $f nop) (table 10 funcref)"
DYNAMIC = "(memory 300 (pagesize 1))"
STARTUPS = {
    "a global is lost": ("(func $f) (global funcref (ref.func $f))", 1),
    "a segment is lost": (f"{TABLE} (elem (i32.add (i32.const 1) (i32.const 1)) func $f $f $f)", 1),
    "a small table is lost": ("(table 5 i31ref (ref.i31 (i32.const 3)))", 1),
    "a large table is checked": ("(table 300 i31ref (ref.i31 (i32.const 3)))", 303),
    "data is checked": (f'{DYNAMIC} (data (i32.const 3) "abcd")', 6),
    "data twice": (f'{DYNAMIC} (data (i32.const 3) "ab") (data (i32.const 5) "abc")', 8),
    "what was before a check is not lost": (
        f'{TABLE} (elem (i32.add (i32.const 1) (i32.const 1)) func $f $f $f) {DYNAMIC} (data (i32.const 3) "a")', 9,
    ),
    "nor before the start function": ("(func $f nop) (global funcref (ref.func $f)) (start $f)", 4),
    "a segment before the start function": (
        f"{TABLE} (elem (i32.add (i32.const 1) (i32.const 1)) func $f $f $f) (start $f)", 9,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", STARTUPS)
def test_what_48_charges_after_the_last_check_of_a_startup_function_is_lost(name):
    text, cost = STARTUPS[name]
    assert instantiated(text, V48, 1000) == (cost, "returned")


def test_48_pays_for_data_before_its_bounds_are_checked():
    text = f'{DYNAMIC} (data (i32.const 3) "a") (data (i32.const 303) "a")'
    assert instantiated(text, V48, 5) == (5, "exhausted")
    assert instantiated(text, V48, 1000) == (0, "trapped")
    assert instantiated(text, V50, 5) == (0, "trapped")


def test_36_has_no_startup_function():
    assert instantiated("(func $f nop) (global funcref (ref.func $f)) (start $f)", V36, 1000) == (1, "returned")


BY_REFERENCE = """(import "" "" (func $h)) (type $t (func)) (elem declare func $g $h)
  (func $g (call $h) nop (drop (i32.const 1)))
  (func (export "f") (drop (i32.const 1)) (call_ref $t (ref.func $g)) (drop (i32.const 1)))"""


def test_before_50_a_call_by_reference_costs_itself_and_the_callee_sees_an_older_counter():
    assert spent(BY_REFERENCE, V50) == (8, 6)
    assert spent(BY_REFERENCE, V48) == (5, 2)
    assert spent(BY_REFERENCE, V36) == (5, 2)


def test_before_50_a_function_of_the_host_called_by_reference_sees_an_older_counter():
    text = """(import "" "" (func $h)) (type $t (func)) (elem declare func $h)
      (func (export "f") (drop (i32.const 1)) (call_ref $t (ref.func $h)))"""
    assert spent(text, V50) == (4, 4)
    assert spent(text, V48) == (4, 0)


def test_before_50_what_a_callee_spent_is_lost_where_its_exception_is_caught():
    text = """(tag $e) (func $g (drop (i32.const 1)) (throw $e))
      (func (export "f") (block (try_table (catch_all 0) (call $g))) (drop (i32.const 1)))"""
    assert spent(text, V50) == (7,)
    assert spent(text, V48) == (4,)


def test_where_nothing_is_thrown_a_handler_loses_nothing():
    text = """(func $g (drop (i32.const 1)))
      (func (export "f") (block (try_table (catch_all 0) (call $g))) (drop (i32.const 1)))"""
    assert spent(text, V48) == spent(text, V50) == (6,)


@pytest.mark.parametrize("is_null", [True, False])
def test_36_loses_what_was_before_a_branch_on_a_reference_that_is_taken(is_null):
    text = f"""(elem declare func $f) (func $f (export "f")
      (block (drop (br_on_null 0 {"(ref.null func)" if is_null else "(ref.func $f)"})) (drop (i32.const 1)) nop)
      (drop (i32.const 1)) (drop (i32.const 1)))"""
    old, new = spent(text, V36)[0], spent(text, V50)[0]
    assert (old, new) == ((3, 5) if is_null else (6, 6))


FILL = """(memory (export "m") 1)
  (func (export "f") (param i32) (memory.fill (i32.const 0) (i32.const 7) (local.get 0)))"""


@pytest.mark.parametrize(("model", "is_filled"), [(V48, False), (V50, True)])
def test_48_checks_before_it_fills(model, is_filled):
    store = Store(Config(fuel_model=model))
    instance = instantiate(store, wat(FILL))
    store.set_fuel(40)
    with pytest.raises(ExhaustionError):
        invoke(store, instance.exports["f"], [60])
    assert (instance.exports["m"].data[0] == 7) == is_filled
    assert store.fuel == 0


@pytest.mark.parametrize("delta", [2, 100])
def test_48_checks_growing_a_memory_and_charges_no_pages(delta):
    text = '(memory 1 4) (func (export "f") (param i32) (drop (memory.grow (local.get 0))))'
    assert spent(text, V48, delta) == (3,)
    with pytest.raises(ExhaustionError):
        spent(text, V48, delta, fuel=3)


@pytest.mark.parametrize("delta", [2, 128, 129, 65536, -1])
def test_48_does_not_check_growing_a_memory_by_a_constant_however_large(delta):
    text = f'(memory 1 4) (func (export "f") (drop (memory.grow (i32.const {delta}))))'
    assert spent(text, V48, fuel=2) == (2,)


GROW = '(table i64 1 funcref) (func (export "f") (param i64) (drop (table.grow (ref.null func) (local.get 0))))'


@pytest.mark.parametrize(("fuel", "left"), [(1, None), (2, 2**63 - 1), (4, None), (5, None), (100, None)])
@pytest.mark.parametrize("length", [2**63 - 1, 2**64 - 1])
def test_48_gives_fuel_for_pieces_that_nobody_can_pay_once_more_was_spent_than_there_was(fuel, left, length):
    store = Store(Config(fuel_model=V48))
    instance = instantiate(store, wat(GROW))
    store.set_fuel(fuel)
    if left is None:
        with pytest.raises(ExhaustionError):
            invoke(store, instance.exports["f"], [length])
        assert store.fuel == 0
    else:
        invoke(store, instance.exports["f"], [length])
        assert store.fuel == left


@pytest.mark.parametrize(("fuel", "ended"), [(3, Trap), (4, Trap), (5, ExhaustionError), (100, ExhaustionError)])
def test_48_then_checks_bounds(fuel, ended):
    text = "(memory i64 1) " + FILL[FILL.index("(func") :].replace("param i32", "param i64").replace(
        "fill (i32", "fill (i64"
    )
    store = Store(Config(fuel_model=V48))
    instance = instantiate(store, wat(text))
    store.set_fuel(fuel)
    with pytest.raises(ended):
        invoke(store, instance.exports["f"], [2**64 - 1])


@pytest.mark.parametrize("length", [128, 129])
def test_48_checks_what_pieces_of_a_constant_length_cost_beyond_128(length):
    text = f'(memory 1) (func (export "f") (memory.fill (i32.const 0) (i32.const 0) (i32.const {length})))'
    if length == 128:
        assert spent(text, V48, fuel=2) == (2,)
        return
    assert spent(text, V48, fuel=135) == (134,)
    with pytest.raises(ExhaustionError):
        spent(text, V48, fuel=134)
