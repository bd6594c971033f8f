"""What a lowered function is made of: blocks, the function they belong to, and the view that rows get of a frame.

A *block* is a run of instructions with one way in and one way out: fuel cost, whether fuel is checked before it runs,
effects (closures over the register list), and a terminator told by ``kind``.  A *frame* on the call stack is the pair
``(block, registers)``; the block knows its function.  Registers are the locals, then one slot per operand height.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.instructions.model import Control

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.runtime.instance import FuncInst, HostFunc, ModuleInst

__all__ = [
    "BR_TABLE", "BULK", "CALL", "CALL_INDIRECT", "HOST", "IF", "IF_REGISTER", "JUMP", "NOTHING", "RETURN", "RETURN_ONE",
    "UNREACHABLE", "Block", "Frame", "Label", "Lowered", "Registers", "lowered",
]  # fmt: skip

Registers = list[Any]
LOOP = Control.LOOP

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
BULK = 9  # ``test`` runs the operator and gives the fuel for its pieces; to ``next``
UNREACHABLE = 10


class Block:
    """``number`` counts the blocks of a function in order of creation; ``offset`` is that of the last instruction.

    Made in two steps, by ``Lowering.block`` and ``Lowering.finish``: an ``__init__`` would double the cost.
    """

    __slots__ = (
        "args", "body", "callee", "check", "code", "cost", "dest", "kind", "next", "number", "offset", "other",
        "targets", "test",
    )  # fmt: skip

    body: list[Callable[[Registers], Any]]  # the effects
    callee: Lowered | HostFunc
    code: Lowered
    number: int
    cost: int
    check: bool
    kind: int
    offset: int
    args: Callable[[Registers], Registers]
    test: Any
    next: Block
    other: Block
    dest: int
    targets: list[Block]

    def __repr__(self) -> str:
        return f"<block {self.number} of {self.code.func!r}>"


class Lowered:
    """The block graph of one function instance.  Made empty when first mentioned; ``entry`` is None until first called.

    ``zeros`` is what follows the arguments in a fresh register list; ``room`` how many frames may be below a new one.
    """

    __slots__ = ("blocks", "entry", "func", "room", "zeros")

    def __init__(self, func: FuncInst) -> None:
        self.func = func
        self.entry: Block | None = None
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


class Label:
    """A construct being lowered: ``height`` of the stack below its parameters, arities of a branch and of its end.

    ``target`` is where branches go; None while nothing does, or, for the body of the function, always: return.
    """

    __slots__ = ("arity", "control", "height", "other", "params", "results", "target")

    def __init__(self, control: Control | None, height: int, params: int, results: int) -> None:
        self.control = control
        self.height = height
        self.params = params
        self.results = results
        self.arity = params if control is LOOP else results
        self.target: Block | None = None
        self.other: Block | None = None  # the false side of an ``if`` until its ``else``


def lowered(func: FuncInst) -> Lowered:
    """Return the block graph of a function, which may still be empty."""
    found: Lowered | None = func.lowered
    if found is None:
        found = func.lowered = Lowered(func)
    return found
