"""One program of the host for several engines: our engine and wasmtime's, native and by its interpreter Pulley.

The host is a Python function of the embedder and a number; what it lets pass and what leaves a call is the engine's own
error, of which :meth:`Embedder.show` gives what can be compared.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Protocol

import wasmtime

from engine import Config, Store, Trap, WasmError, decode, instantiate, invoke, validate
from engine.execution.driver import place
from engine.types import I32, FuncType
from oracles.traps import STACK, WASMTIME_CODES, merged

if TYPE_CHECKING:
    from collections.abc import Callable

    Host = Callable[["Embedder", int], int]

__all__ = ["ENGINES", "Embedder", "HostError", "attempt"]

VERSION = version("wasmtime")
MOST = 20  # frames that wasmtime tells


class HostError(Exception):
    """What the host raises on its own."""


class Embedder(Protocol):
    """An instance of a module that imports at most one function, of the host: from an i32 to an i32."""

    errors: tuple[type[Exception], ...]

    def call(self, export: str, *args: int) -> int | None:
        """Call and return the result, or raise one of ``errors``, or what the host raised."""

    def show(self, error: Exception) -> Any:
        """Return the traps that a trap may be, and the places of the frames of all activations, innermost first."""

    def memory(self) -> bytes: ...

    def global_(self) -> int: ...


def attempt(embedder: Embedder, export: str, *args: int) -> Any:
    """Return what comes of a call, in a form that can be compared."""
    try:
        return "returned", embedder.call(export, *args)
    except HostError as error:
        return "host", str(error)
    except embedder.errors as error:
        return "trapped", embedder.show(error)


class Ours:
    """The engine of this project, with its checks."""

    errors: tuple[type[Exception], ...] = (WasmError,)

    def __init__(self, wasm: bytes, host: Host, **config: Any) -> None:
        module = decode(wasm)
        validate(module)
        self.store = Store(Config(checks=True, **config))
        functype = FuncType((I32,), (I32,))
        imports = [self.store.alloc_host_func(functype, lambda caller, args: [host(self, args[0])])]
        self.instance = instantiate(self.store, module, imports[: len(module.imports)])

    def call(self, export: str, *args: int) -> int | None:
        before = self.store.vm_state()
        try:
            return next(iter(invoke(self.store, self.instance.exports[export], args)), None)  # type: ignore[arg-type]
        finally:
            assert self.store.vm_state() == before

    def show(self, error: Exception) -> Any:
        if not isinstance(error, Trap):
            return frozenset({STACK}), None  # where it ends is every engine's own matter
        assert error.where is not None
        callers = [place(block) for a in error.activations for block, _ in reversed(a.frames) if block.is_wasm]
        frames = [(where.funcidx, where.offset) for where in (error.where, *callers)]
        return merged(error.kind.value, "wasmtime", VERSION), frames[:MOST]

    def memory(self) -> bytes:
        mem: Any = self.instance.exports["m"]
        return bytes(mem.data)

    def global_(self) -> int:
        found: Any = self.instance.exports["g"]
        return int(found.value)


class Debugged(Ours):
    """The same with a debugger, and a handler that is told of everything and looks at every frame."""

    def __init__(self, wasm: bytes, host: Host, **config: Any) -> None:
        super().__init__(wasm, host, guest_debug=True, **config)
        self.store.set_debug_handler(look)


def look(store: Store, event: object) -> None:
    """Look at all values of all frames."""
    cursor = store.debug_frames()
    assert cursor is not None
    while not cursor.done():
        for i in range(cursor.num_locals()):
            cursor.local(i)
        for i in range(cursor.num_stacks()):
            cursor.stack(i)
        cursor.move_to_parent()


class Wasmtime:
    """wasmtime for a target; unoptimised, because optimised code has no exact places."""

    errors: tuple[type[Exception], ...] = (wasmtime.Trap, wasmtime.WasmtimeError)

    def __init__(self, wasm: bytes, host: Host, target: str | None = None) -> None:
        config = wasmtime.Config()
        config.cranelift_opt_level = "none"
        config.max_wasm_stack = 3 << 19  # functions of the host take from it too
        if target is not None:
            config.target = target
        engine = wasmtime.Engine(config)
        self.store = wasmtime.Store(engine)
        module = wasmtime.Module(engine, wasm)
        i32 = wasmtime.ValType.i32
        func = wasmtime.Func(self.store, wasmtime.FuncType([i32()], [i32()]), lambda n: _signed(host(self, n)))
        self.exports = wasmtime.Instance(self.store, module, [func][: len(module.imports)]).exports(self.store)

    def call(self, export: str, *args: int) -> int | None:
        func: Any = self.exports[export]
        result = func(self.store, *map(_signed, args))
        return None if result is None else result % 2**64 if result > 2**32 else result % 2**32

    def show(self, error: Exception) -> Any:
        assert isinstance(error, wasmtime.Trap), error
        assert error.trap_code is not None
        name = error.trap_code.name
        if name == "STACK_OVERFLOW":
            return frozenset({STACK}), None
        frames = [(frame.func_index, frame.module_offset) for frame in error.frames]
        phrase = WASMTIME_CODES["UNREACHABLE_CODE_REACHED" if name == "UNREACHABLE" else name]
        return merged(phrase, "wasmtime", VERSION), frames

    def memory(self) -> bytes:
        mem: Any = self.exports["m"]
        return bytes(mem.read(self.store, 0, mem.data_len(self.store)))

    def global_(self) -> int:
        found: Any = self.exports["g"]
        return int(found.value(self.store)) % 2**32


class Pulley(Wasmtime):
    """wasmtime's interpreter."""

    def __init__(self, wasm: bytes, host: Host) -> None:
        super().__init__(wasm, host, "pulley64")


def _signed(n: int) -> int:
    return (n & 0xFFFF_FFFF ^ 0x8000_0000) - 0x8000_0000


ENGINES = {"ours": Ours, "debugged": Debugged, "native": Wasmtime, "pulley": Pulley}
