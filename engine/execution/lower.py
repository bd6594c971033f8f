"""From a validated body to a graph of blocks, without recursion, each block when control first comes to it.

A pass goes from the start of a *lazy* block to where control has a choice; what lies beyond are lazy blocks again.
Much of a body never runs, and finding the labels first is cheap.  A block is a function of its place in the body alone:
its operand stack is known where it begins, and where ways meet it is all in slots or constant.

The operand stack is symbolic.  An entry is

* an int: a register, either a local or the entry's own slot;
* a list of one item: a constant;
* a tuple ``(make, a, b, w, x, mask, depth)``: a pending expression, whose closure is made once it is known where its
  value goes: ``make(d, a, b, w, x)``, see ``generate.py``.

What is pending is evaluated later than its instruction stood, so an effect in between must not be able to tell.
``mask`` says what a pending entry depends on: a bit per register (modulo 32, so a collision costs a move and nothing
else), one per region of the store, and TRAPS.  Whoever disturbs something first calls ``spill`` with those bits; then
the entries up to the topmost that depends on them are put in their slots, bottom-up, in the order of evaluation.
Two invariants keep that right: the entry at height p reads no slot below p, and every entry below ``floor`` is settled
(a constant or its own slot), which also bounds the work of a spill whatever the height of the stack.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.errors import ExhaustionError, Resource, UnsupportedError, Where
from engine.execution.build import build_of
from engine.execution.closures import (
    CLOSURE,
    CONDITION,
    CONSTANT,
    REGISTER,
    VALUE,
    constant,
    grow,
    move,
    move_many,
    register,
    registers,
)  # fmt: skip
from engine.execution.constness import constant_lengths
from engine.execution.frame import (
    IF,
    IF_REGISTER,
    JUMP,
    LAZY,
    NOTHING,
    RETURN,
    RETURN_ONE,
    Block,
    Frame,
    Label,
    Lowered,
)  # fmt: skip
from engine.execution.fuel import Start
from engine.execution.labels import labels_of
from engine.execution.rules import BITS, TRAPS
from engine.types import RefType
from engine.values import default

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.execution.build import Build
    from engine.execution.frame import Registers
    from engine.validation.context import Context

__all__ = ["Lowering", "complete", "lower"]

MAX_NESTING = 24  # of closures in one expression: Python frames are spent on it
MAX_PENDING = 64  # entries above the floor
MAX_MOVES = 8  # values that a branch carries one by one
MAX_REGISTERS = 1 << 22  # of all frames of one function that are on the stack at once, roughly
TALL = 256  # entries that a snapshot of the stack holds; a taller stack is put in its slots and told by its height
SPARE = 8  # operand slots that a frame has beyond what the first blocks need

# Members of the enumeration as globals: reading them from their class is slow.
ENTRY, PLAIN = Start.ENTRY, Start.PLAIN


def lower(code: Lowered) -> Block:
    """Build the first blocks of a function that is called for the first time, and return the entry.

    Raises ExhaustionError for a frame too large to make, UnsupportedError for an instruction without a rule.
    """
    func = code.func
    params = len(func.functype.params)
    declared = sum(n for n, _ in func.code.locals)
    if declared + params > MAX_REGISTERS:
        raise ExhaustionError(Resource.STACK, Where(func.funcidx))
    code.blocks = []  # of an attempt that was interrupted
    lowering = Lowering(code, build_of(func.module.store.config), params + declared)
    entry = lowering.first()
    zeros: Registers = []
    for n, t in func.code.locals:
        zeros += [None if type(t) is RefType else default(t)] * n
    code.zeros = zeros + [None] * (lowering.size - lowering.nl)
    code.lowering = lowering
    code.entry = entry
    return entry


def complete(code: Lowered) -> None:
    """Build every block that control may ever come to."""
    for block in code.blocks:  # which grows
        if block.kind == LAZY:
            code.lowering.extend(block)


class Lowering:
    """How far a function has been lowered, and the state of a pass: current block, symbolic stack, enclosing labels."""

    def __init__(self, code: Lowered, build: Build, locals_: int) -> None:
        func = code.func
        self.code = code
        self.build = build
        self.func = func
        self.instructions = func.code.body
        self.module = func.module
        self.context: Context = func.module.context
        self.frame = Frame(func.module)
        self.nl = locals_
        self.max_nesting = MAX_NESTING if build.fold else 0
        self.splits = build.fuel_model.splits
        self.plain = build.fuel_model.price(PLAIN)
        self.owed: dict[Block, int] = {}  # what a block pays for the one before it
        self.openers = labels_of(self.instructions, len(func.functype.results))
        self.labels: list[Label] = []
        self.stack: list[Any] = []
        self.floor = 0
        self.cost = 0
        self.dead = False
        self.body: list[Callable[[Registers], Any]] = []
        self.size = self.registers = locals_
        self.pc = 0
        self.lengths: dict[int, int] | None = None
        self.begun: list[tuple[Block, Any]] = []  # in this pass, with what each was as a lazy block
        self.chain: list[Block] = []  # see steps.py
        self.current = self.block(0, self.openers[0])

    def first(self) -> Block:
        """Lower from the entry, decide the size of frames, and return the entry."""
        entry = self.current
        self.extend(entry, ENTRY)
        self.size = self.registers + SPARE
        self.limit_depth(self.size)
        return entry

    def extend(self, block: Block, start: Start = PLAIN) -> None:
        """Lower from a lazy block on to where control has a choice, or leave it lazy, whatever interrupts that."""
        label, stack = block.test
        count, owed, self.begun = len(self.code.blocks), self.owed.get(block), []
        try:
            self.lower_from(block, label, stack, start)
        except BaseException:
            self.undo(count)
            if owed is not None:
                self.owed[block] = owed
            raise

    def undo(self, count: int) -> None:
        """Make blocks begun in a pass lazy again; of those made since there were ``count``, what labels know stays."""
        for block, test in self.begun:
            block.kind, block.test, block.body = LAZY, test, []
            block.cost = block.paid = block.need = 0
        blocks = self.code.blocks
        blocks[count:] = [b for b in blocks[count:] if b.kind == LAZY and b.test[0] is not None]
        self.chain = []

    def lower_from(self, block: Block, label: Label | None, stack: list[Any] | int, start: Start) -> None:
        """Lower from a block that is inside of ``label``, with this stack."""
        self.stack = self.entries(stack)
        self.floor = 0
        self.registers = self.nl
        labels = []
        while label is not None:
            labels.append(label)
            label = label.parent
        self.labels = labels[::-1]
        self.begin(block, start)
        if self.owed:
            self.cost = self.owed.pop(block, 0)
        plans, instructions, pc = self.build.plans, self.instructions, block.number
        while not self.dead:
            row, imms, offset = instructions[pc]
            pc += 1
            try:
                plan = plans[row.opcode]
            except KeyError:
                raise UnsupportedError(row.feature.name, Where(self.func.funcidx, offset)) from None
            self.cost += plan.cost
            self.pc = pc
            plan.rule(self, plan, imms, offset)
        if self.registers > self.size and start is PLAIN:
            self.limit_depth(self.registers)
            for begun, _ in self.begun:
                begun.body.insert(0, grow(self.registers))

    def limit_depth(self, size: int) -> None:
        """Bound the frames below a new one so that frames of this size take bounded memory."""
        max_depth = self.module.store.config.max_depth
        self.code.room = min(max_depth - 1, max(MAX_REGISTERS, max_depth * 32) // max(size, 1))

    def function_context(self) -> Context:
        """Return the validation context with the locals of this function."""
        return self.context.function(self.func.functype, self.func.code.locals)

    def length(self) -> int:
        """Return the length of the bulk operator at hand if a translator sees a constant, else -1."""
        if self.lengths is None:
            self.lengths = constant_lengths(self.func)
        return self.lengths.get(self.pc - 1, -1)

    def arity(self, bt: Any) -> tuple[int, int]:
        """Return how many values a block type takes and gives."""
        if bt is None:
            return 0, 0
        if isinstance(bt, int):
            functype = self.context.functype(bt)
            return len(functype.params), len(functype.results)
        return 0, 1

    # -- the symbolic stack

    def push(self, entry: Any) -> None:
        """Push a pending expression or a local."""
        st = self.stack
        st.append(entry)
        n = len(st)
        if n <= self.floor:
            self.floor = n - 1
        if type(entry) is tuple and entry[6] > self.max_nesting:
            self.settle()

    def operand(self, entry: Any) -> tuple[int, Any]:
        """Return kind and operand of an entry, for a factory."""
        t = type(entry)
        if t is int:
            return REGISTER, entry
        if t is list:
            return CONSTANT, entry[0]
        return CLOSURE, entry[0](VALUE, entry[1], entry[2], entry[3], entry[4])

    def operands(self, n: int) -> tuple[int, list[Any]]:
        """Return the kinds of the ``n`` topmost entries, as digits of base 3, and the operands."""
        st = self.stack
        kinds, out = 0, []
        for e in st[len(st) - n :]:
            kinds *= 3
            t = type(e)
            if t is int:
                out.append(e)
            elif t is list:
                kinds += CONSTANT
                out.append(e[0])
            else:
                kinds += CLOSURE
                out.append(e[0](VALUE, e[1], e[2], e[3], e[4]))
        return kinds, out

    def closure(self, entry: Any, form: int = VALUE) -> Callable[[Registers], Any]:
        """Return the closure that gives the value of an entry, or its truth."""
        t = type(entry)
        if t is int:
            return register(entry)
        if t is list:
            return constant(entry[0])
        made: Callable[[Registers], Any] = entry[0](form, entry[1], entry[2], entry[3], entry[4])
        return made

    def mask(self, entry: Any) -> int:
        """Return what an entry depends on."""
        t = type(entry)
        if t is int:
            return BITS[int(entry) & 31]
        return 0 if t is list else int(entry[5])

    def put(self, d: int, entry: Any) -> None:
        """Append the effect ``d := entry``."""
        t = type(entry)
        if t is int:
            if entry != d:
                self.body.append(move(d, REGISTER, entry))
        elif t is list:
            self.body.append(move(d, CONSTANT, entry[0]))
        else:
            self.body.append(entry[0](d, entry[1], entry[2], entry[3], entry[4]))
        if d >= self.registers:
            self.registers = d + 1

    def spill(self, disturbed: int, keep: int = 0) -> None:
        """Put in their slots all entries up to the topmost one that depends on what is about to be disturbed.

        The ``keep`` topmost entries stay: they are operands of what disturbs, which evaluates them first.
        """
        st, nl, floor = self.stack, self.nl, self.floor
        if len(st) - keep - floor > MAX_PENDING:
            self.settle(keep=keep)
            return
        top = -1
        for j in range(len(st) - keep - 1, floor - 1, -1):
            e = st[j]
            t = type(e)
            if t is int:
                if e < nl and BITS[e & 31] & disturbed:
                    top = j
                    break
            elif t is tuple and e[5] & disturbed:
                top = j
                break
        for j in range(floor, top + 1):
            e = st[j]
            t = type(e)
            if t is tuple or (t is int and e < nl and BITS[e & 31] & disturbed):
                self.put(nl + j, e)
                st[j] = nl + j

    def settle(self, constants_from: int | None = None, keep: int = 0) -> None:
        """Put every pending entry but the ``keep`` topmost in its slot, from a height on the constants too."""
        st, nl = self.stack, self.nl
        n = len(st) - keep
        if n <= 0:
            self.floor = 0
            return
        for j in range(min(self.floor, n), n):
            e = st[j]
            if type(e) is tuple or (type(e) is int and e < nl):
                self.put(nl + j, e)
                st[j] = nl + j
        self.floor = n
        if constants_from is not None:
            for j in range(constants_from, n):
                e = st[j]
                if type(e) is list:
                    self.put(nl + j, e)
                    st[j] = nl + j

    def slot(self, entry: Any) -> int:
        """Put a popped entry in the slot above the stack unless it is there, and return the register."""
        d = self.nl + len(self.stack)
        if entry != d:
            self.spill(BITS[d & 31] | (self.mask(entry) & TRAPS))
            self.put(d, entry)
        return d

    def results(self, n: int) -> None:
        """Push ``n`` values that are, or will be, in their own slots."""
        st = self.stack
        start = self.nl + len(st)
        st.extend(range(start, start + n))
        self.registers = max(self.registers, start + n)

    # -- blocks

    def snapshot(self, n: int) -> list[Any] | int:
        """Return the ``n`` lowest entries in a form that stays small."""
        if n <= TALL:
            return self.stack[:n]
        self.settle(0)
        return n

    def entries(self, snapshot: list[Any] | int) -> list[Any]:
        """Return the stack that a snapshot is of."""
        return [*range(self.nl, self.nl + snapshot)] if isinstance(snapshot, int) else snapshot[:]

    def block(self, number: int, label: Label | None = None, stack: list[Any] | int = 0) -> Block:
        """Return a new block that begins at an instruction, inside ``label``, with this stack."""
        block = Block()
        block.code = self.code
        block.number = number
        block.kind = LAZY
        block.test = label, stack
        block.cost = block.paid = block.need = 0
        block.body = []
        self.code.blocks.append(block)
        return block

    def begin(self, block: Block, start: Start = PLAIN) -> None:
        """Make ``block`` the one that effects go to."""
        self.begun.append((block, block.test))
        block.test = None
        block.paid, block.need = self.plain if start is PLAIN else self.build.fuel_model.price(start)
        self.body = block.body = []
        self.current = block
        self.cost = 0
        self.dead = False
        if self.build.observe is not None:
            observe, funcidx, number = self.build.observe, self.func.funcidx, block.number
            self.body.append(lambda R: observe(funcidx, number))

    def finish(self, kind: int, offset: int) -> Block:
        """Close the current block with a terminator, whose fields the caller sets, and return it."""
        block = head = self.current
        block.kind = kind
        block.offset = offset
        if self.chain and self.chain[-1] is block:
            head, *parts = self.chain
            head.offset = offset
            for part in parts:
                part.paid = -self.cost
            self.chain = []
        head.cost = head.paid + self.cost
        if head.need < 0:
            head.need = head.cost
        self.dead = True
        return block

    def goto(self, block: Block, offset: int) -> None:
        """Close the current block, and go on in another unless it has been lowered."""
        self.finish(JUMP, offset).next = block
        if block.kind == LAZY:
            self.begin(block)

    def split(self, offset: int) -> None:
        """Go on in a new block."""
        self.settle()
        block = self.finish(JUMP, offset)
        block.next = self.block(self.pc)
        self.begin(block.next)

    def comes_back(self, kind: int, offset: int, results: int, start: Start) -> Block:
        """Close the current block by something that comes back with results, go on after it, and return the block."""
        block = self.finish(kind, offset)
        block.dest = self.nl + len(self.stack)
        block.handlers = self.labels[-1].handlers
        block.next = self.block(self.pc)
        self.begin(block.next, start)
        self.results(results)
        return block

    def join(self, label: Label) -> Block:
        """Return the block that branches to a label go to."""
        if label.target is None:
            slots = self.nl + label.height
            below, n = label.below, label.results
            stack = below + n if isinstance(below, int) else [*below, *range(slots, slots + n)]
            label.target = self.block(label.end, label.parent, stack)
        return label.target

    def branch_block(self, l: int) -> tuple[Block, bool]:
        """Return a block to branch to, and whether it is a new one that must still be given its branch."""
        label = self.labels[-1 - l]
        if label.control is None or label.arity:
            return self.block(~(self.pc << 20 | l)), True
        return self.join(label), False

    def carry(self, n: int, height: int) -> None:
        """Move the ``n`` topmost values to the slots from ``height``, as a branch does."""
        st = self.stack
        k = len(st) - n
        if n > MAX_MOVES:
            self.settle(k)
            if k != height:
                self.body.append(move_many(self.nl + height, self.nl + k, n))
            return
        if k == height and self.floor >= len(st) and all(type(e) is int for e in st[k:]):
            return
        for i in range(n):
            self.put(self.nl + height + i, st[k + i])

    def prepare(self, l: int) -> None:
        """Make ready for a branch on one way of several: traps happen before, and many values are in their slots.

        Then the branch takes one move, however many branches take the same values.
        """
        self.spill(TRAPS)
        n = self.labels[-1 - l].arity
        if n > MAX_MOVES:
            self.settle(len(self.stack) - n)

    def branch(self, l: int, offset: int) -> None:
        """Close the current block by a branch; what else is on the stack has been spilled."""
        label = self.labels[-1 - l]
        if label.control is None:
            self.leave(offset)
        else:
            self.carry(label.arity, label.height)
            self.finish(JUMP, offset).next = self.join(label)

    def leave(self, offset: int) -> None:
        """Close the current block by a return."""
        n = self.labels[0].results
        if n == 1:
            self.finish(RETURN_ONE, offset).test = self.closure(self.stack[-1])
        else:
            made = registers(NOTHING, *self.operands(n))
            self.finish(RETURN, offset).test = made

    def test(self, entry: Any, yes: Block, no: Block, offset: int) -> None:
        """Close the current block by a choice."""
        if type(entry) is int:
            block = self.finish(IF_REGISTER, offset)
            block.test = entry
        else:
            block = self.finish(IF, offset)
            block.test = self.closure(entry, CONDITION)
        block.next, block.other = yes, no
