"""Interrupts in the middle of lowering: the function is as good as before, also to calls that wait in it.

Bodies are lowered while they run, as control comes to their parts, so whatever can happen to running code, an interrupt
or the end of the interpreter's stack, can happen half-way through that.
"""

from __future__ import annotations

import sys

import pytest

from engine import Config, ExhaustionError, Finished, HostTrap, Store, instantiate, invoke
from engine.execution.build import Build
from engine.execution.fuel_models import fuel_model
from engine.types import I32, FuncType
from tests.support.wasm import wat

# What comes behind the call of the host is lowered when it has returned: constructs of all kinds.
TEXT = """(module (import "" "h" (func $h (param i32) (result i32))) (memory 1) (tag $t (param i32)) (table 4 funcref)
  (type $v (func (param i32) (result i32))) (elem (i32.const 0) $twice)
  (func $twice (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2)))
  (func (export "f") (param $x i32) (result i32) (local $i i32) (local $sum i64)
    (i32.add (local.get $x) (i32.const 1))
    (local.set $x (call $h (local.get $x)))
    (local.set $i (i32.const 3))
    (loop $l
      (local.set $sum (i64.add (local.get $sum)
        (i64.extend_i32_u (call_indirect (type $v) (local.get $i) (i32.const 0)))))
      (block $b (result i32)
        (try_table (catch $t $b) (throw $t (i32.add (local.get $i) (i32.const 5))))
        unreachable)
      (memory.fill (i32.const 0) (local.get $i) (i32.const 300))
      (if (i32.and (local.get $i) (i32.const 1))
        (then (i32.store (i32.const 400) (i32.add (i32.load8_u (i32.const 299)) (i32.load (i32.const 400)))))
        (else (block $y (block $z (br_table $z $y (local.get $i))) (local.set $x (i32.const 0)))))
      drop
      (br_if $l (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))
    (i32.add (i32.add (i32.wrap_i64 (local.get $sum)) (local.get $x)))
    (i32.add (i32.load (i32.const 400)))))"""
LOWERING = {f"engine.execution.{name}" for name in (
    "lower", "rules", "control_rules", "call_rules", "bulk_rules", "exception_rules", "closures", "constness", "fuel",
    "labels", "sight", "ssa", "stacks", "steps", "translation")}  # fmt: skip
EVERY = 11  # lines


class Interrupt(BaseException):
    """Not an Exception, as those of the process are not."""


class Stop(Exception):
    pass


def interrupted(n, run, *args):
    """Call with an interrupt at the n-th line of lowering, and return whether there was one."""
    lines = 0

    def trace(frame, event, arg):
        nonlocal lines
        if frame.f_globals.get("__name__") not in LOWERING:
            return None
        if event == "line":
            lines += 1
            if lines == n:
                raise Interrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        run(*args)
    except Interrupt:
        return True
    finally:
        sys.settrace(before)
    return False


def setup(config):
    def host(caller, args):
        if stops:
            raise Stop
        return [args[0] + 10]

    stops = []
    store = Store(Config(checks=True, **config))
    i = instantiate(store, wat(TEXT), [store.alloc_host_func(FuncType((I32,), (I32,)), host)])
    return store, i, stops


CONFIGS = {
    "ordinary": {},
    "unfolded": {"build": Build(fold=False)},
    "debugged": {"guest_debug": True},
    "wasmtime": {"fuel_model": fuel_model("wasmtime", 50)},
    "wasmtime 36": {"fuel_model": fuel_model("wasmtime", 36)},
    "wasmi": {"fuel_model": fuel_model("wasmi", 2)},
}


@pytest.mark.parametrize("config", CONFIGS)
def test_an_interrupt_while_a_body_is_lowered_does_no_harm_to_it(config):
    config = CONFIGS[config]
    store, i, _ = setup(config)
    store.set_fuel(10_000)
    expected = [invoke(store, i.exports["f"], (4,)) for _ in range(3)]
    spent = 10_000 - store.fuel
    times = 0
    for n in range(1, 100_000, EVERY):
        store, i, _ = setup(config)
        if not interrupted(n, invoke, store, i.exports["f"], (4,)):
            break
        times += 1
        assert store.vm_state() == (0, 0, 0, None)
        i.mems[0].data[400:404] = bytes(4)
        store.set_fuel(10_000)
        assert [invoke(store, i.exports["f"], (4,)) for _ in range(3)] == expected, n
        assert 10_000 - store.fuel == spent, n
    assert times > 20


@pytest.mark.parametrize("config", CONFIGS)
def test_calls_that_stand_before_what_was_to_be_lowered_go_on(config):
    config = CONFIGS[config]

    def started():
        """Return a call that goes on, and others that stand at the same place."""
        store, i, stops = setup(config)
        store.set_fuel(10_000)
        stops.append(True)
        calls = [i.exports["f"].call_resumable(store, 4) for _ in range(3)]
        assert all(isinstance(call, HostTrap) for call in calls)
        stops.clear()
        return store, i, calls

    store, i, calls = started()
    expected = calls[0].resume(store, 14)
    assert isinstance(expected, Finished)
    times = 0
    for n in range(1, 100_000, EVERY):
        store, i, (first, second, third) = started()
        if not interrupted(n, first.resume, store, 14):
            break
        times += 1
        for call in (second, third):
            i.mems[0].data[400:404] = bytes(4)
            assert call.resume(store, 14) == expected, n
        assert store.vm_state()[:3] == (0, 0, 0)
    assert times > 20


@pytest.mark.parametrize("debugged", [False, True])
def test_the_end_of_the_stack_of_python_does_no_harm_to_a_body(debugged):
    def at(depth, call):
        return at(depth - 1, call) if depth else call()

    def frames():
        frame, n = sys._getframe(), 0
        while frame is not None:
            frame, n = frame.f_back, n + 1
        return n

    def call():
        return invoke(store, i.exports["f"], (4,))

    store, i, _ = setup({})
    expected = call()
    ends = {False: 0, True: 0}
    most = sys.getrecursionlimit() - frames()
    for left in range(60):
        store, i, _ = setup({"guest_debug": debugged})
        try:
            at(most - left, call)
            ends[True] += 1
        except (RecursionError, ExhaustionError):
            ends[False] += 1
        assert store.vm_state()[:3] == (0, 0, 0)
        i.mems[0].data[400:404] = bytes(4)
        assert call() == expected
    assert min(ends.values()) > 10
