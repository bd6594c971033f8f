"""A worker that misbehaves on demand, run by ``benchmarks.chaos`` and the tests.

It speaks the protocol and answers step ``i`` of case ``c`` with the bytes ``c`` and ``i``; at the step that the plan's
text ``fault`` names it does what that fault is called.  Before answering it writes ``c i`` to the ledger, so that the
supervisor's account can be compared with what really ran.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from oracles.adapter import Description
from oracles.outcome import Record, Returned
from oracles.plan import Plan
from oracles.protocol import hello, receive, send


def frame(data: bytes) -> bytes:
    return struct.pack("<I", len(data)) + data


def write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def forever() -> None:
    while True:
        time.sleep(60)


def eat() -> None:
    hoard = []
    while True:
        hoard.append(bytearray(b"x") * (16 << 20))
        time.sleep(0.005)


def record(ident: Any, case: int, step: int) -> dict[str, Any]:
    data = {"bytes": f"{case:08x}{step:04x}"}
    return {"id": ident, "record": Record(step, Returned(), data).to_json()}


def misbehave(kind: str, sink: int, ident: Any, case: int, step: int) -> bool:
    """Do the fault; return whether the step is still to be answered."""
    good = record(ident, case, step)
    text = json.dumps(good).encode()
    if kind in SIGNALS:
        os.kill(os.getpid(), SIGNALS[kind])
        forever()
    elif kind in ("exit 0", "exit 3"):
        os.write(2, b"last words")
        os._exit(int(kind[-1]))
    elif kind in BYTES:
        write(sink, BYTES[kind])
        forever()
    elif kind == "half a frame, then death":
        write(sink, frame(text)[:-5])
        os._exit(1)
    elif kind == "half a frame, then silence":
        write(sink, frame(text)[:-5])
        forever()
    elif kind == "hang":
        forever()
    elif kind == "closed output":
        os.close(sink)
        forever()
    elif kind == "child keeps the pipe":
        if os.fork() == 0:
            forever()
        os._exit(0)
    elif kind == "memory":
        eat()
    elif kind == "flood of records":
        while True:
            send(sink, good)
    elif kind == "flood of errors":
        while True:
            write(2, b"rubbish " * 8192)
    elif kind == "wrong id":
        send(sink, {**good, "id": ident + 1})
    elif kind == "lost record":
        send(sink, record(ident, case, step + 1))
    elif kind == "repeated record":
        send(sink, good)
        send(sink, good)
    elif kind == "early end":
        send(sink, {"id": ident, "end": step})
    elif kind == "false count":
        send(sink, {"id": ident, "end": 10**6})
    elif kind == "fault":
        send(sink, {"id": ident, "fault": "broken on purpose"})
    elif kind == "unknown outcome":
        send(sink, {"id": ident, "record": {"step": step, "outcome": {"kind": "delighted"}}})
    elif kind == "malformed record":
        send(sink, {"id": ident, "record": {"step": "one", "outcome": []}})
    elif kind == "prints":
        print("rubbish \x00 on standard output", flush=True)
        write(2, os.urandom(300))
        return True
    else:
        return True
    return False


SIGNALS = {
    "SIGSEGV": signal.SIGSEGV, "SIGABRT": signal.SIGABRT, "SIGKILL": signal.SIGKILL, "SIGILL": signal.SIGILL,
    "SIGSTOP": signal.SIGSTOP,
}  # fmt: skip
BYTES = {
    "rubbish": bytes(range(255, 0, -1)) * 20,
    "huge frame": struct.pack("<I", 0xFFFFFFFF) + b"{}",
    "deep nesting": frame(b'{"id":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "deep objects": frame(b'{"a":' * 500 + b"1" + b"}" * 500),
    "huge integer": frame(b'{"id":' + b"9" * 5000 + b"}"),
    "NaN": frame(b'{"id":NaN}'),
    "an array": frame(b"[1,2,3]"),
    "not UTF-8": frame(b'{"id":"\xff\xfe"}'),
    "not JSON": frame(b"hello, world"),
    "empty frame": frame(b""),
}


def answer(request: dict[str, Any], sink: int) -> None:
    plan = Plan.from_json(request["plan"])
    ident = request["id"]
    kind = plan.texts["fault"].decode()
    case, at = int(plan.texts["case"]), int(plan.texts["at"])
    send(sink, {"id": ident, "start": True})
    with Path(plan.texts["ledger"].decode()).open("a") as ledger:
        for step in range(len(plan.steps)):
            ledger.write(f"{case} {step}\n")
            ledger.flush()
            if step != at or misbehave(kind, sink, ident, case, step):
                send(sink, record(ident, case, step))
    send(sink, {"id": ident, "end": len(plan.steps)})
    if kind == "speaks after the end":
        send(sink, record(ident, case, 0))
    if kind == "dies after the end":
        os._exit(7)


def main() -> None:
    source, sink = (int(sys.argv[sys.argv.index(name) + 1]) for name in ("--in", "--out"))
    send(sink, hello(Description("chaos", "1")))
    while True:
        request = receive(source)
        if request is None:
            return
        answer(request, sink)


if __name__ == "__main__":
    main()
