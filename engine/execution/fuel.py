"""What execution costs: the question that lowering asks about each block, and the simplest answer.

Every block has a *cost*, charged at its start; a *check point* is a block before which the driver compares what was
spent with the budget; a *save point* is the end of a block that hands control to another function or to the host
(call, return, unreachable): a model with ``refunds`` gives back at a trap what was charged since the last one.
Charging a block at its start and not per instruction is not observable except through a trap, which is why the model
decides what a trap leaves.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from engine.instructions.model import Instr

__all__ = ["FuelModel", "Start", "UnitModel"]


class Start(Enum):
    """How control comes to a block."""

    ENTRY = "the first block of a function"
    LOOP = "a loop header, from outside and by each branch back"
    BULK = "after an operator whose work is in proportion to an operand"
    PLAIN = "any other way"


class FuelModel(Protocol):
    """A model must be immutable and hashable: closures and blocks are made once per model."""

    refunds: bool

    def cost(self, row: Instr) -> int:
        """Return the flat cost of an instruction, charged with its block."""

    def start(self, start: Start) -> tuple[int, bool]:
        """Return what a block costs beside its instructions, and whether fuel is checked before it."""

    def pieces(self, row: Instr, n: int) -> int:
        """Return what ``n`` pieces of a bulk operator cost, charged after it succeeded."""


class UnitModel:
    """Each instruction costs its row's ``fuel``, pieces of bulk operators one per ``pieces_per_unit``.

    A budget of n runs everything that costs n in all.  Traps refund nothing.  With ``pieces_per_unit`` None the fuel
    spent is the number of instructions executed.
    """

    __slots__ = ("pieces_per_unit",)

    refunds = False

    def __init__(self, pieces_per_unit: int | None = 1024) -> None:
        self.pieces_per_unit = pieces_per_unit

    def cost(self, row: Instr) -> int:
        """Return the row's own figure."""
        return row.fuel

    def start(self, start: Start) -> tuple[int, bool]:
        """Check where unbounded work may begin."""
        return 0, start is not Start.PLAIN

    def pieces(self, row: Instr, n: int) -> int:
        """Return 0 for few pieces, so that small operators cost one instruction."""
        return 0 if self.pieces_per_unit is None else n // self.pieces_per_unit
