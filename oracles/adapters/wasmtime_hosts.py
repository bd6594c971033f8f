"""Host functions of a wasmtime store: callbacks at once, and callbacks that suspend.

A function with the action ``suspend`` is an asynchronous one: its callback does all actions, then the engine asks a
*continuation* at each poll whether it may go on, which says no as often as the plan asks for.  The C functions that the
engine calls are made once per process and never freed; nothing may be raised through them, so what goes wrong is kept
in ``bug`` and raised when the call has ended.
"""

from __future__ import annotations

import ctypes
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from oracles.adapter import Stop
from oracles.adapters import wasmtime_api
from oracles.adapters.wasmtime_api import EXTERN_SIZE, OF, REF_SIZE
from oracles.adapters.wasmtime_state import TAG, StateSession
from oracles.outcome import Outcome, Threw, Unsupported

if TYPE_CHECKING:
    from collections.abc import Sequence

    from oracles.adapters.wasmtime_api import Api
    from oracles.plan import Plan, Value

__all__ = ["HostSession"]

Exn = ctypes.Array[ctypes.c_char]


@dataclass
class Ended:
    """How the actions of a host function ended: by results, an exception, or an outcome; or by a bug of ours."""

    results: Sequence[Value] = ()
    exn: Exn | None = None
    outcome: Outcome | None = None
    bug: BaseException | None = None


class HostSession(StateSession):
    """A session with host functions and exceptions."""

    def __init__(self, plan: Plan, api: Api, engine: int) -> None:
        super().__init__(plan)
        self.api = api
        self.engine = engine
        self.host_items: dict[str, ctypes.Array[ctypes.c_char]] = {}
        self.host_keys: list[int] = []
        self.tags: list[ctypes.Array[ctypes.c_char]] = []
        self.linker: int | None = None  # the asynchronous functions are made through one
        self.suspended = False  # a continuation said no in this poll
        self.unsure = False  # what was told of pauses may be wrong
        self.slice_fuel = self.interval = 0
        self.pending: Outcome | None = None  # what a host function ended with
        self.thrown: Exn | None = None  # the exception that leaves a host function, rooted
        self.bug: BaseException | None = None  # what the adapter did wrong inside a callback

    def close_hosts(self) -> None:
        """Forget the host functions; nothing of the store may run any more."""
        for key in self.host_keys:
            del _HOST_FUNCTIONS[key]
        if self.linker is not None:
            self.api.wasmtime_linker_delete(self.linker)

    def throw(self, instance: str, export: str, args: Sequence[Value]) -> None:
        found = self.instances[instance].get(export)
        if found is None or found.kind != TAG:
            return
        buffer = ctypes.create_string_buffer(self.api.val_size * (len(args) + 1))
        base = ctypes.addressof(buffer)
        try:
            roots = self._write_all(args, base)
        except Stop as stop:
            if isinstance(stop.outcome, Unsupported):
                raise
            return
        exn = ctypes.create_string_buffer(REF_SIZE)
        error = self.api.error(self.api.wasmtime_exnref_new(self.context, found.address, base, len(args), exn))
        for at in roots:
            self.api.unroot(self.context, "val", at)
        if error is None:
            self.thrown = exn
            raise Stop(Threw(None))

    def host_item(self, name: str) -> ctypes.Array[ctypes.c_char]:
        """Return the extern of the plan's host function, made once per session."""
        item = self.host_items.get(name)
        if item is None:
            host = self.plan.hosts[name]
            try:
                functype = self.api.functype(self.engine, host.params, host.results)
            except KeyError as e:
                raise Stop(Unsupported(f"host functions with {e.args[0]}")) from e
            key = next(_KEYS)
            _HOST_FUNCTIONS[key] = (self, name)
            self.host_keys.append(key)
            item = ctypes.create_string_buffer(EXTERN_SIZE)
            if self.sliced and any(action[:1] == ("suspend",) for action in host.actions):
                self._new_asynchronous(str(key).encode(), functype, key, item)
            else:
                at = ctypes.addressof(item) + OF
                self.api.wasmtime_func_new(self.context, functype, _callback, key, None, at)
            self.host_items[name] = item
        return item

    def _new_asynchronous(self, name: bytes, functype: int, key: int, item: ctypes.Array[ctypes.c_char]) -> None:
        api, size = self.api, len(name)
        if self.linker is None:
            self.linker = api.wasmtime_linker_new(self.engine)
        error = api.wasmtime_linker_define_async_func(
            self.linker, b"", 0, name, size, functype, _asynchronous_callback, key, None
        )
        if api.error(error) is not None or not api.wasmtime_linker_get(
            self.linker, self.context, b"", 0, name, size, item
        ):
            raise Stop(Unsupported("asynchronous host functions"))

    # called by the engine

    def begin_host(self, name: str, args: int, nargs: int) -> Ended:
        """Run the actions of a host function on raw values, and return how they ended."""
        size = self.api.val_size
        try:
            raw = (ctypes.c_char * (size * nargs)).from_address(args or ctypes.addressof(_NOTHING))
            return Ended(self.host_call(name, [self.values.read(raw, size * i) for i in range(nargs)]))
        except Stop as stop:
            exn, self.thrown = self.thrown, None
            return Ended(exn=exn, outcome=stop.outcome)
        except BaseException as e:  # noqa: BLE001  nothing may pass through the engine's frames
            return Ended(bug=e)

    def end_host(self, ended: Ended, results: int) -> int | None:
        """Write the results of a host function, or return the trap by which it ends."""
        try:
            for i, value in enumerate(ended.results):
                self.values.write(value, results + self.api.val_size * i)
        except Stop as stop:
            return self._leave(Ended(outcome=stop.outcome))
        except BaseException as e:  # noqa: BLE001  nothing may pass through the engine's frames
            return self._leave(Ended(bug=e))
        return self._leave(ended)

    def _leave(self, ended: Ended) -> int | None:
        if ended.exn is not None:
            thrown: int = self.api.wasmtime_context_set_exception(self.context, ended.exn)
            return thrown
        if ended.outcome is None and ended.bug is None:
            return None
        self.pending, self.bug = ended.outcome, ended.bug
        trap: int = self.api.wasmtime_trap_new(b"host", 4)
        return trap


_HOST_FUNCTIONS: dict[int, tuple[HostSession, str]] = {}
_NOTHING = ctypes.create_string_buffer(1)
_KEYS = itertools.count(1)


def _enter(key: int, _caller: int, args: int, nargs: int, results: int, _nresults: int) -> int | None:
    session, name = _HOST_FUNCTIONS[key]
    return session.end_host(session.begin_host(name, args, nargs), results)


_callback = wasmtime_api.Callback(_enter)


# -- functions that suspend


@dataclass
class _Waiting:
    """A host function whose actions are done: what it owes, and where its results and its trap go."""

    session: HostSession
    ended: Ended
    times: int
    results: int
    trap: int


_WAITING: dict[int, _Waiting] = {}


def _begin(key: int, _caller: int, args: int, nargs: int, results: int, _n: int, trap: int, continuation: int) -> None:
    session, name = _HOST_FUNCTIONS[key]
    around, session.suspensions = session.suspensions, 0
    ended = session.begin_host(name, args, nargs)
    times, session.suspensions = session.suspensions, around
    ident = next(_KEYS)
    _WAITING[ident] = _Waiting(session, ended, times, results, trap)
    fields = (ctypes.c_void_p * 3).from_address(continuation)
    fields[0], fields[1], fields[2] = _CONTINUE, ident, _FORGET


def _continue(ident: int) -> bool:
    waiting = _WAITING[ident]
    if waiting.times:
        waiting.times -= 1
        waiting.session.suspended = True
        return False
    ctypes.c_void_p.from_address(waiting.trap).value = waiting.session.end_host(waiting.ended, waiting.results)
    return True


def _forget(ident: int) -> None:
    _WAITING.pop(ident, None)


_asynchronous_callback = wasmtime_api.AsyncCallback(_begin)
_continuation = wasmtime_api.Continuation(_continue)
_finalizer = wasmtime_api.Finalizer(_forget)
_CONTINUE = ctypes.cast(_continuation, ctypes.c_void_p).value
_FORGET = ctypes.cast(_finalizer, ctypes.c_void_p).value
