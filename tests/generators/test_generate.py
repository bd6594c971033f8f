"""Whole cases: valid, deterministic, rich, and shrinkable by their tape."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.binary import decode
from engine.errors import TrapKind
from engine.features import MEMORY64, THREADS, WASM_1, WASM_2, WASM_3, FeatureSet
from engine.instructions import TABLE
from engine.types import I32, I64, Arrow
from engine.validation import validate
from generators.module import Generated, generate
from generators.palette import Role, list_options
from generators.profile import PRESETS
from generators.source import Source
from generators.values import SHARP
from oracles.adapters import wasmtime
from oracles.outcome import Returned
from oracles.plan import Plan, Step

if TYPE_CHECKING:
    from engine.module import Module

STANDARD = PRESETS["standard"]


def cases(count: int, profile: str = "standard") -> list[Generated]:
    return [generate(Source.fresh(11, i), PRESETS[profile]) for i in range(count)]


def names(module: Module) -> Counter[str]:
    return Counter(i.row.name for code in module.codes for i in code.body)


@pytest.mark.parametrize("profile", PRESETS)
def test_every_module_validates_here_and_elsewhere(profile: str) -> None:
    adapter = wasmtime.adapter("")
    shared = frozenset(f for f in PRESETS[profile].features if f.name in {"mvp", *adapter.describe().features})
    for i in range(25):
        case = generate(Source.fresh(11, i), replace(PRESETS[profile], features=shared))
        validate(decode(case.wasm))
        session = adapter.open(case.plan)
        assert session.run(Step("validate", {"module": "m"})) == (Returned(), None)
        session.close()


@pytest.mark.parametrize("profile", PRESETS)
def test_a_tape_rebuilds_its_case(profile: str) -> None:
    for i in range(10):
        source = Source.fresh(3, i)
        case = generate(source, PRESETS[profile])
        again = generate(Source.replay(source.tape), PRESETS[profile])
        assert again.wasm == case.wasm
        assert again.plan.digest() == case.plan.digest()


@settings(max_examples=60)
@given(st.integers(0, 50), st.data())
def test_any_damaged_tape_is_a_valid_case(seed: int, data: st.DataObject) -> None:
    tape = generate_tape(seed)
    start = data.draw(st.integers(0, len(tape) - 1))
    end = data.draw(st.integers(start, min(len(tape), start + 400)))
    damaged = tape[:start] + data.draw(st.sampled_from(([], [0], [1 << 80], [5, 5]))) + tape[end:]
    case = generate(Source.replay(damaged), STANDARD)
    validate(case.module)
    assert Plan.from_json(case.plan.to_json()).digest() == case.plan.digest()


def hostile_tapes() -> list[list[int]]:
    """Tapes without end: one choice repeated, or a few in turn, which nest without end if anything can."""
    draw = random.Random(5)
    tapes = [[choice] * 9000 for choice in (1, 3, 7, 15, 1 << 64)]
    for bound in (16, 100, 1 << 64) * 12:
        period = [draw.randrange(bound) for _ in range(draw.randrange(1, 30))]
        tapes.append(period * (9000 // len(period)))
    return tapes


@pytest.mark.parametrize("profile", PRESETS)
def test_a_hostile_tape_is_a_valid_case_of_bounded_size(profile: str) -> None:
    preset = PRESETS[profile]
    for tape in hostile_tapes():
        case = generate(Source.replay(tape), preset)
        validate(case.module)
        assert len(case.module.codes) <= preset.functions[1] + 1 + 3  # a start function, probes
        assert max(len(code.body) for code in case.module.codes) <= 4 * preset.instructions + 300


def generate_tape(seed: int) -> list[int]:
    source = Source.fresh(seed)
    generate(source, STANDARD)
    return source.tape


def test_the_empty_tape_is_the_simplest_case() -> None:
    case = generate(Source.replay([]), STANDARD)
    validate(case.module)
    assert sum(len(code.body) for code in case.module.codes) <= 4 * len(case.module.codes)


def test_the_standard_case_is_rich() -> None:
    found = cases(150)
    assert median(sum(len(code.body) for code in case.module.codes) for case in found) >= 100
    assert median(len(case.module.funcs) for case in found) >= 3
    assert median(sum(step.kind == "call" for step in case.plan.steps) for case in found) >= 8


def test_operators_meet_pairs_of_edges() -> None:
    """A probe has sharp operands and a result that stays."""
    pairs: set[tuple[int, int]] = set()
    for code in (code for case in cases(1000) for code in case.module.codes):
        for a, b, operator, store in zip(code.body, code.body[1:], code.body[2:], code.body[3:], strict=False):
            if store.row.name in ("i32.store", "global.set") and operator.row.name == "i32.sub":
                pairs.update((x, y) for x in a.imms for y in b.imms if a.row is b.row is TABLE.by_name["i32.const"])
    assert len(pairs & {(i, j) for i in SHARP[I32] for j in SHARP[I32]}) >= 10


def test_hardly_any_value_is_dropped() -> None:
    count = sum((names(case.module) for case in cases(150)), Counter())
    values = sum(n for name, n in count.items() if _pushes_values(name))
    assert count["drop"] / values <= 0.01


def _pushes_values(name: str) -> bool:
    row = TABLE.by_name[name]
    return not isinstance(row.type, Arrow) or bool(row.type.pushes)


def test_without_nan_no_producer_is_generated() -> None:
    producers = {row.name for row in TABLE if row.nan}
    assert producers
    count = sum((names(case.module) for case in cases(60, "no-nan")), Counter())
    assert not producers & set(count)


def test_a_row_behind_a_feature_is_not_generated_without_it() -> None:
    profile = replace(STANDARD, features=STANDARD.features - {TABLE.by_name["memory.fill"].feature})
    count = sum((names(generate(Source.fresh(1, i), profile).module) for i in range(40)), Counter())
    assert not [n for n in count if TABLE.by_name[n].feature not in profile.features]


def test_roles_come_from_the_row() -> None:
    case = next(c for c in cases(50) if c.module.mems and len(c.module.tables) == 2)
    from engine.validation.context import Context

    c = Context.of_module(case.module)
    roles = {o.row.name: o.roles for o in list_options([r for r in TABLE if r.reads or r.writes], c)}
    assert roles["memory.fill"] == (Role.ADDRESS, Role.VALUE, Role.LENGTH)
    assert roles["memory.copy"] == (Role.ADDRESS, Role.ADDRESS, Role.LENGTH)
    assert roles["memory.grow"] == (Role.DELTA,)
    assert roles["table.grow"] == (Role.VALUE, Role.DELTA)
    assert roles["table.set"] == (Role.INDEX, Role.VALUE)
    assert roles["i64.store"] == (Role.ADDRESS, Role.VALUE)
    assert roles["call_indirect"][-1] is Role.INDEX


def test_memories_differ_in_kind_and_every_one_is_shown() -> None:
    kinds = Counter((m.addrtype, m.shared, m.page_bits) for case in cases(150) for m in case.module.mems)
    assert {(I32, False, 16), (I64, False, 16), (I32, True, 16), (I32, False, 0)} <= set(kinds)
    case = next(case for case in cases(150) if len(case.module.mems) > 1)
    exported = {e.index for e in case.module.exports if e.kind == "mem"}
    assert exported == set(range(len(case.module.mems)))
    accessed = {i.imms[0].mem for c in cases(150) for code in c.module.codes for i in code.body if "load" in i.row.name}
    assert accessed >= {0, 1}


def test_atomic_accesses_are_mostly_aligned_and_waits_are_short() -> None:
    """A wait whose timeout is not a small constant could block an engine for years."""
    atomics = waits = 0
    for case in cases(250):
        for code in case.module.codes:
            for before, instruction in zip(code.body, code.body[1:], strict=False):
                if instruction.row.feature is not THREADS or not instruction.row.traps:
                    continue
                atomics += 1
                assert 1 << instruction.imms[0].align in (1, 2, 4, 8)
                if TrapKind.EXPECTED_SHARED_MEMORY in instruction.row.traps:
                    waits += 1
                    assert before.row.name == "i64.const"
                    assert before.imms[0] <= 1000
    assert atomics > 100
    assert waits


def test_results_of_an_operator_with_several_are_used() -> None:
    wide = [i.row.name for case in cases(60) for code in case.module.codes for i in code.body]
    assert {"i64.add128", "i64.sub128", "i64.mul_wide_s", "i64.mul_wide_u"} <= set(wide)


@pytest.mark.parametrize(
    "without",
    [
        "custom-page-sizes", "exceptions", "gc", "memory64", "multi-memory", "simd", "tail-call", "threads",
        "wide-arithmetic",
    ],
)  # fmt: skip
def test_what_is_generated_needs_only_the_features_of_the_profile(without: str) -> None:
    profile = replace(STANDARD, features=frozenset(f for f in STANDARD.features if f.name != without))
    for i in range(8):
        case = generate(Source.fresh(12, i), profile)
        validate(decode(case.wasm, profile.features), profile.features)


@pytest.mark.parametrize("features", [WASM_2, WASM_2 | {THREADS, MEMORY64}, WASM_3])
def test_the_versions_of_the_standard_are_profiles(features: FeatureSet) -> None:
    profile = replace(STANDARD, features=features)
    for i in range(12):
        case = generate(Source.fresh(13, i), profile)
        validate(decode(case.wasm, profile.features), profile.features)


@pytest.mark.parametrize("missing", [None, "multi-value", "reference-types", "bulk-memory", "simd"])
def test_a_case_needs_no_more_than_its_features(missing: str | None) -> None:
    off = {f for f in WASM_2 if f.name == missing}
    for features in (WASM_2 - off, WASM_1) if missing is None else (WASM_2 - off,):
        for i in range(20):
            case = generate(Source.fresh("features", i), replace(STANDARD, features=features))
            validate(decode(case.wasm, features), features)


def test_what_a_profile_does_without_is_not_generated():
    common = frozenset({"i32.clz", "i64.load", "f64.neg"})
    seen: Counter[str] = Counter()
    for profile in (STANDARD, replace(STANDARD, without=common)):
        seen = sum((names(generate(Source.fresh(11, i), profile).module) for i in range(30)), Counter())
        assert common & set(seen) == common - profile.without
