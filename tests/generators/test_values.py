"""Interesting values are values, simplest first, and pairs of them come up."""

from __future__ import annotations

import pytest

from engine.types import F32, F64, I32, I64, NumType
from generators.source import Source
from generators.values import EDGES, SHARP, choose_bits, choose_sharp

TYPES = (I32, I64, F32, F64)


@pytest.mark.parametrize("t", TYPES, ids=str)
def test_edges_fit_their_type_and_occur_once(t: NumType) -> None:
    assert all(0 <= bits < 2**t.bits for bits in EDGES[t])
    assert len(set(EDGES[t])) == len(EDGES[t])
    assert set(SHARP[t]) <= set(EDGES[t])


@pytest.mark.parametrize("t", TYPES, ids=str)
def test_the_simplest_value_is_zero(t: NumType) -> None:
    assert EDGES[t][0] == SHARP[t][0] == 0
    assert choose_bits(Source.replay([]), t) == 0


def test_the_pairs_that_break_engines_come_up() -> None:
    source = Source.fresh(5)
    pairs = {(choose_sharp(source, I32), choose_sharp(source, I32)) for _ in range(500)}
    assert (1 << 31, 0xFFFF_FFFF) in pairs
    floats = {(choose_sharp(source, F32), choose_sharp(source, F32)) for _ in range(700)}
    assert {(0, 1 << 31), (1 << 31, 0)} <= floats


@pytest.mark.parametrize(("bits", "t"), [(0x4F000000, F32), (0x41E0_0000_0000_0000, F64), (0x43F0_0000_0000_0000, F64)])
def test_limits_of_conversions_are_edges(bits: int, t: NumType) -> None:
    assert {bits - 1, bits, bits + 1} <= set(EDGES[t])
