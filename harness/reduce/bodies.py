"""Simpler function bodies: what can be deleted, replaced by constants, hoisted or unwrapped without breaking the types.

A *segment* is a run of instructions that touches no operand from before it: from the start of the first operand of an
instruction to the instruction itself, a whole construct counting as one.  It leaves some values (often none or
one) on the stack; so it may be replaced by anything that leaves values of the same types.  :func:`segments` finds them
by walking the body with the types of the table's rows; what a candidate breaks beyond that (a branch to a removed
block, say) is left to validation, which sees each candidate before an engine does.

Proposals come as functions from the body to a smaller one, largest first.  Nothing here names an instruction except to
build constants and ``drop``: everything else is read off ``control`` and the immediate kinds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from engine.errors import Trap, WasmError
from engine.instructions import TABLE
from engine.instructions.immediates import labels_in
from engine.instructions.model import Control, Effect, Region
from engine.matching import top
from engine.module import In
from engine.types import (
    ANY,
    FUNC,
    NOFUNC,
    NONE,
    V128,
    AbsHeapType,
    Arrow,
    NumType,
    RefType,
    VecType,
    part_of,
    substitute,
    variable,
)
from engine.values import to_bits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from engine.instructions.model import Instr
    from engine.module import Expr
    from engine.types import ValType
    from engine.validation.context import Context
    from oracles.plan import Value

__all__ = [
    "Segment",
    "constant",
    "constant_calls",
    "count_instructions",
    "map_imms",
    "proposals",
    "segments",
    "size_of",
]

HOIST_UP_TO = 80  # instructions of a body whose pairs of segments are tried
_OPENS = frozenset({Control.BLOCK, Control.LOOP, Control.IF, Control.TRY_TABLE})
_LEGACY = frozenset({Control.TRY, Control.CATCH, Control.DELEGATE})  # bodies with these are left as they are
_BY_NAME = TABLE.by_name
_BOTTOMS = {ANY: NONE, FUNC: NOFUNC}  # of the hierarchies that defined types are in


@dataclass(frozen=True, slots=True)
class Segment:
    """``body[start:end]`` leaves values of ``types``.

    ``at`` is the instruction itself (the opening one of a construct), ``inner`` are its operands, ``arms`` the ranges
    of the bodies of a construct.
    """

    start: int
    at: int
    end: int
    types: tuple[Any, ...]
    inner: tuple[Segment, ...] = ()
    arms: tuple[tuple[int, int], ...] = ()

    @property
    def length(self) -> int:
        return self.end - self.start


@dataclass(slots=True)
class _Value:
    """An operand on the stack: its type (None where unknown) and the segment that made it (None: from outside)."""

    type: Any
    segment: Segment | None


@dataclass(slots=True)
class _Open:
    """A construct being walked."""

    at: int
    height: int
    outer: list[_Value]
    results: tuple[Any, ...]
    arms: list[tuple[int, int]] = field(default_factory=list)
    arm_start: int = 0
    dead: bool = False


def constant(t: ValType, simple: int = 0) -> In | None:
    """Return the instruction that pushes 0 or 1 (or null), or None for a type without a default."""
    if isinstance(t, NumType):
        return In(_BY_NAME[f"{t}.const"], (to_bits(t, float(simple) if t.is_float else simple),))
    if t is V128:
        return In(_BY_NAME["v128.const"], (simple,))
    if isinstance(t, RefType) and t.null:
        return In(_BY_NAME["ref.null"], (t.heap if isinstance(t.heap, AbsHeapType) else _BOTTOMS[top(t.heap)],))
    return None


def _substituted(t: Any, pattern: Any, found: Any) -> Any:
    """Return a pushed type where the operand of type ``pattern`` has type ``found``; None where that is unknown."""
    if variable(t) is None:
        return t
    if found is None or not isinstance(pattern, RefType):
        return substitute(t, found) if t is pattern else None
    return substitute(t, part_of(pattern, found))


def count_instructions(bodies: Sequence[Expr]) -> int:
    """Return the number of instructions in function bodies, where ``end`` and ``else`` are part of their construct."""
    structure = (Control.END, Control.ELSE)
    return sum(1 for body in bodies for i in body if i.row.control not in structure)


def size_of(body: Sequence[In]) -> tuple[int, int, int]:
    """Return what reduction lowers: instructions, then those that compute, then the weight of immediates."""
    structure = (Control.END, Control.ELSE)
    computing = sum(1 for i in body if i.row.const is None)
    weight = sum(_weight(v) for i in body for v in i.imms)
    return sum(1 for i in body if i.row.control not in structure), computing, weight


def _weight(value: Any) -> int:
    if isinstance(value, (tuple, list)):
        return len(value) + sum(map(_weight, value))
    return value.bit_length() + value.bit_count() if isinstance(value, int) else 0


def map_imms(instruction: In, kind: str, change: Callable[[Any], Any]) -> In:
    """Return the instruction with ``change`` applied to each part of a kind in its immediates."""
    row = instruction.row

    def part(name: str, value: Any) -> Any:
        return change(value) if name == kind else value

    return In(row, tuple(imm.map(part, value) for imm, value in zip(row.imms, instruction.imms, strict=True)))


def constant_calls(body: Expr, c: Context) -> Iterator[tuple[int, list[Value]]]:
    """Yield callee and arguments of each direct call of the body all of whose operands are constants."""
    for segment in segments(body, c):
        row, imms, _ = body[segment.at]
        if row.control is not Control.CALL or [k.name for k in row.imms] != ["funcidx"]:
            continue
        operands = body[segment.start : segment.at]
        if len(operands) == len(segment.inner) and all(i.row.const is not None and i.row.imms for i in operands):
            values = [_value(i, s.types[0]) for i, s in zip(operands, segment.inner, strict=True) if s.types]
            if None not in values:
                yield imms[0], [v for v in values if v is not None]


def _value(instruction: In, t: Any) -> Value | None:
    """Return the constant as a value of a plan, or None where it is not one."""
    if isinstance(t, NumType | VecType) and instruction.row.name == f"{t}.const":
        return str(t), f"{instruction.imms[0]:0{t.bits // 4}x}"
    return (str(t), None) if instruction.row.name == "ref.null" else None


# segments


def segments(body: Expr, c: Context) -> list[Segment]:
    """Return the segments of a valid body under its function's context, in order of their ends; dead code has none."""
    walk = _Walk(body, c)
    try:
        walk.run()
    except (WasmError, IndexError, _Unwalkable):
        return []  # not valid after all, or of a form that is not walked: there is nothing to propose
    return walk.found


class _Unwalkable(Exception):
    """A construct of the legacy exceptions."""


class _Walk:
    def __init__(self, body: Expr, c: Context) -> None:
        self.body = body
        self.c = c
        self.stack: list[_Value] = []
        self.open: list[_Open] = [_Open(-1, 0, [], ())]
        self.found: list[Segment] = []
        self.labels = len(c.labels)

    def run(self) -> None:
        try:
            for k, (row, imms, _) in enumerate(self.body[:-1]):
                self.step(k, row, imms)
        finally:
            del self.c.labels[self.labels :]

    def step(self, k: int, row: Instr, imms: tuple[Any, ...]) -> None:
        if row.control in _OPENS:
            self.enter(k, row, imms)
        elif row.control is Control.ELSE:
            frame = self.open[-1]
            frame.arms.append((frame.arm_start, k))
            frame.arm_start, frame.dead = k + 1, False
            del self.stack[frame.height :]
            self.stack += [_Value(v.type, None) for v in self.params(frame)]
        elif row.control is Control.END:
            self.leave(k)
        elif row.control in _LEGACY:
            raise _Unwalkable
        else:
            arrow = row.arrow(self.c, imms)
            operands = [self.pop() for _ in arrow.pops][::-1]
            pushes = arrow.pushes
            found = next(((t, v.type) for t, v in zip(arrow.pops, operands, strict=True) if variable(t)), None)
            if found is not None:
                pushes = tuple(_substituted(t, *found) for t in pushes)
            self.close(k, k + 1, operands, pushes)
            if arrow.polymorphic:
                del self.stack[self.open[-1].height :]
                self.open[-1].dead = True

    def pop(self) -> _Value:
        frame = self.open[-1]
        return self.stack.pop() if len(self.stack) > frame.height else _Value(None, None)

    def params(self, frame: _Open) -> list[_Value]:
        row = self.body[frame.at].row
        return frame.outer[:-1] if row.control is Control.IF else frame.outer

    def enter(self, k: int, row: Instr, imms: tuple[Any, ...]) -> None:
        arrow = row.arrow(self.c, imms)
        operands = [self.pop() for _ in arrow.pops][::-1]
        frame = _Open(k, len(self.stack), operands, arrow.pushes, arm_start=k + 1, dead=self.open[-1].dead)
        params = arrow.pops[:-1] if row.control is Control.IF else arrow.pops
        self.c.labels.append(params if row.control is Control.LOOP else arrow.pushes)
        self.open.append(frame)
        self.stack += [_Value(t, None) for t in params]

    def leave(self, k: int) -> None:
        frame = self.open.pop()
        self.c.labels.pop()
        del self.stack[frame.height :]
        arms = (*frame.arms, (frame.arm_start, k))
        self.close(frame.at, k + 1, frame.outer, frame.results, arms)

    def close(
        self, at: int, end: int, operands: list[_Value], pushes: tuple[Any, ...], arms: tuple[tuple[int, int], ...] = ()
    ) -> None:
        """Note the segment that ends here, and push its values."""
        start = min((v.segment.start for v in operands if v.segment is not None), default=at)
        inner = tuple(v.segment for v in operands if v.segment is not None)
        # values that an operand's segment left below what was popped stay on the stack and belong to this segment too
        below: list[_Value] = []
        frame = self.open[-1]
        while len(self.stack) > frame.height and (s := self.stack[-1].segment) is not None and s.end > start:
            value = self.stack.pop()
            assert value.segment is not None
            start = min(start, value.segment.start)
            below.insert(0, value)
        types = (*(v.type for v in below), *pushes)
        segment: Segment | None = None
        if not frame.dead and all(v.segment is not None for v in operands):
            segment = Segment(start, at, end, types, inner, arms)
            self.found.append(segment)
        self.stack += [_Value(t, segment) for t in types]


# proposals


def proposals(body: Expr, c: Context) -> Iterator[list[In]]:
    """Yield bodies that are simpler than this one, those that take away most first."""
    found = segments(body, c)
    yield from _statements(body, found)
    for segment in sorted(found, key=lambda s: -s.length):
        yield from _replacements(body, segment)
    yield from _dead_code(body)
    yield from _known_locals(body)
    yield from _hoists(body, found)
    yield from _plainer(body)


def _statements(body: Expr, found: list[Segment]) -> Iterator[list[In]]:
    """Delete runs of neighbouring segments that leave nothing."""
    starts = {s.start: s for s in sorted(found, key=lambda s: s.end) if not s.types}
    runs: list[tuple[int, int, int]] = []
    for start in sorted(starts):
        end, n = start, 0
        while end in starts and n < 64:
            end, n = starts[end].end, n + 1
            if n > 1:
                runs.append((start, end, n))
    for start, end, _ in sorted(runs, key=lambda r: r[0] - r[1])[:200]:
        yield [*body[:start], *body[end:]]


def _replacements(body: Expr, segment: Segment) -> Iterator[list[In]]:
    before, after = body[: segment.start], body[segment.end :]
    for simple in (0, 1):
        constants = [constant(t, simple) for t in segment.types]
        if None not in constants:
            yield [*before, *(c for c in constants if c is not None), *after]
    if (folded := _folded(body, segment)) is not None:
        yield [*before, folded, *after]
    for inner in segment.inner:
        if inner.types == segment.types:
            yield [*before, *body[inner.start : inner.end], *after]
    opener = body[segment.at].row.control
    condition = segment.inner[-1] if opener is Control.IF and segment.inner else None
    for arm in segment.arms:
        inside = _unwrapped(body[slice(*arm)])
        if inside is None:
            continue
        if opener is not Control.IF:
            yield [*before, *body[segment.start : segment.at], *inside, *after]
            continue
        if condition is not None and condition.end == segment.at and len(condition.types) == 1:
            yield [*before, *body[segment.start : condition.start], *inside, *after]
        yield [*before, *body[segment.start : segment.at], In(_BY_NAME["drop"]), *inside, *after]


def _hoists(body: Expr, found: list[Segment]) -> Iterator[list[In]]:
    """Put one part of a segment, its values dropped, in place of the whole; for small bodies, since pairs are many."""
    if len(body) > HOIST_UP_TO:
        return
    by_size = sorted(found, key=lambda s: -s.length)
    for segment in by_size:
        constants = [constant(t) for t in segment.types]
        if None in constants:
            continue
        rest = [*(c for c in constants if c is not None), *body[segment.end :]]
        for part in by_size:
            inside = segment.start <= part.start and part.end <= segment.end and part.length < segment.length
            if inside and not (_branches(body[part.start : part.end]) and _depth(body[segment.start : part.start])):
                drops = [In(_BY_NAME["drop"])] * len(part.types)
                yield [*body[: segment.start], *body[part.start : part.end], *drops, *rest]


def _branches(part: Expr) -> bool:
    """Return whether any instruction names a label."""
    return any(labels_in(kind, value) for i in part for kind, value in zip(i.row.imms, i.imms, strict=True))


def _depth(part: Expr) -> int:
    """Return how many constructs are open at the end of a run of instructions."""
    controls = [i.row.control for i in part]
    return sum(c in _OPENS for c in controls) - controls.count(Control.END)


def _folded(body: Expr, segment: Segment) -> In | None:
    """Return the constant that a pure operator gives for constants, or None."""
    row = body[segment.at].row
    operands = body[segment.start : segment.at]
    constants = all(len(i.imms) == 1 and i.row.const is not None and isinstance(i.row.type, Arrow) for i in operands)
    if row.effect is not Effect.PURE or row.run is None or not operands or not constants or len(segment.types) != 1:
        return None
    (t,) = segment.types
    try:
        value = row.run(*body[segment.at].imms, *(i.row.run(*i.imms) for i in operands if i.row.run is not None))
        return In(_BY_NAME[f"{t}.const"], (to_bits(t, value),)) if isinstance(t, NumType | VecType) else None
    except Trap:
        return None


def _known_locals(body: Expr) -> Iterator[list[In]]:
    """Put the constant that a local is set to somewhere in place of a later use of the local."""
    known: dict[int, list[In]] = {}
    for k, (row, imms, _) in enumerate(body):
        if Region.LOCAL in row.writes and k and body[k - 1].row.const is not None and not row.reads:
            known.setdefault(imms[0], []).append(body[k - 1])
        elif Region.LOCAL in row.reads:
            for value in known.get(imms[0], ())[:8]:
                yield [*body[:k], value, *body[k + 1 :]]


def _unwrapped(arm: Expr) -> list[In] | None:
    """Return the inside of a block with its labels lowered by one, or None where it branches to the block itself."""
    out: list[In] = []
    depth, targeted = 0, False

    def lower(label: int) -> int:
        nonlocal targeted
        targeted = targeted or label == depth
        return label - 1 if label > depth else label

    for instruction in arm:
        out.append(map_imms(instruction, "labelidx", lower))
        if instruction.row.control in _OPENS:
            depth += 1
        elif instruction.row.control is Control.END:
            depth -= 1
    return None if targeted else out


def _dead_code(body: Expr) -> Iterator[list[In]]:
    """Delete what follows an instruction that never goes on, up to the end of its construct."""
    for k, instruction in enumerate(body):
        control = instruction.row.control
        if control not in (Control.UNREACHABLE, Control.BR, Control.BR_TABLE, Control.RETURN):
            continue
        depth, end = 0, k + 1
        while end < len(body):
            inside = body[end].row.control
            if inside in _OPENS:
                depth += 1
            elif inside is Control.END or (inside is Control.ELSE and depth == 0):
                if depth == 0:
                    break
                depth -= 1
            end += 1
        if end > k + 1:
            yield [*body[: k + 1], *body[end:]]


def _plainer(body: Expr) -> Iterator[list[In]]:
    """Make single immediates simpler: constants towards 0, offsets 0, shorter tables of labels."""
    for k, instruction in enumerate(body):
        for n, (kind, value) in enumerate(zip(instruction.row.imms, instruction.imms, strict=True)):
            for simpler in _simpler(kind.name, value):
                imms = (*instruction.imms[:n], simpler, *instruction.imms[n + 1 :])
                yield [*body[:k], In(instruction.row, imms), *body[k + 1 :]]


def _simpler(kind: str, value: Any) -> Iterator[Any]:
    if kind in ("i32", "i64", "f32", "f64", "v128"):
        for plain in (0, 1):
            if value > plain:
                yield plain
        if value > 2:
            yield value >> 1
            yield value & (value - 1)
    elif kind == "memarg" and value.offset:
        yield value._replace(offset=0)
        yield value._replace(offset=value.offset >> 1)
    elif kind == "br_table" and value[0]:
        yield (), value[1]
        yield value[0][:-1], value[1]
