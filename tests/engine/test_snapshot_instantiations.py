"""Instantiations under way, saved and restored: that nothing has happened in between, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from engine import (
    Config,
    Finished,
    HostTrap,
    OutOfFuel,
    SnapshotError,
    Store,
    Suspended,
    Trap,
    Yielded,
    instantiate,
    instantiate_resumable,
    invoke,
    restore,
    save,
)
from engine.execution.fuel_models import MODELS, fuel_model
from engine.execution.instantiate import Instantiation
from engine.snapshot import Host, dumps, loads
from engine.types import I32, FuncType
from tests.support.wasm import wat

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "schemas" / "snapshot.schema.json").read_text())
VALIDATOR = Draft202012Validator(SCHEMA)
MODEL = fuel_model("wasmtime", 50)

PROVIDER = wat("""(module
  (table (export "t") 300 funcref) (memory (export "m") 1) (global (export "n") i32 (i32.const 7))
  (func (export "look") (param i32) (result i32) (call_indirect (result i32) (local.get 0))))""")

# Checks at the entry, in globals, behind a table, behind elements, behind data.
TEXT = """(module (type $a (array (mut i8))) (type $see (func (result i32)))
  (import "" "t" (table $t 300 funcref)) (import "" "m" (memory $m 1)) (import "" "n" (global $n i32))
  (import "" "ask" (func $ask (param i32) (result i32)))
  (memory $own 1) (data (memory $own) (i32.const 5) "image")
  (global (export "one") (mut (ref null $a)) (array.new $a (i32.const 3) (global.get $n)))
  (global (export "two") (ref $a) (array.new_default $a (i32.mul (i32.const 100) (global.get $n))))
  (global (export "sum") (mut i32) (i32.const 1))
  (table (export "filled") 150 funcref (ref.null func))
  (elem $passive (ref null $a) (array.new $a (i32.const 1) (i32.add (global.get $n) (global.get $n))) (ref.null $a))
  (elem (table $t) (i32.const 0) func $see $see {seen})
  (elem (table $t) (i32.const 2) func {seen})
  (data (memory $m) (i32.const 3) "abc") (data $kept "kept") (data (memory $m) (i32.const 9) "xyz")
  (func $see (type $see) (i32.load8_u $own (i32.const 5)))
  (func $start (local $k i32) (local.set $k (i32.const 4))
    (loop $l
      (global.set 3 (i32.add (i32.mul (i32.const 3) (global.get 3)) (call $ask (local.get $k))))
      (br_if $l (local.tee $k (i32.sub (local.get $k) (i32.const 1))))))
  (start $start))""".format(seen="$see " * 150)
ASK = FuncType((I32,), (I32,))


class Later(Exception):
    """The answer is not here yet."""


def ask(caller, args):
    if args[0] % 2:
        raise Later(args[0])
    return [args[0]]


HOSTS = {"ask": Host(ASK, ask)}
MODULE = wat(TEXT)
KNOWN = [PROVIDER, MODULE]


def begin(fuel, interval, model=MODEL) -> tuple[Store, Any]:
    """Return a store and what instantiating in it comes to first."""
    store = Store(Config(fuel_model=model, checks=True))
    host = store.alloc_host_func(*HOSTS["ask"])
    given = instantiate(store, PROVIDER).exports
    store.set_fuel(fuel)
    store.set_fuel_interval(interval)
    return store, instantiate_resumable(store, MODULE, [given["t"], given["m"], given["n"], host])


def saved(store, calls=None):
    return save(store, {store.funcs[0]: "ask"}, calls)


def through(store, call):
    """Return what it comes to that is no interval."""
    while isinstance(call, Yielded):
        call = call.resume(store)
    return call


def play(store, call, each):
    """Go on to the end, by way of ``each``, and return what there is then and the kinds of pauses."""
    kinds = []
    while isinstance(call, Suspended):
        kinds.append((type(call), getattr(call, "required_fuel", None), store.fuel_left))
        store, call = each(store, call)
        if isinstance(call, OutOfFuel):
            store.add_fuel(call.required_fuel)
        values = [call.host_error.args[0] if call.host_error.args else 0] if isinstance(call, HostTrap) else []
        call = call.resume(store, *([5] if values else []))
    assert isinstance(call, Finished)
    assert call.results[0] is store.instances[-1]
    return dumps(saved(store)), kinds


@pytest.mark.parametrize("model", MODELS.values(), ids=str)
@pytest.mark.parametrize(("fuel", "interval"), [(10_000, 1), (1, None), (1, 1), (10_000, 30)])
def test_to_save_and_restore_at_every_pause_changes_nothing(model, fuel, interval):
    def replace(store, call):
        text = dumps(saved(store, {"it": call}))
        VALIDATOR.validate(json.loads(text))
        other, calls, _ = restore(loads(text), KNOWN, HOSTS, config=Config(fuel_model=model, checks=True))
        assert dumps(saved(other, calls)) == text
        return other, calls["it"]

    straight = play(*begin(fuel, interval, model), lambda *at: at)
    assert play(*begin(fuel, interval, model), replace) == straight
    kinds = {kind for kind, _, _ in straight[1]}
    assert kinds >= {HostTrap, OutOfFuel if fuel == 1 else Yielded}


def test_an_answer_that_was_not_taken_yet_is_kept():
    store, call = begin(None, None)
    assert isinstance(call, HostTrap)
    call.under_way.answer([77])
    other, calls, _ = restore(saved(store, {"it": call}), KNOWN, HOSTS)
    assert isinstance(calls["it"], Yielded)
    store, call = begin(None, None)
    one, two = call.resume(store, 77), calls["it"].resume(other)
    assert saved(store, {"it": one}) == saved(other, {"it": two})


def test_one_that_has_not_begun_can_be_saved():
    store, _ = begin(None, None)
    store.set_fuel(1000)
    imports = [*store.instances[0].exports.values()][:3] + store.funcs[:1]
    for fuel in (1000, None):
        store.set_fuel(fuel)
        begun = Yielded(Instantiation(store, MODULE, imports))
        other, calls, _ = restore(saved(store, {"it": begun}), KNOWN, HOSTS)
        assert saved(other, calls) == saved(store, {"it": begun})
        one, two = begun.resume(store), calls["it"].resume(other)
        assert saved(other, {"it": two}) == saved(store, {"it": one})


def test_images_are_seen_behind_elements_after_restoring_too():
    module = wat(
        """(module (import "" "t" (table 300 funcref)) (memory 1) (data (i32.const 0) "a")
      (func $g (result i32) (i32.load8_u (i32.const 0)))
      (elem (i32.const 0) func {0}) (elem (i32.const 0) func {0}))""".format("$g " * 129)
    )
    store = Store(Config(fuel_model=MODEL))
    table = instantiate(store, PROVIDER).exports["t"]
    store.set_fuel(3)
    call = instantiate_resumable(store, module, [table])
    seen = []
    while isinstance(call, OutOfFuel):
        store, calls, _ = restore(save(store, calls={"it": call}), [PROVIDER, module])
        store.set_fuel(None)
        if store.tables[0].elems[0] is not None:
            seen += invoke(store, store.instances[0].exports["look"], [0])
        store.set_fuel(calls["it"].required_fuel)
        call = calls["it"].resume(store)
    assert seen == [ord("a")] * 2


def test_a_trap_of_the_start_function_comes_after_restoring_too():
    module = wat("(module (func $s (local i32) (loop (drop (i32.const 1))) (unreachable)) (start $s))")
    store = Store(Config(fuel_model=MODEL))
    store.set_fuel(1000)
    store.set_fuel_interval(1)
    call = instantiate_resumable(store, module)
    while call.under_way.activation is None:
        call = call.resume(store)
    other, calls, _ = restore(save(store, calls={"it": call}), [module])
    with pytest.raises(Trap) as caught:
        through(other, calls["it"])
    assert caught.value.where.funcidx == 0
    assert (other.activations, other.depth, len(other.instances)) == (0, 0, 1)


# -- what does not fit


def at_check() -> dict[str, Any]:
    """Return a snapshot of one that stands still at the second check."""
    store, call = begin(10_000, 1)
    call = call.resume(store)
    return saved(store, {"it": call})


def in_start() -> dict[str, Any]:
    store, call = begin(None, None)
    return saved(store, {"it": call})


def refused(data, config=None):
    with pytest.raises(SnapshotError) as caught:
        restore(data, KNOWN, HOSTS, config=config)
    return caught.value


CHECKED = [
    ("instance", 2, "instance", "2 is not from 0 to 1"),
    ("instance", None, "instance", "expected an integer"),
    ("instance", 0, "check", "there is no startup function"),
    ("check", 99, "check", "99 is not from 0 to"),
    ("check", -1, "check", "-1 is not from 0"),
    ("check", True, "check", "expected an integer"),
    ("check", None, "lengths", "no length is wanted"),
    ("required", 0, "required", "0 is not from 1"),
    ("required", "1", "required", "expected an integer"),
    ("required", 1 << 81, "required", "is not from 1"),
    ("lengths", [], "lengths", "0 lengths where there are 3"),
    ("lengths", [1, 2, 1 << 32], "lengths[2]", "is not from 0"),
    ("lengths", {}, "lengths", "expected a list"),
    ("call", {}, "call", "the start function is not called yet"),
    ("more", 1, "", "unknown field 'more'"),
]


@pytest.mark.parametrize(("name", "value", "path", "words"), CHECKED)
def test_a_startup_function_that_does_not_fit_is_refused_with_the_path_to_it(name, value, path, words):
    data = at_check()
    data["calls"]["it"][name] = value
    error = refused(data)
    assert error.path == "calls['it']" + (f".{path}" if path else "")
    assert words in error.message


def test_what_no_program_of_the_modules_was_at_is_accepted_if_it_fits():
    data = at_check()
    going = data["calls"]["it"]
    ends = []
    for check in range(11):
        going |= {"check": check, "lengths": [0, 5, (1 << 32) - 1]}
        store, calls, _ = restore(data, KNOWN, HOSTS)
        ends.append(type(through(store, calls["it"])))
    assert ends == [OutOfFuel] * 4 + [HostTrap] * 7  # the last length is charged at the fourth check
    going["check"] = 11
    assert refused(data).path == "calls['it'].check"


def wants(*path, value, where, words, data=None):
    found = data or in_start()
    *way, last = path
    item = found["calls"]["it"]
    for key in way:
        item = item[key]
    item[last] = value
    error = refused(found)
    assert (error.path, words in error.message) == (f"calls['it'].{where}", True), str(error)


def test_a_start_function_that_does_not_fit_is_refused_with_the_path_to_it():
    wants("required", value=1, where="required", words="no fuel is wanted")
    wants("lengths", value=[1], where="lengths", words="no length is wanted")
    wants("call", value=1, where="call", words="expected an object")
    wants("call", "resumable", value=False, where="call.resumable", words="can pause")
    wants("call", "frames", 0, "func", value="f1", where="call.frames[0]", words="gives [i32] where [] is waited for")
    wants("call", "frames", 0, "locals", value=[], where="call.frames[0].locals", words="0 values where there are 1")
    wants("instance", value=0, where="call", words="no start function of its own")


def test_one_instance_is_under_way_once():
    data = at_check()
    data["calls"]["other"] = data["calls"]["it"]
    assert refused(data).path == "calls['other'].instance"


def test_a_model_without_startup_functions_has_none():
    data = at_check()
    data["fuel"]["model"] = "wasmtime 36"
    assert refused(data).path == "calls['it'].check"


def test_work_is_bounded():
    with pytest.raises(SnapshotError, match="too much memory"):
        restore(at_check(), KNOWN, HOSTS, max_items=500)


def test_one_in_another_store_is_refused():
    store, call = begin(10_000, 1)
    with pytest.raises(SnapshotError, match="another store"):
        save(Store(), calls={"it": call})
    while call.under_way.activation is None:
        call = call.resume(store)
    with pytest.raises(SnapshotError, match="another store"):
        save(Store(), calls={"it": call})
