"""Structures (spec: syntax-instr-struct), and what packed storage means for arrays as well.

A structure is an object with ``type``, the defined type it was made with, and ``fields``; a packed value is stored as
an unsigned int of its width.  What immediates decide is decided once per instruction, by the *maker* of a row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.errors import InvalidError, Trap, TrapKind
from engine.features import GC
from engine.instructions.immediates import FIELDIDX, TYPEIDX
from engine.instructions.model import Effect, Instr, Region, applied, proposal
from engine.types import I32, Arrow, FieldType, PackType, RefType, StructType, ref, unpacked
from engine.values import default

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.types import StorageType

__all__ = [
    "ROWS", "check_default", "check_mutable", "check_packing", "default_of", "heap_row", "mask_of", "sign_of",
    "structure",
]  # fmt: skip


# -- storage


def mask_of(storage: StorageType) -> int | None:
    """Return the mask of a packed storage type, None where values are stored as they are."""
    return (1 << storage.bits) - 1 if isinstance(storage, PackType) else None


def sign_of(storage: StorageType) -> int:
    """Return the sign bit of a packed storage type."""
    assert isinstance(storage, PackType)
    return 1 << storage.bits - 1


def default_of(storage: StorageType) -> Any:
    """Return the stored default value.  Spec: default-val."""
    return 0 if isinstance(storage, PackType) else default(storage)


def check_default(storage: StorageType) -> None:
    """Check that a storage type has a default value."""
    if isinstance(storage, RefType) and not storage.null:
        raise InvalidError(f"type mismatch: field type {storage} is not defaultable")


def check_mutable(field: FieldType, what: str) -> None:
    """Check that what is written may be."""
    if not field.mutable:
        raise InvalidError(f"immutable {what}")


def check_packing(field: FieldType, is_packed: bool, what: str) -> None:
    """Check that reading names a sign extension if and only if the storage is packed."""
    if isinstance(field.storage, PackType) != is_packed:
        raise InvalidError(f"type mismatch: {what} is {'not packed' if is_packed else 'packed'}")


# -- execution


def struct_new(frame: Any, x: int) -> Callable[..., Any]:
    """Spec: exec-struct.new."""
    new, deftype = frame.module.store.new_struct, frame.module.types[x]
    masks = [(i, m) for i, field in enumerate(deftype.comp.fields) if (m := mask_of(field.storage)) is not None]

    def run(*vs: Any) -> Any:
        fields = list(vs)
        for i, m in masks:
            fields[i] &= m
        return new(deftype, fields)

    return run


def struct_new_default(frame: Any, x: int) -> Callable[[], Any]:
    """Spec: exec-struct.new_default."""
    new, deftype = frame.module.store.new_struct, frame.module.types[x]
    vs = [default_of(field.storage) for field in deftype.comp.fields]
    return lambda: new(deftype, vs[:])


def struct_get(frame: Any, x: int, y: int) -> Callable[[Any], Any]:
    """Spec: exec-struct.get."""

    def run(r: Any) -> Any:
        if r is None:
            raise Trap(TrapKind.NULL_STRUCTURE)
        return r.fields[y]

    return run


def struct_get_s(frame: Any, x: int, y: int) -> Callable[[Any], int]:
    """Spec: exec-struct.get, aux-unpack."""
    sign = sign_of(frame.module.types[x].comp.fields[y].storage)

    def run(r: Any) -> int:
        if r is None:
            raise Trap(TrapKind.NULL_STRUCTURE)
        return (int(r.fields[y]) ^ sign) - sign & 0xFFFF_FFFF

    return run


def struct_set(frame: Any, x: int, y: int) -> Callable[[Any, Any], None]:
    """Spec: exec-struct.set."""
    mask = mask_of(frame.module.types[x].comp.fields[y].storage)

    def run(r: Any, v: Any) -> None:
        if r is None:
            raise Trap(TrapKind.NULL_STRUCTURE)
        r.fields[y] = v if mask is None else v & mask

    return run


# -- typing


def structure(c: Any, x: int) -> StructType:
    comp = c.type(x).comp
    if isinstance(comp, StructType):
        return comp
    raise InvalidError(f"type mismatch: type {x} is not a structure type")


def _made(c: Any, x: int) -> StructType:
    """Return a structure type whose instances are made without a descriptor."""
    comp = structure(c, x)
    if c.type(x).sub.descriptor is not None:
        raise InvalidError("type with descriptor requires descriptor allocation")
    return comp


def _field(c: Any, x: int, y: int) -> FieldType:
    fields = structure(c, x).fields
    if y >= len(fields):
        raise InvalidError(f"unknown field {y} of type {x}")
    return fields[y]


def _struct_new(c: Any, x: int) -> Arrow:
    """Spec: valid-struct.new."""
    return Arrow(tuple([unpacked(field.storage) for field in _made(c, x).fields]), (c.just(c.type(x)),))


def _struct_new_default(c: Any, x: int) -> Arrow:
    """Spec: valid-struct.new_default."""
    for field in _made(c, x).fields:
        check_default(field.storage)
    return Arrow((), (c.just(c.type(x)),))


def _struct_get(c: Any, x: int, y: int) -> Arrow:
    """Spec: valid-struct.get."""
    field = _field(c, x, y)
    check_packing(field, False, "field")
    return Arrow((ref(True, c.type(x)),), (field.storage,))


def _struct_get_sx(c: Any, x: int, y: int) -> Arrow:
    """Spec: valid-struct.get."""
    check_packing(_field(c, x, y), True, "field")
    return Arrow((ref(True, c.type(x)),), (I32,))


def _struct_set(c: Any, x: int, y: int) -> Arrow:
    """Spec: valid-struct.set."""
    field = _field(c, x, y)
    check_mutable(field, "field")
    return Arrow((ref(True, c.type(x)), unpacked(field.storage)), ())


def heap_row(name: str, opcode: int, make: Callable[..., Any] | None = None, **rest: Any) -> Instr:
    """Return the row of an instruction on structures or arrays, executed by what ``make`` makes of its immediates."""
    fields: dict[str, Any] = {"family": "heap", "weight": 500, "spec": f"exec-{name}", "effect": Effect.STATE} | rest
    if make is not None:
        fields |= {"make": make, "run": applied(make, len(fields.get("imms", ())))}
    return Instr(name=name, opcode=(0xFB, opcode), **fields)


_NULL = frozenset({TrapKind.NULL_STRUCTURE})
_HEAP = frozenset({Region.HEAP})
_XY = (TYPEIDX, FIELDIDX)

# fmt: off
ROWS = proposal(GC, [
    heap_row("struct.new",         0, struct_new,         type=_struct_new,         imms=(TYPEIDX,), const=GC),
    heap_row("struct.new_default", 1, struct_new_default, type=_struct_new_default, imms=(TYPEIDX,), const=GC),
    heap_row("struct.get",         2, struct_get,   type=_struct_get,    imms=_XY, reads=_HEAP, traps=_NULL),
    heap_row("struct.get_s",       3, struct_get_s, type=_struct_get_sx, imms=_XY, reads=_HEAP, traps=_NULL,
             spec="exec-struct.get"),
    heap_row("struct.get_u",       4, struct_get,   type=_struct_get_sx, imms=_XY, reads=_HEAP, traps=_NULL,
             spec="exec-struct.get"),
    heap_row("struct.set",         5, struct_set,   type=_struct_set,    imms=_XY, writes=_HEAP, traps=_NULL),
])
# fmt: on
