"""Relaxed instructions in a comparison: what is a probe, what it may return, and what is said of what it returned."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.binary import decode
from engine.execution.build import Build
from engine.features import RELAXED_SIMD, WASM_2
from engine.instructions import TABLE
from engine.numerics.lanes import F32X4, I16X8, I32X4
from generators import probes as generated
from generators.module import generate
from generators.profile import PRESETS
from generators.source import Source
from harness.case import Case, Finding
from harness.compare import RULES, TOLERANCES, Agree, Comparison, Differ, Incomparable, Side, compare
from harness.reduce.check import Check
from harness.reduce.shrink import reduce_case
from harness.relaxed import Probes, probed
from harness.report import finding_text
from harness.runner import Runner
from oracles.adapter import load
from oracles.adapters.reference import PLANTS
from oracles.outcome import Exhausted, Record, Returned, Trapped
from oracles.plan import Plan, Step
from tests.support.fakes import FakeOracle
from tests.support.wasm import wasm

MADD, MIN, DOT, SWIZZLE = (
    "f32x4.relaxed_madd", "f32x4.relaxed_min", "i32x4.relaxed_dot_i8x16_i7x16_add_s", "i8x16.relaxed_swizzle",
)  # fmt: skip
TWO = "local.get 0 local.get 1"
V = "v128"
INSTANTIATE = Step("instantiate", {"instance": "a", "module": "m", "imports": {}})
ONE, NAN, PAYLOAD, SIGNALLING = 0x3F800000, 0x7FC00000, 0x7FC00001, 0x7FA00000
MINUS = 1 << 31


def func(body: str, params: str = "v128 v128", results: str = "v128", declared: str = "") -> str:
    return f'(func (export "f") (param {params}) (result {results}) {declared} {body})'


def module(name: str) -> bytes:
    n = len(TABLE.by_name[name].type.pops)
    gets = " ".join(f"local.get {k}" for k in range(n))
    return wasm(f"(module {func(f'{gets} {name}', ' '.join([V] * n))})")


def vector(*lanes: int) -> tuple[str, str]:
    """A value of four lanes; one number stands for all."""
    return V, f"{int.from_bytes(I32X4.pack(*(lanes if len(lanes) == 4 else lanes * 4)), 'little'):032x}"


def call(*args, export="f"):
    return Step("call", {"instance": "a", "export": export, "args": list(args)})


def plan_of(name: str, *calls: Step, nan: str = "engine") -> Plan:
    return Plan(steps=(INSTANTIATE, *calls), modules={"m": module(name)}, nan=nan)


def judged(plan: Plan, left, right) -> Comparison:
    """Compare what the calls of a plan returned: a value or an outcome for each."""

    def side(oracle, results):
        outcomes = [Returned(), *(Returned((r,)) if isinstance(r, tuple) else r for r in results)]
        return Side(oracle, [Record(i, o) for i, o in enumerate(outcomes)])

    return compare(plan, side("reference", left), side("wasmtime", right))


# what is a probe


@pytest.mark.parametrize("row", generated.RELAXED, ids=lambda row: row.name)
def test_a_relaxed_row_behind_its_parameters_is_a_probe(row):
    assert probed(module(row.name)) == {"f": row}


@pytest.mark.parametrize(
    "text",
    [
        func(f"local.get 1 local.get 0 {SWIZZLE}"),
        func(f"local.get 0 local.get 0 {SWIZZLE}"),
        func(f"local.get 0 local.tee 1 local.get 1 {SWIZZLE}"),
        func(f"{TWO} {SWIZZLE} v128.not"),
        func(f"nop {TWO} {SWIZZLE}"),
        func(f"{TWO} {SWIZZLE} local.get 0 drop"),
        func(f"{TWO} {SWIZZLE} return"),
        func(f"{TWO} {SWIZZLE}", declared="(local v128)"),
        func(f"{TWO} {SWIZZLE}", params="v128 v128 v128"),
        func(f"{TWO} {SWIZZLE}", params="v128 v128 i32"),
        func(f"{TWO} {SWIZZLE} i32.const 0", results="v128 i32"),
        func(f"{TWO} {MIN} v128.any_true", results="i32"),
        func(f"{TWO} i8x16.swizzle"),
        func(TWO.replace("1", "1 i64x2.add")),
        func("local.get 0", params=V),
        func(f"v128.const i64x2 0 0 local.get 0 {SWIZZLE}", params=V),
        f"(func $p (param v128 v128) (result v128) {TWO} {SWIZZLE}) {func(f'{TWO} call $p')}",
        '(import "host" "f" (func $f (param v128 v128) (result v128))) (export "f" (func $f))',
        f'(memory (export "f") 1) (func (param v128 v128) (result v128) {TWO} {SWIZZLE})',
    ],
)
def test_whatever_is_not_exactly_that_is_none(text):
    assert probed(wasm(f"(module {text})")) == {}


def test_a_probe_is_found_behind_imports_and_other_functions():
    text = f'(import "host" "h" (func)) (func nop) {func(f"{TWO} {SWIZZLE}")} (func (export "g") nop)'
    assert [row.name for row in probed(wasm(f"(module {text})")).values()] == [SWIZZLE]


def test_bytes_that_are_no_valid_module_have_no_probes():
    good = module(MADD)
    for end in range(len(good)):
        assert probed(good[:end]) == {}
    arrow = b"\x60\x03\x7b\x7b\x7b\x01"  # (v128 v128 v128) -> ...
    ill_typed = good.replace(arrow + b"\x7b", arrow + b"\x7f")
    assert ill_typed != good
    assert probed(ill_typed) == {}


@pytest.mark.parametrize(
    "args",
    [
        [vector(0)], [vector(0)] * 4, [vector(0), ("i32", "0" * 8)], [vector(0), (V, "xyz")], [vector(0), (V, None)],
        [vector(0), (V, "1" + "0" * 32)], [vector(0), (V, "-1")], [vector(0), None], None, "v128",
    ],
)  # fmt: skip
def test_a_call_that_does_not_pass_the_operands_is_none(args):
    step = Step("call", {"instance": "a", "export": "f", "args": args})
    assert Probes(plan_of(MIN, step)).lanes(1) is None


def test_a_call_is_of_the_module_that_the_instance_is_of():
    step = call(vector(0), vector(0))
    plan = plan_of(MIN, step)
    assert Probes(plan).lanes(0) is None
    assert Probes(plan).lanes(1) is not None
    assert Probes(replace(plan, steps=(step,))).lanes(0) is None
    other = Step("instantiate", {"instance": "a", "module": "n", "imports": {}})
    made = Step("assemble", {"module": "m", "text": "t"})
    for extra in (other, made):
        assert Probes(replace(plan, steps=(extra, INSTANTIATE, step))).lanes(2) is None
    assert Probes(plan_of(MIN, call(vector(0), vector(0), export="g"))).lanes(1) is None


# what a result may be


@pytest.mark.parametrize("nan", ["engine", "module", "none"])
def test_a_canonical_nan_stands_for_what_the_nan_profile_leaves_open(nan):
    plan = plan_of(MADD, call(vector(NAN, PAYLOAD, SIGNALLING, ONE), vector(ONE), vector(ONE)), nan=nan)
    lanes = Probes(plan).lanes(1)
    assert lanes is not None
    is_open = nan != "engine"
    results = (NAN, NAN | MINUS, PAYLOAD, PAYLOAD | MINUS, 0x7FFFFFFF, SIGNALLING, SIGNALLING | MINUS, 0x7F800000)
    from_canonical = [True, is_open, *[False] * 6]
    from_another = [True, *[is_open] * 4, *[False] * 3]
    for k, expected in enumerate([from_canonical, from_another, from_another, [False] * 8]):
        assert [lanes.admits(k, b) for b in results] == expected, k
    assert lanes.admits(3, 0x40000000)


# what is said of it

ROUNDED = [vector(0x3F800001), vector(0x3F800001), vector(0xBF800002)]  # once: 2**-46, twice: 0


def test_allowed_results_that_differ_are_tolerated_by_name_and_the_comparison_goes_on():
    once, twice = vector(0x28800000), vector(0)
    step = call(*ROUNDED)
    assert judged(plan_of(MADD, step), [twice], [once]) == Comparison(Agree(), ("relaxed-lane",))
    mixed = vector(0, 0x28800000, 0, 0)
    assert judged(plan_of(MADD, step, step), [twice, mixed], [once, twice]).notes == ("relaxed-lane",) * 2
    assert "relaxed-lane" in TOLERANCES
    later = judged(plan_of(MADD, step, step), [twice, twice], [once, Trapped("unreachable")])
    assert isinstance(later.verdict, Differ)
    assert (later.verdict.rule, later.verdict.step, later.notes) == ("R3", 2, ("relaxed-lane",))
    assert judged(plan_of(MADD, step), [twice], [Exhausted("fuel")]).verdict == Incomparable("limit: fuel", 1)


def test_equal_allowed_results_give_no_note():
    step = call(*ROUNDED)
    for value in (vector(0x28800000), vector(0)):
        assert judged(plan_of(MADD, step), [value], [value]) == Comparison(Agree())


@pytest.mark.parametrize(
    ("left", "right", "classes"),
    [
        (vector(0), vector(0, 0, 1, 0), ("allowed", "not allowed")),
        (vector(0, 0, 1, 0), vector(0x28800000), ("not allowed", "allowed")),
        (vector(0, 0, 1, 0), vector(0, 0, 1, 0), ("not allowed", "not allowed")),
    ],
)
def test_a_lane_outside_of_its_set_is_a_finding_on_either_side_and_even_on_both(left, right, classes):
    verdict = judged(plan_of(MADD, call(*ROUNDED)), [left], [right]).verdict
    assert isinstance(verdict, Differ)
    assert (verdict.rule, verdict.step, verdict.step_kind) == ("R13", 1, "call")
    assert (verdict.what, verdict.aspect) == (f"lane 2 of {MADD}", f"lane of {MADD}")
    assert (verdict.left_class, verdict.right_class) == classes
    assert "00000001, not allowed: 00000000 or 28800000" in (verdict.left, verdict.right)
    assert verdict.rule in RULES


def test_a_signalling_nan_has_a_class_of_its_own():
    plan = plan_of(MIN, call(vector(SIGNALLING), vector(0)), nan="module")
    verdict = judged(plan, [vector(NAN)], [vector(SIGNALLING)]).verdict
    assert isinstance(verdict, Differ)
    assert (verdict.left_class, verdict.right_class) == ("allowed", "signalling nan")


def test_results_that_are_not_one_vector_are_compared_as_ever():
    step = call(*ROUNDED)
    for right in (("i32", "00000000"), (V, "nothing")):
        verdict = judged(plan_of(MADD, step), [vector(0)], [right]).verdict
        assert isinstance(verdict, Differ)
        assert verdict.rule in ("R1", "R2")


def test_beside_a_probe_bits_are_compared():
    plan = Plan((INSTANTIATE, call(*ROUNDED[:2])), {"m": wasm(f"(module {func(f'{TWO} {SWIZZLE} v128.not')})")})
    verdict = judged(plan, [vector(0)], [vector(1)]).verdict
    assert isinstance(verdict, Differ)
    assert verdict.rule == "R2"


# on engines


def records(oracle_id: str, plan: Plan) -> list[Record]:
    session = load(oracle_id).open(plan)
    try:
        return [Record(i, *session.run(step)) for i, step in enumerate(plan.steps)]
    finally:
        session.close()


def probe_plans(count: int, profile: str, monkeypatch) -> list[Plan]:
    monkeypatch.setattr(generated, "PERCENT", 100)
    fitted = replace(PRESETS["small"], features=WASM_2 | {RELAXED_SIMD}, nan=profile)
    return [generate(Source.fresh("probes", i), fitted).plan for i in range(count)]


@pytest.mark.parametrize("nan", ["engine", "none"])
def test_wasmtime_stays_within_what_is_allowed_and_does_choose_otherwise(nan, monkeypatch):
    hits = calls = 0
    for plan in probe_plans(300, nan, monkeypatch):
        recognised = Probes(plan)
        here = sum(recognised.lanes(i) is not None for i in range(len(plan.steps)))
        assert here
        calls += here
        left, right = (Side(o, records(o, plan), o, "50.0.1") for o in ("reference", "wasmtime"))
        comparison = compare(plan, left, right)
        assert not isinstance(comparison.verdict, Differ), comparison.verdict
        hits += comparison.notes.count("relaxed-lane")
    assert calls > 600
    assert hits > 20


@pytest.mark.parametrize(
    ("name", "shape", "wrong"),
    [(MADD, F32X4, lambda z: z + 1), ("i16x8.relaxed_q15mulr_s", I16X8, lambda i: i ^ 1), (DOT, I32X4, lambda i: 0)],
)
def test_a_planted_wrong_lane_is_found_in_generated_cases(name, shape, wrong, monkeypatch):
    row = TABLE.by_name[name]

    def run(*operands: bytes) -> bytes:
        first, *others = shape.unpack(row.run(*operands))
        return shape.pack(wrong(first), *others)

    monkeypatch.setitem(PLANTS, "lane", lambda: Build(table=TABLE.replace(name, run=run)))
    found = set()
    for plan in probe_plans(60, "engine", monkeypatch):
        sides = [Side(o, records(o, plan), o, "0") for o in ("reference", "reference:plant=lane")]
        for pair in (sides, [sides[1], sides[1]]):
            verdict = compare(plan, *pair).verdict
            if isinstance(verdict, Differ) and verdict.rule == "R13":
                found.add((verdict.what, verdict.left_class, verdict.right_class))
    assert found == {(f"lane 0 of {name}", c, "not allowed") for c in ("allowed", "not allowed")}


def test_a_finding_in_a_generated_probe_is_reduced_to_the_probe_and_shown(monkeypatch):
    row = TABLE.by_name[MADD]
    monkeypatch.setitem(PLANTS, "lane", lambda: Build(table=TABLE.replace(MADD, run=lambda *v: bytes(16))))
    names = ("reference", "reference:plant=lane")
    with Runner([FakeOracle(name, lambda plan, name=name: records(name, plan)) for name in names]) as runner:
        for plan in probe_plans(60, "engine", monkeypatch):
            (judgement,) = runner.judge(runner.run(plan))
            verdict = judgement.comparison.verdict
            if isinstance(verdict, Differ):
                break
        assert judgement.signature == f"{names[0]} {names[1]} R13 call lane of {MADD}: allowed / not allowed"
        finding = Finding(judgement.signature, verdict.rule, verdict.step, verdict.what, verdict.left, verdict.right)
        case = Case(plan, {"versions": {}}, names, None, finding)
        small = reduce_case(case, Check(runner, judgement.signature, tries=2000, time_s=60)).case
    (code,) = decode(small.plan.modules["m"]).codes
    assert [i.row.name for i in code.body] == ["local.get"] * len(row.arrow(None, ()).pops) + [MADD, "end"]
    assert [s.kind for s in small.plan.steps] == ["instantiate", "call"]
    text = finding_text(small)
    assert RULES["R13"] in text
    assert f"of {MADD}" in text
    assert "not allowed:" in text
