"""Probes of relaxed instructions: now and then, only where they may be, and out of the way of everything else."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from engine.binary import decode
from engine.features import RELAXED_SIMD
from engine.validation import validate
from generators.module import Generated, generate
from generators.probes import RELAXED, choose_probes
from generators.profile import PRESETS
from generators.source import Source
from harness.relaxed import probed

STANDARD = PRESETS["standard"]


def cases(count: int, profile: str = "standard") -> list[Generated]:
    return [generate(Source.fresh("probed", i), PRESETS[profile]) for i in range(count)]


def probes(case: Generated) -> list[str]:
    return [e.name for e in case.module.exports if e.name.startswith("p")]


def test_one_case_in_six_has_one_to_three_probes() -> None:
    found = Counter(len(choose_probes(Source.fresh(i), STANDARD)) for i in range(3000))
    assert set(found) == {0, 1, 2, 3}
    assert 1 / 8 < 1 - found[0] / 3000 < 1 / 5


def test_the_empty_tape_has_none() -> None:
    assert choose_probes(Source.replay([]), STANDARD) == []


def test_a_tape_rebuilds_the_probes() -> None:
    for i in range(200):
        source = Source.fresh(i)
        found = choose_probes(source, STANDARD)
        assert choose_probes(Source.replay(source.tape), STANDARD) == found


def test_every_row_is_probed_with_payloads_and_indices_out_of_range() -> None:
    drawn: dict[str, set[int]] = {}
    for i in range(3000):
        for row, calls in choose_probes(Source.fresh(i), STANDARD):
            drawn.setdefault(row.name, set()).update(bits for operands in calls for bits in operands)
    assert set(drawn) == {row.name for row in RELAXED}
    assert any(bits & 0xFFFFFFFF in (0x7FA00000, 0xFF812345) for bits in drawn["f32x4.relaxed_min"])
    assert any(16 <= bits & 0xFF < 128 for bits in drawn["i8x16.relaxed_swizzle"])
    assert any(bits & 0xFF == 0x80 for bits in drawn["i16x8.relaxed_dot_i8x16_i7x16_s"])


@pytest.mark.parametrize("profile", [replace(STANDARD, features=STANDARD.features - {RELAXED_SIMD}), PRESETS["wasm-2"]])
def test_without_the_feature_nothing_is_drawn(profile) -> None:
    source = Source.fresh(1)
    assert not any(choose_probes(source, profile) for _ in range(50))
    assert source.tape == []


def test_without_nan_no_producer_is_probed() -> None:
    found = [row for i in range(500) for row, _ in choose_probes(Source.fresh(i), PRESETS["no-nan"])]
    assert found
    assert not any(row.nan for row in found)


def test_a_generated_probe_is_recognised_and_nothing_else_refers_to_it() -> None:
    seen = 0
    for case in cases(60):
        names = probes(case)
        module = decode(case.wasm, STANDARD.features)
        validate(module, STANDARD.features)
        assert list(probed(case.wasm)) == names
        first = len(module.funcs) - len(names) + sum(e.name.startswith("h") for e in module.imports)
        bodies = [i for code in module.codes[: len(module.codes) - len(names)] for i in code.body]
        inits = [i for elem in module.elems for init in elem.init for i in init]
        inits += [i for g in module.globals for i in g.init]
        for i in (*bodies, *inits):
            used = [imm for kind, imm in zip(i.row.imms, i.imms, strict=True) if kind.name == "funcidx"]
            assert all(x < first for x in used)
        calls = [s["export"] for s in case.plan.steps if s.kind == "call"]
        assert set(names) <= set(calls)
        if names:
            seen += 1
            assert case.plan.steps[-1].kind == "observe"
            assert calls[-1] == names[-1]
    assert seen > 3
