"""128-bit arithmetic on pairs of i64 is arithmetic on integers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.instructions import TABLE
from engine.numerics.ints import signed
from tests.support.wasm import run

edges = st.sampled_from([0, 1, 2**63 - 1, 2**63, 2**64 - 1])
i64 = edges | st.integers(0, 2**64 - 1)
pairs = st.tuples(i64, i64)


def value(pair) -> int:
    return pair[0] | pair[1] << 64


def halves(i: int) -> tuple[int, int]:
    return i % 2**64, i // 2**64 % 2**64


@given(pairs, pairs)
def test_sums_and_differences_wrap_at_128_bits(p, q):
    assert TABLE.by_name["i64.add128"].run(*p, *q) == halves(value(p) + value(q))
    assert TABLE.by_name["i64.sub128"].run(*p, *q) == halves(value(p) - value(q))


@given(i64, i64)
def test_products_are_whole(i, j):
    assert TABLE.by_name["i64.mul_wide_u"].run(i, j) == halves(i * j)
    assert TABLE.by_name["i64.mul_wide_s"].run(i, j) == halves(signed(64, i) * signed(64, j))


def test_two_results_in_the_middle_of_an_expression():
    text = """(func (export "f") (param i64) (result i64 i64 i64)
      (local.get 0) (i64.mul_wide_u (local.get 0) (local.get 0)) (local.set 0 (i64.const 1)))"""
    assert run(text, "f", 2**63) == [2**63, 0, 2**62]
