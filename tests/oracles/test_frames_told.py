"""Frames of a trap that comes out of a host function, as both engines tell them: of all activations, and no others."""

from __future__ import annotations

import pytest

from oracles.adapter import load
from oracles.outcome import Trapped
from oracles.plan import HOST, HostFunc, Plan, Step
from tests.support.wasm import wasm

# The host calls ``traps``.  A frame that calls the host in its own place is gone by then.
TEXT = """(module (import "env" "h" (func $h)) (type $v (func)) (table 1 funcref) (elem (i32.const 0) $h)
  (elem declare func $h)
  (func (export "traps") (call $t)) (func $t unreachable)
  (func (export "plain") (call $f)) (func $f (call $h) nop)
  (func (export "tail") (call $g)) (func $g (return_call $h))
  (func (export "tail in a table") (call $i)) (func $i (return_call_indirect (type $v) (i32.const 0)))
  (func (export "tail by reference") (call $r)) (func $r (return_call_ref $v (ref.func $h)))
  (func (export "outermost tail") (return_call $h)))"""
CALLS = {"plain": [4, 3], "tail": [5], "tail in a table": [7], "tail by reference": [9], "outermost tail": []}
SLICES = Step("set_fuel", {"fuel": 100_000}), Step("yield_schedule", {"intervals": [1]})


def frames(oracle, export, sliced):
    """Return the frames that an engine tells."""
    plan = Plan(
        (
            Step("debug", {"frames": 20}),
            *(SLICES if sliced else ()),
            Step("instantiate", {"instance": "i", "module": "m", "imports": {"env": [HOST]}}),
            Step("call", {"instance": "i", "export": export, "args": []}),
        ),
        {"m": wasm(TEXT)},
        hosts={"h": HostFunc((), (), (("call", "i", "traps", []),))},
        features=("all",),
    )
    session = load(oracle).open(plan)
    try:
        outcome, data = [session.run(step) for step in plan.steps][-1]
    finally:
        session.close()
    assert isinstance(outcome, Trapped)
    return data["frames"]


@pytest.mark.parametrize("sliced", [False, True])
@pytest.mark.parametrize("export", CALLS)
def test_frames_below_the_host_are_those_that_wait(export, sliced):
    ours = frames("reference", export, sliced)
    assert [funcidx for funcidx, _ in ours] == [2, 1, *CALLS[export]]
    assert ours == frames("wasmtime:none", export, sliced)
