"""Instantiations that stop half-way and go on: segments and expressions that are charged for, and start functions."""

from __future__ import annotations

import pytest

from engine import (
    CallError,
    Config,
    ExhaustionError,
    Finished,
    HostTrap,
    InvocationConsumed,
    LinkError,
    MismatchingResultLen,
    MismatchingResultType,
    OutOfFuel,
    Store,
    StoreMismatch,
    Trap,
    TrapKind,
    Yielded,
    instantiate,
    instantiate_resumable,
)
from engine.execution.fuel_models import fuel_model
from engine.types import I32, FuncType
from tests.support.wasm import wat

# The initialiser of the global, the passive segment and the start function cost; the loop has check points.
TEXT = """(module (import "" "h" (func $h (result i32))) (memory (export "m") 1)
  (global $g (export "g") (mut i32) (i32.const 0)) (table 8 funcref)
  (elem (i32.const 0) $start $start $start) (elem funcref (ref.func $start) (ref.null func))
  (data (i32.const 0) "abc")
  (func $start (local $n i32) (local.set $n (i32.const 5))
    (loop $l (global.set $g (i32.add (global.get $g) (i32.const 1)))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (global.set $g (i32.add (global.get $g) (i32.mul (i32.const 100) (call $h)))))
  (start $start))"""


class Stop(Exception):
    """What the host raises."""


def setup(raises, **config):
    store = Store(Config(checks=True, **config))

    def host(caller, args):
        if raises:
            raise Stop
        return [3]

    return store, wat(TEXT), [store.alloc_host_func(FuncType((), (I32,)), host)]


def test_one_that_does_not_stop_has_the_instance_as_its_result():
    store, module, imports = setup(False)
    done = instantiate_resumable(store, module, imports)
    assert isinstance(done, Finished)
    assert done.results[0] is store.instances[-1]
    assert done.results[0].exports["g"].value == 305


def test_a_start_function_goes_on_with_values_for_the_host():
    store, module, imports = setup(True)
    call = instantiate_resumable(store, module, imports)
    assert isinstance(call, HostTrap)
    assert isinstance(call.host_error, Stop)
    assert call.host_func is imports[0]
    (instance,) = call.resume(store, 2).results
    assert instance.exports["g"].value == 205
    assert bytes(instance.exports["m"].data[:3]) == b"abc"
    with pytest.raises(InvocationConsumed):
        call.resume(store, 2)


@pytest.mark.parametrize("model", [fuel_model("unit"), fuel_model("wasmtime", 50)], ids=str)
def test_any_slicing_of_fuel_is_the_straight_run(model):
    store, module, imports = setup(False, fuel_model=model)
    store.set_fuel(1000)
    expected = instantiate(store, module, imports)
    spent = 1000 - store.fuel_left
    for topped_up in (False, True):
        store, module, imports = setup(True, fuel_model=model)
        given, kinds = (1, []) if topped_up else (1000, [])
        store.set_fuel(given)
        store.set_fuel_interval(None if topped_up else 1)
        call = instantiate_resumable(store, module, imports)
        while not isinstance(call, Finished):
            kinds.append(type(call))
            if isinstance(call, OutOfFuel):
                store.add_fuel(1)
                given += 1
            call = call.resume(store, 3) if isinstance(call, HostTrap) else call.resume(store)
        assert call.results[0].exports["g"].value == expected.exports["g"].value
        assert given - store.fuel_left == spent
        assert set(kinds) == {HostTrap, OutOfFuel if topped_up else Yielded}
        assert len(kinds) > 4


@pytest.mark.parametrize("fuel", [0, 10])
def test_the_error_is_that_of_an_ordinary_instantiation(fuel):
    store, module, imports = setup(False, fuel_model=fuel_model("wasmtime", 50))
    store.set_fuel(fuel)
    error = instantiate_resumable(store, module, imports).into_error()
    store.set_fuel(fuel)
    with pytest.raises(ExhaustionError) as caught:
        instantiate(store, module, imports)
    assert type(error) is type(caught.value)
    assert error.resource is caught.value.resource
    assert str(error) == str(caught.value)


def test_what_cannot_be_gone_on_from_is_raised():
    store, module, _ = setup(False)
    with pytest.raises(LinkError):
        instantiate_resumable(store, module, [])
    with pytest.raises(Trap):
        instantiate_resumable(store, wat("(module (func unreachable) (start 0))"))


STOPS = pytest.mark.parametrize("kind", [HostTrap, OutOfFuel, Yielded])


def stopped(kind):
    store, module, imports = setup(True, fuel_model=fuel_model("wasmtime", 50))
    store.set_fuel(0 if kind is OutOfFuel else 1000)
    store.set_fuel_interval(5 if kind is Yielded else None)
    call = instantiate_resumable(store, module, imports)
    assert type(call) is kind
    return store, call


def is_over(store, call):
    assert call.is_consumed
    for use in (lambda: call.resume(store), call.into_error):
        with pytest.raises(InvocationConsumed):
            use()
    call.close()
    assert store.vm_state()[:3] == (0, 0, 0)


@STOPS
def test_a_wrong_number_of_values_or_another_store_is_refused_and_ends_it(kind):
    store, call = stopped(kind)
    fuel = store.fuel_left
    with pytest.raises(MismatchingResultLen):
        call.resume(store, *[1] * (2 if kind is HostTrap else 1))
    is_over(store, call)
    other, call = stopped(kind)
    with pytest.raises(StoreMismatch):
        call.resume(store, *[1] * (kind is HostTrap))
    is_over(other, call)
    assert store.fuel_left == fuel


def test_a_value_of_another_type_is_refused_and_ends_it():
    store, call = stopped(HostTrap)
    with pytest.raises(MismatchingResultType):
        call.resume(store, 1.0)
    is_over(store, call)


@STOPS
def test_closing_and_asking_for_the_error_end_it(kind):
    store, call = stopped(kind)
    with call:
        pass
    is_over(store, call)
    store, call = stopped(kind)
    assert isinstance(call.into_error(), Stop if kind is HostTrap else ExhaustionError)
    is_over(store, call)


def test_the_error_of_a_host_that_traps_knows_the_frames_of_the_start_function():
    def host(caller, args):
        raise Trap(TrapKind.HOST)

    store = Store()
    module = wat('(import "" "h" (func $h)) (func $f (call $h)) (func $s (call $f)) (start $s)')
    call = instantiate_resumable(store, module, [store.alloc_host_func(FuncType((), ()), host)])
    assert call.host_error.activations == []
    error = call.into_error()
    (activation,) = error.activations
    assert [block.code.func.funcidx for block, _ in activation.frames] == [2]
    assert error.where.funcidx == 1


def test_a_handle_of_one_has_no_call_to_show():
    store, module, imports = setup(True)
    with instantiate_resumable(store, module, imports) as call, pytest.raises(CallError):
        _ = call.activation
    assert call.is_consumed
