"""One pass over a body as a translator goes, for what it sees of lengths; see ``constness.py``."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from engine.execution.sight import (
    ACCESS,
    BULK,
    GET,
    GLOBAL,
    IS_NULL,
    LITERAL,
    OPERATOR,
    SET,
    SIZE,
    TEE,
    TEST,
    UNCHECKED,
    kind_of,
    literal_global,
    never_in_bounds,
)
from engine.execution.ssa import NON_NULL, UNKNOWN, Values
from engine.instructions.immediates import labels_in
from engine.instructions.model import Control
from engine.instructions.reference import ref_test_null
from engine.matching import matches, top
from engine.types import FUNCREF, I31, I32, I64, NOEXN, NOEXTERN, NOFUNC, NONE, RefType, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.instructions.model import Instr
    from engine.runtime.instance import FuncInst
    from engine.types import ResultType
    from engine.validation.context import Context

__all__ = ["Translation"]

BLOCK, LOOP, IF, TRY_TABLE = Control.BLOCK, Control.LOOP, Control.IF, Control.TRY_TABLE


class Construct:
    """A construct that is open.

    ``exit`` is the block behind it, ``target`` the one that branches to its label go to, which take ``arity`` values.
    ``height`` is that of the stack to go back to, at ``exit`` without the ``below`` values that lie there for ``else``.
    """

    __slots__ = (
        "arity", "below", "catches", "checkpoint", "control", "exit", "head", "height", "is_branched_to", "otherwise",
        "results", "target", "then_ends",
    )  # fmt: skip

    def __init__(self, control: Control | None, height: int, exit_: int, results: int) -> None:
        self.control = control
        self.height = height
        self.exit = self.target = exit_
        self.arity = self.results = results
        self.below = 0
        self.is_branched_to = False
        self.catches: list[int] = []
        self.checkpoint = -1
        self.head = -1  # of an ``if`` that is reached: the block before it
        self.otherwise = -1  # its block for ``else``, if that is made with it
        self.then_ends: bool | None = None  # whether control comes to its ``else``


class Translation:
    """One pass over a body, as a translator goes, with the stack of values; ``here`` is the current block."""

    def __init__(self, func: FuncInst, found: dict[int, int], steps: int) -> None:
        code = func.code
        self.body = code.body
        self.found = found
        self.module = func.module.module
        self.c: Context = func.module.context.function(func.functype, code.locals)
        self.values = Values(steps)
        self.slots: dict[int, list[int]] = {}  # of blocks: what each parameter is
        self.entry = self.here = self.values.block()
        self.values.seal(self.entry)
        self.params = len(func.functype.params)
        self.ends = [*accumulate((n for n, _ in code.locals), initial=self.params)]
        self.locals: dict[int, int] = {}
        self.zeros: dict[int, int] = {}
        self.stack: list[int] = []
        self.handlers: list[tuple[int | None, int]] = []
        self.constructs = [Construct(None, 0, self.with_params(func.functype.results), len(func.functype.results))]
        self.is_reached = True
        self.check()

    def run(self) -> None:
        """Note the constant lengths."""
        for pc, (row, imms, _) in enumerate(self.body):
            control = row.control
            if self.is_reached:
                if control is None:
                    _STEPS[kind_of(row)](self, pc, row, imms)
                else:
                    _CONTROLS.get(control, Translation.other)(self, row, imms)
            elif control in _UNREACHED:
                _UNREACHED[control](self, imms)

    # blocks

    def with_params(self, ts: ResultType) -> int:
        """Add a block with parameters."""
        b = self.values.block()
        self.values.spend(len(ts))
        if ts:
            self.slots[b] = [self.values.variable() if t is I32 or t is I64 else _opaque(t) - 1 for t in ts]
        return b

    def push_params(self, b: int) -> None:
        """Push the parameters of a block, which is the current one."""
        slots = self.slots.get(b, ())
        self.values.spend(len(slots))
        self.stack += [self.values.use(x, b) if x >= 0 else x + 1 for x in slots]

    def jump(self, b: int, n: int) -> None:
        """Add a way from here, with the ``n`` topmost values."""
        if n:
            stack = self.stack
            self.pass_on(b, stack[len(stack) - n :])
        self.values.preds[b].append(self.here)

    def pass_on(self, b: int, vs: Sequence[int]) -> None:
        self.values.spend(len(vs))
        for x, v in zip(self.slots.get(b, ()), vs, strict=True):
            if x >= 0:
                self.values.defs[x][self.here] = v

    def check(self) -> None:
        """A check of the fuel: a way round by the call that gives more."""
        block = self.values.block
        out = block(self.here)
        self.here = block(self.here, out)

    def label(self, l: int) -> Construct:
        """Return the construct that a branch goes to."""
        construct = self.constructs[-1 - l]
        construct.is_branched_to = construct.control is not LOOP
        return construct

    def edges(self) -> None:
        """Add the ways to the handlers that an exception may take from here: none is beyond one that takes all."""
        for tag, b in reversed(self.handlers):
            self.values.spend()
            self.values.preds[b].append(self.here)
            if tag is None:
                break

    # the stack

    def apply(self, row: Instr, imms: tuple[Any, ...]) -> bool:
        """Pop operands, push what is known of results, and tell whether what follows is reached."""
        pops, pushes, polymorphic = row.arrow(self.c, imms)
        stack = self.stack
        n = len(stack) - len(pops)
        first = stack[n] if pops else UNKNOWN
        del stack[n:]
        if pushes:
            self.values.spend(len(pushes))
            stack += [_opaque(t, first) for t in pushes]
        return not polymorphic

    def operator(self, pc: int, row: Instr, imms: tuple[Any, ...]) -> None:
        self.apply(row, imms)

    def literal(self, pc: int, row: Instr, imms: tuple[Any, ...]) -> None:
        self.stack.append(self.values.constant(imms[0]))

    def access(self, pc: int, row: Instr, imms: tuple[Any, ...]) -> None:
        """Nothing is translated after an access that always traps."""
        self.is_reached = not never_in_bounds(self.c, row, imms)
        self.apply(row, imms)

    def local(self, x: int) -> int:
        """Return the variable of a local, -1 if that is no integer."""
        found = self.locals.get(x)
        if found is None:
            t = self.c.locals[x]
            if t is not I32 and t is not I64:
                return -1
            found = self.locals[x] = self.values.variable()
            self.values.defs[found][self.entry] = UNKNOWN if x < self.params else self.zero(bisect_right(self.ends, x))
        return found

    def zero(self, run: int) -> int:
        """Return the zero that locals declared together begin with."""
        if run not in self.zeros:
            self.zeros[run] = self.values.constant(0)
        return self.zeros[run]

    def get(self, pc: int, row: Instr, imms: tuple[Any, ...]) -> None:
        x = self.local(imms[0])
        self.stack.append(_opaque(self.c.locals[imms[0]]) if x < 0 else self.values.use(x, self.here))

    def set(self, pc: int, row: Instr, imms: tuple[Any, ...]) -> None:
        self.tee(pc, row, imms)
        self.stack.pop()

    def tee(self, pc: int, row: Instr, imms: tuple[Any, ...]) -> None:
        x = self.local(imms[0])
        if x >= 0:
            self.values.defs[x][self.here] = self.stack[-1]
        else:
            self.stack[-1] = _opaque(self.c.locals[imms[0]])

    def global_(self, pc: int, row: Instr, imms: tuple[Any, ...]) -> None:
        """A global that cannot change is its literal."""
        n = literal_global(self.module, self.c, imms[0])
        self.stack.append(_opaque(self.c.global_(imms[0]).valtype) if n is None else self.values.constant(n))

    def size(self, pc: int, row: Instr, imms: tuple[Any, ...]) -> None:
        """A table that cannot grow has its size."""
        limits = self.c.table(imms[0]).limits
        self.stack.append(self.values.constant(limits.min) if limits.min == limits.max else UNKNOWN)

    def is_null(self, pc: int, row: Instr, imms: tuple[Any, ...]) -> None:
        """Types decide whether a reference that cannot be null is null."""
        self.stack[-1] = self.values.constant(0) if self.stack[-1] == NON_NULL else UNKNOWN

    def test(self, pc: int, row: Instr, imms: tuple[Any, ...]) -> None:
        """Types decide whether a reference is any of its hierarchy, null too, or none of it."""
        heap = self.c.close_heaptype(imms[0])
        null = row.make is ref_test_null
        if null and heap is top(heap):
            self.stack[-1] = self.values.constant(1)
        elif heap in _BOTTOMS and (not null or self.stack[-1] == NON_NULL):
            self.stack[-1] = self.values.constant(0)
        else:
            self.stack[-1] = UNKNOWN

    def bulk(self, pc: int, row: Instr, imms: tuple[Any, ...]) -> None:
        """A length, and the blocks that the operator is translated to."""
        assert row.bulk is not None
        pops = row.arrow(self.c, imms).pops
        v = self.values.known(self.stack[len(self.stack) - len(pops) + row.bulk.length])
        length = self.values.constants.get(v)
        if length is not None:
            self.found[pc] = length
        if self.has_barriers(row, imms):
            self.loop_inside()
        if length is None or length > UNCHECKED:
            self.check()
        self.apply(row, imms)

    def has_barriers(self, row: Instr, imms: tuple[Any, ...]) -> bool:
        """Tell whether elements are moved in a loop in which each has a barrier, of the collector or of lazy tables."""
        spaces = [imm.name for imm in row.imms]
        if "tableidx" in spaces:
            of = [self.c.table(x).reftype for x, space in zip(imms, spaces, strict=True) if space == "tableidx"]
            return _is_collected(of[0]) or (len(of) > 1 and matches(of[0], FUNCREF))
        if spaces[0] != "typeidx" or "dataidx" in spaces:
            return False
        array: Any = self.c.type(imms[0]).comp
        return type(array.field.storage) is RefType and _is_collected(array.field.storage)

    def loop_inside(self) -> None:
        """A loop with a way round in its body, before which no variable is known to be the same as after it."""
        values = self.values
        done, header, barrier, latch = (values.block() for _ in range(4))
        ways = [
            (done, self.here), (header, self.here), (barrier, header), (latch, header), (latch, barrier),
            (header, latch), (done, latch),
        ]  # fmt: skip
        for to, of in ways:
            values.preds[to].append(of)
        for b in (barrier, latch, header, done):
            values.seal(b)
        self.here = done

    # constructs

    def open(self, control: Control, imms: tuple[Any, ...]) -> Construct:
        """Open a construct whose parameters are on the stack."""
        t = self.c.blocktype(imms[0])
        self.values.spend(len(t.params))
        construct = Construct(control, len(self.stack) - len(t.params), self.with_params(t.results), len(t.results))
        self.constructs.append(construct)
        self.c.labels.append(t.params if control is LOOP else t.results)
        return construct

    def block(self, row: Instr, imms: tuple[Any, ...]) -> None:
        self.open(BLOCK, imms)

    def loop(self, row: Instr, imms: tuple[Any, ...]) -> None:
        params = self.c.blocktype(imms[0]).params
        header = self.with_params(params)
        construct = self.open(LOOP, imms)
        construct.target, construct.arity = header, len(params)
        self.jump(header, len(params))
        del self.stack[construct.height :]
        self.here = header
        self.push_params(header)
        self.check()

    def if_(self, row: Instr, imms: tuple[Any, ...]) -> None:
        """Two ways; the one for ``else`` is made later if there need not be an ``else``."""
        self.stack.pop()
        t = self.c.blocktype(imms[0])
        n = len(t.params)
        construct = self.open(IF, imms)
        construct.head = self.here
        if t.params == t.results:
            self.jump(construct.exit, n)
        else:
            construct.otherwise = self.values.block(self.here)
        self.here = self.values.block(self.here)
        self.stack += self.stack[construct.height :]
        construct.height += n
        construct.below = n

    def else_(self, row: Instr, imms: tuple[Any, ...]) -> None:
        construct = self.constructs[-1]
        construct.then_ends = True
        self.jump(construct.exit, construct.results)
        self.begin_else(construct)

    def begin_else(self, construct: Construct) -> None:
        """Go on where the condition was false; what that way leads to is changed if it led to the end."""
        del self.stack[construct.height :]
        if construct.otherwise < 0:
            preds = self.values.preds[construct.exit]
            k = preds.index(construct.head)
            preds[k] = preds[-1]
            preds.pop()
            construct.otherwise = self.values.block(construct.head)
        self.here = construct.otherwise

    def try_table(self, row: Instr, imms: tuple[Any, ...]) -> None:
        """Handlers get their ways from the calls in the construct, and are sealed at its end."""
        here = self.here
        body = self.values.block(here)
        checkpoint = len(self.handlers)
        catches = []
        for clause in reversed(imms[1]):
            b = self.here = self.values.block()
            self.handlers.append((clause.tag, b))
            catches.append(b)
            construct = self.label(clause.label)
            self.pass_on(construct.target, [UNKNOWN] * construct.arity)
            self.values.preds[construct.target].append(b)
        self.here = body
        construct = self.open(TRY_TABLE, imms)
        construct.catches, construct.checkpoint = catches, checkpoint

    def end(self, row: Instr, imms: tuple[Any, ...]) -> None:
        construct = self.constructs.pop()
        self.c.labels.pop()
        self.jump(construct.exit, construct.results)
        self.here = construct.exit
        self.values.seal(construct.exit)
        if construct.control is LOOP:
            self.values.seal(construct.target)
        self.leave(construct)
        self.push_params(construct.exit)

    def leave(self, construct: Construct) -> None:
        """Leave the handlers of a construct and what is on the stack."""
        if construct.checkpoint >= 0:
            del self.handlers[construct.checkpoint :]
        for b in construct.catches:
            self.values.seal(b)
        del self.stack[construct.height - construct.below :]

    # constructs in code that is not reached

    def open_unreached(self, imms: tuple[Any, ...]) -> None:
        self.constructs.append(Construct(BLOCK, len(self.stack), -1, 0))
        self.c.labels.append(())

    def else_unreached(self, imms: tuple[Any, ...]) -> None:
        construct = self.constructs[-1]
        construct.then_ends = False
        if construct.head >= 0:
            self.is_reached = True
            self.begin_else(construct)

    def end_unreached(self, imms: tuple[Any, ...]) -> None:
        construct = self.constructs.pop()
        self.c.labels.pop()
        self.leave(construct)
        if construct.control is LOOP:
            self.values.seal(construct.target)
        elif construct.is_branched_to or (construct.head >= 0 and construct.then_ends is not False):
            self.here = construct.exit
            self.values.seal(construct.exit)
            self.push_params(construct.exit)
            self.is_reached = True

    # branches

    def br(self, row: Instr, imms: tuple[Any, ...]) -> None:
        construct = self.label(imms[0])
        self.jump(construct.target, construct.arity)
        self.is_reached = False

    def branch(self, l: int) -> None:
        """A branch that may not be taken."""
        construct = self.label(l)
        self.jump(construct.target, construct.arity)
        self.here = self.values.block(self.here)

    def br_if(self, row: Instr, imms: tuple[Any, ...]) -> None:
        self.stack.pop()
        self.branch(imms[0])

    def br_on_null(self, row: Instr, imms: tuple[Any, ...]) -> None:
        self.stack.pop()
        self.branch(imms[0])
        self.stack.append(NON_NULL)

    def br_on_non_null(self, row: Instr, imms: tuple[Any, ...]) -> None:
        self.branch(imms[0])
        self.stack.pop()

    def br_on_cast(self, row: Instr, imms: tuple[Any, ...]) -> None:
        if row.control is Control.BR_ON_CAST_BY:
            self.stack.pop()
        (l,) = labels_in(row.imms[0], imms[0])
        self.branch(l)
        self.stack[-1] = _opaque(row.arrow(self.c, imms).pushes[-1])

    def br_table(self, row: Instr, imms: tuple[Any, ...]) -> None:
        """A branch with values goes by a block of its own for each label."""
        self.stack.pop()
        labels, default = imms[0]
        self.values.spend(len(labels))
        order = dict.fromkeys((*labels, default))
        if not self.label(default).arity:
            for l in order:
                self.jump(self.label(l).target, 0)
        else:
            ways = {l: self.values.block(self.here) for l in order}
            for l, b in ways.items():
                self.here = b
                construct = self.label(l)
                self.jump(construct.target, construct.arity)
        self.is_reached = False

    def call(self, row: Instr, imms: tuple[Any, ...]) -> None:
        """Where a handler may take an exception of the call, what follows is a block of its own.

        A call by a table that can hold nothing always traps.
        """
        spaces = zip(imms, row.imms, strict=True)
        if any(imm.name == "tableidx" and self.c.table(x).reftype.heap is NOFUNC for x, imm in spaces):
            self.is_reached = False
            return
        if self.handlers:
            self.edges()
            self.here = self.values.block(self.here)
        self.apply(row, imms)

    def throw(self, row: Instr, imms: tuple[Any, ...]) -> None:
        self.edges()
        self.is_reached = False

    def leaves(self, row: Instr, imms: tuple[Any, ...]) -> None:
        self.is_reached = False

    def other(self, row: Instr, imms: tuple[Any, ...]) -> None:
        self.is_reached = self.apply(row, imms)


def _opaque(t: Any, operand: int = UNKNOWN) -> int:
    """Return what is known of a value by its type; what is null if an operand is, is known as that is."""
    if type(t) is not RefType:
        return UNKNOWN
    null: Any = t.null
    return operand if type(null) is TypeVar else UNKNOWN if null else NON_NULL


def _is_collected(t: RefType) -> bool:
    """Tell whether references of a type may be to what the collector owns; i31 is known not to be."""
    return t.heap is not I31 and t.heap is not NONE and not matches(t, FUNCREF)


_BOTTOMS = frozenset({NONE, NOFUNC, NOEXTERN, NOEXN})
_T = Translation
_STEPS = {
    LITERAL: _T.literal, GET: _T.get, SET: _T.set, TEE: _T.tee, GLOBAL: _T.global_, SIZE: _T.size, BULK: _T.bulk,
    ACCESS: _T.access, IS_NULL: _T.is_null, TEST: _T.test, OPERATOR: _T.operator,
}  # fmt: skip
_CONTROLS = {
    Control.BLOCK: _T.block, Control.LOOP: _T.loop, Control.IF: _T.if_, Control.ELSE: _T.else_, Control.END: _T.end,
    Control.BR: _T.br, Control.BR_IF: _T.br_if, Control.BR_TABLE: _T.br_table, Control.BR_ON_NULL: _T.br_on_null,
    Control.BR_ON_NON_NULL: _T.br_on_non_null, Control.BR_ON_CAST: _T.br_on_cast, Control.BR_ON_CAST_BY: _T.br_on_cast,
    Control.CALL: _T.call, Control.THROW: _T.throw, Control.TRY_TABLE: _T.try_table,
    # what leaves the function, whose typing asks for its results
    Control.RETURN: _T.leaves, Control.TAIL_CALL: _T.leaves, Control.UNREACHABLE: _T.leaves,
}  # fmt: skip
_UNREACHED = {
    Control.BLOCK: _T.open_unreached, Control.LOOP: _T.open_unreached, Control.IF: _T.open_unreached,
    Control.TRY_TABLE: _T.open_unreached, Control.ELSE: _T.else_unreached, Control.END: _T.end_unreached,
}  # fmt: skip
