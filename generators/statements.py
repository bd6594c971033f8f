"""Statements: what leaves the operand stack as it found it.

Each is a function of a body and of how many statements may still nest in it.  ``FLAT`` and ``NESTED`` are the menus
that a body chooses from, the simplest first; how often a function stands in them is its frequency.  A *probe* is the
statement that finds wrong operators: one row on sharp operands, its result at once where an observer looks.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from engine.features import FUNCTION_REFERENCES, MULTI_VALUE
from engine.instructions.immediates import CastBranch
from engine.instructions.model import Effect
from engine.matching import top
from engine.module import In
from engine.types import EXTERNREF, FUNCREF, I32, RefType, ref
from generators.build import ELSE, END, const
from generators.immediates import fill
from generators.throwing import throw_if, tried

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.types import ValType
    from generators.body import Body

__all__ = ["FLAT", "NESTED", "Label"]


class Label:
    """A label in scope: the types a branch to it carries, and whether a branch may be emitted freely."""

    __slots__ = ("free", "types")

    def __init__(self, types: tuple[ValType, ...], free: bool) -> None:
        self.types = types
        self.free = free


def _probe(body: Body, _: int) -> None:
    """Operators on sharp operands, or what memory gives, each result kept where an observer sees it."""
    for _ in range(body.source.between(1, 4)):
        palette = body.module.palette
        is_access = palette.accesses and body.source.chance(15)
        operator = (palette.accesses if is_access else palette.operators).choose(body.source)
        push = partial(body.option, operator, 0, is_sharp=True)
        if len(operator.pushes) == 1:
            _keep(body, operator.pushes[0], push)
            continue
        push()
        for t in reversed(operator.pushes):
            x = body.temporary(t)
            body.emit("local.set", x)
            _keep(body, t, partial(body.emit, "local.get", x))


def _keep(body: Body, t: ValType, push: Callable[[], None]) -> None:
    """Append ``push``, which gives one ``t``, and keep that where an observer sees it."""
    assert not isinstance(t, RefType)
    stores = body.module.stores(t)
    if stores:
        store = body.source.choose(stores)
        body.out.append(const(store.pops[0], 8 * body.source.below(32)))
        push()
        body.out.append(In(store.row, fill(body.source, store)))
    else:
        push()
        body.consume(t)


def _effect(body: Body, _: int) -> None:
    effects = body.module.palette.effects
    if effects:
        option = effects.choose(body.source)
        body.option(option, body.profile.expression_depth, is_sharp=option.row.effect is Effect.PURE)
        for t in reversed(option.pushes):
            body.consume(t)
    else:
        _set_local(body, _)


def _set_local(body: Body, _: int) -> None:
    if not body.visible:
        return
    t = body.locals[body.source.below(body.visible)]
    body.expr(t, body.profile.expression_depth)
    body.consume(t)


def _idle(body: Body, _: int) -> None:
    """A set local behind an instruction that does nothing."""
    body.emit("nop")
    _set_local(body, _)


def _call(body: Body, _: int) -> None:
    calls = body.calls()
    if calls:
        option = calls.choose(body.source)
        body.option(option, body.profile.expression_depth - 1)
        for t in reversed(option.pushes):
            body.consume(t)
    else:
        _effect(body, _)


def _if(body: Body, nesting: int) -> None:
    body.condition()
    body.emit("if", None)
    body.arm((), nesting)
    if body.source.chance(50):
        body.out.append(ELSE)
        body.arm((), nesting)
    body.out.append(END)


def _branch_if(body: Body, _: int) -> None:
    free = [l for l in range(len(body.labels)) if body.labels[-1 - l].free]
    l = body.source.choose(free)
    types = body.labels[-1 - l].types
    for t in types:
        body.expr(t, 1)
    body.condition()
    body.emit("br_if", l)
    for t in reversed(types):
        body.consume(t)


def _reference(body: Body, _: int) -> None:
    """A branch on whether a reference is null, or on a cast of it."""
    source, heap = body.source, body.module.heap
    if FUNCTION_REFERENCES not in body.profile.features:
        _effect(body, _)
        return
    values = (FUNCREF, EXTERNREF, *heap.values)
    t = source.choose(values)
    how = source.below(5 if heap.values else 2)
    present = ref(False, t.heap)
    there = present if present in body.module.present else t
    if how == 0:
        body.emit("block", None)
        body.labels.append(Label((), True))
        body.expr(t, 1)
        body.emit("br_on_null", 0)
        body.consume(there)
        body.labels.pop()
        body.out.append(END)
    elif how == 1:
        _either(body, t, there, "br_on_non_null", 0)
        body.consume(there)
    else:
        target = source.choose([u for u in values if top(u.heap) is top(t.heap)])
        whole = ref(True, top(t.heap))
        cast = ref(source.chance(50), target.heap)
        _cast(body, whole, target, cast, is_taken=how < 4)


def _cast(body: Body, whole: RefType, target: RefType, cast: RefType, is_taken: bool) -> None:
    """Cast the largest type of a hierarchy to ``cast``, whose values a ``target`` holds: a branch if it succeeds,
    or if it fails."""
    types = body.module.heap.open(whole), body.module.heap.open(cast)
    if is_taken:
        _either(body, whole, target, "br_on_cast", CastBranch(0, *types), whole)
        body.consume(target)
    else:
        _either(body, whole, whole, "br_on_cast_fail", CastBranch(0, *types), target)
        body.consume(whole)


def _either(body: Body, t: RefType, carried: RefType, name: str, imm: Any, left: RefType | None = None) -> None:
    """Push a ``carried`` that comes by a branch out of a block or from its end; a ``left`` is there if it is not
    taken."""
    body.emit("block", body.module.heap.open(carried))
    body.labels.append(Label((carried,), True))
    body.expr(t, 1)
    body.emit(name, imm)
    if left is not None:
        body.consume(left)
    body.expr(carried, 1)
    body.labels.pop()
    body.out.append(END)


def _switch(body: Body, nesting: int) -> None:
    """Nested blocks, a br_table out of the innermost one, and an arm behind each."""
    arms = body.source.between(1, 3)
    for _ in range(arms + 1):
        body.emit("block", None)
        body.labels.append(Label((), True))
    body.expr(I32, 1 if body.source.chance(30) else 0)
    if body.source.chance(60):
        body.out.append(const(I32, body.source.choose((3, 7, 1))))
        body.emit("i32.and")
    targets = tuple(body.source.below(arms + 1) for _ in range(body.source.between(0, 4)))
    body.emit("br_table", (targets, body.source.below(arms + 1)))
    for arm in range(arms + 1):
        body.labels.pop()
        body.out.append(END)
        if arm < arms:
            body.statements(0)
            if arm < arms - 1 and body.source.chance(50):
                body.emit("br", arms - 1 - arm)


def _typed_block(body: Body, nesting: int) -> None:
    """A block of a function type of the module: operands in, results out, consumed from the top."""
    if MULTI_VALUE not in body.profile.features:
        body.block(nesting)
        return
    at = body.source.below(body.module.plain_types)
    t = body.module.functypes[at]
    for p in t.params:
        body.expr(p, 1)
    body.emit("block", len(body.module.heap.types) + at)
    body.labels.append(Label(t.results, True))
    for p in reversed(t.params):
        body.consume(p)
    body.statements(nesting)
    for r in t.results:
        body.expr(r, 2)
    body.labels.pop()
    body.out.append(END)
    for r in reversed(t.results):
        body.consume(r)


def _loop(body: Body, nesting: int) -> None:
    room = (body.profile.trips if body.module.is_plain(body.index) else 4) // body.trips
    if room < 2:
        body.block(nesting)
        return
    trips = body.source.between(2, min(room, 8))
    counter = body.new_local(I32)
    body.out.append(const(I32, trips))
    body.emit("local.set", counter)
    body.emit("loop", None)
    body.labels.append(Label((), False))
    body.trips *= trips
    body.statements(nesting)
    body.trips //= trips
    _count(body, counter)
    body.emit("br_if", 0)
    body.labels.pop()
    body.out.append(END)


def _count(body: Body, counter: int) -> None:
    """Push whether the loop goes on; signed, so that a count already at its end stays there."""
    body.emit("local.get", counter)
    body.out.append(const(I32, 1))
    body.emit("i32.sub")
    body.emit("local.tee", counter)
    body.out.append(const(I32, 0))
    body.emit("i32.gt_s")


def _block(body: Body, nesting: int) -> None:
    body.block(nesting)


FLAT: tuple[Callable[[Body, int], None], ...] = (
    *[_effect] * 7, *[_set_local] * 4, _idle, *[_call] * 3, *[_probe] * 8, _branch_if,
    _reference, throw_if,
)  # fmt: skip
NESTED: tuple[Callable[[Body, int], None], ...] = (
    *FLAT, *[_if] * 3, *[_loop] * 2, *[_block] * 2, _switch, _typed_block, tried, tried,
)  # fmt: skip
