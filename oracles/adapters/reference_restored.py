"""The reference engine that keeps moving: ``reference:restored`` saves its whole store and goes on in another process.

Two processes take turns.  The worker has the session between steps; every ``EVERY``-th step of a plan runs in the other
process, and wherever a call of the plan stands still at a pause it goes over: the store with the call is saved, its
text crosses as bytes, and the process that reads them restores it, finds instances, functions, host functions and
external values again by what the text says of them, and goes on.  Nothing else survives there from one move to the
next but the plan and its decoded modules.  What a plan comes to must not change by that in the least.

What a session has beside the store (names, the host's trace, pauses) crosses as plain data too, see :class:`Passenger`.
It cannot go over while a function of the host is being called; such pauses are recorded on the spot.  Run as
``python -m oracles.adapters.reference_restored VARIANT --in FD --out FD --parent PID`` this is the other process.
"""

from __future__ import annotations

import argparse
import base64
import gc
import json
import os
import struct
import subprocess
import sys
import traceback
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.execution.fuel_models import MODELS
from engine.snapshot import dumps, loads, restore, save
from oracles.adapter import RefusingSession, Session, Unavailable, refusal
from oracles.adapters.reference import ReferenceAdapter, ReferenceSession
from oracles.outcome import Record, Unsupported
from oracles.plan import Plan, Step
from oracles.worker import isolate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from engine.resume import Suspended
    from oracles.adapter import Answer, Numbering

__all__ = ["EVERY", "MOVES", "RestoredAdapter", "main"]

EVERY = 3  # of so many steps one runs in the other process from its beginning
MOVES = 64  # pauses of a step at which it moves; of those after them, the powers of two
_GC_THRESHOLDS = (20_000, 10, 10)  # a move leaves one knot of objects
_LENGTH = struct.Struct("<Q")  # of a message, before it
_ROOT = Path(__file__).resolve().parents[2]
_PLAIN = (
    "trace", "host_calls", "is_set", "intervals", "shown_pauses", "pauses", "paused", "shown_frames", "frames",
    "before",
)  # fmt: skip


class Leaves(Exception):
    """The session has been packed and goes on elsewhere: what runs here is over."""

    def __init__(self, luggage: dict[str, Any]) -> None:
        super().__init__("the session goes on elsewhere")
        self.luggage = luggage


class Passenger(ReferenceSession):
    """A session that can be packed as plain data, between two steps and where a call of the plan pauses."""

    def stands_still(self, stopped: Suspended) -> None:
        n = self.paused
        if n <= MOVES or n & (n - 1) == 0:
            raise Leaves(self.packed(stopped))

    def step_shadow(self, step: Step) -> Answer:
        return Unsupported("shadows of frames"), None

    def step_debug(self, step: Step) -> Answer:
        return (Unsupported("values of frames"), None) if step.get("values") else super().step_debug(step)

    def packed(self, stopped: Suspended | None = None) -> dict[str, Any]:
        """Return everything, with the call that stands still."""
        names: dict[Any, str] = {func: name for name, func in self.hosts.items()}
        names |= {extern: str(extern.value) for extern in self.store.externs}
        text = dumps(save(self.store, names, {} if stopped is None else {"call": stopped}))
        numbers = {id(instance): n for n, instance in enumerate(self.store.instances)}
        own = self.plan.modules
        return {
            "store": text,
            "instances": {name: numbers[id(instance)] for name, instance in self.instances.items()},
            "hosts": {name: func.addr for name, func in self.hosts.items()},
            "externs": [extern.value for extern in self.store.externs],
            "functions": [func.addr for func in self.functions.handles],
            "tags": [tag.addr for tag in self.tags.handles],
            "binaries": {n: None if own.get(n) == wasm else _text(wasm) for n, wasm in self.binaries.items()},
            "modules": [_text(wasm) for wasm in self.modules if wasm not in own.values()],
            "plain": {name: getattr(self, name) for name in _PLAIN},
        }

    def unpack(self, luggage: Mapping[str, Any], plant: Any = None) -> None:
        """Become the session that was packed; ``plant`` spoils the snapshot first."""
        self.binaries = {n: self.plan.modules[n] if w is None else _wasm(w) for n, w in luggage["binaries"].items()}
        for name, value in luggage["plain"].items():
            setattr(self, name, value)
        data = loads(luggage["store"])
        if plant is not None:
            plant(data)
        binaries = [*self.plan.modules.values(), *map(_wasm, luggage["modules"])]
        modules = [self.module(wasm) for wasm in binaries if sha256(wasm).hexdigest() in data["modules"]]
        hosts = {name: self.host_of(name) for name in luggage["hosts"]}
        externs = {str(payload): payload for payload in luggage["externs"]}
        store, calls, _ = restore(data, modules, hosts, externs, self.store.config)
        self.store, self.rest = store, calls.get("call")
        self.hosts = {name: store.funcs[addr] for name, addr in luggage["hosts"].items()}
        self.externs = {extern.value: extern for extern in store.externs}
        self.instances = {name: store.instances[n] for name, n in luggage["instances"].items()}
        _number(self.functions, [store.funcs[addr] for addr in luggage["functions"]])
        _number(self.tags, [store.tags[addr] for addr in luggage["tags"]])

    def go_on(self, step: Step) -> Answer:
        """Answer a step, from its beginning or from where its call stands still."""
        return self.run(step) if self.rest is None else self.told(self.dispatch(step))


def _text(wasm: bytes) -> str:
    return base64.b64encode(wasm).decode("ascii")


def _wasm(text: str) -> bytes:
    return base64.b64decode(text)


def _number(numbering: Numbering, things: list[Any]) -> None:
    for thing in things:
        numbering.number(thing, thing)


class RestoredSession(Session):
    """A session of a plan that moves; between two steps it is ``here``."""

    def __init__(self, plan: Plan, adapter: RestoredAdapter) -> None:
        super().__init__(plan)
        self.adapter = adapter
        self.here = adapter.passenger(plan)
        self.at = 0

    def run(self, step: Step) -> Answer:
        self.at += 1
        if self.at % EVERY == 0:
            return self._travel(step, self.here.packed())
        try:
            return self.here.run(step)
        except Leaves as leaves:
            return self._travel(step, leaves.luggage)

    def _travel(self, step: Step, luggage: dict[str, Any]) -> Answer:
        """Go on with a step there, then here, to its end."""
        while True:
            answer, luggage = self.adapter.elsewhere().go_on(self.plan, step, luggage)
            self.here = self.adapter.passenger(self.plan, luggage)
            if answer is not None:
                return answer
            try:
                return self.here.go_on(step)
            except Leaves as leaves:
                luggage = leaves.luggage


class RestoredAdapter(ReferenceAdapter):
    """The reference engine in two processes; ``moves`` counts how often a store went from one to the other."""

    restores = True

    def __init__(self, variant: str) -> None:
        """Take what the rest of the variant says, which may be a mistake of restoring.  May raise Unavailable."""
        super().__init__(variant)
        if self.fuel_model not in MODELS.values():
            raise Unavailable("a snapshot names its fuel model, and a wrong one has no name of its own")
        steps = tuple(kind for kind in self._description.steps if kind != "shadow")
        self._description = replace(self._description, steps=steps)
        self.variant = variant
        self.moves = 0
        self._kind: Any = Passenger
        if self.session is not ReferenceSession:
            self._kind = type("Passenger", (Passenger, self.session), {})
        self._elsewhere: Elsewhere | None = None

    def open(self, plan: Plan) -> Session:
        lacking = refusal(plan, self._description)
        return RestoredSession(plan, self) if lacking is None else RefusingSession(plan, lacking)

    def passenger(self, plan: Plan, luggage: Mapping[str, Any] | None = None) -> Passenger:
        """Return a session in which nothing has run, or one that arrives."""
        passenger: Passenger = self._kind(plan, self.build, self.fuel_model)
        if luggage is not None:
            self.moves += 1
            passenger.unpack(luggage, self.wrong_restore)
        return passenger

    def elsewhere(self) -> Elsewhere:
        """Return the other process; it starts with its first use."""
        if self._elsewhere is None:
            self._elsewhere = Elsewhere(self.variant)
        return self._elsewhere

    def close(self) -> None:
        """End the other process."""
        if self._elsewhere is not None:
            self._elsewhere.close()
            self._elsewhere = None


class Elsewhere:
    """The other process, as the worker sees it.  It ends when its input does, and with the worker."""

    def __init__(self, variant: str) -> None:
        theirs_in, self.sink = os.pipe()
        self.source, theirs_out = os.pipe()
        command = [sys.executable, "-m", __spec__.name, variant]
        command += ["--in", str(theirs_in), "--out", str(theirs_out), "--parent", str(os.getpid())]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, pass_fds=(theirs_in, theirs_out),
            env={**os.environ, "PYTHONPATH": str(_ROOT), "PYTHONSAFEPATH": "1"},
        )  # fmt: skip
        os.close(theirs_in)
        os.close(theirs_out)
        self.plan: Plan | None = None

    def go_on(self, plan: Plan, step: Step, luggage: dict[str, Any]) -> tuple[Answer | None, dict[str, Any]]:
        """Return the answer to a step that goes on there, None where it left again, and the luggage either way.

        Raises MemoryError where there was too little, RuntimeError for any other end of the process.
        """
        if plan is not self.plan:
            self.plan = plan
            _send(self.sink, {"plan": plan.to_json()})
        _send(self.sink, {"kind": step.kind, "args": dict(step.args), "luggage": luggage})
        message = _receive(self.source)
        if message is None:
            raise RuntimeError("the other process has ended")
        if "fault" in message:
            raise RuntimeError(f"in the other process: {message['fault']}")
        if "luggage" not in message:
            raise MemoryError
        if "record" not in message:
            return None, message["luggage"]
        record = Record.from_json(message["record"])
        return (record.outcome, record.data), message["luggage"]

    def close(self) -> None:
        """End it."""
        os.close(self.sink)
        os.close(self.source)
        self.process.wait()


def _send(fd: int, message: Mapping[str, Any]) -> None:
    data = json.dumps(message).encode()
    view = memoryview(_LENGTH.pack(len(data)) + data)
    while view:
        view = view[os.write(fd, view) :]


def _receive(fd: int) -> dict[str, Any] | None:
    """Return the next message, None at the end of the input."""
    with os.fdopen(fd, "rb", closefd=False, buffering=0) as source:
        head = _read(source, _LENGTH.size)
        data = None if head is None else _read(source, _LENGTH.unpack(head)[0])
    return None if data is None else json.loads(data)


def _read(source: Any, n: int) -> bytes | None:
    parts = []
    while n:
        part = source.read(min(n, 1 << 20))
        if not part:
            return None
        parts.append(part)
        n -= len(part)
    return b"".join(parts)


def serve(adapter: RestoredAdapter, source: int, sink: int) -> None:
    """Go on with what arrives until the input ends."""
    plan: Plan | None = None
    while (message := _receive(source)) is not None:
        if "plan" in message:
            plan = Plan.from_json(message["plan"])
        else:
            assert plan is not None
            _send(sink, _answer(adapter, plan, message))


def _answer(adapter: RestoredAdapter, plan: Plan, message: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answer to a step and the luggage after it, or the luggage alone where the step leaves."""
    try:
        passenger = adapter.passenger(plan, message["luggage"])
        outcome, data = passenger.go_on(Step(message["kind"], message["args"]))
        luggage = passenger.packed()
    except Leaves as leaves:
        return {"luggage": leaves.luggage}
    except MemoryError:
        return {"stopped": "memory"}
    except Exception:  # noqa: BLE001  the worker tells it as its own
        return {"fault": traceback.format_exc()[-4000:]}
    return {"record": Record(0, outcome, data).to_json(), "luggage": luggage}


def main(argv: list[str] | None = None) -> int:
    """Run the other process."""
    parser = argparse.ArgumentParser(prog=f"python -m {__spec__.name}")
    parser.add_argument("variant")
    parser.add_argument("--in", dest="source", type=int, required=True)
    parser.add_argument("--out", dest="sink", type=int, required=True)
    parser.add_argument("--parent", type=int, default=0)
    options = parser.parse_args(argv)
    for fd in (options.source, options.sink):
        os.set_inheritable(fd, False)
    isolate(options.parent, 0)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    serve(RestoredAdapter(options.variant), options.source, options.sink)
    return 0


if __name__ == "__main__":
    sys.exit(main())
