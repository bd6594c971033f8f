"""What typing rules may ask (spec: valid-context), for validation, lowering and generation alike.

A module has one context, whose types are closed; :meth:`Context.function` gives a light view of it with the locals,
labels and results of one function, sharing everything else.  The methods are what rows call; each raises the suite's
``unknown ...`` where an index is out of range.  The plain attributes are for whoever walks the index spaces.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING, Any, overload

from engine.errors import InvalidError
from engine.features import COMPATIBLE, CUSTOM_DESCRIPTORS
from engine.matching import close_rectype, close_valtype, closed_heaptype
from engine.module import FuncImport
from engine.types import FuncType, GlobalType, MemType, NumType, RefType, TableType, TagType, exact, ref

from .features import Gate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from engine.features import FeatureSet
    from engine.instructions.model import Instr
    from engine.module import Module
    from engine.types import DefType, ExternType, HeapType, ResultType, ValType

__all__ = ["Context", "LocalTypes", "local_types"]

_FEW = 2000
_EMPTY = FuncType((), ())


class LocalTypes:
    """The types of very many locals as runs, so that declaring locals costs no memory."""

    __slots__ = ("_ends", "_types")

    def __init__(self, runs: Sequence[tuple[int, ValType]]) -> None:
        self._ends = list(accumulate(n for n, _ in runs))
        self._types = [t for _, t in runs]

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, x: int) -> ValType:
        if not 0 <= x < len(self):
            raise IndexError(x)
        return self._types[bisect_right(self._ends, x)]


def local_types(params: ResultType, runs: Sequence[tuple[int, ValType]]) -> Sequence[ValType]:
    """Return the types of parameters and declared locals, indexed by localidx."""
    if not runs:
        return params
    if sum([n for n, _ in runs]) <= _FEW:
        out = [*params]
        for n, t in runs:
            out += [t] * n
        return out
    return LocalTypes([*((1, t) for t in params), *runs])  # type: ignore[return-value]  # as much of a sequence as needed


class Context:
    """Index spaces of a module, types closed; imports come first in each space.

    ``globals_visible`` is how many globals a constant expression may read, ``refs`` the declared functions,
    ``inexact`` those imported ones whose type may be below the one that they are imported with.  Without
    slots, so that a view is one copy of a dictionary.
    """

    def __init__(self, features: FeatureSet = COMPATIBLE) -> None:
        self.features = features
        self.gate = Gate(features)
        self.types: list[DefType] = []
        self.funcs: list[DefType] = []
        self.tables: list[TableType] = []
        self.mems: list[MemType] = []
        self.globals: list[GlobalType] = []
        self.tags: list[TagType] = []
        self.elems: list[RefType] = []
        self.datas = 0
        self.refs: frozenset[int] | set[int] = frozenset()
        self.inexact: set[int] = set()
        self.imported: dict[str, int] = {"func": 0, "table": 0, "mem": 0, "global": 0, "tag": 0}
        self.globals_visible = 0
        self.locals: Sequence[ValType] = ()
        self.labels: list[ResultType] = []  # innermost last
        self._results: ResultType | None = None
        # What body.py remembers: arrows by row and immediates, by row and type of a local or label, and results by row
        # and operand types.
        self.arrows: dict[Any, Any] = {}
        self.index_arrows: dict[Any, Any] = {}
        self.bindings: dict[Any, Any] = {}
        self.lengths: dict[int, Any] = {}  # what constness.py remembers of bodies, by their identity

    @classmethod
    def of_module(cls, module: Module, features: FeatureSet = COMPATIBLE) -> Context:
        """Return the context of a module: everything it defines and imports, types closed."""
        c = cls(features)
        each = module.each
        each("types", lambda rectype: c.types.extend(close_rectype(rectype, c.types)))
        each("imports", lambda i: c.declare(i.desc))
        c.imported = {
            "func": len(c.funcs), "table": len(c.tables), "mem": len(c.mems), "global": len(c.globals),
            "tag": len(c.tags),
        }  # fmt: skip
        c.globals_visible = len(c.globals)
        each("funcs", lambda x: c.funcs.append(c.type(x)))
        each("tables", lambda table: c.tables.append(c.close_tabletype(table.type)))
        c.mems += module.mems
        each("globals", lambda global_: c.globals.append(c.close_globaltype(global_.type)))
        each("tags", lambda tag: c.tags.append(TagType(c.type(tag.type))))
        each("elems", lambda elem: c.elems.append(c.close_reftype(elem.type)))
        c.datas = len(module.datas) if module.data_count is None else module.data_count
        c.refs = _declared(module)
        return c

    def declare(self, desc: FuncImport | TableType | MemType | GlobalType | TagType) -> ExternType:
        """Append what an import describes to its index space, and return its closed type."""
        if isinstance(desc, FuncImport):
            if not desc.exact:
                self.inexact.add(len(self.funcs))
            self.funcs.append(self.type(desc.typeidx))
            return self.funcs[-1]
        if isinstance(desc, TableType):
            self.tables.append(self.close_tabletype(desc))
            return self.tables[-1]
        if isinstance(desc, GlobalType):
            self.globals.append(self.close_globaltype(desc))
            return self.globals[-1]
        if isinstance(desc, MemType):
            self.mems.append(desc)
            return desc
        self.tags.append(TagType(self.type(desc.type)))
        return self.tags[-1]

    def function(self, functype: FuncType, locals_: Sequence[tuple[int, ValType]] = ()) -> Context:
        """Return a view for one function: its locals, one label and its results; the rest is shared."""
        c = self.view()
        params, results = functype.params, functype.results
        c.locals = local_types(params, [run if type(run[1]) is NumType else self._close_run(run) for run in locals_])
        c.labels = [results]
        c._results = results
        return c

    def _close_run(self, run: tuple[int, ValType]) -> tuple[int, ValType]:
        return run[0], self.close_valtype(run[1])

    def view(self) -> Context:
        """Return a context that shares everything with this one."""
        c = Context.__new__(Context)
        c.__dict__ = self.__dict__.copy()
        return c

    def operands(self) -> Iterator[tuple[Instr, tuple[Any, ...]]]:
        """Give each row whose operands depend on where it stands, with each list of their types that validation met."""
        for row, *ts in self.bindings:
            yield row, tuple(ts)
        for (row, _), step in self.arrows.items():
            yield row, tuple(step[1])

    # -- what rows ask

    def type(self, x: HeapType) -> DefType:
        """Return the defined type of a type index."""
        if isinstance(x, int) and x < len(self.types):
            return self.types[x]
        raise InvalidError(f"unknown type {x}")

    def functype(self, x: int) -> FuncType:
        """Return the expansion of a type index, which must be a function type."""
        comp = self.type(x).comp
        if isinstance(comp, FuncType):
            return comp
        raise InvalidError(f"type mismatch: type {x} is not a function type")

    def func(self, x: int) -> DefType:
        """Return the type of a function."""
        return self.funcs[x] if x < len(self.funcs) else _unknown("function", x)

    def table(self, x: int) -> TableType:
        """Return the type of a table."""
        return self.tables[x] if x < len(self.tables) else _unknown("table", x)

    def mem(self, x: int) -> MemType:
        """Return the type of a memory."""
        return self.mems[x] if x < len(self.mems) else _unknown("memory", x)

    def global_(self, x: int) -> GlobalType:
        """Return the type of a global."""
        return self.globals[x] if x < len(self.globals) else _unknown("global", x)

    def tag(self, x: int) -> FuncType:
        """Return the function type of a tag."""
        if x >= len(self.tags):
            _unknown("tag", x)
        deftype: Any = self.tags[x].type
        functype: FuncType = deftype.comp
        return functype

    def elem(self, x: int) -> RefType:
        """Return the type of an element segment."""
        return self.elems[x] if x < len(self.elems) else _unknown("elem segment", x)

    def data(self, x: int) -> None:
        """Check that a data segment exists."""
        if x >= self.datas:
            _unknown("data segment", x)

    def local(self, x: int) -> ValType:
        """Return the type of a local."""
        return self.locals[x] if x < len(self.locals) else _unknown("local", x)

    def label(self, l: int) -> ResultType:
        """Return what a branch to the ``l``-th enclosing label takes."""
        labels = self.labels
        return labels[-1 - l] if l < len(labels) else _unknown("label", l)

    def results(self) -> ResultType:
        """Return what ``return`` takes."""
        if self._results is None:
            raise InvalidError("type mismatch: return outside of a function")
        return self._results

    def declared(self, x: int) -> None:
        """Check that a function may be the operand of ``ref.func``."""
        if x not in self.refs:
            raise InvalidError(f"undeclared function reference {x}")

    def is_exact(self, x: int) -> bool:
        """Tell whether a function is known to have its type and none below it."""
        return x not in self.inexact

    def just(self, deftype: DefType) -> RefType:
        """Return the type of references to what was made with this type: exact, where there are exact types."""
        return ref(False, exact(deftype) if CUSTOM_DESCRIPTORS in self.features else deftype)

    def blocktype(self, bt: ValType | int | None) -> FuncType:
        """Return the function type that a block type stands for (spec: valid-blocktype)."""
        if bt is None:
            return _EMPTY
        if isinstance(bt, int):
            return self.functype(bt)
        return FuncType((), (self.close_valtype(bt),))

    # -- closing

    def close_heaptype(self, heaptype: HeapType) -> HeapType:
        """Replace a type index by its defined type."""
        return closed_heaptype(heaptype, self.types)

    @overload
    def close_valtype(self, t: RefType) -> RefType: ...
    @overload
    def close_valtype(self, t: ValType) -> ValType: ...
    def close_valtype(self, t: ValType) -> ValType:
        """Replace a type index in a value type by its defined type."""
        return close_valtype(t, self.types) if type(t) is RefType else t

    def close_reftype(self, t: RefType) -> RefType:
        """Replace a type index in a reference type by its defined type."""
        return self.close_valtype(t)

    def close_tabletype(self, t: TableType) -> TableType:
        """Replace a type index in a table type by its defined type."""
        reftype = self.close_reftype(t.reftype)
        return t if reftype is t.reftype else TableType(reftype, t.limits, t.addrtype)

    def close_globaltype(self, t: GlobalType) -> GlobalType:
        """Replace a type index in a global type by its defined type."""
        valtype = self.close_valtype(t.valtype)
        return t if valtype is t.valtype else GlobalType(t.mutable, valtype)


def _unknown(what: str, x: int) -> Any:
    raise InvalidError(f"unknown {what} {x}")


def _declared(module: Module) -> set[int]:
    """Return the functions that occur outside of function bodies: exports, and ``ref.func`` in constant expressions.

    Spec: valid-module (the set ``C.refs``).
    """
    refs = {export.index for export in module.exports if export.kind == "func"}
    exprs = [global_.init for global_ in module.globals]
    exprs += [table.init for table in module.tables if table.init is not None]
    for elem in module.elems:
        exprs += elem.init
    for expr in exprs:
        for row, imms, _ in expr:
            if imms and any(kind.name == "funcidx" for kind in row.imms):
                refs.add(imms[0])
    return refs
