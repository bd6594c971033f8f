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
    OutOfFuel,
    Store,
    Trap,
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


def test_a_handle_of_one_has_no_call_to_show():
    store, module, imports = setup(True)
    with instantiate_resumable(store, module, imports) as call, pytest.raises(CallError):
        _ = call.activation
    assert call.is_consumed
