"""How exceptions are lowered: what throws ends its block, what catches makes handlers; see ``rules.py``.

Nothing is done on the way into a ``try_table`` or out of it: which handlers serve a call or a throw depends on its
place alone and is a field of its block, which the driver asks when an exception comes out.  A handler finds the slots
below its label as they were at the label, because inside of a construct nothing touches the slots below it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.execution import closures
from engine.execution.control_rules import end, enter
from engine.execution.frame import THROW, Clause, Registers
from engine.execution.rules import TRAPS, run_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.execution.frame import Block, Label
    from engine.execution.lower import Lowering
    from engine.execution.rules import Plan, Rule
    from engine.runtime.heap import ExnInst

__all__ = ["EXCEPTION_RULES"]


def _values(exn: ExnInst) -> Registers:
    return list(exn.values)


def _values_and_exn(exn: ExnInst) -> Registers:
    return [*exn.values, exn]


def _nothing(exn: ExnInst) -> Registers:
    return []


def _exn(exn: ExnInst) -> Registers:
    return [exn]


def _exn_and_values(exn: ExnInst) -> Registers:
    return [exn, *exn.values]


def try_table(low: Lowering, p: Plan, imms: tuple[Any, ...], offset: int) -> None:
    """A label at its end, and handlers that branch to labels around it."""
    label = enter(low, imms, False)
    label.arity = label.results
    assert label.handlers is not None
    label.handlers.clauses = [_clause(low, *clause) for clause in imms[1]]
    low.labels.append(label)


def _clause(low: Lowering, x: int | None, with_ref: bool, l: int) -> Clause:
    """Return the clause that branches to label ``l`` with values of tag ``x`` and the exception."""
    label = low.labels[-1 - l]
    d = low.nl + label.height
    low.registers = max(low.registers, d + label.arity)
    target = _target(low, label)
    if x is None:
        return Clause(None, _exn if with_ref else _nothing, d, target)
    return Clause(low.module.tags[x], _values_and_exn if with_ref else _values, d, target)


def _target(low: Lowering, label: Label) -> Block:
    """Return where a label leads; for that of the function, to its last instruction, which returns what is there."""
    if label.control is not None:
        return low.join(label)
    return low.block(len(low.instructions) - 1, label, label.arity)


def throw(low: Lowering, p: Plan, imms: tuple[Any, ...], offset: int) -> None:
    """An exception that ``run`` makes or finds."""
    n = len(p.row.arrow(low.context, imms).pops)
    low.spill(TRAPS)  # of the operands too, because fuel is saved before the exception is made
    operands = [low.closure(e) for e in low.stack[len(low.stack) - n :]]
    test = closures.located(closures.many(run_of(low, p, imms), operands), offset)
    _throw(low, test, offset)


def _throw(low: Lowering, test: Callable[[Registers], Any], offset: int) -> None:
    handlers = low.labels[-1].handlers
    here = low.finish(THROW, offset)
    here.test = test
    here.handlers = handlers


def try_(low: Lowering, p: Plan, imms: tuple[Any, ...], offset: int) -> None:
    """A label at the end of its last clause.

    A clause begins with the exception in the slot at the height of the label, below the values of its tag.
    """
    label = enter(low, imms, False)
    label.arity = label.results
    low.labels.append(label)
    if not label.clauses:
        return
    d = low.nl + label.height
    for clause, _ in label.clauses:
        clause.height, clause.params, clause.results = label.height, label.params, label.results
        clause.arity, clause.below = label.arity, label.below
    label.target = low.join(label.clauses[-1][0])  # the one that knows the end
    assert label.handlers is not None
    handlers = label.handlers.clauses = []
    for clause, start in label.clauses:
        clause.target = label.target
        row, x, _ = low.instructions[start - 1]
        n = 1 + len(row.arrow(low.context, x).pushes)
        below = label.below
        stack = below + n if isinstance(below, int) else [*below, *range(d, d + n)]
        tag = low.module.tags[x[0]] if x else None
        handlers.append(Clause(tag, _exn_and_values if x else _exn, d, low.block(start, clause, stack)))
        low.registers = max(low.registers, d + n)


def catch(low: Lowering, p: Plan, imms: tuple[Any, ...], offset: int) -> None:
    """The end of what comes before the clause."""
    low.branch(0, offset)


def rethrow(low: Lowering, p: Plan, imms: tuple[Any, ...], offset: int) -> None:
    """What the clause of a label has caught."""
    low.spill(TRAPS)
    _throw(low, closures.register(low.nl + low.labels[-1 - imms[0]].height), offset)


EXCEPTION_RULES: dict[str, Rule] = {
    "try_table": try_table, "throw": throw, "try": try_, "catch": catch, "delegate": end, "rethrow": rethrow,
}  # fmt: skip
