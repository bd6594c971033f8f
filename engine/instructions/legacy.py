"""Exception handling as browsers had it before exception references: ``try`` with clauses or with ``delegate``.

Document: WebAssembly/exception-handling, proposals/exception-handling/legacy/Exceptions.md.  ``throw`` is that of the
standard.  A clause continues its ``try``: it begins with the values of the tag and ends as the ``try`` does; the
exception that it caught is what a ``rethrow`` of its label throws.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.features import LEGACY_EXCEPTIONS
from engine.instructions.immediates import BLOCKTYPE, LABELIDX, TAGIDX
from engine.instructions.model import Control, Effect, Instr, proposal
from engine.types import Arrow, arrow

if TYPE_CHECKING:
    from engine.types import FuncType, ValType

__all__ = ["ROWS"]


def _try(c: Any, bt: ValType | int | None) -> Arrow:
    """The arrow of the whole construct."""
    t: FuncType = c.blocktype(bt)
    return Arrow(t.params, t.results)


def _catch(c: Any, x: int) -> Arrow:
    """What the clause begins with."""
    return Arrow((), c.tag(x).params)


def _delegate(c: Any, l: int) -> Arrow:
    """The label, counted from outside of the ``try``, must exist."""
    c.label(l)
    return Arrow((), ())


def _rethrow(c: Any, l: int) -> Arrow:
    """The label must exist; whoever walks the body knows whether it is that of a clause."""
    c.label(l)
    return Arrow((), (), True)


def _row(name: str, opcode: int, control: Control, **rest: Any) -> Instr:
    fields: dict[str, Any] = {"fuel": 0, "weight": 0} | rest
    return Instr(name=name, opcode=opcode, control=control, effect=Effect.CONTROL, family="legacy", **fields)


# fmt: off
ROWS = proposal(LEGACY_EXCEPTIONS, [
    _row("try",       0x06, Control.TRY,      type=_try, imms=(BLOCKTYPE,), fuel=1, spec="exec-try-catch"),
    _row("catch",     0x07, Control.CATCH,    type=_catch, imms=(TAGIDX,), spec="exec-try-catch"),
    _row("rethrow",   0x09, Control.RETHROW,  type=_rethrow, imms=(LABELIDX,), fuel=1, spec="exec-rethrow"),
    _row("delegate",  0x18, Control.DELEGATE, type=_delegate, imms=(LABELIDX,), spec="exec-try-delegate"),
    _row("catch_all", 0x19, Control.CATCH,    type=arrow("->"), spec="exec-try-catch"),
])
# fmt: on
