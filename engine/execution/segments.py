"""Constant expressions, and the segments of a new instance (spec: aux-runelem, aux-rundata).

Constant expressions are evaluated by the rows' own ``run``, so there is no second meaning of any instruction here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.instructions.model import Effect
from engine.module import Active, Declare

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.module import Expr
    from engine.runtime.instance import ModuleInst

    Lengths = dict[int, Sequence[int]]  # of the bulk operators of constant expressions, by the identity of these

__all__ = ["apply_data", "apply_elem", "evaluate"]


class _ConstFrame:
    """The frame of a constant expression: the part of it that rows ask."""

    __slots__ = ("locals", "module")

    def __init__(self, module: ModuleInst) -> None:
        self.module = module
        self.locals: tuple[Any, ...] = ()


def evaluate(instance: ModuleInst, expr: Expr, lengths: Lengths | None = None) -> Any:
    """Return the value of a constant expression (spec: exec-expr), and note the lengths of its bulk operators."""
    stack: list[Any] = []
    frame = _ConstFrame(instance)
    for row, imms, _ in expr:
        if row.effect is Effect.CONTROL:
            break  # ``end``: nothing else of that effect is constant
        assert row.run is not None
        n = len(row.arrow(instance.context, imms).pops) if stack else 0
        operands = stack[len(stack) - n :]
        del stack[len(stack) - n :]
        if row.bulk is not None and lengths is not None:
            lengths[id(expr)] = [*lengths.get(id(expr), ()), operands[row.bulk.length]]
        stack.append(row.run(*imms, *operands) if row.effect is Effect.PURE else row.run(frame, *imms, *operands))
    return stack.pop()


def apply_elem(instance: ModuleInst, x: int) -> None:
    """Copy an element segment to its place if it is active, and drop it unless it is passive.  Spec: aux-runelem."""
    elem, eleminst = instance.module.elems[x], instance.elems[x]
    if isinstance(elem.mode, Active):
        d = evaluate(instance, elem.mode.offset)
        instance.tables[elem.mode.index].init(eleminst.elems, d, 0, len(eleminst.elems))
    if isinstance(elem.mode, (Active, Declare)):
        eleminst.drop()


def apply_data(instance: ModuleInst, x: int) -> None:
    """Copy a data segment to its place if it is active, and drop it.  Spec: aux-rundata."""
    data, datainst = instance.module.datas[x], instance.datas[x]
    if isinstance(data.mode, Active):
        d = evaluate(instance, data.mode.offset)
        instance.mems[data.mode.index].init(datainst.data, d, 0, len(datainst.data))
        datainst.drop()
