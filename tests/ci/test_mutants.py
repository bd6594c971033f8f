"""The gate of mutated modules: what it makes, and that it would notice."""

from __future__ import annotations

import pytest

from ci.gates import mutants, pool
from ci.gates.material import bases
from ci.gates.mutations import join, mutant, split
from engine import MalformedError


def test_a_small_run_is_clean_and_gets_past_each_check():
    tally = pool.run_chunk(mutants.GATE, seed=1, start=0, end=400)
    assert tally.failures == []
    assert tally.counts.total() == 400
    assert {"accepted", "malformed", "invalid"} <= set(tally.counts)


def test_a_mutant_depends_on_seed_and_index_alone():
    some = [mutant(3, i) for i in range(20)]
    assert [mutant(3, i) for i in reversed(range(20))] == some[::-1]
    assert [mutant(4, i) for i in range(20)] != some


def test_splitting_and_joining_keep_a_valid_module():
    for wasm in bases(1):
        assert join(split(wasm)) == wasm


@pytest.mark.parametrize("error", [KeyError("x"), RecursionError(), MemoryError(), MalformedError("no offset")])
def test_an_escaped_exception_or_a_missing_place_is_a_failure(monkeypatch, error):
    def broken(data, features):
        raise error

    monkeypatch.setattr(mutants, "decode", broken)
    assert [i for i, _ in pool.run_chunk(mutants.GATE, seed=1, start=0, end=3).failures] == [0, 1, 2]
