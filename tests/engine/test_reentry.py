"""Host functions between activations: what they leave behind when they raise."""

from __future__ import annotations

import pytest

from engine import Store, Trap, TrapKind, instantiate, invoke
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
