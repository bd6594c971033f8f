"""Snapshots that nobody vouches for: every deviation is a SnapshotError that says where, within bounds."""

from __future__ import annotations

import json
from functools import cache

import pytest

from ci.gates import pool, snapshots
from engine import Config, SnapshotError, Store, call_resumable, instantiate, parse, restore, save, validate
from engine.execution.build import Build
from engine.execution.fuel_models import MODELS, unit_model
from engine.features import EXECUTED
from engine.snapshot import Host, dumps, loads
from engine.types import I32, I64, FuncType
from generators.source import Source

TEXT = """(module (type $ask (func (param i32) (result i32))) (import "" "ask" (func $ask (type $ask)))
  (rec (type $s (struct (field $next (mut (ref null $s))) (field i8))))
  (type $bytes (array (mut i16))) (type $refs (array (mut anyref)))
  (tag $e (param i64)) (memory 1 3) (table $t 4 funcref) (elem $p func $f $g) (data $d "x")
  (global $num (mut i32) (i32.const 5)) (global $obj (mut (ref null $s)) (ref.null $s))
  (global $exn (mut exnref) (ref.null exn))
  (global $bytes (mut (ref null $bytes)) (array.new $bytes (i32.const 7) (i32.const 3)))
  (global $refs (ref $refs) (array.new $refs (ref.i31 (i32.const 9)) (i32.const 2)))
  (func $f (export "f") (param $n i32) (result i32) (local $x f64) (local $r (ref $s)) (local $a anyref)
    (local.set $r (struct.new $s (ref.null $s) (i32.const 300)))
    (struct.set $s $next (local.get $r) (local.get $r))
    (global.set $obj (local.get $r))
    (i32.store (i32.const 70000) (i32.const -1)) (local.get $n))
  (func $g (export "g") (param $n i32) (result i32) (local $x f64) (local $r (ref $s)) (local $a anyref)
    (local.set $r (struct.new $s (ref.null $s) (i32.const 300)))
    (struct.set $s $next (local.get $r) (local.get $r))
    (global.set $obj (local.get $r))
    (block $caught (result exnref)
      (try_table (catch_all_ref $caught) (throw $e (i64.const 3)))
      (unreachable))
    (global.set $exn)
    (i32.store (i32.const 60000) (i32.const -1))
    (i32.add (local.get $n) (call $h (i32.const 3) (i64.const 4))))
  (func $h (param i32 i64) (result i32) (i32.sub (i32.const 50) (call $ask (local.get 0)))))"""


def ask(caller, args):
    raise ValueError("not now")


HOSTS = {"ask": Host(FuncType((I32,), (I32,)), ask)}


@cache
def known():
    module = parse(TEXT, EXECUTED)
    validate(module, EXECUTED)
    return module


@cache
def text():
    store = Store(Config(fuel_model=MODELS["wasmtime", 50, ""]))
    host = store.alloc_host_func(*HOSTS["ask"])
    extern = store.alloc_extern("it")
    instance = instantiate(store, known(), [host])
    store.set_fuel(1000)
    call = call_resumable(store, instance.exports["g"], 1)
    return dumps(save(store, {host: "ask", extern: "it"}, {"c": call}, {"extern": extern}))


def refused(data, **given):
    with pytest.raises(SnapshotError) as caught:
        restore(data, [known()], **{"hosts": HOSTS, "externs": {"it": 1}} | given)
    return caught.value


def put(data, path, value):
    *way, last = path
    for key in way:
        data = data[key]
    data[last] = value


CALL = ("calls", "c")
FRAME = (*CALL, "frames", 0)
STORE = ("store",)

# Where to put what, the path of the error, and words of it.
CHANGES = [
    (("format",), "other", "", "not a snapshot"),
    (("version",), 2, "version", "version 2 is not 1"),
    (("version",), True, "version", "version True"),
    (("more",), 1, "", "unknown field 'more'"),
    (("modules", 0), "0" * 64, "modules[0]", "no module with SHA-256"),
    (("modules",), [], "store.tags[0][0]", "0 is not from 0 to -1"),
    (("limits", "max_depth"), 10_001, "limits.max_depth", "10001 is not from 0 to 10000"),
    (("limits", "max_instances"), 0, "", "it does not fit: heap exhausted"),
    (("fuel", "model"), "wasmtime 1", "fuel.model", "unknown fuel model 'wasmtime 1'"),
    (("fuel", "left"), 1 << 64, "fuel.left", "is not from"),
    (("fuel", "left"), -(1 << 90), "fuel.left", "is not from"),
    (("fuel", "reserve"), -1, "fuel.reserve", "is not from"),
    (("fuel", "interval"), 1 << 63, "fuel.interval", "is not from"),
    (("fuel", "interval"), 0, "fuel.interval", "is not from"),
    ((*STORE, "externs", 0), "that", "store.externs[0]", "no external value is named 'that'"),
    ((*STORE, "funcs", 0, "host"), "tell", "store.funcs[0].host", "no host function is named 'tell'"),
    ((*STORE, "funcs", 0, "type"), {"params": ["i32"], "results": []}, "store.funcs[0].type", "has another type"),
    ((*STORE, "funcs", 0, "type"), [0, 1], "store.funcs[0].type", "expected a function type"),
    ((*STORE, "funcs", 0, "type"), [0, 99], "store.funcs[0].type[1]", "99 is not from 0"),
    ((*STORE, "funcs", 1), {"host": "ask", "type": [0, 0]}, "store.funcs[2]", "the next function is number 1"),
    ((*STORE, "funcs"), [], "store.funcs", "function 1 of instance 0 is missing"),
    ((*STORE, "tags", 0), [0, 0], "store.objects[1].values[0]", "expected 8 hex digits"),
    ((*STORE, "mems", 0, "pages"), 1 << 40, "store.mems[0].pages", "is not from 0 to 65536"),
    ((*STORE, "mems", 0, "pages"), 4, "store.mems[0].max", "3 is not from 4"),
    ((*STORE, "mems", 0, "pages"), 0, "store.mems[0].data[0][0]", "is not from 0 to 0"),
    ((*STORE, "mems", 0, "max"), 2, "store.instances[0].mems[0]", "not what the module defines"),
    ((*STORE, "mems", 0, "page_bits"), 17, "store.mems[0].page_bits", "is not from 0 to 16"),
    ((*STORE, "mems", 0, "data", 0, 1), "AA==", "store.mems[0].data[0][1]", "the last not zero"),
    ((*STORE, "mems", 0, "data", 0, 1), "!", "store.mems[0].data[0][1]", "expected base64"),
    ((*STORE, "mems", 0, "data", 0, 0), 16, "store.mems[0].data[0][0]", "is not from"),
    ((*STORE, "tables", 0, "elems", 0, 0), 1 << 40, "store.tables[0].elems[0][0]", "is not from 1 to 10000000"),
    ((*STORE, "tables", 0, "elems", 0, 0), 3, "store.instances[0].tables[0]", "is not"),
    ((*STORE, "tables", 0, "elems", 0, 1), "o0", "store.tables[0].elems[0][1]", "o0 is no funcref"),
    ((*STORE, "tables", 0, "elems", 0, 1), "f99", "store.tables[0].elems[0][1]", "f99 where there are 4"),
    ((*STORE, "globals", 0, "value"), "5", "store.globals[0].value", "expected hex digits, 8 a number"),
    ((*STORE, "globals", 0, "value"), "0000000G", "store.globals[0].value", "expected hex digits"),
    ((*STORE, "globals", 0, "mutable"), False, "store.instances[0].globals[0]", "is not"),
    ((*STORE, "globals", 1, "value"), "i5", "store.globals[1].value", "i5 is no (ref null <struct>)"),
    ((*STORE, "globals", 1, "value"), "o01", "store.globals[1].value", "expected a reference"),
    ((*STORE, "globals", 4, "value"), None, "store.globals[4].value", "None is no (ref <array>)"),
    ((*STORE, "globals", 1, "type", "exact"), 0, "store.globals[1].type.exact", "expected true or false"),
    ((*STORE, "instances", 0, "funcs"), [], "store.instances[0].funcs", "0 addresses where there are 1"),
    ((*STORE, "instances", 0, "funcs", 0), 2, "", ""),  # a function of the module itself has that type too
    ((*STORE, "instances", 0, "funcs", 0), 3, "store.instances[0].funcs[0]", "is not"),
    ((*STORE, "instances", 0, "elems", 0), ["f1"], "store.instances[0].elems[0]", "1 references of 2"),
    ((*STORE, "instances", 0, "datas"), [], "store.instances[0].datas", "0 segments where there are 1"),
    ((*STORE, "objects", 0, "struct"), [0, 0], "store.objects[0].struct", "expected a structure type"),
    ((*STORE, "objects", 0, "fields", 1), "0001", "store.objects[0].fields[1]", "expected 2 hex digits"),
    ((*STORE, "objects", 0, "fields", 0), "o2", "store.objects[0].fields[0]", "o2 is no (ref null <struct>)"),
    ((*STORE, "objects", 0, "descriptor"), "o0", "store.objects[0].descriptor", "the type has no descriptor"),
    ((*STORE, "objects", 1, "values"), [], "store.objects[1].values", "0 values where there are 1"),
    ((*STORE, "objects", 2, "elems"), "12345", "store.objects[2].elems", "expected hex digits, 4 a number"),
    ((*STORE, "objects", 3, "elems", 0), "f0", "store.objects[3].elems[0]", "f0 is no anyref"),
    ((*STORE, "objects", 3, "elems", 0), "i2147483648", "store.objects[3].elems[0]", "is not from 0 to 2147483647"),
    ((*CALL, "frames"), [], "calls['c'].frames", "a call without frames"),
    ((*CALL, "paid"), 1, "calls['c'].paid", "nothing is charged there"),
    ((*CALL, "passed"), True, "calls['c'].passed", "nothing is checked there"),
    ((*CALL, "charge"), 5, "calls['c'].charge", "nothing is weighed there"),
    ((*CALL, "required"), -1, "calls['c'].required", "is not from"),
    ((*CALL, "failed", "host"), "f1", "calls['c'].failed.host", "'f1' is no function of the host"),
    ((*CALL, "failed"), None, "calls['c'].frames[1].waits", "only the last frame does not wait"),
    ((*CALL, "answer"), ["00000000"], "calls['c'].failed", "a failure that is answered"),
    ((*FRAME, "func"), "f0", "calls['c'].frames[0].func", "is no function of the store"),
    ((*FRAME, "func"), "f3", "calls['c'].frames[0].at", "is not from"),
    ((*FRAME, "at"), 1, "calls['c'].frames[0].at", "nothing is called at instruction 1"),
    ((*FRAME, "at"), 10**9, "calls['c'].frames[0].at", "is not from"),
    ((*FRAME, "start"), "loop", "calls['c'].frames[0].at", "nothing is called"),
    ((*FRAME, "start"), "later", "calls['c'].frames[0].start", "unknown start 'later'"),
    ((*FRAME, "waits"), False, "calls['c'].frames[0].waits", "only the last frame does not wait"),
    ((*FRAME, "kept"), {"left": 1.5, "lost": True}, "calls['c'].frames[0].kept.left", "expected an integer"),
    ((*FRAME, "locals"), [], "calls['c'].frames[0].locals", "0 values where there are 4"),
    ((*FRAME, "locals", 0), "0", "calls['c'].frames[0].locals[0]", "expected hex digits"),
    ((*FRAME, "locals", 2), "o1", "calls['c'].frames[0].locals[2]", "o1 is no"),
    ((*FRAME, "operands"), [], "calls['c'].frames[0].operands", "0 values where there are 1"),
    ((*FRAME, "operands", 0), None, "calls['c'].frames[0].operands[0]", "expected a string"),
    (("values", "extern"), "x1", "values['extern']", "x1 where there are 1"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "where", "words"), CHANGES)
def test_what_does_not_fit_is_refused_with_the_path_to_it(path, value, where, words):
    data = loads(text())
    put(data, path, value)
    if not words:
        restore(data, [known()], HOSTS, {"it": 1})
        return
    error = refused(data)
    assert (error.path, words in str(error)) == (where, True), str(error)


def test_unchanged_it_is_accepted():
    assert restore(loads(text()), [known()], HOSTS, {"it": 1}).calls["c"].host_func.addr == 0


def test_frames_must_return_what_is_waited_for():
    data = loads(text())
    frames = data["calls"]["c"]["frames"]
    data["calls"]["c"]["frames"] = [frames[1], frames[0]]
    restored = restore(data, [known()], HOSTS, {"it": 1})  # strange, but of the right types
    assert len(restored.calls["c"].activation.frames) == 2
    data["calls"]["c"]["failed"]["host"] = "f0"
    other = {"ask": Host(FuncType((I32,), (I64,)), ask)}
    data["store"]["funcs"][0]["type"] = {"params": ["i32"], "results": ["i64"]}
    assert refused(data, hosts=other).path == "store.instances[0].funcs[0]"


@pytest.mark.parametrize("bad", [
    "", "{", "[1,", '{"a":1,"a":2}', "1e5", "NaN", "1" * 5000, "[" * 100_000, '{"format":1.0}', b"\xff\xfe{}",
])  # fmt: skip
def test_what_is_no_text_of_a_snapshot_is_refused(bad):
    with pytest.raises(SnapshotError):
        restore(loads(bad), [])


@pytest.mark.parametrize(
    "data", [None, [], 1, "x", {}, {"format": "wasm-store"}, {"format": "wasm-store", "version": 1}]
)
def test_data_of_any_kind_is_refused(data):
    assert refused(data).message


def test_broken_texts_are_refused_or_read():
    whole = text()
    source = Source.fresh("texts")
    words = set()
    for _ in range(300):
        i = source.below(len(whole))
        broken = (
            whole[:i] + source.choose(("", '"', "{", "]", "9", "-", "null", "\\", "\0")) + whole[i + source.below(3) :]
        )
        try:
            restore(loads(broken), [known()], HOSTS, {"it": 1})
            words.add("read")
        except SnapshotError as e:
            words.add("refused" if e.path else "broken")
    assert words == {"read", "refused", "broken"}


def test_a_text_that_is_too_long_is_not_read():
    with pytest.raises(SnapshotError, match="more than 10 bytes"):
        loads(text(), max_bytes=10)


def test_what_a_few_bytes_ask_for_is_bounded():
    data = loads(text())
    data["store"]["tables"] += [{"addr": "i32", "type": {"null": True, "heap": "func", "exact": False}, "max": None,
                                 "elems": [[10_000_000, None]]}] * 1000  # fmt: skip
    assert "too large" in refused(data, max_items=1 << 20).message
    data = loads(text())
    data["calls"] = {str(n): data["calls"]["c"] for n in range(1000)}
    assert "too much memory" in refused(data, max_items=10_000).message
    data = loads(text())
    deep = "i32"
    for _ in range(100):
        deep = {"null": True, "heap": {"params": [deep], "results": []}, "exact": False}
    data["store"]["globals"][0]["type"] = deep
    assert "too deep" in refused(data).message
    data = loads(text())
    data["store"]["objects"] += [{"array": [0, 2], "elems": "0000" * 2_000_000}] * 10
    assert "larger than the heap" in refused(data).message


def test_limits_and_the_fuel_model_are_those_of_the_snapshot_within_those_of_the_host():
    assert refused(loads(text()), config=Config(max_depth=100)).path == "limits.max_depth"
    assert refused(loads(text()), config=Config(fuel_model=unit_model())).path == "fuel.model"
    config = Config(max_depth=20_000, build=Build(fold=False))
    found = restore(loads(text()), [known()], HOSTS, {"it": 1}, config).store.config
    assert (found.max_depth, found.build, str(found.fuel_model)) == (10_000, config.build, "wasmtime 50")


def test_what_has_no_name_or_is_under_way_cannot_be_saved():
    store = Store()
    host = store.alloc_host_func(*HOSTS["ask"])
    with pytest.raises(SnapshotError, match=r"store\.funcs\[0\]: .* has no name"):
        save(store)
    inner: list[SnapshotError] = []

    def during(caller, args):
        with pytest.raises(SnapshotError) as caught:
            save(caller.store, {host: "ask"})
        inner.append(caught.value)
        return [0]

    host.call = during
    instance = instantiate(store, known(), [host])
    call_resumable(store, instance.exports["g"], 1)
    assert "under way" in inner[0].message
    other = Store()
    other.alloc_host_func(*HOSTS["ask"])
    stranger = call_resumable(other, instantiate(other, known(), other.funcs[:1]).exports["g"], 1)
    with pytest.raises(SnapshotError, match="another store"):
        save(store, {host: "ask"}, {"c": stranger})
    with pytest.raises(SnapshotError, match="not one of this engine's"):
        save(Store(Config(fuel_model=unit_model(7))))


def test_mutants_are_refused_or_run():
    tally = pool.run_chunk(snapshots.GATE, seed=1, start=0, end=1500, limit_s=5)
    assert tally.failures == []
    assert tally.counts["accepted"] > 20
    assert len(tally.counts) > 8


def test_mutants_would_notice_a_value_of_the_wrong_type(monkeypatch):
    monkeypatch.setattr("engine.snapshot.values.fits", lambda v, t: True)
    assert pool.run_chunk(snapshots.GATE, seed=1, start=0, end=1500, limit_s=5).failures


def test_a_mutant_depends_on_seed_and_index_alone():
    some = [snapshots.mutant(3, i) for i in range(20)]
    assert [snapshots.mutant(3, i) for i in reversed(range(20))] == some[::-1]
    assert json.loads(some[0])["seed"] == 3
