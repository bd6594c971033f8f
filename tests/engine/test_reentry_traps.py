"""Leaving by a trap: every way to, alone and below the host, as wasmtime does natively and by its interpreter."""

from __future__ import annotations

import sys

import pytest

from engine import Config, ExhaustionError, Store, instantiate, invoke
from engine.errors import Resource
from engine.types import I32, FuncType
from tests.support.embedders import ENGINES, HostError, attempt
from tests.support.wasm import wasm, wat

TRAPS = """(module (memory (export "m") 1 2) (table 4 funcref) (type $v (func)) (type $p (func (param i32)))
  (global $g (export "g") (mut i32) (i32.const 0)) (func $nop) (elem (i32.const 1) $nop)
  (func $count (global.set $g (i32.add (global.get $g) (i32.const 1))) (i32.store8 (global.get $g) (i32.const 1)))
  (func (export "unreachable") (call $count) unreachable)
  (func (export "divide by zero") (call $count) (drop (i32.div_u (i32.const 1) (i32.const 0))))
  (func (export "quotient") (call $count) (drop (i32.div_s (i32.const 0x80000000) (i32.const -1))))
  (func (export "quotient of 64") (call $count) (drop (i64.div_s (i64.const 0x8000000000000000) (i64.const -1))))
  (func (export "remainder") (call $count) (drop (i64.rem_s (i64.const 1) (i64.const 0))))
  (func (export "truncate NaN") (call $count) (drop (i32.trunc_f64_s (f64.const nan))))
  (func (export "truncate too large") (call $count) (drop (i32.trunc_f32_u (f32.const 1e20))))
  (func (export "load") (call $count) (drop (i32.load (i32.const 65533))))
  (func (export "store") (call $count) (i64.store offset=0xfffffff0 (i32.const 100) (i64.const 1)))
  (func (export "fill") (call $count) (memory.fill (i32.const 65530) (i32.const 0) (i32.const 100)))
  (func (export "element too far") (call $count) (call_indirect (type $v) (i32.const 9)))
  (func (export "no element") (call $count) (call_indirect (type $v) (i32.const 0)))
  (func (export "other type") (call $count) (call_indirect (type $p) (i32.const 1) (i32.const 1)))
  (func (export "table.get") (call $count) (drop (table.get 0 (i32.const 9))))
  (func $deep (export "stack") (call $deep))
  (func (export "fine") (result i32) (i32.const 7)))"""
CASES = [
    "unreachable", "divide by zero", "quotient", "quotient of 64", "remainder", "truncate NaN", "truncate too large",
    "load", "store", "fill", "element too far", "no element", "other type", "table.get", "stack",
]  # fmt: skip


def table(engine):
    """Return what each case comes to, what it leaves, and whether the instance is as good as before."""
    embedder = ENGINES[engine](wasm(TRAPS), lambda embedder, n: n)
    out = {}
    for case in CASES:
        end = attempt(embedder, case)
        assert end[0] == "trapped", case
        out[case] = end, embedder.global_(), embedder.memory(), attempt(embedder, "fine")
    return out


@pytest.mark.parametrize("engine", ["native", "pulley", "debugged"])
def test_traps_are_those_of_wasmtime(engine):
    assert len(CASES) == 15
    assert table("ours") == table(engine)


REENTER = """(module (import "h" "cb" (func $cb (param i32) (result i32))) (memory (export "m") 1)
  (global $g (export "g") (mut i32) (i32.const 0))
  (func (export "f") (param i32) (result i32) (local i64 f64 i32)
    (local.set 1 (i64.const 0x1122334455667788)) (local.set 2 (f64.const 2.5)) (local.set 3 (local.get 0))
    (global.set $g (i32.add (global.get $g) (i32.const 1)))
    (i32.add (call $cb (local.get 0)) (i32.add (i32.mul (local.get 3) (i32.const 1000))
      (i32.add (i32.trunc_f64_s (local.get 2)) (i32.wrap_i64 (local.get 1))))))
  (func (export "divide") (param i32) (result i32) (i32.div_u (i32.const 5) (local.get 0)))
  (func (export "trap") unreachable))"""
CAUGHT, PASSED, OWN, MANY = 1000, 1001, 1002, 1003


def host(embedder, n):
    if n == 0:
        return 1
    if n == CAUGHT:
        return 77 if attempt(embedder, "divide", 0)[0] == "trapped" else 0
    if n == PASSED:
        return embedder.call("divide", 0)
    if n == OWN:
        raise HostError("own")
    if n == MANY:
        assert [attempt(embedder, "trap")[0] for _ in range(5)] == ["trapped"] * 5
        return embedder.call("f", 2)
    return embedder.call("f", n - 1)


def reentered(engine):
    embedder = ENGINES[engine](wasm(REENTER), host)
    out = []
    for n in (0, 5, CAUGHT, PASSED, OWN, MANY, 3, 50, 150, PASSED, 1):
        out.append((n, attempt(embedder, "f", n), embedder.global_(), embedder.memory()))
    return out


@pytest.fixture
def python_stack():
    """Make room for the frames of Python that a call through wasmtime's package takes; our engine does it itself."""
    before = sys.getrecursionlimit()
    yield lambda: sys.setrecursionlimit(10 * before)
    sys.setrecursionlimit(before)


@pytest.mark.parametrize("engine", ["native", "pulley", "debugged"])
def test_calls_back_end_as_in_wasmtime(engine, python_stack):
    ours = reentered("ours")
    python_stack()
    assert [end[0] for _, end, _, _ in ours].count("returned") == 8
    assert ours == reentered(engine)


# -- limits inside of a call back: for the function of the host around it one more error

INSIDE = """(module (import "h" "cb" (func $cb (param i32) (result i32)))
  (func (export "f") (param i32) (result i32) (i32.add (i32.const 1) (call $cb (local.get 0))))
  (func $deep (export "stack") (result i32) (i32.add (i32.const 1) (call $deep)))
  (func (export "fuel") (result i32) (loop (br 0)) (i32.const 0)))"""


@pytest.mark.parametrize("resource", [Resource.STACK, Resource.FUEL])
def test_what_is_exhausted_inside_is_caught_by_the_host_around_it(resource):
    inside = []

    def catches(caller, args):
        with pytest.raises(ExhaustionError) as caught:
            invoke(store, i.exports[resource.name.lower()], ())
        inside.append((caught.value.resource, store.depth, store.activations))
        if resource is Resource.FUEL:
            store.set_fuel(100)
        return [41]

    store = Store(Config(checks=True))
    i = instantiate(store, wat(INSIDE), [store.alloc_host_func(FuncType((I32,), (I32,)), catches)])
    if resource is Resource.FUEL:
        store.set_fuel(1000)
    for _ in range(2):
        assert invoke(store, i.exports["f"], (0,)) == [42]
    assert inside == [(resource, 1, 1)] * 2
    assert (store.depth, store.activations) == (0, 0)
