"""The depth of Wasm calls: deterministic, explicit, and harmless to the store."""

from __future__ import annotations

import pytest

from engine import ExhaustionError, Store, instantiate, invoke
from engine.errors import Resource
from engine.instructions import TABLE
from engine.module import Code, Export, In, Module
from engine.runtime.store import Config
from engine.types import I32, I64, FuncType, RecType, SubType
from tests.support.wasm import call, wat

DOWN = """(memory (export "m") 1) (global $depth (export "depth") (mut i32) (i32.const 0))
  (func $f (export "f") (param i32) (result i32)
    (global.set $depth (i32.add (global.get $depth) (i32.const 1)))
    (if (result i32) (local.get 0)
      (then (i32.add (i32.const 1) (call $f (i32.sub (local.get 0) (i32.const 1)))))
      (else (i32.const 0))))
  (func (export "for ever") (call $down)) (func $down (call $up)) (func $up (call $down))"""


def instance(text=DOWN, **config):
    return instantiate(Store(Config(**config)), wat(text))


def exhausted(i, export, *args):
    with pytest.raises(ExhaustionError, match="call stack exhausted") as caught:
        call(i, export, *args)
    assert caught.value.resource is Resource.STACK
    return caught.value


@pytest.mark.parametrize("depth", [1, 2, 10, 1000])
def test_exactly_max_depth_frames_fit(depth):
    i = instance(max_depth=depth)
    assert call(i, "f", depth - 1) == depth - 1
    exhausted(i, "f", depth)
    assert i.exports["depth"].value == 2 * depth  # the frame too many never ran


def test_the_default_is_10000():
    i = instance()
    assert call(i, "f", 9_999) == 9_999
    exhausted(i, "f", 10_000)


def test_100000_frames_are_possible():
    assert call(instance(max_depth=100_000), "f", 99_999) == 99_999


def test_exhaustion_leaves_the_store_intact_and_usable():
    i = instance()
    error = exhausted(i, "for ever")
    assert error.where.funcidx in (2, 3)
    assert (i.store.activations, i.store.depth) == (0, 0)
    assert call(i, "f", 100) == 100


def test_calls_through_tables_count():
    text = """(table 1 funcref) (elem (i32.const 0) $f) (type $t (func))
      (func $f (export "f") (call_indirect (type $t) (i32.const 0)))"""
    exhausted(instance(text), "f")


def test_depth_counts_through_the_host():
    text = """(import "" "h" (func $h (param i32) (result i32))) (func (export "f") (param i32) (result i32)
      (call $h (i32.sub (local.get 0) (i32.const 1))))"""
    store = Store(Config(max_depth=20))

    def host(caller, args):
        return invoke(caller.store, i.exports["f"], args) if args[0] else [7]

    i = instantiate(store, wat(text), [store.alloc_host_func(FuncType((I32,), (I32,)), host)])
    assert call(i, "f", 20) == 7
    exhausted(i, "f", 21)
    assert store.depth == 0


def recursive(locals_):
    """A function of many locals that calls itself for ever."""
    rows = TABLE.by_name
    functype = RecType((SubType(True, (), FuncType((), ())),))
    code = Code(((locals_, I64),), (In(rows["call"], (0,)), In(rows["end"])))
    return Module(types=(functype,), funcs=(0,), codes=(code,), exports=(Export("f", "func", 0),))


def test_large_frames_exhaust_sooner_so_memory_is_bounded():
    import tracemalloc

    i = instantiate(Store(), recursive(50_000))
    tracemalloc.start()
    exhausted(i, "f")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 << 20


def test_a_frame_too_large_to_make_exhausts_at_once():
    exhausted(instantiate(Store(), recursive(2**31)), "f")
