"""Our own engine as an oracle: the one adapter that imports ``engine``.

An exception that is not one of the engine's own says that the engine is broken, so nothing here catches it: it ends the
worker and becomes ``Crashed``.  The variant ``plant=NAME`` runs a build with a planted bug out of ``PLANTS``.
"""

from __future__ import annotations

import base64
import platform
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from engine import errors
from engine.binary import decode, encode
from engine.errors import EngineBug, Resource, Trap, UncaughtException, WasmError
from engine.execution.calls import invoke
from engine.execution.fuel_models import unit_model
from engine.execution.instantiate import instantiate, resolve
from engine.features import COMPATIBLE, EXECUTED, FEATURES, MVP
from engine.matching import top
from engine.runtime.globals import GlobalInst
from engine.runtime.heap import ArrayInst, ExternRef, StructInst, matches_ref
from engine.runtime.instance import FuncInst, HostFunc
from engine.runtime.memory import MemInst
from engine.runtime.store import Config, Store
from engine.runtime.table import TableInst
from engine.runtime.tag import TagInst
from engine.text.parser import parse
from engine.types import (
    ANY,
    ANYREF,
    ARRAY,
    EQ,
    EXN,
    EXNREF,
    EXTERN,
    EXTERNREF,
    F32,
    F64,
    FUNC,
    FUNCREF,
    I31,
    I32,
    I64,
    NOEXN,
    NOEXTERN,
    NOFUNC,
    NONE,
    STRUCT,
    V128,
    FuncType,
    RefType,
)
from engine.validation import validate
from engine.values import from_bits, to_bits
from oracles.adapter import (
    ALL,
    MAX_READ,
    MAX_SLOTS,
    Description,
    Numbering,
    RefusingSession,
    Session,
    Stop,
    Unavailable,
    blocked,
    count_of,
    crc_pages,
    hex_of,
    refusal,
    value_of,
    values_of,
)
from oracles.outcome import Exhausted, Rejected, Returned, Threw, Trapped, Unsupported
from oracles.plan import HOST, WIDTHS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from engine.errors import Where
    from engine.execution.build import Build
    from engine.module import Module
    from engine.runtime.instance import Caller, ExternVal, ModuleInst
    from engine.types import HeapType, ValType
    from oracles.adapter import Answer
    from oracles.outcome import Outcome
    from oracles.plan import Plan, Step, Value

__all__ = ["PLANTS", "ReferenceAdapter", "ReferenceSession", "adapter", "outcome_of"]

COUNT = unit_model(None)  # fuel spent is instructions executed
UNMETERED = 1 << 62
PLANTS: dict[str, Callable[[], Build]] = {}  # filled by importing PLANTED_BY, on the first use of a plant
PLANTED_BY = "harness.planted"  # by name only: oracles do not depend on the harness

_TYPES: dict[str, ValType] = {str(t): t for t in (I32, I64, F32, F64, V128, FUNCREF, EXTERNREF, ANYREF, EXNREF)}
_TOPS = {  # the hierarchy of a reference, by its name
    h.short: top(h) for h in (ANY, ARRAY, EQ, EXN, EXTERN, FUNC, I31, NOEXN, NOEXTERN, NOFUNC, NONE, STRUCT)
}
_RESOURCES = {
    Resource.STACK: "stack", Resource.FUEL: "fuel", Resource.HEAP: "memory", Resource.TIME: "time",
}  # fmt: skip
_STAGES: tuple[tuple[type[WasmError], str], ...] = (
    (errors.MalformedError, "malformed"), (errors.InvalidError, "invalid"), (errors.LinkError, "unlinkable"),
)  # fmt: skip


def outcome_of(error: WasmError, values: Callable[[UncaughtException], Threw]) -> Outcome:
    """Return what an engine error is on the wire; ``values`` shows the payload of an exception."""
    if isinstance(error, Trap):
        return Trapped(error.kind.value, _place(error.where), str(error))
    if isinstance(error, errors.ExhaustionError):
        return Exhausted(_RESOURCES[error.resource], str(error))
    if isinstance(error, errors.UnsupportedError):
        return Unsupported(f"feature {error.feature}")
    if isinstance(error, UncaughtException):
        return values(error)
    for cls, stage in _STAGES:
        if isinstance(error, cls):
            return Rejected(stage, str(error))
    raise error


def _place(where: Where | None) -> tuple[int, int] | None:
    if where is None or where.funcidx is None or where.offset is None:
        return None
    return where.funcidx, where.offset


def _payload(tag: Any) -> Sequence[ValType]:
    """Return the types of the values that exceptions of a tag carry."""
    types: Sequence[ValType] = tag.type.type.comp.params
    return types


class ReferenceSession(Session):
    """One store; modules are decoded and validated once."""

    def __init__(self, plan: Plan, build: Build | None) -> None:
        super().__init__(plan)
        limits = plan.limits
        pages, elements = limits.memory_pages, limits.table_elements
        config = Config(
            max_memory_pages=pages, max_table_elements=elements, max_depth=limits.depth, build=build, fuel_model=COUNT
        )
        self.store = Store(config)
        everything = not plan.features or ALL in plan.features
        named = frozenset({MVP, *(FEATURES[f] for f in plan.features if f != ALL)})
        self.features = COMPATIBLE | named if everything else named
        self.text_features = EXECUTED if everything else named
        self.instances: dict[str, ModuleInst] = {}
        self.modules: dict[bytes, Module] = {}
        self.hosts: dict[str, HostFunc] = {}
        self.functions = Numbering()
        self.externs: dict[int, ExternRef] = {}
        self.tags = Numbering()
        self.thrown: UncaughtException | None = None  # what the latest call to end with an exception threw

    def run(self, step: Step) -> Answer:
        """Answer a step; what calls and instantiations executed is ``executed`` instructions in the data."""
        if step.kind not in ("call", "instantiate") or self.nesting:
            return self._run(step)
        budget = UNMETERED if self.plan.limits.fuel is None else self.plan.limits.fuel
        self.store.fuel_left = budget
        outcome, data = self._run(step)
        left: int = self.store.fuel_left
        return outcome, {**(data or {}), "executed": budget - left}

    def _run(self, step: Step) -> Answer:
        try:
            return super().run(step)
        except WasmError as e:
            return outcome_of(e, self._threw), None
        except (IndexError, TypeError, ValueError) as e:  # a host function around us would take it for its own
            raise EngineBug(f"{type(e).__name__} in step {step.kind}: {e}") from e

    def _threw(self, e: UncaughtException) -> Threw:
        self.thrown = e if self.nesting else None
        return Threw(self.tags.number(e.tag, e.tag), tuple(map(self.show, _payload(e.tag), e.values)))

    # values

    def show(self, t: ValType, v: Any) -> Value:
        """Return the wire form of an engine value of type ``t``."""
        if t is I32:
            return "i32", f"{v:08x}"
        if t is I64:
            return "i64", f"{v:016x}"
        if not isinstance(t, RefType):
            name = str(t)
            return name, f"{to_bits(t, v):0{WIDTHS[name] // 4}x}"
        hierarchy = top(t.heap)
        return hierarchy.short, None if v is None else self.payload(hierarchy, v)

    def payload(self, hierarchy: HeapType, v: Any) -> Any:
        """Return the payload of a reference that is not null (see ``wasmtime_values``)."""
        if hierarchy is FUNC:
            return self.functions.number(v, v)
        if hierarchy is EXTERN:
            return v.value if isinstance(v, ExternRef) else {"any": self.payload(ANY, v)}
        if isinstance(v, int):
            return {"i31": v}
        if isinstance(v, ExternRef):
            return {"host": v.value}
        return "struct" if isinstance(v, StructInst) else "array" if isinstance(v, ArrayInst) else "exn"

    def value(self, value: Value, t: ValType) -> Any:
        """Return the engine value that a wire value means where a ``t`` is expected, or stop the step as Blocked."""
        name, payload = value
        if not isinstance(t, RefType):
            if name != str(t):
                raise blocked(f"a {name} where {t} is expected")
            return from_bits(t, int(payload, 16))
        if name not in _TOPS or _TOPS[name] is not top(t.heap):
            raise blocked(f"a {name} where {t} is expected")
        v = None if payload is None else self.reference(name, payload)
        if not matches_ref(v, t):
            raise blocked(f"{name} {payload} is no {t}")
        return v

    def reference(self, name: str, payload: Any) -> Any:
        """Return the engine value that the payload of a reference that is not null means."""
        hierarchy = _TOPS[name]
        if hierarchy is FUNC:
            return self.functions.handle(payload)
        if hierarchy is ANY and isinstance(payload, dict) and len(payload) == 1:
            if isinstance(payload.get("i31"), int):
                return payload["i31"] & 0x7FFF_FFFF
            payload = payload.get("host")
        elif hierarchy is not EXTERN:
            raise Stop(Unsupported(f"passing {name} {payload!r}"))
        if not isinstance(payload, int) or payload < 0:
            raise blocked(f"no external reference {payload!r}")
        if payload not in self.externs:
            self.externs[payload] = self.store.alloc_extern(payload)
        return self.externs[payload]

    def values(self, data: Any, types: Sequence[ValType]) -> list[Any]:
        """Return the engine values of wire values that must have these types, or stop the step as Blocked."""
        given = values_of(data)
        if len(given) != len(types):
            raise blocked(f"{len(given)} values where {len(types)} are expected")
        return [self.value(value, t) for value, t in zip(given, types, strict=True)]

    def export(self, step: Step, *classes: type[Any]) -> Any:
        """Return the export that the step names, or stop the step as Blocked if it is not one of ``classes``."""
        externval = self.instance(step["instance"]).exports.get(step["export"])
        if not isinstance(externval, classes):
            raise blocked(f"export {step['export']} of {step['instance']}")
        return externval

    # modules and instances

    def module(self, wasm: bytes) -> Module:
        """Return the valid module with these bytes, or raise the engine's error."""
        module = self.modules.get(wasm)
        if module is None:
            module = decode(wasm, self.features)
            validate(module, self.features)
            self.modules[wasm] = module
        return module

    def step_assemble(self, step: Step) -> Answer:
        text = self.plan.texts.get(step["text"])
        if text is None:
            raise blocked(f"text {step['text']}")
        self.binaries.pop(step["module"], None)
        try:
            wasm = encode(parse(text, self.text_features))
        except errors.MalformedError as e:
            return Rejected("text", e.message), None
        self.binaries[step["module"]] = wasm
        return Returned(), {"wasm": base64.b64encode(wasm).decode()} if step.get("want") else None

    def step_validate(self, step: Step) -> Answer:
        self.module(self.binary(step["module"]))
        return Returned(), None

    def step_instantiate(self, step: Step) -> Answer:
        self.instances.pop(step["instance"], None)
        module = self.module(self.binary(step["module"]))
        imports = resolve(module, lambda space, name: self._provided(self.providers(step, space), name))
        instance = instantiate(self.store, module, imports)
        for externval in instance.exports.values():
            if isinstance(externval, (FuncInst, HostFunc)):
                self.functions.number(externval, externval)
            elif isinstance(externval, TagInst):
                self.tags.number(externval, externval)
        self.instances[step["instance"]] = instance
        return Returned(), None

    def _provided(self, providers: Iterable[str], name: str) -> ExternVal | None:
        for provider in providers:
            if provider != HOST:
                externval = self.instances[provider].exports.get(name)
                if externval is not None:
                    return externval
            elif name in self.plan.hosts:
                return self._host(name)
        return None

    def _host(self, name: str) -> HostFunc:
        """Return the one function object of a host function of the plan."""
        if name not in self.hosts:
            host = self.plan.hosts[name]
            for t in (*host.params, *host.results):
                if t not in _TYPES:
                    raise Stop(Unsupported(f"type {t}"))
            functype = FuncType(tuple(_TYPES[t] for t in host.params), tuple(_TYPES[t] for t in host.results))

            def call(caller: Caller, args: tuple[Any, ...]) -> Sequence[Any]:
                results = self.host_call(name, list(map(self.show, functype.params, args)))
                return list(map(self.value, results, functype.results))

            self.hosts[name] = self.store.alloc_host_func(functype, call)
        return self.hosts[name]

    # what runs and what looks

    def step_call(self, step: Step) -> Answer:
        func = self.export(step, FuncInst, HostFunc)
        args = self.values(step["args"], func.functype.params)
        results = invoke(self.store, func, args)
        return Returned(tuple(map(self.show, func.functype.results, results))), None

    def step_get(self, step: Step) -> Answer:
        global_ = self.export(step, GlobalInst)
        return Returned(), {"value": list(self.show(global_.type.valtype, global_.value))}

    def step_set(self, step: Step) -> Answer:
        global_ = self.export(step, GlobalInst)
        if not global_.type.mutable:
            raise blocked(f"global {step['export']} is immutable")
        global_.value = self.value(value_of(step["value"]), global_.type.valtype)
        return Returned(), None

    def step_read(self, step: Step) -> Answer:
        mem = self.export(step, MemInst)
        length = count_of(step["length"])
        if length > MAX_READ:
            return Unsupported(f"reading more than {MAX_READ} bytes"), None
        return Returned(), {"bytes": mem.read(count_of(step["address"]), length).hex()}

    def step_write(self, step: Step) -> Answer:
        mem = self.export(step, MemInst)
        mem.write(count_of(step["address"]), hex_of(step["data"]))
        return Returned(), None

    def step_grow(self, step: Step) -> Answer:
        target = self.export(step, MemInst, TableInst)
        delta = count_of(step["delta"])
        return Returned(), {"size": target.grow(delta) if isinstance(target, MemInst) else target.grow(delta, None)}

    def table_set(self, instance: str, export: str, index: int, value: Value) -> None:
        table = self.instance(instance).exports.get(export)
        if isinstance(table, TableInst) and 0 <= index < table.size:
            try:
                table.set(index, self.value(value, table.type.reftype))
            except Stop:
                return  # ill-typed: no effect

    def throw(self, instance: str, export: str, args: Sequence[Value]) -> None:
        tag = self.instance(instance).exports.get(export)
        if isinstance(tag, TagInst):
            try:
                values = self.values(args, _payload(tag))
            except Stop:
                return  # ill-typed: no effect
            raise UncaughtException(tag, values)

    def propagate(self, outcome: Outcome) -> None:
        if self.thrown is not None and isinstance(outcome, Threw):
            raise self.thrown
        super().propagate(outcome)

    def observe_instance(self, name: str) -> dict[str, Any]:
        memories, tables, globals_ = {}, {}, {}
        for export, externval in self.instance(name).exports.items():
            if isinstance(externval, MemInst):
                crc = crc_pages(_reader(externval), len(externval.data))
                memories[export] = {"pages": externval.size_pages, "crc": crc}
            elif isinstance(externval, TableInst):
                if externval.size > MAX_SLOTS:
                    raise Stop(Exhausted("memory", f"a table of {externval.size} slots is not shown"))
                t = externval.type.reftype
                tables[export] = [list(self.show(t, r)) for r in externval.elems]
            elif isinstance(externval, GlobalInst):
                globals_[export] = list(self.show(externval.type.valtype, externval.value))
        return {"memories": memories, "tables": tables, "globals": globals_}


def _reader(mem: MemInst) -> Callable[[int, int], bytes]:
    data = mem.data
    return lambda at, n: bytes(memoryview(data)[at : at + n])


class ReferenceAdapter:
    """The reference engine with one build."""

    def __init__(self, variant: str = "") -> None:
        """Take the default build, or that of ``plant=NAME``; raise Unavailable for any other variant."""
        self.build = _planted(variant) if variant else None
        self._description = Description(
            name="reference",
            version=_release(),
            variant=variant,
            features=tuple(sorted(f.name for f in EXECUTED)),
            text=True,
            types=tuple(_TYPES),
            nan=("engine", "module", "none"),
            fuel=True,
            python=platform.python_version(),
        )

    def describe(self) -> Description:
        return self._description

    def open(self, plan: Plan) -> Session:
        lacking = refusal(plan, self._description)
        return ReferenceSession(plan, self.build) if lacking is None else RefusingSession(plan, lacking)


def _release() -> str:
    """Return the version of the installed distribution: of a checkout that is not installed, nothing is known."""
    try:
        return version("wasm-wfuzz")
    except PackageNotFoundError:
        return "0"


def _planted(variant: str) -> Build:
    kind, _, name = variant.partition("=")
    if kind not in ("plant", "bug"):
        raise Unavailable(f"the reference engine has no variant {variant!r}")
    if name not in PLANTS:
        try:
            import_module(PLANTED_BY)
        except ModuleNotFoundError as e:
            raise Unavailable(f"planted bugs are not installed: {e}") from e
    if name not in PLANTS:
        raise Unavailable(f"no planted bug {name!r}; known: {', '.join(sorted(PLANTS))}")
    return PLANTS[name]()


def adapter(variant: str) -> ReferenceAdapter:
    """Return the adapter of ``reference`` or ``reference:VARIANT``."""
    return ReferenceAdapter(variant)
