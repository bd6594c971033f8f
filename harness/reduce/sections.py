"""Taking things out of a module: an entry of an index space goes, and every index above it moves down.

An entry that something still uses cannot go; :class:`Used` says so.  Spaces are named as exports name them (func,
table, mem, global, tag) plus type, elem and data.  Indices are found through the immediate kinds, so no instruction is
named here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from engine.matching import map_subtype, map_valtype
from engine.module import Active, Code, Elem, Export, FuncImport, In, Module
from engine.types import ExactType, GlobalType, MemType, RecType, TableType, TagType, exact
from harness.reduce.bodies import map_imms

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.module import Expr

__all__ = ["SPACES", "Used", "remove", "size_of_space"]

SPACES = ("elem", "data", "func", "global", "table", "mem", "tag", "type")  # users before what they use
_DESCRIPTIONS: dict[str, type[Any]] = {
    "func": FuncImport, "table": TableType, "mem": MemType, "global": GlobalType, "tag": TagType,
}  # fmt: skip
_DEFINED = {
    "func": "funcs", "table": "tables", "mem": "mems", "global": "globals", "elem": "elems", "data": "datas",
    "tag": "tags",
}  # fmt: skip


class Used(ValueError):
    """The entry is still referred to."""


def _imports(module: Module, space: str) -> list[int]:
    """Return the positions among the imports of those in a space."""
    kind = _DESCRIPTIONS.get(space)
    return [] if kind is None else [n for n, i in enumerate(module.imports) if isinstance(i.desc, kind)]


def size_of_space(module: Module, space: str) -> int:
    """Return how many entries a space has, imports included."""
    if space == "type":
        return sum(len(rec.subtypes) for rec in module.types)
    return len(_imports(module, space)) + len(getattr(module, _DEFINED[space]))


def remove(module: Module, space: str, x: int) -> Module:
    """Return the module without entry ``x`` of a space, or raise Used."""

    def lower(y: int) -> int:
        if y == x:
            raise Used(f"{space} {x} is used")
        return y - 1 if y > x else y

    imported = _imports(module, space)
    if space == "type":
        module = _retyped(replace(module, types=_without_type(module.types, x)), lower)
    elif x < len(imported):
        module = replace(module, imports=tuple(i for n, i in enumerate(module.imports) if n != imported[x]))
    else:
        name, at = _DEFINED[space], x - len(imported)
        entries = getattr(module, name)
        module = replace(module, **{name: entries[:at] + entries[at + 1 :]})
        if space == "func":
            module = replace(module, codes=module.codes[:at] + module.codes[at + 1 :])
    return _renumber(module, space, lower)


def _without_type(types: tuple[RecType, ...], x: int) -> tuple[RecType, ...]:
    """Return the groups without the ``x``-th type, and without the group that it was alone in."""
    out = []
    for rec in types:
        if 0 <= x < len(rec.subtypes):
            rec = RecType(rec.subtypes[:x] + rec.subtypes[x + 1 :])  # noqa: PLW2901
            x = -1
        elif x >= 0:
            x -= len(rec.subtypes)
        if rec.subtypes:
            out.append(rec)
    return tuple(out)


def _retyped(module: Module, lower: Callable[[int], int]) -> Module:
    """Return the module with ``lower`` applied to every type index outside of expressions."""

    def heap(h: Any) -> Any:
        return lower(h) if isinstance(h, int) else h

    def value(t: Any) -> Any:
        return map_valtype(t, heap)

    def described(desc: Any) -> Any:
        if isinstance(desc, FuncImport):
            return desc._replace(typeidx=lower(desc.typeidx))
        if isinstance(desc, TagType):
            return TagType(heap(desc.type))
        if isinstance(desc, GlobalType):
            return replace(desc, valtype=value(desc.valtype))
        return replace(desc, reftype=value(desc.reftype)) if isinstance(desc, TableType) else desc

    return replace(
        module,
        types=tuple(RecType(tuple(map_subtype(sub, heap) for sub in rec.subtypes)) for rec in module.types),
        imports=tuple(i._replace(desc=described(i.desc)) for i in module.imports),
        funcs=tuple(map(lower, module.funcs)),
        tags=tuple(map(described, module.tags)),
        tables=tuple(replace(t, type=described(t.type)) for t in module.tables),
        globals=tuple(replace(g, type=described(g.type)) for g in module.globals),
        elems=tuple(replace(e, type=value(e.type)) for e in module.elems),
        codes=tuple(Code(tuple((n, value(t)) for n, t in c.locals), c.body) for c in module.codes),
    )


def _renumber(module: Module, space: str, lower: Callable[[int], int]) -> Module:
    """Return the module with ``lower`` applied to every index into a space."""

    def expr(e: Expr) -> Expr:
        return tuple(_instruction(i, space, lower) for i in e)

    def mode(m: Any, target: str) -> Any:
        if not isinstance(m, Active):
            return m
        return Active(lower(m.index) if space == target else m.index, expr(m.offset))

    def elem(e: Elem) -> Elem:
        return Elem(e.type, tuple(map(expr, e.init)), mode(e.mode, "table"))

    datas = tuple(replace(d, mode=mode(d.mode, "mem")) for d in module.datas)
    return replace(
        module,
        tables=tuple(replace(t, init=None if t.init is None else expr(t.init)) for t in module.tables),
        globals=tuple(replace(g, init=expr(g.init)) for g in module.globals),
        exports=tuple(Export(e.name, e.kind, lower(e.index)) if e.kind == space else e for e in module.exports),
        start=lower(module.start) if space == "func" and module.start is not None else module.start,
        elems=tuple(map(elem, module.elems)),
        datas=datas,
        data_count=None if module.data_count is None else len(datas),
        codes=tuple(Code(c.locals, expr(c.body)) for c in module.codes),
    )


def _lowered(value: Any, lower: Callable[[int], int]) -> Any:
    """Return a type, a type index or several types of an immediate with every index lowered."""
    if isinstance(value, int):
        return lower(value)
    if isinstance(value, tuple):
        return tuple([_lowered(part, lower) for part in value])
    if isinstance(value, ExactType):
        return exact(_lowered(value.heap, lower))
    return map_valtype(value, lambda h: lower(h) if isinstance(h, int) else h)


def _instruction(instruction: In, space: str, lower: Callable[[int], int]) -> In:
    if not instruction.row.imms:
        return instruction
    changed = map_imms(instruction, f"{space}idx", lower)
    if space == "type":
        for kind in ("blocktype", "heaptype", "reftype", "valtypes"):
            changed = map_imms(changed, kind, lambda v: _lowered(v, lower))
    return changed
