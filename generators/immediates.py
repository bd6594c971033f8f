"""One chooser per immediate kind.

Choosing happens twice. ``domain`` lists, under a context, the immediates that matter to typing (every local, every
memory, every heap type), so that a row's own type rule can be asked once for each of them; ``fill`` then draws what
typing does not see (a constant's value, an offset). A new immediate kind is one entry in each table.
"""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import TYPE_CHECKING, Any

from engine.errors import InvalidError
from engine.instructions.immediates import MemArg
from engine.types import (
    ANY,
    ARRAY,
    EQ,
    EXTERN,
    EXTERNREF,
    F32,
    F64,
    FUNC,
    FUNCREF,
    I31,
    I32,
    I64,
    NONE,
    STRUCT,
    V128,
    Limits,
    MemType,
)
from engine.validation.context import Context
from generators.values import choose_bits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from engine.instructions.model import Instr
    from generators.palette import Option
    from generators.source import Source

__all__ = ["alignments", "domain", "fill", "fills", "is_context_free"]


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
    "heaptype": lambda _: (FUNC, EXTERN, ANY, EQ, I31, STRUCT, ARRAY, NONE),
    "fieldidx": lambda _: range(6),
    "u32": lambda _: range(4),
    "valtypes": lambda _: [(t,) for t in (I32, I64, F32, F64, V128, FUNCREF, EXTERNREF)],
    "i32": lambda _: (0,),
    "i64": lambda _: (0,),
    "f32": lambda _: (0,),
    "f64": lambda _: (0,),
    "v128": lambda _: (0,),
    "laneidx": lambda _: (0,),
    "lanes": lambda _: (bytes(16),),
    "zero": lambda _: (0,),
}


_CONTEXT_FREE = frozenset({"heaptype", "valtypes", "i32", "i64", "f32", "f64", "v128", "laneidx", "lanes", "zero"})


@cache
def is_context_free(row: Instr) -> bool:
    """Tell whether the immediates of ``row`` name nothing of a module, so that its types are the same in all."""
    return all(imm.name in _CONTEXT_FREE for imm in row.imms)


@cache
def _domains(row: Instr) -> tuple[Callable[[Context], Sequence[Any]], ...] | None:
    """Return the domain of each immediate of ``row``, None if a kind is not chosen this way."""
    if any(imm.name not in _DOMAINS for imm in row.imms):
        return None
    return tuple(_DOMAINS[imm.name] for imm in row.imms)


def domain(row: Instr, c: Context) -> Iterable[tuple[Any, ...]]:
    """Return every tuple of immediates of ``row`` that typing can tell apart; none if a kind is not chosen this way."""
    domains = _domains(row)
    if domains is None:
        return ()
    found = product(*[values(c) for values in domains])
    legal = alignments(row)
    if not legal:
        return found
    align = legal[-1]
    return [tuple([i._replace(align=align) if isinstance(i, MemArg) else i for i in imms]) for imms in found]


@cache
def alignments(row: Instr) -> tuple[int, ...]:
    """Return the exponents of alignment that the typing rule of a memory access admits; none of another row."""
    c = Context()
    c.mems = [MemType(Limits(0))]
    found = []
    for align in range(5) if any(imm.name == "memarg" for imm in row.imms) else ():
        try:
            row.arrow(c, tuple(MemArg(align, 0) if imm.name == "memarg" else 0 for imm in row.imms))
        except InvalidError:
            continue
        found.append(align)
    return tuple(found)


def _memarg(source: Source, option: Option, value: MemArg) -> MemArg:
    """Offset mostly 0 or small (dense aliasing), mostly a multiple where it must be; alignment any that is legal."""
    offset = source.below((1, 16, 64)[source.below(3)]) if source.chance(50) else 0
    legal = alignments(option.row)
    if option.unit > 1 and not source.chance(3):
        offset -= offset % option.unit
    if option.pops[0] is I64 and source.chance(2):
        offset = source.choose((1 << 32, (1 << 64) - 8, 1 << 63, (1 << 64) - 1))
    return MemArg(legal[source.below(len(legal))], offset, value.mem)


def _laneidx(source: Source, option: Option, _: int) -> int:
    return source.below(option.row.lanes[0].lanes if option.row.lanes else 16 // option.width)


def _lanes(source: Source, _: Option, __: bytes) -> bytes:
    return bytes([b % 32 for b in source.bits(128).to_bytes(16, "little")])


_FILLS: dict[str, Callable[[Source, Option, Any], Any]] = {
    "memarg": _memarg,
    "i32": lambda source, _, __: choose_bits(source, I32),
    "i64": lambda source, _, __: choose_bits(source, I64),
    "f32": lambda source, _, __: choose_bits(source, F32),
    "f64": lambda source, _, __: choose_bits(source, F64),
    "v128": lambda source, _, __: choose_bits(source, V128),
    "laneidx": _laneidx,
    "lanes": _lanes,
}


@cache
def fills(row: Instr) -> bool:
    """Tell whether ``fill`` has anything to draw for ``row``."""
    return any(imm.name in _FILLS for imm in row.imms)


def fill(source: Source, option: Option) -> tuple[Any, ...]:
    """Return the immediates of ``option`` with every part drawn that typing does not see."""
    drawn = zip(_fillers(option.row), option.imms, strict=True)
    return tuple([filler(source, option, value) if filler else value for filler, value in drawn])


@cache
def _fillers(row: Instr) -> tuple[Callable[[Source, Option, Any], Any] | None, ...]:
    return tuple(_FILLS.get(imm.name) for imm in row.imms)
