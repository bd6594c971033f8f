"""A walk over the frames of one activation, innermost first, while they stand still.

A frame is seen as it is *before* its current instruction: one that waits for a call still has the arguments on its
operand stack.  Where it stands is the instruction of its block, locals and operands are its registers, and their types
are what validation says of the place.  Nothing is copied: once the store goes on, a cursor refuses everything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from engine.types import RefType
from engine.values import to_bits

if TYPE_CHECKING:
    from engine.debug.debugger import Debugger
    from engine.debug.operands import Operands
    from engine.execution.driver import Activation
    from engine.execution.frame import Block, Registers
    from engine.module import In, Module
    from engine.runtime.instance import FuncInst, ModuleInst
    from engine.runtime.store import Store
    from engine.types import ValType

__all__ = ["Cursor", "CursorError", "TypedValue", "instruction_index"]


class CursorError(RuntimeError):
    """A cursor was asked beyond the last frame, or after the store went on."""


class TypedValue(NamedTuple):
    """A value in the engine's representation, of the type that the place has."""

    type: ValType
    value: Any

    @property
    def bits(self) -> int:
        """The bits of a number or vector; TypeError for a reference."""
        if isinstance(self.type, RefType):
            raise TypeError(f"a {self.type} has no bits")
        return to_bits(self.type, self.value)


def instruction_index(block: Block) -> int:
    """Return the index in the body of the instruction that a block begins with, or is the branch of."""
    number = block.number
    return number if number >= 0 else (~number >> 20) - 1


class Cursor:
    """``store.debug_frames()`` makes one.

    ``pc_mode`` says where a frame that waits for a call stands: at the ``call``, or at the instruction after it
    (``return``).
    """

    __slots__ = (
        "_activation", "_block", "_clock", "_debugger", "_is_calling", "_operands", "_pc_mode", "_registers", "_rest",
    )  # fmt: skip

    def __init__(self, debugger: Debugger, activation: Activation | None, is_calling: bool, pc_mode: str) -> None:
        if pc_mode not in ("call", "return"):
            raise ValueError(f"pc_mode is call or return, not {pc_mode!r}")
        self._debugger = debugger
        self._clock = debugger.clock
        self._activation = activation
        self._is_calling = is_calling
        self._pc_mode = pc_mode
        self._operands: Operands | None = None
        self._block: Block | None = None
        self._registers: Registers = []
        self._rest = 0
        if activation is None:
            return
        self._rest = len(activation.frames)
        if activation.here is not None and activation.here[0].is_wasm:
            self._block, self._registers = activation.here
        else:
            self._is_calling = is_calling or activation.here is not None
            self._descend()

    def _descend(self) -> None:
        """Go to the next frame of Wasm on the list, if there is one."""
        assert self._activation is not None
        self._block, self._operands = None, None
        while self._rest and self._block is None:
            self._rest -= 1
            block, registers = self._activation.frames[self._rest]
            if block.is_wasm:
                self._block, self._registers = block, registers
            else:
                self._is_calling = True

    def _here(self) -> Block:
        self._check()
        if self._block is None:
            raise CursorError("the cursor is beyond the last frame")
        return self._block

    def _check(self) -> None:
        if self._clock != self._debugger.clock:
            raise CursorError("the store went on")

    @property
    def store(self) -> Store:
        """The store, which may be looked at and changed while the cursor is used, as long as nothing runs in it."""
        return self._debugger.store

    def done(self) -> bool:
        """Tell whether the cursor is beyond the last frame."""
        self._check()
        return self._block is None

    def move_to_parent(self) -> None:
        """Go to the frame that waits for this one."""
        self._here()
        self._is_calling = True
        self._descend()

    def is_frame_of(self, other: object) -> bool:
        """Tell whether this is the frame whose :attr:`mark` somebody kept, of an older cursor perhaps."""
        self._here()
        return self._registers is other

    @property
    def mark(self) -> object:
        """What tells this frame from others, however long it is on the stack."""
        self._here()
        return self._registers

    def function(self) -> FuncInst:
        """Return the function of the frame."""
        return self._here().code.func

    def function_index_and_pc(self) -> tuple[int, int]:
        """Return the index among the functions that the module defines, and the offset in it (-1 where built)."""
        func, pc = self.function(), instruction_index(self._here())
        if self._is_calling and self._pc_mode == "return":
            pc += 1
        module = func.module
        return func.funcidx - (len(module.funcs) - len(module.module.funcs)), func.code.body[pc].offset

    def instruction_index(self) -> int:
        """Return the index of the current instruction in the body."""
        return instruction_index(self._here())

    def instruction(self) -> In:
        """Return the current instruction."""
        return self.function().code.body[self.instruction_index()]

    def instance(self) -> ModuleInst:
        """Return the instance whose function it is."""
        return self.function().module

    def module(self) -> Module:
        """Return the module whose function it is."""
        return self.instance().module

    def num_locals(self) -> int:
        """Return the number of parameters and declared locals."""
        return self._here().code.lowering.nl

    def local(self, i: int) -> TypedValue:
        """Return a parameter or local; raise IndexError where there is none."""
        block = self._here()
        if not 0 <= i < block.code.lowering.nl:
            raise IndexError(f"local {i} of {block.code.lowering.nl}")
        return TypedValue(_local_type(block.code.func, i), self._registers[i])

    def num_stacks(self) -> int:
        """Return the number of operands."""
        return len(self._types().types)

    def stack(self, i: int) -> TypedValue:
        """Return an operand, 0 the lowest; raise IndexError where there is none."""
        operands = self._types()
        if not 0 <= i < len(operands.types):
            raise IndexError(f"operand {i} of {len(operands.types)}")
        return TypedValue(operands.types[i], self._registers[self._here().code.lowering.nl + operands.slot(i)])

    def _types(self) -> Operands:
        block = self._here()
        if self._operands is None:
            self._operands = self._debugger.operands.before(block.code.func, instruction_index(block))
        return self._operands


def _local_type(func: FuncInst, x: int) -> ValType:
    """Return the closed type of a local without listing them all: a body may declare millions."""
    params = func.functype.params
    if x < len(params):
        return params[x]
    x -= len(params)
    for n, t in func.code.locals:
        if x < n:
            closed: ValType = func.module.context.close_valtype(t)
            return closed
        x -= n
    raise IndexError(x)
