"""How constructs and branches are lowered; see ``rules.py``.

A construct settles what is below it when it begins, so that every way to its label finds the same slots.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from engine.errors import Trap, TrapKind
from engine.execution import closures
from engine.execution.closures import REGISTER
from engine.execution.frame import BR_TABLE, JUMP, UNREACHABLE, Label
from engine.execution.fuel import Start
from engine.execution.rules import BITS, TRAPS, run_of
from engine.instructions.immediates import labels_in
from engine.instructions.model import Control

if TYPE_CHECKING:
    from engine.execution.lower import Lowering
    from engine.execution.rules import Plan, Rule

__all__ = ["CONTROL_RULES", "end", "enter"]

# Members of enumerations as globals: reading them from their class is slow.
AT_LOOP = Start.LOOP
LOOP, BR_ON_NULL, BR_ON_NON_NULL = Control.LOOP, Control.BR_ON_NULL, Control.BR_ON_NON_NULL
BR_ON_CAST_BY = Control.BR_ON_CAST_BY


def nop(low: Lowering, p: Plan, imms: tuple[Any, ...], offset: int) -> None:
    """Nothing."""


def unreachable(low: Lowering, p: Plan, imms: tuple[Any, ...], offset: int) -> None:
    """A trap."""
    low.spill(TRAPS)
    low.finish(UNREACHABLE, offset).test = partial(Trap, TrapKind.UNREACHABLE)


def enter(low: Lowering, imms: tuple[Any, ...], constants: bool) -> Label:
    """Return the label of the construct that begins here, below which everything is settled.

    With ``constants`` the parameters are in slots too, so that other ways may lead to them.
    """
    label = low.openers[low.pc]
    label.params, label.results = low.arity(imms[0])
    st = low.stack
    label.height = len(st) - label.params
    low.settle(label.height if constants else None)
    if label.joins:
        label.below = low.snapshot(label.height)
    return label


def block(low: Lowering, p: Plan, imms: tuple[Any, ...], offset: int) -> None:
    """A label at its end."""
    label = enter(low, imms, False)
    label.arity = label.results
    low.labels.append(label)


def loop(low: Lowering, p: Plan, imms: tuple[Any, ...], offset: int) -> None:
    """A label at its start, where fuel is checked."""
    label = enter(low, imms, True)
    label.arity = label.params
    low.labels.append(label)
    header = label.target = low.block(low.pc, label)
    low.finish(JUMP, offset).next = header
    low.begin(header, AT_LOOP)


def if_(low: Lowering, p: Plan, imms: tuple[Any, ...], offset: int) -> None:
    """Two ways that meet at the end."""
    cond = low.stack.pop()
    label = enter(low, imms, True)
    label.arity = label.results
    stack = low.snapshot(len(low.stack))
    then = low.block(low.pc, label, stack)
    other = low.join(label) if label.otherwise is None else low.block(label.otherwise, label, stack)
    low.test(cond, then, other, offset)


def else_(low: Lowering, p: Plan, imms: tuple[Any, ...], offset: int) -> None:
    """The end of the true side."""
    low.branch(0, offset)


def end(low: Lowering, p: Plan, imms: tuple[Any, ...], offset: int) -> None:
    """Where the ways to a label meet, or the function returns."""
    label = low.labels[-1]
    if label.control is None:
        low.leave(offset)
        return
    if label.joins and label.control is not LOOP:
        low.carry(label.results, label.height)
        del low.stack[label.height :]
        low.results(label.results)
        low.goto(low.join(label), offset)
    elif Control.END in low.splits:
        low.split(offset)
    low.labels.pop()


def br(low: Lowering, p: Plan, imms: tuple[Any, ...], offset: int) -> None:
    """Go to a label."""
    low.spill(TRAPS, low.labels[-1 - imms[0]].arity)
    low.branch(imms[0], offset)


def br_if(low: Lowering, p: Plan, imms: tuple[Any, ...], offset: int) -> None:
    """Go to a label or on."""
    cond = low.stack.pop()
    low.prepare(imms[0])
    taken, is_new = low.branch_block(imms[0])
    on = low.block(low.pc, low.labels[-1], low.snapshot(len(low.stack)))
    low.test(cond, taken, on, offset)
    if is_new:
        low.begin(taken)
        low.branch(imms[0], offset)


def br_on(low: Lowering, p: Plan, imms: tuple[Any, ...], offset: int) -> None:
    """Go to a label or on, as a reference says; ``control`` tells on which way it is lost."""
    (l,) = labels_in(p.row.imms[0], imms[0])
    st = low.stack
    if p.control is BR_ON_CAST_BY:
        low.settle(len(st) - 2)
        by = st.pop()
    e = st.pop()
    if type(e) is not int:
        e = low.slot(e)
    run = run_of(low, p, imms)
    if p.control is BR_ON_CAST_BY:
        cond = (closures.shaped(2, True)[REGISTER * 3 + REGISTER], e, by, offset, run, p.mask, 1)
    else:
        cond = (closures.shaped(1, False)[REGISTER], e, None, offset, run, BITS[e & 31], 1)
    if p.control is not BR_ON_NULL:
        low.push(e)
    low.prepare(l)
    taken, is_new = low.branch_block(l)
    label = low.labels[-1]
    if p.control is BR_ON_NULL:
        st.append(e)
        on = low.block(low.pc, label, low.snapshot(len(st)))
        st.pop()
    else:
        on = low.block(low.pc, label, low.snapshot(len(st) - (p.control is BR_ON_NON_NULL)))
    if p.control in low.build.fuel_model.owes:
        low.owed[on] = low.cost
        low.cost = 0
    low.test(cond, taken, on, offset)
    if is_new:
        low.begin(taken)
        low.branch(l, offset)


def br_table(low: Lowering, p: Plan, imms: tuple[Any, ...], offset: int) -> None:
    """Go to one of many labels, each of which has one block here however often it is named."""
    labels, default = imms[0]
    index = low.stack.pop()
    low.prepare(default)
    blocks = {l: low.branch_block(l) for l in sorted({*labels, default})}
    here = low.finish(BR_TABLE, offset)
    here.test = low.closure(index)
    here.targets = [blocks[l][0] for l in (*labels, default)]
    for l, (target, is_new) in blocks.items():
        if is_new:
            low.begin(target)
            low.branch(l, offset)


def return_(low: Lowering, p: Plan, imms: tuple[Any, ...], offset: int) -> None:
    """Leave the function."""
    low.spill(TRAPS, low.labels[0].results)
    low.leave(offset)


CONTROL_RULES: dict[str, Rule] = {
    "nop": nop, "unreachable": unreachable, "block": block, "loop": loop, "if": if_, "else": else_, "end": end,
    "br": br, "br_if": br_if, "br_table": br_table, "return": return_, "br_on_null": br_on, "br_on_non_null": br_on,
    "br_on_cast": br_on, "br_on_cast_by": br_on,
}  # fmt: skip
