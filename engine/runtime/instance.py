"""Module and function instances, and what a host function is given."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from engine.runtime.globals import GlobalInst
from engine.runtime.memory import MemInst
from engine.runtime.table import TableInst
from engine.runtime.tag import TagInst

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from engine.module import Code, Module
    from engine.resume import Finished, Suspended, TypedFunc
    from engine.runtime.segments import DataInst, ElemInst
    from engine.runtime.store import Store
    from engine.types import DefType, FuncType, ValType

__all__ = ["Caller", "ExternVal", "FuncInst", "HostFunc", "ModuleInst"]


class ModuleInst:
    """Spec: syntax-moduleinst.

    The lists are index spaces, imports first, and hold instances instead of addresses.  ``context`` is the validation
    context of the module, which lowering reads; ``exports`` is in the order of the export section.
    """

    __slots__ = (
        "context", "datas", "elems", "exports", "funcs", "globals", "mems", "module", "store", "tables", "tags",
        "types",
    )  # fmt: skip

    def __init__(self, module: Module, store: Store, context: Any) -> None:
        self.module = module
        self.store = store
        self.context = context
        self.types: list[DefType] = []
        self.funcs: list[FuncInst | HostFunc] = []
        self.tables: list[TableInst] = []
        self.mems: list[MemInst] = []
        self.globals: list[GlobalInst] = []
        self.tags: list[TagInst] = []
        self.elems: list[ElemInst] = []
        self.datas: list[DataInst] = []
        self.exports: dict[str, ExternVal] = {}


class Function:
    """What functions of both kinds offer.  What calls them lies to the right of here, hence the imports by name."""

    __slots__ = ()

    def call_resumable(self, store: Store, *args: Any) -> Finished | Suspended:
        """See ``engine.resume.call_resumable``."""
        return import_module("engine.resume").call_resumable(store, self, *args)  # type: ignore[no-any-return]

    def typed(self, params: Sequence[ValType], results: Sequence[ValType]) -> TypedFunc:
        """See ``engine.resume.typed``."""
        return import_module("engine.resume").typed(self, params, results)  # type: ignore[no-any-return]


class FuncInst(Function):
    """A function of a module (spec: syntax-funcinst).  ``lowered`` is what execution made of ``code``."""

    __slots__ = ("addr", "code", "funcidx", "functype", "lowered", "module", "type")

    def __init__(
        self, addr: int, type: DefType, functype: FuncType, module: ModuleInst, funcidx: int, code: Code,
    ) -> None:  # fmt: skip
        self.addr = addr
        self.type = type
        self.functype = functype
        self.module = module
        self.funcidx = funcidx
        self.code = code
        self.lowered: Any = None

    def __repr__(self) -> str:
        return f"<function {self.addr}: {self.functype}>"


class HostFunc(Function):
    """A function of the host (spec: syntax-hostfunc).

    ``call(caller, args)`` gives as many results as ``functype`` has, in the engine's own representation of values; a
    Trap or any other exception that it raises passes through the calling Wasm unchanged.
    """

    __slots__ = ("addr", "call", "functype", "type")

    def __init__(
        self, addr: int, type: DefType, functype: FuncType, call: Callable[[Caller, tuple[Any, ...]], Sequence[Any]],
    ) -> None:  # fmt: skip
        self.addr = addr
        self.type = type
        self.functype = functype
        self.call = call

    def __repr__(self) -> str:
        return f"<host function {self.addr}: {self.functype}>"


class Caller:
    """What a host function may use of the engine that called it."""

    __slots__ = ("store",)

    def __init__(self, store: Store) -> None:
        self.store = store


ExternVal = FuncInst | HostFunc | TableInst | MemInst | GlobalInst | TagInst
