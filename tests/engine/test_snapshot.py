"""Stores saved and restored: that nothing has happened in between, and that wrong resumes would be noticed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from jsonschema import Draft202012Validator

from ci.gates import snapshots
from ci.gates.worlds import scene
from engine import (
    Config,
    Finished,
    HostTrap,
    OutOfFuel,
    SnapshotError,
    Store,
    Suspended,
    Yielded,
    call_resumable,
    decode,
    encode,
    instantiate,
    invoke,
    validate,
)
from engine.debug import Stepper
from engine.errors import Trap, UncaughtException
from engine.execution.build import Build
from engine.execution.fuel_models import MODELS
from engine.features import EXECUTED
from engine.runtime.heap import StructInst
from engine.snapshot import Host, SavedError, dumps, loads, restore, save
from engine.snapshot.frames import CallReader
from engine.snapshot.graphs import Canonical, graph_of
from engine.text.parser import parse
from engine.types import EXTERNREF, FUNC, I32, FuncType, GlobalType, Limits, MemType, TableType, ref

if TYPE_CHECKING:
    from engine.module import Module

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "schemas" / "snapshot.schema.json").read_text())
VALIDATOR = Draft202012Validator(SCHEMA)
COUNTED = [(model, Build()) for model in MODELS.values()]
COUNTED += [(MODELS["wasmtime", 50, ""], build) for build in (Build(inline=False), Build(fold=False))]
ASK = FuncType((I32,), (I32,))

LOOPS = """(module (type $one (func (param i32) (result i32)))
  (memory 1) (table 4 funcref) (elem (i32.const 1) $twice $sum3)
  (global $g (mut i64) (i64.const 0)) (data $d "abc")
  (func (export "f") (param $n i32) (result i32) (local $s i32) (local $x f64)
    i32.const 7
    loop $l (param i32) (result i32)
      local.get $n
      (call_indirect (type $one) (local.get $n) (i32.const 1))
      i32.add
      local.get $s
      i32.const 3
      i32.mul
      local.get $n
      call $two
      i32.sub
      i32.add
      local.set $s
      i32.add
      (global.set $g (i64.add (global.get $g) (i64.const 0x100000001)))
      (local.set $x (f64.div (f64.convert_i32_s (local.get $s)) (f64.const 3)))
      (memory.fill (local.get $n) (local.get $n) (i32.const 2048))
      (drop (memory.grow (i32.const 1)))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))
    end
    local.get $x
    i32.trunc_sat_f64_s
    i32.xor)
  (func $twice (type $one) (i32.add (local.get 0) (local.get 0)))
  (func $two (param i32) (result i32 i32) (local.get 0) (call $twice (local.get 0)))
  (func $sum3 (type $one) (data.drop $d) (local.get 0)))"""

OBJECTS = """(module
  (rec (type $node (struct (field $next (mut (ref null $node))) (field $v (mut i8)))))
  (type $bytes (array (mut i8))) (type $nodes (array (mut (ref null $node))))
  (tag $e (param i32 (ref null $node))) (global $keep (mut (ref null $nodes)) (ref.null $nodes))
  (global $i (mut anyref) (ref.i31 (i32.const -1))) (global $x (mut exnref) (ref.null exn))
  (func (export "f") (param $n i32) (result i32) (local $a (ref null $node)) (local $b (ref $bytes)) (local $s i32)
    (global.set $keep (array.new_default $nodes (i32.const 3)))
    (local.set $a (struct.new $node (ref.null $node) (i32.const 300)))
    (struct.set $node $next (local.get $a) (local.get $a))
    (array.set $nodes (global.get $keep) (i32.const 1) (local.get $a))
    (local.set $b (array.new $bytes (i32.const 5) (local.get $n)))
    (loop $l
      (block $caught (result i32 (ref null $node) exnref)
        (try_table (catch_ref $e $caught)
          (struct.new $node (local.get $a) (local.get $n))
          (call $throw (local.get $n) (local.get $a))
          (local.set $a))
        (unreachable))
      global.set $x
      (local.set $a)
      (local.set $s (i32.add (local.get $s)))
      (local.set $s (i32.add (local.get $s) (ref.eq (struct.get $node $next (local.get $a)) (local.get $a))))
      (array.set $bytes (local.get $b) (i32.const 0) (local.get $s))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i32.add (local.get $s) (array.get_u $bytes (local.get $b) (i32.const 0))))
  (func $throw (param i32 (ref null $node))
    (if (i32.eqz (i32.and (local.get 0) (i32.const 1)))
      (then (call $throw (i32.add (local.get 0) (i32.const 1)) (local.get 1))))
    (throw $e (local.get 0) (local.get 1))))"""

LEGACY = """(module (tag $e (param i32))
  (func (export "f") (param $n i32) (result i32) (local $s i32)
    loop $l
      i32.const 40
      try (result i32)
        local.get $n
        throw $e
      catch $e
        call $half
        loop $m (param i32) (result i32)
          i32.const 1
          i32.add
        end
        try (result i32)
          i32.const 9
          throw $e
        catch_all
          local.get $s
          call $half
        end
        i32.add
      end
      i32.add
      local.set $s
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))
    end
    local.get $s)
  (func $half (param i32) (result i32) (i32.shr_u (local.get 0) (i32.const 1))))"""

HOSTED = """(module (import "" "ask" (func $ask (param i32) (result i32))) (memory 1)
  (func (export "f") (param $n i32) (result i32) (local $s i32)
    (loop $l
      (local.set $s (i32.add (i32.mul (local.get $s) (i32.const 3)) (call $next (local.get $n))))
      (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (local.get $s)))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i32.add (local.get $s) (i32.load (i32.const 0))))
  (func $next (param i32) (result i32)
    (if (result i32) (i32.and (local.get 0) (i32.const 1))
      (then (i32.add (i32.const 1) (call $ask (local.get 0))))
      (else (return_call $ask (local.get 0))))))"""


def module(text: str) -> Module:
    """Return the valid module of a text, by way of its bytes."""
    found = decode(encode(parse(text, EXECUTED)), EXECUTED)
    validate(found, EXECUTED)
    return found


def ended(call):
    """Return the results, or what the call ended in."""
    try:
        return call()
    except Trap as e:
        return e.kind
    except UncaughtException as e:
        return e.values


def through(store, call, each):
    """Go on with a call to its end; ``each`` may put another store and call in place of these at every pause."""
    while isinstance(call, Suspended):
        store, call = each(store, call)
        if isinstance(call, OutOfFuel):
            store.add_fuel(call.required_fuel)
        call = ended(lambda store=store, call=call: call.resume(store))
    return store, call


def again(text: str, known, **given):
    """Return what a text of the form that the schema describes becomes."""
    VALIDATOR.validate(json.loads(text))
    return restore(loads(text), [known], **given)


@pytest.mark.parametrize(("model", "build"), COUNTED)
@pytest.mark.parametrize("text", [LOOPS, OBJECTS, LEGACY], ids=["loops", "objects", "legacy"])
def test_to_save_and_restore_at_every_pause_changes_nothing(text, model, build):
    known, config = module(text), Config(build=build, fuel_model=model)

    def start():
        store = Store(config)
        instance = instantiate(store, known)
        store.set_fuel(40)
        store.set_fuel_interval(1)
        return store, ended(lambda: call_resumable(store, instance.exports["f"], 3))

    def note(store, call):
        straight.append(dumps(save(store, calls={"c": call})))
        return store, call

    def replace(store, call):
        replaced.append(dumps(save(store, calls={"c": call})))
        given = again if len(replaced) % 8 == 1 else lambda text, *rest, **more: restore(loads(text), [*rest], **more)
        restored = given(replaced[-1], known, config=config)
        assert dumps(save(restored.store, calls=restored.calls)) == replaced[-1]
        return restored.store, restored.calls["c"]

    straight: list[str] = []
    replaced: list[str] = []
    store, result = through(*start(), note)
    other, same = through(*start(), replace)
    assert same == result
    assert replaced == straight
    assert dumps(save(other)) == dumps(save(store))
    assert len(straight) > 5


class Failure(Exception):
    pass


def hosted(fails=lambda n: True):
    """Return a host function that fails, and the calls of it."""
    asked: list[int] = []

    def ask(caller, args):
        asked.append(args[0])
        if fails(args[0]):
            raise Failure(f"asked {args[0]}")
        return [args[0] * 5]

    return Host(ASK, ask), asked


def suspended(n=5):
    """Return the store, its call that a failing host suspended, the host and the calls of it."""
    host, asked = hosted()
    store = Store()
    func = store.alloc_host_func(*host)
    instance = instantiate(store, module(HOSTED), [func])
    return store, call_resumable(store, instance.exports["f"], n), host, asked


def story(store, call, asked):
    """Answer every failure, and return the result, the last store and what was asked."""
    while isinstance(call, HostTrap):
        call = call.resume(store, asked[-1] * 5)
    return call.results, dumps(save(store, dict.fromkeys(store.funcs[:1], "ask"))), asked


def test_the_schema_is_one():
    Draft202012Validator.check_schema(SCHEMA)


def test_a_failing_host_is_saved_with_what_it_raised_and_answered_elsewhere():
    store, call, _, asked = suspended()
    wanted = story(store, call, asked)
    store, call, host, asked = suspended()
    pauses = 0
    while isinstance(call, HostTrap):
        text = dumps(save(store, {call.host_func: "ask"}, {"c": call}))
        store, calls, _ = again(text, module(HOSTED), hosts={"ask": host})
        assert dumps(save(store, {calls["c"].host_func: "ask"}, calls)) == text
        call = calls["c"]
        assert isinstance(call.host_error, SavedError)
        assert (call.host_error.kind, call.host_error.message) == ("Failure", f"asked {asked[-1]}")
        call = call.resume(store, asked[-1] * 5)
        pauses += 1
    assert pauses == 5
    assert story(store, call, asked) == wanted


def test_an_answer_that_was_not_taken_yet_is_kept():
    store, call, _, asked = suspended()
    wanted = story(store, call, asked)
    store, call, host, asked = suspended()
    call.activation.answer([asked[-1] * 5])
    text = dumps(save(store, {store.funcs[0]: "ask"}, {"c": call}))
    store, calls, _ = again(text, module(HOSTED), hosts={"ask": host})
    assert dumps(save(store, {store.funcs[0]: "ask"}, calls)) == text
    assert story(store, calls["c"].resume(store), asked) == wanted


def edited(change):
    """Return how the story ends from a snapshot that somebody changed, and how it should."""
    store, call, _, asked = suspended()
    wanted = story(store, call, asked)
    store, call, host, asked = suspended()
    for _ in range(3):
        before = save(store, {store.funcs[0]: "ask"}, {"c": call})
        call = call.resume(store, asked[-1] * 5)
    data = save(store, {store.funcs[0]: "ask"}, {"c": call})
    change(data, before)
    store, calls, _ = restore(data, [module(HOSTED)], hosts={"ask": host})
    call = calls["c"]
    if not isinstance(call, HostTrap):
        call = call.resume(store)
    return story(store, call, asked), wanted


def lose_local(data, before):
    data["calls"]["c"]["frames"][0]["locals"][0] = "00000001"


def lose_operand(data, before):
    data["calls"]["c"]["frames"][0]["operands"][0] = "00000000"


def repeat_host_call(data, before):
    frames = data["calls"]["c"]["frames"]
    start = {
        "start": "entry",
        "waits": False,
        "operands": [],
        "at": 0,
        "func": "f2",
        "kept": None,
        "locals": ["00000002"],
    }
    frames[-1] = start
    data["calls"]["c"]["failed"] = None


def make_memory_stale(data, before):
    data["store"]["mems"] = before["store"]["mems"]


@pytest.mark.parametrize(
    ("change", "is_noticed"),
    [
        (lambda data, before: None, False),
        (lose_local, True),
        (lose_operand, True),
        (repeat_host_call, True),
        (make_memory_stale, True),
    ],
)
def test_a_wrong_resume_is_noticed(change, is_noticed):
    got, wanted = edited(change)
    assert (got != wanted) == is_noticed


def test_identity_and_cycles_of_objects_are_kept_and_long_chains_take_no_depth():
    text = """(module (type $n (struct (field (mut (ref null $n))) (field i32)))
      (table $t 2 (ref null $n)) (global $g (export "g") (mut (ref null $n)) (ref.null $n))
      (elem $e (ref $n) (item (struct.new $n (ref.null $n) (i32.const 5))))
      (func (export "f") (param $k i32)
        (loop $l
          (global.set $g (struct.new $n (global.get $g) (local.get $k)))
          (table.set $t (i32.and (local.get $k) (i32.const 1)) (global.get $g))
          (br_if $l (local.tee $k (i32.sub (local.get $k) (i32.const 1))))))
      (func (export "knot")
        (struct.set $n 0 (table.get $t (i32.const 0)) (global.get $g))))"""
    known, store = module(text), Store()
    instance = instantiate(store, known)
    invoke(store, instance.exports["f"], [20_000])
    invoke(store, instance.exports["knot"], [])
    kept = StructInst(instance.types[0], [store.globals[0].value, 77])
    other, _, values = again(dumps(save(store, values={"kept": kept, "none": None, "i": 9})), known)
    head, table = other.globals[0].value, other.tables[0].elems
    assert table[1] is head
    assert head.fields[0] is table[0]
    assert table[0].fields[0] is head
    assert values["kept"].fields == [head, 77]
    assert (values["none"], values["i"]) == (None, 9)
    assert other.elems[0].elems[0].fields == [None, 5]
    invoke(store, instance.exports["f"], [3])
    assert head.fields[1] == 1


def test_what_several_instances_share_is_shared_again():
    first = module("""(module
      (memory (export "m") 1 9) (table (export "t") 2 5 externref) (tag (export "e") (param i32))
      (global (export "g") (mut i32) (i32.const 3)) (elem $p funcref (ref.func $f)) (elem $q funcref (ref.func $f))
      (data $d "x") (data $dropped "y")
      (func $f (export "f") (elem.drop $q) (data.drop $dropped) (drop (memory.grow (i32.const 2)))
        (throw 0 (i32.const 8))))""")
    second = module("""(module
      (import "a" "m" (memory 1)) (import "a" "t" (table 1 externref)) (import "a" "e" (tag $e (param i32)))
      (import "a" "g" (global (mut i32))) (import "a" "f" (func $f))
      (func (export "catch") (result i32) (block (result i32) (try_table (catch $e 0) (call $f)) (i32.const 0))))""")
    store = Store()
    extern = store.alloc_extern(object())
    store.alloc_mem(MemType(Limits(0, 3), page_bits=0))
    store.alloc_table(TableType(ref(True, FUNC), Limits(1)))
    store.alloc_global(GlobalType(False, EXTERNREF), extern)
    a = instantiate(store, first)
    b = instantiate(store, second, [a.exports[name] for name in "mteg"] + [a.exports["f"]])
    assert invoke(store, b.exports["catch"], []) == [8]
    store.tables[1].elems[1] = extern
    store.mems[1].data[0x1_2345] = 99
    text = dumps(save(store, {extern: "it"}))
    given = object()
    other = restore(loads(text), [second, first], externs={"it": given}).store
    assert dumps(save(other, {other.externs[0]: "it"})) == text
    a, b = other.instances
    assert b.mems[0] is a.mems[0] is a.exports["m"]
    assert (b.mems[0].size_pages, b.mems[0].data[0x1_2345], sum(b.mems[0].data)) == (3, 99, 99)
    assert b.tags[0] is a.tags[0]
    assert [len(e.elems) for e in other.elems] == [1, 0]
    assert [d.data for d in other.datas] == [b"x", b""]
    assert a.tables[0].elems[1].value is other.globals[0].value.value is given
    assert other.mems[0].grow(3) == 0
    assert other.mems[0].grow(1) == -1
    assert invoke(other, b.exports["catch"], []) == [8]


def test_custom_descriptors_are_kept():
    text = """(module (rec (type $s (descriptor $d) (struct (field i32))) (type $d (describes $s) (struct (field i64))))
      (global $g (mut (ref null $s)) (ref.null $s))
      (func (export "f") (global.set $g (struct.new_desc $s (i32.const 1) (struct.new $d (i64.const 2))))))"""
    known, store = module(text), Store()
    invoke(store, instantiate(store, known).exports["f"], [])
    found = again(dumps(save(store)), known).store.globals[0].value
    assert (found.fields, found.descriptor.fields) == ([1], [2])


def test_deep_and_many_suspended_calls_come_back():
    known = module("""(module (func $f (export "f") (param i32) (result i32)
      (if (result i32) (local.get 0)
        (then (i32.add (call $f (i32.sub (local.get 0) (i32.const 1))) (i32.const 1)))
        (else (loop) (i32.const 0)))))""")
    store = Store()
    instance = instantiate(store, known)
    store.set_fuel(1 << 20)
    store.set_fuel_interval(900)
    calls = {str(n): call_resumable(store, instance.exports["f"], n) for n in (2000, 3000, 4000)}
    other, calls, _ = again(dumps(save(store, calls=calls)), known)
    other.set_fuel_interval(None)
    assert [calls[n].resume(other).results for n in ("2000", "3000", "4000")] == [(2000,), (3000,), (4000,)]


@pytest.mark.parametrize("index", range(40))
def test_restored_graphs_have_every_operand_in_its_slot(index):
    of = scene(1, index)
    found = snapshots.Player(of)
    if not found.begin():
        return
    for func in found.store.instances[0].funcs[len(found.module.imports) :]:
        graph = graph_of(func, Canonical, range(len(func.code.body)))
        for points in graph.begins.values():
            for point in points:
                assert list(point.stack) == [graph.nl + j for j in range(len(point.stack))]
        for point in graph.calls.values():
            assert list(point.stack) == [graph.nl + j for j in range(len(point.stack))]


def test_random_programs_go_on_in_another_process(capsys):
    assert snapshots.main(["--pauses", "12", "--jobs", "1", "--seed", "3"]) == 0
    assert "12 pauses" in capsys.readouterr().out


@pytest.mark.parametrize(("before", "after"), [(None, 50), (50, None), (50, 60), (None, None)])
def test_a_frame_that_keeps_its_counter_goes_on_whether_metered_or_not(before, after):
    known = module("""(module
      (type $t (func (result i32))) (import "" "ask" (func $ask (type $t))) (elem declare func $g)
      (func $g (type $t) (call $ask)) (func (export "f") (type $t) (call_ref $t (ref.func $g))))""")

    def ask(caller, args):
        raise Failure

    host = Host(FuncType((), (I32,)), ask)
    store = Store(Config(fuel_model=MODELS["wasmtime", 48, ""]))
    store.alloc_host_func(*host)
    instance = instantiate(store, known, store.funcs)
    store.set_fuel(before)
    calls = {"c": call_resumable(store, instance.exports["f"])}
    text = dumps(save(store, {store.funcs[0]: "ask"}, calls))
    assert [frame["kept"] and frame["kept"]["lost"] for frame in loads(text)["calls"]["c"]["frames"]] == [True, None]
    other, others, _ = again(text, known, hosts={"ask": host})
    for one, call in ((store, calls["c"]), (other, others["c"])):
        one.set_fuel(after)
        assert call.resume(one, 7).results == (7,)
    assert (other.fuel_left, other.fuel_reserve) == (store.fuel_left, store.fuel_reserve)


def test_a_restored_frame_without_its_handlers_is_noticed(monkeypatch):
    def comes_back(self, *args):
        block = kept(self, *args)
        block.handlers = None
        return block

    kept = Canonical.comes_back
    same = test_to_save_and_restore_at_every_pause_changes_nothing
    same(OBJECTS, MODELS["wasmtime", 50, ""], Build())
    monkeypatch.setattr(Canonical, "comes_back", comes_back)
    with pytest.raises(AssertionError):
        same(OBJECTS, MODELS["wasmtime", 50, ""], Build())


@pytest.mark.parametrize("field", ["paid", "passed"])
def test_a_call_that_forgets_what_was_charged_is_noticed(field, monkeypatch):
    def stands(self, call, data, waits):
        kept(self, call, data, waits)
        setattr(call, field, type(getattr(call, field))())

    kept = CallReader._stands
    monkeypatch.setattr(CallReader, "_stands", stands)
    with pytest.raises(AssertionError):
        test_to_save_and_restore_at_every_pause_changes_nothing(LOOPS, MODELS["wasmtime", 50, ""], Build())


STEPPED = """(module (func $g (param i32) (result i32) (i32.add (local.get 0) (i32.const 3)))
  (func (export "f") (param i32) (result i32)
    (loop (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (drop (call $g (local.get 0))) (br_if 0 (local.get 0)))
    (call $g (local.get 0))))"""


def test_a_call_that_a_debugger_stopped_between_two_check_points_is_refused_and_goes_on():
    store = Store(Config(guest_debug=True))
    stepper = Stepper(store, instantiate(store, module(STEPPED)).exports["f"], [3])
    refusals = 0
    while not stepper.done:
        try:
            data = save(store, calls={"c": Yielded(stepper._activation)})
        except SnapshotError as e:
            refusals += 1
            assert e.path.startswith("calls['c'].frames[")
        else:
            assert data["calls"]["c"]["frames"][0]["start"] == "entry"
        stepper.step()
    assert (stepper.results, refusals > 20) == ([3], True)


@pytest.mark.parametrize(("before", "after"), [(True, False), (False, True)])
def test_a_call_that_stands_at_a_check_point_goes_on_with_or_without_a_debugger(before, after):
    store = Store(Config(guest_debug=before))
    func = instantiate(store, module(STEPPED)).exports["f"]
    store.set_fuel(1000)
    store.set_fuel_interval(1)
    stops = 0
    call = call_resumable(store, func, 3)
    while not isinstance(call, Finished):
        other, calls, _ = restore(save(store, calls={"c": call}), [module(STEPPED)], config=Config(guest_debug=after))
        end = calls["c"]
        while not isinstance(end, Finished):
            end = end.resume(other)
        call = call.resume(store)
        stops += 1
        assert end.results == (3,)
    assert (other.fuel_left, stops > 5) == (store.fuel_left, True)
