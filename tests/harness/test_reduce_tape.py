"""Reduction of tapes and lists: what is left is minimal, and every answer is asked for once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generators.source import Source
from harness.reduce.check import BudgetSpent
from harness.reduce.chunks import delete_chunks
from harness.reduce.tape import TapeReducer
from oracles.plan import Plan, Step


@given(st.lists(st.integers(0, 20), max_size=40), st.sets(st.integers(0, 20), max_size=5))
def test_deleting_leaves_only_what_is_needed(items, needed):
    def holds(kept):
        return needed & set(items) <= set(kept)

    kept = delete_chunks(items, holds)
    assert sorted(kept) == sorted(needed & set(items))


@given(st.lists(st.booleans(), min_size=1, max_size=60))
def test_deleting_is_minimal_where_items_depend_on_each_other(items):
    """Needs as many true items as there are false ones kept, and one true at least."""

    def holds(kept):
        return any(kept) and sum(kept) >= len(kept) / 2

    if holds(items):
        kept = delete_chunks(items, holds)
        assert not any(holds(kept[:i] + kept[i + 1 :]) for i in range(len(kept)))


def program(source: Source) -> Plan:
    """A program of functions of statements: each a label and an amount."""
    steps = []
    for _ in range(source.below(6)):
        with source.span("function"):
            for _ in range(source.below(6)):
                with source.span("statement"):
                    steps.append(
                        Step("call", {"instance": "m", "export": "f", "args": [source.below(4), source.bits(32)]})
                    )
    return Plan(tuple(steps))


def big(plan):
    return any(kind == 3 and amount > 1000 for kind, amount in (s["args"] for s in plan.steps))


def interesting(seed):
    source = Source.fresh("tape", seed)
    plan = program(source)
    return source.tape if big(plan) else None


TAPES = [tape for tape in map(interesting, range(40)) if tape is not None]


@pytest.mark.parametrize("tape", TAPES[:12])
def test_a_tape_shrinks_to_the_simplest_program(tape):
    best = TapeReducer(tape, program, big).reduce()
    assert [s["args"] for s in best.plan.steps] == [[3, 1001]]
    assert best.choices == (1, 1, 3, 1001)


def test_the_reduced_tape_rebuilds_its_plan():
    best = TapeReducer(TAPES[0], program, big).reduce()
    assert program(Source.replay(best.choices)) == best.plan


def test_a_tape_is_never_tried_twice_and_never_grows():
    seen = []

    def holds(plan):
        seen.append(plan)
        return big(plan)

    reducer = TapeReducer(TAPES[0], program, holds)
    orders = [reducer.best.order]
    real = reducer.attempt

    def attempt(choices):
        taken = real(choices)
        orders.append(reducer.best.order)
        return taken

    reducer.attempt = attempt
    reducer.reduce()
    assert orders == sorted(orders, reverse=True)
    before = len(seen)
    reducer.reduce()
    assert len(seen) == before


def test_a_spent_budget_keeps_the_best_so_far():
    left = 30

    def holds(plan):
        nonlocal left
        left -= 1
        if left < 0:
            raise BudgetSpent
        return big(plan)

    reducer = TapeReducer(TAPES[1], program, holds)
    best = reducer.reduce()
    assert big(best.plan)
    assert best.order <= TapeReducer(TAPES[1], program, big).best.order


def test_a_generator_that_refuses_a_tape_is_no_candidate():
    def build(source):
        plan = program(source)
        if len(plan.steps) % 2:
            raise ValueError("odd")
        return plan

    even = next(t for t in TAPES if len(program(Source.replay(t)).steps) % 2 == 0)
    best = TapeReducer(even, build, big).reduce()
    assert len(best.plan.steps) == 2
