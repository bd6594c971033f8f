"""Taking things out of a module: an entry of an index space goes, and every index above it moves down.

An entry that something still uses cannot go; :class:`Used` says so.  Spaces are named as exports name them (func,
table, mem, global, tag) plus type, elem and data.  Indices are found through the immediate kinds, so no instruction is
named here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from engine.module import Active, Code, Elem, Export, FuncImport, Import, In, Module
from engine.types import FuncType, GlobalType, MemType, RefType, TableType, TagType
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
        return len(module.types)
    return len(_imports(module, space)) + len(getattr(module, _DEFINED[space]))


def remove(module: Module, space: str, x: int) -> Module:
    """Return the module without entry ``x`` of a space, or raise Used."""

    def lower(y: int) -> int:
        if y == x:
            raise Used(f"{space} {x} is used")
        return y - 1 if y > x else y

    if space == "type":
        _check_plain(module)
    imported = _imports(module, space)
    if space == "type":
        module = replace(module, types=module.types[:x] + module.types[x + 1 :])
    elif x < len(imported):
        module = replace(module, imports=tuple(i for n, i in enumerate(module.imports) if n != imported[x]))
    else:
        name, at = _DEFINED[space], x - len(imported)
        entries = getattr(module, name)
        module = replace(module, **{name: entries[:at] + entries[at + 1 :]})
        if space == "func":
            module = replace(module, codes=module.codes[:at] + module.codes[at + 1 :])
    return _renumber(module, space, lower)


def _check_plain(module: Module) -> None:
    """Types that name other types, or that the types of values name, are left alone."""
    for rec in module.types:
        if len(rec.subtypes) != 1 or rec.subtypes[0].supers or not isinstance(rec.subtypes[0].comp, FuncType):
            raise Used("the types form groups")
        comp = rec.subtypes[0].comp
        if any(map(_names_type, (*comp.params, *comp.results))):
            raise Used("the types name each other")
    values: list[Any] = [t for c in module.codes for _, t in c.locals] + [g.type.valtype for g in module.globals]
    values += [t.type.reftype for t in module.tables] + [e.type for e in module.elems]
    values += [getattr(i.desc, "valtype", None) or getattr(i.desc, "reftype", None) for i in module.imports]
    if any(_names_type(t) for t in values):
        raise Used("the types of values name types")


def _names_type(t: Any) -> bool:
    return isinstance(t, RefType) and isinstance(t.heap, int)


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
        imports=tuple(_import(i, lower) if space == "type" else i for i in module.imports),
        funcs=tuple(map(lower, module.funcs)) if space == "type" else module.funcs,
        tags=tuple(_tag(t, lower) for t in module.tags) if space == "type" else module.tags,
        tables=tuple(replace(t, init=None if t.init is None else expr(t.init)) for t in module.tables),
        globals=tuple(replace(g, init=expr(g.init)) for g in module.globals),
        exports=tuple(Export(e.name, e.kind, lower(e.index)) if e.kind == space else e for e in module.exports),
        start=lower(module.start) if space == "func" and module.start is not None else module.start,
        elems=tuple(map(elem, module.elems)),
        datas=datas,
        data_count=None if module.data_count is None else len(datas),
        codes=tuple(Code(c.locals, expr(c.body)) for c in module.codes),
    )


def _import(i: Import, lower: Callable[[int], int]) -> Import:
    if isinstance(i.desc, FuncImport):
        return Import(i.module, i.name, FuncImport(lower(i.desc.typeidx), i.desc.exact))
    return Import(i.module, i.name, _tag(i.desc, lower)) if isinstance(i.desc, TagType) else i


def _tag(t: TagType, lower: Callable[[int], int]) -> TagType:
    return TagType(lower(t.type) if isinstance(t.type, int) else t.type)


def _lowered(value: Any, lower: Callable[[int], int]) -> Any:
    """Return a type of an immediate with its index lowered; one inside a reference type is left alone."""
    if _names_type(value) or (isinstance(value, tuple) and any(map(_names_type, value))):
        raise Used("an instruction names a reference to a type")
    return lower(value) if isinstance(value, int) else value


def _instruction(instruction: In, space: str, lower: Callable[[int], int]) -> In:
    if not instruction.row.imms:
        return instruction
    changed = map_imms(instruction, f"{space}idx", lower)
    if space == "type":
        for kind in ("blocktype", "heaptype", "reftype", "valtypes"):
            changed = map_imms(changed, kind, lambda v: _lowered(v, lower))
    return changed
