"""Host functions between activations: what they leave behind when they raise."""

from __future__ import annotations

import sys
from functools import partial

import pytest

from engine import Config, ExhaustionError, Store, Trap, TrapKind, instantiate, invoke
from engine.runtime.store import MAX_ACTIVATIONS
from engine.types import FuncType
from tests.support.wasm import call, wat

CALLER = '(import "h" "h" (func $h)) (func (export "f") (drop (i32.const 1)) (call $h))'


@pytest.mark.parametrize("error", [Trap(TrapKind.HOST), KeyError("of the host")])
def test_fuel_spent_before_a_host_function_raised_stays_spent(error):
    store = Store()

    def host(caller, args):
        assert caller.store.fuel_left == 1000 - 3
        raise error

    i = instantiate(store, wat(CALLER), [store.alloc_host_func(FuncType((), ()), host)])
    store.fuel_left = 1000
    with pytest.raises(type(error)):
        call(i, "f")
    assert store.fuel_left == 1000 - 3


def test_fuel_spent_inside_a_host_function_that_raised_stays_spent():
    store = Store()
    inner = instantiate(store, wat('(func (export "f") (drop (i32.const 1)) (unreachable))'))

    def host(caller, args):
        return invoke(store, inner.exports["f"], ())

    i = instantiate(store, wat(CALLER), [store.alloc_host_func(FuncType((), ()), host)])
    store.fuel_left = 1000
    with pytest.raises(Trap):
        call(i, "f")
    spent = 1000 - store.fuel_left
    with pytest.raises(Trap):
        call(inner, "f")
    assert spent == 3 + (1000 - spent - store.fuel_left)
    assert store.depth == store.activations == 0


def test_activations_to_the_ceiling_leave_the_store_intact():
    store = Store(Config(max_activations=MAX_ACTIVATIONS))
    instances = []

    def again(_, caller, args):
        return invoke(store, instances[0].exports["f"], ())

    # A partial is called through C, so that each activation also takes stack of the interpreter.
    host = store.alloc_host_func(FuncType((), ()), partial(again, None))
    instances.append(instantiate(store, wat(CALLER), [host]))
    limit = sys.getrecursionlimit()
    for _ in range(2):
        with pytest.raises(ExhaustionError):
            call(instances[0], "f")
        assert store.depth == store.activations == 0
    # others rely on it: a JSON decoder met with a deep document would end the process
    assert sys.getrecursionlimit() == limit


def test_more_activations_than_the_interpreter_can_bear_are_refused():
    with pytest.raises(ValueError, match="at most"):
        Config(max_activations=MAX_ACTIVATIONS + 1)
