"""Subtyping, type equivalence and the closing of types under a module (spec: valid-matching, valid-types).

The one idea: a concrete heap type is closed once, by :func:`close_rectype`, into defined types that are interned by
the structure of their recursive group.  From there equivalence is identity, also between modules, and subtyping of two
defined types is a walk up declared supertypes.  All relations here take closed types, none of them fails.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from engine.errors import InvalidError
from engine.types import (
    ANY,
    ARRAY,
    BOT,
    EQ,
    EXN,
    EXTERN,
    FUNC,
    I31,
    NOEXN,
    NOEXTERN,
    NOFUNC,
    NONE,
    STRUCT,
    AbsHeapType,
    ArrayType,
    CompType,
    DefType,
    ExactType,
    ExternType,
    FieldType,
    FuncType,
    GlobalType,
    HeapType,
    Limits,
    MemType,
    RecIdx,
    RecType,
    RefType,
    StructType,
    SubType,
    TableType,
    TagType,
    exact,
    func_deftype,
    ref,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from engine.types import ResultType, StorageType, ValType

__all__ = [
    "close_rectype", "close_valtype", "closed_heaptype", "map_subtype", "map_valtype", "matches", "matches_comp",
    "matches_extern", "matches_functype", "matches_heap", "matches_limits", "matches_results", "tester", "top",
]  # fmt: skip

_ABOVE: dict[AbsHeapType, frozenset[AbsHeapType]] = {
    EQ: frozenset({ANY}),
    I31: frozenset({EQ, ANY}),
    STRUCT: frozenset({EQ, ANY}),
    ARRAY: frozenset({EQ, ANY}),
    NONE: frozenset({I31, STRUCT, ARRAY, EQ, ANY}),
    NOFUNC: frozenset({FUNC}),
    NOEXTERN: frozenset({EXTERN}),
    NOEXN: frozenset({EXN}),
}
_ABOVE_COMP: dict[type, frozenset[AbsHeapType]] = {
    FuncType: frozenset({FUNC}),
    StructType: frozenset({STRUCT, EQ, ANY}),
    ArrayType: frozenset({ARRAY, EQ, ANY}),
}
_NOTHING: frozenset[AbsHeapType] = frozenset()


# -- relations


def matches(t1: StorageType, t2: StorageType) -> bool:
    """Spec: match-valtype, match-storagetype."""
    if t1 is t2:
        return True
    if isinstance(t1, RefType) and isinstance(t2, RefType):
        return (t2.null or not t1.null) and matches_heap(t1.heap, t2.heap)
    return False


def matches_heap(h1: HeapType, h2: HeapType) -> bool:
    """Spec: match-heaptype, match-deftype."""
    if h1 is h2:
        return True
    if isinstance(h1, AbsHeapType):
        if h1 is BOT:
            return True
        if isinstance(h2, AbsHeapType):
            return h2 in _ABOVE.get(h1, _NOTHING)
        if isinstance(h2, ExactType):
            h2 = h2.heap
        return isinstance(h2, DefType) and h1 is (NOFUNC if isinstance(h2.comp, FuncType) else NONE)
    if not isinstance(h1, DefType):
        if not isinstance(h1, ExactType):
            return False
        if isinstance(h2, ExactType):
            return h1.heap is h2.heap
        if h1.heap is h2:
            return True
        return matches_heap(h1.heap, h2)
    if isinstance(h2, AbsHeapType):
        return h2 in _ABOVE_COMP[type(h1.comp)]
    while h1.sub.supers:
        super_ = h1.sub.supers[0]
        if super_ is h2:
            return True
        if not isinstance(super_, DefType):
            return False
        h1 = super_
    return False


def top(heaptype: HeapType) -> AbsHeapType:
    """Return the largest type of the hierarchy that a closed heap type belongs to."""
    for t in (ANY, FUNC, EXTERN, EXN):
        if matches_heap(heaptype, t):
            return t
    raise InvalidError(f"unknown type: {heaptype} has no hierarchy")


def tester(heap: HeapType) -> Callable[[Any], bool]:
    """Return the function that tells whether a reference that is not null has this closed heap type.

    A reference is an int for an i31, else an object with a ``type``; one to the host's has the type ``extern``.
    Whatever it is, it has the type at the top of its hierarchy: a reference that was converted to another hierarchy is
    the same object.  Spec: valid-ref.
    """
    if heap is top(heap):
        return lambda r: True
    if isinstance(heap, ExactType):
        only = heap.heap
        return lambda r: type(r) is not int and r.type is only
    has_i31 = matches_heap(I31, heap)

    def test(r: Any) -> bool:
        return has_i31 if type(r) is int else r.type is heap or matches_heap(r.type, heap)

    return test


def matches_results(ts1: ResultType, ts2: ResultType) -> bool:
    """Spec: match-resulttype."""
    return ts1 == ts2 or (len(ts1) == len(ts2) and all(map(matches, ts1, ts2)))


def matches_functype(t1: FuncType, t2: FuncType) -> bool:
    """Spec: match-functype."""
    return matches_results(t2.params, t1.params) and matches_results(t1.results, t2.results)


def matches_comp(t1: CompType, t2: CompType) -> bool:
    """Spec: match-comptype."""
    if isinstance(t1, FuncType) and isinstance(t2, FuncType):
        return matches_functype(t1, t2)
    if isinstance(t1, StructType) and isinstance(t2, StructType):
        return len(t1.fields) >= len(t2.fields) and all(map(_matches_field, t1.fields, t2.fields))
    if isinstance(t1, ArrayType) and isinstance(t2, ArrayType):
        return _matches_field(t1.field, t2.field)
    return False


def _matches_field(f1: FieldType, f2: FieldType) -> bool:
    """Spec: match-fieldtype; a mutable field is invariant."""
    if f1.mutable != f2.mutable:
        return False
    return f1.storage is f2.storage if f1.mutable else matches(f1.storage, f2.storage)


def matches_limits(l1: Limits, l2: Limits) -> bool:
    """Spec: match-limits."""
    return l1.min >= l2.min and (l2.max is None or (l1.max is not None and l1.max <= l2.max))


def matches_extern(t1: ExternType, t2: ExternType) -> bool:
    """Tell whether something of type ``t1`` may be imported as ``t2`` (spec: match-externtype)."""
    if isinstance(t1, DefType) and isinstance(t2, DefType | ExactType):
        return matches_heap(exact(t1), t2)  # a function has exactly its type
    if isinstance(t1, TableType) and isinstance(t2, TableType):
        return t1.addrtype is t2.addrtype and t1.reftype is t2.reftype and matches_limits(t1.limits, t2.limits)
    if isinstance(t1, MemType) and isinstance(t2, MemType):
        alike = (t1.addrtype, t1.shared, t1.page_bits) == (t2.addrtype, t2.shared, t2.page_bits)
        return alike and matches_limits(t1.limits, t2.limits)
    if isinstance(t1, GlobalType) and isinstance(t2, GlobalType):
        if t1.mutable or t2.mutable:
            return t1 == t2
        return matches(t1.valtype, t2.valtype)
    if isinstance(t1, TagType) and isinstance(t2, TagType):
        return t1.type is t2.type
    return False


# -- closing


def closed_heaptype(heaptype: HeapType, types: Sequence[DefType]) -> HeapType:
    """Return a heap type with its type index replaced by the defined type, or raise ``unknown type``."""
    if isinstance(heaptype, int):
        if heaptype >= len(types):
            raise InvalidError(f"unknown type {heaptype}")
        return types[heaptype]
    if isinstance(heaptype, ExactType):
        return exact(closed_heaptype(heaptype.heap, types))
    return heaptype


def close_valtype(t: ValType, types: Sequence[DefType]) -> ValType:
    """Spec: clos."""
    if isinstance(t, RefType) and isinstance(t.heap, int | ExactType):
        return ref(t.null, closed_heaptype(t.heap, types))
    return t


_groups: WeakValueDictionary[RecType, DefType] = WeakValueDictionary()  # the first type of each group


def close_rectype(rectype: RecType, types: Sequence[DefType]) -> Sequence[DefType]:
    """Return the defined types of the group that follows ``types``; equal groups give the same objects.

    Spec: aux-roll-rectype, aux-unroll-rectype.
    """
    x, n = len(types), len(rectype.subtypes)
    if n == 1 and _is_closed_function(rectype.subtypes[0]):
        return (func_deftype(rectype.subtypes[0].comp),)  # type: ignore[arg-type]  # as just seen

    def roll(heaptype: HeapType) -> HeapType:
        if isinstance(heaptype, int) and x <= heaptype < x + n:
            return RecIdx(heaptype - x)
        return closed_heaptype(heaptype, types)

    for sub in rectype.subtypes:
        for y, what in ((sub.descriptor, "descriptor"), (sub.describes, "described")):
            if y is not None and not (isinstance(y, int) and x <= y < x + n):
                raise InvalidError(f"{what} type is outside rec group")
    rolled = RecType(tuple(map_subtype(sub, roll) for sub in rectype.subtypes))
    if n == 1 and _is_plain_function(rolled.subtypes[0]):
        comp = rolled.subtypes[0].comp
        assert isinstance(comp, FuncType)
        return (func_deftype(comp),)
    if not n:
        return ()
    found = _groups.get(rolled)
    if found is None:
        found = _groups[rolled] = _unroll(rolled)
    return found.group


def _is_closed_function(sub: SubType) -> bool:
    """Tell whether a type, as written, is a final function type without type indices: most are."""
    comp = sub.comp
    if type(comp) is not FuncType or not sub.final or sub.supers or _is_described(sub):
        return False
    for t in comp.params + comp.results:  # noqa: SIM110  # twice as fast as all()
        if type(t) is RefType and type(t.heap) is not AbsHeapType:
            return False
    return True


def _is_plain_function(sub: SubType) -> bool:
    """Tell whether :func:`func_deftype` names this type: a final function type that does not mention itself."""
    comp = sub.comp
    if not (sub.final and not sub.supers and isinstance(comp, FuncType)) or _is_described(sub):
        return False
    return not any(isinstance(t, RefType) and _is_recursive(t.heap) for t in (*comp.params, *comp.results))


def _is_described(sub: SubType) -> bool:
    return sub.describes is not None or sub.descriptor is not None


def _is_recursive(heap: HeapType) -> bool:
    return isinstance(heap.heap if isinstance(heap, ExactType) else heap, RecIdx)


def _unroll(rectype: RecType) -> DefType:
    """Make the defined types of a group; they mention each other, so their bodies are filled in last."""
    group: list[DefType] = []
    for i, sub in enumerate(rectype.subtypes):
        group.append(DefType(rectype, i, sub, group))

    def unroll(heaptype: HeapType) -> HeapType:
        return group[heaptype.index] if isinstance(heaptype, RecIdx) else heaptype

    for deftype in group:
        object.__setattr__(deftype, "sub", map_subtype(deftype.sub, unroll))
    return group[0]


def map_valtype(t: StorageType, f: Callable[[HeapType], HeapType]) -> StorageType:
    """Return ``t`` with ``f`` applied to its concrete heap type if it has one."""
    if isinstance(t, RefType) and not isinstance(t.heap, AbsHeapType):
        return ref(t.null, exact(f(t.heap.heap)) if isinstance(t.heap, ExactType) else f(t.heap))
    return t


def map_subtype(sub: SubType, f: Callable[[HeapType], HeapType]) -> SubType:
    """Return ``sub`` with ``f`` applied to each heap type in it."""

    def value(t: StorageType) -> StorageType:
        return map_valtype(t, f)

    comp = sub.comp
    if isinstance(comp, FuncType):
        params, results = (tuple(map(value, ts)) for ts in (comp.params, comp.results))
        comp = FuncType(params, results)  # type: ignore[arg-type]  # no packed types among them
    elif isinstance(comp, StructType):
        comp = StructType(tuple(FieldType(value(f.storage), f.mutable) for f in comp.fields))
    else:
        comp = ArrayType(FieldType(value(comp.field.storage), comp.field.mutable))
    described, descriptor = (None if h is None else f(h) for h in (sub.describes, sub.descriptor))
    return SubType(sub.final, tuple(map(f, sub.supers)), comp, described, descriptor)
