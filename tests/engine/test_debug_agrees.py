"""A debugger changes nothing, and what it shows of each step follows from the step before by the row's own meaning."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine import Trap, invoke
from engine.debug import Step as Stepped
from engine.debug import Stepper
from engine.execution.fuel_models import MODELS
from engine.instructions.model import Control, Effect
from engine.instructions.variable import local_get, local_set, local_tee
from engine.matching import matches
from engine.runtime.fits import fits
from engine.runtime.instance import FuncInst
from engine.types import RefType, variable
from engine.values import to_bits
from generators.module import generate
from generators.profile import PRESETS
from generators.source import Source
from oracles.adapters import reference_calls
from oracles.outcome import Trapped
from oracles.plan import Step
from tests.support.debugging import play

WITHOUT_LABEL = {None, Control.CALL, Control.TAIL_CALL, Control.THROW}


def plans(name, n, preset="standard"):
    return [generate(Source.fresh(name, i), PRESETS[preset]).plan for i in range(n)]


@pytest.mark.parametrize("model", MODELS.values(), ids=str)
@pytest.mark.parametrize("fuel", [None, 60, 1000])
def test_a_debugger_changes_no_record_and_no_fuel(model, fuel):
    for i, made in enumerate(plans("debugged", 12)):
        plan = replace(made, limits=replace(made.limits, fuel=fuel), steps=(*made.steps, Step("get_fuel", {})))
        assert play(plan, model, guest_debug=True) == play(plan, model), i


@pytest.mark.parametrize("preset", ["wasm-2", "module-nan", "no-nan", "small"])
def test_a_debugger_changes_no_record_of_any_profile(preset):
    for i, plan in enumerate(plans("debugged", 12, preset)):
        assert play(plan, guest_debug=True) == play(plan), i


@pytest.mark.parametrize("model", MODELS.values(), ids=str)
def test_pausing_at_every_instruction_changes_no_record_and_no_fuel(monkeypatch, model):
    paused = []

    def stepped(store, func, args):
        if store.debugger is None or not isinstance(func, FuncInst):
            return invoke(store, func, args)
        call = Stepper(store, func, args)
        while call.step():
            paused.append(call)
        return call.results

    monkeypatch.setattr(reference_calls, "invoke", stepped)
    for fuel in (None, 100):
        for i, made in enumerate(plans("paused", 6)):
            plan = replace(made, limits=replace(made.limits, fuel=fuel), steps=(*made.steps, Step("get_fuel", {})))
            assert play(plan, model, guest_debug=True) == play(plan, model), i
    assert len(paused) > 500


class Follower:
    """Checks each step of each frame against the one before it in the same frame."""

    def __init__(self):
        self.last = None
        self.steps = self.followed = self.calls = 0

    def __call__(self, store, event):
        cursor = store.debug_frames()
        if not isinstance(event, Stepped):
            return
        func, pc = cursor.function(), cursor.instruction_index()
        locals_ = [cursor.local(i) for i in range(cursor.num_locals())]
        stack = [cursor.stack(i) for i in range(cursor.num_stacks())]
        self.check_values(locals_, stack)
        ins = func.code.body[pc]
        pops = self.pops(func, ins) if ins.row.control in WITHOUT_LABEL else []
        assert len(stack) >= len(pops), (ins, stack)
        for (t, _), wanted in zip(stack[len(stack) - len(pops) :], pops, strict=True):
            assert variable(wanted) is not None or matches(t, wanted), (ins, stack)
        key = cursor._registers
        if self.last is not None and self.last[0] is key and self.last[2] == pc - 1:
            self.follow(func, *self.last[2:], locals_, stack)
        self.last = key, func, pc, locals_, stack
        self.steps += 1
        while not cursor.done():  # every frame that waits for a call has the arguments
            if cursor.function() is not func or cursor.instruction_index() != pc:
                waiting = cursor.instruction()
                assert waiting.row.control is Control.CALL
                operands = self.pops(cursor.function(), waiting)
                assert cursor.num_stacks() >= len(operands)
                self.calls += 1
            cursor.move_to_parent()

    @staticmethod
    def pops(func, ins):
        return ins.row.arrow(func.module.context.function(func.functype, func.code.locals), ins.imms).pops

    @staticmethod
    def check_values(locals_, stack):
        for t, v in stack:
            assert fits(v, t), (t, v)
        for t, v in locals_:
            assert fits(v, t) or (v is None and isinstance(t, RefType)), (t, v)

    def follow(self, func, pc, locals_, stack, locals_after, stack_after):
        """Check what one instruction that went on to the next made of locals and operands."""
        row, imms, _ = func.code.body[pc]
        if row.control is not None:
            return
        context = func.module.context.function(func.functype, func.code.locals)
        arrow = row.arrow(context, imms)
        n, m = len(arrow.pops), len(arrow.pushes)
        base = len(stack) - n
        assert len(stack_after) == base + m
        assert same(stack[:base], stack_after[:base])
        operands = [v for _, v in stack[base:]]
        expected = list(locals_)
        function = getattr(row.run, "func", row.run)
        if function in (local_set, local_tee):
            expected[imms[0]] = (locals_[imms[0]][0], operands[0])
            assert same(stack_after[base:], stack[base : base + m])
        elif function is local_get:
            assert same([(t, v) for (t, _), v in zip(stack_after[base:], [locals_[imms[0]][1]], strict=True)],
                        stack_after[base:])  # fmt: skip
        elif row.effect is Effect.PURE:
            made = row.run(*imms, *operands)
            made = [] if m == 0 else [made] if m == 1 else list(made)
            assert same([(t, v) for (t, _), v in zip(stack_after[base:], made, strict=True)], stack_after[base:]), row
            self.followed += 1
        assert same(expected, locals_after)


def same(left, right):
    return [shown(*v) for v in left] == [shown(*v) for v in right]


def shown(t, v):
    return (
        id(v) if isinstance(t, RefType) and not isinstance(v, int) else v if isinstance(t, RefType) else to_bits(t, v)
    )


def test_each_step_follows_from_the_one_before():
    follower = Follower()
    for made in plans("followed", 25):
        plan = replace(made, limits=replace(made.limits, fuel=3_000))
        assert play(plan, guest_debug=True, handler=follower, single_step=True) == play(plan)
    assert follower.steps > 5_000
    assert follower.followed > 1_000
    assert follower.calls > 1_000


def test_frames_at_traps_are_those_that_the_engine_tells_without_a_debugger():
    traps = 0
    for plan in plans("trapped", 60):
        told = []

        def handler(store, event, told=told):
            error = getattr(event, "error", None)
            if isinstance(error, Trap):
                cursor, frames = store.debug_frames(), []
                while not cursor.done():
                    frames.append([cursor.function().funcidx, cursor.function_index_and_pc()[1]])
                    cursor.move_to_parent()
                told.append((error.where, frames[:20]))

        framed = replace(plan, steps=(Step("debug", {"frames": 20}), *plan.steps))
        records = play(framed)
        assert play(framed, guest_debug=True, handler=handler) == records
        for record in records:
            if isinstance(record.outcome, Trapped) and framed.steps[record.step].kind == "call":
                frames = record.data["frames"]
                assert any(inner == frames[: len(inner)] for _, inner in told), (frames, told)
                traps += 1
        for where, frames in told:
            assert where is None or frames[0] == [where.funcidx, where.offset]
    assert traps > 20
