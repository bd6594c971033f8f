"""Supervision: an engine in a worker process, and every way it can misbehave as an outcome.

:class:`Oracle` runs a plan in its worker and returns the records.  A worker that dies, hangs, breaks the protocol or
eats memory ends the list with one record that says so; nothing that was answered before is lost, nothing is run twice,
and the next plan gets a fresh worker.  The worker has its own process group, a clean environment, an empty temporary
working directory and no descriptor of ours but its pipes; it dies with the thread that started it.

One loop, :meth:`Oracle._pump`, waits for the worker: it writes what the pipe takes, reads records and stderr, and looks
at the clock and at the resident size.  There are no threads here.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import psutil

from oracles import side
from oracles.adapter import Description, OracleId, Unavailable
from oracles.outcome import Crashed, Exhausted, Outcome, OutcomeError, Record, TimedOut, Unsupported
from oracles.protocol import Frames, ProtocolError, pack, read_hello

if TYPE_CHECKING:
    from collections.abc import Sequence

    from oracles.plan import Plan

__all__ = ["Budget", "Oracle"]

WATCH_S = 0.05  # between two looks at the resident size
START_S = 60.0  # for the first message
BACKOFF_S = (0.0, 0.05, 0.2, 1.0, 3.0)  # before the n-th start after failures in a row
TAIL_BYTES = 8192  # of stderr that are kept
ANSWER_CAP = 128 << 20  # bytes of answers to one plan
ROOT = Path(__file__).resolve().parents[1]
OUT_OF_MEMORY = ("memory allocation of", "MemoryError", "bad_alloc", "out of memory", "Cannot allocate memory")


class Budget:
    """What a worker may use: resident bytes (watched) and data segment bytes (enforced by the system)."""

    def __init__(self, rss_bytes: int = 1 << 30, data_bytes: int = 4 << 30) -> None:
        self.rss_bytes = rss_bytes
        self.data_bytes = data_bytes


class _Ended(Exception):
    """The worker cannot go on; ``outcome`` says why."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(repr(outcome))
        self.outcome = outcome


class _Worker:
    """One process with its pipes; ``inbox`` holds messages that have arrived, ``failure`` what came after them."""

    def __init__(self, oracle_id: str, command: Sequence[str], root: Path, budget: Budget) -> None:
        self.directory = tempfile.mkdtemp(prefix="wfuzz-worker-")
        plan_r, self.to_worker = os.pipe()
        self.from_worker, record_w = os.pipe()
        self.bell, bell_w = os.pipe()
        arguments = [oracle_id, "--in", str(plan_r), "--out", str(record_w), "--bell", str(bell_w)]
        arguments += ["--parent", str(os.getpid()), "--data-bytes", str(budget.data_bytes)]
        try:
            self.process = subprocess.Popen(
                [*command, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                cwd=self.directory,
                env=self._environment(root),
                pass_fds=(plan_r, record_w, bell_w),
                process_group=0,
            )
        except OSError as e:
            for fd in (self.to_worker, self.from_worker, self.bell):
                os.close(fd)
            shutil.rmtree(self.directory, ignore_errors=True)
            raise Unavailable(f"{command[0]} does not start: {e}") from e
        finally:
            for fd in (plan_r, record_w, bell_w):
                os.close(fd)
        assert self.process.stderr is not None
        self.stderr = self.process.stderr
        for fd in (self.to_worker, self.from_worker, self.bell, self.stderr.fileno()):
            os.set_blocking(fd, False)
        self.poll = select.poll()
        self.poll.register(self.from_worker, select.POLLIN)
        self.poll.register(self.bell, select.POLLIN)
        self.poll.register(self.stderr, select.POLLIN)
        self.usage = psutil.Process(self.process.pid)
        self.frames = Frames()
        self.inbox: deque[dict[str, Any]] = deque()
        self.failure: _Ended | ProtocolError | None = None
        self.received = 0
        self.tail = b""

    def _environment(self, root: Path) -> dict[str, str]:
        return {
            "PATH": os.defpath,
            "HOME": self.directory,
            "TMPDIR": self.directory,
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(root),
            "PYTHONSAFEPATH": "1",
            "PYTHONHASHSEED": "0",
        }

    def drain_stderr(self) -> bool:
        """Keep the end of what the worker printed; return False at its end."""
        with contextlib.suppress(BlockingIOError):
            for _ in range(4):  # a flood must not keep us from the clock
                part = os.read(self.stderr.fileno(), 65536)
                if not part:
                    return False
                self.tail = (self.tail + part)[-TAIL_BYTES:]
        return True

    def rings(self) -> None:
        """Stop waking up for each record: this worker rings its bell when it wants to be read."""
        self.poll.modify(self.from_worker, 0)  # its end still wakes

    def is_idle(self) -> bool:
        """Return whether it lives and has nothing to say."""
        if self.process.poll() is not None or self.inbox or self.failure or self.frames.pending:
            return False
        self.drain_stderr()
        look = select.poll()
        look.register(self.from_worker, select.POLLIN)
        return not look.poll(0)

    def rss(self) -> int:
        """Return the resident bytes, 0 once it is gone."""
        try:
            return int(self.usage.memory_info().rss)
        except psutil.Error:
            return 0

    def signal(self) -> None:
        """Kill the whole process group; what it wrote before stays readable."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10)

    def kill(self) -> int | None:
        """End the whole process group, release everything and return the exit status."""
        self.signal()
        status = self.process.returncode
        self.drain_stderr()
        self.stderr.close()
        for fd in (self.to_worker, self.from_worker, self.bell):
            os.close(fd)
        shutil.rmtree(self.directory, ignore_errors=True)
        return status


class Oracle:
    """A supervised engine: ``with Oracle("wasmtime:winch") as oracle: records = oracle.run(plan)``.

    The worker starts with the first use and again after it had to be ended.  ``command`` replaces the way workers are
    started; it is for tests and for the user's configuration, never taken from a case.  Raises Unavailable where the
    oracle cannot run here at all.
    """

    def __init__(self, oracle_id: str, *, command: Sequence[str] | None = None, budget: Budget | None = None) -> None:
        self.id = oracle_id
        self.budget = budget or Budget()
        self.starts = 0
        self._command = command
        self._worker: _Worker | None = None
        self._description: Description | None = None
        self._failures = 0  # starts in a row that did not get as far as a hello
        self._why = ""  # the last of them
        self._ident = 0
        self._taken = False  # the worker has said that it has the plan

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def description(self) -> Description:
        """Who answers and what it can do; starts the worker if need be."""
        if self._description is None:
            self.start()
        assert self._description is not None
        return self._description

    @property
    def pid(self) -> int | None:
        """The process id of the live worker."""
        return None if self._worker is None else self._worker.process.pid

    def start(self) -> None:
        """Make sure that a worker is up, with back-off after failures; raise Unavailable if it does not get there."""
        while self._worker is None:
            if self._failures >= len(BACKOFF_S):
                raise Unavailable(f"{self.id}: {self._failures} workers in a row failed; {self._why}")
            time.sleep(BACKOFF_S[self._failures])
            self._start_once()

    def _start_once(self) -> None:
        command, root = _command(self.id) if self._command is None else (self._command, ROOT)
        worker = _Worker(self.id, command, root, self.budget)
        self.starts += 1
        self._worker = worker
        try:
            hello = self._message(b"", START_S)
            answer = read_hello(hello)
        except (_Ended, ProtocolError) as e:
            self._failures += 1
            self._why = str(self._end(e))
            return
        self._failures = 0
        if hello.get("bell") is True:
            worker.rings()
        if isinstance(answer, str):
            self.close()
            raise Unavailable(answer)
        self._description = answer

    def close(self) -> None:
        """End the worker, if there is one."""
        if self._worker is not None:
            self._worker.kill()
            self._worker = None

    def run(self, plan: Plan, *, deadline_s: float | None = None) -> list[Record]:
        """Return one record per step; a worker that failed ends the list with the record of the step at fault.

        ``deadline_s`` is the wall time for each step, ``plan.limits.step_ms`` by default.  If the worker fails after
        its last step, the failure is one more record with the number of steps as its step.
        """
        limit_s = plan.limits.step_ms / 1000 if deadline_s is None else deadline_s
        self._ident += 1
        try:
            request = pack({"id": self._ident, "plan": plan.to_json()})
        except ProtocolError as e:
            return [Record(0, Unsupported(f"plan: {e}"))]
        if self._worker is not None and not self._worker.is_idle():
            self.close()  # it died or talked between two plans: not the next plan's fault
        records: list[Record] = []
        for is_last in (False, True):
            self.start()
            try:
                self._collect(request, len(plan.steps), limit_s, records)
            except (_Ended, ProtocolError) as e:
                outcome = self._end(e)
                if self._taken or is_last or isinstance(e, ProtocolError):
                    records.append(Record(len(records), outcome))
                    break
            else:
                break
        return records

    def _collect(self, request: bytes, steps: int, limit_s: float, records: list[Record]) -> None:
        """Send the request and append records until the worker says end.

        A worker that ends before it says that it has taken the plan did not run any of it.
        """
        assert self._worker is not None
        self._worker.received = 0
        self._taken = False
        while True:
            message = self._message(request, limit_s)
            request = b""
            ident = message.get("id")
            if not self._taken and isinstance(ident, int) and 0 < ident < self._ident:
                continue  # late words about an earlier plan
            if ident != self._ident:
                raise ProtocolError(f"answer to {str(ident)[:20]} instead of {self._ident}")
            if not self._taken:
                if message.get("start") is not True:
                    raise ProtocolError("an answer to a plan that was not taken")
                self._taken = True
            elif "record" in message:
                try:
                    record = Record.from_json(message["record"])
                except OutcomeError as e:
                    raise ProtocolError(str(e)) from e
                if record.step != len(records) or record.step >= steps:
                    raise ProtocolError(f"record of step {record.step} instead of {len(records)} of {steps}")
                records.append(record)
            elif "fault" in message:
                raise _Ended(Crashed(None, f"the adapter is broken: {str(message['fault'])[-TAIL_BYTES:]}"))
            elif message.get("stopped") == "memory" and message.get("end") == len(records):
                raise _Ended(Exhausted("memory", "the worker ran out of memory"))
            elif message.get("end") == len(records) == steps:
                return
            else:
                raise ProtocolError(f"neither record nor end after {len(records)} of {steps} records")

    def _message(self, request: bytes, limit_s: float) -> dict[str, Any]:
        """Return the next message, writing ``request`` meanwhile, within ``limit_s``."""
        worker = self._worker
        assert worker is not None
        if not worker.inbox:
            self._pump(worker, request, limit_s)
        if worker.inbox:
            return worker.inbox.popleft()
        assert worker.failure is not None
        raise worker.failure

    def _pump(self, worker: _Worker, request: bytes, limit_s: float) -> None:
        """Wait until there is a message or a failure; what arrived before a failure is read first."""
        view = memoryview(request)
        if view:
            worker.poll.register(worker.to_worker, select.POLLOUT)
        now = time.monotonic()
        deadline, look = now + limit_s, now + WATCH_S
        while not worker.inbox and worker.failure is None:
            for fd, event in worker.poll.poll(max(1.0, 1000 * (min(deadline, look) - now))):
                if fd == worker.to_worker:
                    view = self._write(worker, view, event)
                elif fd == worker.bell:
                    self._hear(worker)
                elif fd != worker.from_worker and not worker.drain_stderr():
                    worker.poll.unregister(fd)
            self._read(worker)
            now = time.monotonic()
            if now >= look:
                look = now + WATCH_S
                rss = worker.rss()
                if rss > self.budget.rss_bytes:
                    self._stop(worker, Exhausted("memory", f"the worker reached {rss >> 20} MiB"))
            if now >= deadline and not worker.inbox and worker.failure is None:
                self._stop(worker, TimedOut(int(limit_s * 1000)))
        if view and worker.failure is None:
            worker.failure = ProtocolError("an answer before the end of the request")

    def _stop(self, worker: _Worker, outcome: Outcome) -> None:
        """Stop a worker that went too far, then read what it had said by then."""
        worker.signal()
        while worker.failure is None and self._read(worker):
            pass
        if not isinstance(worker.failure, ProtocolError):
            worker.failure = _Ended(outcome)

    def _write(self, worker: _Worker, view: memoryview, event: int) -> memoryview:
        if view and event & select.POLLOUT:
            with contextlib.suppress(BlockingIOError, BrokenPipeError):
                view = view[os.write(worker.to_worker, view) :]
        if not view or not event & select.POLLOUT:  # all written, or nobody reads: then its end says more
            worker.poll.unregister(worker.to_worker)
        return view

    def _hear(self, worker: _Worker) -> None:
        with contextlib.suppress(BlockingIOError):
            if not os.read(worker.bell, 4096):
                worker.poll.unregister(worker.bell)

    def _read(self, worker: _Worker) -> bool:
        """Take what the worker has sent; return whether there was something, its end included."""
        try:
            data = os.read(worker.from_worker, 1 << 20)
        except BlockingIOError:
            return False
        worker.received += len(data)
        if not data:
            worker.failure = _Ended(Crashed(None))
        elif worker.received > ANSWER_CAP:
            worker.failure = ProtocolError(f"more than {ANSWER_CAP} bytes of answers to one plan")
        else:
            try:
                worker.inbox.extend(worker.frames.feed(data))  # keeps what comes before the bad frame
            except ProtocolError as e:
                worker.failure = e
        return True

    def _end(self, cause: Exception) -> Outcome:
        """End the worker and return the outcome of its step."""
        worker, self._worker = self._worker, None
        assert worker is not None
        if isinstance(cause, _Ended) and isinstance(cause.outcome, Crashed) and not cause.outcome.text:
            return self._autopsy(worker)
        worker.kill()
        if isinstance(cause, _Ended):
            return cause.outcome
        return Crashed(None, f"protocol error: {cause}")

    def _autopsy(self, worker: _Worker) -> Outcome:
        """Return what ended a worker that closed its output."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            worker.process.wait(0.5)  # it may still be writing its last words
        still_alive = worker.process.poll() is None
        partial = worker.frames.pending
        status = worker.kill()
        text = worker.tail.decode("utf-8", "replace").strip()
        if any(phrase in text for phrase in OUT_OF_MEMORY):
            return Exhausted("memory", text)
        if partial:
            text = f"died inside a frame ({partial} bytes); {text}"
        if still_alive or status is None:
            return Crashed(None, f"closed its output; {text}")
        return Crashed(-status if status < 0 else None, text or f"exit status {status}")


def _command(oracle_id: str) -> tuple[list[str], Path]:
    """Return the command that starts a worker of ours and the directory of its ``oracles``."""
    base = OracleId.parse(oracle_id).base
    if base in side.ENVIRONMENTS:
        return side.worker(base)
    return [sys.executable, "-m", "oracles.worker"], ROOT
