"""What a lowered function is made of: blocks, the function they belong to, and the view that rows get of a frame.

A *block* is a run of instructions with one way in and one way out: fuel cost, whether fuel is checked before it runs,
effects (closures over the register list), and a terminator told by ``kind``.  A *frame* on the call stack is the pair
``(block, registers)``; the block knows its function.  Registers are the locals, then one slot per operand height.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from engine.instructions.model import Control

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.execution.lower import Lowering
    from engine.runtime.heap import ExnInst
    from engine.runtime.instance import FuncInst, HostFunc, ModuleInst
    from engine.runtime.tag import TagInst

__all__ = [
    "BR_TABLE", "BULK", "CALL", "CALL_INDIRECT", "HOST", "IF", "IF_REGISTER", "JUMP", "KEEP", "LAZY", "NOTHING",
    "RESTORE", "RETURN", "RETURN_ONE", "STOP", "TAIL_CALL", "TAIL_INDIRECT", "THROW", "UNREACHABLE", "WEIGH", "Block",
    "Charge", "Clause", "Frame", "Handlers", "Kept", "Label", "Lowered", "Registers", "Restored", "lowered",
]  # fmt: skip

Registers = list[Any]
IF_CONSTRUCT = Control.IF

# Kinds of terminator, and the fields of the block that each uses.
IF = 0  # ``test`` a closure: to ``next`` if it holds, else ``other``
JUMP = 1  # to ``next``
IF_REGISTER = 2  # ``test`` a register: to ``next`` if it is not zero, else ``other``
CALL = 3  # ``callee`` Lowered, ``args`` makes its registers; results go to ``dest``, then to ``next``
RETURN_ONE = 4  # ``test`` gives the result
RETURN = 5  # ``test`` gives the list of results
BR_TABLE = 6  # ``test`` gives the index into ``targets``, whose last is the default
CALL_INDIRECT = 7  # ``test`` gives the function or traps; ``args`` makes the list of arguments; then as CALL
HOST = 8  # ``callee`` HostFunc, ``args`` makes the list of arguments; then as CALL
TAIL_CALL = 9  # ``callee`` Lowered, ``args`` makes its registers; the frame is gone
TAIL_INDIRECT = 10  # ``test`` gives the function or traps; ``args`` makes the list of arguments; the frame is gone
BULK = 11  # ``test`` runs the operator and gives the fuel for its pieces; to ``next``, below 0 to ``other``
THROW = 12  # ``test`` gives the exception or traps; to where the ``handlers`` send it
UNREACHABLE = 13  # ``test`` makes the trap
LAZY = 14  # not lowered yet: ``test`` is the innermost label and the symbolic stack at its start
STOP = 15  # to ``next``, one instruction, unless the debugger wants a pause before it; in builds for debugging
WEIGH = 16  # ``test`` gives what pieces of a bulk operator cost, or traps; to ``next`` by way of a ``Charge``
KEEP = 17  # to ``next`` as a ``Kept``; if ``test``, what was spent since the last save point is not seen by the callee
RESTORE = 18  # to ``next``, with the counter as it was before a call


class Block:
    """``number`` is the index of the first instruction in the body; ``offset`` is that of the last in the module.

    A block of nothing but a branch has a negative number, told by the instruction that branches and the label.

    Made in two steps, by ``Lowering.block`` and ``Lowering.finish``: an ``__init__`` would double the cost.
    """

    __slots__ = (
        "args", "body", "callee", "code", "cost", "dest", "handlers", "kind", "need", "next", "number", "offset",
        "other", "paid", "targets", "test",
    )  # fmt: skip

    is_wasm: ClassVar[bool] = True  # else it stands for a function of the host

    body: list[Callable[[Registers], Any]]  # the effects
    callee: Lowered | HostFunc
    code: Lowered
    number: int
    cost: int  # of all of it
    paid: int  # the part of the cost that is charged before fuel is checked
    need: int  # the fuel there must be to go on, 0 where it is not checked
    kind: int
    offset: int
    args: Callable[[Registers], Registers]
    test: Any
    next: Block
    other: Block
    dest: int
    targets: list[Block]
    handlers: Handlers | None  # where an exception comes out of the terminator

    def __repr__(self) -> str:
        return f"<block {self.number} of {self.code.func!r}>"


class Charge(Block):
    """What a block of kind WEIGH leads to, made anew each time: the cost of the pieces, then the operator itself.

    A call that pauses before it stands at ``weigh``, from where it is made again.
    """

    __slots__ = ("weigh",)

    def __init__(self, weigh: Block, paid: int, need: int, cost: int) -> None:
        self.weigh = weigh
        self.code, self.number, self.offset = weigh.code, weigh.number, weigh.offset
        self.paid, self.need, self.cost = paid, need, cost
        self.body = [weigh.args]
        self.kind = JUMP
        self.next = weigh.next


class Kept(Block):
    """A call that keeps the counter of its frame, for a model whose frames do not read it back, made anew each time.

    ``kept`` is how much less than the limit was spent.  It is read back where an exception is caught, or also where the
    call returns: then what the callee spent ``is_lost``.
    """

    __slots__ = ("kept",)

    def __init__(self, call: Block, kept: float, is_lost: bool) -> None:
        for name in Block.__slots__:
            if hasattr(call, name):
                setattr(self, name, getattr(call, name))
        self.kept = kept
        if is_lost:
            self.next = Restored(self, call.next)


class Restored(Block):
    """What gives a frame back the counter that a call of it kept."""

    __slots__ = ("kept",)

    def __init__(self, call: Kept, target: Block) -> None:
        self.code, self.number, self.offset = call.code, target.number, call.offset
        self.paid = self.need = self.cost = 0
        self.body = []
        self.kind = RESTORE
        self.kept = call.kept
        self.next = target


class Lowered:
    """The block graph of one function instance.  Made empty when first mentioned; ``entry`` is None until first called.

    ``lowering`` makes the blocks, each when control first comes to it.  ``zeros`` is what follows the arguments in a
    fresh register list; ``room`` how many frames may be below a new one.
    """

    __slots__ = ("blocks", "entry", "func", "lowering", "room", "zeros")

    def __init__(self, func: FuncInst) -> None:
        self.func = func
        self.entry: Block | None = None
        self.lowering: Lowering
        self.blocks: list[Block] = []
        self.zeros: Registers = []
        self.room = 0


NOTHING = Lowered(None)  # type: ignore[arg-type]  # where arguments are wanted and no zeros after them


class Frame:
    """What the ``run`` of a STATE row receives.  ``locals`` is set for rows that touch the region LOCAL only."""

    __slots__ = ("locals", "module")

    def __init__(self, module: ModuleInst) -> None:
        self.module = module
        self.locals: Registers = []


class Clause(NamedTuple):
    """An exception of ``tag`` (None: any) puts what ``take`` makes of it in registers from ``dest`` and goes on."""

    tag: TagInst | None
    take: Callable[[ExnInst], Registers]
    dest: int
    target: Block


class Handlers:
    """What a part of a body does about exceptions: the first clause that fits, else the handlers around it."""

    __slots__ = ("clauses", "outer")

    def __init__(self, outer: Handlers | None) -> None:
        self.clauses: list[Clause] = []
        self.outer = outer


class Label:
    """A construct of a body.  Where it lies is known from the start: ``otherwise`` and ``end`` are the indices of the
    instructions after its ``else`` (or None) and ``end``; ``joins`` says that something branches to it.

    The rest is known once its first instruction is lowered: arities, the ``height`` of the stack below the parameters
    and a snapshot of the entries ``below`` it, and ``target``, the block that branches go to (None for a return).
    ``handlers`` serve what is inside; ``clauses`` are those of a ``try``, each the label of its instructions and their
    start.
    """

    __slots__ = (
        "arity", "below", "clauses", "control", "end", "handlers", "height", "joins", "otherwise", "params", "parent",
        "results", "target",
    )  # fmt: skip

    below: list[Any] | int
    clauses: list[tuple[Label, int]]
    height: int
    params: int
    results: int
    arity: int
    end: int

    def __init__(self, control: Control | None, parent: Label | None) -> None:
        self.control = control
        self.parent = parent
        self.otherwise: int | None = None
        self.joins = control is IF_CONSTRUCT
        self.target: Block | None = None
        self.handlers: Handlers | None = None if parent is None else parent.handlers

    def guard(self) -> None:
        """Give what is inside handlers of its own."""
        self.joins = self.control is Control.TRY  # where its clauses end too
        self.clauses = []
        self.handlers = Handlers(self.handlers)

    def follow(self, start: int) -> Label:
        """Return the label of the next clause of a ``try``, whose instructions begin at ``start``."""
        clause = Label(Control.CATCH, self.parent)
        clause.joins = True
        clause.clauses = self.clauses
        self.clauses.append((clause, start))
        return clause


def lowered(func: FuncInst) -> Lowered:
    """Return the block graph of a function, which may still be empty."""
    found: Lowered | None = func.lowered
    if found is None:
        found = func.lowered = Lowered(func)
    return found
