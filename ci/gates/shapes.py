"""Programs in shapes that matter to a debugger and that the generator makes rarely, from one choice tape.

Deep chains of calls, tail calls in the middle of a body, branch tables whose arms call, throw and trap, operands that
lie below constructs and calls, blocks of several values, loops, handlers, functions of the host that call back.  A body
is a walk over a stack of types: each step pushes what it needs, and what it leaves lies there for the steps to come.
A global bounds the calls of a step, counters the loops, so every program ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from engine.binary import encode
from engine.instructions import TABLE
from engine.instructions.immediates import Catch, MemArg
from engine.module import Active, Code, Elem, Export, FuncImport, Global, Import, In, Module, Table
from engine.types import (
    EXTERNREF,
    F32,
    F64,
    FUNCREF,
    I32,
    I64,
    V128,
    FuncType,
    GlobalType,
    Limits,
    MemType,
    RecType,
    RefType,
    SubType,
    TableType,
    TagType,
)
from generators.build import ELSE, END, const, default_expr, instr, ref_func
from oracles.plan import HOST, HostFunc, Plan, Step
from oracles.plan import Limits as PlanLimits

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from engine.types import ValType
    from generators.source import Source
    from oracles.plan import Value

__all__ = ["FEATURES", "shape"]

FEATURES = (
    "bulk-memory", "exceptions", "extended-const", "function-references", "mutable-globals", "multi-value", "mvp",
    "reference-types", "saturating-float-to-int", "sign-extension", "simd", "tail-call",
)  # fmt: skip

_TYPES: tuple[ValType, ...] = (I32, I64, F32, F64, V128, EXTERNREF, FUNCREF)
_HOSTS = (FuncType((I32, F64), (I64,)), FuncType((), ()), FuncType((V128, EXTERNREF), (F32, I32)))
_TAGS: tuple[tuple[ValType, ...], ...] = ((), (I32, V128), (F64, EXTERNREF))
_SHARP = (0, 1, 2, -1, 1 << 31, 0x7FF0_0000_0000_0001, 0x7FC0_0001, 1 << 63, 3)
_WORK = 24  # calls in one step
_OPERATORS = [
    TABLE.by_name[name] for name in (
        "i32.add", "i32.div_s", "i32.rem_u", "i32.eqz", "i64.sub", "i64.div_u", "i64.extend_i32_s", "i32.wrap_i64",
        "f32.copysign", "f64.neg", "f32.reinterpret_i32", "f64.reinterpret_i64", "i32.trunc_f64_s", "i64.trunc_f32_u",
        "i8x16.swizzle", "i64x2.extract_lane", "i32x4.splat",
    )
]  # fmt: skip
_ACCESSES = tuple(
    (TABLE.by_name[name], t)
    for name, t in (("i32.load", I32), ("i64.load8_s", I64), ("f32.load", F32), ("v128.load", V128))
)  # fmt: skip


class _Func(NamedTuple):
    x: int
    type: FuncType


def shape(
    source: Source, features: Collection[str] = FEATURES, without: Collection[str] = (), *, only_null: bool = False
) -> Plan:
    """Return the program that the choices of ``source`` describe, of no more than these features.

    ``without`` are instructions to do without; ``only_null`` says that the host gives no other references.
    """
    program = _Program(source, [name for name in FEATURES if name in features], without)
    program.references = (None,) if only_null else (None, 1)
    return program.plan()


class _Program:
    """One module and the steps that run it."""

    def __init__(self, source: Source, features: Sequence[str], without: Collection[str]) -> None:
        self.source = source
        self.features = tuple(features)
        self.tags = _TAGS if "exceptions" in features else ()
        self.references: tuple[int | None, ...] = (None,)  # that the host gives
        self.operators = [row for row in _OPERATORS if row.name not in without]
        first = len(_HOSTS)
        self.funcs = [_Func(x, t) for x, t in enumerate(_HOSTS)]
        results = self.types(2)
        for x in range(first, first + source.between(3, 6)):
            if source.chance(40):  # other results than those that tail calls agree on
                results = self.types(2)
            self.funcs.append(_Func(x, FuncType(self.types(3), results)))
        self.functypes: list[FuncType] = []
        for functype in (*(f.type for f in self.funcs), *(FuncType(tag, ()) for tag in self.tags)):
            self.typeidx(functype)

    def types(self, most: int) -> tuple[ValType, ...]:
        return tuple(self.source.choose(_TYPES) for _ in range(self.source.between(0, most)))

    def typeidx(self, functype: FuncType) -> int:
        """Return the index of a function type."""
        if functype not in self.functypes:
            self.functypes.append(functype)
        return self.functypes.index(functype)

    def plan(self) -> Plan:
        source = self.source
        own = self.funcs[len(_HOSTS) :]
        steps = [Step("instantiate", {"instance": "m", "module": "m", "imports": {"host": [HOST]}})]
        for _ in range(source.between(2, 5)):
            steps.append(Step("set", {"instance": "m", "export": "work", "value": ["i32", f"{_WORK:08x}"]}))
            f = source.choose(own)
            steps.append(Step("call", {"instance": "m", "export": f"f{f.x}", "args": self.arguments(f)}))
            steps.append(Step("observe", {"instances": []}))  # what was told in host calls
        hosts = {f"h{x}": self.host(t, own) for x, t in enumerate(_HOSTS)}
        limits = PlanLimits(memory_pages=16, table_elements=1000)
        return Plan(tuple(steps), {"m": encode(self.module())}, hosts=hosts, features=self.features, limits=limits)

    def host(self, functype: FuncType, own: list[_Func]) -> HostFunc:
        source = self.source
        actions: list[tuple[object, ...]] = [("record",), ("mix", source.below(1 << 16))]
        how = source.below(8)
        if how == 5:
            f = source.choose(own)
            actions.append(("call", "m", f"f{f.x}", self.arguments(f)))
        elif how == 6:
            actions.append(("trap", "stop", source.between(1, 4)))
        elif how == 7 and self.tags:
            actions.append(("throw", "m", "e0", [], source.between(1, 4)))
        return HostFunc(tuple(map(str, functype.params)), tuple(map(str, functype.results)), tuple(actions))

    def arguments(self, f: _Func) -> list[Value]:
        out: list[Value] = []
        for t in f.type.params:
            if isinstance(t, RefType):
                out.append((str(t), self.source.choose(self.references) if t is EXTERNREF else None))
            else:
                out.append((str(t), f"{self.bits(t):0{t.bits // 4}x}"))
        return out

    def bits(self, t: ValType) -> int:
        """Return the bits of a number or vector: small, at an edge, or any."""
        assert not isinstance(t, RefType)
        if self.source.chance(60):
            return self.source.choose(_SHARP) & (1 << t.bits) - 1
        return self.source.bits(t.bits)

    def module(self) -> Module:
        own = self.funcs[len(_HOSTS) :]
        codes = tuple(_Body(self, f).code() for f in own)
        exports = [Export(f"f{f.x}", "func", f.x) for f in own]
        exports += [Export("work", "global", 0), *(Export(f"e{x}", "tag", x) for x in range(len(self.tags)))]
        elems = [(ref_func(self.source.choose(self.funcs).x), END) for _ in range(6)]
        tags = tuple(TagType(self.typeidx(FuncType(tag, ()))) for tag in self.tags)
        return Module(
            types=tuple(RecType((SubType(True, (), t),)) for t in self.functypes),
            imports=tuple(Import("host", f"h{x}", FuncImport(self.typeidx(t))) for x, t in enumerate(_HOSTS)),
            funcs=tuple(self.typeidx(f.type) for f in own),
            tables=(Table(TableType(FUNCREF, Limits(8, 8))),),
            mems=(MemType(Limits(1, 1)),),
            tags=tags,
            globals=(Global(GlobalType(True, I32), (const(I32, 0), END)),),
            exports=tuple(exports),
            elems=(Elem(FUNCREF, tuple(elems), Active(0, (const(I32, 1), END)), 4),),
            codes=codes,
        )


class _Body:
    """The body of one function.

    ``stack`` has the types of all operands, of which the innermost construct cannot reach the lowest ``base``.
    """

    def __init__(self, program: _Program, func: _Func) -> None:
        self.program = program
        self.source = program.source
        self.func = func
        self.locals = [*func.type.params, *program.types(4)]
        self.counters: set[int] = set()  # locals that only loops set
        self.out: list[In] = []
        self.stack: list[ValType] = []
        self.base = 0
        self.depth = 0
        self.left = 40  # steps
        tails, throws = (int(name in program.features) for name in ("tail-call", "exceptions"))
        self.steps: list[tuple[int, Callable[[], None]]] = [
            (6, self.push_any), (8, self.operator), (3, self.access), (4, self.set_local), (8, self.call),
            (4, self.call_indirect), (2 * tails, self.tail_call), (3, self.unreachable), (2 * throws, self.throw),
            (4, self.block), (3, self.if_), (3, self.loop), (3, self.branch_table), (4 * throws, self.try_table),
            (2, self.drop),
        ]  # fmt: skip

    def code(self) -> Code:
        results = self.func.type.results
        self.emit("global.get", 0)
        self.emit("i32.eqz")
        self.emit("if", None)
        self.out += [default_expr(t) for t in results]
        self.emit("return")
        self.out.append(END)
        self.emit("global.get", 0)
        self.out.append(const(I32, 1))
        self.emit("i32.sub")
        self.emit("global.set", 0)
        self.run(self.source.between(4, 12))
        self.settle(results)
        declared = tuple((1, t) for t in self.locals[len(self.func.type.params) :])
        return Code(declared, (*self.out, END))

    def emit(self, name: str, *imms: object) -> None:
        self.out.append(instr(name, *imms))

    def run(self, steps: int) -> None:
        """Take so many steps."""
        weights = [sum(w for w, _ in self.steps[: i + 1]) for i in range(len(self.steps))]
        for _ in range(steps):
            if self.left <= 0:
                return
            self.left -= 1
            self.steps[self.source.weighted(weights)][1]()

    def settle(self, results: tuple[ValType, ...]) -> None:
        """Leave exactly these results of what the construct has pushed."""
        keep = len(self.stack) - len(results)
        if keep < self.base or tuple(self.stack[keep:]) != results or keep != self.base:
            while len(self.stack) > self.base:
                self.drop()
            for t in results:
                self.push(t)

    # one value

    def push(self, t: ValType) -> None:
        known = [x for x, u in enumerate(self.locals) if u is t]
        if known and self.source.chance(60):
            self.emit("local.get", self.source.choose(known))
        elif t is FUNCREF and self.source.chance(50):
            self.out.append(ref_func(self.source.choose(self.program.funcs[len(_HOSTS) :]).x))
        elif isinstance(t, RefType):
            self.out.append(default_expr(t))
        else:
            self.out.append(const(t, self.program.bits(t)))
        self.stack.append(t)

    def need(self, ts: tuple[ValType, ...]) -> None:
        """Have operands of these types on top."""
        n = len(ts)
        if len(self.stack) - n < self.base or (n and tuple(self.stack[-n:]) != ts):
            for t in ts:
                self.push(t)

    def pop(self, n: int) -> None:
        del self.stack[len(self.stack) - n :]

    def push_any(self) -> None:
        self.push(self.source.choose(_TYPES))

    def condition(self) -> None:
        """Push a condition that holds now and then; it is not counted as an operand."""
        numbers = [x for x, t in enumerate(self.locals) if t is I32]
        if numbers and self.source.chance(70):
            self.emit("local.get", self.source.choose(numbers))
            self.out.append(const(I32, self.source.choose((1, 2, 3))))
            self.emit("i32.and")
        else:
            self.emit("global.get", 0)
            self.out.append(const(I32, self.source.between(1, _WORK)))
            self.emit("i32.eq")

    # steps

    def operator(self) -> None:
        row = self.source.choose(self.program.operators)
        imms = tuple(0 for _ in row.imms)
        arrow = row.arrow(None, imms)
        self.need(arrow.pops)
        self.out.append(In(row, imms))
        self.pop(len(arrow.pops))
        self.stack += arrow.pushes

    def access(self) -> None:
        row, t = self.source.choose(_ACCESSES)
        self.need((I32,))
        self.out.append(In(row, (MemArg(0, self.source.choose((0, 8, 65_535, 0xFFFF_FFFF)), 0),)))
        self.pop(1)
        self.stack.append(t)

    def set_local(self) -> None:
        free = [x for x in range(len(self.locals)) if x not in self.counters]
        if free:
            x = self.source.choose(free)
            self.need((self.locals[x],))
            self.emit("local.set", x)
            self.pop(1)

    def drop(self) -> None:
        if len(self.stack) > self.base:
            self.emit("drop")
            self.stack.pop()

    def arguments(self, functype: FuncType) -> None:
        self.need(functype.params)
        self.pop(len(functype.params))

    def call(self) -> None:
        f = self.source.choose(self.program.funcs)
        self.arguments(f.type)
        self.emit("call", f.x)
        self.stack += f.type.results

    def call_indirect(self) -> None:
        f = self.source.choose(self.program.funcs)
        self.arguments(f.type)
        self.out.append(const(I32, self.source.below(9)))
        self.emit("call_indirect", self.program.typeidx(f.type), 0)
        self.stack += f.type.results

    def tail_call(self) -> None:
        """Leave by a tail call under a condition."""
        fitting = [f for f in self.program.funcs if f.type.results == self.func.type.results]
        f = self.source.choose(fitting)
        is_indirect = self.source.chance(30)

        def leave() -> None:
            self.need(f.type.params)
            if is_indirect:
                self.out.append(const(I32, self.source.below(9)))
                self.emit("return_call_indirect", self.program.typeidx(f.type), 0)
            else:
                self.emit("return_call", f.x)

        self.departing(leave)

    def unreachable(self) -> None:
        self.departing(lambda: self.emit("unreachable"))

    def throw(self) -> None:
        x = self.source.below(len(_TAGS))

        def leave() -> None:
            self.need(_TAGS[x])
            self.emit("throw", x)

        self.departing(leave)

    def departing(self, leave: Callable[[], None]) -> None:
        """Go where no way leads back, under a condition, with some operands beneath."""
        stack, base = list(self.stack), self.base
        self.condition()
        self.emit("if", None)
        self.base = len(self.stack)
        for _ in range(self.source.below(3)):
            self.push_any()
        leave()
        self.out.append(END)
        self.stack, self.base = stack, base

    # constructs

    def inside(self, params: tuple[ValType, ...], results: tuple[ValType, ...], fill: Callable[[], None]) -> None:
        """Fill a construct that takes ``params`` from the stack and leaves ``results``."""
        base = self.base
        self.base = len(self.stack) - len(params)
        self.depth += 1
        fill()
        self.settle(results)
        self.depth -= 1
        self.base = base

    def signature(self) -> tuple[tuple[ValType, ...], tuple[ValType, ...]]:
        """Return the type of a construct, whose parameters are on the stack."""
        n = self.source.below(min(2, len(self.stack) - self.base) + 1)
        return tuple(self.stack[len(self.stack) - n :]), self.program.types(2)

    def some(self) -> None:
        self.run(self.source.between(1, 5))

    def blocktype(self, params: tuple[ValType, ...], results: tuple[ValType, ...]) -> int:
        return self.program.typeidx(FuncType(params, results))

    def block(self) -> None:
        if self.depth >= 3:
            return
        params, results = self.signature()
        self.emit("block", self.blocktype(params, results))

        def fill() -> None:
            self.some()
            if not results:
                self.condition()
                self.emit("br_if", 0)
            self.some()

        self.inside(params, results, fill)
        self.out.append(END)

    def if_(self) -> None:
        if self.depth >= 3:
            return
        params, results = self.signature()
        self.condition()
        self.emit("if", self.blocktype(params, results))
        before = list(self.stack)
        self.inside(params, results, self.some)
        self.out.append(ELSE)
        self.stack = before
        self.inside(params, results, self.some)
        self.out.append(END)

    def loop(self) -> None:
        """Loop up to three times, counted in a local of its own, with parameters that go round."""
        if self.depth >= 2:
            return
        params, _ = self.signature()
        self.locals.append(I32)
        counter = len(self.locals) - 1
        self.counters.add(counter)
        self.out.append(const(I32, self.source.between(1, 3)))
        self.emit("local.set", counter)
        self.emit("loop", self.blocktype(params, params))

        def fill() -> None:
            self.some()
            self.settle(params)
            self.emit("local.get", counter)
            self.out.append(const(I32, 1))
            self.emit("i32.sub")
            self.emit("local.tee", counter)
            self.out.append(const(I32, 0))
            self.emit("i32.gt_s")
            self.emit("br_if", 0)

        self.inside(params, params, fill)
        self.out.append(END)

    def branch_table(self) -> None:
        """Choose one of several arms, each of which may be left in any way."""
        if self.depth >= 2:
            return
        arms = self.source.between(1, 3)
        before, base = list(self.stack), self.base
        for _ in range(arms + 1):
            self.emit("block", None)
        self.base = len(self.stack)
        self.need((I32,))
        self.emit("br_table", (tuple(self.source.below(arms + 1) for _ in range(arms)), arms))
        self.depth += 1
        for n in range(arms):
            self.out.append(END)
            self.stack = list(before)
            self.base = len(before)
            self.some()
            self.settle(())
            self.emit("br", arms - 1 - n)
        self.depth -= 1
        self.out.append(END)
        self.stack, self.base = before, base

    def try_table(self) -> None:
        """Catch an exception of one tag, or any, and go on with what it carries."""
        if self.depth >= 2:
            return
        tag = self.source.choose((0, 1, 2, None))
        caught = () if tag is None else _TAGS[tag]
        self.emit("block", self.blocktype((), caught))

        def fill() -> None:
            self.emit("try_table", self.blocktype((), ()), (Catch(tag, False, 0),))
            self.inside((), (), self.some)
            self.out.append(END)

        self.inside((), caught, fill)
        self.out.append(END)
