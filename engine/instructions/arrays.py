"""Arrays (spec: syntax-instr-array).

An array is an object with ``type``, the defined type it was made with, and ``elems``, a list that is never longer or
shorter; packed values are stored as in structures.  The store says before an array is made whether there is room.
"""

from __future__ import annotations

from struct import unpack_from
from typing import TYPE_CHECKING, Any

from engine.errors import InvalidError, Trap, TrapKind, UnsupportedError
from engine.features import GC
from engine.instructions.immediates import COUNT, DATAIDX, ELEMIDX, TYPEIDX
from engine.instructions.model import Bulk, Effect, Region, proposal
from engine.instructions.structures import (
    check_default,
    check_mutable,
    check_packing,
    default_of,
    heap_row,
    mask_of,
    sign_of,
)
from engine.matching import matches
from engine.types import (
    F32,
    F64,
    I8,
    I16,
    I32,
    I64,
    V128,
    ArrayType,
    Arrow,
    FieldType,
    RefType,
    arrow,
    ref,
    unpacked,
)
from engine.values import f32_from_bits

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.types import StorageType

__all__ = ["MAX_FIXED", "ROWS"]

MAX_FIXED = 10_000  # an implementation limit, that of the web embedding: operands of array.new_fixed


def _storage(frame: Any, x: int) -> StorageType:
    storage: StorageType = frame.module.types[x].comp.field.storage
    return storage


def _bytes_of(storage: StorageType) -> int:
    """Return the width of a storage type that is no reference."""
    assert not isinstance(storage, RefType)
    return storage.bits // 8


def _check_bounds(r: Any, i: int, n: int) -> None:
    if r is None:
        raise Trap(TrapKind.NULL_ARRAY)
    if i + n > len(r.elems):
        raise Trap(TrapKind.ARRAY_OUT_OF_BOUNDS, f"{n} elements at {i} of {len(r.elems)}")


def array_new(frame: Any, x: int) -> Callable[[Any, int], Any]:
    """Spec: exec-array.new."""
    store, deftype, mask = frame.module.store, frame.module.types[x], mask_of(_storage(frame, x))

    def run(v: Any, n: int) -> Any:
        store.reserve(n)
        return store.new_array(deftype, [v if mask is None else v & mask] * n)

    return run


def array_new_default(frame: Any, x: int) -> Callable[[int], Any]:
    """Spec: exec-array.new_default."""
    store, deftype, v = frame.module.store, frame.module.types[x], default_of(_storage(frame, x))

    def run(n: int) -> Any:
        store.reserve(n)
        return store.new_array(deftype, [v] * n)

    return run


def array_new_fixed(frame: Any, x: int, n: int) -> Callable[..., Any]:
    """Spec: exec-array.new_fixed."""
    store, deftype, mask = frame.module.store, frame.module.types[x], mask_of(_storage(frame, x))

    def run(*vs: Any) -> Any:
        store.reserve(n)
        return store.new_array(deftype, list(vs) if mask is None else [v & mask for v in vs])

    return run


_FORMATS: dict[StorageType, str] = {I8: "B", I16: "H", I32: "I", I64: "Q", F32: "I", F64: "d"}


def _from_bytes(storage: StorageType, data: bytes, s: int, n: int) -> list[Any]:
    """Return ``n`` stored values out of little-endian bytes from ``s``, which must be there.  Spec: aux-cbytes."""
    if storage is V128:
        return [data[at : at + 16] for at in range(s, s + 16 * n, 16)]
    found = list(unpack_from(f"<{n}{_FORMATS[storage]}", data, s))
    return list(map(f32_from_bits, found)) if storage is F32 else found


def _check_data(data: bytes, s: int, size: int) -> None:
    if s + size > len(data):
        raise Trap(TrapKind.MEMORY_OUT_OF_BOUNDS, f"{size} bytes at {s} of a segment of {len(data)}")


def _check_elem(elems: tuple[Any, ...], s: int, n: int) -> None:
    if s + n > len(elems):
        raise Trap(TrapKind.TABLE_OUT_OF_BOUNDS, f"{n} elements at {s} of a segment of {len(elems)}")


def array_new_data(frame: Any, x: int, y: int) -> Callable[[int, int], Any]:
    """Spec: exec-array.new_data."""
    store, deftype, datas, storage = frame.module.store, frame.module.types[x], frame.module.datas, _storage(frame, x)
    width = _bytes_of(storage)

    def run(s: int, n: int) -> Any:
        data = datas[y].data
        _check_data(data, s, n * width)
        store.reserve(n)
        return store.new_array(deftype, _from_bytes(storage, data, s, n))

    return run


def array_new_elem(frame: Any, x: int, y: int) -> Callable[[int, int], Any]:
    """Spec: exec-array.new_elem."""
    store, deftype, segments = frame.module.store, frame.module.types[x], frame.module.elems

    def run(s: int, n: int) -> Any:
        elems = segments[y].elems
        _check_elem(elems, s, n)
        store.reserve(n)
        return store.new_array(deftype, list(elems[s : s + n]))

    return run


def array_get(frame: Any, x: int) -> Callable[[Any, int], Any]:
    """Spec: exec-array.get."""

    def run(r: Any, i: int) -> Any:
        try:
            return r.elems[i]
        except (AttributeError, IndexError):
            _check_bounds(r, i, 1)
            raise

    return run


def array_get_s(frame: Any, x: int) -> Callable[[Any, int], int]:
    """Spec: exec-array.get, aux-unpack."""
    sign = sign_of(_storage(frame, x))

    def run(r: Any, i: int) -> int:
        _check_bounds(r, i, 1)
        return (int(r.elems[i]) ^ sign) - sign & 0xFFFF_FFFF

    return run


def array_set(frame: Any, x: int) -> Callable[[Any, int, Any], None]:
    """Spec: exec-array.set."""
    mask = mask_of(_storage(frame, x))

    def run(r: Any, i: int, v: Any) -> None:
        _check_bounds(r, i, 1)
        r.elems[i] = v if mask is None else v & mask

    return run


def array_len(r: Any) -> int:
    """Spec: exec-array.len."""
    if r is None:
        raise Trap(TrapKind.NULL_ARRAY)
    return len(r.elems)


def array_fill(frame: Any, x: int) -> Callable[[Any, int, Any, int], None]:
    """Spec: exec-array.fill."""
    mask = mask_of(_storage(frame, x))

    def run(r: Any, d: int, v: Any, n: int) -> None:
        _check_bounds(r, d, n)
        r.elems[d : d + n] = [v if mask is None else v & mask] * n

    return run


def array_copy(frame: Any, x: int, y: int) -> Callable[[Any, int, Any, int, int], None]:
    """Spec: exec-array.copy."""

    def run(to: Any, d: int, of: Any, s: int, n: int) -> None:
        if to is None or of is None:
            raise Trap(TrapKind.NULL_ARRAY)
        _check_bounds(to, d, n)
        _check_bounds(of, s, n)
        to.elems[d : d + n] = of.elems[s : s + n]

    return run


def array_init_data(frame: Any, x: int, y: int) -> Callable[[Any, int, int, int], None]:
    """Spec: exec-array.init_data."""
    datas, storage = frame.module.datas, _storage(frame, x)
    width = _bytes_of(storage)

    def run(r: Any, d: int, s: int, n: int) -> None:
        _check_bounds(r, d, n)
        data = datas[y].data
        _check_data(data, s, n * width)
        r.elems[d : d + n] = _from_bytes(storage, data, s, n)

    return run


def array_init_elem(frame: Any, x: int, y: int) -> Callable[[Any, int, int, int], None]:
    """Spec: exec-array.init_elem."""
    segments = frame.module.elems

    def run(r: Any, d: int, s: int, n: int) -> None:
        _check_bounds(r, d, n)
        elems = segments[y].elems
        _check_elem(elems, s, n)
        r.elems[d : d + n] = elems[s : s + n]

    return run


# -- typing


def _element(c: Any, x: int) -> FieldType:
    comp = c.type(x).comp
    if isinstance(comp, ArrayType):
        return comp.field
    raise InvalidError(f"type mismatch: type {x} is not an array type")


def _check_numeric(field: FieldType) -> None:
    if isinstance(field.storage, RefType):
        raise InvalidError("type mismatch: array type is not numeric or vector")


def _check_elements(found: RefType, field: FieldType) -> None:
    if not matches(found, field.storage):
        raise InvalidError(f"type mismatch: elements of {found} into an array of {field.storage}")


def _array(c: Any, x: int) -> RefType:
    return ref(True, c.type(x))


def _made_array(c: Any, x: int) -> tuple[RefType, ...]:
    return (c.just(c.type(x)),)


def _array_new(c: Any, x: int) -> Arrow:
    """Spec: valid-array.new."""
    return Arrow((unpacked(_element(c, x).storage), I32), _made_array(c, x))


def _array_new_default(c: Any, x: int) -> Arrow:
    """Spec: valid-array.new_default."""
    check_default(_element(c, x).storage)
    return Arrow((I32,), _made_array(c, x))


def _array_new_fixed(c: Any, x: int, n: int) -> Arrow:
    """Spec: valid-array.new_fixed."""
    t = unpacked(_element(c, x).storage)
    if n > MAX_FIXED:
        raise UnsupportedError(f"more than {MAX_FIXED} operands of array.new_fixed")
    return Arrow((t,) * n, _made_array(c, x))


def _array_new_data(c: Any, x: int, y: int) -> Arrow:
    """Spec: valid-array.new_data."""
    _check_numeric(_element(c, x))
    c.data(y)
    return Arrow((I32, I32), _made_array(c, x))


def _array_new_elem(c: Any, x: int, y: int) -> Arrow:
    """Spec: valid-array.new_elem."""
    _check_elements(c.elem(y), _element(c, x))
    return Arrow((I32, I32), _made_array(c, x))


def _array_get(c: Any, x: int) -> Arrow:
    """Spec: valid-array.get."""
    field = _element(c, x)
    check_packing(field, False, "array")
    return Arrow((_array(c, x), I32), (field.storage,))


def _array_get_sx(c: Any, x: int) -> Arrow:
    """Spec: valid-array.get."""
    check_packing(_element(c, x), True, "array")
    return Arrow((_array(c, x), I32), (I32,))


def _array_set(c: Any, x: int) -> Arrow:
    """Spec: valid-array.set."""
    field = _element(c, x)
    check_mutable(field, "array")
    return Arrow((_array(c, x), I32, unpacked(field.storage)), ())


def _array_fill(c: Any, x: int) -> Arrow:
    """Spec: valid-array.fill."""
    field = _element(c, x)
    check_mutable(field, "array")
    return Arrow((_array(c, x), I32, unpacked(field.storage), I32), ())


def _array_copy(c: Any, x: int, y: int) -> Arrow:
    """Spec: valid-array.copy."""
    to, of = _element(c, x), _element(c, y)
    check_mutable(to, "array")
    if not matches(of.storage, to.storage):
        raise InvalidError(f"array types do not match: {of.storage} into {to.storage}")
    return Arrow((_array(c, x), I32, _array(c, y), I32, I32), ())


def _array_init_data(c: Any, x: int, y: int) -> Arrow:
    """Spec: valid-array.init_data."""
    field = _element(c, x)
    check_mutable(field, "array")
    _check_numeric(field)
    c.data(y)
    return Arrow((_array(c, x), I32, I32, I32), ())


def _array_init_elem(c: Any, x: int, y: int) -> Arrow:
    """Spec: valid-array.init_elem."""
    field = _element(c, x)
    check_mutable(field, "array")
    _check_elements(c.elem(y), field)
    return Arrow((_array(c, x), I32, I32, I32), ())


_NULL = frozenset({TrapKind.NULL_ARRAY})
_ACCESS = _NULL | {TrapKind.ARRAY_OUT_OF_BOUNDS}
_DATA = frozenset({TrapKind.MEMORY_OUT_OF_BOUNDS})
_ELEM = frozenset({TrapKind.TABLE_OUT_OF_BOUNDS})
_HEAP = frozenset({Region.HEAP})
_SEGMENT = frozenset({Region.SEGMENT})
_T = (TYPEIDX,)
_U = "element"

# fmt: off
ROWS = proposal(GC, [
    heap_row("array.new",         6, array_new,         type=_array_new,         imms=_T, bulk=Bulk(1, _U), const=GC),
    heap_row("array.new_default", 7, array_new_default, type=_array_new_default, imms=_T, bulk=Bulk(0, _U), const=GC),
    heap_row("array.new_fixed",   8, array_new_fixed,   type=_array_new_fixed,   imms=(TYPEIDX, COUNT), const=GC),
    heap_row("array.new_data",    9, array_new_data,    type=_array_new_data,    imms=(TYPEIDX, DATAIDX),
             bulk=Bulk(1, _U), reads=_SEGMENT, traps=_DATA),
    heap_row("array.new_elem",   10, array_new_elem,    type=_array_new_elem,    imms=(TYPEIDX, ELEMIDX),
             bulk=Bulk(1, _U), reads=_SEGMENT, traps=_ELEM),
    heap_row("array.get",        11, array_get,   type=_array_get,    imms=_T, reads=_HEAP, traps=_ACCESS),
    heap_row("array.get_s",      12, array_get_s, type=_array_get_sx, imms=_T, reads=_HEAP, traps=_ACCESS,
             spec="exec-array.get"),
    heap_row("array.get_u",      13, array_get,   type=_array_get_sx, imms=_T, reads=_HEAP, traps=_ACCESS,
             spec="exec-array.get"),
    heap_row("array.set",        14, array_set,   type=_array_set,    imms=_T, writes=_HEAP, traps=_ACCESS),
    heap_row("array.len",        15, type=arrow("arrayref -> i32"), effect=Effect.PURE, run=array_len, traps=_NULL),
    heap_row("array.fill",       16, array_fill,  type=_array_fill,   imms=_T, writes=_HEAP, traps=_ACCESS,
             bulk=Bulk(3, _U)),
    heap_row("array.copy",       17, array_copy,  type=_array_copy,   imms=(TYPEIDX, TYPEIDX), reads=_HEAP,
             writes=_HEAP, traps=_ACCESS, bulk=Bulk(4, _U)),
    heap_row("array.init_data",  18, array_init_data, type=_array_init_data, imms=(TYPEIDX, DATAIDX), reads=_SEGMENT,
             writes=_HEAP, traps=_ACCESS | _DATA, bulk=Bulk(3, _U)),
    heap_row("array.init_elem",  19, array_init_elem, type=_array_init_elem, imms=(TYPEIDX, ELEMIDX), reads=_SEGMENT,
             writes=_HEAP, traps=_ACCESS | _ELEM, bulk=Bulk(3, _U)),
])
# fmt: on
