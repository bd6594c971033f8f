"""The choice tape: bounded, recorded, replayed, the same everywhere."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generators.source import Source, Span

BOUNDS = st.lists(st.integers(1, 1 << 70), max_size=60)


@given(st.integers(0, 1 << 64), BOUNDS)
def test_every_choice_is_below_its_bound(seed: int, bounds: list[int]) -> None:
    source = Source.fresh(seed)
    assert all(0 <= source.below(b) < b for b in bounds)


@given(st.integers(0, 1 << 64), BOUNDS)
def test_a_tape_replays_to_the_same_choices(seed: int, bounds: list[int]) -> None:
    first = Source.fresh(seed)
    choices = [first.below(b) for b in bounds]
    second = Source.replay(first.tape)
    assert [second.below(b) for b in bounds] == choices
    assert second.tape == first.tape


@given(st.lists(st.integers(-5, 1 << 70)), BOUNDS)
def test_any_tape_is_a_tape(tape: list[int], bounds: list[int]) -> None:
    source = Source.replay(tape)
    assert all(0 <= source.below(b) < b for b in bounds)


def test_an_exhausted_tape_answers_the_simplest() -> None:
    source = Source.replay([3])
    assert [source.below(10), source.below(10), source.choose("abc")] == [3, 0, "a"]
    assert source.chance(99) is False


def test_choices_are_bounded_in_number() -> None:
    source = Source.fresh(1, limit=5)
    for _ in range(20):
        source.below(1000)
    assert len(source.tape) == 5
    assert source.exhausted


def test_a_bound_of_one_is_no_choice() -> None:
    source = Source.fresh(1)
    assert source.below(1) == 0
    assert source.tape == []


def test_spans_mark_what_was_chosen_inside() -> None:
    source = Source.fresh(1)
    source.below(9)
    with source.span("outer"):
        source.below(9)
        with source.span("inner"):
            source.bits(64)
        with source.span("empty"):
            pass
    assert source.spans == [Span(2, 3, "inner"), Span(1, 3, "outer")]


def test_weights_are_kept() -> None:
    source = Source.fresh(7)
    counts = [0, 0, 0]
    for _ in range(3000):
        counts[source.weighted([10, 10, 30])] += 1
    assert counts[1] == 0
    assert 800 < counts[0] < 1200


@pytest.mark.parametrize("hashseed", ["0", "77"])
def test_a_seed_means_the_same_in_every_process(hashseed: str) -> None:
    program = "from generators.source import Source; s = Source.fresh(3, 'x'); print([s.below(1000) for _ in range(9)])"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": hashseed}
    )
    source = Source.fresh(3, "x")
    assert run.stdout.strip() == str([source.below(1000) for _ in range(9)])
    assert run.stdout.strip() == "[257, 102, 341, 537, 829, 340, 213, 983, 130]"
