"""Pools: the same results from processes as from this one, and none lost when a process dies."""

from __future__ import annotations

import os
import signal
from dataclasses import replace

import pytest

from generators.profile import PRESETS
from harness import pool as pools
from harness.checks import ALL_CHECKS
from harness.divergences import Registry
from harness.pool import InProcess, PoolFault, Processes, Setup

SETUP = Setup((("reference", "reference:plant=tee"),), 1, "standard", PRESETS["standard"], Registry(), ALL_CHECKS)
CASES = range(24)


def collect(pool, kill_after=None):
    """Run CASES and return what is stable of each result by index; kill a process after so many results."""
    waiting = list(CASES)
    results = {}
    while len(results) < len(CASES):
        while waiting and pool.room > 0:
            pool.put(waiting.pop(0))
        for result in pool.get(1.0):
            assert result.index not in results
            signatures = sorted(found.signature for found in result.found)
            results[result.index] = (result.digest, result.executed, dict(result.counts), signatures)
        if kill_after is not None and len(results) >= kill_after:
            os.kill(pool._children[0].process.pid, signal.SIGKILL)
            kill_after = None
    return results


@pytest.fixture(scope="module")
def expected():
    pool = InProcess(SETUP.examiners())
    try:
        results = collect(pool)
    finally:
        pool.close()
    assert any(signatures for *_, signatures in results.values())
    return results


def test_processes_give_the_results_of_one(expected):
    pool = Processes(SETUP, 2)
    try:
        assert collect(pool) == expected
    finally:
        pool.close()


def test_a_process_that_dies_is_replaced_and_its_cases_run_again(expected):
    pool = Processes(SETUP, 1)
    try:
        assert collect(pool, kill_after=2) == expected
    finally:
        pool.close()


def test_closing_ends_every_process():
    pool = Processes(SETUP, 2)
    processes = [child.process for child in pool._children]
    pool.put(0)
    pool.close()
    assert all(process.exitcode is not None for process in processes)


def test_processes_that_cannot_work_are_reported():
    pool = Processes(replace(SETUP, benches=(("reference", "reference:plant=nothing"),)), 1)
    pool.put(0)
    try:
        with pytest.raises(PoolFault, match="no planted bug 'nothing'"):
            pool.get(60)
    finally:
        pool.close()


def test_processes_that_keep_dying_are_given_up(monkeypatch):
    monkeypatch.setattr(pools, "MAX_DEATHS", 1)
    pool = Processes(SETUP, 1)
    try:
        with pytest.raises(PoolFault):
            while True:
                os.kill(pool._children[0].process.pid, signal.SIGKILL)
                pool.get(60)
    finally:
        pool.close()
