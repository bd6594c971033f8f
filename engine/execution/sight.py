"""What a translator sees in one instruction, whatever stands around it; see ``constness.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.instructions import numeric
from engine.instructions.model import Effect, Region
from engine.instructions.reference import ref_is_null, ref_test, ref_test_null
from engine.types import I32, Arrow

if TYPE_CHECKING:
    from engine.instructions.model import Instr
    from engine.module import Module
    from engine.validation.context import Context

__all__ = [
    "ACCESS", "BULK", "CONTROL", "GET", "GLOBAL", "IS_NULL", "LITERAL", "OPERATOR", "SET", "SIZE", "TEE", "TEST",
    "UNCHECKED", "gives_unknown", "kind_of", "literal_global", "never_in_bounds",
]  # fmt: skip

UNCHECKED = 128  # a constant length up to this is charged without a check, and so makes no blocks

_CALLED = frozenset({"atomic wait", "atomic notify"})

LITERAL, GET, SET, TEE, GLOBAL, SIZE, BULK, ACCESS, IS_NULL, TEST, OPERATOR, CONTROL = range(12)
_kinds: dict[Instr, int] = {}


def kind_of(row: Instr) -> int:
    """Return what a row is for the translation; an OPERATOR takes values, and gives what is no constant."""
    kind = _kinds.get(row)
    if kind is None:
        kind = _kinds[row] = _kind(row)
    return kind


def _kind(row: Instr) -> int:
    if row.control is not None:
        return CONTROL
    if row.bulk is not None:
        return BULK
    if row.access:
        return ACCESS
    if Region.LOCAL in row.reads:
        return GET
    if Region.LOCAL in row.writes:
        return SET if row.arrow(_AnyLocal, (0,)).pushes == () else TEE
    names = [imm.name for imm in row.imms]
    if names == ["globalidx"] and Region.GLOBAL in row.reads:
        return GLOBAL
    if names == ["tableidx"] and row.effect is Effect.STATE and row.reads and not row.traps:
        return SIZE
    if row.run is numeric.integer:
        return LITERAL
    if row.run is ref_is_null:
        return IS_NULL
    if row.make in (ref_test, ref_test_null):
        return TEST
    return OPERATOR


class _AnyLocal:
    """As much of a context as the arrows of rows over locals ask."""

    @staticmethod
    def local(x: int) -> Any:
        return I32


def gives_unknown(row: Instr) -> bool:
    """Tell whether the value on top of the stack after a row is certainly no constant."""
    kind = kind_of(row)
    if kind == ACCESS:
        return Region.MEMORY not in row.writes
    return kind == OPERATOR and isinstance(row.type, Arrow) and row.type.pushes != ()


def never_in_bounds(c: Context, row: Instr, imms: tuple[Any, ...]) -> bool:
    """Tell whether an access to memory is out of bounds whatever its address, and a translator sees it.

    An offset beyond 32 bits is added while running, and to wait and to notify are calls: then nothing is known.
    """
    if row.family in _CALLED:
        return False
    m = next(imm for imm in imms if hasattr(imm, "offset"))
    t = c.mem(m.mem)
    max_pages = t.max_pages if t.limits.max is None else t.limits.max
    beyond: bool = m.offset < 1 << 32 and m.offset + row.access > max_pages << t.page_bits
    return beyond


def literal_global(module: Module, c: Context, x: int) -> int | None:
    """Return the integer that a global is for good, if it is one of the module's own that was given a literal."""
    own = x - c.imported["global"]
    if own < 0 or c.global_(x).mutable:
        return None
    first, *rest = module.globals[own].init
    return first.imms[0] if len(rest) == 1 and kind_of(first.row) == LITERAL else None
