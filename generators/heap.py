"""Structure and array types of a module, and values of them.

They come first in the type section, in one recursive group or one by one, so their type indices are their positions.
Each has a default value: a reference in a field may be null, so an object can be made of nothing anywhere, in bodies
and in constant expressions (:meth:`Heap.fresh`).  Everywhere else in the generator a type is closed; ``open`` gives it
the form that a module is written in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.features import BULK_MEMORY, FUNCTION_REFERENCES, GC, REFERENCE_TYPES, SIMD
from engine.instructions.model import Region
from engine.matching import close_rectype, matches, top
from engine.module import In
from engine.types import (
    ANY,
    ANYREF,
    ARRAY,
    EQ,
    EXTERN,
    EXTERNREF,
    F32,
    F64,
    FUNCREF,
    I8,
    I16,
    I31,
    I32,
    I64,
    STRUCT,
    V128,
    ArrayType,
    DefType,
    FieldType,
    RecType,
    RefType,
    StructType,
    SubType,
    ref,
)
from generators.build import const, instr

if TYPE_CHECKING:
    from engine.types import StorageType, ValType
    from generators.body import Body
    from generators.palette import Option
    from generators.profile import Profile
    from generators.source import Source

__all__ = ["ABSTRACT", "LENGTHS", "Heap", "castable", "operands"]

ABSTRACT: tuple[RefType, ...] = (ANYREF, *(ref(True, heap) for heap in (EQ, I31, STRUCT, ARRAY)))
LENGTHS = (4, 8, 5, 6, 8, 7, 4, 16, 5, 1, 9, 0)
_NEEDED = {GC, FUNCTION_REFERENCES, REFERENCE_TYPES, BULK_MEMORY}
_I31 = (0, 1, 0x3FFF_FFFF, 0x4000_0000, 0x7FFF_FFFF, 0xFFFF_FFFF)
_NUMBERS: tuple[StorageType, ...] = (I32, I64, F32, F64, I8, I16)


class Heap:
    """``types`` are the closed types by type index, ``values`` the reference types that values may have, ``functions``
    the indices of function types that have a subtype or are one."""

    def __init__(self, source: Source, profile: Profile) -> None:
        self.groups: list[RecType] = []
        self.types: list[DefType] = []
        self.values: tuple[RefType, ...] = ()
        self.functions: list[int] = []
        self.index: dict[DefType, int] = {}
        if not _NEEDED.issubset(profile.features) or not source.chance(profile.heap_percent):
            return
        with source.span("types"):
            subtypes = _subtypes(source, SIMD in profile.features)
        self.groups = subtypes
        for group in self.groups:
            self.types += close_rectype(group, self.types)
        self.values = (*dict.fromkeys(ref(True, t) for t in self.types), *ABSTRACT)
        self.index.update((t, x) for x, t in reversed(list(enumerate(self.types))))

    def open(self, t: Any) -> Any:
        """Return a value type or heap type as a module has it: with an index for a type of its own."""
        if isinstance(t, RefType):
            return ref(t.null, self.index[t.heap]) if isinstance(t.heap, DefType) else t
        return self.index[t] if isinstance(t, DefType) else t

    def fresh(self, source: Source, t: RefType) -> list[In]:
        """Return constant instructions that push a reference of type ``t``, not to a function, that is not null."""
        if top(t.heap) is EXTERN:
            return [*self.fresh(source, ref(False, ANY)), instr("extern.convert_any")]
        found = [d for d in self.types if matches(ref(False, d), t)]
        if matches(ref(False, I31), t) and (not found or source.chance(30)):
            return [const(I32, source.choose(_I31)), instr("ref.i31")]
        if not found:
            return [instr("ref.null", self.open(t.heap))]
        d = source.choose(found)
        if isinstance(d.comp, ArrayType):
            return [const(I32, source.choose(LENGTHS)), instr("array.new_default", self.index[d])]
        return [instr("struct.new_default", self.index[d])]


def _subtypes(source: Source, has_vectors: bool) -> list[RecType]:
    """Return the groups: a structure that may have subtypes, an array, and up to three more of either."""
    n = source.between(2, 5)
    is_recursive = source.chance(60)
    subtypes: list[SubType] = []
    for x in range(n):
        names = n if is_recursive else x + 1
        open_ = [y for y, sub in enumerate(subtypes) if isinstance(sub.comp, StructType) and not sub.final]
        how = x if x < 2 else source.below(3)
        if how == 1:
            storage = _storage(source, names, has_vectors)
            subtypes.append(SubType(source.chance(50), (), ArrayType(FieldType(storage, not source.chance(20)))))
            continue
        inherited: tuple[FieldType, ...] = ()
        supers: tuple[int, ...] = ()
        if how == 2 and open_:
            supers = (source.choose(open_),)
            comp = subtypes[supers[0]].comp
            assert isinstance(comp, StructType)
            inherited = comp.fields
        own = tuple(_field(source, names, has_vectors) for _ in range(source.between(0 if inherited else 1, 3)))
        subtypes.append(SubType(x > 0 and source.chance(50), supers, StructType(inherited + own)))
    return [RecType(tuple(subtypes))] if is_recursive else [RecType((sub,)) for sub in subtypes]


def _field(source: Source, names: int, has_vectors: bool) -> FieldType:
    return FieldType(_storage(source, names, has_vectors), not source.chance(25))


def _storage(source: Source, names: int, has_vectors: bool) -> StorageType:
    how = source.below(16)
    if how < 10:
        return source.choose(_NUMBERS)
    if how == 10 and has_vectors:
        return V128
    if how < 13:
        return source.choose((ANYREF, FUNCREF, EXTERNREF, *ABSTRACT))
    return ref(True, source.below(names))


# -- operands


def operands(body: Body, option: Option, depth: int) -> None:
    """Append the operands of an instruction on structures or arrays: mostly objects, indices mostly in bounds."""
    row, pops = option.row, option.pops
    length = row.bulk.length if row.bulk is not None else -1
    is_access = bool(row.traps) and Region.HEAP in row.reads | row.writes
    for k, t in enumerate(pops):
        is_object = is_access and (k == 0 or k + 3 == len(pops) == 5)
        if isinstance(t, RefType) and (is_object or (row.traps and not row.reads | row.writes)):
            _object(body, t, depth)
        elif k == length:
            _length(body, option)
        elif t is I32 and k + 1 == length and Region.SEGMENT in row.reads:
            body.out.append(const(I32, body.source.choose((0, 0, 0, 1))))
        elif k and is_access and t is I32 and _is_array(pops[k - 1]):
            _index(body, 3 if length >= 0 else 4)
        else:
            body.expr(t, depth)


def castable(body: Body, option: Option, depth: int) -> None:
    """Append the operand of a cast that traps: mostly a reference of the type that it is cast to."""
    t, (pushed,) = option.pops[0], option.pushes
    assert isinstance(pushed, RefType)
    if body.source.below(8) < 2:
        body.expr(t, depth)
    elif matches(pushed, ANYREF):
        body.out.extend(body.module.heap.fresh(body.source, ref(True, pushed.heap)))
    else:
        body.expr(ref(True, pushed.heap), depth)


def _is_array(t: ValType) -> bool:
    return isinstance(t, RefType) and isinstance(t.heap, DefType) and isinstance(t.heap.comp, ArrayType)


def _object(body: Body, t: RefType, depth: int) -> None:
    """Append what a local or a global holds (mostly an object), a new object, or anything."""
    source = body.source
    how = source.below(8)
    held = [In(o.row, o.imms) for o in body.module.palette.leaves[t].options if o.row.reads]
    held += [instr("local.get", x) for x in body.held(t)] * 3
    if how < 6 and held:
        body.out.append(source.choose(held))
    elif how < 7:
        body.out.extend(body.module.heap.fresh(source, t))
    else:
        body.expr(t, depth)


def _index(body: Body, bound: int) -> None:
    source = body.source
    how = source.below(16)
    if how < 11:
        body.out.append(const(I32, source.below(bound)))
    elif how < 14:
        body.expr(I32, 1)
        body.out.append(const(I32, 3))
        body.emit("i32.and")
    else:
        body.out.append(const(I32, source.choose((7, 8, 4, 5, 0xFFFF_FFFF))))


def _length(body: Body, option: Option) -> None:
    source, row = body.source, option.row
    if Region.SEGMENT in row.reads:
        room = body.module.segment_room(row.imms[1].name, option.imms[1]) // _width(body, option)
        body.out.append(const(I32, source.below(room + 1) if source.below(8) < 7 else room + 1))
    elif row.traps:
        body.out.append(const(I32, source.below(3) if source.below(16) < 15 else 8))
    elif source.chance(15):
        body.expr(I32, 1)
        body.out.append(const(I32, 15))
        body.emit("i32.and")
    else:
        body.out.append(const(I32, source.choose(LENGTHS)))


def _width(body: Body, option: Option) -> int:
    """Return how many bytes or references of a segment one element takes."""
    comp = body.module.heap.types[option.imms[0]].comp
    assert isinstance(comp, ArrayType)
    storage = comp.field.storage
    return 1 if isinstance(storage, RefType) else storage.bits // 8
