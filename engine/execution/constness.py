"""Which lengths of bulk operators a translator sees as constants: those that wasmtime charges and does not check.

Cranelift makes its intermediate code in one pass over a body, with values in static single assignment.  A length is a
constant if the value that it finds there *is* a constant instruction: a literal, or what a variable (a local, a
parameter or result of a construct) has on every way on which it can be reached.  That is decided on the way, once, and
not by what optimisation could find: a variable read in a loop is unknown until the loop has ended.  So the answer is
the outcome of a procedure, which is replayed here: blocks with their predecessors, and the construction of Braun et al.
("Simple and Efficient Construction of Static Single Assignment Form", CC 2013) as Cranelift's frontend does it.

Only integers are followed, for a length is one.  ``ssa.py`` has the construction, ``translation.py`` the pass, and
``sight.py`` what can be said of one instruction.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from engine.execution.sight import LITERAL, gives_unknown, kind_of
from engine.execution.ssa import TooLongError
from engine.execution.translation import Translation
from engine.instructions.model import Control

if TYPE_CHECKING:
    from engine.module import Code, Expr
    from engine.runtime.instance import FuncInst

__all__ = ["constant_lengths"]

MIN_STEPS, STEPS_EACH = 200_000, 50  # the construction is quadratic at worst: what is not decided then is unknown

_LEGACY = frozenset({Control.TRY, Control.CATCH, Control.DELEGATE, Control.RETHROW})


def constant_lengths(func: FuncInst) -> dict[int, int]:
    """Return the constant lengths of bulk operators, by the index of the instruction in the body.

    None is known in a body with the legacy exceptions, which the engines that see constants do not have.
    """
    remembered: dict[int, tuple[Code, dict[int, int]]] = func.module.context.lengths
    code = func.code
    if id(code) not in remembered:
        remembered[id(code)] = code, _lengths(func)
    return remembered[id(code)][1]


def _lengths(func: FuncInst) -> dict[int, int]:
    body = func.code.body
    found: dict[int, int] = {}
    if not _looked_up(body, found):
        return found
    if any(row.control in _LEGACY for row, _, _ in body):
        return {}
    with suppress(TooLongError):  # what has been found stays
        Translation(func, found, MIN_STEPS + STEPS_EACH * len(body)).run()
    return found


def _looked_up(body: Expr, found: dict[int, int]) -> bool:
    """Note the lengths that are literals just before their operator; tell whether others may be constant."""
    others = False
    before: Any = None
    for pc, ins in enumerate(body):
        if ins[0].bulk is not None and before is not None:
            if kind_of(before[0]) == LITERAL:
                found[pc] = before[1][0]
            elif not gives_unknown(before[0]):
                others = True
        before = ins
    return others
