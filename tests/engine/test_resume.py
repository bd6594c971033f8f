"""Resumable calls: what stops one, how it goes on, and what the store is meanwhile."""

from __future__ import annotations

import pytest

from engine import (
    ExhaustionError,
    Finished,
    HostTrap,
    InvocationConsumed,
    OutOfFuel,
    Store,
    Trap,
    TrapKind,
    UncaughtException,
    Yielded,
    call_resumable,
    invoke,
)
from engine.errors import Resource
from engine.execution.fuel import Check
from engine.execution.fuel_models import MODELS, fuel_model
from engine.types import I32, FuncType
from tests.support.resumable import COUNT, EXIT, NESTED, Exit, raises, setup, start

# -- a host function that fails


def test_the_values_to_resume_with_are_the_results_of_the_host_function():
    """It has more results than parameters."""
    i = setup(f'(module {EXIT} (func (export "test") (result i32) (call $host_fn)))')
    call = start(i)
    assert isinstance(call, HostTrap)
    assert isinstance(call.host_error, Exit)
    assert call.host_func is i.funcs[0]
    assert call.resume(i.store, 42) == Finished((42,))


@pytest.mark.parametrize(("value", "expected"), [(42, 11), (0, 22)])
def test_a_resumed_call_uses_the_values(value, expected):
    i = setup(f"""(module {EXIT} (func (export "test") (result i32)
      (if (result i32) (i32.ne (call $host_fn) (i32.const 0)) (then (i32.const 11)) (else (i32.const 22)))))""")
    assert start(i).resume(i.store, value) == Finished((expected,))


TAILS = f"""(module {EXIT} (type $v (func (result i32))) (table 1 funcref) (elem (i32.const 0) $host_fn)
  (elem declare func $host_fn)
  (func $call (export "call") (result i32) (return_call $host_fn))
  (func $indirect (export "indirect") (result i32) (return_call_indirect (type $v) (i32.const 0)))
  (func $ref (export "ref") (result i32) (return_call_ref $v (ref.func $host_fn)))
  (func $chain (export "chain") (result i32) (return_call $call))
  (func (export "under call") (result i32) (i32.add (i32.const 1) (call $call)))
  (func (export "under indirect") (result i32) (i32.add (i32.const 1) (call $indirect)))
  (func (export "under ref") (result i32) (i32.add (i32.const 1) (call $ref)))
  (func (export "under chain") (result i32) (i32.add (i32.const 1) (call $chain)))
  (func $all (result i32) (i32.add (i32.const 1) (call $call)))
  (func (export "above") (result i32) (return_call $all)))"""


@pytest.mark.parametrize("debugged", [False, True])
@pytest.mark.parametrize("tail", ["call", "indirect", "ref", "chain"])
def test_a_host_function_in_place_of_the_outermost_frame_fails_plainly(tail, debugged):
    i = setup(TAILS, guest_debug=debugged)
    with pytest.raises(Exit):
        start(i, tail)
    assert i.store.vm_state()[:3] == (0, 0, 0)


@pytest.mark.parametrize("debugged", [False, True])
@pytest.mark.parametrize("tail", ["under call", "under indirect", "under ref", "under chain", "above"])
def test_values_for_a_host_function_in_place_of_a_nested_frame_go_to_its_caller(tail, debugged):
    i = setup(TAILS, guest_debug=debugged)
    call = start(i, tail)
    assert call.host_func is i.funcs[0]
    assert len(call.activation.frames) == 2  # the caller, and the host in place of the one that it called
    assert call.resume(i.store, 41) == Finished((42,))


def test_a_host_function_fails_plainly_when_it_is_the_one_called():
    store = Store()
    host = store.alloc_host_func(FuncType((), ()), raises)
    for _ in range(2):
        with pytest.raises(Exit):
            host.call_resumable(store)
        with pytest.raises(Exit):
            host.typed((), ()).call_resumable(store)
    assert store.activations == 0


def test_a_host_function_that_returns_finishes_a_resumable_call():
    store = Store()
    host = store.alloc_host_func(FuncType((I32,), (I32, I32)), lambda caller, args: [args[0], 7])
    assert call_resumable(store, host, 3) == Finished((3, 7))


FOUR_CALLS = """(import "env" "host_fn" (func $host_fn (param i32) (result i32)))
  (func (export "test") (param $trap i32) (result i32) (local $i i32)
    (local.set $i (call $host_fn (local.get $i)))
    (local.set $i (call $host_fn (local.get $i)))
    (local.set $i (call $host_fn (local.get $i)))
    (local.set $i (call $host_fn (local.get $i)))
    (if (local.get $trap) (then unreachable))
    (local.get $i))"""


def fails_in_the_middle(caller, args):
    if args[0] in (1, 2):
        raise Exit(10 * args[0])
    return [args[0] + 1]


@pytest.mark.parametrize("how", ["function", "method", "typed"])
@pytest.mark.parametrize("wasm_trap", [0, 1])
def test_a_call_stops_and_goes_on_any_number_of_times(how, wasm_trap):
    i = setup(FOUR_CALLS, fails_in_the_middle, FuncType((I32,), (I32,)))
    store, func = i.store, i.exports["test"]
    if how == "function":
        call = call_resumable(store, func, wasm_trap)
    elif how == "method":
        call = func.call_resumable(store, wasm_trap)
    else:
        call = func.typed([I32], [I32]).call_resumable(store, wasm_trap)
    assert call.host_error.args == (10,)
    assert call.host_func.functype.results == (I32,)
    call = call.resume(store, 2)
    assert call.host_error.args == (20,)
    assert call.host_func.functype.results == (I32,)
    if wasm_trap:
        with pytest.raises(Trap) as caught:
            call.resume(store, 3)
        assert caught.value.kind is TrapKind.UNREACHABLE
    else:
        assert call.resume(store, 3) == Finished((4,))
    assert call.is_consumed
    assert (store.depth, store.activations) == (0, 0)


def test_a_trap_that_a_host_function_raises_can_be_resumed():
    def host(caller, args):
        raise Trap(TrapKind.HOST)

    i = setup(f'(module {EXIT} (func (export "test") (result i32) (call $host_fn)))', host)
    call = start(i)
    assert call.host_error.kind is TrapKind.HOST
    assert call.resume(i.store, 1) == Finished((1,))


def test_a_trap_of_wasm_is_raised_and_over():
    i = setup(f'(module {EXIT} (func (export "test") unreachable))')
    with pytest.raises(Trap):
        start(i)


@pytest.mark.parametrize("m", [0, 1, 3])
def test_any_number_of_values(m):
    ts = "i32 " * m
    text = f"""(module (import "" "h" (func $h (result {ts}))) (func $f (result {ts}) (call $h))
      (func (export "test") (result i32 {ts}) (i32.const 9) (call $f)))"""
    i = setup(text, functype=FuncType((), (I32,) * m))
    values = range(1, m + 1)
    assert start(i).resume(i.store, *values) == Finished((9, *values))


def test_what_the_host_throws_into_wasm_is_caught_there_or_leaves():
    text = """(module (import "" "h" (func $h (result i32))) (tag $t (export "t"))
      (func (export "caught") (result i32) (block $b (try_table (catch $t $b) (drop (call $h)))) (i32.const 5))
      (func (export "test") (result i32) (call $h)))"""

    def throws(caller, args):
        raise UncaughtException(i.exports["t"], ())

    i = setup(text, throws)
    assert start(i, "caught") == Finished((5,))
    with pytest.raises(UncaughtException):
        start(i)


def test_an_interrupt_of_the_process_is_no_failure_to_resume():
    def host(caller, args):
        raise KeyboardInterrupt

    i = setup(f'(module {EXIT} (func (export "test") (result i32) (call $host_fn)))', host)
    with pytest.raises(KeyboardInterrupt):
        start(i)
    assert (i.store.depth, i.store.activations) == (0, 0)


# -- calls inside of host functions


@pytest.mark.parametrize(("inner", "error"), [("trap", Trap), ("spin", ExhaustionError)])
def test_how_a_nested_call_ends_is_an_error_to_the_host_function_around_it(inner, error):
    seen = []

    def host(caller, args):
        try:
            return invoke(caller.store, i.exports[inner], ())
        except (Trap, ExhaustionError) as e:
            seen.append(e)
            raise

    i = setup(NESTED, host)
    i.store.set_fuel(1000)
    call = start(i)
    assert isinstance(call, HostTrap)
    assert isinstance(call.host_error, error)
    assert call.host_error is seen[0]
    i.store.set_fuel(100)
    assert call.resume(i.store, 6) == Finished((7,))


def test_a_nested_call_may_be_suspended_and_outlive_the_call_around_it():
    kept = []

    def host(caller, args):
        if kept:
            raise Exit
        kept.append(None)
        kept.append(start(i))
        return [10]

    i = setup(NESTED, host)
    assert start(i) == Finished((11,))
    assert (i.store.depth, i.store.activations) == (0, 0)
    assert kept[1].resume(i.store, 1) == Finished((2,))


def test_a_suspended_call_may_go_on_inside_of_another_call():
    calls = []

    def host(caller, args):
        if not calls:
            raise Exit
        return calls.pop().resume(caller.store, 20).results

    i = setup(NESTED, host)
    calls.append(start(i))
    assert start(i) == Finished((22,))


def test_a_call_that_goes_on_cannot_be_resumed_from_inside():
    def host(caller, args):
        if not calls:
            raise Exit
        with pytest.raises(InvocationConsumed):
            calls[0].resume(caller.store, 1)
        return [4]

    calls = []
    i = setup("""(module (import "" "h" (func $h (result i32)))
      (func (export "test") (result i32) (drop (call $h)) (call $h)))""", host)  # fmt: skip
    calls.append(start(i))
    assert calls[0].resume(i.store, 0) == Finished((4,))


def test_frames_that_do_not_fit_on_the_stack_any_more_exhaust_it():
    text = """(module (import "" "h" (func $h (result i32)))
      (func $f (export "test") (param i32) (result i32)
        (if (result i32) (local.get 0) (then (call $f (i32.sub (local.get 0) (i32.const 1)))) (else (call $h))))
      (func $g (export "deeper") (param i32) (result i32)
        (if (result i32) (local.get 0) (then (call $g (i32.sub (local.get 0) (i32.const 1)))) (else (call $h)))))"""
    calls = []

    def host(caller, args):
        if not calls:
            raise Exit
        return calls.pop().resume(caller.store, 1).results

    i = setup(text, host, max_depth=20)
    calls.append(start(i, "test", 9))  # 10 frames
    assert invoke(i.store, i.exports["deeper"], (8,)) == [1]  # 9 more, and the host
    calls.append(start(i, "test", 9))
    with pytest.raises(ExhaustionError) as caught:
        invoke(i.store, i.exports["deeper"], (10,))
    assert caught.value.resource is Resource.STACK
    assert (i.store.depth, i.store.activations) == (0, 0)


# -- fuel


@pytest.mark.parametrize("model", [m for m in MODELS.values() if m.check is Check.FITS], ids=str)
def test_a_failing_charge_takes_nothing_and_wants_the_whole_of_it(model):
    i = setup(COUNT, fuel_model=model)
    i.store.set_fuel(25)
    call = start(i)
    assert isinstance(call, OutOfFuel)
    done, left, required = i.exports["g"].value, i.store.fuel, call.required_fuel
    assert left < required
    for fuel in (left, required // 2, required - 1):
        i.store.set_fuel(fuel)
        call = call.resume(i.store)
        assert (i.exports["g"].value, i.store.fuel, call.required_fuel) == (done, fuel, required)
    i.store.set_fuel(required)
    call = call.resume(i.store)
    assert i.exports["g"].value == done + 1
    assert i.store.fuel == 0
    i.store.set_fuel(10_000)
    assert call.resume(i.store) == Finished((9,))


BULK = """(module (import "" "h" (func (result i32))) (memory 1 3) (table 1 9000 funcref)
  (func (export "memory") (result i32) (memory.grow (i32.const 1)))
  (func (export "table") (result i32) (table.grow (ref.null func) (i32.const 8000)))
  (func (export "fill") (result i32) (memory.fill (i32.const 0) (i32.const 7) (i32.const 5000)) (i32.const 1)))"""


@pytest.mark.parametrize("export", ["memory", "table", "fill"])
def test_what_growing_and_filling_costs_is_wanted_before_it_happens(export):
    def sizes():
        return len(i.mems[0].data), bytes(i.mems[0].data[:5000]), len(i.tables[0].elems)

    i = setup(BULK, fuel_model=fuel_model("wasmi", 2))
    before = sizes()
    i.store.set_fuel(30)  # for what comes first
    call = start(i, export)
    required = call.required_fuel
    assert required > 70  # for 64 bytes each, or as many elements
    i.store.set_fuel(required - 1)
    call = call.resume(i.store)
    assert (call.required_fuel, i.store.fuel) == (required, required - 1)
    assert sizes() == before
    i.store.set_fuel(required + 30)
    assert call.resume(i.store) == Finished((1,))
    assert sizes() != before


def test_a_debt_and_one_more_is_what_a_model_wants_that_asks_whether_fuel_remains():
    i = setup(COUNT, fuel_model=fuel_model("wasmtime", 50))
    i.store.set_fuel(20)
    call = start(i)
    done, debt, required = i.exports["g"].value, -i.store.fuel_left, call.required_fuel
    assert required == debt + 1
    assert i.store.fuel == 0
    i.store.add_fuel(required - 1)
    call = call.resume(i.store)
    assert (i.exports["g"].value, call.required_fuel) == (done, 1)
    i.store.add_fuel(1)
    call = call.resume(i.store)
    assert i.exports["g"].value == done + 1
    i.store.add_fuel(1000)
    assert call.resume(i.store) == Finished((9,))


def test_metering_may_end_while_a_call_is_suspended():
    i = setup(COUNT)
    i.store.set_fuel(0)
    call = start(i)
    i.store.set_fuel(None)
    assert call.resume(i.store) == Finished((9,))


def test_a_call_yields_at_each_interval_and_only_if_it_can_be_resumed():
    i = setup(COUNT)
    i.store.set_fuel(1000)
    i.store.set_fuel_interval(1)
    call, seen = start(i), []
    while isinstance(call, Yielded):
        seen.append(i.exports["g"].value)
        call = call.resume(i.store)
    assert call == Finished((9,))
    assert seen == sorted(seen)
    assert len(set(seen)) >= 8
    i.exports["g"].value = 0
    assert invoke(i.store, i.exports["test"], ()) == [9]


def test_all_kinds_of_stop_follow_each_other():
    text = """(module (import "" "h" (func $h (result i32))) (global $g (mut i32) (i32.const 0))
      (func (export "test") (result i32)
        (loop $l (global.set $g (i32.add (global.get $g) (call $h)))
          (br_if $l (i32.lt_u (global.get $g) (i32.const 5))))
        (global.get $g)))"""
    i = setup(text)
    store = i.store
    store.set_fuel(10)
    store.set_fuel_interval(7)
    call, kinds = start(i), []
    while not isinstance(call, Finished):
        kinds.append(type(call))
        if isinstance(call, OutOfFuel):
            store.set_fuel(call.required_fuel + 9)
        call = call.resume(store, 1) if isinstance(call, HostTrap) else call.resume(store)
    assert call.results == (5,)
    assert kinds.count(HostTrap) == 5
    assert {HostTrap, OutOfFuel, Yielded} == set(kinds)


# -- the store while a call is suspended


def test_what_others_do_meanwhile_is_what_the_call_sees():
    text = """(module (import "" "h" (func $h (result i32))) (memory (export "m") 1)
      (global $g (export "g") (mut i32) (i32.const 1)) (table (export "t") 1 funcref)
      (elem declare func 2) (type $v (func (result i32)))
      (func (export "test") (result i32) (local $before i32)
        (i32.store (i32.const 0) (i32.const 5)) (local.set $before (global.get $g))
        (drop (call $h))
        (i32.add (i32.load (i32.const 65536)) (i32.add (i32.mul (i32.const 100) (global.get $g))
          (i32.add (local.get $before) (call_indirect (type $v) (i32.const 0))))))
      (func (export "write") (result i32) (drop (memory.grow (i32.const 1))) (i32.store (i32.const 65536) (i32.const 7))
        (global.set $g (i32.const 3)) (table.set (i32.const 0) (ref.func 2)) (i32.const 9000)))"""
    i = setup(text)
    call = start(i)
    assert invoke(i.store, i.exports["write"], ()) == [9000]
    i.exports["g"].value = 4
    assert call.resume(i.store, 0) == Finished((7 + 400 + 1 + 9000,))
