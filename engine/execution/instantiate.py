"""Instantiation (spec: exec-instantiation): imports matched, everything allocated, segments applied, start called.

What an active segment or the start function wrote before a later one traps stays written: an imported memory or table
shows it, and functions of the failed instance stay alive in tables.  Constant expressions are evaluated by the rows'
own ``run``, so there is no second meaning of any instruction here.

What this costs is for the fuel model to say (``startup.py``); where it may pause, it goes in steps.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.errors import EngineBug, LinkError
from engine.execution.build import build_of
from engine.execution.calls import enter, invoke
from engine.execution.driver import Activation, call_host
from engine.execution.startup import Meter
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
    from collections.abc import Callable, Generator, Iterator, Sequence

    from engine.errors import ExhaustionError
    from engine.execution.startup import Lengths
    from engine.module import Expr, Import, Module
    from engine.runtime.instance import ExternVal, ModuleInst
    from engine.runtime.store import Store
    from engine.types import ExternType

__all__ = ["Pause", "instantiate", "resolve", "steps"]


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
    going = _prepare(store, module, imports, False)
    try:
        raise next(going).error or EngineBug("what is not resumable pauses")
    except StopIteration as end:
        instance: ModuleInst = end.value
    if module.start is not None:
        invoke(store, instance.funcs[module.start], ())
    return instance


class Pause(NamedTuple):
    """Why an instantiation stands still, and where: in the ``activation`` of its start function, or before that.

    Without an ``error`` the store's interval of fuel is used up.  The error is that of exhausted fuel, with what is
    required (as an activation says it), or what a function of the host raised: then ``activation.failed`` is set, and
    the activation wants an answer.
    """

    activation: Activation | None = None
    error: Exception | None = None
    required_fuel: int | None = None


def steps(store: Store, module: Module, imports: Sequence[ExternVal] = ()) -> Generator[Pause, None, ModuleInst]:
    """Instantiate, with a pause wherever it stands still, and return the instance.

    Raises what :func:`instantiate` raises, unless that may be gone on from: then it pauses.  At a pause the store's
    fuel is what is left.  To ask for the next step is to go on, to close the generator to give up; what was done stays.
    """
    instance = yield from _prepare(store, module, imports, True)
    if module.start is not None:
        yield from _start(store, instance.funcs[module.start])
    return instance


def _start(store: Store, func: FuncInst | HostFunc) -> Generator[Pause, None, None]:
    """Call the start function."""
    if isinstance(func, HostFunc):
        enter(store, partial(call_host, store, func, []))
        return
    activation = Activation(store, func, [], resumable=True)
    while True:
        try:
            if enter(store, activation.run) is not None:
                return
            required = activation.required_fuel
            pause = Pause(activation, None if required is None else activation.exhausted(), required)
        except Exception as error:
            if activation.failed is None or activation.failed[1] is not error:
                raise
            pause = Pause(activation, error)
        yield pause


def _prepare(
    store: Store, module: Module, imports: Sequence[ExternVal], resumable: bool
) -> Generator[Pause, None, ModuleInst]:
    """Do everything but call the start function."""
    context = module.context or Context.of_module(module, EXECUTED)
    _check_imports(module, context, imports)
    charges = build_of(store.config).fuel_model.startup
    startup = None if charges is None or store.fuel_left is None else charges(module, context)
    instance = store.alloc_module(module, context)
    lengths: Lengths = {}
    _allocate(store, instance, imports, lengths)
    if startup is None:
        for x in range(len(module.elems)):
            _apply_elem(instance, x)
        for x in range(len(module.datas)):
            _apply_data(instance, x)
    else:
        yield from _metered(Meter(instance, startup, lengths, resumable))
    return instance


def _metered(meter: Meter) -> Generator[Pause, None, None]:
    """Apply segments as a startup function does; a trap gives back what was not saved.

    What the constant expressions made is not seen if it runs out of fuel.  The images of memories are there before it
    runs.  That can be seen where it stands still at an element segment, because functions of the instance may be in a
    table by then.
    """
    instance, startup = meter.instance, meter.startup
    module = instance.module
    images = [x for x, data in enumerate(module.datas) if isinstance(data.mode, Active) and x not in startup.datas]
    yield from _pauses(meter, meter.enter())
    yield from _pauses(meter, meter.evaluated(startup.before))
    for x, init in startup.tables.items():
        yield from _pauses(meter, meter.evaluated([init]))
        yield from _pauses(meter, meter.copied(module.tables[x].type.limits.min, True))
    before = startup.rule.before
    for x, elem in enumerate(module.elems):
        if not before:
            _apply_elem(instance, x)
        if x in startup.elems:
            for pause in _pauses(meter, meter.copied(len(elem.init), True, startup.elems[x])):
                for image in images:
                    _apply_data(instance, image)
                yield pause
        if before:
            _apply_elem(instance, x)
    yield from _pauses(meter, meter.pass_images())
    for x, data in enumerate(module.datas):
        if not before:
            _apply_data(instance, x)
        if x in startup.datas:
            yield from _pauses(meter, meter.evaluated([startup.datas[x]]))
            yield from _pauses(meter, meter.copied(len(data.init), False))
        if before:
            _apply_data(instance, x)
    meter.finish()


def _pauses(meter: Meter, checks: Iterator[ExhaustionError | None]) -> Iterator[Pause]:
    for error in checks:
        yield Pause(None, error, None if error is None else meter.required_fuel)


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


def _evaluate(instance: ModuleInst, expr: Expr, lengths: Lengths | None = None) -> Any:
    """Return the value of a constant expression (spec: exec-expr), and note the lengths of its bulk operators."""
    stack: list[Any] = []
    frame = _ConstFrame(instance)
    for row, imms, _ in expr:
        if row.effect is Effect.CONTROL:
            break  # ``end``: nothing else of that effect is constant
        assert row.run is not None
        n = len(row.arrow(instance.context, imms).pops)
        operands = stack[len(stack) - n :]
        del stack[len(stack) - n :]
        if row.bulk is not None and lengths is not None:
            lengths[id(expr)] = [*lengths.get(id(expr), ()), operands[row.bulk.length]]
        stack.append(row.run(*imms, *operands) if row.effect is Effect.PURE else row.run(frame, *imms, *operands))
    return stack.pop()


# -- allocation

# The index space of an external value, by its class and by its kind in an export.
_SPACES: dict[type | str, str] = {
    FuncInst: "funcs", HostFunc: "funcs", TableInst: "tables", MemInst: "mems", GlobalInst: "globals", TagInst: "tags",
    "func": "funcs", "table": "tables", "mem": "mems", "global": "globals", "tag": "tags",
}  # fmt: skip


def _allocate(store: Store, instance: ModuleInst, imports: Sequence[ExternVal], lengths: Lengths) -> None:
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
        instance.globals.append(store.alloc_global(globaltype, _evaluate(instance, global_.init, lengths)))
    for table in module.tables:
        tabletype = context.tables[len(instance.tables)]
        init = None if table.init is None else _evaluate(instance, table.init, lengths)
        instance.tables.append(store.alloc_table(tabletype, init))
    for elem, reftype in zip(module.elems, context.elems, strict=True):
        refs = tuple([_evaluate(instance, expr, lengths) for expr in elem.init])
        instance.elems.append(store.alloc_elem(reftype, refs))
    for data in module.datas:
        instance.datas.append(store.alloc_data(data.init))
    for export in module.exports:
        instance.exports[export.name] = getattr(instance, _SPACES[export.kind])[export.index]


# -- segments


def _apply_elem(instance: ModuleInst, x: int) -> None:
    """Copy an element segment to its place if it is active, and drop it unless it is passive.  Spec: aux-runelem."""
    elem, eleminst = instance.module.elems[x], instance.elems[x]
    if isinstance(elem.mode, Active):
        d = _evaluate(instance, elem.mode.offset)
        instance.tables[elem.mode.index].init(eleminst.elems, d, 0, len(eleminst.elems))
    if isinstance(elem.mode, (Active, Declare)):
        eleminst.drop()


def _apply_data(instance: ModuleInst, x: int) -> None:
    """Copy a data segment to its place if it is active, and drop it.  Spec: aux-rundata."""
    data, datainst = instance.module.datas[x], instance.datas[x]
    if isinstance(data.mode, Active):
        d = _evaluate(instance, data.mode.offset)
        instance.mems[data.mode.index].init(datainst.data, d, 0, len(datainst.data))
        datainst.drop()
