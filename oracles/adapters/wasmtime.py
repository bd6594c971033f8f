"""wasmtime: raw bits through the wheel's C functions, one store per plan.

Variants: none given is Cranelift optimising for speed, ``none`` Cranelift without optimisation, ``winch`` the baseline
compiler, ``pulley`` the portable interpreter.  The plan decides the rest of the configuration: features (empty is the
engine's default, ``("all",)`` everything it has, else exactly those named and what they need), canonical NaNs and
deterministic relaxed SIMD for the profile ``engine``, fuel if the plan asks for it.
"""

from __future__ import annotations

import base64
import ctypes
import platform
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from oracles.adapter import (
    ACTIONS,
    ALL,
    Adapter,
    Answer,
    Description,
    RefusingSession,
    Session,
    Stop,
    Unavailable,
    blocked,
    refusal,
)
from oracles.adapters import wasmtime_api
from oracles.adapters.wasmtime_api import EXTERN_SIZE, REF_SIZE, Api, Setup
from oracles.adapters.wasmtime_calls import CallSession
from oracles.adapters.wasmtime_fuel import fitting
from oracles.adapters.wasmtime_state import FUNC, SHARED, TAG, TEXT_CAP, Export
from oracles.adapters.wasmtime_text import ascii_text
from oracles.adapters.wasmtime_values import Values
from oracles.kept import Kept
from oracles.metered import UNMETERED, is_metered, is_sliced
from oracles.outcome import Outcome, Rejected, Returned, Unsupported
from oracles.plan import HOST, STEP_KINDS

if TYPE_CHECKING:
    from oracles.plan import Plan, Step

__all__ = ["WasmtimeAdapter", "WasmtimeSession", "adapter"]


class WasmtimeSession(CallSession):
    """One store, from modules to instances."""

    def __init__(self, plan: Plan, api: Api, setup: Setup) -> None:
        super().__init__(plan, api, api.engine(setup))
        self.variant = setup.variant
        self.actions = _actions(api.features(setup.variant))
        self.store = api.wasmtime_store_new(self.engine, None, None)
        self.context: int = api.wasmtime_store_context(self.store)
        limits = plan.limits
        api.wasmtime_store_limiter(self.store, limits.memory_pages << 16, limits.table_elements, -1, -1, -1)
        if self.metered:
            self.set_fuel(UNMETERED)
        self.values = Values(api, self.context, sliced=setup.sliced)
        self.cell = ctypes.create_string_buffer(api.val_size)  # for one value at a time, between engine and ``values``
        self.compiled: dict[str, int] = {}
        heap_module = api.heap_module(self.engine)
        if heap_module is not None:
            self._instantiate(heap_module, [], ctypes.create_string_buffer(16))

    def close(self) -> None:
        self.close_hosts()
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
        kept = _kept(self.api).get(self.engine, wasm, self.plan, partial(self._new_module, wasm))
        self.compiled[name] = self.api.wasmtime_module_clone(kept)
        return self.compiled[name]

    def _new_module(self, wasm: bytes) -> int:
        out = ctypes.c_void_p()
        error = self.api.error(self.api.wasmtime_module_new(self.engine, wasm, len(wasm), ctypes.byref(out)))
        if error is not None:
            invalid = self.api.error(self.api.wasmtime_module_validate(self.engine, wasm, len(wasm)))
            raise Stop(Unsupported(error[:TEXT_CAP]) if invalid is None else self._rejected(error))
        assert out.value is not None
        return out.value

    # instances

    def step_instantiate(self, step: Step) -> Answer:
        name = step["instance"]
        self.instances.pop(name, None)
        module = self._compile(step["module"])
        imports = [(m, n, self._import(step, m, n)) for m, n in self._imports(module)]
        instance = ctypes.create_string_buffer(16)
        ended = self._instantiate(module, imports, instance)
        if ended is not None:
            return ended, None
        exports = self._exports(instance)
        for export in exports.values():
            if export.kind == FUNC:
                self.values.number_function(ctypes.string_at(export.address, 16))
            elif export.kind == TAG:
                self._number_tag(ctypes.string_at(export.address, REF_SIZE))
        self.instances[name] = exports
        return Returned(), None

    def _instantiate(self, module: int, imports: list[tuple[str, str, bytes]], instance: Any) -> Outcome | None:
        """Instantiate a module, and return how that ended, None if well."""
        trap, error = ctypes.c_void_p(), ctypes.c_void_p()
        if self.sliced:
            self._instantiate_async(module, imports, instance, ctypes.byref(trap), ctypes.byref(error))
        else:
            items = b"".join(item for _, _, item in imports)
            buffer = ctypes.create_string_buffer(items, max(1, len(items)))
            error.value = self.api.wasmtime_instance_new(
                self.context, module, buffer, len(imports), instance, ctypes.byref(trap)
            )
        return self._ended(error.value, trap.value, linking=True)

    def _instantiate_async(
        self, module: int, imports: list[tuple[str, str, bytes]], instance: Any, trap_ref: Any, error_ref: Any
    ) -> None:
        """Instantiate in slices, which goes through a linker of its own; as two imports of one name are one thing."""
        api = self.api
        linker = api.wasmtime_linker_new(self.engine)
        try:
            api.wasmtime_linker_allow_shadowing(linker, True)
            for space, name, item in imports:
                names = space.encode(), name.encode()
                sized = (part for text in names for part in (text, len(text)))
                api.error(api.wasmtime_linker_define(linker, self.context, *sized, ctypes.create_string_buffer(item)))
            start = api.wasmtime_linker_instantiate_async
            self._finish(start(linker, self.context, module, instance, trap_ref, error_ref))
        finally:
            api.wasmtime_linker_delete(linker)

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
                    return self.host_item(name).raw
            elif name in self.instances[provider]:
                return self.instances[provider][name].item.raw
        raise Stop(Rejected("unlinkable", f"unknown import: {module}.{name}"))

    def _exports(self, instance: ctypes.Array[ctypes.c_char]) -> dict[str, Export]:
        exports: dict[str, Export] = {}
        nth = self.api.wasmtime_instance_export_nth
        name, length = ctypes.c_void_p(), ctypes.c_uint64()
        name_ref, length_ref = ctypes.byref(name), ctypes.byref(length)
        while True:
            item = ctypes.create_string_buffer(EXTERN_SIZE)
            if not nth(self.context, instance, len(exports), name_ref, length_ref, item):
                return exports
            key = ctypes.string_at(name.value, length.value).decode() if name.value else ""
            exports[key] = Export(item)


def _actions(features: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(a for a in ACTIONS if a != "throw" or "exceptions" in features)


def _name(vec: int) -> str:
    size, data = (ctypes.c_uint64 * 2).from_address(vec)
    return ctypes.string_at(data, size).decode() if size else ""


class WasmtimeAdapter:
    """The wheel's engine in one variant."""

    def __init__(self, variant: str) -> None:
        if variant not in wasmtime_api.VARIANTS:
            raise Unavailable(f"wasmtime has no variant {variant!r}; known: {', '.join(wasmtime_api.VARIANTS[1:])}")
        self.variant = variant
        self.api = wasmtime_api.load()
        reason = self.api.cannot(Setup(variant))
        if reason is not None:
            raise Unavailable(f"wasmtime {wasmtime_api.version()} has no variant {variant} here: {reason}")
        features = self.api.features(variant)
        fuel_model, fuel_note = _fuel_model(variant)
        self._description = Description(
            name="wasmtime",
            version=wasmtime_api.version(),
            variant=variant,
            features=features,
            steps=tuple(STEP_KINDS),
            actions=_actions(features),
            types=self.api.kinds[:6] if variant == "winch" else self.api.kinds,
            nan=("module", "none") if variant == "winch" else ("engine", "module", "none"),
            text=True,
            fuel=True,
            can=(*Description.can, "frames") if variant in ("none", "winch") else Description.can,
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
    api = wasmtime_api.load()
    sliced = is_sliced(plan) and api.has("wasmtime_config_async_support_set")
    setup = Setup(variant, features, plan.nan == "engine", is_metered(plan), sliced)
    return WasmtimeSession(plan, api, setup)


@cache
def _kept(api: Api) -> Kept[int]:
    """Return the modules that engines of this process keep compiled."""
    return Kept(api.wasmtime_module_delete)


@cache
def _fuel_model(variant: str) -> tuple[str, str]:
    return fitting(partial(_open, variant))


def adapter(variant: str) -> Adapter:
    """Return the adapter of a variant, or raise Unavailable."""
    return WasmtimeAdapter(variant)
