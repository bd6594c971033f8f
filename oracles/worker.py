"""One engine in its own process: ``python -m oracles.worker ORACLE --in FD --out FD``.

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

__all__ = ["isolate", "main", "serve"]

_PR_SET_PDEATHSIG = 1


def isolate(parent: int, data_bytes: int) -> None:
    """Tie this process to its parent and bound its data segment; 0 leaves either alone."""
    if parent and sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before the call
            os._exit(0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if data_bytes:
        resource.setrlimit(resource.RLIMIT_DATA, (data_bytes, data_bytes))


def serve(adapter: Adapter, source: int, sink: int) -> None:
    """Answer plans from ``source`` on ``sink`` until the input ends."""
    while True:
        request = receive(source)
        if request is None:
            return
        ident = request.get("id")
        try:
            plan = Plan.from_json(request.get("plan"))
        except PlanError as e:
            send(sink, {"id": ident, "fault": f"refused plan: {e}"})
            return
        if not _answer(adapter, plan, ident, sink):
            return


def _answer(adapter: Adapter, plan: Plan, ident: Any, sink: int) -> bool:
    """Send the records of one plan; return whether this process is fit for another."""
    session: Session | None = None
    done = 0
    try:
        session = adapter.open(plan)
        for index, step in enumerate(plan.steps):
            start = time.perf_counter_ns()
            outcome, data = session.run(step)
            us = (time.perf_counter_ns() - start) // 1000
            _send_record(sink, ident, Record(index, outcome, data, us))
            done += 1
        session.close()
    except MemoryError:
        session = None
        send(sink, {"id": ident, "end": done, "stopped": "memory"})
        return False
    except Exception:  # noqa: BLE001  whatever an adapter does wrong is one message
        send(sink, {"id": ident, "fault": traceback.format_exc()[-4000:]})
        return False
    send(sink, {"id": ident, "end": done})
    return True


def _send_record(sink: int, ident: Any, record: Record) -> None:
    message: Mapping[str, Any] = {"id": ident, "record": record.to_json()}
    try:
        send(sink, message)
    except ProtocolError as e:  # longer than a frame may be
        short = Record(record.step, Exhausted("memory", f"the record is too long: {e}"), None, record.us)
        send(sink, {"id": ident, "record": short.to_json()})


def main(argv: list[str] | None = None) -> int:
    """Run a worker; the exit status is 0 when the input ended and the worker was fit to go on."""
    parser = argparse.ArgumentParser(prog="oracles.worker")
    parser.add_argument("oracle")
    parser.add_argument("--in", dest="source", type=int, required=True)
    parser.add_argument("--out", dest="sink", type=int, required=True)
    parser.add_argument("--parent", type=int, default=0)
    parser.add_argument("--data-bytes", type=int, default=0)
    options = parser.parse_args(argv)
    for fd in (options.source, options.sink):
        os.set_inheritable(fd, False)
    isolate(options.parent, options.data_bytes)
    faulthandler.enable()
    try:
        adapter = adapters.load(options.oracle)
        description = adapter.describe()
    except adapters.Unavailable as e:
        send(options.sink, {"protocol": PROTOCOL, "unavailable": str(e)})
        return 0
    gc.collect()
    gc.freeze()
    send(options.sink, hello(description))
    try:
        serve(adapter, options.source, options.sink)
    except BrokenPipeError:
        return 0
    return 0


if __name__ == "__main__":
    sys.stdout.flush()
    status = main()
    os._exit(status)  # some engines die while their threads are torn down
