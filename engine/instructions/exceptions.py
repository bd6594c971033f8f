"""Exceptions (spec: syntax-instr-control): thrown by instructions, handled by the clauses of ``try_table``.

``run`` of what throws returns the exception; lowering passes it to the innermost handler that takes it.  The labels of
catch clauses are counted from outside of their ``try_table``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.errors import InvalidError, Trap, TrapKind
from engine.features import EXCEPTIONS
from engine.instructions.immediates import BLOCKTYPE, CATCHES, TAGIDX
from engine.instructions.model import Control, Effect, Instr, proposal
from engine.matching import matches_results
from engine.types import EXN, EXNREF, Arrow, ref

if TYPE_CHECKING:
    from engine.instructions.immediates import Catch
    from engine.types import FuncType, ResultType, ValType

__all__ = ["ROWS"]

_CAUGHT = ref(False, EXN)


def throw(frame: Any, x: int, *vs: Any) -> Any:
    """Spec: exec-throw."""
    return frame.module.store.new_exn(frame.module.tags[x], vs)


def throw_ref(frame: Any, r: Any) -> Any:
    """Spec: exec-throw_ref."""
    if r is None:
        raise Trap(TrapKind.NULL_EXCEPTION)
    return r


def _throw(c: Any, x: int) -> Arrow:
    """Spec: valid-throw."""
    return Arrow(c.tag(x).params, (), True)


def _check_catch(c: Any, clause: Catch) -> None:
    """Check that a clause passes what its label takes.  Spec: valid-catch."""
    passed: ResultType = () if clause.tag is None else c.tag(clause.tag).params
    if clause.with_ref:
        passed = (*passed, _CAUGHT)
    taken = c.label(clause.label)
    if not matches_results(passed, taken):
        raise InvalidError(
            f"type mismatch: a catch clause passes {list(passed)}, label {clause.label} takes {list(taken)}"
        )


def _try_table(c: Any, bt: ValType | int | None, catches: tuple[Catch, ...]) -> Arrow:
    """Spec: valid-try_table."""
    t: FuncType = c.blocktype(bt)
    for clause in catches:
        _check_catch(c, clause)
    return Arrow(t.params, t.results)


# fmt: off
ROWS = proposal(EXCEPTIONS, [
    Instr(name="throw",     opcode=0x08, imms=(TAGIDX,), type=_throw, effect=Effect.CONTROL, control=Control.THROW,
          run=throw, family="exception", weight=10, spec="exec-throw"),
    Instr(name="throw_ref", opcode=0x0A, type=Arrow((EXNREF,), (), True), effect=Effect.CONTROL, control=Control.THROW,
          run=throw_ref, traps=frozenset({TrapKind.NULL_EXCEPTION}), family="exception", weight=10,
          spec="exec-throw_ref"),
    Instr(name="try_table", opcode=0x1F, imms=(BLOCKTYPE, CATCHES), type=_try_table, effect=Effect.CONTROL,
          control=Control.TRY_TABLE, family="exception", weight=40, spec="exec-try_table"),
])
# fmt: on
