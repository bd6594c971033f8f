"""One engine in its own process: ``python -m oracles.worker ORACLE --in FD --out FD [--bell FD]``.

The worker isolates itself before the engine is loaded (dies with its parent, no core dump, bounded data segment), says
hello, then answers plans until its input ends.  Each record is sent when its step ends, so a crash loses nothing that
happened before.  Standard library only, syntax of CPython 3.10.
"""

from __future__ import annotations

import argparse
import ctypes
import faulthandler
import gc
import os
import resource
import signal
import sys
import time
import traceback
from typing import TYPE_CHECKING, Any

from oracles import adapter as adapters
from oracles.outcome import Exhausted, Record
from oracles.plan import Plan, PlanError
from oracles.protocol import PROTOCOL, ProtocolError, hello, receive, send

if TYPE_CHECKING:
    from collections.abc import Mapping

    from oracles.adapter import Adapter, Session

__all__ = ["Line", "isolate", "main", "serve"]

_PR_SET_PDEATHSIG = 1
_GC_THRESHOLDS = (20_000, 10, 10)  # a plan leaves one knot of objects; looking for it once a plan is enough
_RING_BYTES = 16 << 10  # sent without a ring; well below what a pipe holds


class Line:
    """The way to the supervisor: messages on ``sink``, one byte on ``bell`` when it should read them."""

    def __init__(self, sink: int, bell: int | None) -> None:
        self.sink = sink
        self.bell = bell
        self._unread = 0

    def send(self, message: Mapping[str, Any], *, ring: bool = True) -> None:
        """Send a message; without a ring it may wait for the next one, but is out of this process."""
        size = send(self.sink, message)
        self._unread += size
        if self.bell is not None and (ring or self._unread > _RING_BYTES):
            self._unread = 0
            os.write(self.bell, b"!")


def isolate(parent: int, data_bytes: int) -> None:
    """Tie this process to its parent and bound its data segment; 0 leaves either alone."""
    if parent and sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before the call
            os._exit(0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if data_bytes:
        resource.setrlimit(resource.RLIMIT_DATA, (data_bytes, data_bytes))


def serve(adapter: Adapter, source: int, line: Line) -> None:
    """Answer plans from ``source`` on ``line`` until the input ends."""
    while True:
        request = receive(source)
        if request is None:
            return
        ident = request.get("id")
        try:
            plan = Plan.from_json(request.get("plan"))
        except PlanError as e:
            line.send({"id": ident, "fault": f"refused plan: {e}"})
            return
        line.send({"id": ident, "start": True}, ring=False)
        if not _answer(adapter, plan, ident, line):
            return


def _answer(adapter: Adapter, plan: Plan, ident: Any, line: Line) -> bool:
    """Send the records of one plan; return whether this process is fit for another."""
    session: Session | None = None
    done = 0
    try:
        session = adapter.open(plan)
        for index, step in enumerate(plan.steps):
            start = time.perf_counter_ns()
            outcome, data = session.run(step)
            us = (time.perf_counter_ns() - start) // 1000
            _send_record(line, ident, Record(index, outcome, data, us))
            done += 1
        session.close()
    except MemoryError:
        session = None
        line.send({"id": ident, "end": done, "stopped": "memory"})
        return False
    except Exception:  # noqa: BLE001  whatever an adapter does wrong is one message
        line.send({"id": ident, "fault": traceback.format_exc()[-4000:]})
        return False
    line.send({"id": ident, "end": done})
    return True


def _send_record(line: Line, ident: Any, record: Record) -> None:
    message: Mapping[str, Any] = {"id": ident, "record": record.to_json()}
    try:
        line.send(message, ring=False)
    except ProtocolError as e:  # longer than a frame may be
        short = Record(record.step, Exhausted("memory", f"the record is too long: {e}"), None, record.us)
        line.send({"id": ident, "record": short.to_json()}, ring=False)


def main(argv: list[str] | None = None) -> int:
    """Run a worker; the exit status is 0 when the input ended and the worker was fit to go on."""
    parser = argparse.ArgumentParser(prog="oracles.worker")
    parser.add_argument("oracle")
    parser.add_argument("--in", dest="source", type=int, required=True)
    parser.add_argument("--out", dest="sink", type=int, required=True)
    parser.add_argument("--bell", type=int, default=None)
    parser.add_argument("--parent", type=int, default=0)
    parser.add_argument("--data-bytes", type=int, default=0)
    options = parser.parse_args(argv)
    for fd in (options.source, options.sink, options.bell):
        if fd is not None:
            os.set_inheritable(fd, False)
    line = Line(options.sink, options.bell)
    isolate(options.parent, options.data_bytes)
    faulthandler.enable()
    try:
        adapter = adapters.load(options.oracle)
        description = adapter.describe()
    except adapters.Unavailable as e:
        line.send({"protocol": PROTOCOL, "unavailable": str(e)})
        return 0
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    line.send({**hello(description), "bell": options.bell is not None})
    try:
        serve(adapter, options.source, line)
    except BrokenPipeError:
        return 0
    return 0


if __name__ == "__main__":
    sys.stdout.flush()
    status = main()
    os._exit(status)  # some engines die while their threads are torn down
