"""Instantiation (spec: exec-instantiation): imports matched, everything allocated, segments applied, start called.

What an active segment or the start function wrote before a later one traps stays written: an imported memory or table
shows it, and functions of the failed instance stay alive in tables.  Constant expressions are evaluated by the rows'
own ``run``, so there is no second meaning of any instruction here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.errors import EngineBug, LinkError
from engine.execution.calls import invoke
from engine.features import EXECUTED
from engine.instructions.model import Effect
from engine.matching import matches_extern
from engine.module import Active, Declare, FuncImport
from engine.runtime.globals import GlobalInst
from engine.runtime.instance import FuncInst, HostFunc
from engine.runtime.memory import MemInst
from engine.runtime.table import TableInst
from engine.runtime.tag import TagInst
from engine.types import GlobalType, MemType, TableType, TagType, exact
from engine.validation.context import Context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from engine.module import Expr, Import, Module
    from engine.runtime.instance import ExternVal, ModuleInst
    from engine.runtime.store import Store
    from engine.types import ExternType

__all__ = ["instantiate", "resolve"]


def resolve(module: Module, lookup: Callable[[str, str], ExternVal | None]) -> list[ExternVal]:
    """Return what ``lookup(module name, name)`` finds for each import, or raise LinkError for the first missing one."""
    found = []
    for imported in module.imports:
        externval = lookup(imported.module, imported.name)
        if externval is None:
            raise _unknown(imported)
        found.append(externval)
    return found


def instantiate(store: Store, module: Module, imports: Sequence[ExternVal] = ()) -> ModuleInst:
    """Return a new instance of a valid module with one external value per import, its start function called.

    Raises LinkError for imports that do not match, ExhaustionError where a limit of the store is below what the module
    asks for, and whatever the segments and the start function raise.
    """
    context = module.context or Context.of_module(module, EXECUTED)
    _check_imports(module, context, imports)
    instance = store.alloc_module(module, context)
    _allocate(store, instance, imports)
    _apply_segments(instance)
    if module.start is not None:
        invoke(store, instance.funcs[module.start], ())
    return instance


# -- imports


def _unknown(imported: Import) -> LinkError:
    return LinkError(f"unknown import: {imported.module!r} {imported.name!r}")


def _import_types(module: Module, context: Context) -> list[ExternType]:
    """Return the closed type of each import, in order."""
    spaces: dict[type, Iterator[Any]] = {
        FuncImport: iter(context.funcs), TableType: iter(context.tables), MemType: iter(context.mems),
        GlobalType: iter(context.globals), TagType: iter(context.tags),
    }  # fmt: skip
    types = [next(spaces[type(imported.desc)]) for imported in module.imports]
    return [
        exact(t) if isinstance(imported.desc, FuncImport) and imported.desc.exact else t
        for imported, t in zip(module.imports, types, strict=True)
    ]


def _check_imports(module: Module, context: Context, imports: Sequence[ExternVal]) -> None:
    """Raise LinkError unless there is one external value of a matching type for each import."""
    for at, (imported, expected) in enumerate(zip(module.imports, _import_types(module, context), strict=True)):
        if at >= len(imports):
            raise _unknown(imported)
        found = imports[at].type
        if not matches_extern(found, expected):
            raise LinkError(
                f"incompatible import type: {imported.module!r} {imported.name!r} is {found}, expected {expected}"
            )
    if len(imports) > len(module.imports):
        raise EngineBug(f"{len(imports)} external values for {len(module.imports)} imports")


# -- constant expressions


class _ConstFrame:
    """The frame of a constant expression: the part of it that rows ask."""

    __slots__ = ("locals", "module")

    def __init__(self, module: ModuleInst) -> None:
        self.module = module
        self.locals: tuple[Any, ...] = ()


def _evaluate(instance: ModuleInst, expr: Expr) -> Any:
    """Return the value of a constant expression (spec: exec-expr)."""
    stack: list[Any] = []
    frame = _ConstFrame(instance)
    for row, imms, _ in expr:
        if row.effect is Effect.CONTROL:
            break  # ``end``: nothing else of that effect is constant
        assert row.run is not None
        n = len(row.arrow(instance.context, imms).pops)
        operands = stack[len(stack) - n :]
        del stack[len(stack) - n :]
        stack.append(row.run(*imms, *operands) if row.effect is Effect.PURE else row.run(frame, *imms, *operands))
    return stack.pop()


# -- allocation

# The index space of an external value, by its class and by its kind in an export.
_SPACES: dict[type | str, str] = {
    FuncInst: "funcs", HostFunc: "funcs", TableInst: "tables", MemInst: "mems", GlobalInst: "globals", TagInst: "tags",
    "func": "funcs", "table": "tables", "mem": "mems", "global": "globals", "tag": "tags",
}  # fmt: skip


def _allocate(store: Store, instance: ModuleInst, imports: Sequence[ExternVal]) -> None:
    """Fill the index spaces: imports, then what the module defines.  Spec: alloc-module.

    Functions come first, for ``ref.func`` in the expressions of the others; globals in order, because each may read
    those before it.
    """
    module, context = instance.module, instance.context
    instance.types = context.types
    for externval in imports:
        getattr(instance, _SPACES[type(externval)]).append(externval)
    for typeidx, code in zip(module.funcs, module.codes, strict=True):
        funcidx = len(instance.funcs)
        instance.funcs.append(store.alloc_func(context.type(typeidx), instance, funcidx, code))
    for memtype in module.mems:
        instance.mems.append(store.alloc_mem(memtype))
    for tagtype in context.tags[len(instance.tags) :]:
        instance.tags.append(store.alloc_tag(tagtype))
    for global_ in module.globals:
        globaltype = context.globals[len(instance.globals)]
        instance.globals.append(store.alloc_global(globaltype, _evaluate(instance, global_.init)))
    for table in module.tables:
        tabletype = context.tables[len(instance.tables)]
        init = None if table.init is None else _evaluate(instance, table.init)
        instance.tables.append(store.alloc_table(tabletype, init))
    for elem, reftype in zip(module.elems, context.elems, strict=True):
        refs = tuple([_evaluate(instance, expr) for expr in elem.init])
        instance.elems.append(store.alloc_elem(reftype, refs))
    for data in module.datas:
        instance.datas.append(store.alloc_data(data.init))
    for export in module.exports:
        instance.exports[export.name] = getattr(instance, _SPACES[export.kind])[export.index]


# -- segments


def _apply_segments(instance: ModuleInst) -> None:
    """Copy active segments to their places, elements before data, and drop them.  Spec: aux-runelem, aux-rundata."""
    for elem, eleminst in zip(instance.module.elems, instance.elems, strict=True):
        if isinstance(elem.mode, Active):
            d = _evaluate(instance, elem.mode.offset)
            instance.tables[elem.mode.index].init(eleminst.elems, d, 0, len(eleminst.elems))
        if isinstance(elem.mode, (Active, Declare)):
            eleminst.drop()
    for data, datainst in zip(instance.module.datas, instance.datas, strict=True):
        if isinstance(data.mode, Active):
            d = _evaluate(instance, data.mode.offset)
            instance.mems[data.mode.index].init(datainst.data, d, 0, len(datainst.data))
            datainst.drop()
