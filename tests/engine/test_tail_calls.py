"""Tail calls: frames that are replaced, at any depth limit; see also corpus/conformance/tail_calls.wast."""

from __future__ import annotations

import pytest

from engine import Config, ExhaustionError, Store, UncaughtException, instantiate, invoke
from engine.errors import Resource, Trap, TrapKind
from engine.execution.build import Build
from engine.execution.driver import Activation
from engine.types import I32, I64, FuncType
from tests.support.wasm import call, wat

BUILDS = {
    "default": None,
    "shaped": Build(inline=False),
    "unfolded": Build(fold=False),
    "plain": Build(inline=False, fold=False),
}
LOOPS = """(type $t (func (param i32) (result i32))) (table funcref (elem $indirect)) (elem declare func $ref)
  (func $direct (export "direct") (type $t)
    (if (result i32) (local.get 0)
      (then (return_call $direct (i32.sub (local.get 0) (i32.const 1)))) (else (i32.const 7))))
  (func $indirect (export "indirect") (type $t) (local i64)
    (if (result i32) (local.get 0)
      (then (return_call_indirect (type $t) (i32.sub (local.get 0) (i32.const 1)) (i32.const 0)))
      (else (i32.const 8))))
  (func $ref (export "ref") (type $t)
    (if (result i32) (local.get 0)
      (then (return_call_ref $t (i32.sub (local.get 0) (i32.const 1)) (ref.func $ref)))
      (else (i32.const 9))))
  (func (export "called") (type $t) (i32.add (call $direct (local.get 0)) (i32.const 100)))"""
RESULTS = {"direct": 7, "indirect": 8, "ref": 9}


@pytest.fixture(params=BUILDS)
def build(request):
    return BUILDS[request.param]


def instance(text, *imports, store=None, **config):
    return instantiate(store or Store(Config(**config)), wat(text), imports)


@pytest.mark.parametrize("export", RESULTS)
def test_one_frame_is_enough_for_any_number(build, export):
    i = instance(LOOPS, build=build, max_depth=1)
    assert call(i, export, 20_000) == RESULTS[export]


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_tail_call_needs_no_more_room_than_its_caller(depth):
    i = instance(LOOPS, max_depth=depth)
    if depth > 1:
        assert call(i, "called", 50) == 107
    else:
        with pytest.raises(ExhaustionError):
            call(i, "called", 50)


def test_the_room_of_the_callee_counts():
    """A frame with very many locals may not follow where a small one was."""
    i = instance(f"""(func $small (export "f") (param i32) (result i32)
        (if (result i32) (local.get 0)
          (then (call $small (i32.sub (local.get 0) (i32.const 1)))) (else (return_call $large))))
      (func $large (result i32) (local {"i64 " * 40_000}) (i32.const 1))""")  # fmt: skip
    assert call(i, "f", 2) == 1
    with pytest.raises(ExhaustionError) as caught:
        call(i, "f", 5000)
    assert (caught.value.resource, caught.value.where.funcidx) == (Resource.STACK, 0)


@pytest.mark.parametrize(("call_", "callee"), [
    ("return_call $h", ""), ("return_call_indirect (type $t)", "(i32.const 0)"),
    ("return_call_ref $t", "(ref.func $h)"),
])  # fmt: skip
def test_tail_calls_of_the_host(build, call_, callee):
    text = f"""(type $t (func (param i64 i32) (result i32 i64 i64))) (import "h" "h" (func $h (type $t)))
      (table funcref (elem $h)) (elem declare func $h)
      (func $f (param i32) (result i32 i64 i64) (local f64 f64) ({call_} (i64.const 5) (local.get 0) {callee}))
      (func (export "f") (param i32) (result i32 i64 i64) (i32.const 1) (call $f (local.get 0)) (return))
      (func (export "tail") (param i32) (result i32 i64 i64) (return_call $f (local.get 0)))"""
    store = Store(Config(build=build, max_depth=2))
    host = store.alloc_host_func(FuncType((I64, I32), (I32, I64, I64)), lambda _, vs: [vs[1], vs[0], 9])
    i = instance(text, host, store=store)
    assert call(i, "f", 3) == [3, 5, 9]
    assert call(i, "tail", 4) == [4, 5, 9]
    assert (store.depth, store.activations) == (0, 0)


def test_a_host_function_in_tail_position_throws_past_the_handlers_that_are_gone():
    text = """(import "h" "h" (func $h)) (tag $e) (func $gone (try_table (catch_all 0) (return_call $h)))
      (func (export "alone") (return_call $gone))
      (func (export "f") (result i32)
        (block $h (try_table (catch $e $h) (call $gone)) (return (i32.const 0))) (i32.const 1))"""
    store = Store()

    def host(caller, args):
        raise UncaughtException(store.tags[0], ())

    i = instance(text, store.alloc_host_func(FuncType((), ()), host), store=store)
    assert call(i, "f") == 1
    with pytest.raises(UncaughtException):
        call(i, "alone")


def test_a_host_function_in_tail_position_may_reenter():
    store = Store(Config(max_activations=20))
    again = []

    def host(caller, args):
        return invoke(store, again[0], [args[0] - 1]) if args[0] else [100]

    text = """(import "h" "h" (func $h (param i32) (result i32)))
      (func (export "f") (param i32) (result i32) (return_call $h (local.get 0)))"""
    i = instance(text, store.alloc_host_func(FuncType((I32,), (I32,)), host), store=store)
    again.append(i.exports["f"])
    assert call(i, "f", 10) == 100
    with pytest.raises(ExhaustionError):
        call(i, "f", 50)
    assert (store.depth, store.activations) == (0, 0)


@pytest.mark.parametrize(("export", "kind"), [("t", TrapKind.UNDEFINED_ELEMENT), ("r", TrapKind.NULL_FUNCTION)])
def test_a_trap_is_at_the_tail_call(export, kind):
    i = instance("""(type $t (func)) (table 0 funcref) (func)
      (func (export "t") (nop) (return_call_indirect (type $t) (i32.const 0)))
      (func (export "r") (nop) (return_call_ref $t (ref.null $t)))""")
    with pytest.raises(Trap) as caught:
        call(i, export)
    where = caught.value.where
    func = i.exports[export]
    (offset,) = [ins.offset for ins in func.code.body if ins.row.name.startswith("return_call")]
    assert (caught.value.kind, where.funcidx, where.offset) == (kind, func.funcidx, offset)


def test_what_is_pending_below_traps_first(build):
    text = """(func $f (param i32)) (func (export "f") (param i32)
      (i32.div_u (i32.const 1) (local.get 0)) (return_call $f (i32.div_u (i32.const 1) (i32.const 1))))"""
    i = instance(text, build=build)
    with pytest.raises(Trap) as caught:
        call(i, "f", 0)
    assert caught.value.kind is TrapKind.DIVIDE_BY_ZERO


@pytest.mark.parametrize("export", RESULTS)
def test_each_turn_is_charged_and_checked(build, export):
    i = instance(LOOPS, build=build)
    i.store.fuel_left = 1_000_000
    call(i, export, 100)
    once = 1_000_000 - i.store.fuel_left
    i.store.fuel_left = 1_000_000
    call(i, export, 200)
    assert 1_000_000 - i.store.fuel_left > 100 * 5 + once
    i.store.fuel_left = once // 2
    with pytest.raises(ExhaustionError):
        call(i, export, 100)


@pytest.mark.parametrize("export", RESULTS)
def test_a_pause_between_turns_goes_on(export):
    i = instance(LOOPS)
    activation = Activation(i.store, i.exports[export], [50])
    pauses = 0
    while True:
        i.store.fuel_left = 30
        try:
            assert activation.run() == [RESULTS[export]]
            break
        except ExhaustionError:
            pauses += 1
            assert len(activation.frames) == 1
    assert pauses > 5
