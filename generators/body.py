"""Typed bodies from the table: one function body per :class:`Body`.

The shape is a tree: an expression of a wanted type picks a row that pushes it and makes its operands; a statement
leaves the stack as it found it. Several results (calls, blocks of a function type) are consumed from the top by
stores to locals. So a body is valid by construction and hardly anything it computes is dropped.

Termination is by construction too, because most engines have no fuel. Every loop counts a local of its own down,
the product of nested counts is bounded by the profile. A call may go to a later function, or to a *guarded* one,
which begins by taking one unit from the global ``work`` and returns defaults when there is none; from inside a loop
only to a guarded one or to a leaf. The plan sets ``work`` again before each call.

Choice 0 is the simplest alternative everywhere: a constant 0, no statement, no nesting.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.errors import TrapKind
from engine.instructions.model import Effect
from engine.matching import matches, top
from engine.module import In
from engine.numerics.lanes import F32X4
from engine.types import ANY, F32, I32, FuncType, NumType, RefType, ValType, VecType
from generators.build import ELSE, END, const, instr
from generators.heap import castable, operands
from generators.immediates import fill
from generators.operands import aimed, present, tame
from generators.palette import Choices, Role
from generators.present import Given, is_present
from generators.statements import FLAT, NESTED, Label
from generators.throwing import tail_call, throw
from generators.values import EDGES, choose_bits, choose_sharp, choose_vector

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.instructions.immediates import BlockType
    from engine.instructions.model import Instr
    from engine.numerics.lanes import Shape
    from generators.palette import Option
    from generators.signature import Signatures
    from generators.source import Source

__all__ = ["Body"]

MAX_OPEN = 16  # expressions inside each other: conditions, arms and addresses begin anew with a depth of their own


class Body:
    """Generates the body of function ``index``; ``locals`` grows by the counters and temporaries it needs."""

    def __init__(self, source: Source, module: Signatures, index: int, declared: Sequence[ValType]) -> None:
        self.source = source
        self.module = module
        self.profile = module.profile
        self.index = index
        self.functype: FuncType = module.functype(index)
        self.locals: list[ValType] = [*self.functype.params, *declared]
        self.visible = len(self.locals)  # counters and temporaries come behind and are nobody else's
        self.out: list[In] = []
        self.labels: list[Label] = [Label(self.functype.results, True)]
        self.trips = 1
        self.budget = self.profile.instructions
        self.uses_work = False
        self.open = 0  # expressions begun and not ended
        self._temporaries: dict[ValType, int] = {}
        self.settable: dict[ValType, list[int]] = {}  # locals by their type
        for x, t in enumerate(self.locals):
            self.settable.setdefault(t, []).append(x)
        self._late = [x for x in range(len(self.functype.params), self.visible) if is_present(self.locals[x])]
        self._given = Given(self._late)
        self._present = [t for t in self.settable if is_present(t)]
        self._calls: dict[tuple[bool, ValType | None], Choices] = {}
        self._tail_calls: dict[bool, Choices] = {}

    def held(self, t: ValType) -> list[int]:
        """Return the locals that hold a ``t`` here."""
        found = self.settable.get(t, [])
        if not self._present or not isinstance(t, RefType):
            return found
        found = found + [x for u in self._present if u is not t and matches(u, t) for x in self.settable[u]]
        return [x for x in found if self._given.may_read(x, self.out)]

    def calls(self, t: ValType | None = None) -> Choices:
        """Return the calls that may be made here, those that push one ``t`` if there is a ``t``."""
        in_loop = self.trips > 1
        found = self._calls.get((in_loop, t))
        if found is None:
            may = self.module.may_call
            options = [o for o in self.module.calls if t is None or o.pushes == (t,)]
            found = self._calls[in_loop, t] = Choices(o for o in options if may(self.index, o, in_loop))
        return found

    def tail_calls(self) -> Choices:
        """Return the tail calls that may be made here: the calls that give what this function gives."""
        in_loop = self.trips > 1
        found = self._tail_calls.get(in_loop)
        if found is None:
            may, results = self.module.may_call, self.functype.results
            options = [o for o in self.module.tail_calls if o.pushes == results and may(self.index, o, in_loop)]
            found = self._tail_calls[in_loop] = Choices(options)
        return found

    # -- whole function

    def generate(self) -> tuple[In, ...]:
        """Return the body, ``end`` included."""
        if self.module.is_guarded(self.index):
            self._guard()
        self._objects()
        self.statements(self.profile.nesting)
        if not (self.tail_calls() and self.source.chance(12) and tail_call(self)):
            for t in self.functype.results:
                self.expr(t, self.profile.expression_depth)
        self.out.append(END)
        return tuple(self.out)

    def _objects(self) -> None:
        """Give most locals an object, and parameters where they are null."""
        heap, params = self.module.heap, len(self.functype.params)
        for x, t in enumerate(self.locals[: self.visible]):
            if t not in heap.values or self.source.chance(15):
                continue
            assert isinstance(t, RefType)
            if x < params:
                self.emit("local.get", x)
                self.emit("ref.is_null")
                self.emit("if", None)
            self.out.extend(heap.fresh(self.source, t))
            self.emit("local.set", x)
            if x < params:
                self.out.append(END)

    def _guard(self) -> None:
        work = self.module.work
        self.uses_work = True
        self.emit("global.get", work)
        self.emit("i32.eqz")
        self.emit("if", None)
        for t in self.functype.results:
            self.out.extend(self.module.least(t))
        self.emit("return")
        self.out.append(END)
        self.emit("global.get", work)
        self.out.append(const(I32, 1))
        self.emit("i32.sub")
        self.emit("global.set", work)

    def emit(self, name: str, *imms: Any) -> None:
        """Append the instruction of this name; for the few shapes that the generator itself prescribes."""
        self.out.append(instr(name, *imms))

    # -- statements

    def statements(self, nesting: int) -> None:
        """Append some statements, before which a local without a default value may get one."""
        if self._late and self.source.chance(50):
            x = self.source.choose(self._late)
            self.out.extend(self.module.least(self.locals[x]))
            self.emit("local.set", x)
        low, high = self.profile.statements
        count = self.source.between(0, high) if nesting < self.profile.nesting else self.source.between(low, high)
        for _ in range(count):
            if len(self.out) >= self.budget or self.source.exhausted:
                return
            start = len(self.source.tape)
            self.statement(nesting)
            self.source.mark(start, "statement")

    def statement(self, nesting: int) -> None:
        """Append one statement."""
        menu = NESTED if nesting > 0 else FLAT
        self.source.choose(menu)(self, nesting - 1)

    def consume(self, t: ValType) -> None:
        """Append what takes one value of type ``t`` from the stack, a drop only where nothing else can."""
        sets = self.settable.get(t)
        sink = self.module.sink(t)
        if sets and (sink is None or not self.source.chance(25)) and not self.source.chance(self.profile.drop_percent):
            self.emit("local.set", self.source.choose(sets))
        elif sink is not None:
            self.emit("global.set", sink)
        elif sets is not None or t in self._temporaries:
            self.emit("drop")
        else:
            self.emit("local.set", self.temporary(t))

    def arm(self, types: tuple[ValType, ...], nesting: int) -> None:
        """Append statements and then values of ``types``, or a transfer of control that makes them unnecessary."""
        self.labels.append(Label(types, True))
        self.statements(nesting)
        if self.source.chance(12):
            self._leave()
        else:
            for t in types:
                self.expr(t, 2)
        self.labels.pop()

    def _leave(self) -> None:
        """End an arm by a transfer of control; what follows would be dead code."""
        free = [l for l in range(len(self.labels)) if self.labels[-1 - l].free]
        how = self.source.below(16)
        if how == 15:
            self.emit("unreachable")
        elif (how == 14 and throw(self)) or (how >= 12 and tail_call(self)):
            return
        elif how >= 10:
            for t in self.functype.results:
                self.expr(t, 1)
            self.emit("return")
        else:
            l = self.source.choose(free)
            for t in self.labels[-1 - l].types:
                self.expr(t, 1)
            self.emit("br", l)

    def enter(self, name: str, blocktype: BlockType, types: tuple[ValType, ...], *imms: Any, free: bool = True) -> None:
        """Begin a construct whose label takes ``types``."""
        self.emit(name, blocktype, *imms)
        self.labels.append(Label(types, free))

    def leave(self) -> None:
        """End the innermost construct."""
        self.labels.pop()
        self.out.append(END)

    def block(self, nesting: int) -> None:
        """Append a block that gives nothing."""
        self.emit("block", None)
        self.arm((), nesting)
        self.out.append(END)

    def new_local(self, t: ValType) -> int:
        """Declare a local that no choice sees and return its index."""
        self.locals.append(t)
        return len(self.locals) - 1

    def temporary(self, t: ValType) -> int:
        """Return the index of a local of this type that no choice sees."""
        if t not in self._temporaries:
            self._temporaries[t] = self.new_local(t)
        return self._temporaries[t]

    # -- expressions

    def expr(self, t: ValType, depth: int) -> None:
        """Append what pushes one value of type ``t``."""
        source = self.source
        if t not in self.module.palette.producers:
            self._function(t)
            return
        start = len(source.tape)
        how = source.below(16)
        self.open += 1
        if how < 3 or self.open > MAX_OPEN or len(self.out) >= self.budget + 60:
            self._constant(t)
        elif how < 6 or depth <= 0:
            self.leaf(t)
        elif how < 15:
            self._operation(t, depth)
        else:
            self._construct(t, depth)
        self.open -= 1
        source.mark(start, "expr")

    def _function(self, t: ValType) -> None:
        """Append a reference of a function type, almost always to a function."""
        held = self.held(t)
        if held and self.source.chance(50):
            self.emit("local.get", self.source.choose(held))
            return
        found = self.module.escaping(t)
        if found and not self.source.chance(3):
            self.emit("ref.func", self.source.choose(found))
        else:
            self.emit("ref.null", self.module.typeidx_of(t))

    def _constant(self, t: ValType) -> None:
        if not isinstance(t, RefType):
            self.out.append(const(t, choose_bits(self.source, t)))
        elif not t.null:
            self.out.extend(self.module.fresh(t))
        elif top(t.heap) is ANY and self.source.chance(80):
            self.out.extend(self.module.heap.fresh(self.source, t))
        elif self.source.chance(50) and self.module.palette.leaves[t]:
            self.option(self.module.palette.leaves[t].choose(self.source), 0)
        else:
            self.out.append(self.module.default(t))

    def leaf(self, t: ValType) -> None:
        """Append what pushes one value of type ``t`` and has no operands, mostly a local."""
        held = self.held(t)
        if held and not self.source.chance(25):
            self.emit("local.get", self.source.choose(held))
            return
        leaves = self.module.palette.leaves[t]
        if leaves:
            self.option(leaves.choose(self.source), 0)
        else:
            self._constant(t)

    def _operation(self, t: ValType, depth: int) -> None:
        source = self.source
        if source.chance(8):
            calls = self.calls(t)
            if calls:
                self.option(calls.choose(source), depth - 1)
                return
        if source.chance(6):
            own = self.settable.get(t)
            if own:
                x = source.choose(own)
                self.expr(t, depth - 1)
                self.emit("local.tee", x)
                return
        producers = self.module.palette.producers[t]
        if producers:
            self.option(producers.choose(source), depth - 1)
        else:
            self.leaf(t)

    def _construct(self, t: ValType, depth: int) -> None:
        """A block, an if or a branch out of a block that gives one ``t``, or a choice of two references."""
        how = self.source.below(4 if is_present(t) else 3)
        if how == 0:
            self.emit("block", self.module.heap.open(t))
            self.arm((t,), 0)
        elif how == 1:
            self.condition()
            self.emit("if", self.module.heap.open(t))
            self.arm((t,), 0)
            self.out.append(ELSE)
            self.arm((t,), 0)
        elif how == 3:
            self.expr(t, depth - 1)
            self.expr(t, depth - 1)
            self.condition()
            self.emit("select t", (self.module.heap.open(t),))
            return
        else:
            self.emit("block", self.module.heap.open(t))
            self.labels.append(Label((t,), True))
            self.expr(t, depth - 1)
            self.condition()
            self.emit("br_if", 0)
            self.consume(t)
            self.expr(t, depth - 1)
            self.labels.pop()
        self.out.append(END)

    def condition(self) -> None:
        """Append an i32 used as a truth value."""
        self.expr(I32, 2)

    def _sharp(self, t: NumType | VecType, bits: int) -> None:
        """Append an operand that is a local, which a boundary argument may be in, or these bits."""
        locals_ = self.settable.get(t)
        if locals_ and self.source.chance(40):
            self.emit("local.get", self.source.choose(locals_))
        else:
            self.out.append(const(t, bits))

    def option(self, option: Option, depth: int, is_sharp: bool = False) -> None:
        """Append the operands of ``option``, then the instruction with its immediates filled."""
        source = self.source
        row, imms = option.row, option.imms
        if option.fills:
            imms = fill(source, option)
        if row.family == "heap":
            operands(self, option, depth)
            self.out.append(In(row, imms))
            return
        pops = option.pops
        is_sharp = is_sharp or (len(pops) > 1 and source.chance(8))
        last = len(pops) - 1
        agree = row.agree if row.agree and self._must_agree(row) else None
        for k, (t, role) in enumerate(zip(pops, option.roles, strict=True)):
            if role is not Role.VALUE:
                aimed(self, t, role, option, imms, k)
            elif isinstance(t, RefType):
                if TrapKind.CAST_FAILURE in row.traps:
                    castable(self, option, depth)
                elif row.traps and row.effect is Effect.PURE:
                    present(self, t, depth)
                else:
                    self.expr(t, depth)
            elif isinstance(t, VecType):
                if is_sharp and row.lanes:
                    self._sharp(t, choose_vector(source, row.lanes[0]))
                else:
                    self.expr(t, depth)
            elif k == last and row.traps and row.effect is Effect.PURE and not (is_sharp and source.chance(30)):
                tame(self, t, depth)
            elif is_sharp:
                self._sharp(t, choose_sharp(source, t) if last else source.choose(EDGES[t]))
            else:
                self.expr(t, depth)
            if agree:
                for name, *rest in agree[k]:
                    self.emit(name, *rest)
        self.out.append(In(row, imms))
        if row.nan and self.profile.nan == "module":
            self._canonicalise(option.pushes[0], row.lanes[1] if row.lanes else None)

    def _must_agree(self, row: Instr) -> bool:
        """Tell whether operands must be such that all choices of a relaxed row give the same result."""
        profile = self.profile
        return profile.nan != "engine" or row.name in profile.disputed or self.source.chance(50)

    def _canonicalise(self, t: ValType, shape: Shape | None) -> None:
        """Replace a NaN on the stack, or in lanes of this shape, by the canonical one (NaN profile ``module``)."""
        nan = 0x7FC00000 if t is F32 or shape is F32X4 else 0x7FF8 << 48
        x = self.temporary(t)
        self.emit("local.tee", x)
        self.out.append(const(t, nan * shape.ones if shape else nan))
        self.emit("local.get", x)
        self.emit("local.get", x)
        self.emit(f"{shape or t}.eq")
        self.emit("v128.bitselect" if shape else "select")
