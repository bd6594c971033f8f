"""Composite, recursive and external types in the binary format (spec: binary-types), reading and writing side by side.

Value and heap types are immediates of instructions too, so their codecs live with the immediate kinds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.errors import MalformedError
from engine.features import CUSTOM_DESCRIPTORS, CUSTOM_PAGE_SIZES, GC
from engine.instructions.immediates import read_reftype, read_valtype, write_valtype
from engine.instructions.leb import u
from engine.module import FuncImport, Import
from engine.types import (
    I8,
    I16,
    I32,
    I64,
    ArrayType,
    FieldType,
    FuncType,
    GlobalType,
    Limits,
    MemType,
    PackType,
    RecType,
    StructType,
    SubType,
    TableType,
    TagType,
)

from .forms import SHORTEST, Form

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TypeVar

    from engine.binary.reader import Reader
    from engine.types import AddrType, CompType, HeapType, ResultType, StorageType

    T = TypeVar("T")

__all__ = [
    "read_desc", "read_globaltype", "read_items", "read_list", "read_memtype", "read_rectype", "read_tabletype",
    "read_tagtype",
    "write_desc", "write_globaltype", "write_list", "write_memtype", "write_rectype", "write_tabletype",
    "write_tagtype",
]  # fmt: skip

FUNC, STRUCT, ARRAY, SUB, SUB_FINAL, REC = 0x60, 0x5F, 0x5E, 0x50, 0x4F, 0x4E
DESCRIPTOR, DESCRIBES = 0x4D, 0x4C
EXACT_FUNC = 0x20
HAS_MAX, SHARED, ADDR64, PAGE_BITS = 1, 2, 4, 8
_PACKED = {t.code: t for t in (I8, I16)}


def read_list(r: Reader, read: Callable[[Reader], T]) -> tuple[T, ...]:
    """Spec: binary-list."""
    return tuple([read(r) for _ in range(r.count())])


def read_items(r: Reader, read: Callable[[Reader], T]) -> tuple[T, ...]:
    """Read the list that a section consists of, and keep with the reader where each item starts."""
    starts = r.starts
    items = []
    for _ in range(r.count()):
        starts.append(r.pos)
        items.append(read(r))
    return tuple(items)


def write_list(parts: Iterable[bytes]) -> bytes:
    """Spec: binary-list."""
    parts = list(parts)
    return u(len(parts)) + b"".join(parts)


# -- type section


def _read_results(r: Reader) -> ResultType:
    return read_list(r, read_valtype)


def _read_field(r: Reader) -> FieldType:
    """Spec: binary-fieldtype."""
    packed = _PACKED.get(r.byte())
    storage: StorageType
    if packed is None:
        r.pos -= 1
        storage = read_valtype(r)
    else:
        storage = packed
    return FieldType(storage, _read_mutable(r))


def _write_field(f: FieldType) -> bytes:
    storage = f.storage
    code = bytes((storage.code,)) if isinstance(storage, PackType) else write_valtype(storage)
    return code + _write_mutable(f.mutable)


def _read_mutable(r: Reader) -> bool:
    """Spec: binary-mut."""
    code = r.byte()
    if code > 1:
        raise MalformedError("malformed mutability", r.pos - 1)
    return code == 1


def _write_mutable(mutable: bool) -> bytes:
    return b"\1" if mutable else b"\0"


def _read_comptype(r: Reader) -> CompType:
    """Spec: binary-comptype."""
    code = r.byte()
    if code == FUNC:
        params = _read_results(r)
        return FuncType(params, _read_results(r))
    if code == STRUCT:
        return StructType(read_list(r, _read_field))
    if code == ARRAY:
        return ArrayType(_read_field(r))
    raise MalformedError("malformed definition type", r.pos - 1)


def _write_comptype(t: CompType) -> bytes:
    if isinstance(t, FuncType):
        params, results = (write_list(map(write_valtype, ts)) for ts in (t.params, t.results))
        return bytes((FUNC,)) + params + results
    if isinstance(t, StructType):
        return bytes((STRUCT,)) + write_list(map(_write_field, t.fields))
    return bytes((ARRAY,)) + _write_field(t.field)


def _read_typeidx(r: Reader) -> HeapType:
    return r.u32()


def _read_form(r: Reader) -> int:
    """Read the byte that a definition begins with; groups and subtypes can be written only with their proposal."""
    code = r.byte()
    if code in (SUB, SUB_FINAL, REC) and GC not in r.features:
        raise MalformedError(f"malformed definition type: recursive groups and subtypes need {GC}", r.pos - 1)
    return code


def _read_subtype(r: Reader) -> SubType:
    """Spec: binary-subtype."""
    code = _read_form(r)
    if code in (SUB, SUB_FINAL):
        supers = read_list(r, _read_typeidx)
        return _read_described(r, code == SUB_FINAL, supers)
    r.pos -= 1
    return _read_described(r, True, ())


def _read_described(r: Reader, final: bool, supers: tuple[HeapType, ...]) -> SubType:
    """Read the rest of a subtype: the clauses for descriptors, which can be written only with their proposal."""
    if r.pos == r.end or r.data[r.pos] not in (DESCRIBES, DESCRIPTOR) or CUSTOM_DESCRIPTORS not in r.features:
        return SubType(final, supers, _read_comptype(r))
    describes, descriptor = (_read_clause(r, code) for code in (DESCRIBES, DESCRIPTOR))
    return SubType(final, supers, _read_comptype(r), describes, descriptor)


def _read_clause(r: Reader, code: int) -> HeapType | None:
    if r.byte() == code:
        return r.u32()
    r.pos -= 1
    return None


def _write_subtype(t: SubType, form: Form) -> bytes:
    comp = _write_comptype(t.comp)
    for code, clause in ((DESCRIPTOR, t.descriptor), (DESCRIBES, t.describes)):
        if isinstance(clause, int):
            comp = bytes((code,)) + u(clause) + comp
    if t.final and not t.supers and not form.explicit_types:
        return comp
    return bytes((SUB_FINAL if t.final else SUB,)) + write_list(u(x) for x in t.supers if isinstance(x, int)) + comp


def read_rectype(r: Reader) -> RecType:
    """Spec: binary-rectype."""
    if _read_form(r) == REC:
        return RecType(read_list(r, _read_subtype))
    r.pos -= 1
    return RecType((_read_subtype(r),))


def write_rectype(t: RecType, form: Form = SHORTEST) -> bytes:
    """Write a group; in the shortest form, of one without the ``rec`` byte."""
    subtypes = [_write_subtype(sub, form) for sub in t.subtypes]
    return subtypes[0] if len(subtypes) == 1 and not form.explicit_types else bytes((REC,)) + write_list(subtypes)


# -- external types


def _read_limits(r: Reader, flags: int) -> tuple[Limits, AddrType]:
    """Read what follows the flag byte (spec: binary-limits)."""
    low = r.address()
    return Limits(low, r.address() if flags & HAS_MAX else None), I64 if flags & ADDR64 else I32


def _read_flags(r: Reader, allowed: int) -> int:
    flags = r.byte()
    if flags & ~allowed:
        raise MalformedError("malformed limits flags", r.pos - 1)
    return flags


def _write_limits(limits: Limits, addrtype: AddrType, flags: int = 0) -> bytes:
    if addrtype is I64:
        flags |= ADDR64
    if limits.max is None:
        return bytes((flags,)) + u(limits.min)
    return bytes((flags | HAS_MAX,)) + u(limits.min) + u(limits.max)


def read_tabletype(r: Reader) -> TableType:
    """Spec: binary-tabletype."""
    reftype = read_reftype(r)
    return TableType(reftype, *_read_limits(r, _read_flags(r, HAS_MAX | ADDR64)))


def write_tabletype(t: TableType) -> bytes:
    """Spec: binary-tabletype."""
    return write_valtype(t.reftype) + _write_limits(t.limits, t.addrtype)


def read_memtype(r: Reader) -> MemType:
    """Spec: binary-memtype; the flag for the page size exists only with its proposal."""
    flags = _read_flags(r, HAS_MAX | SHARED | ADDR64 | (PAGE_BITS if CUSTOM_PAGE_SIZES in r.features else 0))
    limits, addrtype = _read_limits(r, flags)
    return MemType(limits, addrtype, flags & SHARED != 0, _read_page_bits(r) if flags & PAGE_BITS else 16)


def _read_page_bits(r: Reader) -> int:
    """Read the exponent of a page size, which must be a number of 64 bits at most."""
    start = r.pos
    page_bits = r.u32()
    if page_bits >= 64:
        raise MalformedError(f"invalid custom page size 2**{page_bits}", start)
    return page_bits


def write_memtype(t: MemType) -> bytes:
    """Spec: binary-memtype."""
    flags = (SHARED if t.shared else 0) | (0 if t.page_bits == 16 else PAGE_BITS)
    return _write_limits(t.limits, t.addrtype, flags) + (u(t.page_bits) if flags & PAGE_BITS else b"")


def read_globaltype(r: Reader) -> GlobalType:
    """Spec: binary-globaltype."""
    valtype = read_valtype(r)
    return GlobalType(_read_mutable(r), valtype)


def write_globaltype(t: GlobalType) -> bytes:
    """Spec: binary-globaltype."""
    return write_valtype(t.valtype) + _write_mutable(t.mutable)


def read_tagtype(r: Reader) -> TagType:
    """Spec: binary-tagtype."""
    if r.byte():
        raise MalformedError("malformed tag attribute", r.pos - 1)
    return TagType(r.u32())


def write_tagtype(t: TagType) -> bytes:
    """Spec: binary-tagtype."""
    assert isinstance(t.type, int)
    return b"\0" + u(t.type)


def _read_funcimport(r: Reader) -> FuncImport:
    return FuncImport(r.u32())


_READ_DESC: list[Callable[[Reader], FuncImport | TableType | MemType | GlobalType | TagType]] = [
    _read_funcimport, read_tabletype, read_memtype, read_globaltype, read_tagtype,
]  # fmt: skip


def read_desc(r: Reader) -> FuncImport | TableType | MemType | GlobalType | TagType:
    """Read what an import asks for (spec: binary-externtype)."""
    kind = r.byte()
    if kind >= len(_READ_DESC):
        if kind == EXACT_FUNC and CUSTOM_DESCRIPTORS in r.features:
            return FuncImport(r.u32(), True)
        raise MalformedError("malformed import kind", r.pos - 1)
    return _READ_DESC[kind](r)


def write_desc(i: Import) -> bytes:
    """Spec: binary-externtype."""
    desc = i.desc
    if isinstance(desc, FuncImport):
        return bytes((EXACT_FUNC if desc.exact else 0,)) + u(desc.typeidx)
    if isinstance(desc, TableType):
        return b"\1" + write_tabletype(desc)
    if isinstance(desc, MemType):
        return b"\2" + write_memtype(desc)
    if isinstance(desc, GlobalType):
        return b"\3" + write_globaltype(desc)
    return b"\4" + write_tagtype(desc)
