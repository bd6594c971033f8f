"""Types as plain data, and back: a defined type is named by module and type index.

A number or vector type is its name.  A reference type is ``{"null", "heap", "exact"}``, whose heap type is the name of
an abstract one or the name of a defined type: ``[module, type index]`` for the first module of the snapshot that has
it, else, for a plain function type, which a host may make without any module, ``{"params", "results"}``.  Equal types
of two modules are one type, so which of its names is used makes no difference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.snapshot.plain import SnapshotError, at, boolean, each, fields, items, shown, whole
from engine.types import (
    ANY,
    ARRAY,
    EQ,
    EXN,
    EXTERN,
    F32,
    F64,
    FUNC,
    I31,
    I32,
    I64,
    NOEXN,
    NOEXTERN,
    NOFUNC,
    NONE,
    STRUCT,
    V128,
    AbsHeapType,
    DefType,
    ExactType,
    FuncType,
    RefType,
    exact,
    func_deftype,
    ref,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.types import HeapType, NumType, ValType

__all__ = ["TypeNames", "addrtype"]

_NUMBERS = {t.name: t for t in (I32, I64, F32, F64, V128)}
_HEAPS = {h.name: h for h in (ANY, ARRAY, EQ, EXN, EXTERN, FUNC, I31, NOEXN, NOEXTERN, NOFUNC, NONE, STRUCT)}
_DEPTH = 16  # of function types of the host in each other
_MOST = 1000  # parameters of such a type, and results


def addrtype(data: Any) -> NumType:
    """Return the type of addresses that is named ``i32`` or ``i64``."""
    if data not in ("i32", "i64"):
        raise SnapshotError(f"expected 'i32' or 'i64', found {shown(data)}")
    return I32 if data == "i32" else I64


class TypeNames:
    """The names of types in one snapshot; ``modules`` are the defined types of each module."""

    def __init__(self, modules: Sequence[Sequence[DefType]]) -> None:
        self.modules = modules
        self.names: dict[DefType, list[int]] = {}
        for m, types in enumerate(modules):
            for x, deftype in enumerate(types):
                self.names.setdefault(deftype, [m, x])

    # -- to plain data

    def write_defined(self, deftype: DefType, depth: int = _DEPTH) -> Any:
        """Return the name of a defined type."""
        name = self.names.get(deftype)
        if name is not None:
            return name
        comp = deftype.comp
        if not depth or not isinstance(comp, FuncType) or func_deftype(comp) is not deftype:
            raise SnapshotError("a type that no module of the store defines")
        return {
            "params": [self.write(t, depth - 1) for t in comp.params],
            "results": [self.write(t, depth - 1) for t in comp.results],
        }

    def write(self, t: ValType, depth: int = _DEPTH) -> Any:
        """Return a value type as plain data."""
        if not isinstance(t, RefType):
            return t.name
        heap: Any = t.heap
        is_exact = isinstance(heap, ExactType)
        concrete = heap.heap if is_exact else heap
        name = concrete.name if isinstance(concrete, AbsHeapType) else self.write_defined(concrete, depth)
        return {"null": t.null, "heap": name, "exact": is_exact}

    # -- from plain data

    def defined(self, data: Any, depth: int = _DEPTH) -> DefType:
        """Return the defined type of a name."""
        if type(data) is list and len(data) == 2:
            types = self.modules[at("[0]", whole, data[0], 0, len(self.modules) - 1)]
            return types[at("[1]", whole, data[1], 0, len(types) - 1)]
        if not depth:
            raise SnapshotError("function types too deep in each other")
        fields(data, "params", "results")
        params, results = (
            tuple(at(f".{side}", each, items(data[side], _MOST), lambda item: self.value_type(item, depth - 1)))
            for side in ("params", "results")
        )
        return func_deftype(FuncType(params, results))

    def function(self, data: Any) -> DefType:
        """Return the defined type of a name, which must be a function type."""
        deftype = self.defined(data)
        if not isinstance(deftype.comp, FuncType):
            raise SnapshotError("expected a function type")
        return deftype

    def value_type(self, data: Any, depth: int = _DEPTH) -> ValType:
        """Return a value type."""
        if type(data) is str:
            if data not in _NUMBERS:
                raise SnapshotError(f"unknown type {shown(data)}")
            return _NUMBERS[data]
        return self.reference(data, depth)

    def reference(self, data: Any, depth: int = _DEPTH) -> RefType:
        """Return a reference type."""
        fields(data, "null", "heap", "exact")
        null, is_exact = at(".null", boolean, data["null"]), at(".exact", boolean, data["exact"])
        heap = at(".heap", self._heap, data["heap"], depth)
        if is_exact and not isinstance(heap, DefType):
            raise SnapshotError("only a defined type can be exact")
        return ref(null, exact(heap) if is_exact else heap)

    def _heap(self, data: Any, depth: int) -> HeapType:
        if type(data) is not str:
            return self.defined(data, depth)
        if data not in _HEAPS:
            raise SnapshotError(f"unknown heap type {shown(data)}")
        return _HEAPS[data]
