"""Structures that describe the type of others (proposal: custom descriptors).

Document: WebAssembly/custom-descriptors, proposals/custom-descriptors/Overview.md, and the scripts of the suite where
they are newer.  A structure of a type with a descriptor has an attribute ``descriptor``: the structure that it was made
with.  A cast by a descriptor compares that one, and no types; what is no such structure fails it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.errors import InvalidError, Trap, TrapKind
from engine.features import CUSTOM_DESCRIPTORS
from engine.instructions.control import br_on_cast_arrow, br_on_cast_fail_arrow
from engine.instructions.immediates import CAST_BRANCH, HEAPTYPE_NON_NULL, HEAPTYPE_NULL, TYPEIDX
from engine.instructions.model import Control, Effect, Instr, applied, proposal
from engine.instructions.structures import check_default, default_of, mask_of, structure
from engine.matching import top
from engine.types import Arrow, DefType, ExactType, TypeVar, exact, exact_pattern, ref, unpacked

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.instructions.immediates import CastBranch
    from engine.types import HeapType, RefType, StructType

__all__ = ["ROWS"]


# -- execution


def struct_new_desc(frame: Any, x: int) -> Callable[..., Any]:
    """Make a structure of the fields and a descriptor."""
    new, deftype = frame.module.store.new_struct, frame.module.types[x]
    masks = [(i, m) for i, field in enumerate(deftype.comp.fields) if (m := mask_of(field.storage)) is not None]

    def run(*vs: Any) -> Any:
        *fields, descriptor = vs
        if descriptor is None:
            raise Trap(TrapKind.NULL_DESCRIPTOR)
        for i, m in masks:
            fields[i] &= m
        r = new(deftype, fields)
        r.descriptor = descriptor
        return r

    return run


def struct_new_default_desc(frame: Any, x: int) -> Callable[[Any], Any]:
    """Make a structure of a descriptor, its fields zero or null."""
    new, deftype = frame.module.store.new_struct, frame.module.types[x]
    vs = [default_of(field.storage) for field in deftype.comp.fields]

    def run(descriptor: Any) -> Any:
        if descriptor is None:
            raise Trap(TrapKind.NULL_DESCRIPTOR)
        r = new(deftype, vs[:])
        r.descriptor = descriptor
        return r

    return run


def ref_get_desc(x: int, r: Any) -> Any:
    """Return the structure that describes another."""
    if r is None:
        raise Trap(TrapKind.NULL_REFERENCE)
    return r.descriptor


def _is_described_by(r: Any, descriptor: Any, null: bool) -> bool:
    if descriptor is None:
        raise Trap(TrapKind.NULL_DESCRIPTOR)
    return null if r is None else getattr(r, "descriptor", None) is descriptor


def ref_cast_desc_eq(frame: Any, heap: HeapType) -> Callable[[Any, Any], Any]:
    """Check that a structure has this descriptor."""
    return _cast_by(False)


def ref_cast_desc_eq_null(frame: Any, heap: HeapType) -> Callable[[Any, Any], Any]:
    """Check that a structure has this descriptor, or that there is none."""
    return _cast_by(True)


def _cast_by(null: bool) -> Callable[[Any, Any], Any]:
    def run(r: Any, descriptor: Any) -> Any:
        if not _is_described_by(r, descriptor, null):
            raise Trap(TrapKind.CAST_FAILURE)
        return r

    return run


def br_on_cast_desc_eq(frame: Any, cast: CastBranch) -> Callable[[Any, Any], bool]:
    """Branch if a structure has this descriptor."""
    null = cast.target.null
    return lambda r, descriptor: _is_described_by(r, descriptor, null)


def br_on_cast_desc_eq_fail(frame: Any, cast: CastBranch) -> Callable[[Any, Any], bool]:
    """Branch unless a structure has this descriptor."""
    null = cast.target.null
    return lambda r, descriptor: not _is_described_by(r, descriptor, null)


# -- typing


def _descriptor(c: Any, x: int) -> DefType:
    """Return the type of what describes instances of a structure type."""
    descriptor = c.type(x).sub.descriptor
    if not isinstance(descriptor, DefType):
        raise InvalidError(f"type without descriptor: type {x}")
    return descriptor


def _made_by(c: Any, x: int) -> tuple[StructType, RefType]:
    """Return a structure type and the type of what its instances are made with."""
    comp = structure(c, x)
    if c.type(x).sub.descriptor is None:
        raise InvalidError("type without descriptor requires non-descriptor allocation")
    return comp, ref(True, exact(_descriptor(c, x)))


def _struct_new_desc(c: Any, x: int) -> Arrow:
    comp, descriptor = _made_by(c, x)
    return Arrow((*[unpacked(field.storage) for field in comp.fields], descriptor), (c.just(c.type(x)),))


def _struct_new_default_desc(c: Any, x: int) -> Arrow:
    comp, descriptor = _made_by(c, x)
    for field in comp.fields:
        check_default(field.storage)
    return Arrow((descriptor,), (c.just(c.type(x)),))


_EXACT = TypeVar("exact")


def _ref_get_desc(c: Any, x: int) -> Arrow:
    """An exact reference has an exact descriptor."""
    t = c.type(x)
    return Arrow((exact_pattern(True, t, _EXACT),), (exact_pattern(False, _descriptor(c, x), _EXACT),))


def _descriptor_of(c: Any, heap: HeapType) -> RefType:
    """Return the type of the descriptor that a cast to ``heap``, as written, takes."""
    closed = c.close_heaptype(heap)
    deftype = closed.heap if isinstance(closed, ExactType) else closed
    descriptor = deftype.sub.descriptor if isinstance(deftype, DefType) else None
    if descriptor is None:
        raise InvalidError(f"type {heap} does not have a descriptor")
    return ref(True, exact(descriptor) if closed is not deftype else descriptor)


def _cast_desc_eq(c: Any, heap: HeapType, null: bool) -> Arrow:
    descriptor = _descriptor_of(c, heap)
    closed = c.close_heaptype(heap)
    return Arrow((ref(True, top(closed)), descriptor), (ref(null, closed),))


def _br_on_cast_desc_eq(c: Any, cast: CastBranch) -> Arrow:
    return br_on_cast_arrow(c, cast, _descriptor_of(c, cast.target.heap))


def _br_on_cast_desc_eq_fail(c: Any, cast: CastBranch) -> Arrow:
    return br_on_cast_fail_arrow(c, cast, _descriptor_of(c, cast.target.heap))


def _row(name: str, opcode: int, make: Callable[..., Any], **rest: Any) -> Instr:
    fields: dict[str, Any] = {"effect": Effect.STATE, "make": make, "run": applied(make, 1), "weight": 0} | rest
    spec = f"exec-{name.partition(' ')[0]}"
    return Instr(name=name, opcode=(0xFB, opcode), family="descriptor", spec=spec, **fields)


_NULL = frozenset({TrapKind.NULL_DESCRIPTOR})
_CAST = _NULL | {TrapKind.CAST_FAILURE}
_BRANCH: dict[str, Any] = {
    "control": Control.BR_ON_CAST_BY, "effect": Effect.CONTROL, "imms": (CAST_BRANCH,), "traps": _NULL,
}  # fmt: skip

# fmt: off
ROWS = proposal(CUSTOM_DESCRIPTORS, [
    _row("struct.new_desc",         32, struct_new_desc,         type=_struct_new_desc,         imms=(TYPEIDX,),
         const=CUSTOM_DESCRIPTORS, traps=_NULL),
    _row("struct.new_default_desc", 33, struct_new_default_desc, type=_struct_new_default_desc, imms=(TYPEIDX,),
         const=CUSTOM_DESCRIPTORS, traps=_NULL),
    Instr(name="ref.get_desc", opcode=(0xFB, 34), type=_ref_get_desc, imms=(TYPEIDX,), effect=Effect.PURE,
          run=ref_get_desc, traps=frozenset({TrapKind.NULL_REFERENCE}), family="descriptor", weight=0,
          spec="exec-ref.get_desc"),
    _row("ref.cast_desc_eq",        35, ref_cast_desc_eq,      type=lambda c, heap: _cast_desc_eq(c, heap, False),
         imms=(HEAPTYPE_NON_NULL,), traps=_CAST),
    _row("ref.cast_desc_eq null",   36, ref_cast_desc_eq_null, type=lambda c, heap: _cast_desc_eq(c, heap, True),
         imms=(HEAPTYPE_NULL,), traps=_CAST),
    _row("br_on_cast_desc_eq",      37, br_on_cast_desc_eq,      type=_br_on_cast_desc_eq,      **_BRANCH),
    _row("br_on_cast_desc_eq_fail", 38, br_on_cast_desc_eq_fail, type=_br_on_cast_desc_eq_fail, **_BRANCH),
])
# fmt: on
