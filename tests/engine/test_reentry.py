"""Host functions between activations: what they leave behind when they raise."""

from __future__ import annotations

import _thread
import json
import signal
import subprocess
import sys
import threading
import time
from contextvars import ContextVar
from pathlib import Path

import pytest

from engine import Config, EngineBug, ExhaustionError, Store, Trap, TrapKind, instantiate, invoke
from engine.execution.build import Build
from engine.execution.stacks import PER_STACK
from engine.runtime.store import MAX_ACTIVATIONS
from engine.types import FuncType
from oracles.adapters.reference import ReferenceAdapter
from oracles.plan import Plan
from oracles.side import candidates
from tests.support.wasm import call, wat

ROOT = Path(__file__).resolve().parents[2]
CALLER = '(import "h" "h" (func $h)) (func (export "f") (drop (i32.const 1)) (call $h))'


@pytest.mark.parametrize("error", [Trap(TrapKind.HOST), KeyError("of the host")])
def test_fuel_spent_before_a_host_function_raised_stays_spent(error):
    store = Store()

    def host(caller, args):
        assert caller.store.fuel_left == 1000 - 3
        raise error

    i = instantiate(store, wat(CALLER), [store.alloc_host_func(FuncType((), ()), host)])
    store.fuel_left = 1000
    with pytest.raises(type(error)):
        call(i, "f")
    assert store.fuel_left == 1000 - 3


def test_fuel_spent_inside_a_host_function_that_raised_stays_spent():
    store = Store()
    inner = instantiate(store, wat('(func (export "f") (drop (i32.const 1)) (unreachable))'))

    def host(caller, args):
        return invoke(store, inner.exports["f"], ())

    i = instantiate(store, wat(CALLER), [store.alloc_host_func(FuncType((), ()), host)])
    store.fuel_left = 1000
    with pytest.raises(Trap):
        call(i, "f")
    spent = 1000 - store.fuel_left
    with pytest.raises(Trap):
        call(inner, "f")
    assert spent == 3 + (1000 - spent - store.fuel_left)
    assert store.depth == store.activations == 0


DEEP = {"plain": [1000, MAX_ACTIVATIONS], "c": [1000, MAX_ACTIVATIONS], "python": [1000, MAX_ACTIVATIONS],
        "thread": [1000]}  # fmt: skip


def deep(python):
    """Return what ``tests.support.deep`` found; a process of its own, because it may end it."""
    done = subprocess.run([python, "-m", "tests.support.deep"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_explicit_limit_of_activations_is_the_one_that_counts():
    assert deep(sys.executable) == DEEP


def runs(python):
    """Tell a real interpreter from the shim of a version manager."""
    return subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0


@pytest.mark.external
def test_the_limit_is_the_same_on_every_version_of_the_interpreter():
    found = (next(filter(runs, candidates((3, minor))), None) for minor in range(11, 15))
    pythons = [python for python in found if python is not None]
    assert len(pythons) > 1
    for python in pythons:
        assert deep(python) == DEEP, python


def nested(depth, bottom, **config):
    """Return an instance whose ``f`` nests that many activations, in the innermost of which the host calls bottom."""
    store = Store(Config(checks=True, **config))

    def host(caller, args):
        if store.activations == depth:
            bottom()
        else:
            invoke(store, i.exports["f"], ())
        return ()

    i = instantiate(store, wat(CALLER), [store.alloc_host_func(FuncType((), ()), host)])
    return i


@pytest.mark.parametrize(("depth", "same"), [(1, True), (PER_STACK, True), (PER_STACK + 1, False), (350, False)])
def test_calls_go_on_in_a_thread_of_their_own_once_they_nest_deep(depth, same):
    seen = []
    variable = ContextVar("variable", default=0)
    variable.set(5)
    i = nested(depth, lambda: seen.append((threading.get_ident(), variable.get())))
    call(i, "f")
    assert [(ident == threading.get_ident(), value) for ident, value in seen] == [(same, 5)]


@pytest.mark.parametrize("depth", [5, 350])
@pytest.mark.parametrize("error", [KeyError("mine"), Trap(TrapKind.HOST)])
def test_what_is_raised_deep_inside_leaves_everything_as_it_was(depth, error):
    def bottom():
        raise error

    i = nested(depth, bottom)
    limit, stack = sys.getrecursionlimit(), threading.stack_size()
    for _ in range(2):
        with pytest.raises(type(error)) as caught:
            call(i, "f")
        assert caught.value is error
        assert (i.store.depth, i.store.activations) == (0, 0)
    # others rely on it: a JSON decoder met with a deep document would end the process
    assert (sys.getrecursionlimit(), threading.stack_size()) == (limit, stack)
    assert threading.active_count() == 1


@pytest.fixture
def interruptible():
    """Handle interrupts as Python does, also where whoever started the tests ignores them."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_reaches_the_innermost_call_however_deep():
    ended = []

    def bottom():
        _thread.interrupt_main()
        try:
            while True:
                time.sleep(0.001)
        except KeyboardInterrupt:
            ended.append(threading.get_ident())
            raise

    i = nested(350, bottom)
    with pytest.raises(KeyboardInterrupt):
        call(i, "f")
    assert len(ended) == 1
    assert (i.store.depth, i.store.activations) == (0, 0)


def test_each_host_function_may_catch_what_those_inside_raise():
    store = Store(Config(checks=True, max_activations=300))
    caught = []

    def host(caller, args):
        try:
            invoke(store, i.exports["f"], ())
        except ExhaustionError:
            caught.append(store.activations)
            if store.activations % 3:
                raise
        return ()

    i = instantiate(store, wat(CALLER), [store.alloc_host_func(FuncType((), ()), host)])
    call(i, "f")
    assert caught == [300]  # divisible: the rest has returned


def test_what_does_not_unwind_is_found_by_the_checks():
    """A check is tried on a planted error: a host function that leaves traces in the store."""

    def spoil():
        i.store.activations += 1

    i = nested(2, spoil)
    with pytest.raises(EngineBug, match="entered at activation 1 and depth 1, left at 2"):
        call(i, "f")
    assert (i.store.depth, i.store.activations) == (0, 0)


def test_more_activations_than_the_interpreter_can_bear_are_refused():
    with pytest.raises(ValueError, match="at most"):
        Config(max_activations=MAX_ACTIVATIONS + 1)


def test_the_reference_oracle_runs_with_the_checks():
    assert ReferenceAdapter().open(Plan(())).store.config.checks


INSIDE = """(import "h" "h" (func $h)) (memory 1 9) (table 1 9 funcref) (global $g (mut i32) (i32.const 5))
  (func (export "f") (param $x i32) (result i32 i32 i32 i32 i32 i32 i32 i32 i32)
    (local.get $x) (global.get $g) (i32.load (i32.const 0)) (memory.size) (table.size)
    (call $h)
    (global.get $g) (i32.load (i32.const 65536)) (memory.size) (table.size))
  (func (export "change") (param $x i32)
    (global.set $g (i32.const 6)) (drop (memory.grow (i32.const 1))) (i32.store (i32.const 0) (i32.const 8))
    (i32.store (i32.const 65536) (i32.const 7)) (drop (table.grow (ref.null func) (i32.const 2)))
    (local.set $x (i32.const 99)))
  (func (export "change and trap") (call 2 (i32.const 3)) unreachable)"""


@pytest.mark.parametrize("inner", ["change", "change and trap"])
@pytest.mark.parametrize(
    "config", [{}, {"build": Build(fold=False)}, {"guest_debug": True}], ids=["ordinary", "unfolded", "debugged"]
)
def test_the_caller_sees_what_changed_inside_and_keeps_what_it_had(inner, config):
    store = Store(Config(checks=True, **config))

    def host(caller, args):
        if inner == "change":
            invoke(store, i.exports[inner], (4,))
        else:
            with pytest.raises(Trap):
                invoke(store, i.exports[inner], ())
        return ()

    i = instantiate(store, wat(INSIDE), [store.alloc_host_func(FuncType((), ()), host)])
    assert invoke(store, i.exports["f"], (3,)) == [3, 5, 0, 1, 1, 6, 7, 2, 3]
    assert store.vm_state() == (0, 0, 0, None)
