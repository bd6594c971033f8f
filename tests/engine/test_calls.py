"""Calls: from the host, to the host, through tables, and what is left after they end badly."""

from __future__ import annotations

import pytest

from engine import EngineBug, ExhaustionError, Store, Trap, TrapKind, instantiate, invoke
from engine.errors import Resource, Where
from engine.runtime.store import Config
from engine.types import F64, I32, I64, FuncType
from tests.support.wasm import assert_traps, call, wat

IMPORT = '(import "" "h" (func $h (param i32 i64) (result i32)))'
FUNCTYPE = FuncType((I32, I64), (I32,))


def with_host(text, host, functype=FUNCTYPE, **config):
    store = Store(Config(**config))
    return instantiate(store, wat(text), [store.alloc_host_func(functype, host)])


def test_arguments_and_results_of_any_number():
    types = " ".join(["i32"] * 9)
    gets = " ".join(f"(local.get {x})" for x in reversed(range(9)))
    text = f"""(func (export "f") (param {types}) (result {types}) (call $g {gets}))
      (func $g (param {types}) (result {types}) {gets})"""
    i = instantiate(Store(), wat(text))
    assert call(i, "f", *range(9)) == [*range(9)]


@pytest.mark.parametrize("n", [1, 3])
def test_a_wrong_number_of_arguments_is_the_callers_fault(n):
    i = instantiate(Store(), wat('(func (export "f") (param i32 i32))'))
    with pytest.raises(TypeError, match="takes 2 arguments"):
        call(i, "f", *[0] * n)


def test_locals_start_at_their_defaults_in_every_call():
    text = """(func (export "f") (result i32 i64 f32 f64 funcref externref)
      (local $a i32) (local $b i64) (local $c f32) (local $d f64) (local $e funcref) (local $g externref)
      (local.get $a) (local.get $b) (local.get $c) (local.get $d) (local.get $e) (local.get $g)
      (local.set $a (i32.const 1)) (local.set $d (f64.const 4)))"""
    i = instantiate(Store(), wat(text))
    for _ in range(2):
        assert call(i, "f") == [0, 0, 0.0, 0.0, None, None]


def test_the_host_gets_arguments_and_gives_results():
    seen = []

    def host(caller, args):
        seen.append((caller.store, args))
        return [args[0] + 1]

    i = with_host(f'{IMPORT} (func (export "f") (param i32) (result i32)'
                  "(i32.mul (call $h (local.get 0) (i64.const 5)) (i32.const 3)))", host)  # fmt: skip
    assert call(i, "f", 6) == 21
    assert seen == [(i.store, (6, 5))]


def test_the_host_may_give_many_results_or_none():
    text = '(import "" "h" (func $h (result i32 f64 i32))) (func (export "f") (result i32 f64 i32) (call $h))'
    i = with_host(text, lambda caller, args: (1, 2.5, 3), FuncType((), (I32, F64, I32)))
    assert call(i, "f") == [1, 2.5, 3]
    i = with_host('(import "" "h" (func $h)) (func (export "f") (call $h))', lambda caller, args: (), FuncType((), ()))
    assert call(i, "f") is None


def test_a_wrong_number_of_results_is_the_hosts_fault():
    i = with_host(f'{IMPORT} (func (export "f") (drop (call $h (i32.const 0) (i64.const 0))))', lambda caller, args: ())
    with pytest.raises(EngineBug, match="gave 0 results"):
        call(i, "f")


def test_a_host_function_is_called_directly_too():
    store = Store()
    func = store.alloc_host_func(FUNCTYPE, lambda caller, args: [args[0] + args[1]])
    assert invoke(store, func, (1, 2)) == [3]
    assert store.activations == 0


def test_what_the_host_raises_passes_and_leaves_the_store_usable():
    def host(caller, args):
        raise KeyError("mine")

    i = with_host(f'{IMPORT} (memory (export "m") 1) (func (export "f") (i32.store (i32.const 0) (i32.const 7))'
                  '(drop (call $h (i32.const 0) (i64.const 0))))'
                  '(func (export "g") (result i32) (i32.const 4))', host)  # fmt: skip
    with pytest.raises(KeyError, match="mine"):
        call(i, "f")
    assert (i.store.activations, i.store.depth) == (0, 0)
    assert i.exports["m"].data[0] == 7
    assert call(i, "g") == 4


def test_a_trap_of_the_host_is_placed_at_the_call():
    def host(caller, args):
        raise Trap(TrapKind.HOST)

    i = with_host(f'{IMPORT} (func) (func (export "f") (nop) (drop (call $h (i32.const 0) (i64.const 0))))', host)
    with pytest.raises(Trap) as caught:
        call(i, "f")
    assert caught.value.where.funcidx == 2
    assert caught.value.where.offset is not None


def test_a_trap_inside_a_nested_call_keeps_its_place():
    def host(caller, args):
        invoke(caller.store, i.exports["g"], ())
        raise AssertionError("not reached")

    i = with_host(f'{IMPORT} (func (export "g") (unreachable)) (func (export "f")'
                  "(drop (call $h (i32.const 0) (i64.const 0))))", host)  # fmt: skip
    with pytest.raises(Trap) as caught:
        call(i, "f")
    assert caught.value.where.funcidx == 1
    assert i.store.activations == 0


def test_the_host_may_catch_a_nested_trap():
    def host(caller, args):
        with pytest.raises(Trap):
            invoke(caller.store, i.exports["g"], ())
        return [5]

    i = with_host(f'{IMPORT} (func (export "g") (unreachable)) (func (export "f") (result i32)'
                  "(call $h (i32.const 0) (i64.const 0)))", host)  # fmt: skip
    assert call(i, "f") == 5


def test_calls_cross_instances():
    store = Store()
    a = instantiate(store, wat('(memory (export "m") 1) (func (export "f") (param i32) (result i32)'
                               "(i32.store (i32.const 0) (local.get 0)) (i32.load (i32.const 0)))"))  # fmt: skip
    b = instantiate(store, wat('(import "" "f" (func $f (param i32) (result i32))) (memory (export "m") 1)'
                               '(func (export "f") (result i32) (i32.add (call $f (i32.const 9))'
                               "(i32.load (i32.const 0))))"),
                    [a.exports["f"]])  # fmt: skip
    assert call(b, "f") == 9
    assert a.exports["m"].data[0] == 9


TABLE = """(type $i (func (param i32) (result i32))) (type $l (func (param i64) (result i64)))
  (import "" "h" (func $h (param i32 i64) (result i32)))
  (table (export "t") 5 funcref) (elem (i32.const 0) $one $two $long) (elem (i32.const 4) $h)
  (func $one (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
  (func $two (param i32) (result i32) (i32.add (local.get 0) (i32.const 2)))
  (func $long (param i64) (result i64) (local.get 0))
  (func (export "f") (param i32 i32) (result i32) (call_indirect (type $i) (local.get 1) (local.get 0)))
  (func (export "h") (param i32) (result i32) (call_indirect (param i32 i64) (result i32) (i32.const 3) (i64.const 4)
    (local.get 0)))"""


def test_call_indirect_checks_bounds_null_and_type():
    i = with_host(TABLE, lambda caller, args: [sum(args)])
    assert [call(i, "f", x, 10) for x in (0, 1)] == [11, 12]
    assert call(i, "h", 4) == 7
    kinds = {2: TrapKind.INDIRECT_CALL_MISMATCH, 3: TrapKind.UNINITIALIZED_ELEMENT, 4: TrapKind.INDIRECT_CALL_MISMATCH,
             5: TrapKind.UNDEFINED_ELEMENT, 2**32 - 1: TrapKind.UNDEFINED_ELEMENT}  # fmt: skip
    for x, kind in kinds.items():
        with pytest.raises(Trap) as caught:
            call(i, "f", x, 10)
        assert caught.value.kind is kind
        assert isinstance(caught.value.where, Where)


def test_a_function_type_is_compared_by_structure_across_modules():
    store = Store()
    a = instantiate(store, wat('(type (func)) (type (func (param i32) (result i32))) (table (export "t") 1 funcref)'
                               "(elem (i32.const 0) 0) (func (type 1) (local.get 0))"))  # fmt: skip
    b = instantiate(store, wat('(type $t (func (param i32) (result i32))) (import "" "t" (table 1 funcref))'
                               '(func (export "f") (result i32)'
                               "(call_indirect (type $t) (i32.const 3) (i32.const 0)))"),
                    [a.exports["t"]])  # fmt: skip
    assert call(b, "f") == 3


def test_division_traps_as_the_suite_says():
    text = '(func (export "f") (param i32 i32) (result i32) (i32.div_s (local.get 0) (local.get 1)))'
    assert_traps(text, "f", TrapKind.DIVIDE_BY_ZERO, 1, 0)
    assert_traps(text, "f", TrapKind.INTEGER_OVERFLOW, 2**31, 2**32 - 1)


def test_reentry_is_bounded():
    depth = []

    def host(caller, args):
        depth.append(caller.store.activations)
        return invoke(caller.store, i.exports["f"], (0,))

    text = f'{IMPORT} (func (export "f") (param i32) (result i32) (call $h (local.get 0) (i64.const 0)))'
    i = with_host(text, host, max_activations=1000)
    with pytest.raises(ExhaustionError) as caught:
        call(i, "f", 0)
    assert caught.value.resource is Resource.STACK
    assert max(depth) == 1000
    assert (i.store.activations, i.store.depth) == (0, 0)


def test_a_host_that_recurses_for_ever_exhausts_the_stack():
    def host(caller, args):
        return host(caller, args)

    i = with_host(f'{IMPORT} (func (export "f") (drop (call $h (i32.const 0) (i64.const 0))))', host)
    with pytest.raises(ExhaustionError) as caught:
        call(i, "f")
    assert caught.value.resource is Resource.STACK
