"""Where a frame can stand, named so that another process finds it again: by places in the body, not by blocks.

What a frame holds is a block and registers, and neither means anything outside of this process: blocks are made as
control comes to them, and operands that are pending when a call is made are parts of closures.  What the specification
knows of a frame is its function, the next instruction, locals and operands, and that is what a snapshot has.

Two special lowerings find the way there and back, and the ordinary one pays nothing for it.  :class:`Recording` makes
the same blocks and notes the symbolic stack where a frame stands, which gives the operands from the registers.
:class:`Canonical` makes blocks of the same extent and cost, at whose starts and calls *every* operand is in its own
slot, so that a frame can be built from operands alone; restored frames run on such blocks from there on, what they call
runs on ordinary ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from engine.execution.build import build_of
from engine.execution.closures import VALUE
from engine.execution.frame import CALL, CALL_INDIRECT, HOST, LAZY, Block, Lowered
from engine.execution.fuel import Start
from engine.execution.lower import Lowering
from engine.instructions.model import Control
from engine.types import EXN, RefType, ref
from engine.validation.places import Place, places

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from engine.execution.frame import Label, Registers
    from engine.runtime.instance import FuncInst
    from engine.types import ResultType, ValType

__all__ = ["Canonical", "Point", "Recording", "Typing", "graph_of"]

CALLS = (CALL, CALL_INDIRECT, HOST)
_CAUGHT = ref(False, EXN)


class Point(NamedTuple):
    """A place where a frame can stand: before ``block``, or in the call that ends it.

    ``stack`` is the symbolic stack there, without results to come, if somebody asked for it.
    """

    block: Block
    start: Start
    label: Label
    stack: tuple[Any, ...]


class Recording(Lowering):
    """Notes where blocks begin and what calls; for instructions in ``wanted``, the symbolic stack too.

    ``begins`` has all blocks that begin at an instruction, ``calls`` the block that ends with a call there.  ``most``
    is how many registers all blocks need.
    """

    wanted: Collection[int] = ()

    def __init__(self, code: Lowered, locals_: int) -> None:
        self.begins: dict[int, list[Point]] = {}
        self.calls: dict[int, Point] = {}
        self.most = 0
        super().__init__(code, build_of(code.func.module.store.config), locals_)

    def extend(self, block: Block, start: Start = Start.PLAIN) -> None:
        super().extend(block, start)
        self.most = max(self.most, self.registers, self.size)

    def begin(self, block: Block, start: Start = Start.PLAIN) -> None:
        at, label = block.number, block.test[0] or self.labels[-1]
        super().begin(block, start)
        self.begins.setdefault(at, []).append(Point(block, start, label, self._stack(at)))

    def comes_back(self, kind: int, offset: int, results: int, start: Start) -> Block:
        at = self.pc - 1
        label, stack = self.labels[-1], self._stack(at)
        block = super().comes_back(kind, offset, results, start)
        if kind in CALLS:
            self.calls[at] = Point(block, Start.PLAIN, label, stack)
        return block

    def _stack(self, at: int) -> tuple[Any, ...]:
        return tuple(self.stack) if at in self.wanted else ()

    def values(self, stack: tuple[Any, ...], n: int, R: Registers) -> list[Any]:
        """Return the values of ``n`` operands, of which the symbolic stack has all but what is in its own slot."""
        nl = self.nl
        return [self._operand(stack[j], R) if j < len(stack) else R[nl + j] for j in range(n)]

    def _operand(self, entry: Any, R: Registers) -> Any:
        t = type(entry)
        if t is int:
            return R[entry]
        return entry[0] if t is list else entry[0](VALUE, *entry[1:5])(R)


class Canonical(Recording):
    """Has all operands in their own slots where a block begins, constants too."""

    def settle(self, constants_from: int | None = None, keep: int = 0) -> None:
        super().settle(0, keep)

    def prepare(self, l: int) -> None:
        super().prepare(l)
        self.settle()

    def snapshot(self, n: int) -> list[Any] | int:
        self.settle()
        return super().snapshot(n)

    def comes_back(self, kind: int, offset: int, results: int, start: Start) -> Block:
        self.settle()
        return super().comes_back(kind, offset, results, start)


def graph_of(func: FuncInst, kind: type[Recording], wanted: Collection[int] = ()) -> Recording:
    """Return all blocks of a function, made anew."""
    code = Lowered(func)
    locals_ = len(func.functype.params) + sum(n for n, _ in func.code.locals)
    graph = kind(code, locals_)
    graph.wanted = wanted
    code.lowering = graph
    code.entry = graph.first()
    for block in code.blocks:  # which grows
        if block.kind == LAZY:
            graph.extend(block)
    return graph


class Typing:
    """The types of locals and operands in the body of a function, by validation."""

    def __init__(self, func: FuncInst) -> None:
        code, context = func.code, func.module.context
        self.func = func
        params = len(func.functype.params)
        has_all = all(not isinstance(t, RefType) or t.null for _, t in code.locals)
        self.locals: Sequence[ValType] = context.function(func.functype, code.locals).locals
        self.tracked = len(self.locals) if has_all else params
        self.known: dict[int, Place] = {}

    def place(self, at: int) -> Place:
        """Return what is known before an instruction to which control can come; each costs a walk through the body."""
        if at not in self.known:
            func = self.func
            view = func.module.context.function(func.functype, func.code.locals)
            tracked = None if self.tracked == len(self.locals) else self.tracked
            found = places(view, func.code.body, func.functype.results, tracked, (at,))[at]
            assert found is not None
            self.known[at] = found
        return self.known[at]

    def locals_at(self, at: int) -> list[ValType]:
        """Return the types of the locals before an instruction; one that may be unset there may be null."""
        place = self.place(at)
        out = list(self.locals)
        for x in range(self.tracked, len(out)):
            t = out[x]
            if isinstance(t, RefType) and not t.null and x not in place.given:
                out[x] = ref(True, t.heap)
        return out

    def operands_at(self, point: Point, at: int) -> list[ValType]:
        """Return the types of the operands before an instruction, and the exceptions that clauses keep among them."""
        out = list(self.place(at).operands)
        heights = []
        label: Label | None = point.label
        while label is not None:
            if label.control is Control.CATCH:
                heights.append(label.height)
            label = label.parent
        for height in reversed(heights):
            out.insert(height, _CAUGHT)
        return out

    def call_at(self, at: int) -> tuple[int, ResultType]:
        """Return how many operands the call at an instruction takes, and the types of its results."""
        row, imms, _ = self.func.code.body[at]
        arrow = row.arrow(self.func.module.context, imms)
        return len(arrow.pops), arrow.pushes
