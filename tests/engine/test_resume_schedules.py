"""Calls in any order and any nesting: begun, resumed, stepped and dropped by host functions of other calls.

What a call returns follows from its arguments alone, so whatever happens in between must not show.
"""

from __future__ import annotations

import random
from collections import Counter

import pytest

from engine import Config, ExhaustionError, Finished, HostTrap, OutOfFuel, Store, instantiate, invoke
from engine.debug import Stepper
from engine.execution.fuel_models import MODELS, fuel_model
from engine.types import I32, FuncType
from tests.support.wasm import wat

# Of each depth from 0 to n the square and what the host gives; some of the calls go through a table or replace a frame.
TEXT = """(module (import "" "h" (func $h (param i32 i32) (result i32))) (memory 1) (tag $t (param i32))
  (type $down (func (param i32 i32) (result i32))) (table 1 funcref) (elem (i32.const 0) $down)
  (func $ask (param $n i32) (param $id i32) (result i32) (return_call $h (local.get $n) (local.get $id)))
  (func $down (export "down") (param $n i32) (param $id i32) (result i32) (local $mine i32) (local $keep i64)
    (local.set $keep (i64.extend_i32_u (local.get $id)))
    (local.set $mine (i32.mul (local.get $n) (local.get $n)))
    (if (local.get $n) (then (local.set $mine (i32.add (local.get $mine)
      (call_indirect (type $down) (i32.sub (local.get $n) (i32.const 1)) (local.get $id) (i32.const 0))))))
    (local.set $mine (i32.add (local.get $mine) (if (result i32) (i32.and (local.get $n) (i32.const 1))
      (then (call $ask (local.get $n) (local.get $id)))
      (else (block $b (result i32) (try_table (catch $t $b) (throw $t (call $h (local.get $n) (local.get $id))))
        unreachable)))))
    (memory.fill (i32.const 0) (local.get $n) (i32.const 100))
    (loop $l (br_if $l (i32.and (local.tee $n (i32.sub (local.get $n) (i32.const 1))) (i32.const 7))))
    (i32.add (local.get $mine) (i32.sub (i32.wrap_i64 (local.get $keep)) (local.get $id)))))"""


LIMITS = {"max_activations": 5, "max_depth": 25}


class Stop(Exception):
    """The host does not answer now."""


class Schedule:
    """A store whose host does anything with any call, by chance."""

    def __init__(self, seed, **config):
        self.rng = random.Random(seed)
        self.store = Store(Config(checks=True, **config))
        functype = FuncType((I32, I32), (I32,))
        self.instance = instantiate(self.store, wat(TEXT), [self.store.alloc_host_func(functype, self.host)])
        self.down = self.instance.exports["down"]
        self.pool = []  # (arguments, handle or stepper)
        self.actions = [self.begin, self.begin, self.go_on, self.go_on, self.call, self.drop, self.refuel]
        if self.store.debugger is not None:
            self.actions += [self.begin_stepping, self.step, self.look, self.turn]
            self.store.set_debug_handler(self.told)
        self.left = 150
        self.counts = Counter()

    def host(self, caller, args):
        before = self.store.vm_state()[:3]
        while self.left > 0 and self.rng.random() < 0.5:
            self.act()
            assert self.store.vm_state()[:3] == before
        if self.left > 0 and self.rng.random() < 0.4:
            raise Stop
        return [sum(args) % 2**32]

    def told(self, store, event):
        """Do anything in the middle of an instruction, too."""
        before = store.vm_state()[:3]
        self.counts[type(event).__name__] += 1
        if self.left > 0 and self.rng.random() < 0.1:
            try:
                self.act()
            except ExhaustionError:  # of activations, by a call that nobody has begun yet or any more
                self.counts["failed handlers"] += 1
        assert store.vm_state()[:3] == before

    def act(self):
        self.left -= 1
        action = self.rng.choice(self.actions)
        self.counts[action.__name__] += 1
        action()

    def args(self):
        return self.rng.randrange(6), self.rng.randrange(100)

    def check(self, args, results):
        depth, ident = args
        assert list(results) == [sum(n * n + n + ident for n in range(depth + 1))]
        self.counts["results"] += 1

    def keep(self, args, call):
        """Take what came of a call."""
        self.counts[type(call).__name__] += 1
        if isinstance(call, Finished):
            self.check(args, call.results)
        else:
            self.pool.append((args, call))

    def take(self, kind):
        """Return a call of a kind that nobody else has any more, or None."""
        found = [n for n, (_, call) in enumerate(self.pool) if isinstance(call, Stepper) == (kind is Stepper)]
        return self.pool.pop(self.rng.choice(found)) if found else None

    def begin(self):
        args = self.args()
        self.keep(args, self.down.call_resumable(self.store, *args))

    def go_on(self):
        taken = self.take(object)
        if taken is None:
            return
        args, call = taken
        values = []
        if isinstance(call, HostTrap):
            self.counts[type(call.host_error).__name__] += 1
            values = [self.answer(call)]
        if isinstance(call, OutOfFuel) and self.store.fuel is not None:
            self.store.add_fuel(call.required_fuel)
        self.keep(args, call.resume(self.store, *values))

    def answer(self, call):
        """Return what the function of the host would have: the outermost on the traceback, which has its arguments."""
        trace = call.host_error.__traceback__
        while trace.tb_frame.f_code is not Schedule.host.__code__:
            trace = trace.tb_next
        return sum(trace.tb_frame.f_locals["args"]) % 2**32

    def call(self):
        args = self.args()
        try:
            self.check(args, invoke(self.store, self.down, args))
        except (Stop, ExhaustionError) as error:
            self.counts[f"{type(error).__name__} of an ordinary call"] += 1

    def drop(self):
        taken = self.take(object)
        if taken is not None and self.rng.random() < 0.5:
            taken[1].close()

    def refuel(self):
        self.store.set_fuel_interval(self.rng.choice([None, 1, 7, 50]))
        self.store.set_fuel(self.rng.choice([None, 0, 30, 1000, 100_000]))

    def begin_stepping(self):
        args = self.args()
        self.pool.append((args, Stepper(self.store, self.down, args)))

    def step(self):
        taken = self.take(Stepper)
        if taken is None:
            return
        args, call = taken
        try:
            for _ in range(self.rng.randrange(60)):
                if not call.step():
                    self.check(args, call.results)
                    return
        except Stop:
            assert call.done
        except ExhaustionError:  # that stops it, or that the host failed with
            self.counts["stepper over" if call.done else "stepper waits"] += 1
        if not call.done:
            self.pool.append((args, call))

    def turn(self):
        """Begin or end to be told of every instruction."""
        self.store.debugger.single_step = self.rng.random() < 0.3

    def look(self):
        cursor = self.store.debug_frames()
        while not cursor.done():
            assert cursor.function().module is self.instance
            cursor.move_to_parent()

    def play(self):
        """Do something until all is used up, then bring every call to its end."""
        while self.left > 0:
            self.act()
        self.store.set_fuel_interval(None)
        self.store.set_fuel(None)
        while self.pool:
            args, call = self.pool.pop(self.rng.randrange(len(self.pool)))
            if isinstance(call, Stepper):
                assert not call.go()
                self.check(args, call.results)
            else:
                self.pool.append((args, call))
                self.go_on()
        assert self.store.vm_state() == (0, 0, 0, None)


@pytest.mark.parametrize("debugged", [False, True])
@pytest.mark.parametrize("model", [fuel_model("unit"), fuel_model("wasmtime", 50), fuel_model("wasmi", 2)], ids=str)
def test_no_order_and_no_nesting_shows_in_what_calls_return(model, debugged):
    counts = Counter()
    for seed in range(25):
        schedule = Schedule(seed, fuel_model=model, guest_debug=debugged, **LIMITS)
        schedule.play()
        counts += schedule.counts
    if debugged:
        assert {"HostcallError", "CaughtExceptionThrown", "Trap", "Step", "stepper waits"} <= counts.keys()
    ends = {"results", "HostTrap", "OutOfFuel", "Yielded", "Finished", "Stop", "ExhaustionError"}
    assert all(counts[what] > 2 for what in ends), counts


@pytest.mark.slow
@pytest.mark.parametrize("debugged", [False, True])
@pytest.mark.parametrize("model", MODELS.values(), ids=str)
def test_no_order_and_no_nesting_shows_in_many_schedules(model, debugged):
    for seed in range(1000, 1300):
        Schedule(seed, fuel_model=model, guest_debug=debugged, **LIMITS).play()
