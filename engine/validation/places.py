"""What validation knows at each place of a body: the operands there, and the locals that have been set.

The registers of a snapshot are checked against these types.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from engine.validation.body import Walker, check_body

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

    from engine.module import Expr, In
    from engine.types import ResultType, ValType
    from engine.validation.context import Context

__all__ = ["Place", "places"]


class Place(NamedTuple):
    """What is known before an instruction: types of the operands, lowest first, and which locals have been set.

    Those below ``height`` are outside of the innermost construct.  ``given`` has only locals without a default value.
    """

    operands: tuple[ValType, ...]
    height: int
    given: frozenset[int]


def places(
    c: Context, body: Expr, results: ResultType, tracked: int | None = None, wanted: Container[int] | None = None
) -> list[Place | None]:
    """Check an expression as ``check_body`` does, and return the place before each instruction.

    It is None where control cannot come, and where it is not ``wanted``: places take as much memory as the stack is
    high.
    """
    walker = Walker(c, results, tracked)
    out: list[Place | None] = []

    def watched() -> Iterator[In]:
        for x, ins in enumerate(body):
            place = None
            if (wanted is None or x in wanted) and not any(frame.unreachable for frame in walker.frames):
                place = Place(tuple(walker.vals), walker.frames[-1].height, frozenset(walker.given))
            out.append(place)
            yield ins

    check_body(c, watched(), results, None, tracked, walker)
    return out
