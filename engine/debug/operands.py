"""The types of the operands before an instruction, which execution has forgotten: validation tells them again.

A pass over a function remembers its answer for every instruction, as far as that takes bounded memory; what it does
not remember, for a body made to have tall stacks, is found again by a pass up to the instruction.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from engine.instructions.model import Control
from engine.validation.body import Walker, check_body

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.module import In
    from engine.runtime.instance import FuncInst
    from engine.types import ValType

__all__ = ["OperandTypes", "Operands"]

MAX_REMEMBERED = 1 << 20  # types and instructions, of all functions of a store
_CLAUSES = frozenset({Control.CATCH})


class Operands(NamedTuple):
    """``types`` of the operands, lowest first.

    ``hidden`` has, for each clause of a legacy ``try`` around, the number of operands below its exception, which has a
    slot among them and is none.
    """

    types: tuple[ValType, ...]
    hidden: tuple[int, ...]

    def slot(self, i: int) -> int:
        """Return the slot of operand ``i``."""
        return i + sum(below <= i for below in self.hidden)


class _ReachedError(Exception):
    """The pass has come to the instruction that was asked for."""


class OperandTypes:
    """What is known of the functions of one store."""

    def __init__(self) -> None:
        self._known: dict[FuncInst, list[Operands]] = {}
        self._room = MAX_REMEMBERED

    def before(self, func: FuncInst, pc: int) -> Operands:
        """Return the operands before the instruction of index ``pc``, to which control must be able to come."""
        if func not in self._known:
            if self._room <= 0:
                self._known.clear()
                self._room = MAX_REMEMBERED
            self._known[func] = self._pass(func, None)
        known = self._known[func]
        return known[pc] if pc < len(known) else self._pass(func, pc)[0]

    def _pass(self, func: FuncInst, pc: int | None) -> list[Operands]:
        """Return the operands before one instruction, or before all from the first on that there is room for."""
        body, results = func.code.body, func.functype.results
        c = func.module.context.function(func.functype, func.code.locals)
        walker = Walker(c, results, None)
        has_clauses = any(ins.row.control in _CLAUSES for ins in body)
        out: list[Operands] = []

        def here() -> Operands:
            hidden = [frame.height for frame in walker.frames if frame.begun_by(Control.CATCH)] if has_clauses else ()
            return Operands(tuple(walker.vals), tuple(hidden))

        def watched() -> Iterator[In]:
            for n, ins in enumerate(body):
                if pc is None:
                    out.append(here())
                    self._room -= 1 + len(walker.vals) + (len(walker.frames) if has_clauses else 0)
                    if self._room <= 0:
                        raise _ReachedError
                elif n == pc:
                    out.append(here())
                    raise _ReachedError
                yield ins

        with suppress(_ReachedError):
            check_body(c, watched(), results, None, None, walker)
        return out
