"""wasmtime: raw bits through the wheel's C functions, one store per plan.

Variants: none given is Cranelift optimising for speed, ``none`` Cranelift without optimisation, ``winch`` the baseline
compiler, ``pulley`` the portable interpreter.  The plan decides the rest of the configuration: features (empty is the
engine's default, ``("all",)`` everything it has, else exactly those named and what they need), canonical NaNs and
deterministic relaxed SIMD for the profile ``engine``, fuel if the plan asks for it.
"""

from __future__ import annotations

import base64
import ctypes
import itertools
import platform
from functools import cache, partial
from typing import TYPE_CHECKING

from oracles.adapter import (
    ALL,
    BASIC_ACTIONS,
    BASIC_STEPS,
    Adapter,
    Answer,
    Description,
    RefusingSession,
    Session,
    Stop,
    Unavailable,
    blocked,
    refusal,
    values_of,
)
from oracles.adapters import wasmtime_api
from oracles.adapters.wasmtime_api import KINDS, OF, VAL_SIZE, Api, Setup
from oracles.adapters.wasmtime_fuel import fitting
from oracles.adapters.wasmtime_state import FUNC, SHARED, TAG, TEXT_CAP, Export, StateSession
from oracles.adapters.wasmtime_text import ascii_text
from oracles.adapters.wasmtime_values import Values
from oracles.metered import UNMETERED, is_metered
from oracles.outcome import Exhausted, Outcome, Rejected, Returned, Threw, Trapped, Unsupported
from oracles.plan import HOST
from oracles.traps import HOST_TRAP, STACK, WASMTIME_CODES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from oracles.plan import Plan, Step, Value

__all__ = ["WasmtimeAdapter", "WasmtimeSession", "adapter"]

_RESOURCE_WORDS = ("limits", "limit exceeded", "allocate", "mmap", "out of memory", "Cannot allocate", "GC heap")


class WasmtimeSession(StateSession):
    """One store, from modules to what calls end with."""

    def __init__(self, plan: Plan, api: Api, setup: Setup) -> None:
        super().__init__(plan)
        self.api = api
        self.variant = setup.variant
        self.actions = _actions(setup.variant)
        self.engine = api.engine(setup)
        self.store = api.wasmtime_store_new(self.engine, None, None)
        self.context: int = api.wasmtime_store_context(self.store)
        limits = plan.limits
        api.wasmtime_store_limiter(self.store, limits.memory_pages << 16, limits.table_elements, -1, -1, -1)
        if self.metered:
            self.set_fuel(UNMETERED)
        self.values = Values(api, self.context)
        self.cell = ctypes.create_string_buffer(VAL_SIZE)  # for one value at a time, between engine and ``values``
        self.compiled: dict[str, int] = {}
        self.host_items: dict[str, ctypes.Array[ctypes.c_char]] = {}
        self.host_keys: list[int] = []
        self.tags: list[ctypes.Array[ctypes.c_char]] = []
        self.pending: Outcome | None = None  # what a host function ended with
        self.thrown: ctypes.Array[ctypes.c_char] | None = None  # the exception that leaves a host function, rooted
        self.bug: BaseException | None = None  # what the adapter did wrong inside a callback

    def close(self) -> None:
        for key in self.host_keys:
            del _HOST_FUNCTIONS[key]
        for exports in self.instances.values():
            for export in exports.values():
                if export.kind == SHARED:
                    self.api.wasmtime_extern_delete(export.item)
        for module in self.compiled.values():
            self.api.wasmtime_module_delete(module)
        self.api.wasmtime_store_delete(self.store)

    # modules

    def step_assemble(self, step: Step) -> Answer:
        text = self.plan.texts.get(step["text"])
        if text is None:
            raise blocked(f"text {step['text']}")
        wasm, error = self._assemble(text)
        if wasm is None and not text.isascii():
            wasm, _ = self._assemble(ascii_text(text))
        if wasm is None:
            return Rejected("text", error[:TEXT_CAP]), None
        self.binaries[step["module"]] = wasm
        return Returned(), {"wasm": base64.b64encode(wasm).decode()} if step.get("want") else None

    def _assemble(self, text: bytes) -> tuple[bytes | None, str]:
        vec = (ctypes.c_uint64 * 2)()
        error = self.api.error(self.api.wasmtime_wat2wasm(text, len(text), vec))
        return (None, error) if error is not None else (self.api.take_bytes(vec), "")

    def step_validate(self, step: Step) -> Answer:
        wasm = self.binary(step["module"])
        error = self.api.error(self.api.wasmtime_module_validate(self.engine, wasm, len(wasm)))
        return (Returned() if error is None else self._rejected(error)), None

    def _rejected(self, error: str) -> Outcome:
        """Return the outcome of a module that the engine refuses."""
        lacking = self.variant == "winch" and "types are disallowed" in error  # externref, which it cannot compile
        return Unsupported(error[:TEXT_CAP]) if lacking else Rejected("module", error[:TEXT_CAP])

    def _compile(self, name: str) -> int:
        """Return the compiled module of a name; stop if the engine refuses it."""
        module = self.compiled.get(name)
        if module is not None:
            return module
        wasm = self.binary(name)
        out = ctypes.c_void_p()
        error = self.api.error(self.api.wasmtime_module_new(self.engine, wasm, len(wasm), ctypes.byref(out)))
        if error is not None:
            invalid = self.api.error(self.api.wasmtime_module_validate(self.engine, wasm, len(wasm)))
            raise Stop(Unsupported(error[:TEXT_CAP]) if invalid is None else self._rejected(error))
        assert out.value is not None
        self.compiled[name] = out.value
        return out.value

    # instances

    def step_instantiate(self, step: Step) -> Answer:
        name = step["instance"]
        self.instances.pop(name, None)
        module = self._compile(step["module"])
        items = b"".join(self._import(step, m, n) for m, n in self._imports(module))
        count = len(items) // VAL_SIZE
        buffer = ctypes.create_string_buffer(items, max(1, len(items)))
        instance = ctypes.create_string_buffer(16)
        trap = ctypes.c_void_p()
        error = self.api.wasmtime_instance_new(self.context, module, buffer, count, instance, ctypes.byref(trap))
        ended = self._ended(error, trap.value, linking=True)
        if ended is not None:
            return ended, None
        exports = self._exports(instance)
        for export in exports.values():
            if export.kind == FUNC:
                self.values.number_function(ctypes.string_at(export.address, 16))
            elif export.kind == TAG:
                self._number_tag(ctypes.string_at(export.address, 24))
        self.instances[name] = exports
        return Returned(), None

    def _imports(self, module: int) -> list[tuple[str, str]]:
        api = self.api
        vec = (ctypes.c_uint64 * 2)()
        api.wasmtime_module_imports(module, vec)
        out = []
        for i in range(vec[0]):
            at = ctypes.c_uint64.from_address(vec[1] + 8 * i).value
            out.append((_name(api.wasm_importtype_module(at)), _name(api.wasm_importtype_name(at))))
        api.wasm_importtype_vec_delete(vec)
        return out

    def _import(self, step: Step, module: str, name: str) -> bytes:
        """Return the extern of the first provider that has ``name``, or stop as unlinkable."""
        for provider in self.providers(step, module):
            if provider == HOST:
                if name in self.plan.hosts:
                    return self._host_item(name).raw
            elif name in self.instances[provider]:
                return self.instances[provider][name].item.raw
        raise Stop(Rejected("unlinkable", f"unknown import: {module}.{name}"))

    def _exports(self, instance: ctypes.Array[ctypes.c_char]) -> dict[str, Export]:
        exports: dict[str, Export] = {}
        nth = self.api.wasmtime_instance_export_nth
        name, length = ctypes.c_void_p(), ctypes.c_uint64()
        name_ref, length_ref = ctypes.byref(name), ctypes.byref(length)
        while True:
            item = ctypes.create_string_buffer(VAL_SIZE)
            if not nth(self.context, instance, len(exports), name_ref, length_ref, item):
                return exports
            key = ctypes.string_at(name.value, length.value).decode() if name.value else ""
            exports[key] = Export(item)

    # calls

    def step_call(self, step: Step) -> Answer:
        export = self._export(step, FUNC)
        args = values_of(step["args"])
        params, results = export.arity or self._arity(export)
        if len(args) != params:
            raise blocked(f"{step['export']} takes {params} arguments")
        buffer = ctypes.create_string_buffer(VAL_SIZE * (params + results + 1))
        base = ctypes.addressof(buffer)
        out = base + VAL_SIZE * params
        roots = self._write_all(args, base)
        trap = ctypes.c_void_p()
        error = self.api.wasmtime_func_call(
            self.context, export.address, base, params, out, results, ctypes.byref(trap)
        )
        for at in roots:
            self.api.wasmtime_val_unroot(at)
        ended = self._ended(error, trap.value)
        if ended is not None:
            return ended, None
        return Returned(tuple(self.values.take(buffer, VAL_SIZE * (params + i)) for i in range(results))), None

    def _arity(self, export: Export) -> tuple[int, int]:
        functype = self.api.wasmtime_func_type(self.context, export.address)
        sizes = [
            ctypes.c_uint64.from_address(vec).value
            for vec in (self.api.wasm_functype_params(functype), self.api.wasm_functype_results(functype))
        ]
        self.api.wasm_functype_delete(functype)
        export.arity = (sizes[0], sizes[1])
        return export.arity

    def fuel(self) -> int:
        left = ctypes.c_uint64()
        self.api.error(self.api.wasmtime_context_get_fuel(self.context, ctypes.byref(left)))
        return left.value

    def set_fuel(self, fuel: int) -> None:
        self.api.error(self.api.wasmtime_context_set_fuel(self.context, fuel))

    def _ended(self, error: int | None, trap: int | None, *, linking: bool = False) -> Outcome | None:
        """Return how a call or instantiation ended, None if it returned; frees what it is given."""
        if not error and not trap:
            return None
        if self.bug is not None or self.pending is not None:
            bug, self.bug = self.bug, None
            pending, self.pending = self.pending, None
            self.api.error(error)
            if trap:
                self.api.wasm_trap_delete(trap)
            if bug is not None:
                raise bug
            return pending
        if self.api.wasmtime_context_has_exception(self.context):
            self.api.error(error)
            if trap:
                self.api.wasm_trap_delete(trap)
            return self._exception()
        if trap:
            return self._trap(trap)
        return _refused(self.api.error(error) or "", linking=linking)

    def _trap(self, trap: int) -> Outcome:
        code, text = ctypes.c_uint8(), ""
        known = self.api.codes.get(code.value, "") if self.api.wasmtime_trap_code(trap, ctypes.byref(code)) else ""
        phrase = WASMTIME_CODES.get(known)
        if phrase is None:
            vec = (ctypes.c_uint64 * 2)()
            self.api.wasm_trap_message(trap, vec)
            text = self.api.take_bytes(vec).decode("utf-8", "replace").rstrip("\0")[:TEXT_CAP]
        where = None if phrase == STACK else self._origin(trap)
        self.api.wasm_trap_delete(trap)
        if phrase == STACK or "call stack exhausted" in text:
            return Exhausted("stack")
        resource = {"OUT_OF_FUEL": "fuel", "INTERRUPT": "time", "ALLOCATION_TOO_LARGE": "memory"}.get(known)
        if resource:
            return Exhausted(resource)
        return Trapped(phrase or HOST_TRAP, where, text)

    def _origin(self, trap: int) -> tuple[int, int] | None:
        frame = self.api.wasm_trap_origin(trap)
        if not frame:
            return None
        where = (self.api.wasm_frame_func_index(frame), self.api.wasm_frame_module_offset(frame))
        self.api.wasm_frame_delete(frame)
        return where

    def _exception(self) -> Outcome:
        """Take the store's pending exception as an outcome."""
        api, context = self.api, self.context
        exn, tag = ctypes.create_string_buffer(24), ctypes.create_string_buffer(24)
        api.wasmtime_context_take_exception(context, exn)
        number = None
        if api.error(api.wasmtime_exnref_tag(context, exn, tag)) is None:
            number = self._number_tag(tag.raw)
        values: list[Value] = []
        cell = ctypes.create_string_buffer(VAL_SIZE)
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
        item = ctypes.create_string_buffer(raw, 24)
        for n, seen in enumerate(self.tags):
            if self.api.wasmtime_tag_eq(self.context, seen, item):
                return n
        self.tags.append(item)
        return len(self.tags) - 1

    # host functions

    def throw(self, instance: str, export: str, args: Sequence[Value]) -> None:
        found = self.instances[instance].get(export)
        if found is None or found.kind != TAG:
            return
        buffer = ctypes.create_string_buffer(VAL_SIZE * (len(args) + 1))
        base = ctypes.addressof(buffer)
        try:
            roots = self._write_all(args, base)
        except Stop as stop:
            if isinstance(stop.outcome, Unsupported):
                raise
            return
        exn = ctypes.create_string_buffer(24)
        error = self.api.error(self.api.wasmtime_exnref_new(self.context, found.address, base, len(args), exn))
        for at in roots:
            self.api.wasmtime_val_unroot(at)
        if error is None:
            self.thrown = exn
            raise Stop(Threw(None))

    def _host_item(self, name: str) -> ctypes.Array[ctypes.c_char]:
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
            item = self.host_items[name] = ctypes.create_string_buffer(VAL_SIZE)
            at = ctypes.addressof(item) + OF
            self.api.wasmtime_func_new(self.context, functype, _callback, key, None, at)
        return item

    def enter_host(self, name: str, args: int, nargs: int, results: int) -> int | None:
        """Run a host function on raw values; return a trap or None."""
        try:
            raw = (ctypes.c_char * (VAL_SIZE * nargs)).from_address(args or ctypes.addressof(_NOTHING))
            values = [self.values.read(raw, VAL_SIZE * i) for i in range(nargs)]
            for i, value in enumerate(self.host_call(name, values)):
                self.values.write(value, results + VAL_SIZE * i)
        except Stop as stop:
            if self.thrown is not None:
                exn, self.thrown = self.thrown, None
                thrown: int = self.api.wasmtime_context_set_exception(self.context, exn)
                return thrown
            self.pending = stop.outcome
        except BaseException as e:  # noqa: BLE001  nothing may pass through the engine's frames
            self.bug = e
        else:
            return None
        trap: int = self.api.wasmtime_trap_new(b"host", 4)
        return trap


def _actions(variant: str) -> tuple[str, ...]:
    return tuple(
        a for a in (*BASIC_ACTIONS, "fuel") if a != "throw" or "exceptions" in wasmtime_api.engine_features(variant)
    )


def _name(vec: int) -> str:
    size, data = (ctypes.c_uint64 * 2).from_address(vec)
    return ctypes.string_at(data, size).decode() if size else ""


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


_HOST_FUNCTIONS: dict[int, tuple[WasmtimeSession, str]] = {}


_NOTHING = ctypes.create_string_buffer(1)
_KEYS = itertools.count(1)


def _enter(key: int, _caller: int, args: int, nargs: int, results: int, _nresults: int) -> int | None:
    session, name = _HOST_FUNCTIONS[key]
    return session.enter_host(name, args, nargs, results)


_callback = wasmtime_api.Callback(_enter)


class WasmtimeAdapter:
    """The wheel's engine in one variant."""

    def __init__(self, variant: str) -> None:
        if variant not in wasmtime_api.VARIANTS:
            raise Unavailable(f"wasmtime has no variant {variant!r}; known: {', '.join(wasmtime_api.VARIANTS[1:])}")
        self.variant = variant
        self.api = wasmtime_api.load()
        fuel_model, fuel_note = _fuel_model(variant)
        self._description = Description(
            name="wasmtime",
            version=wasmtime_api.version(),
            variant=variant,
            features=wasmtime_api.engine_features(variant),
            steps=(*BASIC_STEPS, "set_fuel", "get_fuel"),
            actions=_actions(variant),
            types=KINDS[:6] if variant == "winch" else KINDS,
            nan=("module", "none") if variant == "winch" else ("engine", "module", "none"),
            text=True,
            fuel=True,
            fuel_model=fuel_model,
            fuel_note=fuel_note,
            python=platform.python_version(),
        )

    def describe(self) -> Description:
        return self._description

    def open(self, plan: Plan) -> Session:
        what = refusal(plan, self._description)
        return _open(self.variant, plan) if what is None else RefusingSession(plan, what)


def _open(variant: str, plan: Plan) -> Session:
    features = frozenset(plan.features) if plan.features else None
    if features is not None and ALL in features:
        features = frozenset((ALL,))
    setup = Setup(variant, features, plan.nan == "engine", is_metered(plan))
    return WasmtimeSession(plan, wasmtime_api.load(), setup)


@cache
def _fuel_model(variant: str) -> tuple[str, str]:
    return fitting(partial(_open, variant))


def adapter(variant: str) -> Adapter:
    """Return the adapter of a variant, or raise Unavailable."""
    return WasmtimeAdapter(variant)
