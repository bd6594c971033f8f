"""Work in processes, a range of indices at a time: what gates share that run for long.

Results come in order, and while one is waited for there is progress on the standard error.  A process that dies costs
no more than the index it died of.  An interrupt leaves no process behind.
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence
    from concurrent.futures import Future

__all__ = ["MAX_DEATHS", "Progress", "each", "ranges", "settle"]

T = TypeVar("T")
MAX_DEATHS = 5  # after which there is more wrong than a few indices
FIRST_S, MOST_S = 2.0, 30.0  # before the first line of progress, and between two of them in a long run


def ranges(start: int, count: int, size: int) -> list[range]:
    """Return ``count`` indices from ``start`` in ranges of ``size``."""
    end = start + count
    return [range(k, min(k + size, end)) for k in range(start, end, size)]


def settle() -> None:
    """Leave it to the parent what an interrupt means."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class Progress:
    """Lines on the standard error: on a terminal one that changes, elsewhere fewer and fewer, down to two a minute."""

    def __init__(self, name: str, count: int) -> None:
        self.name, self.count = name, count
        self.start_s = time.monotonic()
        self.next_s = FIRST_S
        self.is_terminal = sys.stderr.isatty()

    def tell(self, done: int, note: str) -> None:
        elapsed_s = time.monotonic() - self.start_s
        if elapsed_s < self.next_s:
            return
        self.next_s = elapsed_s + (FIRST_S if self.is_terminal else min(elapsed_s, MOST_S))
        rate = done / elapsed_s
        line = f"{self.name}: {done:,} of {self.count:,}, {rate:,.{0 if rate >= 10 else 1}f}/s, {note}"
        print(
            f"\r{line}" if self.is_terminal else line, end="" if self.is_terminal else "\n", file=sys.stderr, flush=True
        )

    def end(self) -> None:
        if self.is_terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def each(
    work: Callable[[range], T], todo: Sequence[range], jobs: int, tick: Callable[[], object],
    initializer: Callable[[], object] = settle,
) -> Generator[tuple[range, T | None], None, None]:  # fmt: skip
    """Yield every range with what ``work`` makes of it, in order; None for a single index of which the process died.

    ``tick`` is called about once a second while nothing comes.  After so many deaths as there may be, it ends.  Close
    it, or let an interrupt out of it, to end its processes at once.
    """
    rest, deaths = list(todo), 0
    while rest:
        done = 0
        for result in _together(work, rest, jobs, tick, initializer):
            yield rest[done], result
            done += 1
        alone = [range(i, i + 1) for i in rest[done]] if done < len(rest) else []  # one process died, here or later
        rest = rest[done + 1 :]
        while alone:
            done = 0
            for result in _together(work, alone, 1, tick, initializer, one_by_one=True):
                yield alone[done], result
                done += 1
            if done < len(alone):
                yield alone[done], None
                deaths += 1
                if deaths >= MAX_DEATHS:
                    return
            alone = alone[done + 1 :]


def _together(
    work: Callable[[range], T], todo: Sequence[range], jobs: int, tick: Callable[[], object],
    initializer: Callable[[], object], one_by_one: bool = False,
) -> Iterator[T]:  # fmt: skip
    """Yield what ``work`` makes of each range, in order, up to the first without a result because a process died.

    ``one_by_one`` begins with a range when the one before it has ended, so that it is known which that was.
    """
    before = multiprocessing.active_children()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=initializer) as pool:
        try:
            begun = (pool.submit(work, r) for r in todo)
            for future in begun if one_by_one else list(begun):
                yield _awaited(future, tick)
        except BrokenProcessPool:
            return
        except BaseException:
            for child in multiprocessing.active_children():
                if child not in before:
                    child.kill()
            raise


def _awaited(future: Future[T], tick: Callable[[], object]) -> T:
    while True:
        try:
            return future.result(timeout=1.0)
        except TimeoutError:
            if future.done():
                return future.result()
        tick()
