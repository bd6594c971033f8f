"""Random cases: every grade of closures gives the same records, and they are those of wasmtime."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.execution.build import Build
from engine.instructions import TABLE
from generators.module import generate
from generators.profile import PRESETS
from generators.source import Source
from harness import baselines
from harness.compare import Agree, Differ, Side, compare
from harness.divergences import load
from oracles.adapters import reference, wasmtime
from oracles.outcome import Record

BUILDS = [Build(inline=False), Build(fold=False), Build(inline=False, fold=False)]


def play(adapter, plan):
    session = adapter.open(plan)
    records = [Record(i, *session.run(step)) for i, step in enumerate(plan.steps)]
    session.close()
    return records


def ours(plan, build=None):
    adapter = reference.ReferenceAdapter()
    adapter.build = build
    return play(adapter, plan)


def verdict(plan, left, right):
    return compare(plan, Side("reference", left), Side("reference", right)).verdict


@pytest.mark.parametrize("profile", ["standard", "module-nan", "large"])
def test_random_cases_agree_with_wasmtime(profile):
    adapter = wasmtime.adapter("")
    version, registry = adapter.describe().version, load(baselines() / "divergences.toml")
    shared = frozenset(f for f in PRESETS[profile].features if f.name in {"mvp", *adapter.describe().features})
    for i in range(60 if profile != "large" else 8):
        plan = generate(Source.fresh("agrees", i), replace(PRESETS[profile], features=shared)).plan
        left, right = Side("reference", ours(plan)), Side("wasmtime", play(adapter, plan), "wasmtime", version)
        found = compare(plan, left, right).verdict
        if not isinstance(found, Differ) or registry.explain(plan, left, right, found) is None:
            assert found == Agree(), i


@pytest.mark.parametrize("build", BUILDS, ids=["shaped", "unfolded", "plain"])
def test_random_cases_do_not_tell_builds_apart(build):
    for i in range(40):
        plan = generate(Source.fresh("builds", i), PRESETS["standard"]).plan
        assert ours(plan, build) == ours(plan), i


def test_a_planted_bug_is_told_apart():
    build = Build(table=TABLE.replace("i32.and", run=lambda i, j: i))
    plans = [generate(Source.fresh("agrees", i), PRESETS["standard"]).plan for i in range(40)]
    assert any(verdict(plan, ours(plan), ours(plan, build)) != Agree() for plan in plans)
