"""A supervised worker may fail in any way at any step; the account stays right."""

from __future__ import annotations

import os
from collections import Counter

import pytest

from benchmarks.chaos import FAULTS, run
from oracles.outcome import Crashed

ROUNDS = int(os.environ.get("WFUZZ_CHAOS_ROUNDS", "2"))  # of every fault, in each of the four parts


@pytest.mark.parametrize("seed", range(4))
def test_every_case_is_accounted_for_exactly_once(seed: int) -> None:
    kinds = len(FAULTS) - 1
    account = run(ROUNDS * kinds, seed)
    assert account.wrong == []
    met = Counter(kind for kind, _ in account.outcomes.elements())
    assert all(met[kind] == ROUNDS for kind in FAULTS if kind != "nothing")


def test_the_account_notices_a_fault_that_is_taken_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FAULTS, "prints", Crashed)
    assert run(len(FAULTS) - 1, 1).wrong
