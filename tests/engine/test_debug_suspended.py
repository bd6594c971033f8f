"""Calls that are suspended, saved and restored in stores with a debugger: as in any other store."""

from __future__ import annotations

import pytest

from engine import Store, Trap, instantiate
from engine.debug import CursorError
from engine.execution.fuel import Bulk
from engine.execution.fuel_models import MODELS
from engine.resume import Finished, HostTrap, OutOfFuel, Yielded, call_resumable
from engine.runtime.store import Config
from engine.snapshot import restore, save
from engine.types import I32, FuncType
from tests.support.wasm import wat

TEXT = """(import "" "host" (func $host (param i32) (result i32))) (tag $t (param i64)) (memory 1)
  (func (export "main") (param i32) (result i32 i64) (local i32)
    (i32.const 7)
    (loop (param i32) (result i32)
      (i32.add (call $f (local.get 0)) (local.set 1 (i32.const 3)))
      (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (block $b (result i64) (try_table (result i64) (catch $t $b) (throw $t (i64.const 9)))))
  (func $f (param i32) (result i32)
    (memory.fill (i32.const 0) (i32.const 1) (i32.const 200))
    (i32.add (call $host (local.get 0)) (i32.load (local.get 0))))
  (func (export "traps") (param i32) (result i32)
    (i32.add (call $host (local.get 0)) (i32.div_u (i32.const 5) (local.get 0))))"""
TEXT = TEXT.replace("(i32.add (call $f (local.get 0)) (local.set 1 (i32.const 3)))",
                    "(local.set 1 (i32.const 3)) (call $f (local.get 0)) (i32.add)")  # fmt: skip


class HostPause(Exception):
    pass


def host(caller, args):
    frames = caller.store.debug_frames()
    if frames is not None:
        assert frames.instruction().row.name == "call"
        assert frames.stack(frames.num_stacks() - 1).value == args[0]
    raise HostPause


def run(name, args, model, debuggers, interval, saves):
    """Run to the end, in a store with or without a debugger each time, and return how it went."""
    module = wat(TEXT)
    turn = iter(debuggers)
    store = Store(Config(guest_debug=next(turn), fuel_model=model))
    func = store.alloc_host_func(FuncType((I32,), (I32,)), host)
    instance = instantiate(store, module, [func])
    store.set_fuel(100_000)
    store.set_fuel_interval(interval)
    trail = []
    try:
        reached = call_resumable(store, instance.exports[name], *args)
        while not isinstance(reached, Finished):
            trail.append((type(reached), store.fuel_left, bytes(store.mems[0].data[:4])))
            if saves:
                data = save(store, {func: "host"}, {"it": reached})
                restored = restore(
                    data, [module], {"host": (func.functype, host)}, config=Config(guest_debug=next(turn))
                )
                store, reached = restored.store, restored.calls["it"]
                func = next(f for f in store.funcs if getattr(f, "call", None) is host)
            reached = reached.resume(store, *([11] if isinstance(reached, HostTrap) else []))
        return trail, reached.results, store.fuel_left
    except Trap as trap:
        return trail, trap.kind, trap.where, store.fuel_left


@pytest.mark.parametrize("model", MODELS.values(), ids=str)
@pytest.mark.parametrize(("name", "arg"), [("main", 4), ("traps", 0), ("traps", 2)])
@pytest.mark.parametrize("interval", [None, 9])
def test_calls_pause_and_go_on_alike(model, name, arg, interval):
    plain = run(name, (arg,), model, [False], interval, saves=False)
    assert run(name, (arg,), model, [True], interval, saves=False) == plain
    if name == "main" and interval:
        assert {kind for kind, *_ in plain[0]} == {Yielded, HostTrap}


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize(("name", "arg"), [("main", 4), ("traps", 0), ("traps", 2)])
@pytest.mark.parametrize("model", [m for m in MODELS.values() if m.bulk is not Bulk.BEFORE], ids=str)
def test_calls_are_saved_and_restored_with_and_without_a_debugger(model, name, arg, first):
    plain = run(name, (arg,), model, [False] * 200, 9, saves=True)
    for pattern in ([True], [False, True], [True, False, False]):
        assert run(name, (arg,), model, [first, *(pattern * 200)], 9, saves=True) == plain


STOPS = {"host": (HostTrap, 100, None), "fuel": (OutOfFuel, 6, None), "interval": (Yielded, 100, 6)}


@pytest.mark.parametrize("stop", STOPS)
def test_a_suspended_call_shows_its_frames(stop):
    def raises(caller, args):
        raise KeyError

    def walk(pc_mode):
        cursor, frames = store.debugger.frames_of(call.activation, pc_mode), []
        while not cursor.done():
            locals_ = [cursor.local(i).value for i in range(cursor.num_locals())]
            operands = [cursor.stack(i).value for i in range(cursor.num_stacks())]
            frames.append((cursor.function_index_and_pc(), locals_, operands))
            cursor.move_to_parent()
        return frames

    text = """(module (import "" "host" (func $host))
      (func (export "main") (param i32) (local i64) (local.set 1 (i64.const 3)) (i32.const 4) (call $f) (drop))
      (func $f (local f32) (f32.const 2) (drop) (loop (call $host))))"""
    store = Store(Config(guest_debug=True))
    instance = instantiate(store, wat(text), [store.alloc_host_func(FuncType((), ()), raises)])
    main, f = (func.code.body for func in instance.funcs[1:])
    kind, fuel, interval = STOPS[stop]
    store.set_fuel_interval(interval)
    store.set_fuel(fuel)
    call = instance.exports["main"].call_resumable(store, 8)
    assert type(call) is kind
    assert walk("call") == [((1, f[3].offset), [0.0], []), ((0, main[3].offset), [8, 3], [4])]
    waits = f[4] if stop == "host" else f[3]
    assert walk("return") == [((1, waits.offset), [0.0], []), ((0, main[4].offset), [8, 3], [4])]
    cursor = store.debugger.frames_of(call.activation)
    call.resume(store)
    with pytest.raises(CursorError, match="went on"):
        cursor.num_locals()
