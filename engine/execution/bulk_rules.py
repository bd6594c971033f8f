"""How bulk operators are lowered where their pieces are paid for before they do anything; see ``rules.py``.

The operator has a block of its own, of kind WEIGH, that costs nothing: it tells the cost of the pieces, which is
checked and charged, and then the operator runs.  A call that pauses there has done nothing of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.execution.frame import JUMP, WEIGH
from engine.execution.fuel import Check
from engine.execution.rules import bulk_effect, general, run_of
from engine.instructions.model import Region
from engine.types import I32, I64, NumType

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.execution.frame import Registers
    from engine.execution.lower import Lowering
    from engine.execution.rules import Plan, Rule
    from engine.runtime.memory import MemInst
    from engine.runtime.table import TableInst

__all__ = ["BULK_RULES", "weighed"]


def weighed(low: Lowering, p: Plan, imms: tuple[Any, ...], offset: int) -> None:
    """An operator whose pieces are charged before; a few, in a number that is a constant, with what is around it."""
    row, model = p.row, low.build.fuel_model
    assert row.bulk is not None
    if model.uncounted(row, low.length):
        low.cost += model.pieces(row, low.length())
        general(low, p, imms, offset)
        return
    pops, pushes, _ = row.arrow(low.context, imms)
    n = len(pops)
    st = low.stack
    low.settle(len(st) - n)
    low.finish(JUMP, offset).next = here = low.block(low.pc - 1)
    low.begin(here)
    entries = st[len(st) - n :]
    del st[len(st) - n :]
    here = low.finish(WEIGH, offset)
    here.args = bulk_effect(low, p, imms, offset, entries, low.nl + len(st) if pushes else None)
    here.test = _weight(low, p, imms, entries) if model.check is Check.FITS else _price(low, p, entries)
    here.next = low.block(low.pc)
    low.begin(here.next)
    low.results(len(pushes))


def _price(low: Lowering, p: Plan, entries: list[Any]) -> Callable[[Registers], int]:
    """Return the closure of what the pieces cost."""
    row, pieces, length = p.row, low.build.fuel_model.pieces, entries[p.row.bulk.length]  # type: ignore[union-attr]
    return lambda R: pieces(row, R[length])


def _weight(low: Lowering, p: Plan, imms: tuple[Any, ...], entries: list[Any]) -> Callable[[Registers], int]:
    """Return the closure of what the pieces cost once nothing can go wrong: it traps, or gives 0 for refused growth."""
    price, length = _price(low, p, entries), entries[p.row.bulk.length]  # type: ignore[union-attr]
    has_room = _room(low, p, imms)
    if has_room is not None:
        return lambda R: price(R) if has_room(R[length]) else 0
    if not p.row.traps:
        return price
    check = _bounds(low, p, imms, entries)

    def test(R: Registers) -> int:
        check(R)
        return price(R)

    return test


def _room(low: Lowering, p: Plan, imms: tuple[Any, ...]) -> Callable[[int], bool] | None:
    """Return what tells whether there is room to grow by so much; None for an operator that does not grow anything."""
    pushes = p.row.arrow(low.context, imms).pushes
    if not pushes or not isinstance(pushes[0], NumType):
        return None
    grown: MemInst | TableInst = (low.module.mems if Region.MEMORY in p.row.writes else low.module.tables)[imms[0]]
    return grown.has_room


def _bounds(low: Lowering, p: Plan, imms: tuple[Any, ...], entries: list[Any]) -> Callable[[Registers], object]:
    """Return the closure that traps where the operator will.

    It works on nothing, where its last piece would have ended: what is in bounds there is in bounds altogether.
    """
    run, length = run_of(low, p, imms), p.row.bulk.length  # type: ignore[union-attr]
    moved = [t in (I32, I64) for t in p.row.arrow(low.context, imms).pops]

    def check(R: Registers) -> None:
        n = R[entries[length]]
        run(*(0 if i == length else R[e] + n if moved[i] else R[e] for i, e in enumerate(entries)))

    return check


BULK_RULES: dict[str, Rule] = {"weighed": weighed}
