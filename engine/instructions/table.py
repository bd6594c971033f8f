"""Table instructions (spec: syntax-instr-table).

Immediates stand in the order of the binary format: ``table.init`` is segment then table, ``table.copy`` destination
then source.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.errors import InvalidError, TrapKind
from engine.features import BULK_MEMORY, REFERENCE_TYPES, Feature
from engine.instructions.immediates import ELEMIDX, LEADING_TABLEIDX, TABLEIDX
from engine.instructions.model import Bulk, Effect, Instr, Region
from engine.matching import matches
from engine.types import I32, Arrow

if TYPE_CHECKING:
    from engine.instructions.model import Opcode
    from engine.types import AddrType, RefType, TableType

__all__ = ["ROWS"]

_OUT_OF_BOUNDS = frozenset({TrapKind.TABLE_OUT_OF_BOUNDS})
_TABLE = frozenset({Region.TABLE})
_SEGMENT = frozenset({Region.SEGMENT})


def table_get(frame: Any, x: int, i: int) -> Any:
    """Spec: exec-table.get."""
    return frame.module.tables[x].get(i)


def table_set(frame: Any, x: int, i: int, r: Any) -> None:
    """Spec: exec-table.set."""
    frame.module.tables[x].set(i, r)


def table_size(frame: Any, x: int) -> Any:
    """Spec: exec-table.size."""
    return frame.module.tables[x].size


def table_grow(frame: Any, x: int, r: Any, n: int) -> int:
    """Spec: exec-table.grow."""
    table = frame.module.tables[x]
    bits: int = table.type.addrtype.bits
    old: int = table.grow(n, r)
    return old & ((1 << bits) - 1)


def table_fill(frame: Any, x: int, i: int, r: Any, n: int) -> None:
    """Spec: exec-table.fill."""
    frame.module.tables[x].fill(i, r, n)


def table_copy(frame: Any, x: int, y: int, d: int, s: int, n: int) -> None:
    """Spec: exec-table.copy."""
    tables = frame.module.tables
    tables[x].copy(tables[y], d, s, n)


def table_init(frame: Any, y: int, x: int, d: int, s: int, n: int) -> None:
    """Spec: exec-table.init."""
    frame.module.tables[x].init(frame.module.elems[y].elems, d, s, n)


def elem_drop(frame: Any, x: int) -> None:
    """Spec: exec-elem.drop."""
    frame.module.elems[x].drop()


def _get(c: Any, x: int) -> Arrow:
    t: TableType = c.table(x)
    return Arrow((t.addrtype,), (t.reftype,))


def _set(c: Any, x: int) -> Arrow:
    t: TableType = c.table(x)
    return Arrow((t.addrtype, t.reftype), ())


def _size(c: Any, x: int) -> Arrow:
    return Arrow((), (c.table(x).addrtype,))


def _grow(c: Any, x: int) -> Arrow:
    t: TableType = c.table(x)
    return Arrow((t.reftype, t.addrtype), (t.addrtype,))


def _fill(c: Any, x: int) -> Arrow:
    t: TableType = c.table(x)
    return Arrow((t.addrtype, t.reftype, t.addrtype), ())


def _check_elements(found: RefType, expected: RefType) -> None:
    if not matches(found, expected):
        raise InvalidError(f"type mismatch: elements of {found} into a table of {expected}")


def _copy(c: Any, x: int, y: int) -> Arrow:
    """Spec: valid-table.copy; the length has the narrower address type."""
    to: TableType = c.table(x)
    of: TableType = c.table(y)
    _check_elements(of.reftype, to.reftype)
    n: AddrType = to.addrtype if to.addrtype.bits < of.addrtype.bits else of.addrtype
    return Arrow((to.addrtype, of.addrtype, n), ())


def _init(c: Any, y: int, x: int) -> Arrow:
    """Spec: valid-table.init."""
    t: TableType = c.table(x)
    _check_elements(c.elem(y), t.reftype)
    return Arrow((t.addrtype, I32, I32), ())


def _drop(c: Any, x: int) -> Arrow:
    c.elem(x)
    return Arrow((), ())


def _row(name: str, opcode: Opcode, feature: Feature, **rest: Any) -> Instr:
    fields: dict[str, Any] = {"imms": (TABLEIDX,), "weight": 20, "spec": f"exec-{name}"} | rest
    return Instr(name=name, opcode=opcode, feature=feature, effect=Effect.STATE, family="table", **fields)


# fmt: off
ROWS = [
    _row("table.get",  0x25,       REFERENCE_TYPES, type=_get,  run=table_get,  reads=_TABLE, traps=_OUT_OF_BOUNDS),
    _row("table.set",  0x26,       REFERENCE_TYPES, type=_set,  run=table_set,  writes=_TABLE, traps=_OUT_OF_BOUNDS),
    _row("table.init", (0xFC, 12), BULK_MEMORY,     type=_init, run=table_init, reads=_SEGMENT, writes=_TABLE,
         traps=_OUT_OF_BOUNDS, imms=(ELEMIDX, LEADING_TABLEIDX), bulk=Bulk(2, "element")),
    _row("elem.drop",  (0xFC, 13), BULK_MEMORY,     type=_drop, run=elem_drop,  writes=_SEGMENT, imms=(ELEMIDX,)),
    _row("table.copy", (0xFC, 14), BULK_MEMORY,     type=_copy, run=table_copy, reads=_TABLE, writes=_TABLE,
         traps=_OUT_OF_BOUNDS, imms=(TABLEIDX, TABLEIDX), bulk=Bulk(2, "element")),
    _row("table.grow", (0xFC, 15), REFERENCE_TYPES, type=_grow, run=table_grow, reads=_TABLE, writes=_TABLE,
         bulk=Bulk(1, "element")),
    _row("table.size", (0xFC, 16), REFERENCE_TYPES, type=_size, run=table_size, reads=_TABLE),
    _row("table.fill", (0xFC, 17), REFERENCE_TYPES, type=_fill, run=table_fill, writes=_TABLE, traps=_OUT_OF_BOUNDS,
         bulk=Bulk(2, "element")),
]
# fmt: on
