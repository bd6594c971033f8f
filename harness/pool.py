"""Where cases run: in this process, or in N processes that each have their own workers.

Both forms take indices and give back ``CaseResult`` in any order.  A process that dies (the machine's out-of-memory
killer, say) is replaced and its cases run again: they are functions of their index, so nothing is lost or counted
twice.  The processes ignore Ctrl-C, which is the campaign's to handle, and end when their pipe does.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import signal
import traceback
from collections import deque
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any, Protocol

from harness.cases import CaseResult, Examiner, Examiners
from harness.checks.resume import restored
from harness.runner import Runner
from oracles.adapter import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from generators.profile import Profile
    from harness.divergences import Registry
    from harness.runner import OracleLike

__all__ = ["InProcess", "Pool", "PoolFault", "Processes", "Setup", "spare_the_collector"]

AHEAD = 4  # cases handed to a process before it has answered
MAX_DEATHS = 5  # of processes, in a row
_GC_THRESHOLDS = (20_000, 10, 10)


class PoolFault(RuntimeError):
    """Cases cannot be run any more: an oracle does not start, or processes keep dying."""


@dataclass(frozen=True, slots=True)
class Setup:
    """All that a process needs to make and judge cases; it crosses to it by pickling."""

    benches: tuple[tuple[str, ...], ...]
    seed: int
    profile: str
    fitted: Profile
    registry: Registry
    checks: frozenset[str]

    def examiners(self, connected: Callable[[str], OracleLike] | None = None) -> Examiners:
        """Return examiners with fresh oracles, or with those that ``connected`` gives; the caller closes them."""
        runners = [
            Runner([(connected or _oracle)(o) for o in bench], self.registry, self._aside(bench[0]))
            for bench in self.benches
        ]
        return Examiners([Examiner(r, self.seed, self.profile, self.fitted, self.checks) for r in runners])

    def _aside(self, reference: str) -> list[OracleLike]:
        """Return the reference that is restored at its pauses, if plans run in slices."""
        return [_oracle(restored(reference))] if "resume" in self.checks else []


def spare_the_collector() -> None:
    """Let the garbage collector leave alone what stays, and look less often at cases, which leave few cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)


def _oracle(oracle_id: str) -> OracleLike:
    from harness.shim import connect

    return connect(oracle_id)


class Pool(Protocol):
    """Gives results for indices."""

    @property
    def room(self) -> int:
        """How many more indices it takes now."""
        ...

    def put(self, index: int) -> None: ...

    def get(self, timeout_s: float) -> list[CaseResult]:
        """Return the results that are there within the time; empty if none."""
        ...

    def close(self) -> None: ...


class InProcess:
    """Runs cases here, generating the next one while the workers run."""

    def __init__(self, examiner: Examiner | Examiners) -> None:
        self.examiner: Any = examiner
        self._started: deque[Any] = deque()

    @property
    def room(self) -> int:
        return 2 - len(self._started)

    def put(self, index: int) -> None:
        self._started.append(self.examiner.start(index))

    def get(self, timeout_s: float) -> list[CaseResult]:
        if not self._started:
            return []
        try:
            return [self.examiner.finish(self._started.popleft())]
        except Unavailable as e:
            raise PoolFault(str(e)) from e

    def close(self) -> None:
        self.examiner.close()


@dataclass(slots=True, eq=False)
class _Child:
    process: Any
    pipe: Connection
    waiting: list[int] = field(default_factory=list)
    deaths: int = 0  # of its predecessors, since one of them gave a result


class Processes:
    """Runs cases in ``jobs`` processes."""

    def __init__(self, setup: Setup, jobs: int) -> None:
        self.setup = setup
        self._context = multiprocessing.get_context("spawn")
        self._children = [self._spawn() for _ in range(jobs)]

    def _spawn(self) -> _Child:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(theirs, self.setup), daemon=True)
        process.start()
        theirs.close()
        return _Child(process, ours)

    @property
    def room(self) -> int:
        return sum(max(0, AHEAD - len(c.waiting)) for c in self._children)

    def put(self, index: int) -> None:
        child = min(self._children, key=lambda c: len(c.waiting))
        child.waiting.append(index)
        with contextlib.suppress(OSError):  # its death is noticed in get, and the case runs again
            child.pipe.send(index)

    def get(self, timeout_s: float) -> list[CaseResult]:
        results: list[CaseResult] = []
        ready = wait([c.pipe for c in self._children], timeout_s)
        for child in list(self._children):
            if child.pipe not in ready:
                continue
            try:
                while child.pipe.poll():
                    result = child.pipe.recv()
                    if isinstance(result, str):
                        raise PoolFault(result)
                    child.waiting.remove(result.index)
                    results.append(result)
                    child.deaths = 0
            except (EOFError, ConnectionError):
                self._replace(child)
        return results

    def _replace(self, child: _Child) -> None:
        """Start a process in place of one that died, and give it the cases that are still without result."""
        child.process.join(5)
        if child.deaths >= MAX_DEATHS:
            status = child.process.exitcode
            raise PoolFault(f"{MAX_DEATHS} processes died on case {child.waiting[:1]} (exit status {status})")
        fresh = self._spawn()
        fresh.deaths = child.deaths + 1
        self._children[self._children.index(child)] = fresh
        for index in child.waiting:
            fresh.waiting.append(index)
            fresh.pipe.send(index)

    def close(self) -> None:
        for child in self._children:
            with contextlib.suppress(OSError):
                child.pipe.send(None)
            child.pipe.close()
        for child in self._children:
            child.process.join(10)
            if child.process.is_alive():
                child.process.kill()


def _serve(pipe: Connection, setup: Setup) -> None:
    """Answer indices with results until None or the end of the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        examiners = setup.examiners()
        spare_the_collector()
        with contextlib.closing(examiners), contextlib.suppress(EOFError, ConnectionError):
            _answer(pipe, examiners)
    except Unavailable as e:
        pipe.send(str(e))
    except Exception:  # noqa: BLE001  whatever stops us, the campaign reports it
        pipe.send(traceback.format_exc())


def _answer(pipe: Connection, examiners: Examiners) -> None:
    started: deque[Any] = deque()
    while True:
        while len(started) < 2 and (not started or pipe.poll()):
            index = pipe.recv()
            if index is None:
                return
            started.append(examiners.start(index))
        pipe.send(examiners.finish(started.popleft()))
