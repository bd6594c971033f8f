"""What debug handlers are told, in order, with Wasm still on the stack; and what handlers may do."""

from __future__ import annotations

from contextlib import suppress

import pytest

from engine import ExhaustionError, Store, Trap, TrapKind, UncaughtException, instantiate, invoke
from engine.debug import (
    Breakpoint,
    CaughtExceptionThrown,
    HostcallError,
    Step,
    Stepper,
    UncaughtExceptionThrown,
)
from engine.debug import Trap as TrapEvent
from engine.errors import Resource
from engine.execution.fuel_models import MODELS
from engine.resume import HostTrap, OutOfFuel, call_resumable
from engine.runtime.store import Config
from engine.types import I32, FuncType
from tests.support.wasm import wat

HOST = '(import "" "host" (func $host))'


class Told:
    """A store whose handler writes down each event with the places of the frames."""

    def __init__(self, text, host=None, handler=None, **config):
        self.store = Store(Config(guest_debug=True, **config))
        self.events = []
        self.handler = handler
        self.store.set_debug_handler(self.tell)
        imports = [] if host is None else [self.store.alloc_host_func(FuncType((), ()), lambda c, args: host(self))]
        self.instance = instantiate(self.store, wat(text), imports)

    def tell(self, store, event):
        assert store is self.store
        cursor = store.debug_frames()
        frames = []
        while not cursor.done():
            frames.append((cursor.function_index_and_pc()[0], cursor.instruction().row.name))
            cursor.move_to_parent()
        self.events.append((event, frames))
        if self.handler is not None:
            self.handler(self, event)

    def call(self, name="main", *args):
        return invoke(self.store, self.instance.exports[name], args)

    @property
    def kinds(self):
        return [type(event) for event, _ in self.events]

    @property
    def frames(self):
        return [frames for _, frames in self.events]


class HostFailure(Exception):
    pass


def fails(told):
    raise HostFailure


TRAPS = """(func (export "main") (param i32) (drop (call $f (local.get 0))))
  (func $f (param i32) (result i32) (i32.div_u (i32.const 1) (local.get 0)))"""


def test_a_trap():
    told = Told(TRAPS)
    assert told.call("main", 1) == []
    assert told.events == []
    with pytest.raises(Trap) as caught:
        told.call("main", 0)
    assert told.events == [(TrapEvent(caught.value), [(1, "i32.div_u"), (0, "call")])]


CAUGHT = """(tag $t (param i32)) (tag $u)
  (func (export "main") (result i32)
    (block $b (result i32) (try_table (result i32) (catch $t $b) (call $middle) (i32.const 0))))
  (func $middle (block $c (try_table (catch $u $c) (call $throw))))
  (func $throw (throw $t (i32.const 42)))
  (func (export "escapes") (call $throw))"""


def test_an_exception_that_a_caller_catches():
    told = Told(CAUGHT)
    assert told.call() == [42]
    ((event, frames),) = told.events
    assert isinstance(event, CaughtExceptionThrown)
    assert event.exn.values == (42,)
    assert frames == [(2, "throw"), (1, "call"), (0, "call")]


def test_an_exception_that_nothing_catches():
    told = Told(CAUGHT)
    with pytest.raises(UncaughtException):
        told.call("escapes")
    ((event, frames),) = told.events
    assert isinstance(event, UncaughtExceptionThrown)
    assert event.exn.values == (42,)
    assert frames == [(2, "throw"), (3, "call")]


def test_an_exception_thrown_again_is_told_of_again():
    text = """(tag $t) (func (export "main")
      (block $b (result exnref) (try_table (catch_all_ref $b) (throw $t)) unreachable) throw_ref)"""
    told = Told(text)
    with pytest.raises(UncaughtException):
        told.call()
    assert told.kinds == [CaughtExceptionThrown, UncaughtExceptionThrown]
    assert told.frames == [[(0, "throw")], [(0, "throw_ref")]]


def test_a_failure_of_the_host():
    told = Told(f'(module {HOST} (func (export "main") (call $f)) (func $f (call $host)))', fails)
    with pytest.raises(HostFailure) as caught:
        told.call()
    assert told.events == [(HostcallError(caught.value), [(1, "call"), (0, "call")])]


def test_a_trap_that_the_host_raises_is_its_failure():
    def traps(told):
        raise Trap(TrapKind.HOST)

    told = Told(f'(module {HOST} (func (export "main") (call $host)))', traps)
    with pytest.raises(Trap) as caught:
        told.call()
    assert told.events == [(HostcallError(caught.value), [(0, "call")])]


NESTED = f"""(module {HOST} (tag $t)
  (func (export "main") (call $host))
  (func (export "traps") unreachable)
  (func (export "throws") (throw $t))
  (func (export "catches") (block $b (try_table (catch_all $b) (call $host)))))"""


def test_a_trap_of_an_inner_activation_is_then_the_failure_of_the_host_of_the_outer():
    told = Told(NESTED, lambda told: told.call("traps"))
    with pytest.raises(Trap) as caught:
        told.call()
    assert told.events == [
        (TrapEvent(caught.value), [(1, "unreachable")]),
        (HostcallError(caught.value), [(0, "call")]),
    ]


def test_a_trap_that_the_host_catches_ends_there():
    def host(told):
        with pytest.raises(Trap):
            told.call("traps")
        return ()

    told = Told(NESTED, host)
    assert told.call() == []
    assert told.kinds == [TrapEvent]


def test_an_exception_that_comes_out_of_the_host():
    told = Told(NESTED, lambda told: told.call("throws"))
    assert told.call("catches") == []
    assert told.kinds == [UncaughtExceptionThrown, CaughtExceptionThrown]
    assert told.frames == [[(2, "throw")], [(3, "call")]]
    told.events.clear()
    with pytest.raises(UncaughtException):
        told.call()
    assert told.kinds == [UncaughtExceptionThrown, UncaughtExceptionThrown]
    assert told.frames == [[(2, "throw")], [(0, "call")]]


def test_a_handler_may_call_wasm_and_is_told_of_what_happens_there():
    def handler(told, event):
        if len(told.events) == 1:
            with pytest.raises(Trap):
                told.call("unreachable")

    text = """(func (export "main") (result i32) (i32.div_u (i32.const 1) (i32.const 0)))
      (func (export "unreachable") unreachable)"""
    told = Told(text, handler=handler)
    with pytest.raises(Trap) as caught:
        told.call()
    assert caught.value.kind is TrapKind.DIVIDE_BY_ZERO
    assert told.frames == [[(0, "i32.div_u")], [(1, "unreachable")]]
    assert (told.store.activations, told.store.depth) == (0, 0)


ALL_EVENTS = f"""(module {HOST} (tag $t)
  (func (export "traps") unreachable)
  (func (export "fails") (call $host))
  (func (export "catches") (block $b (try_table (catch_all $b) (throw $t))))
  (func (export "throws") (throw $t))
  (func (export "breaks") nop)
  (func (export "inner") (result i32) (block $b (try_table (catch_all $b) (throw $t))) (i32.const 7))
  (func (export "inner trap") unreachable))"""
KINDS = {"traps": TrapEvent, "fails": HostcallError, "catches": CaughtExceptionThrown,
         "throws": UncaughtExceptionThrown, "breaks": Breakpoint, "steps": Step}  # fmt: skip


def tells_all(name, handler, **config):
    """Return a store whose call of that name gives one event of a kind, and what calls it."""
    told = Told(ALL_EVENTS, fails, handler, checks=True, **config)
    if name in ("breaks", "steps"):
        told.store.debugger.single_step = name == "steps"
        if name == "breaks":
            body = told.instance.exports["breaks"].code.body
            told.store.debugger.set_breakpoint(told.instance, 4, body[0].offset)
    return told


@pytest.mark.parametrize("name", KINDS)
def test_handlers_of_all_events_may_call_wasm_whose_events_come_in_between(name):
    def handler(told, event):
        if told.store.vm_state().watched > 1:  # of what it called itself
            return 3
        told.store.debugger.single_step = False
        before = [told.store.debug_frames().function_index_and_pc()]
        assert told.call("inner") == [7]
        with pytest.raises(Trap):
            told.call("inner trap")
        assert told.store.debug_frames().function_index_and_pc() == before[0]
        return "of no meaning"

    told = tells_all(name, handler)
    export = "breaks" if name == "steps" else name
    with suppress(Trap, HostFailure, UncaughtException):
        assert told.call(export) == []
        assert KINDS[name] in (CaughtExceptionThrown, Breakpoint, Step)
    assert told.kinds == [KINDS[name], CaughtExceptionThrown, TrapEvent]
    assert [frames[0][0] for frames in told.frames[1:]] == [5, 6]
    assert told.store.vm_state()[:3] == (0, 0, 0)


@pytest.mark.parametrize("name", KINDS)
def test_what_a_handler_of_any_event_raises_goes_through_the_host_around(name):
    """The inner activation ends with it, and the outer one is told of a failure of the host."""

    class HandlerFailure(Exception):
        pass

    def handler(told, event):
        told.store.debugger.single_step = False
        if len(told.events) == 1:
            raise HandlerFailure

    def host(told):
        if told.store.vm_state().watched == 1:
            told.store.debugger.single_step = name == "steps"
            told.call("breaks" if name == "steps" else name)
        raise HostFailure

    told = Told(ALL_EVENTS, host, handler, checks=True)
    if name == "breaks":
        body = told.instance.exports["breaks"].code.body
        told.store.debugger.set_breakpoint(told.instance, 4, body[0].offset)
    with pytest.raises(HandlerFailure) as caught:
        told.call("fails")
    assert told.kinds == [KINDS[name], HostcallError]
    assert told.events[1][0].error is caught.value
    assert told.store.vm_state()[:3] == (0, 0, 0)


@pytest.mark.parametrize("name", KINDS)
def test_an_interrupt_in_a_handler_leaves_the_store_usable(name):
    def handler(told, event):
        told.handler = None
        told.store.debugger.single_step = False
        raise KeyboardInterrupt

    told = tells_all(name, handler)
    told.store.set_fuel(1000)
    with pytest.raises(KeyboardInterrupt):
        told.call("breaks" if name == "steps" else name)
    assert told.store.vm_state()[:3] == (0, 0, 0)
    assert told.call("inner") == [7]


@pytest.mark.parametrize("resource", Resource.__members__)
def test_what_a_handler_of_an_exhausted_limit_raises_is_the_error_of_the_call(resource):
    class HandlerFailure(Exception):
        pass

    def handler(told, event):
        raise HandlerFailure

    text = """(type $a (array i64)) (memory 1 1 shared) (func $f (export "STACK") (call $f))
      (func (export "FUEL") (loop (br 0)))
      (func (export "HEAP") (array.new_default $a (i32.const 1000)) (drop))
      (func (export "TIME") (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1)) (drop))"""
    told = Told(text, None, handler, checks=True, max_depth=5, max_heap_bytes=1000)
    if resource == "FUEL":
        told.store.set_fuel(100)
    with pytest.raises(HandlerFailure):
        told.call(resource)
    ((event, _),) = told.events
    assert event.error.resource is Resource[resource]
    assert told.store.vm_state()[:3] == (0, 0, 0)


def test_what_a_handler_raises_makes_a_resumable_call_fail_for_good():
    def handler(told, event):
        raise KeyError

    told = Told(ALL_EVENTS, fails, handler, checks=True)
    with pytest.raises(KeyError):
        call_resumable(told.store, told.instance.exports["fails"])
    assert told.kinds == [HostcallError]


def test_a_handler_that_always_calls_what_it_is_told_of_ends_at_the_limit_of_activations():
    told = Told(ALL_EVENTS, fails, lambda told, event: told.call("traps"), checks=True, max_activations=30)
    with pytest.raises(ExhaustionError) as caught:
        told.call("traps")
    assert caught.value.resource is Resource.STACK
    assert told.kinds == [TrapEvent] * 30
    assert told.store.vm_state()[:3] == (0, 0, 0)


def test_a_handler_may_put_another_in_its_place():
    def handler(told, event):
        told.store.set_debug_handler(lambda store, event: others.append(type(event)))
        with pytest.raises(Trap):
            told.call("inner trap")

    others = []
    told = Told(ALL_EVENTS, fails, handler)
    for _ in range(2):
        with pytest.raises(Trap):
            told.call("traps")
    assert told.kinds == [TrapEvent]
    assert others == [TrapEvent, TrapEvent]


@pytest.mark.parametrize("model", MODELS.values(), ids=str)
def test_a_handler_spends_of_the_same_fuel(model):
    text = """(tag $t) (func (export "throws") (result i32)
        (block $b (try_table (catch_all $b) (throw $t))) (i32.const 5) (i32.const 6) (i32.add))
      (func (export "traps") (nop) (nop) unreachable)
      (func (export "spend") (drop (i32.add (i32.const 1) (i32.const 2))))"""

    def spent(action, handler):
        told = Told(text, handler=handler, fuel_model=model)
        told.store.set_fuel(1000)
        with suppress(Trap):
            action(told)
        return 1000 - told.store.fuel

    extra = spent(lambda told: told.call("spend"), None)
    assert extra > 0
    for name in ("throws", "traps"):
        alone = spent(lambda told, name=name: told.call(name), None)
        assert spent(lambda told, name=name: told.call(name), lambda told, event: told.call("spend")) == alone + extra


@pytest.mark.parametrize("name", ["throws", "traps", "fails", "rethrows", "steps"])
def test_what_a_handler_raises_is_the_error_of_the_call(name):
    class HandlerFailure(Exception):
        pass

    def handler(told, event):
        told.call("spend")
        raise HandlerFailure

    text = f"""(module {HOST} (tag $t)
      (func (export "throws") (block $b (try_table (catch_all $b) (throw $t))))
      (func (export "traps") unreachable)
      (func (export "fails") (call $host))
      (func (export "rethrows") (block $b (try_table (catch_all $b) (call $host))))
      (func (export "steps") nop)
      (func (export "spend") (drop (i32.const 7))))"""

    def host(told):
        if name == "fails":
            raise HostFailure
        raise UncaughtException(told.instance.tags[0], ())

    told = Told(text, host, handler)
    told.store.set_fuel(1000)
    if name == "steps":
        debugger = told.store.debugger
        debugger.set_breakpoint(told.instance, 4, told.instance.exports["steps"].code.body[0].offset)
    with pytest.raises(HandlerFailure):
        told.call(name)
    assert len(told.events) == 1
    assert (told.store.activations, told.store.depth) == (0, 0)
    before = told.store.fuel
    told.handler = None
    assert told.call("spend") == []
    assert told.store.fuel < before < 1000


def test_a_trap_that_a_handler_raises_is_not_told_of_again():
    def handler(told, event):
        raise Trap(TrapKind.HOST, "by the handler")

    told = Told(TRAPS, handler=handler)
    with pytest.raises(Trap, match="by the handler"):
        told.call("main", 0)
    assert told.kinds == [TrapEvent]


def test_an_exhausted_stack():
    told = Told('(func $f (export "main") (call $f))', max_depth=20)
    with pytest.raises(ExhaustionError) as caught:
        told.call()
    assert told.events == [(TrapEvent(caught.value), [(0, "call")] * 20)]


LOOP = '(func (export "main") (loop $l (br $l)))'


def test_out_of_fuel_is_a_trap_of_a_call_that_cannot_go_on():
    told = Told(LOOP)
    told.store.set_fuel(20)
    with pytest.raises(ExhaustionError) as caught:
        told.call()
    assert told.events == [(TrapEvent(caught.value), [(0, "br")])]


def test_out_of_fuel_is_no_event_of_a_call_that_can_go_on():
    told = Told(LOOP)
    told.store.set_fuel(20)
    assert isinstance(call_resumable(told.store, told.instance.exports["main"]), OutOfFuel)
    stepper = Stepper(told.store, told.instance.exports["main"])
    with pytest.raises(ExhaustionError):
        stepper.go()
    assert told.events == []


def test_a_resumable_call_tells_of_the_host_and_goes_on():
    told = Told(f'(module {HOST} (func (export "main") (result i32) (i32.const 3) (call $host)))', fails)
    suspended = call_resumable(told.store, told.instance.exports["main"])
    assert isinstance(suspended, HostTrap)
    assert told.kinds == [HostcallError]
    assert suspended.resume(told.store).results == (3,)


def test_no_handler_is_told_of_nothing():
    told = Told(TRAPS)
    told.store.set_debug_handler(None)
    with pytest.raises(Trap):
        told.call("main", 0)
    assert told.events == []


def test_a_start_function_is_told_of():
    store = Store(Config(guest_debug=True))
    events = []
    store.set_debug_handler(lambda store, event: events.append(store.debug_frames().function_index_and_pc()[0]))
    with pytest.raises(Trap):
        instantiate(store, wat("(func) (func $s unreachable) (start $s)"))
    assert events == [1]


def test_a_host_function_with_results_shows_its_caller_before_the_call():
    store = Store(Config(guest_debug=True))
    seen = []

    def host(caller, args):
        cursor = caller.store.debug_frames()
        seen.append((args, [cursor.stack(i).value for i in range(cursor.num_stacks())]))
        return (args[0] + args[1],)

    text = """(import "" "add" (func $add (param i32 i32) (result i32)))
      (func (export "main") (result i32) (i32.const 1) (call $add (i32.const 2) (i32.const 3)) (i32.mul))"""
    func = store.alloc_host_func(FuncType((I32, I32), (I32,)), host)
    assert invoke(store, instantiate(store, wat(text), [func]).exports["main"], ()) == [5]
    assert seen == [((2, 3), [1, 2, 3])]
