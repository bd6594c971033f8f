"""Breakpoints and single steps: where calls pause, and that pausing changes nothing."""

from __future__ import annotations

import pytest

from engine import ExhaustionError, Store, Trap, instantiate, invoke
from engine.debug import Breakpoint, CursorError, Step, Stepper
from engine.errors import InvocationConsumed
from engine.execution.fuel_models import MODELS
from engine.runtime.store import Config
from engine.types import FuncType
from tests.support.wasm import wat

SUM = """(func (export "sum") (param i32) (result i32) (local i32)
    (loop (local.set 1 (call $add (local.get 0) (local.get 1)))
      (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (local.get 1))
  (func $add (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "traps") (param i32) (result i32) nop (i32.div_u (i32.const 6) (local.get 0)))
  (memory 1) (func (export "fill") (memory.fill (i32.const 0) (i32.const 1) (i32.const 300)) unreachable)"""


def setup(text=SUM, **config):
    return instantiate(Store(Config(guest_debug=True, **config)), wat(text))


def stepper(instance, name="sum", *args):
    return Stepper(instance.store, instance.exports[name], args)


def offset(instance, name, row):
    """Return the offset of the first instruction of a row in an exported function."""
    return next(ins.offset for ins in instance.exports[name].code.body if ins.row.name == row)


def test_steps_go_through_every_instruction_of_every_function():
    call = stepper(setup(), "sum", 1)
    names = [cursor.instruction().row.name for cursor in call]
    assert names == [
        "loop", "local.get", "local.get", "call", "local.get", "local.get", "i32.add", "end", "local.set",
        "local.get", "i32.const", "i32.sub", "local.tee", "br_if", "end", "local.get", "end",
    ]  # fmt: skip
    assert call.results == [1]
    assert call.done


def test_a_call_is_paused_before_its_first_instruction():
    call = stepper(setup(), "sum", 3)
    assert call.frames().instruction().row.name == "loop"
    assert not call.done
    assert call.results is None
    assert call.step()
    assert call.frames().instruction().row.name == "local.get"


def test_a_call_goes_on_from_breakpoint_to_breakpoint():
    instance = setup()
    debugger = instance.store.debugger
    place = offset(instance, "sum", "local.tee")
    debugger.set_breakpoint(instance, 0, place)
    call = stepper(instance, "sum", 3)
    sums = []
    while call.go():
        cursor = call.frames()
        assert cursor.function_index_and_pc() == (0, place)
        sums.append((cursor.local(1).value, cursor.stack(0).value))
    assert sums == [(3, 2), (5, 1), (6, 0)]
    assert call.results == [6]
    debugger.clear_breakpoint(instance, 0, place)
    call = stepper(instance, "sum", 3)
    assert not call.go()
    assert call.results == [6]


def test_a_breakpoint_is_an_event_of_a_call_without_stepper():
    instance = setup()
    store = instance.store
    events = []
    store.set_debug_handler(lambda store, event: events.append((event, store.debug_frames().function_index_and_pc())))
    place = offset(instance, "sum", "call")
    store.debugger.set_breakpoint(instance, 0, place)
    assert invoke(store, instance.exports["sum"], (2,)) == [3]
    assert events == [(Breakpoint(), (0, place))] * 2


def test_single_steps_are_events_of_a_call_without_stepper():
    instance = setup()
    store = instance.store
    events = []
    store.set_debug_handler(lambda store, event: events.append(event))
    store.debugger.single_step = True
    assert invoke(store, instance.exports["sum"], (1,)) == [1]
    assert events == [Step()] * 17
    store.debugger.single_step = False
    assert invoke(store, instance.exports["sum"], (1,)) == [1]
    assert len(events) == 17


def test_there_are_breakpoints_where_instructions_are_only():
    instance = setup()
    debugger = instance.store.debugger
    place = offset(instance, "sum", "call")
    for index, at in ((0, place + 1), (1, place), (4, place), (-1, place), (0, 1 << 30)):
        with pytest.raises(ValueError, match="function"):
            debugger.set_breakpoint(instance, index, at)
    with pytest.raises(ValueError, match="no breakpoint"):
        debugger.clear_breakpoint(instance, 0, place)


def test_breakpoints_count_the_functions_that_a_module_defines():
    store = Store(Config(guest_debug=True))
    text = '(import "" "h" (func)) (func (export "f") (result i32) (i32.const 4))'
    instance = instantiate(store, wat(text), [store.alloc_host_func(FuncType((), ()), lambda c, args: ())])
    place = instance.exports["f"].code.body[0].offset
    store.debugger.set_breakpoint(instance, 0, place)
    call = Stepper(store, instance.exports["f"])
    assert call.go()
    assert call.frames().function_index_and_pc() == (0, place)


def test_a_breakpoint_is_of_one_instance():
    store = Store(Config(guest_debug=True))
    module = wat(SUM)
    one, two = instantiate(store, module), instantiate(store, module)
    store.debugger.set_breakpoint(one, 0, offset(one, "sum", "call"))
    assert not stepper(two, "sum", 2).go()
    assert stepper(one, "sum", 2).go()


def test_a_trap_ends_the_call():
    call = stepper(setup(), "traps", 0)
    with pytest.raises(Trap):
        call.go()
    assert call.done
    for use in (call.step, call.go, call.frames):
        with pytest.raises(InvocationConsumed):
            use()


def test_a_cursor_is_of_no_use_after_a_step():
    call = stepper(setup(), "sum", 3)
    cursor = call.frames()
    call.step()
    with pytest.raises(CursorError, match="went on"):
        cursor.num_locals()


def test_the_store_may_be_used_while_a_call_is_paused():
    instance = setup()
    call = stepper(instance, "sum", 4)
    other = stepper(instance, "sum", 5)
    while not (call.done and other.done):
        for each in (call, other):
            if not each.done:
                each.step()
                assert invoke(instance.store, instance.exports["sum"], (2,)) == [3]
    assert (call.results, other.results) == ([10], [15])


def test_what_the_host_calls_meanwhile_is_not_paused():
    store = Store(Config(guest_debug=True))

    def host(caller, args):
        seen.append(invoke(store, instance.exports["inner"], ()))
        return ()

    text = """(import "" "host" (func $host)) (func (export "main") (call $host) nop)
      (func (export "inner") (result i32) (i32.const 4))"""
    seen = []
    instance = instantiate(store, wat(text), [store.alloc_host_func(FuncType((), ()), host)])
    names = [cursor.instruction().row.name for cursor in stepper(instance, "main")]
    assert names == ["call", "nop", "end"]
    assert seen == [[4]]


def test_a_stepper_inside_of_a_stepper():
    store = Store(Config(guest_debug=True))

    def host(caller, args):
        names.append([cursor.instruction().row.name for cursor in stepper(instance, "inner")])
        return ()

    text = """(import "" "host" (func $host)) (func (export "main") (call $host) nop)
      (func (export "inner") (result i32) (i32.const 4))"""
    names = []
    instance = instantiate(store, wat(text), [store.alloc_host_func(FuncType((), ()), host)])
    assert [cursor.instruction().row.name for cursor in stepper(instance, "main")] == ["call", "nop", "end"]
    assert names == [["i32.const", "end"]]


@pytest.mark.parametrize("model", MODELS.values(), ids=str)
@pytest.mark.parametrize(("name", "args"), [("sum", (5,)), ("traps", (0,)), ("traps", (2,)), ("fill", ())])
def test_pausing_everywhere_costs_no_fuel_and_gives_back_none(model, name, args):
    def run(go):
        instance = setup(fuel_model=model)
        instance.store.set_fuel(10_000)
        try:
            return go(instance), instance.store.fuel
        except Trap as trap:
            return trap.kind, trap.where, instance.store.fuel

    def straight(instance):
        return invoke(instance.store, instance.exports[name], args)

    def stepped(instance):
        call = stepper(instance, name, *args)
        for _ in call:
            pass
        return call.results

    assert run(straight) == run(stepped)


@pytest.mark.parametrize("model", MODELS.values(), ids=str)
def test_out_of_fuel_may_be_tried_again(model):
    instance = setup(fuel_model=model)
    store = instance.store
    store.set_fuel(1_000)
    assert invoke(store, instance.exports["sum"], (5,)) == [15]
    total = 1_000 - store.fuel
    store.set_fuel(0)
    call = stepper(instance, "sum", 5)
    given = 0
    while not call.done:
        try:
            call.step()
        except ExhaustionError:
            assert not call.done
            assert call.frames().num_locals() == 2
            store.add_fuel(1)
            given += 1
    assert call.results == [15]
    assert given - store.fuel_left == total


def test_a_stepper_wants_a_debugger_and_the_right_number_of_arguments():
    instance = instantiate(Store(), wat(SUM))
    with pytest.raises(ValueError, match="guest_debug"):
        stepper(instance, "sum", 1)
    with pytest.raises(TypeError, match="takes 1 arguments"):
        stepper(setup(), "sum")
