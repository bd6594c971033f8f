"""Values between the wire and wasmtime's ``wasmtime_val_t``, bit by bit.

Payloads of references beyond the plan's funcref and externref numbers: ``anyref`` is ``{"i31": n}`` (31 bits,
unsigned), ``{"host": n}`` (an externref made internal), ``"struct"``, ``"array"`` or ``"eq"``; an ``externref`` that
wraps an internal value is ``{"any": payload}``; ``exnref`` is ``"exn"``.  A null shows the top of its hierarchy.
"""

from __future__ import annotations

import ctypes
import struct
from functools import cached_property
from typing import TYPE_CHECKING, Any

from oracles.adapter import Numbering, Stop, blocked
from oracles.adapters.wasmtime_api import KINDS, OF, REF_SIZE, Api
from oracles.outcome import Unsupported

if TYPE_CHECKING:
    from oracles.adapters.wasmtime_samples import Sorter
    from oracles.plan import Value

__all__ = ["Buffer", "Values"]

Buffer = ctypes.Array[ctypes.c_char]

_FUNC = struct.Struct("<QQ")
_WIDTHS = (8, 16, 8, 16)  # hex digits by kind
_MASKS = (0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF)
_FUNCREF, _EXTERNREF, _ANYREF, _EXNREF = 5, 6, 7, 8
_REFERENCE_KINDS: dict[str, int] = {
    "funcref": _FUNCREF, "nullfuncref": _FUNCREF,
    "externref": _EXTERNREF, "nullexternref": _EXTERNREF,
    "anyref": _ANYREF, "eqref": _ANYREF, "i31ref": _ANYREF, "structref": _ANYREF, "arrayref": _ANYREF,
    "nullref": _ANYREF,
    "exnref": _EXNREF, "nullexnref": _EXNREF,
}  # fmt: skip


class Values:
    """Reads and writes the values of one store; ``functions`` numbers function references by first sight.

    Where stores of slices are of another kind (release 36), one that is ``sliced`` aborts at a new external reference.
    """

    def __init__(self, api: Api, context: int, *, sliced: bool = False) -> None:
        self.api = api
        self.context = context
        self.sliced = sliced
        self.functions = Numbering()
        self._seen: dict[bytes, int] = {}
        self._val = struct.Struct(f"<B7xQQ{api.val_size - 24}x")

    def number_function(self, raw: bytes) -> int:
        """Return the number of the function of a ``wasmtime_func_t`` (its 16 bytes).

        Each instance has its own VMFuncRef of a function that it imports, so a function is known by what that record
        holds: its entry and its own context (words 0 and 3 of four).
        """
        n = self._seen.get(raw)
        if n is None:
            record = self.api.wasmtime_func_to_raw(self.context, raw)
            entry, _, _, owner = struct.unpack("<4Q", ctypes.string_at(record, 32))
            n = self._seen[raw] = self.functions.number((entry, owner), raw)
        return n

    # out

    def take(self, buffer: Buffer, at: int = 0) -> Value:
        """Return the value at offset ``at`` and release the reference it holds."""
        value = self.read(buffer, at)
        if value[1] is not None and value[0] in ("externref", "anyref", "exnref"):
            self.api.unroot(self.context, "val", ctypes.addressof(buffer) + at)
        return value

    def read(self, buffer: Buffer, at: int = 0) -> Value:
        """Return the value at offset ``at``, whose reference somebody else owns."""
        kind, low, high = self._val.unpack_from(buffer, at)
        if kind < 4:
            return KINDS[kind], f"{low & _MASKS[kind]:0{_WIDTHS[kind]}x}"
        if kind == 4:
            return "v128", f"{high << 64 | low:032x}"
        if low == 0:  # the store of a null reference
            return KINDS[kind], None
        if kind == _FUNCREF:
            return "funcref", self.number_function(_FUNC.pack(low, high))
        payload: Any = "exn"
        if kind == _EXTERNREF:
            payload = self._extern(ctypes.addressof(buffer) + at + OF)
        elif kind == _ANYREF:
            payload = self._any(ctypes.addressof(buffer) + at + OF)
        return KINDS[kind], payload

    def _extern(self, at: int) -> Any:
        data = self.api.wasmtime_externref_data(self.context, at)
        if data:
            return data - 1
        inner = ctypes.create_string_buffer(REF_SIZE)
        self.api.wasmtime_anyref_from_raw(self.context, self.api.wasmtime_externref_to_raw(self.context, at), inner)
        payload = self._any(ctypes.addressof(inner))
        self.api.unroot(self.context, "anyref", inner)
        return {"any": payload}

    def _any(self, at: int) -> Any:
        api, context = self.api, self.context
        bits = ctypes.c_uint32()
        if api.wasmtime_anyref_i31_get_u(context, at, ctypes.byref(bits)):  # ..._is_i31 of 50.0.1 is true for all
            return {"i31": bits.value}
        if self._is_struct(at):
            return "struct"
        if self._is_array(at):
            return "array"
        outer = ctypes.create_string_buffer(REF_SIZE)
        api.wasmtime_externref_from_raw(context, api.wasmtime_anyref_to_raw(context, at), outer)
        data = api.wasmtime_externref_data(context, outer)
        api.unroot(context, "externref", outer)
        return {"host": data - 1} if data else "eq"

    @cached_property
    def _sorter(self) -> Sorter:
        return self.api.samples.sorter(self.context)

    def _is_struct(self, at: int) -> bool:
        if self.api.has("wasmtime_anyref_is_struct"):
            return bool(self.api.wasmtime_anyref_is_struct(self.context, at))
        return self._sorter.is_struct(at)

    def _is_array(self, at: int) -> bool:
        if self.api.has("wasmtime_anyref_is_array"):
            return bool(self.api.wasmtime_anyref_is_array(self.context, at))
        return self._sorter.is_array(at)

    # in

    def write(self, value: Value, address: int) -> bool:
        """Write the value at ``address``; return whether it holds a reference that must be released."""
        name, payload = value
        if name in KINDS[:5]:
            bits = int(payload, 16)
            packed = self._val.pack(KINDS.index(name), bits & _MASKS[1], bits >> 64)
            ctypes.memmove(address, packed, self.api.val_size)
            return False
        kind = _REFERENCE_KINDS.get(name)
        if kind is None or kind >= len(self.api.kinds):
            raise Stop(Unsupported(f"values of type {name}"))
        ctypes.memmove(address, self._val.pack(kind, 0, 0), self.api.val_size)
        if payload is None:
            return False
        if kind == _FUNCREF:
            ctypes.memmove(address + OF, self.functions.handle(payload), 16)
            return False
        if kind == _EXTERNREF and isinstance(payload, int):
            self._new_extern(payload, address + OF)
        elif kind == _ANYREF and isinstance(payload, dict) and set(payload) <= {"i31", "host"} and len(payload) == 1:
            self._new_any(payload, address + OF)
        else:
            raise Stop(Unsupported(f"passing {name} {payload!r}"))
        return True

    def _new_extern(self, n: int, at: Any) -> None:
        if not 0 <= n < 2**63:
            raise blocked(f"externref {n}")
        if self.sliced:
            raise Stop(Unsupported("new external references where calls are asynchronous"))
        if not self.api.wasmtime_externref_new(self.context, n + 1, None, at):
            raise Stop(Unsupported("the engine has no room for an externref"))

    def _new_any(self, payload: dict[str, Any], at: int) -> None:
        if "i31" in payload:
            self.api.wasmtime_anyref_from_i31(self.context, int(payload["i31"]) & 0x7FFFFFFF, at)
            return
        outer = ctypes.create_string_buffer(REF_SIZE)
        self._new_extern(int(payload["host"]), outer)
        self.api.wasmtime_anyref_from_raw(self.context, self.api.wasmtime_externref_to_raw(self.context, outer), at)
        self.api.unroot(self.context, "externref", outer)
