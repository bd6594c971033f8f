"""What execution costs: a fuel model as data, which lowering asks about each block and the driver about traps.

Every block has a *cost*, charged when it starts.  A *check point* is a block before which the driver compares what was
spent with the budget.  A *save point* is where an engine writes its counter back: an operator that hands control to
another function or to the host.  Charging a block at its start and not by the instruction is observable through a trap
alone, which is why a model says what a trap keeps.

A model is an immutable value: blocks are made once per model, and a snapshot names it.  The models themselves are in
``fuel_models.py``; nothing else knows one of them by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.execution.startup import Startup
    from engine.instructions.model import Control, Instr
    from engine.module import Module
    from engine.validation.context import Context

__all__ = ["Bulk", "Check", "FuelModel", "Refund", "Start"]


_MOST = 2**63 - 1  # that a counter of 64 bits with a sign can hold


class Start(Enum):
    """How control comes to a block."""

    ENTRY = "the first block of a function"
    LOOP = "a loop header, from outside and by each branch back"
    BULK = "after an operator whose work is in proportion to an operand"
    PLAIN = "any other way"


class Check(Enum):
    """What a check point asks of the fuel that is left."""

    FITS = "it pays for the whole block; else nothing is charged"
    REMAINS = "there is some, after what was spent before the block"


class Bulk(Enum):
    """How the pieces of a bulk operator are charged."""

    FLAT = "not at all"
    AFTER = "once the operator has succeeded"
    BEFORE = "before it does anything; where the whole block must fit, once its bounds have been checked"


class Refund(Enum):
    """What a trap gives back.

    A trap in an operator that is a save point itself gives back nothing, whatever the model.
    """

    NOTHING = "nothing"
    SAVED = "what was charged since the last save point"
    BLOCK = "what was charged for the current block"


@dataclass(frozen=True, eq=False)
class FuelModel:
    """What is charged, where it is checked, what is given back.

    ``name``, ``version`` and ``variant`` tell the engine that counts like this.  ``flat`` is the cost of an
    instruction, ``entry`` what a function costs beside its instructions, paid before its check.  Fuel is checked where
    control comes to a block by one of ``checks``.  ``pieces`` is what that many pieces of a bulk operator cost; where
    ``unchecked`` is set, a length that is a constant when the body is translated (``constness.py``) and costs at most
    that is charged, even if growth is refused, and not checked.  Blocks end at the controls in ``splits`` even where
    nothing branches.  At a branch on a reference that is in ``owes``, the block before is paid by what follows where
    the branch is not taken; with any, what comes before a call by reference is paid by what comes after.  Where it
    ``forgets``, the counter of a frame is neither saved before nor read back after a call by reference, and is not read
    back where an exception of a callee is caught.  Where it ``wraps``, the counter has 64 bits and a sign: once more
    was spent than there was, pieces that nobody could pay for bring it below 0, and are a present.  ``startup`` tells
    what it costs to instantiate a module, beside its start function: nothing where it is not set (``startup.py``).
    """

    name: str
    version: int
    variant: str
    flat: Callable[[Instr], int]
    check: Check
    checks: frozenset[Start]
    pieces: Callable[[Instr, int], int]
    entry: int = 0
    bulk: Bulk = Bulk.AFTER
    unchecked: int | None = None
    refund: Refund = Refund.NOTHING
    splits: frozenset[Control] = frozenset()
    owes: frozenset[Control] = frozenset()
    forgets: bool = False
    wraps: bool = False
    startup: Callable[[Module, Context], Startup | None] | None = None

    def keeps(self, by_reference: bool, is_caught: bool) -> bool:
        """Tell whether a call has its frame keep the counter.

        ``is_caught`` where an exception of the callee may come to a handler of this frame.
        """
        return self.forgets and (by_reference or is_caught)

    def __str__(self) -> str:
        version = f" {self.version}" if self.version else ""
        return f"{self.name}{version}{':' if self.variant else ''}{self.variant}"

    def uncounted(self, row: Instr, length: Callable[[], int]) -> bool:
        """Tell whether ``length()`` pieces, below 0 where no constant is seen, are charged without a check."""
        return self.unchecked is not None and length() >= 0 and self.pieces(row, length()) <= self.unchecked

    def price(self, start: Start) -> tuple[int, int]:
        """Return what is paid before the check of a block, and the fuel that the check wants.

        That is 0 where nothing is checked, and below 0 where it is the cost of the block.
        """
        paid = self.entry if start is Start.ENTRY else 0
        if start not in self.checks:
            return paid, 0
        return paid, -1 if self.check is Check.FITS else paid + 1

    def weighed(self, cost: int, left: float = 0) -> tuple[int, int, int]:
        """Return what is paid before the check of an operator whose pieces cost so much, the fuel it wants, the cost.

        There is fuel ``left``, or so much too much was spent.
        """
        if self.check is Check.FITS:
            return 0, cost, cost
        if self.wraps and left < 0 and min(cost, _MOST) - left > _MOST:
            cost = min(cost, _MOST) - 2 * (_MOST + 1)
        return cost, cost + 1, cost

    def kept(self, spent: int, saved: int, charged: int) -> int:
        """Return what stays spent after a trap.

        ``spent`` is what was, ``saved`` what was at the last save point, ``charged`` what the current block added.
        """
        if self.refund is Refund.NOTHING:
            return spent
        return saved if self.refund is Refund.SAVED else max(saved, spent - charged)

    def required(self, need: int, left: int) -> int:
        """Return the fuel that a call wants at a check point where it found ``left``.

        Where the whole block must fit it is what the store must have in all, else what must be added to it.
        """
        return need if self.check is Check.FITS else need - left
