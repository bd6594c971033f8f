"""Which polls are pauses: the rule on its own, without an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from oracles.adapters.wasmtime_polls import COLLECTION, Polls

if TYPE_CHECKING:
    from collections.abc import Sequence

HOST = -1


class Session:
    """What :class:`Polls` talks to; ``polls`` are what is left at each, or HOST."""

    def __init__(self, *intervals: int) -> None:
        self.suspended = self.unsure = False
        self.intervals: Sequence[int] = intervals
        self.interval = intervals[0]
        self.slice_fuel = self.left = 1000
        self.told: list[str | int] = []

    def fuel(self) -> int:
        return self.left

    def pause(self, cause: str) -> None:
        self.told.append(self.left if cause == "fuel" else cause)
        self.interval = self.intervals[min(len(self.told), len(self.intervals) - 1)]

    def take_back(self) -> None:
        self.told.pop()

    def play(self, polls: Sequence[int], is_told: bool = True) -> Session:
        seen = Polls(self, is_told)
        for left in polls:
            self.suspended = left == HOST
            self.left = self.left if left == HOST else left
            seen.missed()
        seen.end()
        return self


def at(left: int) -> list[int]:
    return [left] * COLLECTION


@pytest.mark.parametrize(
    ("polls", "told"),
    [
        ([990, 980], [990, 980]),
        ([HOST, HOST, 990], ["host", "host", 990]),
        (at(1000), []),
        (at(995), []),
        ([*at(995), 990, *at(990), *at(985), 975], [990, 975]),
        ([*at(990), 980], [980]),  # as much was spent, but the engine had not looked
        ([990, *at(990), *at(990), 980], [990, 980]),
        ([*at(995), HOST, *at(995), 990], ["host", 990]),
    ],
)
def test_polls_of_collections_are_no_pauses(polls: list[int], told: list[str | int]) -> None:
    session = Session(10).play(polls)
    assert session.told == told
    assert not session.unsure


def test_a_slice_begins_where_it_would_have_without_what_is_taken_back() -> None:
    assert Session(10).play([*at(989), 988]).told == [988]


@pytest.mark.parametrize("polls", [[995], [995] * 3, [990] * 2, [990] * (COLLECTION - 1)])
def test_polls_that_have_no_explanation_make_the_pauses_unsure(polls: list[int]) -> None:
    assert Session(10).play(polls).unsure


def test_a_change_of_interval_cannot_be_taken_back() -> None:
    assert Session(10, 20).play(at(990)).unsure
    assert not Session(10, 10, 20).play(at(990)).unsure


def test_calls_of_host_functions_count_for_the_slice_and_tell_nothing() -> None:
    session = Session(10).play([990, 980, HOST], is_told=False)
    assert session.told == []
    assert session.slice_fuel == 980
