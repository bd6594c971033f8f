"""The C functions of the wasmtime wheel with exact prototypes, and engines by configuration.

The wheel's Python classes abort the process for v128 and GC types and round f32 through Python floats; nothing of them
is used.  Pointers are integers or ctypes buffers.  An extern is 32 bytes (kind, padding, 24 bytes of payload), a value
likewise (24 before references of 24 bytes); :func:`load` checks these layouts against the wheel's own structures.
Older releases lack functions: what :data:`_SOME` names may be absent, and with it a feature or a type of values.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

from oracles.adapter import ALL, Unavailable
from oracles.adapters.wasmtime_samples import Samples, heap_module

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "EXTERN_SIZE", "KINDS", "OF", "REF_SIZE", "VARIANTS", "Api", "AsyncCallback", "Callback", "Continuation",
    "Finalizer", "Setup", "engine_features", "load", "settled", "version",
]  # fmt: skip

EXTERN_SIZE = 32
REF_SIZE = 24  # of a reference or a tag, at most
VAL_SIZES = (24, 32)
OF = 8  # offset of the payload in a value or an extern

# "result arguments": v void, p pointer or handle, b bool, B u8, I u32, i i32, Q u64 or size, q i64
_PROTOTYPES = """
wasm_config_new                     p
wasmtime_config_strategy_set        v pB
wasmtime_config_target_set          p pp
wasmtime_config_cranelift_opt_level_set v pB
wasmtime_config_cranelift_nan_canonicalization_set v pb
wasmtime_config_parallel_compilation_set v pb
wasmtime_config_memory_init_cow_set v pb
wasmtime_config_consume_fuel_set    v pb
wasmtime_config_wasm_component_model_set v pb
wasmtime_config_wasm_relaxed_simd_deterministic_set v pb
wasm_engine_new_with_config         p p
wasmtime_store_new                  p ppp
wasmtime_store_context              p p
wasmtime_store_limiter              v pqqqqq
wasmtime_store_delete               v p
wasmtime_context_set_fuel           p pQ
wasmtime_context_get_fuel           p pp
wasmtime_context_fuel_async_yield_interval p pQ
wasmtime_error_message              v pp
wasmtime_error_delete               v p
wasm_byte_vec_delete                v p
wasmtime_wat2wasm                   p pQp
wasmtime_module_new                 p ppQp
wasmtime_module_validate            p ppQ
wasmtime_module_clone               p p
wasmtime_module_delete              v p
wasmtime_module_imports             v pp
wasm_importtype_vec_delete          v p
wasm_importtype_module              p p
wasm_importtype_name                p p
wasmtime_module_exports             v pp
wasm_exporttype_vec_delete          v p
wasm_exporttype_type                p p
wasm_externtype_as_functype         p p
wasm_externtype_as_tabletype        p p
wasmtime_instance_new               p pppQpp
wasmtime_instance_export_nth        b ppQppp
wasmtime_extern_delete              v p
wasmtime_func_new                   v pppppp
wasmtime_func_type                  p pp
wasm_functype_params                p p
wasm_functype_results               p p
wasm_functype_new                   p pp
wasm_functype_delete                v p
wasm_valtype_new                    p B
wasm_valtype_copy                   p p
wasm_valtype_vec_new                v pQp
wasmtime_func_call                  p pppQpQp
wasmtime_func_call_async            p pppQpQpp
wasmtime_call_future_poll           b p
wasmtime_call_future_delete         v p
wasmtime_linker_new                 p p
wasmtime_linker_delete              v p
wasmtime_linker_allow_shadowing     v pb
wasmtime_linker_define              p pppQpQp
wasmtime_linker_define_async_func   p ppQpQpppp
wasmtime_linker_get                 b pppQpQp
wasmtime_linker_instantiate_async   p pppppp
wasmtime_func_to_raw                p pp
wasmtime_trap_new                   p pQ
wasmtime_trap_code                  b pp
wasm_trap_message                   v pp
wasm_trap_trace                     v pp
wasm_trap_delete                    v p
wasm_frame_func_index               I p
wasm_frame_module_offset            Q p
wasm_frame_vec_delete               v p
wasmtime_memory_data                p pp
wasmtime_memory_data_size           Q pp
wasmtime_memory_size                Q pp
wasmtime_memory_grow                p ppQp
wasmtime_sharedmemory_data          p p
wasmtime_sharedmemory_data_size     Q p
wasmtime_sharedmemory_size          Q p
wasmtime_sharedmemory_grow          p pQp
wasm_tabletype_copy                 p p
wasmtime_table_new                  p pppp
wasmtime_table_size                 Q pp
wasmtime_table_get                  b ppQp
wasmtime_table_set                  p ppQp
wasmtime_table_grow                 p ppQpp
wasmtime_global_get                 v ppp
wasmtime_global_set                 p ppp
wasmtime_externref_new              b pppp
wasmtime_externref_data             p pp
wasmtime_externref_to_raw           I pp
wasmtime_externref_from_raw         v pIp
wasmtime_anyref_from_raw            v pIp
wasmtime_anyref_to_raw              I pp
wasmtime_anyref_from_i31            v pIp
wasmtime_anyref_i31_get_u           b ppp
"""
# the same of functions that not all releases have: 36 has no exceptions, and no names for some types; engines that may
# run in slices are others only there
_SOME = """
wasmtime_config_async_support_set   v pb
wasmtime_config_wasm_component_model_async_set v pb
wasmtime_context_has_exception      b p
wasmtime_context_take_exception     b pp
wasmtime_context_set_exception      p pp
wasmtime_wasm_valtype_v128          p
wasmtime_tag_eq                     b ppp
wasmtime_anyref_is_struct           b pp
wasmtime_anyref_is_array            b pp
wasmtime_exnref_new                 p pppQp
wasmtime_exnref_tag                 p ppp
wasmtime_exnref_field_count         Q pp
wasmtime_exnref_field               p ppQp
wasmtime_exnref_unroot              v p
"""
_UNROOTED = ("val", "externref", "anyref")  # each with a function to release it, which in older releases takes a store
_CTYPES: dict[str, Any] = {
    "v": None, "p": ctypes.c_void_p, "b": ctypes.c_bool, "B": ctypes.c_uint8, "I": ctypes.c_uint32, "i": ctypes.c_int32,
    "Q": ctypes.c_uint64, "q": ctypes.c_int64,
}  # fmt: skip

Callback = ctypes.CFUNCTYPE(
    ctypes.c_void_p,  # a trap or null
    ctypes.c_void_p,  # env
    ctypes.c_void_p,  # caller
    ctypes.c_void_p,  # arguments
    ctypes.c_size_t,
    ctypes.c_void_p,  # results
    ctypes.c_size_t,
)

AsyncCallback = ctypes.CFUNCTYPE(
    None,
    ctypes.c_void_p,  # env
    ctypes.c_void_p,  # caller
    ctypes.c_void_p,  # arguments
    ctypes.c_size_t,
    ctypes.c_void_p,  # results
    ctypes.c_size_t,
    ctypes.c_void_p,  # where a trap goes
    ctypes.c_void_p,  # the continuation to fill in: a Continuation, its env, a Finalizer
)
Continuation = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p)
Finalizer = ctypes.CFUNCTYPE(None, ctypes.c_void_p)

# kinds of values: what they are called on the wire; a reference by the top of its hierarchy
KINDS = ("i32", "i64", "f32", "f64", "v128", "funcref", "externref", "anyref", "exnref")

# features that a configuration switches, each by these setters: without the first of them an engine lacks the feature
_SWITCHES: dict[str, tuple[str, ...]] = {
    "bulk-memory": ("wasm_bulk_memory",),
    "custom-page-sizes": ("wasm_custom_page_sizes",),
    "exceptions": ("wasm_exceptions",),
    "function-references": ("wasm_function_references",),
    "gc": ("wasm_gc",),
    "memory64": ("wasm_memory64",),
    "multi-memory": ("wasm_multi_memory",),
    "multi-value": ("wasm_multi_value",),
    "reference-types": ("wasm_reference_types",),
    "relaxed-simd": ("wasm_relaxed_simd",),
    "simd": ("wasm_simd",),
    "tail-call": ("wasm_tail_call",),
    "threads": ("wasm_threads", "shared_memory"),
    "wide-arithmetic": ("wasm_wide_arithmetic",),
}
_ALWAYS = ("extended-const", "mutable-globals", "mvp", "saturating-float-to-int", "sign-extension")
_NEEDS: dict[str, tuple[str, ...]] = {
    "exceptions": ("function-references", "reference-types"),
    "function-references": ("reference-types",),
    "gc": ("function-references", "reference-types"),
    "reference-types": ("bulk-memory",),
    "relaxed-simd": ("simd",),
}
_LACKS: dict[str, frozenset[str]] = {
    "winch": frozenset({"exceptions", "function-references", "gc", "relaxed-simd"}),
    "pulley": frozenset({"threads"}),
}
_LACKS_IN_RELEASE: dict[tuple[str, str], frozenset[str]] = {
    ("winch", "48"): frozenset({"tail-call"}),  # other releases let it be switched on and then compile no tail call
}
VARIANTS = ("", "none", "winch", "pulley")


def engine_features(variant: str, lacks: frozenset[str] = frozenset()) -> tuple[str, ...]:
    """Return the names of the features that this variant can be configured with, of a build that lacks some."""
    return tuple(sorted((set(_ALWAYS) | set(_SWITCHES)) - _LACKS.get(variant, frozenset()) - lacks))


def settled(features: Iterable[str], variant: str = "", lacks: frozenset[str] = frozenset()) -> frozenset[str]:
    """Return the names of the features that an engine has if it is asked for these."""
    available, asked = set(engine_features(variant, lacks)), set(features)
    if ALL in asked:
        asked |= available
    for feature in list(asked):
        asked.update(_NEEDS.get(feature, ()))
    return frozenset((asked & available) | set(_ALWAYS))


@dataclass(frozen=True)
class Setup:
    """One engine configuration; engines are kept by it."""

    variant: str = ""
    features: frozenset[str] | None = None  # None: the engine's own default
    deterministic: bool = False  # canonical NaNs and relaxed SIMD
    fuel: bool = False
    sliced: bool = False  # calls are asynchronous


class Api:
    """The C functions as attributes, and what is made once per process.

    ``lacks`` has the features that this build has no setter for, ``kinds`` the kinds of values that it knows.
    """

    def __init__(self, path: str, codes: dict[int, str], val_size: int, *, unroots_in_store: bool) -> None:
        library = ctypes.CDLL(path)
        self.codes = codes
        self.val_size = val_size
        self.unroots_in_store = unroots_in_store
        for line in (_PROTOTYPES + _SOME).split("\n"):
            if line:
                name, result, *arguments = line.split()
                if line in _PROTOTYPES or hasattr(library, name):
                    self._bind(library, name, result, "".join(arguments))
        for what in _UNROOTED:
            self._bind(library, f"wasmtime_{what}_unroot", "v", "pp" if unroots_in_store else "p")
        for setter in (setter for setters in _SWITCHES.values() for setter in setters):
            if hasattr(library, _setter(setter)):
                self._bind(library, _setter(setter), "v", "pb")
        self.lacks = frozenset(name for name, setters in _SWITCHES.items() if not self.has(_setter(setters[0])))
        self.can_throw = "exceptions" not in self.lacks
        self.kinds = KINDS if self.can_throw else KINDS[: KINDS.index("exnref")]
        self.makes_heap_late = not self.has("wasmtime_anyref_is_struct")
        self._heap_modules: dict[int, int | None] = {}
        self._functypes: dict[tuple[int, tuple[str, ...], tuple[str, ...]], int] = {}
        self._engines: dict[Setup, int] = {}

    def _bind(self, library: ctypes.CDLL, name: str, result: str, arguments: str) -> None:
        function = getattr(library, name)
        function.restype = _CTYPES[result]
        function.argtypes = [_CTYPES[a] for a in arguments]
        setattr(self, name, function)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)

    def has(self, name: str) -> bool:
        """Return whether the build has a function of ``_SOME`` or a setter."""
        return name in vars(self)

    def features(self, variant: str) -> tuple[str, ...]:
        """Return the names of the features that a variant of this build can be configured with."""
        return engine_features(variant, self._lacks(variant))

    def _lacks(self, variant: str) -> frozenset[str]:
        return self.lacks | _LACKS_IN_RELEASE.get((variant, version().partition(".")[0]), frozenset())

    def engine(self, setup: Setup) -> int:
        """Return the engine of a configuration; inconsistent ones are completed, as the library would abort."""
        engine = self._engines.get(setup)
        if engine is None:
            engine = self._engines[setup] = self._new_engine(setup)
        return engine

    def heap_module(self, engine: int) -> int | None:
        """Return what to instantiate first where a store has no heap until something needs it, if anything."""
        if not self.makes_heap_late:
            return None
        if engine not in self._heap_modules:
            self._heap_modules[engine] = heap_module(self, engine)
        return self._heap_modules[engine]

    def cannot(self, setup: Setup) -> str | None:
        """Return why a configuration compiles nothing, or None."""
        wasm, module = b"\0asm\1\0\0\0", ctypes.c_void_p()
        error = self.error(self.wasmtime_module_new(self.engine(setup), wasm, len(wasm), ctypes.byref(module)))
        if error is None:
            self.wasmtime_module_delete(module)
        return error

    def _new_engine(self, setup: Setup) -> int:
        config: int = self.wasm_config_new()
        if setup.variant == "winch":
            self.wasmtime_config_strategy_set(config, 2)
        elif setup.variant == "pulley":
            self.error(self.wasmtime_config_target_set(config, b"pulley64"))
        elif setup.variant == "none":
            self.wasmtime_config_cranelift_opt_level_set(config, 0)
        self.wasmtime_config_parallel_compilation_set(config, False)
        if not setup.fuel:  # costs a file for each module; but what segments cost depends on it
            self.wasmtime_config_memory_init_cow_set(config, False)
        self.wasmtime_config_wasm_component_model_set(config, False)
        self._switch(config, "wasm_component_model_async", False)
        if setup.sliced:
            self._switch(config, "async_support", True)
        if setup.fuel:
            self.wasmtime_config_consume_fuel_set(config, True)
        if setup.deterministic and setup.variant != "winch":
            self.wasmtime_config_cranelift_nan_canonicalization_set(config, True)
        if setup.features is not None:
            self._set_features(config, setup)
        engine: int = self.wasm_engine_new_with_config(config)
        return engine

    def _set_features(self, config: int, setup: Setup) -> None:
        assert setup.features is not None
        asked = settled(setup.features, setup.variant, self._lacks(setup.variant))
        for feature, setters in _SWITCHES.items():
            for setter in setters:
                self._switch(config, setter, feature in asked)
        if setup.deterministic and "relaxed-simd" in asked:
            self.wasmtime_config_wasm_relaxed_simd_deterministic_set(config, True)

    def _switch(self, config: int, setter: str, on: bool) -> None:
        """Switch something on or off, if the build has a switch for it."""
        if self.has(_setter(setter)):
            getattr(self, _setter(setter))(config, on)

    def unroot(self, context: int, what: str, at: Any) -> None:
        """Release the reference in a ``val``, or an ``externref`` or ``anyref``, at an address."""
        function = getattr(self, f"wasmtime_{what}_unroot")
        if self.unroots_in_store:
            function(context, at)
        else:
            function(at)

    def error(self, error: int | None) -> str | None:
        """Return the message of an error and free it; None for no error."""
        if not error:
            return None
        vec = (ctypes.c_uint64 * 2)()
        self.wasmtime_error_message(error, vec)
        self.wasmtime_error_delete(error)
        return self.take_bytes(vec).decode("utf-8", "replace")

    def take_bytes(self, vec: ctypes.Array[ctypes.c_uint64]) -> bytes:
        """Return the contents of an owned byte vector (size, data) and free it."""
        data = ctypes.string_at(vec[1], vec[0]) if vec[0] else b""
        self.wasm_byte_vec_delete(vec)
        return data

    def functype(self, engine: int, params: tuple[str, ...], results: tuple[str, ...]) -> int:
        """Return the function type of numbers, v128, funcref and externref; KeyError for other types.

        A type registers itself with the first engine that uses it, and another engine aborts the process.
        """
        key = (engine, params, results)
        found = self._functypes.get(key)
        if found is None:
            found = self.wasm_functype_new(self._valtypes(params), self._valtypes(results))
            self._functypes[key] = found
        return found

    def _valtypes(self, types: tuple[str, ...]) -> ctypes.Array[ctypes.c_uint64]:
        kinds = {"i32": 0, "i64": 1, "f32": 2, "f64": 3, "externref": 128, "funcref": 129, "v128": None}
        wanted = [kinds[t] for t in types]  # KeyError before anything is allocated
        made = [self._v128() if k is None else self.wasm_valtype_new(k) for k in wanted]
        vec = (ctypes.c_uint64 * 2)()
        self.wasm_valtype_vec_new(vec, len(made), (ctypes.c_uint64 * max(1, len(made)))(*made))
        return vec

    def _v128(self) -> int:
        new = self.wasmtime_wasm_valtype_v128 if self.has("wasmtime_wasm_valtype_v128") else self.samples.v128
        valtype: int = new()
        return valtype

    @cached_property
    def samples(self) -> Samples:
        """What this build has no function for, by way of a module."""
        return Samples(self, self.engine(Setup(features=frozenset({"gc", "simd"}))))


@cache
def load() -> Api:
    """Return the library of the installed wheel, or raise Unavailable."""
    try:
        from wasmtime import _bindings, _ffi  # the package may be absent
    except (ImportError, OSError, RuntimeError) as e:
        raise Unavailable(f"the wasmtime package cannot be loaded: {e}") from e
    val, extern = _bindings.wasmtime_val_t, _bindings.wasmtime_extern_t
    val_size = ctypes.sizeof(val)
    layout = (val.of.offset, ctypes.sizeof(extern), extern.of.offset, ctypes.sizeof(_bindings.wasmtime_func_t))
    if val_size not in VAL_SIZES or layout != (OF, EXTERN_SIZE, OF, 16):
        raise Unavailable(f"wasmtime {version()} lays out values in a way this adapter does not know")
    first = min(code.value for code in _bindings.wasmtime_trap_code_enum)  # 0 in C, and 1 in older wheels
    prefix = "WASMTIME_TRAP_CODE_"
    codes = {code.value - first: code.name.removeprefix(prefix) for code in _bindings.wasmtime_trap_code_enum}
    unroots_in_store = len(_bindings._wasmtime_val_unroot.argtypes) > 1
    try:
        return Api(str(_ffi.filename), codes, val_size, unroots_in_store=unroots_in_store)
    except AttributeError as e:
        raise Unavailable(f"wasmtime {version()} lacks a C function: {e}") from e


def _setter(name: str) -> str:
    return f"wasmtime_config_{name}_set"


@cache
def version() -> str:
    """Return the version of the installed wheel."""
    return importlib.metadata.version("wasmtime")
