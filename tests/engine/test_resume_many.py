"""Many suspended calls at once: none disturbs another, and what is dropped is gone."""

from __future__ import annotations

import gc
import random
import traceback
import weakref

import pytest

from engine import (
    Config,
    ExhaustionError,
    Finished,
    HostTrap,
    OutOfFuel,
    Store,
    Trap,
    TrapKind,
    Yielded,
    instantiate,
    instantiate_resumable,
)
from engine.errors import Resource
from engine.execution.stacks import PER_STACK
from engine.types import I32, FuncType
from tests.support.wasm import wat

# Adds up what the host gives at each depth, from the innermost call outwards; each stop is at another depth.
TEXT = """(module (import "" "h" (func $h (param i32) (result i32)))
  (global $live (export "live") (mut i32) (i32.const 0))
  (func $down (export "down") (param $n i32) (result i32) (local $mine i32)
    (global.set $live (i32.add (global.get $live) (i32.const 1)))
    (local.set $mine (i32.mul (local.get $n) (local.get $n)))
    (if (local.get $n) (then (local.set $mine
      (i32.add (local.get $mine) (call $down (i32.sub (local.get $n) (i32.const 1)))))))
    (local.set $mine (i32.add (local.get $mine) (call $h (local.get $n))))
    (loop $l (br_if $l (i32.and (local.tee $n (i32.sub (local.get $n) (i32.const 1))) (i32.const 7))))
    (local.get $mine)))"""


class Stop(Exception):
    """Its traceback and its value are what a suspended call keeps of the host."""

    def __init__(self, n):
        self.n = n
        self.large = bytearray(1000)


def setup():
    store = Store(Config(checks=True))

    def host(caller, args):
        raise Stop(args[0])

    return instantiate(store, wat(TEXT), [store.alloc_host_func(FuncType((I32,), (I32,)), host)])


def fields(store):
    """Return what of a store a call could leave behind: numbers and the lengths of its lists."""
    values = {name: getattr(store, name) for name in store.__slots__}
    return {k: len(v) if isinstance(v, list) else v for k, v in values.items() if k != "config"}


def expected(depth, add):
    return sum(n * n + n + add for n in range(depth + 1)) % 2**32


def objects():
    """Return how many objects of the kinds that a suspended call is made of there are."""
    gc.collect()
    names = {"Activation", "HostTrap", "OutOfFuel", "Yielded", "Stop", "frame", "traceback"}
    return sum(type(o).__name__ in names for o in gc.get_objects())


@pytest.mark.parametrize("fuel", [False, True])
def test_a_thousand_interleaved_calls_do_not_disturb_each_other_and_leak_nothing(fuel):
    i = setup()
    store, rng = i.store, random.Random(7)
    if fuel:
        store.set_fuel(1 << 50)
        store.set_fuel_interval(40)
    before, count = None, 0
    for round_ in range(3):
        calls = {}
        for k in range(1000):
            depth = rng.randrange(12)
            calls[k] = depth, k, i.exports["down"].call_resumable(store, depth)
        for k in rng.sample(range(1000), 500):  # dropped without a word, at any point of their lives
            depth, add, call = calls[k]
            for _ in range(rng.randrange(4)):
                if not isinstance(call, Finished):
                    call = on(store, call, add)
            calls[k] = depth, add, None
        alive = [k for k in calls if calls[k][2] is not None]
        while alive:
            k = rng.choice(alive)
            depth, add, call = calls[k]
            if isinstance(call, Finished):
                assert call.results == (expected(depth, add),)
                alive.remove(k)
            else:
                calls[k] = depth, add, on(store, call, add)
        calls.clear()
        call = None
        if round_ == 0:  # what is made once, like blocks, is there now
            before, count = fields(store), objects()
            live = i.exports["live"].value
    after = fields(store)
    assert i.exports["live"].value > live
    assert objects() <= count + 5
    for name in ("fuel_left", "fuel_reserve"):
        assert (after.pop(name) is None) == (before.pop(name) is None)
    assert after == before


def on(store, call, add):
    return call.resume(store, call.host_error.n + add) if isinstance(call, HostTrap) else call.resume(store)


class Watched(list):
    """Registers that can be referred to weakly."""

    __slots__ = ("__weakref__",)


def watch(call):
    """Put registers that can be watched in the frame at the top, and return a weak reference to them."""
    return watch_activation(call.activation)


def watch_activation(activation):
    block, R = activation.frames.pop()
    watched = Watched(R)
    activation.frames.append((block, watched))
    return weakref.ref(watched)


SETUPS = {HostTrap: (None, None), OutOfFuel: (0, None), Yielded: (1000, 3)}


@pytest.mark.parametrize("how", ["drop", "close", "finish", "error"])
@pytest.mark.parametrize("kind", SETUPS)
def test_a_call_is_freed_at_once_without_a_collection_of_garbage(kind, how):
    i = setup()
    fuel, interval = SETUPS[kind]
    i.store.set_fuel_interval(interval)
    i.store.set_fuel(fuel)
    gc.collect()
    gc.disable()
    try:
        call = i.exports["down"].call_resumable(i.store, 0)
        while type(call) is not kind:
            call = on(i.store, call, 0)
        gone = watch(call)
        assert gone() is not None
        if how == "close":
            call.close()
        elif how == "error":
            error = call.into_error()
        elif how == "finish":
            i.store.set_fuel(None)
            while not isinstance(call, Finished):
                call = on(i.store, call, 0)
        else:
            del call
        assert gone() is None
        assert how != "error" or isinstance(error, Exception)
    finally:
        gc.enable()


RAISED = {
    "own": lambda: KeyError("of the host"),
    "trap": lambda: Trap(TrapKind.HOST),
    "exhausted": lambda: ExhaustionError(Resource.STACK),
}
ONE = """(module (import "" "h" (func $h)) (func (export "call") (call $h)) (func $tail (return_call $h))
  (func (export "tail") (call $tail)))"""


def raising(error):
    """Return a function of the host that raises a kind of error, made anew."""

    def host(caller, args):
        raise RAISED[error]()

    return host


@pytest.fixture
def uncollected():
    """Have no collection of garbage free anything."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("error", RAISED)
@pytest.mark.parametrize("export", ["call", "tail"])
@pytest.mark.parametrize("debugged", [False, True])
def test_a_call_is_freed_at_once_whatever_the_host_raised(error, export, debugged):
    store = Store(Config(checks=True, guest_debug=debugged))
    i = instantiate(store, wat(ONE), [store.alloc_host_func(FuncType((), ()), raising(error))])
    call = i.exports[export].call_resumable(store)
    assert type(call.host_error) is type(RAISED[error]())
    gone = watch(call)
    del call
    assert gone() is None


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("error", RAISED)
def test_an_instantiation_is_freed_at_once(error):
    store = Store(Config(checks=True))
    module = wat('(import "" "h" (func $h)) (func $s (call $h)) (start $s)')
    call = instantiate_resumable(store, module, [store.alloc_host_func(FuncType((), ()), raising(error))])
    gone = watch_activation(call.under_way.activation)
    del call
    assert gone() is None


@pytest.mark.usefixtures("uncollected")
def test_a_call_that_was_made_in_a_thread_of_its_own_is_freed_at_once():
    def host(caller, args):
        if store.activations > PER_STACK:
            raise KeyError
        if store.activations < PER_STACK:
            i.exports["call"].call_resumable(store)
        else:
            call = i.exports["call"].call_resumable(store)
            gone.append(watch(call))
            del call
            gone.append(gone[0]())
        return ()

    gone = []
    store = Store(Config(checks=True))
    i = instantiate(store, wat(ONE), [store.alloc_host_func(FuncType((), ()), host)])
    i.exports["call"].call_resumable(store)
    assert len(gone) == 2
    assert gone[1] is None


def test_the_error_of_the_host_keeps_its_traceback():
    i = setup()
    call = i.exports["down"].call_resumable(i.store, 0)
    names = [frame.name for frame in traceback.extract_tb(call.host_error.__traceback__)]
    assert names[-1] == "host"
