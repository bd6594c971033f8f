"""Modules and what they consist of (spec: valid-module), in the order of the binary format."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from engine.errors import InvalidError, UnsupportedError, WasmError, Where
from engine.features import (
    BULK_MEMORY,
    COMPATIBLE,
    CUSTOM_DESCRIPTORS,
    CUSTOM_PAGE_SIZES,
    EXCEPTIONS,
    FUNCTION_REFERENCES,
    GC,
    MEMORY64,
    MULTI_MEMORY,
    MULTI_VALUE,
    MUTABLE_GLOBALS,
    REFERENCE_TYPES,
    THREADS,
)
from engine.matching import matches, matches_comp, matches_heap
from engine.module import Active, FuncImport
from engine.types import (
    FUNC,
    FUNCREF,
    I64,
    ArrayType,
    DefType,
    FuncType,
    GlobalType,
    MemType,
    NumType,
    PackType,
    RefType,
    StructType,
    TableType,
    ref,
)

from .body import check_body
from .constants import check_constant
from .context import Context

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.features import FeatureSet
    from engine.module import Code, Data, Elem, Export, Expr, Global, Import, Module, Table
    from engine.types import AddrType, CompType, Limits, RecType, SubType, TagType, ValType

    from .features import Gate

__all__ = ["MAX_FIELDS", "MAX_LOCALS", "MAX_MEMORIES", "MAX_RESULTS", "MAX_SUBTYPING_DEPTH", "MAX_TABLES", "validate"]

# Implementation limits, those of the web embedding: without them a small module can ask for quadratic work
# or very much memory.
MAX_LOCALS = 50_000
MAX_RESULTS = 1_000  # parameters, and results
MAX_FIELDS = 10_000
MAX_SUBTYPING_DEPTH = 63
MAX_TABLES = 100  # each of which is filled when it is made
MAX_MEMORIES = 100

_FUNCTIONS = ref(False, FUNC)


def validate(module: Module, features: FeatureSet = COMPATIBLE) -> None:
    """Return if the module is valid with these features.

    Raises ``InvalidError``, or ``UnsupportedError`` for what only a feature outside of ``EXECUTED`` could explain and
    for the implementation limits above; both with the function and the offset where there is one.
    """
    _check_counts(module)
    c = Context.of_module(module, features)
    module.each("types", lambda rectype: _check_written_types(rectype, c.gate))
    _check_subtypes(module, c)
    module.each("imports", lambda i: _check_import(c, i))
    _check_definitions(module, c)
    _check_globals(module, c)
    _check_exports(module, c)
    _check_start(module, c)
    module.each("elems", lambda elem: _check_elem(c, elem))
    module.each("datas", lambda data: _check_data(c, data))
    first = c.imported["func"]
    for x, code in enumerate(module.codes, first):
        _check_func(c, x, code)
    if c.gate.missing is not None:
        raise UnsupportedError(c.gate.missing.name)
    module.context = c


def _check_counts(m: Module) -> None:
    """Check what decoding guarantees, for modules that were built."""
    if len(m.funcs) != len(m.codes):
        raise InvalidError("function and code section have inconsistent lengths")
    if m.data_count is not None and m.data_count != len(m.datas):
        raise InvalidError("data count and data section have inconsistent lengths")


def _limit(what: str, n: int, limit: int) -> None:
    if n > limit:
        raise UnsupportedError(f"more than {limit} {what}")


# -- types


def _check_written_types(rectype: RecType, gate: Gate) -> None:
    """Check the features and limits of one recursive group."""
    if len(rectype.subtypes) != 1:
        gate.require(GC, "unknown type: recursive group")
    for sub in rectype.subtypes:
        if sub.supers or not sub.final or not isinstance(sub.comp, FuncType):
            gate.require(GC, "unknown type: struct, array or subtype")
        if sub.describes is not None or sub.descriptor is not None:
            gate.require(CUSTOM_DESCRIPTORS, "unknown type: type with a descriptor")
        if len(sub.supers) > 1:
            raise InvalidError("sub type: more than one supertype")
        for t in _parts(sub.comp):
            gate.check_type(t)
        if isinstance(sub.comp, StructType):
            _limit("fields", len(sub.comp.fields), MAX_FIELDS)
        if isinstance(sub.comp, FuncType):
            _limit("parameters", len(sub.comp.params), MAX_RESULTS)
            _limit("results", len(sub.comp.results), MAX_RESULTS)
            if len(sub.comp.results) > 1:
                gate.require(MULTI_VALUE, "invalid result arity")


def _parts(comp: CompType) -> Iterator[ValType]:
    """Give the value types that a composite type is made of."""
    if isinstance(comp, FuncType):
        yield from comp.params
        yield from comp.results
        return
    fields = (comp.field,) if isinstance(comp, ArrayType) else comp.fields
    for field in fields:
        if not isinstance(field.storage, PackType):
            yield field.storage


def _check_subtypes(m: Module, c: Context) -> None:
    """Check declared supertypes: they come before, are open, and match (spec: valid-subtype)."""
    depths: dict[DefType, int] = {}
    indices = count()

    def check(rectype: RecType) -> None:
        group = [(next(indices), sub) for sub in rectype.subtypes]
        for x, sub in group:  # of the whole group first: matching may follow any of them
            for y in sub.supers:
                if not isinstance(y, int) or y >= x:
                    raise InvalidError(f"unknown type {y}: a supertype comes before type {x}")
        for x, sub in group:
            deftype = c.types[x]
            depths[deftype] = 0
            if sub.describes is not None or sub.descriptor is not None:
                _check_clauses(c, x, sub)
            for y in sub.supers:
                super_ = c.types[y]  # type: ignore[index]  # as just seen
                if super_.sub.final or not matches_comp(deftype.comp, super_.comp) or _is_layered(deftype, super_):
                    raise InvalidError(f"sub type {x} does not match super type {y}")
                for what, of in (("descriptor", sub.descriptor), ("described", sub.describes)):
                    least = super_.sub.descriptor if what == "descriptor" else super_.sub.describes
                    if of is not None and least is not None and not matches_heap(c.close_heaptype(of), least):
                        raise InvalidError(f"{what} type {of} does not match")
                depths[deftype] = depths[super_] + 1
                _limit("supertypes in a chain", depths[deftype], MAX_SUBTYPING_DEPTH)

    m.each("types", check)


def _check_clauses(c: Context, x: int, sub: SubType) -> None:
    """Check what describes a type and what it describes: structures that name each other, the described one first."""
    for y, what in ((sub.descriptor, "descriptor"), (sub.describes, "described")):
        if y is not None and not isinstance(sub.comp, StructType):
            raise InvalidError(f"{what} type must be a struct")
    this = c.types[x]
    if isinstance(sub.describes, int):
        if sub.describes >= x:
            raise InvalidError(f"forward use of described type {sub.describes}")
        if c.types[sub.describes].sub.descriptor is not this:
            raise InvalidError("described type is not described by descriptor")
    if isinstance(sub.descriptor, int) and c.types[sub.descriptor].sub.describes is not this:
        raise InvalidError("type is not described by its descriptor")


def _is_layered(t: DefType, super_: DefType) -> bool:
    """Tell whether instances of a type could not be laid out as those of another because of their descriptors."""
    below, above = t.sub, super_.sub
    return (below.describes is None) != (above.describes is None) or (
        above.descriptor is not None and below.descriptor is None
    )


# -- imports and definitions


def _check_import(c: Context, i: Import) -> None:
    """Spec: valid-import."""
    desc = i.desc
    if isinstance(desc, FuncImport):
        _func_comp(c.type(desc.typeidx))
    elif isinstance(desc, TableType):
        _check_tabletype(c, desc)
    elif isinstance(desc, MemType):
        _check_memtype(c, desc)
    elif isinstance(desc, GlobalType):
        c.gate.check_type(desc.valtype)
        if desc.mutable:
            c.gate.require(MUTABLE_GLOBALS, "mutable globals cannot be imported")
    else:
        _check_tagtype(c, desc)


def _check_definitions(m: Module, c: Context) -> None:
    """Check functions' types, tables, memories and tags."""
    m.each("funcs", lambda x: _func_comp(c.type(x)))
    if len(c.tables) > 1:
        m.each("tables" if m.tables else "imports", lambda _: c.gate.require(REFERENCE_TYPES, "multiple tables"))
        _limit("tables", len(c.tables), MAX_TABLES)
    if len(c.mems) > 1:
        m.each("mems" if m.mems else "imports", lambda _: c.gate.require(MULTI_MEMORY, "multiple memories"))
        _limit("memories", len(c.mems), MAX_MEMORIES)
    m.each("tables", lambda table: _check_table(c, table))
    m.each("mems", lambda mem: _check_memtype(c, mem))
    m.each("tags", lambda tag: _check_tagtype(c, tag))


def _check_table(c: Context, table: Table) -> None:
    """Spec: valid-table."""
    _check_tabletype(c, table.type)
    t = c.close_reftype(table.type.reftype)
    if table.init is not None:
        c.gate.require(FUNCTION_REFERENCES, "type mismatch: table with an initialiser")
        check_constant(c, table.init, t)
    elif not t.null:
        raise InvalidError(f"type mismatch: a table of {t} needs an initialiser")


def _check_tagtype(c: Context, tag: TagType) -> None:
    """Spec: valid-tagtype."""
    c.gate.require(EXCEPTIONS, "unknown tag: tags")
    if _func_comp(c.type(tag.type)).results:
        raise InvalidError("non-empty tag result type")


def _check_start(m: Module, c: Context) -> None:
    """Spec: valid-start."""
    try:
        if m.start is not None and c.func(m.start).comp != FuncType((), ()):
            raise InvalidError(f"start function {m.start} must have type [] -> []")
    except InvalidError as e:
        raise e.at(m.place("start")) from None


def _func_comp(deftype: DefType) -> FuncType:
    if isinstance(deftype.comp, FuncType):
        return deftype.comp
    raise InvalidError("type mismatch: unknown type: a function type is needed")


def _check_limits(limits: Limits, bound: int, message: str) -> None:
    """Spec: valid-limits."""
    if limits.min > bound or (limits.max is not None and limits.max > bound):
        raise InvalidError(message)
    if limits.max is not None and limits.min > limits.max:
        raise InvalidError("size minimum must not be greater than maximum")


def _check_addrtype(c: Context, t: AddrType) -> None:
    if t is I64:
        c.gate.require(MEMORY64, "type mismatch: 64-bit limits")


def _check_tabletype(c: Context, t: TableType) -> None:
    """Spec: valid-tabletype."""
    _check_addrtype(c, t.addrtype)
    if t.reftype is not FUNCREF:
        c.gate.check_type(t.reftype)
    _check_limits(t.limits, 2**t.addrtype.bits - 1, f"table size must be at most 2**{t.addrtype.bits} - 1 elements")


def _check_memtype(c: Context, t: MemType) -> None:
    """Spec: valid-memtype."""
    _check_addrtype(c, t.addrtype)
    if t.page_bits != 16:
        c.gate.require(CUSTOM_PAGE_SIZES, "invalid custom page size")
        if t.page_bits:
            raise InvalidError(f"invalid custom page size 2**{t.page_bits}")
    pages = t.max_pages
    what = "65536 pages (4GiB)" if pages == 65536 else f"{pages} pages"
    _check_limits(t.limits, pages, f"memory size must be at most {what}")
    if t.shared:
        c.gate.require(THREADS, "shared memory")
        if t.limits.max is None:
            raise InvalidError("shared memory must have maximum")


def _check_globals(m: Module, c: Context) -> None:
    """Check globals in order: with garbage collection each sees those before it, otherwise only the imported ones."""
    types = iter(c.globals[c.imported["global"] :])

    def check(global_: Global) -> None:
        c.gate.check_type(global_.type.valtype)
        check_constant(c, global_.init, next(types).valtype)
        if GC in c.features:
            c.globals_visible += 1

    m.each("globals", check)


def _check_exports(m: Module, c: Context) -> None:
    names: set[str] = set()
    look_up = {"func": c.func, "table": c.table, "mem": c.mem, "global": c.global_, "tag": c.tag}

    def check(export: Export) -> None:
        if export.name in names:
            raise InvalidError(f"duplicate export name {export.name!r}")
        names.add(export.name)
        found = look_up[export.kind](export.index)
        if isinstance(found, GlobalType) and found.mutable:
            c.gate.require(MUTABLE_GLOBALS, "mutable globals cannot be exported")

    m.each("exports", check)


# -- segments and functions


def _check_elem(c: Context, elem: Elem) -> None:
    """Spec: valid-elem."""
    t = c.close_reftype(elem.type)
    if elem.type is _FUNCTIONS and elem.flag < 4 and all(map(_is_function, elem.init)):
        for expr in elem.init:  # the list of indices of the first version, which needs no feature
            c.func(expr[0].imms[0])
    else:
        if elem.type is not FUNCREF:
            c.gate.check_type(elem.type)
        for expr in elem.init:
            check_constant(c, expr, t)
    if isinstance(elem.mode, Active):
        table = c.table(elem.mode.index)
        if not matches(t, table.reftype):
            raise InvalidError(f"type mismatch: elements of type {t} in a table of {table.reftype}")
        check_constant(c, elem.mode.offset, table.addrtype)
    else:
        c.gate.require(BULK_MEMORY, "passive element segment")


def _is_function(expr: Expr) -> bool:
    """Tell whether an expression is a function index written out."""
    return len(expr) == 2 and [kind.name for kind in expr[0].row.imms] == ["funcidx"] and expr[0].row.const is not None


def _check_data(c: Context, data: Data) -> None:
    """Spec: valid-data."""
    if isinstance(data.mode, Active):
        check_constant(c, data.mode.offset, c.mem(data.mode.index).addrtype)
    else:
        c.gate.require(BULK_MEMORY, "passive data segment")


def _check_func(c: Context, x: int, code: Code) -> None:
    """Spec: valid-func."""
    functype = _func_comp(c.funcs[x])
    try:
        for _, t in code.locals:
            if type(t) is not NumType:
                c.gate.check_type(t)
        _limit("locals", len(functype.params) + sum([n for n, _ in code.locals]), MAX_LOCALS)
        view = c.function(functype, code.locals)
    except WasmError as e:
        raise e.at(Where(x, None if code.offset < 0 else code.offset)) from None
    has_all = all(type(t) is not RefType or t.null or not n for n, t in code.locals)
    check_body(view, code.body, functype.results, x, None if has_all else len(functype.params))
