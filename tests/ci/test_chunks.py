"""Work in processes: in order, with progress, whatever dies, and with nothing left behind by an interrupt."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import subprocess
import sys
import time
from importlib import import_module

import psutil
import pytest

from ci.gates import chunks
from ci.gates.chunks import MAX_DEATHS, Progress, each, ranges

WORK = """
import os, time

def doubled(numbers): return [2 * n for n in numbers]
def deadly(numbers):
    if 4 in numbers or 7 in numbers: os._exit(1)
    return list(numbers)
def always_deadly(numbers): os._exit(1)
def failing(numbers): raise TimeoutError("of its own")
def slow(numbers):
    time.sleep(1.5)
    return list(numbers)
def endless(numbers): time.sleep(1000)
"""


@pytest.fixture
def work(tmp_path, monkeypatch):
    """Return functions that other processes find too, by name."""
    (tmp_path / "chunk_work.py").write_text(WORK)
    monkeypatch.syspath_prepend(tmp_path)
    return lambda name: getattr(import_module("chunk_work"), name)


def nothing() -> None:
    """Tell nothing."""


def test_ranges_cover_what_is_asked_for_and_no_more():
    assert ranges(3, 10, 4) == [range(3, 7), range(7, 11), range(11, 13)]
    assert ranges(0, 0, 4) == []


@pytest.mark.parametrize("jobs", [1, 2])
def test_results_come_in_order(work, jobs):
    todo = ranges(0, 9, 2)
    assert list(each(work("doubled"), todo, jobs, nothing)) == [(r, [2 * n for n in r]) for r in todo]


def test_a_process_that_dies_costs_the_index_that_it_died_of(work):
    found = list(each(work("deadly"), ranges(0, 12, 3), 2, nothing))
    assert [i for indices, _ in found for i in indices] == list(range(12))
    assert [(indices, result) for indices, result in found if result is None] == [
        (range(4, 5), None), (range(7, 8), None)
    ]  # fmt: skip


def test_where_everything_dies_it_ends(work):
    found = list(each(work("always_deadly"), ranges(0, 50, 10), 2, nothing))
    assert found == [(range(i, i + 1), None) for i in range(MAX_DEATHS)]


def test_what_the_work_raises_comes_out(work):
    with pytest.raises(TimeoutError, match="of its own"):
        list(each(work("failing"), ranges(0, 2, 1), 1, nothing))


def test_while_nothing_comes_there_are_ticks(work):
    ticks: list[int] = []
    (found,) = each(work("slow"), [range(1)], 1, lambda: ticks.append(1))
    assert found == (range(1), [0])
    assert ticks


def test_who_closes_it_leaves_no_process_behind(work):
    def interrupt() -> None:
        raise KeyboardInterrupt

    before = multiprocessing.active_children()
    with (
        pytest.raises(KeyboardInterrupt),
        contextlib.closing(each(work("endless"), ranges(0, 4, 1), 2, interrupt)) as results,
    ):
        next(results)
    assert [child for child in multiprocessing.active_children() if child not in before] == []


@pytest.mark.parametrize(
    "gate",
    [
        ("fuel", "--modules", "100000", "--engines", "wasmtime"),
        ("debugging", "--programs", "100000"),
        ("lockstep", "--modules", "100000", "--budgets", "1", "--engine", "wasmtime"),
        ("mutants",),
    ],
    ids=lambda gate: gate[0],
)
def test_an_interrupted_gate_says_what_it_has_seen_and_leaves_nothing_behind(gate):
    name, *arguments = gate
    command = [sys.executable, "-m", f"ci.gates.{name}", *arguments]
    with started(command) as process:
        assert process.stderr is not None
        line = process.stderr.readline()  # of progress: it is not a terminal
        began = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert "/s, " in line
    assert began
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert out.splitlines()[-1].split()[0].strip(":0123456789,") in (name, "modules", "")
    deadline = time.monotonic() + 10
    while any(_is_alive(p) for p in began) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [p for p in began if _is_alive(p)] == []


def started(command: list[str]) -> subprocess.Popen[str]:
    """Start a command that takes interrupts, also where whoever runs the tests ignores them."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
    finally:
        signal.signal(signal.SIGINT, before)


def _is_alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


@pytest.mark.parametrize(
    "gate", [("fuel", "--engines"), ("debugging", "--oracle"), ("lockstep", "--budgets=1", "--engine")]
)
def test_an_unknown_engine_is_said_in_a_sentence(gate):
    name, *arguments = gate
    command = [sys.executable, "-m", f"ci.gates.{name}", *arguments, "nothing"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert found.returncode == 2
    assert found.stderr.splitlines()[-1].partition("error: ")[2].startswith("no oracle 'nothing'; known: reference, ")


def test_progress_is_told_after_two_seconds_and_less_and_less_often(capsys, monkeypatch):
    now = 100.0
    monkeypatch.setattr(chunks.time, "monotonic", lambda: now)
    progress = Progress("planted", 5_000)
    told = []
    for second in range(1, 200):
        now = 100.0 + second
        progress.tell(10 * second, "1 failure")
        if capsys.readouterr().err == f"planted: {10 * second:,} of 5,000, 10/s, 1 failure\n":
            told.append(second)
    assert told == [2, 4, 8, 16, 32, 62, 92, 122, 152, 182]
