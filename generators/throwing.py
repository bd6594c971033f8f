"""Exceptions and tail calls in bodies.

Neither breaks the promise of termination: a handler is ahead of its ``try_table`` and never a loop, and a tail call is
made where a call might be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.features import EXCEPTIONS, LEGACY_EXCEPTIONS, MULTI_VALUE
from engine.instructions.immediates import Catch
from engine.types import EXN, EXNREF, ref
from generators.build import ELSE

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.types import ResultType, ValType
    from generators.body import Body
    from generators.profile import Profile
    from generators.source import Source

__all__ = ["choose_tags", "tail_call", "throw", "throw_if", "tried"]


def choose_tags(source: Source, profile: Profile, choose_valtype: Callable[[], ValType]) -> list[ResultType]:
    """Return the types of the values that exceptions of each tag carry; no tags without the feature."""
    if not {EXCEPTIONS, MULTI_VALUE} <= profile.features or not source.chance(profile.tag_percent):
        return []
    return [tuple(choose_valtype() for _ in range(source.below(4))) for _ in range(source.between(1, 3))]


def throw(body: Body) -> bool:
    """Append a throw, behind which nothing is reached; return False where there are no tags."""
    tags = body.module.tags
    if not tags:
        return False
    x = body.source.below(len(tags))
    for t in tags[x]:
        body.expr(t, 1)
    body.emit("throw", x)
    return True


def throw_if(body: Body, nesting: int) -> None:
    """A throw under a condition."""
    if not body.module.tags:
        body.block(nesting)
        return
    body.condition()
    body.enter("if", None, ())
    throw(body)
    body.leave()


def tried(body: Body, nesting: int) -> None:
    """Statements whose exceptions of one tag come out with their values, and all others as nothing or not at all."""
    source, tags = body.source, body.module.tags
    if not tags:
        body.block(nesting)
        return
    if LEGACY_EXCEPTIONS in body.profile.features and source.chance(30):
        _tried_as_before(body, nesting)
        return
    x = source.below(len(tags))
    with_ref, catches_all = source.chance(25), source.chance(30)
    types: ResultType = (*tags[x], EXNREF) if with_ref else tags[x]
    if catches_all:
        body.enter("block", None, ())
    body.enter("block", body.module.blocktype(types), types, free=not with_ref)
    body.enter("try_table", None, (), (Catch(x, with_ref, 0), *[Catch(None, False, 1)] * catches_all))
    body.statements(nesting)
    if source.chance(50):
        throw_if(body, 0)
    body.leave()
    for t in tags[x]:
        body.expr(t, 1)
    if with_ref:
        body.emit("ref.null", EXN)
    body.leave()
    if with_ref:
        _again(body)
    for t in reversed(tags[x]):
        body.consume(t)
    if catches_all:
        body.leave()


def _tried_as_before(body: Body, nesting: int) -> None:
    """The same in the form of legacy exceptions: clauses, or handlers of another construct."""
    source, tags = body.source, body.module.tags
    x, how = source.below(len(tags)), source.below(4)
    body.enter("try", None, ())
    body.statements(nesting)
    if source.chance(50):
        throw_if(body, 0)
    if how == 3:
        body.labels.pop()
        body.emit("delegate", source.below(len(body.labels)))
        return
    body.emit("catch", x)
    for t in reversed(tags[x]):
        body.consume(t)
    if source.chance(30):
        body.condition()
        body.enter("if", None, ())
        body.emit("rethrow", 1)
        body.leave()
    if how == 2:
        body.emit("catch_all")
        body.statements(0)
    body.leave()


def _again(body: Body) -> None:
    """Consume the exception that a handler passed on, now and then by throwing it again."""
    x = body.temporary(EXNREF)
    body.emit("local.set", x)
    how = body.source.below(4)
    if how < 2:
        return
    body.emit("local.get", x)
    body.emit("ref.is_null")
    body.enter("if", None, ())
    if how == 3:  # null now and then
        body.condition()
        body.enter("if", None, ())
        _throw_ref(body, x)
        body.leave()
    body.out.append(ELSE)
    _throw_ref(body, x)
    body.leave()


def _throw_ref(body: Body, x: int) -> None:
    body.emit("local.get", x)
    if body.source.chance(40):
        y = body.temporary(ref(False, EXN))
        body.emit("ref.as_non_null")
        body.emit("local.tee", y)
    body.emit("throw_ref")


def tail_call(body: Body) -> bool:
    """Append a tail call, behind which nothing is reached; return False where none may be made."""
    calls = body.tail_calls()
    if not calls:
        return False
    body.option(calls.choose(body.source), 1)
    return True
