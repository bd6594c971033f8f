"""Calls into a wasmtime store and how they end, at once or in slices.

A store that ever had an interval of fuel, or an asynchronous host function, refuses the ordinary functions; so all that
runs code in a *sliced* plan is a future, polled to its end.  What the engine does not forgive decides the shape of
``_finish``: a future is polled until it is done and never after, deleted once, and before its store; everything whose
address it has been given outlives it.  A poll that is not the last one is a pause.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

from oracles.adapter import Answer, blocked, values_of
from oracles.adapters.wasmtime_api import REF_SIZE
from oracles.adapters.wasmtime_hosts import HostSession
from oracles.adapters.wasmtime_polls import Polls
from oracles.adapters.wasmtime_state import FUNC, TEXT_CAP, Export
from oracles.outcome import Exhausted, Outcome, Rejected, Returned, Threw, Trapped, Unsupported
from oracles.traps import HOST_TRAP, STACK, WASMTIME_CODES

if TYPE_CHECKING:
    from oracles.plan import Step, Value

__all__ = ["CallSession"]

_RESOURCE_WORDS = ("limits", "limit exceeded", "allocate", "mmap", "out of memory", "Cannot allocate", "GC heap")


class CallSession(HostSession):
    """A session that calls, meters and tells how calls ended."""

    def step_call(self, step: Step) -> Answer:
        export = self._export(step, FUNC)
        args = values_of(step["args"])
        params, results = export.arity or self._arity(export)
        if len(args) != params:
            raise blocked(f"{step['export']} takes {params} arguments")
        size = self.api.val_size
        buffer = ctypes.create_string_buffer(size * (params + results + 1))
        base = ctypes.addressof(buffer)
        out = base + size * params
        roots = self._write_all(args, base)
        trap, error = ctypes.c_void_p(), ctypes.c_void_p()
        trap_ref, error_ref = ctypes.byref(trap), ctypes.byref(error)
        if self.sliced:
            call_async = self.api.wasmtime_func_call_async
            self._finish(call_async(self.context, export.address, base, params, out, results, trap_ref, error_ref))
        else:
            call = self.api.wasmtime_func_call
            error.value = call(self.context, export.address, base, params, out, results, trap_ref)
        for at in roots:
            self.api.unroot(self.context, "val", at)
        ended = self._ended(error.value, trap.value)
        if ended is not None:
            return ended, None
        return Returned(tuple(self.values.take(buffer, size * (params + i)) for i in range(results))), None

    def _finish(self, future: int) -> None:
        """Poll a future to its end, and take note of the pauses of calls that are the plan's own."""
        poll, delete = self.api.wasmtime_call_future_poll, self.api.wasmtime_call_future_delete
        polls = Polls(self, self.nesting == 0)
        self.suspended = False
        try:
            while not poll(future):
                if self.intervals:
                    polls.missed()
            polls.end()
        finally:
            delete(future)

    def _arity(self, export: Export) -> tuple[int, int]:
        functype = self.api.wasmtime_func_type(self.context, export.address)
        sizes = [
            ctypes.c_uint64.from_address(vec).value
            for vec in (self.api.wasm_functype_params(functype), self.api.wasm_functype_results(functype))
        ]
        self.api.wasm_functype_delete(functype)
        export.arity = (sizes[0], sizes[1])
        return export.arity

    # fuel

    def fuel(self) -> int:
        left = ctypes.c_uint64()
        self.api.error(self.api.wasmtime_context_get_fuel(self.context, ctypes.byref(left)))
        return left.value

    def set_fuel(self, fuel: int) -> None:
        self.api.error(self.api.wasmtime_context_set_fuel(self.context, fuel))
        self.slice_fuel = fuel

    def set_interval(self, interval: int) -> None:
        self.api.error(self.api.wasmtime_context_fuel_async_yield_interval(self.context, interval))
        self.interval, self.slice_fuel = interval, self.fuel()

    # how calls end

    def _ended(self, error: int | None, trap: int | None, *, linking: bool = False) -> Outcome | None:
        """Return how a call or instantiation ended, None if it returned; frees what it is given."""
        ended = self._ending(error, trap, linking)
        if self.unsure and not self.nesting:
            self.unsure = False
            return Unsupported("pauses that cannot be told from those of a collection")
        return ended

    def _ending(self, error: int | None, trap: int | None, linking: bool) -> Outcome | None:
        if not error and not trap:
            return None
        if self.bug is not None or self.pending is not None:
            bug, self.bug = self.bug, None
            pending, self.pending = self.pending, None
            self._freed(error, trap)
            if bug is not None:
                raise bug
            return pending
        if self.api.can_throw and self.api.wasmtime_context_has_exception(self.context):
            self._freed(error, trap)
            return self._exception()
        if trap:
            return self._trap(trap)
        return _refused(self.api.error(error) or "", linking=linking)

    def _freed(self, error: int | None, trap: int | None) -> None:
        self.api.error(error)
        if trap:
            self.api.wasm_trap_delete(trap)

    def _trap(self, trap: int) -> Outcome:
        code, text = ctypes.c_uint8(), ""
        known = self.api.codes.get(code.value, "") if self.api.wasmtime_trap_code(trap, ctypes.byref(code)) else ""
        phrase = WASMTIME_CODES.get(known)
        if phrase is None:
            vec = (ctypes.c_uint64 * 2)()
            self.api.wasm_trap_message(trap, vec)
            text = self.api.take_bytes(vec).decode("utf-8", "replace").rstrip("\0")[:TEXT_CAP]
        places = [] if phrase == STACK else self._trace(trap)
        self.frames = places
        self.api.wasm_trap_delete(trap)
        if phrase == STACK or "call stack exhausted" in text:
            return Exhausted("stack")
        resource = {"OUT_OF_FUEL": "fuel", "INTERRUPT": "time", "ALLOCATION_TOO_LARGE": "memory"}.get(known)
        if resource:
            return Exhausted(resource)
        return Trapped(phrase or HOST_TRAP, (places[0][0], places[0][1]) if places else None, text)

    def _trace(self, trap: int) -> list[list[int]]:
        """Return where each frame stood, of all activations, innermost first: of twenty, or of the one of the trap."""
        vec = (ctypes.c_uint64 * 2)()
        self.api.wasm_trap_trace(trap, vec)
        frames = (ctypes.c_void_p * vec[0]).from_address(vec[1]) if vec[0] else ()
        shown = frames if self.shown_frames else frames[:1]
        places = [[self.api.wasm_frame_func_index(f), self.api.wasm_frame_module_offset(f)] for f in shown]
        self.api.wasm_frame_vec_delete(vec)
        return places

    def _exception(self) -> Outcome:
        """Take the store's pending exception as an outcome."""
        api, context = self.api, self.context
        exn, tag = ctypes.create_string_buffer(REF_SIZE), ctypes.create_string_buffer(REF_SIZE)
        api.wasmtime_context_take_exception(context, exn)
        number = None
        if api.error(api.wasmtime_exnref_tag(context, exn, tag)) is None:
            number = self._number_tag(tag.raw)
        values: list[Value] = []
        cell = ctypes.create_string_buffer(api.val_size)
        for i in range(api.wasmtime_exnref_field_count(context, exn)):
            if api.error(api.wasmtime_exnref_field(context, exn, i, cell)) is None:
                values.append(self.values.take(cell))
        if self.nesting:  # the host function around us passes it on
            self.thrown = exn
        else:
            api.wasmtime_exnref_unroot(exn)
        return Threw(number, tuple(values))

    def _number_tag(self, raw: bytes) -> int:
        """Return the number of a tag by first sight."""
        item = ctypes.create_string_buffer(raw, REF_SIZE)
        for n, seen in enumerate(self.tags):
            if self.api.wasmtime_tag_eq(self.context, seen, item):
                return n
        self.tags.append(item)
        return len(self.tags) - 1


def _refused(text: str, *, linking: bool) -> Outcome:
    """Return the outcome of an error that is neither trap nor exception."""
    text = text[:TEXT_CAP]
    if "incompatible import type" in text:
        return Rejected("unlinkable", text)
    if any(word in text for word in _RESOURCE_WORDS):
        return Exhausted("memory", text)
    if linking:
        return Rejected("unlinkable", text)
    raise blocked(text)  # the arguments do not fit: nothing ran
