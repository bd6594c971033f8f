"""The state of a wasmtime store as steps and observations: globals, memories, tables, by raw bits."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

from oracles.adapter import MAX_READ, MAX_SLOTS, Answer, Stop, blocked, count_of, crc_pages, hex_of, value_of
from oracles.adapters.wasmtime_api import KINDS, OF, Api
from oracles.outcome import Exhausted, Returned, Trapped, Unsupported

if TYPE_CHECKING:
    from collections.abc import Sequence

    from oracles.adapters.wasmtime_values import Values
    from oracles.plan import Step, Value
from oracles.shadows import ShadowSession

__all__ = ["FUNC", "GLOBAL", "MEMORY", "SHARED", "TABLE", "TAG", "TEXT_CAP", "Export", "StateSession"]

TEXT_CAP = 600  # of a message that is kept
FUNC, GLOBAL, TABLE, MEMORY, SHARED, TAG = range(6)
_NOUNS = ("function", "global", "table", "memory", "memory", "tag")
_OUT_OF_BOUNDS = "out of bounds memory access"


class Export:
    """One exported thing: its ``wasmtime_extern_t``, the address of the payload, and the arity of a function."""

    __slots__ = ("address", "arity", "item", "kind")

    def __init__(self, item: ctypes.Array[ctypes.c_char]) -> None:
        self.item = item
        self.kind = item.raw[0]
        self.address = ctypes.addressof(item) + OF
        self.arity: tuple[int, int] | None = None


class StateSession(ShadowSession):
    """A session over a store; ``instances`` holds each instance's exports by name in export order."""

    instances: dict[str, dict[str, Export]]
    api: Api
    context: int
    values: Values
    cell: ctypes.Array[ctypes.c_char]  # for one value at a time

    def _export(self, step: Step, *kinds: int) -> Export:
        exports = self.instance(step["instance"])
        export: Export | None = exports.get(step["export"])
        if export is None or export.kind not in kinds:
            raise blocked(f"no exported {_NOUNS[kinds[0]]} {step['export']}")
        return export

    def _write_all(self, values: Sequence[Value], base: int) -> list[int]:
        """Write the values and return the addresses of those to release; on a failure nothing stays rooted."""
        roots: list[int] = []
        try:
            for i, value in enumerate(values):
                at = base + self.api.val_size * i
                if self.values.write(value, at):
                    roots.append(at)
        except Stop:
            for at in roots:
                self.api.unroot(self.context, "val", at)
            raise
        return roots

    def step_get(self, step: Step) -> Answer:
        export = self._export(step, GLOBAL)
        return Returned(), {"value": list(self._global(export))}

    def _global(self, export: Export) -> Value:
        self.api.wasmtime_global_get(self.context, export.address, self.cell)
        return self.values.take(self.cell)

    def step_set(self, step: Step) -> Answer:
        export = self._export(step, GLOBAL)
        cell = ctypes.create_string_buffer(self.api.val_size)
        roots = self._write_all([value_of(step["value"])], ctypes.addressof(cell))
        error = self.api.error(self.api.wasmtime_global_set(self.context, export.address, cell))
        for at in roots:
            self.api.unroot(self.context, "val", at)
        if error is not None:
            raise blocked(error[:TEXT_CAP])
        return Returned(), None

    def _memory(self, export: Export) -> tuple[int, int]:
        """Return the address and size in bytes of a memory."""
        if export.kind == SHARED:
            shared = ctypes.c_uint64.from_address(export.address).value
            return self.api.wasmtime_sharedmemory_data(shared) or 0, self.api.wasmtime_sharedmemory_data_size(shared)
        data = self.api.wasmtime_memory_data(self.context, export.address) or 0
        return data, self.api.wasmtime_memory_data_size(self.context, export.address)

    def _pages(self, export: Export) -> int:
        if export.kind == SHARED:
            pages = self.api.wasmtime_sharedmemory_size(ctypes.c_uint64.from_address(export.address).value)
        else:
            pages = self.api.wasmtime_memory_size(self.context, export.address)
        return int(pages)

    def step_read(self, step: Step) -> Answer:
        data, size = self._memory(self._export(step, MEMORY, SHARED))
        address, length = count_of(step["address"]), count_of(step["length"])
        if length > MAX_READ:
            return Unsupported(f"reading more than {MAX_READ} bytes"), None
        if address + length > size:
            return Trapped(_OUT_OF_BOUNDS), None
        return Returned(), {"bytes": ctypes.string_at(data + address, length).hex()}

    def step_write(self, step: Step) -> Answer:
        data, size = self._memory(self._export(step, MEMORY, SHARED))
        address, content = count_of(step["address"]), hex_of(step["data"])
        if address + len(content) > size:
            return Trapped(_OUT_OF_BOUNDS), None
        ctypes.memmove(data + address, content, len(content))
        return Returned(), None

    def step_grow(self, step: Step) -> Answer:
        export = self._export(step, MEMORY, SHARED, TABLE)
        delta = count_of(step["delta"])
        old = ctypes.c_uint64()
        if export.kind == TABLE:
            return Returned(), {"size": self._grow_table(export, delta)}
        if export.kind == SHARED:
            shared = ctypes.c_uint64.from_address(export.address).value
            error = self.api.wasmtime_sharedmemory_grow(shared, delta, ctypes.byref(old))
        else:
            error = self.api.wasmtime_memory_grow(self.context, export.address, delta, ctypes.byref(old))
        return Returned(), {"size": old.value if self.api.error(error) is None else -1}

    def _grow_table(self, export: Export, delta: int) -> int:
        """Grow by nulls; the engine's type queries are unsafe, so each kind of null is offered in turn."""
        old = ctypes.c_uint64()
        for kind in range(KINDS.index("funcref"), len(self.api.kinds)):
            null = ctypes.create_string_buffer(bytes((kind,)), self.api.val_size)
            grow = self.api.wasmtime_table_grow(self.context, export.address, delta, null, ctypes.byref(old))
            error = self.api.error(grow)
            if error is None:
                return old.value
            if "type" not in error:
                return -1
        return -1

    def table_set(self, instance: str, export: str, index: int, value: Value) -> None:
        found = self.instances[instance].get(export)
        if found is None or found.kind != TABLE or not 0 <= index < 2**64:
            return
        cell = ctypes.create_string_buffer(self.api.val_size)
        roots = self._write_all([value], ctypes.addressof(cell))
        self.api.error(self.api.wasmtime_table_set(self.context, found.address, index, cell))
        for at in roots:
            self.api.unroot(self.context, "val", at)

    def observe_instance(self, name: str) -> dict[str, Any]:
        memories: dict[str, Any] = {}
        tables: dict[str, Any] = {}
        globals_: dict[str, Any] = {}
        for export_name, export in self.instances[name].items():
            if export.kind in (MEMORY, SHARED):
                memories[export_name] = {"pages": self._pages(export), "crc": self._crc(export)}
            elif export.kind == TABLE:
                tables[export_name] = self._slots(export)
            elif export.kind == GLOBAL:
                globals_[export_name] = list(self._global(export))
        return {"memories": memories, "tables": tables, "globals": globals_}

    def _crc(self, export: Export) -> dict[str, str]:
        data, size = self._memory(export)
        return crc_pages(lambda at, n: ctypes.string_at(data + at, n), size)

    def _slots(self, export: Export) -> list[list[Any]]:
        size = self.api.wasmtime_table_size(self.context, export.address)
        if size > MAX_SLOTS:
            raise Stop(Exhausted("memory", f"a table of {size} slots is not shown"))
        cell = self.cell
        out: list[list[Any]] = []
        for i in range(size):
            self.api.wasmtime_table_get(self.context, export.address, i, cell)
            out.append(list(self.values.take(cell)))
        return out
