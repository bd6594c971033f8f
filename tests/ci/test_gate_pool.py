"""The pool of the gates: that it would notice, that it ends, and what it says meanwhile."""

from __future__ import annotations

import signal
from binascii import hexlify
from importlib import import_module

import pytest

from ci.gates import mutants, pool

PLANTED = """
import os

def make(seed, i): return b"%d %d" % (seed, i)
def word(data): return "accepted" if data.endswith(b"0") else "rejected"
def odd(data): return word(data) if int(data.split()[1]) % 2 else 1 // 0
def large(data): return str(len(bytearray(1 << 40)))
def deadly(data): os._exit(1)
"""


@pytest.fixture
def planted(tmp_path, monkeypatch):
    """Return gates with the planted checks, which other processes find too."""
    (tmp_path / "planted_gate.py").write_text(PLANTED)
    monkeypatch.syspath_prepend(tmp_path)
    module = import_module("planted_gate")
    return lambda check: pool.Gate("planted", module.make, getattr(module, check), hexlify)


def judged(check, limit_s=1.0):
    word, failed, _ = pool.verdict(pool.Gate("g", lambda seed, i: b"", check, hexlify), b"abc", limit_s)
    return word, failed


def raises(error):
    raise error


def test_a_word_is_what_became_of_an_input():
    assert judged(lambda data: data.decode()) == ("abc", False)


@pytest.mark.parametrize("error", [KeyError("x"), RecursionError("x"), MemoryError("x")])
def test_what_escapes_is_a_failure(error):
    word, failed = judged(lambda data: raises(error))
    assert word.startswith(f"{type(error).__name__}: ")
    assert failed


def test_what_takes_too_long_is_a_failure():
    word, failed = judged(lambda data: f"sum {sum(range(4_000_000))}", limit_s=0.0)
    assert word.startswith("slow: ")
    assert word.endswith(" ms for 3 bytes, sum 7999998000000")
    assert failed


def test_what_never_ends_is_interrupted():
    def endless(data):
        while True:
            pass

    before = signal.getsignal(signal.SIGPROF)
    assert judged(endless, limit_s=0.001) == ("no end in 0.02 s for 3 bytes", True)
    assert signal.getsignal(signal.SIGPROF) is before
    assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)


@pytest.mark.parametrize("jobs", [1, 2])
def test_processes_find_what_one_finds(planted, jobs, monkeypatch):
    monkeypatch.setattr(pool, "CHUNK", 7)
    gate = planted("odd")
    tally, alone = pool.run(gate, 3, 40, jobs), pool.run_chunk(gate, 3, 0, 40)
    assert (tally.counts, tally.failures) == (alone.counts, alone.failures)
    assert (tally.done, len(tally.failures)) == (40, 20)
    assert tally.peak_bytes > 1 << 20


def test_failures_are_told_with_the_command_that_repeats_them(planted, capsys, monkeypatch):
    monkeypatch.setattr(pool, "SHOWN", 2)
    assert pool.main(planted("odd"), "About it.", 10, ["--jobs", "1", "--seed", "4"]) == 1
    first, second, last = capsys.readouterr().out.splitlines()
    command = "(python -m ci.gates.planted --seed 4 --only {})"
    assert first == "planted 0: ZeroDivisionError: integer division or modulo by zero  " + command.format(0)
    assert second.endswith(command.format(2))
    assert last.startswith("10 planted: 5 rejected; slowest ")
    assert last.endswith(" MiB; 5 failures")


def test_a_clean_run_says_so(planted, capsys):
    assert pool.main(planted("word"), "About it.", 1_001, ["--jobs", "1"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("1,001 planted: 900 rejected, 101 accepted; slowest ")
    assert line.endswith("; no failures")


def test_the_memory_of_workers_is_bounded(planted):
    assert [word for _, word in pool.run(planted("large"), 1, 1, 1).failures] == ["MemoryError: "]


def test_a_worker_that_dies_is_a_failure(planted, capsys):
    assert pool.main(planted("deadly"), "About it.", 3, ["--jobs", "1"]) == 1
    *told, last = capsys.readouterr().out.splitlines()
    assert [line.partition("  (")[0] for line in told] == [f"planted {i}: a worker died" for i in range(3)]
    assert last.endswith(" 3 failures")


def test_an_interrupted_run_says_how_far_it_came(planted, capsys, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(pool.Progress, "tell", interrupt)
    assert pool.main(planted("word"), "About it.", 2_000, ["--jobs", "1"]) == 130
    assert capsys.readouterr().out.startswith("500 planted: ")


def test_one_input_is_shown_and_checked(planted, capsysbinary):
    assert pool.main(planted("word"), "About it.", 10, ["--only", "10"]) == 0
    assert capsysbinary.readouterr().out == hexlify(b"1 10") + b"\naccepted\n"
    with pytest.raises(ZeroDivisionError):
        pool.main(planted("odd"), "About it.", 10, ["--only", "10"])


def test_the_closing_line_names_the_most_frequent_words():
    tally = pool.Tally(slowest=(0.0421, 17), peak_bytes=61 << 20)
    tally.counts.update({f"word {n}": n for n in range(1, 15)})
    line = pool.closing(mutants.GATE, tally)
    assert line.startswith("105 mutants: 14 word 14, 13 word 13, ")
    assert line.endswith(", 3 word 3, 3 otherwise; slowest 42 ms (mutant 17), peak 61 MiB; no failures")
