"""Reference instructions of every type of reference (spec: syntax-instr-ref).

Null of every reference type is None; a function reference is the function instance itself; an i31 reference is an int
of 31 bits, unsigned; ``matching.tester`` says what other references are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.errors import Trap, TrapKind
from engine.features import FUNCTION_REFERENCES, GC, REFERENCE_TYPES
from engine.instructions.immediates import FUNCIDX, HEAPTYPE, HEAPTYPE_NON_NULL, HEAPTYPE_NULL
from engine.instructions.model import Effect, Instr, applied, proposal
from engine.matching import closed_heaptype, tester, top
from engine.types import ANY, EXTERN, I31, I32, Arrow, RefType, TypeVar, arrow, ref, ref_pattern

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.types import AbsHeapType, HeapType

__all__ = ["ROWS", "closed_in"]


def ref_null(ht: HeapType) -> None:
    """Spec: exec-ref.null."""


def ref_is_null(r: Any) -> int:
    """Spec: exec-ref.is_null."""
    return 1 if r is None else 0


def ref_func(frame: Any, x: int) -> Any:
    """Spec: exec-ref.func."""
    return frame.module.funcs[x]


def ref_as_non_null(r: Any) -> Any:
    """Spec: exec-ref.as_non_null."""
    if r is None:
        raise Trap(TrapKind.NULL_REFERENCE)
    return r


def closed_in(frame: Any, heap: HeapType) -> HeapType:
    """Return a heap type as written, closed by the types of the instance."""
    return closed_heaptype(heap, frame.module.types)


def ref_test(frame: Any, heap: HeapType) -> Callable[[Any], int]:
    """Spec: exec-ref.test."""
    test = tester(closed_in(frame, heap))
    return lambda r: 1 if r is not None and test(r) else 0


def ref_test_null(frame: Any, heap: HeapType) -> Callable[[Any], int]:
    """Spec: exec-ref.test."""
    test = tester(closed_in(frame, heap))
    return lambda r: 1 if r is None or test(r) else 0


def ref_cast(frame: Any, heap: HeapType) -> Callable[[Any], Any]:
    """Spec: exec-ref.cast."""
    test = tester(closed_in(frame, heap))

    def run(r: Any) -> Any:
        if r is None or not test(r):
            raise Trap(TrapKind.CAST_FAILURE)
        return r

    return run


def ref_cast_null(frame: Any, heap: HeapType) -> Callable[[Any], Any]:
    """Spec: exec-ref.cast."""
    test = tester(closed_in(frame, heap))

    def run(r: Any) -> Any:
        if r is not None and not test(r):
            raise Trap(TrapKind.CAST_FAILURE)
        return r

    return run


def ref_eq(a: Any, b: Any) -> int:
    """Spec: exec-ref.eq."""
    return 1 if a is b or (type(a) is int and a == b) else 0


def ref_i31(i: int) -> int:
    """Spec: exec-ref.i31."""
    return i & 0x7FFF_FFFF


def i31_get_s(r: int | None) -> int:
    """Spec: exec-i31.get_sx."""
    if r is None:
        raise Trap(TrapKind.NULL_I31)
    return r | (r & 0x4000_0000) << 1


def i31_get_u(r: int | None) -> int:
    """Spec: exec-i31.get_sx."""
    if r is None:
        raise Trap(TrapKind.NULL_I31)
    return r


def convert(r: Any) -> Any:
    """Spec: exec-any.convert_extern, exec-extern.convert_any."""
    return r


def _ref_null(c: Any, ht: HeapType) -> Arrow:
    """Spec: valid-ref.null."""
    return Arrow((), (ref(True, c.close_heaptype(ht)),))


def _ref_func(c: Any, x: int) -> Arrow:
    """Spec: valid-ref.func; the function must be declared outside of function bodies."""
    t = c.func(x)
    c.declared(x)
    return Arrow((), (c.just(t) if c.is_exact(x) else ref(False, t),))


def _above(heap: HeapType) -> RefType:
    return ref(True, top(heap))


def _ref_test(c: Any, heap: HeapType) -> Arrow:
    """Spec: valid-ref.test; the operand is of any type in the same hierarchy."""
    return Arrow((_above(c.close_heaptype(heap)),), (I32,))


def _ref_cast(c: Any, heap: HeapType) -> Arrow:
    """Spec: valid-ref.cast."""
    closed = c.close_heaptype(heap)
    return Arrow((_above(closed),), (ref(False, closed),))


def _ref_cast_null(c: Any, heap: HeapType) -> Arrow:
    """Spec: valid-ref.cast."""
    closed = c.close_heaptype(heap)
    return Arrow((_above(closed),), (ref(True, closed),))


def _convert(of: AbsHeapType, to: AbsHeapType) -> Arrow:
    """Spec: valid-any.convert_extern, valid-extern.convert_any."""
    null = TypeVar("null")
    return Arrow((ref_pattern(null, of),), (ref_pattern(null, to),))


def _cast(name: str, opcode: int, make: Callable[..., Any], **rest: Any) -> Instr:
    return Instr(
        name=name, opcode=(0xFB, opcode), effect=Effect.STATE, make=make, run=applied(make, 1), family="reference",
        weight=20, spec=f"exec-{name.partition(' ')[0]}", **rest,
    )  # fmt: skip


def _pure(name: str, opcode: int, type: Arrow, run: Callable[..., Any], **rest: Any) -> Instr:
    fields: dict[str, Any] = {"family": "reference", "weight": 20, "spec": f"exec-{name}"} | rest
    return Instr(name=name, opcode=(0xFB, opcode), effect=Effect.PURE, type=type, run=run, **fields)


_CAST_FAILURE = frozenset({TrapKind.CAST_FAILURE})
_NULL_I31 = frozenset({TrapKind.NULL_I31})
_HEAP = TypeVar("heap")

# fmt: off
ROWS = [*proposal(REFERENCE_TYPES, [
    Instr(name="ref.null",    opcode=0xD0, imms=(HEAPTYPE,), type=_ref_null, effect=Effect.PURE, run=ref_null,
          family="reference", const=REFERENCE_TYPES, spec="exec-ref.null"),
    Instr(name="ref.is_null", opcode=0xD1, type=arrow("'ref -> i32"), effect=Effect.PURE, run=ref_is_null,
          family="reference", spec="exec-ref.is_null"),
    Instr(name="ref.func",    opcode=0xD2, imms=(FUNCIDX,),  type=_ref_func, effect=Effect.STATE, run=ref_func,
          family="reference", const=REFERENCE_TYPES, spec="exec-ref.func"),
]), *proposal(GC, [
    Instr(name="ref.eq",      opcode=0xD3, type=arrow("eqref eqref -> i32"), effect=Effect.PURE, run=ref_eq,
          family="reference", weight=20, spec="exec-ref.eq"),
]), *proposal(FUNCTION_REFERENCES, [
    Instr(name="ref.as_non_null", opcode=0xD4, type=Arrow((ref_pattern(True, _HEAP),), (ref_pattern(False, _HEAP),)),
          effect=Effect.PURE, run=ref_as_non_null, traps=frozenset({TrapKind.NULL_REFERENCE}), family="reference",
          weight=20, spec="exec-ref.as_non_null"),
]), *proposal(GC, [
    _cast("ref.test",      20, ref_test,      type=_ref_test,      imms=(HEAPTYPE_NON_NULL,)),
    _cast("ref.test null", 21, ref_test_null, type=_ref_test,      imms=(HEAPTYPE_NULL,)),
    _cast("ref.cast",      22, ref_cast,      type=_ref_cast,      imms=(HEAPTYPE_NON_NULL,), traps=_CAST_FAILURE),
    _cast("ref.cast null", 23, ref_cast_null, type=_ref_cast_null, imms=(HEAPTYPE_NULL,),     traps=_CAST_FAILURE),
    _pure("any.convert_extern", 26, _convert(EXTERN, ANY), convert, const=GC),
    _pure("extern.convert_any", 27, _convert(ANY, EXTERN), convert, const=GC),
    _pure("ref.i31",            28, Arrow((I32,), (ref(False, I31),)), ref_i31, const=GC),
    _pure("i31.get_s",          29, arrow("i31ref -> i32"), i31_get_s, traps=_NULL_I31, spec="exec-i31.get"),
    _pure("i31.get_u",          30, arrow("i31ref -> i32"), i31_get_u, traps=_NULL_I31, spec="exec-i31.get"),
])]
# fmt: on
