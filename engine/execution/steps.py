"""The build for debugging: every instruction a block of its own, every operand in its slot.

A stretch of code that other builds make one block of is a chain here.  Its *head* has the cost of all of it, and where
it is checked, so that fuel is counted as ever; then comes one *part* per instruction.  The head and all parts but the
last end in STOP, where the driver asks the debugger before the next instruction.  A part costs nothing more; what it
says to have ``paid`` makes ``cost - paid`` what the stretch was charged, which a trap may give back.

Before each instruction all operands are put in their slots: what a frame holds is known from its block alone, and
nothing about it has to be kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.execution.frame import STOP

if TYPE_CHECKING:
    from engine.execution.lower import Lowering
    from engine.execution.rules import Plan, Rule

__all__ = ["stepped"]


def stepped(rule: Rule, low: Lowering, p: Plan, imms: tuple[Any, ...], offset: int) -> None:
    """Lower an instruction by ``rule`` in a block of its own."""
    _fill_slots(low)
    here = low.current
    if not low.chain or low.chain[-1] is not here:
        low.chain = [here]
    part = low.block(low.pc - 1)
    part.kind = STOP
    part.test = None
    part.offset = offset
    low.chain.append(part)
    here.kind = STOP
    here.next = part
    low.current = part
    low.body = part.body
    rule(low, p, imms, offset)


def _fill_slots(low: Lowering) -> None:
    """Put what the last instruction pushed in its slot; what is below is in its own already."""
    st, nl = low.stack, low.nl
    j = len(st)
    while j and st[j - 1] != nl + j - 1:
        j -= 1
    for i in range(j, len(st)):
        low.put(nl + i, st[i])
        st[i] = nl + i
    low.floor = len(st)
