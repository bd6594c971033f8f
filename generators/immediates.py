"""One chooser per immediate kind.

Choosing happens twice.  ``domain`` lists, under a context, the immediates that matter to typing (every local, every memory,
every heap type), so that a row's own type rule can be asked once for each of them; ``fill`` then draws what typing does not
see (a constant's value, an offset).  A new immediate kind is one entry in each table.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

from engine.instructions.immediates import MemArg
from engine.types import EXTERN, EXTERNREF, F32, F64, FUNC, FUNCREF, I32, I64
from generators.values import choose_bits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from engine.instructions.model import Instr
    from engine.validation.context import Context
    from generators.source import Source

__all__ = ["domain", "fill", "fills"]


_DOMAINS: dict[str, Callable[[Context], Sequence[Any]]] = {
    "localidx": lambda c: range(len(c.locals)),
    "globalidx": lambda c: range(len(c.globals)),
    "funcidx": lambda c: range(len(c.funcs)),
    "typeidx": lambda c: range(len(c.types)),
    "tableidx": lambda c: range(len(c.tables)),
    "memidx": lambda c: range(len(c.mems)),
    "elemidx": lambda c: range(len(c.elems)),
    "dataidx": lambda c: range(c.datas),
    "memarg": lambda c: [MemArg(0, 0, x) for x in range(len(c.mems))],
    "heaptype": lambda _: (FUNC, EXTERN),
    "valtypes": lambda _: [(t,) for t in (I32, I64, F32, F64, FUNCREF, EXTERNREF)],
    "i32": lambda _: (0,),
    "i64": lambda _: (0,),
    "f32": lambda _: (0,),
    "f64": lambda _: (0,),
}


def domain(row: Instr, c: Context) -> Iterable[tuple[Any, ...]]:
    """Return every tuple of immediates of ``row`` that typing can tell apart; none if a kind is not chosen this way."""
    if any(imm.name not in _DOMAINS for imm in row.imms):
        return ()
    return product(*(_DOMAINS[imm.name](c) for imm in row.imms))


def _memarg(source: Source, row: Instr, value: MemArg) -> MemArg:
    """Offset mostly 0 or small (dense aliasing); alignment any that is legal.  A small base makes big offsets rare."""
    offset = (0, 0, 0, source.below(16), source.below(64))[source.below(5)] if source.chance(50) else 0
    return MemArg(source.below(_natural_alignment(row) + 1), offset, value.mem)


def _natural_alignment(row: Instr) -> int:
    """The greatest legal alignment exponent, asked of the row's own type rule elsewhere; here from its width."""
    return (row.access_bytes - 1).bit_length()


_FILLS: dict[str, Callable[[Source, Instr, Any], Any]] = {
    "memarg": _memarg,
    "i32": lambda source, _, __: choose_bits(source, I32),
    "i64": lambda source, _, __: choose_bits(source, I64),
    "f32": lambda source, _, __: choose_bits(source, F32),
    "f64": lambda source, _, __: choose_bits(source, F64),
}


def fills(row: Instr) -> bool:
    """Tell whether ``fill`` has anything to draw for ``row``."""
    return any(imm.name in _FILLS for imm in row.imms)


def fill(source: Source, row: Instr, imms: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the immediates with every part drawn that typing does not see."""
    return tuple(
        _FILLS[imm.name](source, row, value) if imm.name in _FILLS else value
        for imm, value in zip(row.imms, imms, strict=True)
    )
