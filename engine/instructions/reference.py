"""Reference instructions of every type of reference (spec: syntax-instr-ref).

Null of every reference type is None; a function reference is the function instance itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.errors import Trap, TrapKind
from engine.features import FUNCTION_REFERENCES, REFERENCE_TYPES
from engine.instructions.immediates import FUNCIDX, HEAPTYPE
from engine.instructions.model import Effect, Instr, proposal
from engine.types import Arrow, TypeVar, arrow, ref, ref_pattern

if TYPE_CHECKING:
    from engine.types import HeapType

__all__ = ["ROWS"]


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


def _ref_null(c: Any, ht: HeapType) -> Arrow:
    """Spec: valid-ref.null."""
    return Arrow((), (ref(True, c.type(ht) if isinstance(ht, int) else ht),))


def _ref_func(c: Any, x: int) -> Arrow:
    """Spec: valid-ref.func; the function must be declared outside of function bodies."""
    t = c.func(x)
    c.declared(x)
    return Arrow((), (ref(False, t),))


_HEAP = TypeVar("heap")

# fmt: off
ROWS = [*proposal(REFERENCE_TYPES, [
    Instr(name="ref.null",    opcode=0xD0, imms=(HEAPTYPE,), type=_ref_null, effect=Effect.PURE, run=ref_null,
          family="reference", const=REFERENCE_TYPES, spec="exec-ref.null"),
    Instr(name="ref.is_null", opcode=0xD1, type=arrow("'ref -> i32"), effect=Effect.PURE, run=ref_is_null,
          family="reference", spec="exec-ref.is_null"),
    Instr(name="ref.func",    opcode=0xD2, imms=(FUNCIDX,),  type=_ref_func, effect=Effect.STATE, run=ref_func,
          family="reference", const=REFERENCE_TYPES, spec="exec-ref.func"),
]), *proposal(FUNCTION_REFERENCES, [
    Instr(name="ref.as_non_null", opcode=0xD4, type=Arrow((ref_pattern(True, _HEAP),), (ref_pattern(False, _HEAP),)),
          effect=Effect.PURE, run=ref_as_non_null, traps=frozenset({TrapKind.NULL_REFERENCE}), family="reference",
          weight=20, spec="exec-ref.as_non_null"),
])]
# fmt: on
