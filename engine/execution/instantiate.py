"""Instantiation (spec: exec-instantiation): imports matched, everything allocated, segments applied, start called.

Allocation is all or nothing: where a limit ends it, nothing of the instance is in the store.  What an active segment or
the start function wrote before a later one traps stays written: an imported memory or table shows it, and functions of
the failed instance stay alive in tables.

What this costs is for the fuel model to say (``startup.py``, ``meter.py``).  An :class:`Instantiation` may pause.
"""

from __future__ import annotations

from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from engine.errors import EngineBug, ExhaustionError, LinkError, Resource
from engine.execution.build import build_of
from engine.execution.calls import enter, invoke
from engine.execution.driver import Activation, call_host
from engine.execution.meter import Meter
from engine.execution.segments import apply_data, apply_elem, evaluate
from engine.features import EXECUTED
from engine.matching import matches_extern
from engine.module import FuncImport
from engine.runtime.globals import GlobalInst
from engine.runtime.instance import FuncInst, HostFunc
from engine.runtime.memory import MemInst
from engine.runtime.table import TableInst
from engine.runtime.tag import TagInst
from engine.types import GlobalType, MemType, TableType, TagType, exact
from engine.validation.context import Context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from engine.execution.driver import Frames
    from engine.execution.frame import Registers
    from engine.execution.segments import Lengths
    from engine.module import Import, Module
    from engine.runtime.instance import ExternVal, ModuleInst
    from engine.runtime.store import Store
    from engine.types import ExternType

__all__ = ["Instantiation", "instantiate", "resolve"]


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
    instance, meter = _prepare(store, module, imports, False)
    if meter is not None and not meter.run():
        raise meter.exhausted()
    if module.start is not None:
        invoke(store, instance.funcs[module.start], ())
    return instance


class Instantiation:
    """An instantiation that stops as a resumable call does, and is treated as one.

    All of it is state: the ``instance``, whose allocation is done; the ``meter`` of its startup function, None where
    there is none or it is done; then the ``activation`` of its start function.
    """

    __slots__ = ("activation", "instance", "meter", "store")

    def __init__(self, store: Store, module: Module, imports: Sequence[ExternVal]) -> None:
        """Raises what :func:`instantiate` raises before anything can stop."""
        self.store = store
        self.activation: Activation | None = None
        self.instance, self.meter = _prepare(store, module, imports, True)

    @classmethod
    def standing(cls, instance: ModuleInst, meter: Meter | None, activation: Activation | None) -> Instantiation:
        """Return one that has come so far."""
        self = cls.__new__(cls)
        self.store = instance.store
        self.instance, self.meter, self.activation = instance, meter, activation
        return self

    @property
    def frames(self) -> Frames:
        """The frames of the start function, where it has come to that."""
        return [] if self.activation is None else self.activation.frames

    @property
    def failed(self) -> tuple[HostFunc, Exception] | None:
        """The function of the host that stopped it, and what that raised."""
        return None if self.activation is None else self.activation.failed

    @property
    def required_fuel(self) -> int | None:
        """The fuel that it wants, where it ran out of it."""
        stands = self.meter if self.activation is None else self.activation
        return None if stands is None else stands.required_fuel

    def run(self) -> list[Any] | None:
        """Return the instance as the only result, or None for a pause; as ``Activation.run``."""
        if self.meter is not None:
            if not self.meter.run():
                return None
            self.meter = None
        if self.activation is None:
            start = self.instance.module.start
            if start is None:
                return [self.instance]
            func = self.instance.funcs[start]
            if isinstance(func, HostFunc):
                enter(self.store, partial(call_host, self.store, func, []))
                return [self.instance]
            self.activation = Activation(self.store, func, [], resumable=True)
        return None if enter(self.store, self.activation.run) is None else [self.instance]

    def answer(self, results: Registers) -> None:
        """Say what the function of the host that failed is to have returned."""
        assert self.activation is not None
        self.activation.answer(results)

    def ended(self) -> Activation | None:
        """Return the activation of the start function, where it has come to that, which is not to go on."""
        return None if self.activation is None else self.activation.ended()

    def exhausted(self) -> ExhaustionError:
        """Return the error that it is not to go on with fuel from where it paused."""
        stands = self.meter if self.activation is None else self.activation
        return ExhaustionError(Resource.FUEL) if stands is None else stands.exhausted()


def _prepare(
    store: Store, module: Module, imports: Sequence[ExternVal], resumable: bool
) -> tuple[ModuleInst, Meter | None]:
    """Return a new instance whose segments are applied, or the meter of the startup function that will do that."""
    context = module.context or Context.of_module(module, EXECUTED)
    _check_imports(module, context, imports)
    charges = build_of(store.config).fuel_model.startup
    startup = None if charges is None or store.fuel_left is None else charges(module, context)
    lengths: Lengths = {}
    instance = _allocate(store, module, context, imports, lengths)
    if startup is not None:
        found = [n for expr in startup.expressions() for n in lengths.get(id(expr), ())] if lengths else []
        return instance, Meter(instance, startup, found, resumable)
    for x in range(len(module.elems)):
        apply_elem(instance, x)
    for x in range(len(module.datas)):
        apply_data(instance, x)
    return instance, None


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


# -- allocation

# The index space of an external value, by its class and by its kind in an export.
_SPACES: dict[type | str, str] = {
    FuncInst: "funcs", HostFunc: "funcs", TableInst: "tables", MemInst: "mems", GlobalInst: "globals", TagInst: "tags",
    "func": "funcs", "table": "tables", "mem": "mems", "global": "globals", "tag": "tags",
}  # fmt: skip


_made_by_store = attrgetter("instances", "funcs", "tables", "mems", "globals", "tags", "elems", "datas")


def _allocate(
    store: Store, module: Module, context: Context, imports: Sequence[ExternVal], lengths: Lengths
) -> ModuleInst:
    """Return a new instance with everything that is in it, or raise and leave the store as it was.

    Nothing else can know of what was made by then: constant expressions change nothing.  Spec: alloc-module.
    """
    spaces = _made_by_store(store)
    before = [*map(len, spaces)]
    try:
        instance = store.alloc_module(module, context)
        _fill(store, instance, imports, lengths)
    except BaseException:
        for space, n in zip(spaces, before, strict=True):
            del space[n:]
        raise
    return instance


def _fill(store: Store, instance: ModuleInst, imports: Sequence[ExternVal], lengths: Lengths) -> None:
    """Fill the index spaces: imports, then what the module defines.

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
        instance.globals.append(store.alloc_global(globaltype, evaluate(instance, global_.init, lengths)))
    for table in module.tables:
        tabletype = context.tables[len(instance.tables)]
        init = None if table.init is None else evaluate(instance, table.init, lengths)
        instance.tables.append(store.alloc_table(tabletype, init))
    for elem, reftype in zip(module.elems, context.elems, strict=True):
        refs = tuple([evaluate(instance, expr, lengths) for expr in elem.init])
        instance.elems.append(store.alloc_elem(reftype, refs))
    for data in module.datas:
        instance.datas.append(store.alloc_data(data.init))
    for export in module.exports:
        instance.exports[export.name] = getattr(instance, _SPACES[export.kind])[export.index]
