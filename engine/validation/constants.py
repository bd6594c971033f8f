"""Constant expressions (spec: valid-constant)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.errors import InvalidError, WasmError, Where
from engine.matching import matches
from engine.types import FuncType

from .body import check_body

if TYPE_CHECKING:
    from engine.module import Expr
    from engine.types import ValType

    from .context import Context

__all__ = ["check_constant"]


def check_constant(c: Context, expr: Expr, t: ValType) -> None:
    """Check that ``expr`` is constant and has type ``t``; it reads only the first ``c.globals_visible`` globals."""
    for row, imms, offset in expr:
        try:
            if row.const is None or row.const not in c.features:
                raise InvalidError(f"constant expression required: {row.name}")
            if row.imms and row.imms[0].name == "globalidx":
                _check_global(c, imms[0])
        except WasmError as e:
            raise e.at(Where(None, None if offset < 0 else offset)) from None
    if len(expr) == 2:
        row, imms, _ = expr[0]
        c.gate.check_written(row, imms)
        arrow = row.arrow(c, imms)
        if not arrow.pops and len(arrow.pushes) == 1 and matches(arrow.pushes[0], t):
            return  # the usual case: one instruction and its end
    check_body(c.function(FuncType((), (t,))), expr, (t,))


def _check_global(c: Context, x: int) -> None:
    """Check that a constant expression may read a global: an earlier one that never changes."""
    if x >= c.globals_visible:
        raise InvalidError(f"unknown global {x} in a constant expression")
    if c.global_(x).mutable:
        raise InvalidError(f"constant expression required: global {x} is mutable")
