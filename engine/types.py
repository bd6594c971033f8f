"""Value, reference, composite and external types (spec: syntax-types), and instruction types (``Arrow``).

Number, vector and abstract heap types are singletons; reference types are interned, so ``is`` is a fast first test of
equality.  A concrete heap type is a *type index* (an int) in syntax and a :class:`DefType` once closed under its module
(spec: clos); a defined type is interned by the structure of its recursive group, so two equal types of two modules are
the same object.  What is interned lives as long as somebody uses it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

__all__ = [
    "ANY", "ANYREF", "ARRAY", "BOT", "EQ", "EXN", "EXNREF", "EXTERN", "EXTERNREF", "F32", "F64", "FUNC", "FUNCREF",
    "I31", "I32", "I64", "NOEXN", "NOEXTERN", "NOFUNC", "NONE", "STRUCT", "V128", "AbsHeapType", "AddrType",
    "ArrayType", "Arrow", "CompType", "DefType", "ExactType", "ExternType", "FieldType", "FuncType", "GlobalType",
    "HeapType", "I8", "I16", "Limits", "MemType", "NumType", "PackType", "RecIdx", "RecType", "RefType", "ResultType",
    "StorageType", "StructType", "SubType", "TableType", "TagType", "TypeVar", "ValType", "VecType", "arrow", "exact",
    "exact_pattern", "func_deftype", "part_of", "ref", "ref_pattern", "substitute", "unpacked", "variable",
]  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class NumType:
    """``bits`` is the width; a float type has ``is_float``."""

    name: str
    bits: int
    is_float: bool
    code: int

    def __repr__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True, eq=False)
class VecType:
    name: str
    bits: int
    code: int

    def __repr__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True, eq=False)
class PackType:
    """A storage type narrower than any value type."""

    name: str
    bits: int
    code: int

    def __repr__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True, eq=False)
class AbsHeapType:
    """``name`` as in ``(ref null NAME)``; ``short`` is the abbreviation of its nullable reference."""

    name: str
    short: str
    code: int

    def __repr__(self) -> str:
        return self.name


I32 = NumType("i32", 32, False, 0x7F)
I64 = NumType("i64", 64, False, 0x7E)
F32 = NumType("f32", 32, True, 0x7D)
F64 = NumType("f64", 64, True, 0x7C)
V128 = VecType("v128", 128, 0x7B)
I8 = PackType("i8", 8, 0x78)
I16 = PackType("i16", 16, 0x77)

NOEXN = AbsHeapType("noexn", "nullexnref", 0x74)
NOFUNC = AbsHeapType("nofunc", "nullfuncref", 0x73)
NOEXTERN = AbsHeapType("noextern", "nullexternref", 0x72)
NONE = AbsHeapType("none", "nullref", 0x71)
FUNC = AbsHeapType("func", "funcref", 0x70)
EXTERN = AbsHeapType("extern", "externref", 0x6F)
ANY = AbsHeapType("any", "anyref", 0x6E)
EQ = AbsHeapType("eq", "eqref", 0x6D)
I31 = AbsHeapType("i31", "i31ref", 0x6C)
STRUCT = AbsHeapType("struct", "structref", 0x6B)
ARRAY = AbsHeapType("array", "arrayref", 0x6A)
EXN = AbsHeapType("exn", "exnref", 0x69)
BOT = AbsHeapType("bot", "botref", -1)  # below every heap type; only unreachable code has it (spec: syntax-heaptype)


_FEW = 4096  # type indices whose reference types are kept for ever


class RecIdx(NamedTuple):
    """A type index relative to its own recursive group (spec: syntax-rectypeidx)."""

    index: int  # type: ignore[assignment]  # hides tuple.index


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class RefType:
    """Build with :func:`ref`, which interns."""

    null: bool
    heap: HeapType

    def __repr__(self) -> str:
        if self.null is True and isinstance(self.heap, AbsHeapType):
            return self.heap.short
        null = self.null if isinstance(self.null, TypeVar) else "null" if self.null else ""
        return f"(ref {null}{' ' if null else ''}{self.heap})"


_refs: dict[Any, RefType] = {}
_refs_of_indices: WeakValueDictionary[tuple[bool, HeapType], RefType] = WeakValueDictionary()


def ref(null: bool, heap: HeapType) -> RefType:
    """Return the one reference type with this nullability and heap type.

    A type that is defined, or an index that was read, goes away with those who use it, and so do references to it.
    """
    known: Any = _refs
    concrete = heap.heap if type(heap) is ExactType else heap
    if type(concrete) is DefType:
        known = concrete.refs
    elif type(concrete) is int and concrete >= _FEW:
        known = _refs_of_indices
    t: RefType | None = known.get((null, heap))
    if t is None:
        t = known[null, heap] = RefType(null, heap)
    return t


def unpacked(storage: StorageType) -> ValType:
    """Return the type of values that are kept in a storage type.  Spec: aux-unpack."""
    return I32 if isinstance(storage, PackType) else storage


@dataclass(frozen=True, slots=True)
class FieldType:
    """Spec: syntax-fieldtype."""

    storage: StorageType
    mutable: bool


@dataclass(frozen=True, slots=True)
class FuncType:
    """Spec: syntax-functype."""

    params: ResultType
    results: ResultType

    def __repr__(self) -> str:
        return f"[{' '.join(map(str, self.params))}] -> [{' '.join(map(str, self.results))}]"


@dataclass(frozen=True, slots=True)
class StructType:
    fields: tuple[FieldType, ...]


@dataclass(frozen=True, slots=True)
class ArrayType:
    field: FieldType


@dataclass(frozen=True, slots=True)
class SubType:
    """Spec: syntax-subtype; ``supers`` has at most one entry in a valid module.

    With custom descriptors, ``describes`` is the type whose instances this one's may describe, and ``descriptor`` the
    type of what describes instances of this one.
    """

    final: bool
    supers: tuple[HeapType, ...]
    comp: CompType
    describes: HeapType | None = None
    descriptor: HeapType | None = None


@dataclass(frozen=True, slots=True)
class RecType:
    """Spec: syntax-rectype."""

    subtypes: tuple[SubType, ...]


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class DefType:
    """The ``index``-th type of a closed recursive group; interned by ``matching.close_rectype``.

    The types of a ``group`` live as long as one of them; ``refs`` are the reference types to this one.
    """

    rec: RecType
    index: int
    sub: SubType  # unrolled: RecIdx replaced by DefType
    group: list[DefType] = field(default_factory=list)
    refs: dict[tuple[bool, HeapType], RefType] = field(default_factory=dict)
    exact: ExactType | None = None  # made by :func:`exact`

    @property
    def comp(self) -> CompType:
        """The expansion (spec: aux-expand-deftype)."""
        return self.sub.comp

    def __repr__(self) -> str:
        return {FuncType: "<func>", StructType: "<struct>", ArrayType: "<array>"}[type(self.comp)]  # may be recursive


@dataclass(frozen=True, slots=True)
class ExactType:
    """A concrete heap type without its subtypes.  Build with :func:`exact`, which interns over defined types.

    In an arrow, ``only`` may be the variable (:func:`exact_pattern`).
    """

    heap: int | DefType | RecIdx
    only: bool | TypeVar = True

    def __repr__(self) -> str:
        return f"(exact {self.heap})"


def exact(heap: Any) -> ExactType:
    """Return the exact type of a type index or defined type."""
    if type(heap) is not DefType:
        return ExactType(heap)
    found = heap.exact
    if found is None:
        found = ExactType(heap)
        object.__setattr__(heap, "exact", found)
    return found


HeapType = AbsHeapType | DefType | RecIdx | ExactType | int
ValType = NumType | VecType | RefType
ResultType = tuple[ValType, ...]
StorageType = NumType | VecType | RefType | PackType
CompType = FuncType | StructType | ArrayType
AddrType = NumType

FUNCREF = ref(True, FUNC)
EXTERNREF = ref(True, EXTERN)
ANYREF = ref(True, ANY)
EXNREF = ref(True, EXN)


_functions: WeakValueDictionary[FuncType, DefType] = WeakValueDictionary()


def func_deftype(functype: FuncType) -> DefType:
    """Return the defined type of a plain function type: final, alone in its group, without type indices."""
    found = _functions.get(functype)
    if found is None:
        sub = SubType(True, (), functype)
        found = _functions[functype] = DefType(RecType((sub,)), 0, sub)
    return found


class Limits(NamedTuple):
    """``min <= n <= max`` in pages or elements; ``max`` None means absent (spec: syntax-limits)."""

    min: int
    max: int | None = None


@dataclass(frozen=True, slots=True)
class MemType:
    """Limits in pages of ``2 ** page_bits`` bytes."""

    limits: Limits
    addrtype: AddrType = I32
    shared: bool = False
    page_bits: int = 16

    @property
    def max_pages(self) -> int:
        """The most pages that can be addressed, and counted by ``memory.size``."""
        return min(1 << self.addrtype.bits - self.page_bits, (1 << self.addrtype.bits) - 1)


@dataclass(frozen=True, slots=True)
class TableType:
    reftype: RefType
    limits: Limits
    addrtype: AddrType = I32


@dataclass(frozen=True, slots=True)
class GlobalType:
    mutable: bool
    valtype: ValType


@dataclass(frozen=True, slots=True)
class TagType:
    """``type`` is a type index in syntax, a defined type once closed."""

    type: HeapType


ExternType = DefType | ExactType | TableType | MemType | GlobalType | TagType


@dataclass(frozen=True, slots=True)
class TypeVar:
    """The one bounded variable that an arrow may hold, itself or as a part of reference types (:func:`ref_pattern`).

    ``bound`` is ``any`` (every value type: drop), ``numvec`` (numeric or vector: untyped select), ``ref`` (every
    reference type: ref.is_null), ``heap`` (every heap type: ref.as_non_null), ``null`` (whether null is among the
    values: any.convert_extern) or ``exact`` (whether a heap type is exact: ref.get_desc). The validator binds it
    from the stack, the generator chooses it.
    """

    bound: str

    def __repr__(self) -> str:
        return f"'{self.bound}"


def ref_pattern(null: bool | TypeVar, heap: HeapType | TypeVar) -> RefType:
    """Return the reference type with a variable for its nullability or its heap type; only arrows hold it."""
    return ref(null, heap)  # type: ignore[arg-type]


def exact_pattern(null: bool, heap: DefType, is_exact: TypeVar) -> RefType:
    """Return the type of references to ``heap`` that are exact or not, as the variable says; only arrows hold it."""
    return ref(null, ExactType(heap, is_exact))


def variable(t: Any) -> TypeVar | None:
    """Return the variable that a type of an arrow is or holds, None for a closed type."""
    if type(t) is not RefType:
        return t if type(t) is TypeVar else None
    heap: Any = t.heap
    for part in (heap.only if type(heap) is ExactType else heap, t.null):
        if type(part) is TypeVar:
            return part
    return None


def part_of(pattern: RefType, t: RefType) -> Any:
    """Return the part of a reference type for which the variable of ``pattern`` stands."""
    if type(pattern.heap) is ExactType:
        return type(t.heap) is AbsHeapType or t.heap is exact(pattern.heap.heap)  # if abstract, none, or no match
    return t.heap if isinstance(pattern.null, bool) else t.null


def substitute(t: Any, value: Any) -> Any:
    """Return a type of an arrow with ``value`` (a type, a heap type or a bool) for its variable if it has one."""
    if isinstance(t, TypeVar):
        return value
    if variable(t) is None:
        return t
    if type(t.heap) is ExactType:
        return ref(t.null, exact(t.heap.heap) if value else t.heap.heap)
    return ref(*(value if isinstance(part, TypeVar) else part for part in (t.null, t.heap)))


class Arrow(NamedTuple):
    """Instruction type ``pops -> pushes``; ``polymorphic`` means that what follows is unreachable."""

    pops: tuple[Any, ...]
    pushes: tuple[Any, ...]
    polymorphic: bool = False


_BY_NAME: dict[str, Any] = {t.name: t for t in (I32, I64, F32, F64, V128)} | {
    h.short: ref(True, h) for h in (FUNC, EXTERN, ANY, EQ, I31, STRUCT, ARRAY, EXN, NONE, NOFUNC, NOEXTERN, NOEXN)
} | {f"'{b}": TypeVar(b) for b in ("any", "numvec", "ref")}  # fmt: skip


@cache
def arrow(text: str) -> Arrow:
    """Return the arrow of ``"i32 i64 -> i64"``; ``'any`` is the type variable, a final ``...`` polymorphic."""
    left, _, right = text.partition("->")
    polymorphic = right.strip() == "..."
    pushes: tuple[Any, ...] = () if polymorphic else tuple(_BY_NAME[t] for t in right.split())
    return Arrow(tuple(_BY_NAME[t] for t in left.split()), pushes, polymorphic)
