"""What the C interface of older releases has no function for, by way of small modules.

A type that cannot be named is taken from an export of that type.  What a reference is can be asked of a table: it
refuses to grow, be it by nothing, with a value that is none of its type; nothing runs for that, and nothing is kept.
Release 36 aborts where it shows a number made external to a host before anything was allocated; an instance of a
module that could allocate something has it make its heap.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from oracles.adapters.wasmtime_api import Api

__all__ = ["Samples", "Sorter", "heap_module"]

TEXT = b"""(module
  (func (export "v128") (param v128))
  (table (export "struct") 0 structref)
  (table (export "array") 0 arrayref))"""
HEAP = b"""(module (type $a (array i8)) (global (ref null $a) (ref.null $a)))"""
_ANYREF = 7  # as kinds of values are numbered
_TABLE_SIZE = 24


def heap_module(api: Api, engine: int) -> int | None:
    """Return a module that makes a store have a heap, or None where the engine has no need for one."""
    return _compiled(api, engine, HEAP)


def _compiled(api: Api, engine: int, text: bytes) -> int | None:
    """Return the module of a text, None if the engine refuses it."""
    binary, module = (ctypes.c_uint64 * 2)(), ctypes.c_void_p()
    error = api.error(api.wasmtime_wat2wasm(text, len(text), binary))
    assert error is None, error
    wasm = api.take_bytes(binary)
    error = api.error(api.wasmtime_module_new(engine, wasm, len(wasm), ctypes.byref(module)))
    return module.value if error is None else None


class Samples:
    """The types of the module's exports; made once per process and never freed."""

    def __init__(self, api: Api, engine: int) -> None:
        self.api = api
        exports = (ctypes.c_uint64 * 2)()
        module = _compiled(api, engine, TEXT)
        assert module is not None
        api.wasmtime_module_exports(module, exports)
        function, *tables = (ctypes.c_uint64 * exports[0]).from_address(exports[1])
        functype = api.wasm_externtype_as_functype(api.wasm_exporttype_type(function))
        _, params = (ctypes.c_uint64 * 2).from_address(api.wasm_functype_params(functype))
        self._v128: int = api.wasm_valtype_copy(ctypes.c_uint64.from_address(params).value)
        self._tables: list[int] = [
            api.wasm_tabletype_copy(api.wasm_externtype_as_tabletype(api.wasm_exporttype_type(table)))
            for table in tables
        ]
        api.wasm_exporttype_vec_delete(exports)
        api.wasmtime_module_delete(module)

    def v128(self) -> int:
        """Return the type of vectors, to be owned by the caller."""
        valtype: int = self.api.wasm_valtype_copy(self._v128)
        return valtype

    def sorter(self, context: int) -> Sorter:
        """Return what tells the references of a store apart."""
        return Sorter(self.api, context, self._tables)


class Sorter:
    """Empty tables of a store, one of structs and one of arrays."""

    def __init__(self, api: Api, context: int, tabletypes: list[int]) -> None:
        self.api = api
        self.context = context
        self.tables = []
        for tabletype in tabletypes:
            table = ctypes.create_string_buffer(_TABLE_SIZE)
            null = ctypes.create_string_buffer(bytes((_ANYREF,)), api.val_size)
            error = api.error(api.wasmtime_table_new(context, tabletype, null, table))
            assert error is None, error
            self.tables.append(table)

    def is_struct(self, at: int) -> bool:
        """Return whether the internal reference at an address is one of a struct."""
        return self._fits(self.tables[0], at)

    def is_array(self, at: int) -> bool:
        """Return whether the internal reference at an address is one of an array."""
        return self._fits(self.tables[1], at)

    def _fits(self, table: ctypes.Array[ctypes.c_char], at: int) -> bool:
        api, old = self.api, ctypes.c_uint64()
        value = ctypes.create_string_buffer(bytes((_ANYREF,)), api.val_size)
        payload = 8
        ctypes.memmove(ctypes.addressof(value) + payload, at, api.val_size - payload)
        return api.error(api.wasmtime_table_grow(self.context, table, 0, value, ctypes.byref(old))) is None
