"""Exceptions: what reaches the host, what passes through it, and what a handler finds; see also corpus/conformance."""

from __future__ import annotations

import pytest

from engine import Config, ExhaustionError, Store, UncaughtException, encode, instantiate, invoke, validate
from engine.errors import Resource, Trap, TrapKind
from engine.execution.build import Build
from engine.execution.driver import Activation
from engine.instructions import TABLE
from engine.instructions.immediates import Catch
from engine.module import Code, Export, In, Module
from engine.runtime.heap import ExnInst
from engine.types import I32, FuncType, RecType, SubType, TagType
from tests.support.wasm import call, run, wat

BUILDS = {
    "default": None,
    "shaped": Build(inline=False),
    "unfolded": Build(fold=False),
    "plain": Build(inline=False, fold=False),
}
TAG = '(tag $e (export "e") (param i32 i64))'
HOST = '(import "h" "h" (func $h)) '
CATCHING = f"""{HOST}{TAG} (tag $other)
  (func (export "f") (result i32 i64)
    (block $none
      (i32.const 7)
      (block $caught (result i32 i64)
        (try_table (catch $other $none) (catch $e $caught) (call $h))
        (i32.const -1) (i64.const -1))
      (return))
    (i32.const -2) (i64.const -2))"""


@pytest.fixture(params=BUILDS)
def build(request):
    return BUILDS[request.param]


def uncaught(action, *args):
    with pytest.raises(UncaughtException, match="unhandled exception") as caught:
        action(*args)
    return caught.value


def hosted(text, host, **config):
    """Return an instance whose one import does ``host(store)``."""
    store = Store(Config(**config))
    return instantiate(store, wat(text), [store.alloc_host_func(FuncType((), ()), lambda c, _: host(c.store) or ())])


# -- out of the module


def test_an_uncaught_exception_tells_tag_values_and_place():
    i = instantiate(
        Store(), wat(f'{TAG} (func $f (throw $e (i32.const 1) (i64.const 2))) (func (export "g") (call $f))')
    )
    error = uncaught(call, i, "g")
    assert error.tag is i.exports["e"]
    assert error.values == (1, 2)
    assert (error.where.funcidx, error.where.offset is None) == (0, False)
    assert (i.store.depth, i.store.activations) == (0, 0)


def test_an_exception_of_the_start_function_reaches_the_host():
    assert uncaught(instantiate, Store(), wat("(tag $e) (func $s (throw $e)) (start $s)")).values == ()


def test_a_tag_is_known_by_identity_across_modules():
    store = Store()
    first, second = (
        instantiate(store, wat(f'{TAG} (func (export "t") (throw $e (i32.const 3) (i64.const 4)))')) for _ in "ab"
    )
    text = """(import "a" "e" (tag $e (param i32 i64))) (import "a" "t" (func $t))
      (func (export "f") (result i32 i64)
        (try_table (result i32 i64) (catch $e 0) (call $t) (i32.const 0) (i64.const 0)))"""
    assert call(instantiate(store, wat(text), [first.exports["e"], first.exports["t"]]), "f") == [3, 4]
    stranger = instantiate(store, wat(text), [second.exports["e"], first.exports["t"]])
    assert uncaught(call, stranger, "f").tag is first.exports["e"]


# -- through the host


def test_a_host_function_throws(build):
    def host(store):
        raise UncaughtException(store.tags[0], (5, 6))

    assert call(hosted(CATCHING, host, build=build), "f") == [5, 6]


def test_what_a_host_function_threw_is_what_the_host_gets_back():
    thrown = UncaughtException(object(), (1,))

    def host(store):
        raise thrown

    i = hosted(CATCHING, host)
    assert uncaught(call, i, "f") is thrown
    assert (i.store.depth, i.store.activations) == (0, 0)


def test_an_exception_passes_through_a_host_function_that_reenters(build):
    thrower = []
    i = hosted(CATCHING, lambda store: invoke(store, thrower[0].exports["t"], ()), build=build)
    text = '(import "m" "e" (tag $e (param i32 i64))) (func (export "t") (throw $e (i32.const 8) (i64.const 9)))'
    thrower.append(instantiate(i.store, wat(text), [i.exports["e"]]))
    assert call(i, "f") == [8, 9]
    assert (i.store.depth, i.store.activations) == (0, 0)


def test_a_host_function_may_handle_it():
    seen = []

    def host(store):
        seen.append(uncaught(invoke, store, i.exports["t"], ()).values)

    i = hosted(
        f'{HOST}{TAG} (func (export "t") (throw $e (i32.const 1) (i64.const 2))) (func (export "f") (call $h))', host
    )
    call(i, "f")
    assert seen == [(1, 2)]


@pytest.mark.parametrize("error", [Trap(TrapKind.HOST), KeyError("of the host"), ExhaustionError(Resource.HEAP)])
def test_nothing_else_is_caught(error):
    def host(store):
        raise error

    with pytest.raises(type(error)):
        call(hosted(f'{HOST} (func (export "f") (try_table (catch_all 0) (call $h)))', host), "f")


def test_exhaustion_is_not_caught():
    with pytest.raises(ExhaustionError):
        run('(func $f (export "f") (try_table (catch_all 0) (call $f)))', "f")


def test_an_exception_reference_reaches_the_host_and_comes_back():
    i = instantiate(Store(), wat(f"""{TAG}
      (func (export "make") (result exnref)
        (try_table (catch_all_ref 0) (throw $e (i32.const 1) (i64.const 2))) (unreachable))
      (func (export "take") (param exnref) (throw_ref (local.get 0)))"""))  # fmt: skip
    exn = call(i, "make")
    assert isinstance(exn, ExnInst)
    assert uncaught(call, i, "take", exn).values == (1, 2)


# -- what a handler finds


MANY = " ".join(f"(i32.const {n})" for n in range(40))


def test_many_values_and_many_operands_below(build):
    """More than a branch moves one by one, and more registers than the frame was made with."""
    results = " ".join(["i32"] * 40)
    text = f"""(tag $e (param {results})) (func $t (throw $e {MANY}))
      (func (export "f") (result i32 i32 {results}) (local i64)
        (i32.const 100) (i32.mul (i32.const 2) (i32.const 100))
        (block $h (result {results}) (try_table (catch $e $h) (call $t)) (unreachable)))"""
    i = instantiate(Store(Config(build=build)), wat(text))
    assert call(i, "f") == [100, 200, *range(40)]


def test_a_tall_stack_below_the_handler(build):
    """Taller than a snapshot of the stack."""
    text = f"""(tag $e (param i32)) (func (export "f") (result i32)
      {"(i32.const 1)" * 400}
      (block $h (result i32) (try_table (catch $e $h) (throw $e (i32.const 5))) (unreachable))
      {"(i32.add)" * 400})"""
    assert call(instantiate(Store(Config(build=build)), wat(text)), "f") == 405


def test_a_pending_read_below_a_throwing_call_is_of_before(build):
    text = """(memory 1) (global $g (mut i32) (i32.const 1)) (tag $e)
      (func $t (global.set $g (i32.const 9)) (i32.store (i32.const 0) (i32.const 9)) (throw $e))
      (func (export "f") (param i32) (result i32)
        (global.get $g) (i32.load (i32.const 0)) (local.get 0)
        (block $h (try_table (catch_all $h) (local.set 0 (i32.const 50)) (call $t)))
        (i32.add) (i32.add))"""
    assert call(instantiate(Store(Config(build=build)), wat(text)), "f", 3) == 4


def test_fuel_is_that_of_what_ran(build):
    text = """(tag $e) (func $t (param i32) (if (local.get 0) (then (nop) (throw $e))))
      (func (export "f") (param i32)
        (block $h (try_table (catch_all $h) (call $t (local.get 0)) (return))) (drop (i32.const 1)))"""
    i = instantiate(Store(Config(build=build)), wat(text))
    spent = []
    for arg in (0, 1):
        i.store.fuel_left = 1000
        call(i, "f", arg)
        spent.append(1000 - i.store.fuel_left)
    assert spent == [1 + 2 + 2, 1 + 2 + 2 + 1 + 2]  # try_table, call, if; throw, and what follows the handler


def test_a_pause_inside_of_a_handler_leaves_the_handlers_standing():
    text = f"""{TAG} (func $t (param i32) (loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
        (throw $e (i32.const 1) (i64.const 2)))
      (func (export "f") (result i32 i64)
        (try_table (result i32 i64) (catch $e 0) (call $t (i32.const 50)) (unreachable)))"""
    i = instantiate(Store(), wat(text))
    activation = Activation(i.store, i.exports["f"], [])
    pauses = 0
    while True:
        i.store.fuel_left = 20
        try:
            assert activation.run() == [1, 2]
            break
        except ExhaustionError as e:
            assert e.resource is Resource.FUEL
            pauses += 1
    assert pauses > 5


# -- hostile


def ins(name, *imms):
    return In(TABLE.by_name[name], imms)


END = ins("end")


def built(body, types=()):
    functypes = (FuncType((), (I32,)), *types)
    m = Module(
        types=tuple(RecType((SubType(True, (), t),)) for t in functypes), funcs=(0,), codes=(Code((), tuple(body)),),
        tags=tuple(TagType(x) for x in range(1, len(functypes))), exports=(Export("f", "func", 0),),
    )  # fmt: skip
    validate(m)
    assert encode(m)
    return instantiate(Store(), m)


def test_deep_nesting_of_handlers_costs_no_recursion_and_no_quadratic_memory():
    """The outermost of many handlers takes it, or none."""
    n = 20_000
    opening = [ins("block", None), *[ins("try_table", None, (Catch(0, False, 0),))] * n]
    inner = [*opening, ins("i32.const", 5), ins("throw", 1), *[END] * (n + 1)]
    tags = (FuncType((), ()), FuncType((I32,), ()))
    assert uncaught(call, built([*inner, ins("i32.const", 1), END], tags), "f").values == (5,)
    outer = ins("try_table", I32, (Catch(1, False, 0),))
    assert call(built([outer, *inner, ins("i32.const", 1), END, END], tags), "f") == 5


def test_a_chain_of_exceptions_is_bounded():
    text = """(tag $e (param exnref))
      (func (export "f") (local exnref)
        (loop $again
          (block $h (result exnref exnref)
            (try_table (catch_ref $e $h) (throw $e (local.get 0)))
            (unreachable))
          (local.set 0) (drop) (br $again)))"""
    i = instantiate(Store(Config(max_heap_bytes=1 << 16)), wat(text))
    with pytest.raises(ExhaustionError) as caught:
        call(i, "f")
    assert caught.value.resource is Resource.HEAP


def test_exceptions_that_nobody_keeps_take_no_room():
    text = """(tag $e (param i32))
      (func (export "f") (param i32) (result i32)
        (loop $again
          (block $h (result i32)
            (try_table (catch $e $h) (throw $e (i32.sub (local.get 0) (i32.const 1))))
            (unreachable))
          (br_if $again (local.tee 0)))
        (local.get 0))"""
    assert call(instantiate(Store(Config(max_heap_bytes=1 << 16)), wat(text)), "f", 3000) == 0
