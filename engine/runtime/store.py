"""The store (spec: syntax-store), and the explicit limits that keep hostile modules bounded."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.errors import ExhaustionError, Resource
from engine.runtime.globals import GlobalInst
from engine.runtime.heap import FIELD_BYTES, OBJECT_BYTES, ArrayInst, ExnInst, ExternRef, StructInst, measure
from engine.runtime.instance import FuncInst, HostFunc, ModuleInst
from engine.runtime.memory import MemInst
from engine.runtime.segments import DataInst, ElemInst
from engine.runtime.table import TableInst
from engine.runtime.tag import TagInst
from engine.types import FuncType, func_deftype

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from engine.debug import Cursor, Debugger, Event
    from engine.execution.fuel import FuelModel
    from engine.module import Code, Module
    from engine.runtime.instance import Caller
    from engine.types import DefType, GlobalType, MemType, RefType, TableType, TagType

__all__ = ["MAX_ACTIVATIONS", "MAX_FUEL", "Config", "Store", "VMState"]

MAX_FUEL = 2**64 - 1
MAX_PART = 2**63 - 1  # of the fuel that execution is given at once: engines count with a sign
MAX_ACTIVATIONS = 2_000  # a host function written in C may take a KiB or two of the interpreter's stack


@dataclass(frozen=True, slots=True)
class Config:
    """Limits of one store, and how it executes.

    ``max_memory_pages`` (of 64 KiB) and ``max_table_elements`` bound each memory and table: a minimum beyond is
    ``ExhaustionError``, growth beyond gives -1.  ``max_depth`` bounds the nesting of Wasm calls and ``max_activations``
    that of calls from the host into Wasm; both end with "call stack exhausted".  ``max_instances`` bounds
    instantiations; ``max_heap_bytes`` bounds, roughly, what structures and arrays that something refers to take, all in
    all.  ``build`` and ``fuel_model`` are execution's; None means the default ones.  ``checks`` makes the engine assert
    on each way out of it that nothing of the call is left in the store, else raise EngineBug.  ``guest_debug`` gives
    the store a debugger (``engine.debug``), to which every instruction is a place to look around.

    An activation may spend stack of the interpreter itself, which ends the process where it ends: hence the ceiling.
    """

    max_memory_pages: int = 65536
    max_table_elements: int = 10_000_000
    max_depth: int = 10_000
    max_activations: int = 1_000
    max_instances: int = 10_000
    max_heap_bytes: int = 1 << 28
    build: Any = None
    fuel_model: FuelModel | None = None
    checks: bool = False
    guest_debug: bool = False

    def __post_init__(self) -> None:
        if self.max_activations > MAX_ACTIVATIONS:
            raise ValueError(f"max_activations is at most {MAX_ACTIVATIONS}, not {self.max_activations}")


class VMState(NamedTuple):
    """How far calls from the host are nested in a store.  What a call does to all of this but fuel, its end undoes.

    ``activations`` are under way; those below the innermost have ``depth`` frames of Wasm; the debugger, if there is
    one, knows of ``watched``.
    """

    activations: int
    depth: int
    watched: int
    fuel_left: int | None


class Store:
    """Everything that instances share.  The position of an instance in its list is its address.

    ``fuel_left`` is the budget of the calls to come (None: unmetered), below 0 where more was spent than there was.  Of
    it ``fuel_reserve`` is not given to execution yet: with a ``fuel_interval`` it gets that much at a time, and a
    resumable call pauses at the check point where it wants more.  ``activations`` is how many calls from the host
    are under way, ``depth`` how many Wasm calls in the activations below the innermost one.
    """

    __slots__ = (
        "activations", "config", "datas", "debugger", "depth", "elems", "externs", "fuel_interval", "fuel_left",
        "fuel_reserve", "funcs", "globals", "heap_room", "instances", "mems", "tables", "tags",
    )  # fmt: skip

    def __init__(self, config: Config | None = None) -> None:
        self.config = config or Config()
        self.funcs: list[FuncInst | HostFunc] = []
        self.tables: list[TableInst] = []
        self.mems: list[MemInst] = []
        self.globals: list[GlobalInst] = []
        self.tags: list[TagInst] = []
        self.elems: list[ElemInst] = []
        self.datas: list[DataInst] = []
        self.externs: list[ExternRef] = []
        self.instances: list[ModuleInst] = []
        self.heap_room = self.config.max_heap_bytes
        self.fuel_left: int | None = None
        self.fuel_reserve = 0
        self.fuel_interval: int | None = None
        self.activations = 0
        self.depth = 0
        self.debugger: Debugger | None = None
        if self.config.guest_debug:  # which lies to the right of here, hence the import by name
            self.debugger = import_module("engine.debug").Debugger(self)

    def debug_frames(self, pc_mode: str = "call") -> Cursor | None:
        """See ``engine.debug.Debugger.frames``; None in a store without a debugger."""
        return None if self.debugger is None else self.debugger.frames(pc_mode)

    def set_debug_handler(self, handler: Callable[[Store, Event], object] | None) -> None:
        """See ``engine.debug.Debugger.set_handler``; raises ValueError in a store without a debugger."""
        if self.debugger is None:
            raise ValueError("a store without guest_debug has no debugger")
        self.debugger.set_handler(handler)

    def vm_state(self) -> VMState:
        """Return how the store stands between entering and leaving it, for tests of embedders and our own."""
        watched = 0 if self.debugger is None else self.debugger.nesting
        return VMState(self.activations, self.depth, watched, self.fuel_left)

    @property
    def fuel(self) -> int | None:
        """The fuel that is left, 0 where more was spent than there was; None where nothing is metered."""
        return None if self.fuel_left is None else min(max(self.fuel_left, 0), MAX_FUEL)

    def set_fuel(self, fuel: int | None) -> None:
        """Replace the fuel that is left, whatever was overspent; None ends metering."""
        if fuel is not None and not 0 <= fuel <= MAX_FUEL:
            raise ValueError(f"fuel is 0 to 2**64 - 1, not {fuel}")
        self.fuel_left = fuel
        self.fuel_reserve = 0
        if fuel is not None:
            self.inject(fuel)

    def add_fuel(self, fuel: int) -> None:
        """Add to the fuel that is left, from which what was overspent is taken first."""
        if fuel < 0:
            raise ValueError(f"fuel to add is at least 0, not {fuel}")
        self.fuel_left = min((self.fuel_left or 0) + fuel, MAX_FUEL)
        self.inject(max(self.fuel_left, 0))

    def set_fuel_interval(self, interval: int | None) -> None:
        """Make resumable calls pause each time they have spent about this much; None or 0 ends that."""
        if interval is not None and not 0 <= interval <= MAX_FUEL:
            raise ValueError(f"an interval is 0 to 2**64 - 1, not {interval}")
        self.fuel_interval = min(interval or 0, MAX_PART) or None
        if self.fuel_left is not None:
            self.set_fuel(self.fuel)

    def inject(self, fuel: int) -> int:
        """Give execution the next part of the ``fuel`` that is left, and return how much that is."""
        most = self.fuel_interval or MAX_PART
        part = most if most < fuel else fuel
        self.fuel_reserve = fuel - part
        return part

    def alloc_module(self, module: Module, context: Any) -> ModuleInst:
        """Add an empty instance of ``module``, or raise ExhaustionError where there are too many."""
        if len(self.instances) >= self.config.max_instances:
            raise ExhaustionError(Resource.HEAP)
        self.instances.append(ModuleInst(module, self, context))
        return self.instances[-1]

    def alloc_func(self, type: DefType, module: ModuleInst, funcidx: int, code: Code) -> FuncInst:
        """Spec: alloc-func.  ``type`` must expand to a function type."""
        assert isinstance(type.comp, FuncType)
        func = FuncInst(len(self.funcs), type, type.comp, module, funcidx, code)
        self.funcs.append(func)
        return func

    def alloc_host_func(
        self, functype: FuncType, call: Callable[[Caller, tuple[Any, ...]], Sequence[Any]],
    ) -> HostFunc:  # fmt: skip
        """Add a function of the host; see HostFunc for what ``call`` must do."""
        func = HostFunc(len(self.funcs), func_deftype(functype), functype, call)
        self.funcs.append(func)
        return func

    def alloc_table(self, type: TableType, init: Any = None) -> TableInst:
        """Spec: alloc-table."""
        self.tables.append(TableInst(len(self.tables), type, self.config.max_table_elements, init))
        return self.tables[-1]

    def alloc_mem(self, type: MemType) -> MemInst:
        """Spec: alloc-mem."""
        limit_pages = (self.config.max_memory_pages << 16) >> type.page_bits
        self.mems.append(MemInst(len(self.mems), type, limit_pages))
        return self.mems[-1]

    def alloc_global(self, type: GlobalType, value: Any) -> GlobalInst:
        """Spec: alloc-global."""
        self.globals.append(GlobalInst(len(self.globals), type, value))
        return self.globals[-1]

    def alloc_tag(self, type: TagType) -> TagInst:
        """Spec: alloc-tag.  ``type`` is closed."""
        self.tags.append(TagInst(len(self.tags), type))
        return self.tags[-1]

    def alloc_elem(self, type: RefType, elems: tuple[Any, ...]) -> ElemInst:
        """Spec: alloc-elem."""
        self.elems.append(ElemInst(len(self.elems), type, elems))
        return self.elems[-1]

    def alloc_data(self, data: bytes) -> DataInst:
        """Spec: alloc-data."""
        self.datas.append(DataInst(len(self.datas), data))
        return self.datas[-1]

    def alloc_extern(self, value: Any) -> ExternRef:
        """Add an external reference to a value of the host."""
        self.externs.append(ExternRef(len(self.externs), value))
        return self.externs[-1]

    def new_struct(self, type: DefType, fields: list[Any]) -> StructInst:
        """Spec: alloc-struct.  Raises ExhaustionError where there is no room."""
        size = OBJECT_BYTES + FIELD_BYTES * len(fields)
        self.heap_room -= size
        if self.heap_room < 0:
            self._survey(size)
        return StructInst(type, fields)

    def reserve(self, n: int) -> None:
        """Take the room of an array of ``n`` elements, or raise ExhaustionError; to be called before it is made."""
        size = OBJECT_BYTES + FIELD_BYTES * n
        self.heap_room -= size
        if self.heap_room < 0:
            self._survey(size)

    def new_array(self, type: DefType, elems: list[Any]) -> ArrayInst:
        """Spec: alloc-array.  Its room was taken by :meth:`reserve`."""
        return ArrayInst(type, elems)

    def new_exn(self, tag: TagInst, values: tuple[Any, ...]) -> ExnInst:
        """Spec: alloc-exn.  Raises ExhaustionError where there is no room."""
        self.reserve(len(values))
        return ExnInst(tag, values)

    def _survey(self, size: int) -> None:
        """Find out how much of what was made is still in use: that and ``size`` more must be within the limit.

        A quarter of the limit may be made before the next survey, so that surveys take a bounded share of the time.
        """
        limit = self.config.max_heap_bytes
        room = limit - size
        if room >= 0:
            room -= measure()
        self.heap_room = max(room, limit // 4) if room >= 0 else 0
        if room < 0:
            raise ExhaustionError(Resource.HEAP)
