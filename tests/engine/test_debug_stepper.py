"""Breakpoints and single steps: where calls pause, and that pausing changes nothing."""

from __future__ import annotations

import pytest

from engine import ExhaustionError, Store, Trap, instantiate, invoke
from engine.debug import Breakpoint, CursorError, Step, Stepper
from engine.errors import CallError, InvocationConsumed, Resource, StoreMismatch
from engine.execution.fuel_models import MODELS
from engine.runtime.store import Config
from engine.types import I32, FuncType
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


@pytest.mark.parametrize("use", [Stepper.step, Stepper.go, Stepper.frames])
def test_a_call_that_runs_cannot_be_stepped_from_inside(use):
    store = Store(Config(guest_debug=True, checks=True))

    def host(caller, args):
        with pytest.raises(CallError, match="not paused"):
            use(call)
        seen.append(store.debug_frames().instruction().row.name)
        return ()

    text = """(import "" "host" (func $host)) (func (export "main") (result i32) (i32.const 6) (call $f))
      (func $f (call $host) nop)"""
    seen = []
    instance = instantiate(store, wat(text), [store.alloc_host_func(FuncType((), ()), host)])
    call = stepper(instance, "main")
    names = [cursor.instruction().row.name for cursor in call]
    assert names == ["i32.const", "call", "call", "nop", "end", "end"]
    assert call.results == [6]
    call = stepper(instance, "main")
    assert not call.go()
    assert call.results == [6]
    assert seen == ["call", "call"]
    assert store.vm_state()[:3] == (0, 0, 0)


@pytest.mark.parametrize("limit", [{"max_depth": 6}, {"max_activations": 1}])
def test_frames_that_do_not_fit_on_the_stack_stay_paused(limit):
    store = Store(Config(guest_debug=True, checks=True, **limit))

    def host(caller, args):
        if inside:
            with pytest.raises(ExhaustionError) as caught:
                paused.go()
            assert caught.value.resource is Resource.STACK
            assert not paused.done
        return ()

    text = """(import "" "host" (func $host)) (func $f (export "main") (param i32)
      (if (local.get 0) (then (call $f (i32.sub (local.get 0) (i32.const 1)))) (else (call $host))))"""
    instance = instantiate(store, wat(text), [store.alloc_host_func(FuncType((), ()), host)])
    inside = []
    paused = stepper(instance, "main", 4)
    while paused.frames().instruction().offset != instance.exports["main"].code.body[8].offset:
        paused.step()
    inside.append(True)
    invoke(store, instance.exports["main"], (4,))
    inside.clear()
    assert not paused.go()
    assert paused.results == []


CONTROL = """(import "" "host" (func $host)) (tag $t (param i32)) (type $v (func (param i32) (result i32)))
  (table 1 funcref) (elem (i32.const 0) $last)
  (func (export "tails") (result i32) (return_call $middle (i32.const 3)))
  (func $middle (param i32) (result i32) (return_call_indirect (type $v) (local.get 0) (i32.const 0)))
  (func $last (param i32) (result i32) (local.get 0))
  (func (export "throws") (result i32)
    (block $b (result i32) (try_table (catch $t $b) (call $deep)) unreachable))
  (func $deep (call $thrower) nop)
  (func $thrower (throw $t (i32.const 5)))
  (func (export "calls") (i32.const 7) (call $host) (drop))
  (func (export "inner") (result i32) (block (br 0)) (i32.const 2))
  (func (export "tail of host") (return_call $host))"""
TRAILS = {
    "tails": [(1, "i32.const"), (1, "return_call"), (2, "local.get"), (2, "i32.const"), (2, "return_call_indirect"),
              (3, "local.get"), (3, "end")],
    "throws": [(4, "block"), (4, "try_table"), (4, "call"), (5, "call"), (6, "i32.const"), (6, "throw"), (4, "end")],
    "calls": [(7, "i32.const"), (7, "call"), (7, "drop"), (7, "end")],
    "inner": [(8, "block"), (8, "br"), (8, "i32.const"), (8, "end")],
    "tail of host": [(9, "return_call")],
}  # fmt: skip


def controlled():
    """Return an instance whose host calls ``inner`` again."""
    store = Store(Config(guest_debug=True, checks=True))

    def host(caller, args):
        assert invoke(store, instance.exports["inner"], ()) == [2]
        return ()

    instance = instantiate(store, wat(CONTROL), [store.alloc_host_func(FuncType((), ()), host)])
    return instance


def where(cursor):
    return cursor.function().funcidx, cursor.instruction().row.name


@pytest.mark.parametrize("name", TRAILS)
def test_steps_go_through_tail_calls_exceptions_and_the_host(name):
    instance = controlled()
    assert [where(cursor) for cursor in stepper(instance, name)] == TRAILS[name]
    assert instance.store.vm_state()[:3] == (0, 0, 0)


@pytest.mark.parametrize("name", TRAILS)
def test_the_handler_is_told_of_every_step_also_below_the_host(name):
    instance = controlled()
    steps = []
    instance.store.set_debug_handler(
        lambda store, event: steps.append(where(store.debug_frames())) if event == Step() else None
    )
    instance.store.debugger.single_step = True
    invoke(instance.store, instance.exports[name], ())
    expected = list(TRAILS[name])
    if name in ("calls", "tail of host"):
        at = 2 if name == "calls" else 1
        expected[at:at] = TRAILS["inner"]
    assert steps == expected


@pytest.mark.parametrize("name", TRAILS)
def test_a_call_stops_at_a_breakpoint_on_each_of_its_instructions(name):
    instance = controlled()
    debugger = instance.store.debugger
    places = [cursor.function_index_and_pc() for cursor in stepper(instance, name)]
    for place in places:
        debugger.set_breakpoint(instance, *place)
    call = stepper(instance, name)
    found = []
    while call.go():
        found.append(call.frames().function_index_and_pc())
    assert found == places
    for place in places:
        debugger.clear_breakpoint(instance, *place)
    assert not stepper(instance, name).go()


def test_steps_go_from_instance_to_instance_of_one_module():
    text = """(import "" "f" (func $f (param i32) (result i32))) (global (export "g") (mut i32) (i32.const 0))
      (func (export "f") (param i32) (result i32)
        (global.set 0 (local.get 0)) (call $f (i32.add (local.get 0) (i32.const 1))))"""
    store = Store(Config(guest_debug=True))
    module = wat(text)
    func = store.alloc_host_func(FuncType((I32,), (I32,)), lambda caller, args: args)
    instances = []
    for _ in range(3):
        instances.append(instantiate(store, module, [func]))
        func = instances[-1].exports["f"]
    inner, middle, outer = instances
    store.debugger.set_breakpoint(middle, 0, func.code.body[1].offset)
    call = Stepper(store, func, [10])
    assert call.go()
    cursor = call.frames()
    assert (cursor.instance(), cursor.local(0).value) == (middle, 11)
    cursor.move_to_parent()
    assert (cursor.instance(), cursor.local(0).value) == (outer, 10)
    assert cursor.module() is module
    cursor.move_to_parent()
    assert cursor.done()
    seen = []
    for cursor in call:
        if cursor.instance() not in seen[-1:]:
            seen.append(cursor.instance())
    assert seen == [middle, inner, middle, outer]
    assert call.results == [13]
    assert [instance.exports["g"].value for instance in instances] == [12, 11, 10]


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


def test_there_is_stepping_through_functions_of_wasm_in_their_own_store_only():
    store = Store(Config(guest_debug=True))
    with pytest.raises(TypeError, match="no instructions"):
        Stepper(store, store.alloc_host_func(FuncType((), ()), lambda caller, args: ()))
    with pytest.raises(StoreMismatch):
        Stepper(store, setup().exports["sum"], [1])


def test_a_stepper_wants_a_debugger_and_the_right_number_of_arguments():
    instance = instantiate(Store(), wat(SUM))
    with pytest.raises(ValueError, match="guest_debug"):
        stepper(instance, "sum", 1)
    with pytest.raises(TypeError, match="takes 1 arguments"):
        stepper(setup(), "sum")
