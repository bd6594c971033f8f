"""Parametric instructions (spec: syntax-instr-parametric)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.errors import InvalidError
from engine.features import REFERENCE_TYPES
from engine.instructions.immediates import VALTYPES
from engine.instructions.model import Effect, Instr, proposal
from engine.types import I32, Arrow, arrow

if TYPE_CHECKING:
    from engine.types import ValType

__all__ = ["ROWS"]


def drop(v: Any) -> None:
    """Spec: exec-drop."""
    return


def select(v: Any, w: Any, i: int) -> Any:
    """Spec: exec-select."""
    return v if i else w


def select_t(ts: tuple[ValType, ...], v: Any, w: Any, i: int) -> Any:
    """Spec: exec-select."""
    return v if i else w


def select_type(c: Any, ts: tuple[ValType, ...]) -> Arrow:
    """Spec: valid-select, with the type written out."""
    if len(ts) != 1:
        raise InvalidError(f"invalid result arity: select of {len(ts)} types")
    t = c.close_valtype(ts[0])
    return Arrow((t, t, I32), (t,))


# fmt: off
ROWS = [
    Instr(name="drop", opcode=0x1A, type=arrow("'any ->"), effect=Effect.PURE, run=drop,
          family="drop", spec="exec-drop"),
    Instr(name="select", opcode=0x1B, type=arrow("'numvec 'numvec i32 -> 'numvec"), effect=Effect.PURE, run=select,
          family="select", hot=True, spec="exec-select"),
    *proposal(REFERENCE_TYPES, [
        Instr(name="select t", opcode=0x1C, type=select_type, effect=Effect.PURE, run=select_t, imms=(VALTYPES,),
              family="select", spec="exec-select"),
    ]),
]
# fmt: on
