"""The check of what frames hold: twins of cases on other engines, and a debugger that shows the wrong thing."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from engine.binary import decode, encode
from engine.features import EXECUTED, FEATURES
from engine.text.parser import parse
from engine.validation import validate
from harness.case import load_case, save_case
from harness.cases import Examiner
from harness.checks import course, shadow
from harness.checks.twins import EXPORTS, frames_of, twin_of
from harness.compare import compare
from harness.reduce.check import Check
from harness.reduce.shrink import reduce_case
from harness.runner import Runner, side_of
from harness.verdicts import Agree, Differ, Side
from oracles.adapter import BASIC_STEPS, Description
from oracles.outcome import Record, Returned, Trapped
from oracles.plan import HOST, SHADOW_NOTE, HostFunc, Plan, PlanError, Step
from oracles.process import Oracle
from tests.support.wasm import wasm

CHECKS = frozenset({"results", "state", "debug"})
PLANT = "reference:plant=lost-argument"
TEXT = """(import "host" "h" (func $h (param i32) (result i32)))
    (func $g (param i32) (result i32) i64.const 7 local.get 0 call $h i32.const 0 i32.div_u drop i32.wrap_i64)
    (func (export "f") (param i32) (result i32) (local f64) i32.const 1 local.get 0 call $g i32.add)"""


def plan_of(text: str = TEXT, *actions: tuple) -> Plan:
    steps = (
        Step("instantiate", {"instance": "m", "module": "m", "imports": {"host": [HOST]}}),
        Step("call", {"instance": "m", "export": "f", "args": [("i32", "00000005")]}),
        Step("observe", {}),
    )
    host = HostFunc(("i32",), ("i32",), (("record",), *actions))
    return Plan(steps, {"m": wasm(text)}, hosts={"h": host}, features=("mvp",), nan="none")


@pytest.fixture(scope="module")
def engines():
    """A runner with the reference engine, and one that has other frames of its own."""
    with Runner([Oracle("reference"), Oracle("wasmtime")]) as runner:
        yield runner


# plans


def test_the_twin_of_a_plan_is_the_plan_with_another_module_and_a_step_before_all_others():
    plan = plan_of()
    derived, twin = shadow.derive(replace(plan, steps=(Step("set_fuel", {"fuel": 9}), *plan.steps)))
    assert derived.steps == (Step("shadow", {"instance": "m", **EXPORTS}), *plan.steps)
    assert derived.features == ("multi-memory", "mutable-globals", "mvp")
    assert derived.modules == {"m": twin.wasm}
    validate(decode(twin.wasm))


def test_other_checks_are_taken_off_for_both_plans():
    plan = plan_of(TEXT, ("fuel",), ("suspend", 2))
    dressed = replace(
        plan, steps=(Step("debug", {"frames": 20}), Step("yield_schedule", {"intervals": [1]}), *plan.steps)
    )
    for made in (shadow.derive(dressed)[0], shadow.with_values(dressed)):
        assert made.hosts["h"].actions == (("record",),)
        assert len(made.steps) == len(plan.steps) + 1


@pytest.mark.parametrize(
    "change",
    [
        lambda plan: replace(plan, steps=plan.steps[1:]),
        lambda plan: replace(plan, steps=(plan.steps[0], *plan.steps)),
        lambda plan: replace(plan, modules={"m": b"\0asm"}),
        lambda plan: replace(plan, modules={}),
        lambda plan: replace(plan, modules={"m": wasm('(memory (export "debug.memory") 1)')}),
        lambda plan: replace(plan, features=("no such feature",)),
        lambda plan: replace(plan, limits=replace(plan.limits, fuel=100)),
    ],
)
def test_some_plans_have_no_twin(change):
    assert shadow.derive(change(plan_of())) is None


def test_a_function_at_which_nothing_stops_stays_as_it_is():
    module = wasm('(func (export "f") (param i32) (result i32) local.get 0 i32.const 1 i32.add)')
    bodies = ([(i.row.name, i.imms) for i in decode(m).codes[0].body] for m in (module, twin_of(module).wasm))
    assert next(bodies) == next(bodies)


def test_an_engine_without_the_step_or_several_memories_runs_no_twins():
    able = Description("x", "1", features=shadow.NEEDED, steps=(*BASIC_STEPS, "shadow"), nan=("engine", "none"))
    assert shadow.reason_against(able) is None
    assert shadow.reason_against(replace(able, steps=BASIC_STEPS)) == "x has no shadow"
    assert shadow.reason_against(replace(able, nan=("module",))) == "x leaves open which NaNs a frame holds"
    assert shadow.reason_against(replace(able, features=())) == "x has no multi-memory"


@pytest.mark.parametrize(
    "text",
    [
        """(elem declare func $f) (func $f (export "f") (param i32) (result i32)
            ref.func $f local.get 0 i32.const 0 i32.div_u drop ref.is_null)""",
        """(tag $e) (func (export "f") (param i32) (result i32)
            (block (result exnref) (try_table (catch_all_ref 0) (throw $e)) unreachable)
            local.get 0 i32.const 0 i32.div_u drop ref.is_null)""",
    ],
)
def test_references_as_operands_need_no_typed_references(text):
    features = ("mvp", "reference-types", "bulk-memory", "exceptions")
    plan = replace(plan_of(), modules={"m": wasm(text)}, features=features)
    derived, twin = shadow.derive(plan)
    validate(decode(twin.wasm), frozenset(FEATURES[name] for name in derived.features))


def test_a_frame_may_hold_a_nan_before_the_module_makes_it_canonical(engines):
    text = """(func (export "f") (param i32) (result i32)
        (f32.mul (f32.const -nan:0x12345) (f32.reinterpret_i32 (local.get 0))) unreachable)"""
    for nan in ("module", "none"):
        plan, _ = shadow.derive(replace(plan_of(), modules={"m": wasm(text)}, nan=nan))
        assert [j.comparison.verdict for j in engines.judge(engines.run(plan))] == [Agree()]


# what is told


def test_an_engine_tells_its_frames_in_a_host_call_and_at_a_trap(engines):
    plan, twin = shadow.derive(plan_of())
    run = engines.run(plan)
    call, observe = run.sides[1].records[-2:]
    assert isinstance(call.outcome, Trapped)
    (told,) = (values[0][1] for name, values in observe.data["trace"] if name == SHADOW_NOTE)
    waiting = (2, ((5, 0), (1, 5)))
    in_host = frames_of(twin, bytes.fromhex(told), is_in_host=True)
    assert [(f.funcidx, (f.locals, f.operands)) for f in in_host] == [(1, ((5,), (7, 5))), waiting]
    at_trap = frames_of(twin, bytes.fromhex(call.data["shadow"]), is_in_host=False)
    assert [(f.funcidx, (f.locals, f.operands)) for f in at_trap] == [(1, ((5,), (7, 0, 0))), waiting]
    (judgement,) = engines.judge(run)
    assert judgement.comparison.verdict == Agree()
    assert judgement.comparison.compared["shadows"] == 2


def test_shadows_that_differ_are_a_finding(engines):
    plan, _ = shadow.derive(plan_of())
    left, right = (side_of(o, r.records) for o, r in zip(engines.oracles, engines.run(plan).sides, strict=True))
    *most, call, observe = right.records
    digits = call.data["shadow"]
    wrong = replace(call, data={**call.data, "shadow": digits[:-2] + ("00" if digits[-2:] != "00" else "01")})
    verdict = compare(plan, left, replace(right, records=(*most, wrong, observe))).verdict
    assert isinstance(verdict, Differ)
    assert (verdict.rule, verdict.step, verdict.aspect) == ("R14", call.step, "shadow of frames")


def test_nested_calls_tell_the_frames_of_all_activations(engines):
    text = TEXT + '(func (export "last") (local i64) i32.const 9 (local.set 0 (i64.const 3)) unreachable)'
    plan = plan_of(text, ("call", "m", "last", []))
    derived, twin = shadow.derive(plan)
    run = engines.run(derived)
    for side in run.sides:
        innermost, *waiting = frames_of(twin, bytes.fromhex(side.records[2].data["shadow"]), is_in_host=False)
        assert (innermost.funcidx, innermost.locals, innermost.operands) == (3, (3,), (9,))
        assert [frame.funcidx for frame in waiting] == [1, 2]
    assert [j.comparison.verdict for j in engines.judge(run)] == [Agree()]
    shown = engines.run(shadow.with_values(plan), ("reference",))
    compared: Counter[str] = Counter()
    assert shadow.disagreement(shown.plan, shown.sides[0].records, twin, run.sides[1].records, compared) is None
    assert compared["host stops"] == compared["trap stops"] == 1


def test_host_calls_nest_as_deep_as_without(engines):
    text = TEXT.partition("(func $g")[0] + '(func (export "f") (param i32) (result i32) local.get 0 call $h)'
    plan = plan_of(text)
    plan = replace(plan, hosts={"h": replace(plan.hosts["h"], actions=(("call", "m", "f", [("i32", "00000001")]),))})
    for tried in (shadow.derive(plan)[0], shadow.with_values(plan)):
        run = engines.run(tried, None if tried.steps[0].kind == "shadow" else ("reference",))
        assert [side.records[2].outcome.resource for side in run.sides] == ["stack"] * len(run.sides)


def test_frames_that_are_too_many_are_not_told_and_not_compared(engines):
    text = """(func $f (export "f") (param i32) (result i32)
        (if (result i32) (i32.eqz (local.get 0)) (then unreachable)
          (else (call $f (i32.sub (local.get 0) (i32.const 1))))))"""
    deep = plan_of(text)
    call = replace(deep.steps[1], args={**deep.steps[1].args, "args": [("i32", "00000400")]})
    plan = replace(deep, steps=(deep.steps[0], call, deep.steps[2]))
    derived, twin = shadow.derive(plan)
    shown = shadow.with_values(plan)
    told = engines.run(derived)
    assert [side.records[2].data["shadow"] for side in told.sides] == [None, None]
    (one,) = engines.run(shown, ("reference",)).sides
    assert len(one.records[2].data["frames"]) == shadow.FRAMES
    compared: Counter[str] = Counter()
    assert shadow.disagreement(shown, one.records, twin, told.sides[0].records, compared) is None
    assert compared == {"stops too deep to be told": 1}


# hostile plans


@pytest.mark.parametrize(
    "names",
    [
        {"memory": "nothing", "end": "debug.end", "base": "debug.base"},
        {"memory": "debug.memory", "end": "f", "base": "debug.base"},
        {"memory": "debug.end", "end": "debug.end", "base": "debug.base"},
    ],
)
def test_a_shadow_that_is_none_blocks_the_call(engines, names):
    plan, _ = shadow.derive(plan_of())
    plan = replace(plan, steps=(Step("shadow", {"instance": "m", **names}), *plan.steps[1:]))
    for side in engines.run(plan).sides:
        assert side.records[2].outcome != Returned()
        assert type(side.records[2].outcome).__name__ in ("Blocked", "Trapped")
        assert len(side.records) == len(plan.steps)


@pytest.mark.parametrize("data", [b"\0", b"\xff\xff\xff\xff" + bytes(28), bytes(20)])
def test_what_is_no_shadow_of_a_twin_is_refused(data):
    _, twin = shadow.derive(plan_of())
    with pytest.raises(ValueError, match="no record of a frame"):
        frames_of(twin, data, is_in_host=False)


def test_a_shadow_that_cannot_be_read_is_a_difference():
    plan = plan_of()
    _, twin = shadow.derive(plan)
    frames = [{"func": 1, "offset": 1, "locals": [], "operands": []}]
    one = Record(1, Trapped("unreachable"), {"frames": frames})
    two = Record(1, Trapped("unreachable"), {"shadow": "ff"})
    found = shadow.disagreement(plan, [one], twin, [two], Counter())
    assert found is not None
    assert "no record of a frame" in found.right


@pytest.mark.parametrize("change", [{"instance": []}, {"memory": 7}, {"end": {}}, {"base": None}])
def test_a_shadow_is_named_by_strings(change):
    plan, _ = shadow.derive(plan_of())
    data = plan.to_json()
    data["steps"][0] |= change
    with pytest.raises(PlanError, match="is no name"):
        Plan.from_json(data)


@pytest.mark.parametrize("name", ["@fuel", "@frames", "@shadow"])
def test_no_host_function_has_the_name_of_a_note(name):
    data = plan_of().to_json()
    data["hosts"] = {name: data["hosts"]["h"]}
    with pytest.raises(PlanError, match="no host function can be called"):
        Plan.from_json(data)


@pytest.mark.parametrize("actions", [[[]], [[[]]], [[7]]])
def test_an_action_begins_with_its_name(actions):
    data = plan_of().to_json()
    data["hosts"]["h"]["actions"] = actions
    with pytest.raises(PlanError, match="begins with its name"):
        Plan.from_json(data)


@pytest.mark.parametrize(
    "steps",
    [
        (Step("debug", {"frames": 5, "values": True}),),
        (Step("debug", {"frames": 100, "values": True}), Step("debug", {"frames": 100, "values": True})),
        (Step("set_fuel", {"fuel": 900}), Step("debug", {"frames": 100, "values": True})),
    ],
)
def test_other_plans_that_show_values_are_not_judged_by_a_twin(engines, steps):
    plan = plan_of()
    run = engines.run(replace(plan, steps=(*steps, *plan.steps)), ("reference",))
    assert len(run.sides[0].records) == len(steps) + len(plan.steps)
    assert engines.check_values(run) == []


def test_engines_without_these_steps_are_not_judged():
    with Runner([Oracle("wasmtime"), Oracle("wasmer")]) as runner:
        shown = runner.run(shadow.with_values(plan_of()), ("wasmtime",))
        assert runner.check_values(shown) == []
        derived, _ = shadow.derive(replace(plan_of(), features=()))
        (judgement,) = runner.judge(runner.run(derived))
        assert not judgement.is_finding


def test_frames_with_values_are_compared_by_what_they_hold():
    plan = shadow.with_values(plan_of())
    frame = {"func": 1, "offset": 2, "locals": [], "operands": [["i32", "00000001"]]}
    sides = [
        Side(
            oracle, [Record(n, Returned()) for n in range(2)] + [Record(2, Trapped("unreachable"), {"frames": frames})]
        )
        for oracle, frames in (("a", [frame]), ("b", [{**frame, "offset": 3}]), ("c", []))
    ]
    left, *others = (replace(side, tells_frames=True) for side in sides)
    for right in others:
        verdict = compare(replace(plan, steps=plan.steps[:3]), left, right).verdict
        assert isinstance(verdict, Differ)
        assert (verdict.rule, verdict.aspect) == ("R14", "frame")


def test_the_twin_of_a_legacy_handler_has_the_operands_below_it():
    text = """(func (export "f") (param i32) (result i32) i32.const 7
        (try (do (drop (i32.div_u (i32.const 1) (i32.const 0))))) )"""
    plan = replace(plan_of(), modules={"m": encode(parse(f"(module {text})", EXECUTED))}, features=("all",))
    with Runner([Oracle("reference")]) as runner:
        (judgement,) = runner.check_values(runner.run(shadow.with_values(plan)))
    assert judgement.comparison.verdict == Agree()
    assert judgement.comparison.compared["trap stops"] == 1


# campaigns


@pytest.fixture(scope="module")
def found():
    """The first finding of a debugger that shows too few operands, and what was compared until then."""
    with pytest.MonkeyPatch.context() as patch, Runner([Oracle(PLANT), Oracle("reference")]) as runner:
        patch.setattr(course, "TWINNED", 100)
        examiner = Examiner(runner, 4, "standard", checks=CHECKS)
        for index in range(150):
            result = examiner.test(index)
            if result.found:
                return result.found[0].case, result.counts
    return None


def test_a_debugger_that_shows_the_wrong_thing_is_found(found):
    case, counts = found
    assert case.finding.rule == "R14"
    assert case.oracles == (PLANT, PLANT)
    assert counts["run/twin"] == counts["run/values"] == 1
    assert counts["compared/shadows"] > 0


def test_such_a_finding_is_saved_reduced_and_reproduced_like_any_other(found, tmp_path):
    case, _ = found
    with Runner([Oracle(PLANT)]) as runner:
        check = Check(runner, case.finding.signature, tries=300, time_s=60)
        reduced = reduce_case(case, check)
        assert reduced.after < reduced.before
        assert check.shows(load_case(save_case(reduced.case, tmp_path / "small")).plan)
