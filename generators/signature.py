"""The shape of a module, chosen before any body: types, imports, functions, memories, tables, globals, segments.

Bodies ask it what exists, which palette they draw from, and which calls keep a module terminating. Everything
defined is exported, so that an observer sees all state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.features import (
    BULK_MEMORY,
    CUSTOM_PAGE_SIZES,
    MEMORY64,
    MULTI_MEMORY,
    MULTI_VALUE,
    REFERENCE_TYPES,
    SIMD,
    THREADS,
)  # fmt: skip
from engine.instructions.model import Region
from engine.matching import close_rectype, matches_heap, top
from engine.module import Active, Data, Elem, Export, FuncImport, Global, Import, In, Module, Passive, Table
from engine.types import (
    EXNREF,
    EXTERNREF,
    FUNC,
    FUNCREF,
    I32,
    I64,
    V128,
    ArrayType,
    DefType,
    FuncType,
    GlobalType,
    Limits,
    MemType,
    NumType,
    RecType,
    RefType,
    SubType,
    TableType,
    TagType,
    ValType,
    VecType,
    ref,
)  # fmt: skip
from engine.validation.context import Context
from generators.build import END, const, default_expr, extended_const, ref_func
from generators.heap import Heap
from generators.palette import NUMERIC, Palette
from generators.present import choose_present, is_absent, is_present, nullable
from generators.throwing import choose_tags
from generators.values import choose_bits

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.instructions.immediates import BlockType
    from engine.module import Expr
    from engine.types import AddrType, ResultType
    from generators.palette import Option
    from generators.profile import Profile
    from generators.source import Source

__all__ = ["Signatures"]

HOST_MODULE = "host"


class Signatures:
    """``functypes`` are the types by type index, ``imported`` the number of host functions, ``work`` the index of the
    global that bounds guarded activations (always the last global)."""

    def __init__(self, source: Source, profile: Profile) -> None:
        self.source = source
        self.profile = profile
        self.heap = Heap(source, profile)
        self.present = choose_present(source, profile, self.heap.values)
        self.functypes: list[FuncType] = []  # behind the types of the heap
        self.imports: list[Import] = []
        self.funcs: list[int] = []  # type index by function index, imports first
        self.flags: list[str] = []  # by function index: plain, guarded or leaf
        self._escaping: dict[RefType, list[int]] = {}
        self._stores: dict[ValType, list[Option]] = {}
        self._choose_functions()
        self._choose_subtypes()
        self._choose_callbacks()
        self.plain_types = len(self.functypes)
        self.tags = choose_tags(source, profile, self.choose_valtype)
        for ts in self.tags:
            self._declare_tag(ts)
        self._choose_memories()
        self._choose_tables()
        self._choose_globals()
        self._choose_segments()
        self.module = self.assemble()
        self.context = Context.of_module(self.module, profile.features)
        self.palette = Palette(self.context, profile, self._allowed, self.heap, self.present)
        self.calls = [o for o in self.palette.calls if self._is_likely(o) or source.chance(3)]
        self.tail_calls = self.palette.tail_calls(self.calls)

    # -- choices

    def _typeidx(self, t: FuncType) -> int:
        if t not in self.functypes:
            self.functypes.append(t)
        return self.functypes.index(t) + len(self.heap.types)

    def _declare_tag(self, ts: ResultType) -> None:
        """Make the type of a tag and those of blocks that end where its exceptions are handled."""
        self._typeidx(FuncType(ts, ()))
        for results in (ts, (*ts, EXNREF)):
            if len(results) > 1:
                self._typeidx(FuncType((), results))

    def blocktype(self, ts: ResultType) -> BlockType:
        """Return the type of a block that gives one value, or what a handler finds."""
        if len(ts) > 1:
            return self._typeidx(FuncType((), ts))
        return self.heap.open(ts[0]) if ts else None

    def choose_valtype(self) -> ValType:
        """Return a value type: mostly a number, sometimes a vector or a reference."""
        if self.heap.values and self.source.chance(30):
            return self.source.choose(self.heap.values)
        if REFERENCE_TYPES in self.profile.features and self.source.chance(self.profile.reference_percent):
            return self.source.choose((EXTERNREF, FUNCREF))
        if SIMD in self.profile.features and self.source.chance(self.profile.vector_percent):
            return V128
        return self.source.choose(NUMERIC)

    def choose_type(self) -> ValType:
        """Return a value type, or the type of references that are not null."""
        if self.present and self.source.chance(30):
            return self.source.choose(self.present)
        return self.choose_valtype()

    def _functype(self, choose: Callable[[], ValType]) -> FuncType:
        source, profile = self.source, self.profile
        params = tuple(choose() for _ in range(source.between(*profile.params)))
        count = source.choose((1, 1, 1, 1, 0, 1, 2, 3, 0, 2))
        low, high = profile.results
        if MULTI_VALUE not in profile.features:
            high = min(high, 1)
        return FuncType(params, tuple(choose() for _ in range(min(max(count, low), high))))

    def _choose_functions(self) -> None:
        source = self.source
        for k in range(source.between(*self.profile.hosts)):
            t = self._functype(self.choose_valtype)
            params = tuple(EXTERNREF if p in self.heap.values else p for p in t.params)
            numeric = FuncType(params, tuple(r for r in t.results if not isinstance(r, RefType)))
            self.imports.append(Import(HOST_MODULE, f"h{k}", FuncImport(self._typeidx(numeric))))
            self.funcs.append(self._typeidx(numeric))
            self.flags.append("leaf")
        self.imported = len(self.imports)
        for k in range(source.between(*self.profile.functions)):
            with source.span("signature"):
                reuse = self.functypes and source.chance(25)
                t = source.choose(self.functypes) if reuse else self._functype(self.choose_type)
                if k == 0:  # at least one function can be called from outside
                    t = FuncType(tuple(map(nullable, t.params)), t.results)
                self.funcs.append(self._typeidx(t))
                self.flags.append(source.choose(("plain", "guarded", "leaf")))
        if self.present and self.flags[-1] == "plain":  # there must be a function that references may be to
            self.flags[-1] = "leaf"
        self.start: int | None = None
        if source.chance(self.profile.start_percent):
            self.start = len(self.funcs)
            self.funcs.append(self._typeidx(FuncType((), ())))
            self.flags.append("plain")

    def _choose_subtypes(self) -> None:
        """Give some functions a type of their own, a subtype of what they had; not what host functions have."""
        self.supers: dict[int, int] = {}
        hosts = set(self.funcs[: self.imported])
        for x in range(self.imported, len(self.funcs)) if self.heap.types else ():
            typeidx = self.funcs[x]
            if typeidx not in hosts and self.source.chance(25):
                self.functypes.append(self.functype(x))
                self.funcs[x] = len(self.heap.types) + len(self.functypes) - 1
                self.supers[self.funcs[x]] = typeidx
        self.heap.functions = sorted({*self.supers, *self.supers.values()})

    def _choose_callbacks(self) -> None:
        """Let functions take one more parameter, a reference to functions of the type of another."""
        source = self.source
        own = self.exported()
        if not self.present or not source.chance(40):
            return
        called = source.choose([x for x in own if self.flags[x] != "plain"])
        types = list(self.heap.types)
        for y, functype in enumerate(self.functypes):
            types += close_rectype(RecType((self._subtype(y, functype),)), types)
        self.heap.index[types[self.funcs[called]]] = self.funcs[called]
        t = ref(False, types[self.funcs[called]])
        self.present += (t,)
        self._escaping[t] = [called]
        for x in own[1:]:
            if x != called and source.chance(50):
                before = self.functype(x)
                self.funcs[x] = self._typeidx(FuncType((*before.params, t), before.results))

    def _choose_memories(self) -> None:
        source = self.source
        self.mems: list[MemType] = []
        if source.chance(self.profile.memory_percent):
            self.mems.append(self._memtype())
            while MULTI_MEMORY in self.profile.features and len(self.mems) < 4 and source.chance(15):
                self.mems.append(self._memtype())

    def _memtype(self) -> MemType:
        source, features = self.source, self.profile.features
        low = 0 if source.chance(2) else source.choose((1, 1, 1, 2))
        high = low + source.choose((1, 0, 2, 3))
        addrtype = self._addrtype()
        if THREADS in features and source.chance(10):
            return MemType(Limits(low, high), addrtype, shared=True)
        if CUSTOM_PAGE_SIZES in features and source.chance(8):
            low = source.choose((300, 65536, 1000, 65537, 7))
            return MemType(Limits(low, low + source.choose((1, 0, 2, 70000))), addrtype, page_bits=0)
        return MemType(Limits(low, high), addrtype)

    def _addrtype(self) -> AddrType:
        return I64 if MEMORY64 in self.profile.features and self.source.chance(15) else I32

    def _choose_tables(self) -> None:
        source = self.source
        self.tables: list[TableType] = []
        for reftype in (FUNCREF, EXTERNREF) if REFERENCE_TYPES in self.profile.features else (FUNCREF,):
            if source.chance(self.profile.table_percent // (1 if reftype is FUNCREF else 3)):
                low = source.choose((6, 4, 8, 2, 10))
                limits = Limits(low, low + source.choose((4, 0, 8)))
                self.tables.append(TableType(reftype, limits, self._addrtype()))
        if self.heap.values and source.chance(50):
            low = source.choose((4, 2, 6))
            limits = Limits(low, low + source.choose((4, 0)))
            self.tables.append(TableType(source.choose(self.heap.values), limits, self._addrtype()))
        self.filled: dict[int, Expr] = {}  # what the slots of a table hold at first, where that is not null
        if self.present and source.chance(40):
            t = source.choose([t for t in self.present if top(t.heap) is FUNC] or self.present)
            self.filled[len(self.tables)] = self._initial(t)
            self.tables.append(TableType(t, Limits(3, 3 + source.choose((2, 0))), self._addrtype()))

    def _choose_globals(self) -> None:
        source = self.source
        self.globals: list[Global] = []
        for _ in range(source.between(*self.profile.globals)):
            t = self.choose_type()
            mutable = not source.chance(20)
            self.globals.append(Global(GlobalType(mutable, t), self._initial(t)))
        self.work = len(self.globals)
        self.globals.append(Global(GlobalType(True, I32), (const(I32, 0), END)))

    def _initial(self, t: ValType) -> Expr:
        """A constant expression: a number, an object, a function or null."""
        if not isinstance(t, RefType):
            return self._constant_expr(t)
        if not t.null:
            return (*self.fresh(t), END)
        if t in self.heap.values and self.source.chance(80):
            return (*self.heap.fresh(self.source, t), END)
        return (self.default(t), END)

    def default(self, t: ValType) -> In:
        """Return the instruction that pushes zero or null."""
        return default_expr(self.heap.open(t))

    def fresh(self, t: RefType) -> list[In]:
        """Return constant instructions that push a reference of type ``t`` that is not null."""
        if top(t.heap) is FUNC:
            return [ref_func(self.source.choose(self.escaping(t)))]
        return self.heap.fresh(self.source, t)

    def least(self, t: ValType) -> list[In]:
        """Return instructions that push zero or null, or what is not null where it must not be."""
        return self.fresh(t) if isinstance(t, RefType) and not t.null else [self.default(t)]

    def _constant_expr(self, t: NumType | VecType) -> Expr:
        """A constant, or with extended constants now and then a small sum."""
        first = const(t, choose_bits(self.source, t))
        extended = [r for r in extended_const(t) if r.const in self.profile.features]
        if extended and self.source.chance(20):
            return (first, const(t, choose_bits(self.source, t)), In(self.source.choose(extended)), END)
        return (first, END)

    def _choose_segments(self) -> None:
        source, features = self.source, self.profile.features
        is_bulk = BULK_MEMORY in features  # passive segments, and the count of segments
        self.datas: list[Data] = []
        if self.mems:
            for _ in range(source.below(3)):
                init = source.bits(8 * source.choose((8, 0, 16, 1))) if source.chance(90) else 0
                content = init.to_bytes((init.bit_length() + 7) // 8, "little")
                x = source.below(len(self.mems))
                active = self.memory_bytes(x) > 64 and source.chance(60)
                offset = (const(self.mems[x].addrtype, source.below(48)), END)
                if active or is_bulk:
                    self.datas.append(Data(content, Active(x, offset) if active else Passive()))
        if self.heap.types and source.chance(70):
            self.datas.append(Data(source.bits(128).to_bytes(16, "little"), Passive()))
        self.elems: list[Elem] = []
        callable_ = [x for x, flag in enumerate(self.flags) if flag != "plain"]
        elemtype = FUNCREF if REFERENCE_TYPES in features else ref(False, FUNC)  # the latter is the list of indices
        for x, table in enumerate(self.tables):
            if table.reftype is not FUNCREF or not callable_:
                continue
            room = table.limits.min
            active_ = Active(x, (const(table.addrtype, source.below(3)), END))
            for mode in (active_, Passive()) if is_bulk else (active_,):
                size = source.between(0, room - 2) if isinstance(mode, Active) else source.below(5)
                refs = tuple((ref_func(source.choose(callable_)), END) for _ in range(size))
                self.elems.append(Elem(elemtype, refs, mode))
        self._choose_object_segments()

    def _choose_object_segments(self) -> None:
        """Objects for tables, and for arrays of references."""
        source = self.source
        wanted: list[tuple[RefType, Active | Passive]] = [
            (table.reftype, Active(x, (const(table.addrtype, source.below(2)), END)))
            for x, table in enumerate(self.tables) if table.reftype in self.heap.values
        ]  # fmt: skip
        fields = [t.comp.field.storage for t in self.heap.types if isinstance(t.comp, ArrayType)]
        wanted += [(t, Passive()) for t in fields if isinstance(t, RefType) and t is not FUNCREF]
        for t, mode in wanted:
            n = source.between(0, 2) if isinstance(mode, Active) else source.between(1, 4)
            self.elems.append(Elem(t, tuple(self._initial(t) for _ in range(n)), mode))

    # -- what bodies ask

    def functype(self, x: int) -> FuncType:
        """Return the type of function ``x``."""
        return self.functypes[self.funcs[x] - len(self.heap.types)]

    def exported(self) -> list[int]:
        """Return the functions that are exported, in order."""
        return [x for x in range(self.imported, len(self.funcs)) if x != self.start]

    def callable(self) -> list[int]:
        """Return the functions that can be called from outside: a host can make what they take.

        What a start function shows has numbers before the exports have theirs, so then none of them can be passed.
        """
        refused = is_absent if self.start is None else is_present
        return [x for x in self.exported() if not any(map(refused, self.functype(x).params))]

    def is_guarded(self, x: int) -> bool:
        """Tell whether function ``x`` takes a unit of ``work`` on entry."""
        return self.flags[x] == "guarded"

    def is_plain(self, x: int) -> bool:
        """Tell whether function ``x`` is called only by earlier functions, outside of their loops."""
        return self.flags[x] == "plain"

    def may_call(self, caller: int, option: Option, in_loop: bool) -> bool:
        """Tell whether this call keeps every execution bounded (see ``generators.body``)."""
        if self.flags[caller] == "leaf":
            return False
        if option.row.imms[0].name != "funcidx":
            return True  # references are to guarded functions and leaves only
        callee: int = option.imms[0]
        if callee == self.start:
            return False
        return self.flags[callee] != "plain" or (callee > caller and not in_loop)

    def _allowed(self, option: Option) -> bool:
        """A reference to a function may be called from anywhere, so only to a guarded one or a leaf; nobody but
        the guards writes ``work``."""
        kinds = [imm.name for imm in option.row.imms]
        if "funcidx" in kinds:
            escaping: int = option.imms[kinds.index("funcidx")]
            return self.flags[escaping] != "plain"
        return Region.GLOBAL not in option.row.writes or bool(option.imms[0] != self.work)

    def _is_likely(self, call: Option) -> bool:
        """Tell whether a call can succeed: not an indirect one of a type that no slot of the table holds, nor one by a
        reference to a type that no function has."""
        if Region.TABLE in call.row.reads:
            return bool(self.slots(call.imms[1], call.imms[0]))
        return call.row.imms[0].name == "funcidx" or bool(self.escaping(call.pops[-1]))

    def typeidx_of(self, t: ValType) -> int:
        """Return the type index of the functions that a reference type is to."""
        assert isinstance(t, RefType) and isinstance(t.heap, DefType)
        return self.context.types.index(t.heap)

    def escaping(self, t: ValType) -> list[int]:
        """Return the functions of a type to which there may be references."""
        assert isinstance(t, RefType)
        found = self._escaping.get(t)
        if found is None:
            found = [x for x in self.exported() if self.flags[x] != "plain"]
            if t.heap is not FUNC:
                found = [x for x in found if matches_heap(self.context.funcs[x], t.heap)]
            self._escaping[t] = found
        return found

    def stores(self, t: NumType | VecType) -> list[Option]:
        """Return the options that store a whole ``t`` in a memory that has room for some of them."""
        found = self._stores.get(t)
        if found is None:
            found = [o for o in self.palette.stores(t) if self.memory_bytes(o.imms[0].mem) > 256]
            self._stores[t] = found
        return found

    def sink(self, t: ValType) -> int | None:
        """Return a mutable global of type ``t`` that takes values nobody wants, or None."""
        for x, g in enumerate(self.globals[: self.work]):
            if g.type.mutable and g.type.valtype is t:
                return x
        return None

    def memory_bytes(self, x: int) -> int:
        """Return the initial size of memory ``x``."""
        return self.mems[x].limits.min << self.mems[x].page_bits

    def table_room(self, x: int) -> int:
        """Return the initial number of slots of table ``x``."""
        return self.tables[x].limits.min

    def segment_room(self, kind: str, x: int) -> int:
        """Return the length of segment ``x``, a ``dataidx`` or an ``elemidx``."""
        return len(self.datas[x].init if kind == "dataidx" else self.elems[x].init)

    def slots(self, table: int, typeidx: int) -> list[int]:
        """Return the slots of a table that instantiation fills with functions of this type."""
        if table in self.filled:
            held = self.filled[table][0]
            fits = held.row.name == "ref.func" and self.funcs[held.imms[0]] == typeidx
            return list(range(self.tables[table].limits.min)) if fits else []
        found = []
        for elem in self.elems:
            if isinstance(elem.mode, Active) and elem.mode.index == table:
                base = elem.mode.offset[0].imms[0]
                fitting = (typeidx, *[sub for sub, super_ in self.supers.items() if super_ == typeidx])
                found += [base + k for k, e in enumerate(elem.init) if self.funcs[e[0].imms[0]] in fitting]
        return found

    # -- the module

    def _subtype(self, y: int, t: FuncType) -> SubType:
        """Return the ``y``-th function type, with its supertype if it has one, and open if it is one."""
        x = len(self.heap.types) + y
        supers = (self.supers[x],) if x in self.supers else ()
        return SubType(x not in self.supers.values(), supers, self._open(t))

    def _open(self, t: FuncType) -> FuncType:
        return FuncType(tuple(map(self.heap.open, t.params)), tuple(map(self.heap.open, t.results)))

    def assemble(self) -> Module:
        """Return the module without bodies; everything defined is exported."""
        exports = [Export(f"f{x}", "func", x) for x in self.exported()]
        exports += [Export(f"m{x}", "mem", x) for x in range(len(self.mems))]
        exports += [Export(f"t{x}", "table", x) for x in range(len(self.tables))]
        exports += [Export(f"g{x}", "global", x) for x in range(self.work)]
        exports += [Export(f"x{x}", "tag", x) for x in range(len(self.tags))]
        exports.append(Export("work", "global", self.work))
        open_ = self.heap.open
        return Module(
            types=(*self.heap.groups, *(RecType((self._subtype(y, t),)) for y, t in enumerate(self.functypes))),
            imports=tuple(self.imports),
            funcs=tuple(self.funcs[self.imported :]),
            tables=tuple(
                Table(TableType(open_(t.reftype), t.limits, t.addrtype), self.filled.get(x))
                for x, t in enumerate(self.tables)
            ),
            mems=tuple(self.mems),
            tags=tuple(TagType(self._typeidx(FuncType(ts, ()))) for ts in self.tags),
            globals=tuple(Global(GlobalType(g.type.mutable, open_(g.type.valtype)), g.init) for g in self.globals),
            exports=tuple(exports),
            start=self.start,
            elems=tuple(Elem(open_(e.type), e.init, e.mode) for e in self.elems),
            datas=tuple(self.datas),
            data_count=len(self.datas) if self.datas and BULK_MEMORY in self.profile.features else None,
        )
