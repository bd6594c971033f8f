"""Modules that outlive their plan: made once for plans that differ, again for a plan that runs again, only a few."""

from __future__ import annotations

from dataclasses import replace

from oracles.kept import MAX_BYTES, MOST, Kept
from oracles.plan import Plan, Step

PLAN = Plan((Step("get_fuel", {}),), {"m": b"wasm"})
OTHER = replace(PLAN, steps=())


class Compiler:
    """Makes modules that are numbers, and notes which are released."""

    def __init__(self) -> None:
        self.made = 0
        self.released: list[int] = []
        self.kept = Kept(self.released.append)

    def get(self, wasm: bytes = b"wasm", plan: Plan = PLAN, setup: str = "fuel") -> int:
        return self.kept.get(setup, wasm, plan, self.make)

    def make(self) -> int:
        self.made += 1
        return self.made


def test_a_module_is_made_once_for_a_plan_and_for_those_derived_from_it():
    compiler = Compiler()
    assert [compiler.get(plan=plan) for plan in (PLAN, PLAN, OTHER, replace(OTHER))] == [1, 1, 1, 1]
    assert compiler.released == []


def test_a_plan_that_runs_again_has_its_module_made_again():
    compiler = Compiler()
    assert [compiler.get(plan=plan) for plan in (PLAN, OTHER, replace(PLAN))] == [1, 1, 2]
    assert compiler.released == [1]


def test_another_binary_or_setup_is_another_module():
    compiler = Compiler()
    assert [compiler.get(), compiler.get(b"more"), compiler.get(setup="no fuel"), compiler.get()] == [1, 2, 3, 1]


def test_the_modules_that_were_not_asked_for_the_longest_are_released():
    compiler = Compiler()
    for n in range(MOST):
        compiler.get(b"%d" % n)
    compiler.get(b"0")
    compiler.get(b"one more")
    assert compiler.released == [2]
    assert compiler.get(b"0") == 1


def test_large_modules_are_kept_for_their_own_plan_alone():
    compiler = Compiler()
    large = bytes(MAX_BYTES + 1)
    assert (compiler.get(large), compiler.get(large)) == (1, 1)
    compiler.get(b"small")
    assert compiler.released == [1]


def test_what_is_refused_is_not_kept():
    compiler = Compiler()

    def refuse() -> int:
        raise ValueError

    for _ in range(2):
        try:
            compiler.kept.get("fuel", b"wasm", PLAN, refuse)
        except ValueError:
            continue
        raise AssertionError("nothing was refused")
    assert compiler.get() == 1
