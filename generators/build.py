"""The few instructions that a generator prescribes itself, built from rows of the table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.instructions import TABLE
from engine.module import In
from engine.types import F32, F64, I32, I64, V128, Arrow, RefType, ValType

if TYPE_CHECKING:
    from engine.instructions.model import Instr

__all__ = ["ELSE", "END", "const", "default_expr", "extended_const", "instr", "ref_func"]

_BY_NAME = TABLE.by_name
_CONST: dict[ValType, Instr] = {t: _BY_NAME[f"{t}.const"] for t in (I32, I64, F32, F64, V128)}
_EXTENDED: dict[ValType, list[Instr]] = {
    t: [r for r in TABLE if r.const is not None and r.type == Arrow((t, t), (t,))] for t in (I32, I64, F32, F64)
}
END = In(_BY_NAME["end"])
ELSE = In(_BY_NAME["else"])


def instr(name: str, *imms: Any) -> In:
    """Return the instruction of this name with these immediates."""
    return In(_BY_NAME[name], imms)


def const(t: ValType, bits: int) -> In:
    """Return the constant instruction of a number or vector type."""
    return In(_CONST[t], (bits,))


def default_expr(t: ValType) -> In:
    """Return the instruction that pushes zero or null."""
    return instr("ref.null", t.heap) if isinstance(t, RefType) else const(t, 0)


def ref_func(x: int) -> In:
    """Return the instruction that pushes a reference to function ``x``."""
    return instr("ref.func", x)


def extended_const(t: ValType) -> list[Instr]:
    """Return the binary operators on ``t`` that may stand in a constant expression."""
    return _EXTENDED.get(t, [])
