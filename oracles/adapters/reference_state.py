"""The values and the state of a store of ours as the wire shows them: bits, references, memories, tables, globals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.matching import top
from engine.runtime.globals import GlobalInst
from engine.runtime.heap import ArrayInst, ExternRef, StructInst, matches_ref
from engine.runtime.memory import MemInst
from engine.runtime.table import TableInst
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
    RefType,
)
from engine.values import from_bits, to_bits
from oracles.adapter import (
    MAX_READ,
    MAX_SLOTS,
    Numbering,
    Stop,
    blocked,
    count_of,
    crc_pages,
    hex_of,
    value_of,
    values_of,
)
from oracles.outcome import Exhausted, Returned, Unsupported
from oracles.plan import WIDTHS
from oracles.shadows import ShadowSession

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from engine.runtime.instance import ModuleInst
    from engine.runtime.store import Store
    from engine.types import HeapType, ValType
    from oracles.adapter import Answer
    from oracles.plan import Plan, Step, Value

__all__ = ["TYPES", "StateSession"]

TYPES: dict[str, ValType] = {str(t): t for t in (I32, I64, F32, F64, V128, FUNCREF, EXTERNREF, ANYREF, EXNREF)}
_TOPS = {  # the hierarchy of a reference, by its name
    h.short: top(h) for h in (ANY, ARRAY, EQ, EXN, EXTERN, FUNC, I31, NOEXN, NOEXTERN, NOFUNC, NONE, STRUCT)
}


class StateSession(ShadowSession):
    """A session over one store; ``instances`` are the engine's."""

    instances: dict[str, ModuleInst]

    def __init__(self, plan: Plan, store: Store) -> None:
        super().__init__(plan)
        self.store = store
        self.functions = Numbering()
        self.externs: dict[int, ExternRef] = {}

    # fuel

    def fuel(self) -> int:
        left = self.store.fuel
        assert left is not None  # a session meters from its start
        return left

    def set_fuel(self, fuel: int) -> None:
        self.store.set_fuel(fuel)

    def set_interval(self, interval: int) -> None:
        self.store.set_fuel_interval(interval)

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

    # what is looked at and changed from outside

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

    def observe_instance(self, name: str) -> dict[str, Any]:
        memories, tables, globals_ = {}, {}, {}
        for export, externval in self.instance(name).exports.items():
            if isinstance(externval, MemInst):
                crc = crc_pages(_reader(externval), len(externval.data))
                memories[export] = {"pages": externval.size_pages, "crc": crc}
            elif isinstance(externval, TableInst):
                if externval.size > MAX_SLOTS:
                    raise Stop(Exhausted("memory", f"a table of {externval.size} slots is not shown"))
                hierarchy = top(externval.type.reftype.heap)
                name, payload = hierarchy.short, self.payload
                tables[export] = [[name, None if r is None else payload(hierarchy, r)] for r in externval.elems]
            elif isinstance(externval, GlobalInst):
                globals_[export] = list(self.show(externval.type.valtype, externval.value))
        return {"memories": memories, "tables": tables, "globals": globals_}


def _reader(mem: MemInst) -> Callable[[int, int], bytes]:
    data = mem.data
    return lambda at, n: bytes(memoryview(data)[at : at + n])
