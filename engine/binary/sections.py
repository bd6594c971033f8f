"""The sections of a module, in the order in which they must stand (spec: binary-modules).

``SECTIONS`` is the whole story: each section has its id, and how it is read from a reader and written from a module.
Custom sections may stand anywhere and are kept as bytes with their place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from engine.errors import MalformedError
from engine.features import BULK_MEMORY, EXCEPTIONS, MVP
from engine.instructions.leb import u
from engine.module import Custom, Export, Global, Import, Table

from .code import names_data, read_code, read_expr, write_code, write_expr
from .segments import read_data, read_elem, write_data, write_elem
from .types import (
    read_desc,
    read_globaltype,
    read_items,
    read_memtype,
    read_rectype,
    read_tabletype,
    read_tagtype,
    write_desc,
    write_globaltype,
    write_list,
    write_memtype,
    write_rectype,
    write_tabletype,
    write_tagtype,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.features import Feature
    from engine.module import Module

    from .code import Plan
    from .forms import Form
    from .reader import Reader

__all__ = ["CUSTOM", "SECTIONS", "Section", "read_custom", "write_custom"]

CUSTOM = 0
KINDS = ("func", "table", "mem", "global", "tag")
TABLE_WITH_INIT = 0x40


class Section(NamedTuple):
    """``read(r, plan)`` gives the value of ``field``; ``write(module, form)`` the contents, or none."""

    id: int
    field: str
    read: Callable[[Reader, Plan], Any]
    write: Callable[[Module, Form], bytes]
    feature: Feature = MVP


def _read_import(r: Reader) -> Import:
    """Spec: binary-import."""
    module = r.name()
    name = r.name()
    return Import(module, name, read_desc(r))


def _write_name(name: str) -> bytes:
    data = name.encode("utf-8")
    return u(len(data)) + data


def _write_import(i: Import) -> bytes:
    return _write_name(i.module) + _write_name(i.name) + write_desc(i)


def _read_table(r: Reader, p: Plan) -> Table:
    """Spec: binary-table."""
    if r.byte() != TABLE_WITH_INIT:
        r.pos -= 1
        return Table(read_tabletype(r))
    if r.byte():
        raise MalformedError("zero byte expected", r.pos - 1)
    t = read_tabletype(r)
    return Table(t, read_expr(r, p))


def _write_table(table: Table) -> bytes:
    t = write_tabletype(table.type)
    return t if table.init is None else bytes((TABLE_WITH_INIT, 0)) + t + write_expr(table.init)


def _read_global(r: Reader, p: Plan) -> Global:
    """Spec: binary-global."""
    t = read_globaltype(r)
    return Global(t, read_expr(r, p))


def _read_export(r: Reader) -> Export:
    """Spec: binary-export."""
    name = r.name()
    kind = r.byte()
    if kind >= len(KINDS):
        raise MalformedError("malformed export kind", r.pos - 1)
    return Export(name, KINDS[kind], r.u32())


def _write_export(e: Export) -> bytes:
    return _write_name(e.name) + bytes((KINDS.index(e.kind),)) + u(e.index)


def _write_data_count(m: Module) -> bytes:
    """Write the count where it was given or where a body needs it."""
    if m.data_count is not None:
        return u(m.data_count)
    needed = m.datas and any(names_data(ins.row) for code in m.codes for ins in code.body)
    return u(len(m.datas)) if needed else b""


def _some(parts: list[bytes]) -> bytes:
    return write_list(parts) if parts else b""


SECTIONS: tuple[Section, ...] = (
    Section(
        1, "types", lambda r, p: read_items(r, read_rectype), lambda m, f: _some([write_rectype(t, f) for t in m.types])
    ),
    Section(
        2,
        "imports",
        lambda r, p: read_items(r, _read_import),
        lambda m, f: _some([_write_import(i) for i in m.imports]),
    ),
    Section(3, "funcs", lambda r, p: read_items(r, type(r).u32), lambda m, f: _some([u(x) for x in m.funcs])),
    Section(
        4,
        "tables",
        lambda r, p: read_items(r, lambda r: _read_table(r, p)),
        lambda m, f: _some([_write_table(t) for t in m.tables]),
    ),
    Section(
        5, "mems", lambda r, p: read_items(r, read_memtype), lambda m, f: _some([write_memtype(t) for t in m.mems])
    ),
    Section(
        13,
        "tags",
        lambda r, p: read_items(r, read_tagtype),
        lambda m, f: _some([write_tagtype(t) for t in m.tags]),
        EXCEPTIONS,
    ),
    Section(
        6,
        "globals",
        lambda r, p: read_items(r, lambda r: _read_global(r, p)),
        lambda m, f: _some([write_globaltype(g.type) + write_expr(g.init) for g in m.globals]),
    ),
    Section(
        7,
        "exports",
        lambda r, p: read_items(r, _read_export),
        lambda m, f: _some([_write_export(e) for e in m.exports]),
    ),
    Section(8, "start", lambda r, p: r.u32(), lambda m, f: b"" if m.start is None else u(m.start)),
    Section(
        9,
        "elems",
        lambda r, p: read_items(r, lambda r: read_elem(r, p)),
        lambda m, f: _some([write_elem(e, f) for e in m.elems]),
    ),
    Section(12, "data_count", lambda r, p: r.u32(), lambda m, f: _write_data_count(m), BULK_MEMORY),
    Section(
        10,
        "codes",
        lambda r, p: read_items(r, lambda r: read_code(r, p)),
        lambda m, f: _some([write_code(c) for c in m.codes]),
    ),
    Section(
        11,
        "datas",
        lambda r, p: read_items(r, lambda r: read_data(r, p)),
        lambda m, f: _some([write_data(d, f) for d in m.datas]),
    ),
)


def read_custom(r: Reader, after: int) -> Custom:
    """Spec: binary-customsec."""
    name = r.name()
    return Custom(name, r.bytes(r.end - r.pos), after)


def write_custom(custom: Custom) -> bytes:
    """Return the contents of the section."""
    return _write_name(custom.name) + custom.data
