"""Plans for one module: every exported function is called, with as many edges as there is room for."""

from __future__ import annotations

from collections import Counter

import pytest

from harness.single import MANY, ROUNDS, plan_of_module
from tests.support.wasm import wasm


@pytest.mark.parametrize(("functions", "calls"), [(2, ROUNDS), (MANY // 4, 4), (MANY + 50, 1)])
def test_every_exported_function_is_called(functions, calls):
    text = "".join(f'(func (export "f{n}") (param i32))' for n in range(functions))
    plan = plan_of_module(wasm(text), (), None, ())
    counts = Counter(step["export"] for step in plan.steps if step.kind == "call")
    assert counts == {f"f{n}": calls for n in range(functions)}


def test_what_has_no_parameters_is_called_once():
    plan = plan_of_module(wasm('(func (export "f"))'), (), None, ())
    assert [step.kind for step in plan.steps] == ["validate", "instantiate", "observe", "call", "observe"]
