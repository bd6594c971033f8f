"""Hostile inputs by the hundred thousand, in processes of bounded memory: what the gates that make them share.

A gate makes input ``i`` as a function of the seed and ``i`` alone and checks it: a word for what became of it, or
whatever escapes, which is the failure looked for.  Too much processor time is one too, and an input that would never
end is interrupted.  Failures are told as they are found, progress on the standard error where a run takes more than
two seconds, and the closing line says how slow and how large it got.
"""

from __future__ import annotations

import argparse
import contextlib
import resource
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from ci.gates.chunks import Progress, each, ranges, settle

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

__all__ = ["Gate", "Tally", "closing", "main", "run", "run_chunk"]

CHUNK = 500
HEAP_BYTES = 2 << 30
ENDLESS = 20  # times the limit: here an input is interrupted
SHOWN = 20  # failures
WORDS = 12
MIB = 1 << 20


class Gate(NamedTuple):
    """``make`` returns input ``i`` of a seed, ``check`` in a few words what became of one, ``show`` one to be printed.

    What escapes ``check`` is wrong.  All are functions of a module, for other processes to find them.
    """

    name: str
    make: Callable[[int, int], bytes]
    check: Callable[[bytes], str]
    show: Callable[[bytes], bytes]

    @property
    def one(self) -> str:
        """Return what one input is called."""
        return self.name.removesuffix("s")


@dataclass
class Tally:
    """How inputs fared: how many by word, what failed with its index, the slowest by processor time."""

    counts: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[int, str]] = field(default_factory=list)
    slowest: tuple[float, int] = (0.0, 0)  # seconds, index
    peak_bytes: int = 0
    is_interrupted: bool = False

    def add(self, other: Tally) -> None:
        self.counts += other.counts
        self.failures += other.failures
        self.slowest = max(self.slowest, other.slowest)

    @property
    def done(self) -> int:
        """Return how many inputs were checked."""
        return self.counts.total() + len(self.failures)


class _Endless(BaseException):
    """The time after which an input is interrupted is over."""


def _interrupt(_: int, frame: FrameType | None) -> None:
    raise _Endless


def verdict(gate: Gate, data: bytes, limit_s: float) -> tuple[str, bool, float]:
    """Return what became of an input, whether that is a failure, and the seconds of processor time it took."""
    before = signal.signal(signal.SIGPROF, _interrupt)
    start_s = time.process_time()
    failed = True
    try:
        signal.setitimer(signal.ITIMER_PROF, ENDLESS * limit_s)
        try:
            word, failed = gate.check(data), False
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
    except _Endless:
        word = f"no end in {ENDLESS * limit_s:g} s for {len(data)} bytes"
    except Exception as e:  # noqa: BLE001  the very thing to look for
        word = f"{type(e).__name__}: {str(e)[:200]}"
    finally:
        signal.signal(signal.SIGPROF, before)
    spent_s = time.process_time() - start_s
    if spent_s > limit_s and not failed:
        word, failed = f"slow: {spent_s * 1000:.0f} ms for {len(data)} bytes, {word}", True
    return word, failed, spent_s


def run_chunk(gate: Gate, seed: int, start: int, end: int, limit_s: float = 1.0) -> Tally:
    """Return how inputs ``start <= i < end`` fared."""
    tally = Tally()
    for i in range(start, end):
        word, failed, spent_s = verdict(gate, gate.make(seed, i), limit_s)
        tally.slowest = max(tally.slowest, (spent_s, i))
        if failed:
            tally.failures.append((i, word))
        else:
            tally.counts[word] += 1
    return tally


def _settle() -> None:
    """Bound the memory of a worker, and leave it to the parent what an interrupt means."""
    resource.setrlimit(resource.RLIMIT_DATA, (HEAP_BYTES, resource.getrlimit(resource.RLIMIT_DATA)[1]))
    settle()


def run(gate: Gate, seed: int, count: int, jobs: int, limit_s: float = 1.0) -> Tally:
    """Return how ``count`` inputs fared, failures told as they are found; an interrupt ends it with what there is."""
    tally = Tally()
    progress = Progress(gate.name, count)

    def tell() -> None:
        progress.tell(tally.done, _failures(tally))

    work = partial(_chunk, gate, seed, limit_s)
    try:
        with contextlib.closing(each(work, ranges(0, count, CHUNK), jobs, tell, _settle)) as results:
            for inputs, result in results:
                some = Tally(failures=[(inputs[0], "a worker died")]) if result is None else result
                for i, word in some.failures[: max(0, SHOWN - len(tally.failures))]:
                    print(_failure(gate, seed, i, word), flush=True)
                tally.add(some)
                tell()
    except KeyboardInterrupt:
        tally.is_interrupted = True
    progress.end()
    tally.peak_bytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss << 10
    return tally


def _chunk(gate: Gate, seed: int, limit_s: float, inputs: range) -> Tally:
    return run_chunk(gate, seed, inputs.start, inputs.stop, limit_s)


def _failure(gate: Gate, seed: int, i: int, word: str) -> str:
    return f"{gate.one} {i}: {word}  (python -m ci.gates.{gate.name} --seed {seed} --only {i})"


def _failures(tally: Tally) -> str:
    n = len(tally.failures)
    return f"{n or 'no'} failure{'s' * (n != 1)}"


def closing(gate: Gate, tally: Tally) -> str:
    """Return the line that says how a run went."""
    words = tally.counts.most_common(WORDS)
    rest = tally.counts.total() - sum(n for _, n in words)
    counts = ", ".join([f"{n:,} {word}" for word, n in words] + [f"{rest:,} otherwise"] * (rest > 0))
    slowest_s, i = tally.slowest
    size = f"slowest {slowest_s * 1000:.0f} ms ({gate.one} {i}), peak {tally.peak_bytes // MIB} MiB"
    return f"{tally.done:,} {gate.name}: {counts or 'nothing'}; {size}; {_failures(tally)}"


def main(gate: Gate, about: str | None, count: int, args: Sequence[str] | None = None) -> int:
    """Run a gate as its command line says, ``count`` inputs unless told otherwise; return the exit status."""
    parser = argparse.ArgumentParser(
        description=(about or "").partition("\n")[0], prog=f"python -m ci.gates.{gate.name}"
    )
    parser.add_argument("--count", type=int, default=count, help=f"how many inputs  [{count:,}]")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--limit-s", type=float, default=1.0, help="processor time that an input may take  [1]")
    parser.add_argument("--only", type=int, metavar="I", help="check one input and let its exception out")
    options = parser.parse_args(args)
    if options.only is not None:
        data = gate.make(options.seed, options.only)
        sys.stdout.buffer.write(gate.show(data) + b"\n")
        sys.stdout.flush()
        print(gate.check(data))
        return 0
    tally = run(gate, options.seed, options.count, options.jobs, options.limit_s)
    print(closing(gate, tally))
    if tally.failures:
        return 1
    return 130 if tally.is_interrupted else 0
