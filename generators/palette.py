"""What can be emitted where: every row of the table, asked for its type under a context, indexed by what it pushes.

An :class:`Option` is a row with the immediates that typing sees, and its arrow without type variables. Options of a
module (numerics, memory, globals, calls) are listed once; options over locals once per function. ``roles`` say
which operands are addresses, indices or lengths, read off ``reads``, ``writes`` and ``bulk`` of the row: a body
aims such operands.
"""

from __future__ import annotations

from enum import Enum
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.errors import InvalidError
from engine.instructions import TABLE
from engine.instructions.model import Control, Effect, Region
from engine.matching import matches
from engine.types import EXTERNREF, F32, F64, FUNCREF, I32, I64, Arrow, TypeVar, ValType
from generators.immediates import domain, fills

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from engine.instructions.model import Instr
    from generators.profile import Profile
    from generators.source import Source

__all__ = ["NUMERIC", "VALUES", "Choices", "Option", "Palette", "Role", "list_options"]

NUMERIC: tuple[ValType, ...] = (I32, I64, F32, F64)
VALUES: tuple[ValType, ...] = (*NUMERIC, FUNCREF, EXTERNREF)

_BOUNDS: dict[str, tuple[ValType, ...]] = {"any": VALUES, "numvec": NUMERIC, "ref": (FUNCREF, EXTERNREF)}


class Role(Enum):
    """What an operand means to its instruction."""

    VALUE = "any value"
    ADDRESS = "a memory address"
    INDEX = "a table index"
    SEGMENT = "an offset in a segment"
    LENGTH = "a number of bytes or elements"
    DELTA = "a number of pages or elements to grow by"


class Option(NamedTuple):
    """One thing to emit; ``width`` is the number of bytes of a memory access, 0 where there is none."""

    row: Instr
    imms: tuple[Any, ...]
    pops: tuple[ValType, ...]
    pushes: tuple[ValType, ...]
    roles: tuple[Role, ...]
    width: int
    fills: bool
    weight: int


class Choices:
    """Options with their weights, to be drawn from a source."""

    __slots__ = ("_cumulative", "options")

    def __init__(self, options: Iterable[Option]) -> None:
        self.options = [o for o in options if o.weight > 0]
        self._cumulative = list(accumulate(o.weight for o in self.options))

    def __bool__(self) -> bool:
        return bool(self.options)

    def choose(self, source: Source) -> Option:
        """Return one option by weight."""
        return self.options[source.weighted(self._cumulative)]


def _roles(row: Instr, pops: tuple[Any, ...], width: int) -> tuple[Role, ...]:
    roles = [Role.VALUE] * len(pops)
    place = Role.ADDRESS if Region.MEMORY in row.reads | row.writes else Role.INDEX
    if row.bulk is not None:
        grows = len(row.traps) == 0
        roles[row.bulk.length] = Role.DELTA if grows else Role.LENGTH
        if not grows:
            roles[0] = place
            if row.reads:
                roles[1] = Role.SEGMENT if Region.SEGMENT in row.reads else place
    elif width:
        roles[0] = Role.ADDRESS
    elif Region.TABLE in row.reads | row.writes and pops:
        roles[-1 if row.control is Control.CALL else 0] = Role.INDEX
    return tuple(roles)


def _width(row: Instr, c: Any, imms: tuple[Any, ...]) -> int:
    """Return the bytes that an access touches, as the greatest alignment its own type rule allows."""
    for k, imm in enumerate(row.imms):
        if imm.name == "memarg":
            width = 0
            for align in range(5):
                try:
                    row.arrow(c, (*imms[:k], imms[k]._replace(align=align), *imms[k + 1 :]))
                except InvalidError:
                    continue
                width = 1 << align
            return width
    return 0


def _instances(arrow: Arrow) -> Iterator[Arrow]:
    """Return the arrow for each choice of its type variable, or itself."""
    variables = {t for t in (*arrow.pops, *arrow.pushes) if isinstance(t, TypeVar)}
    if not variables:
        yield arrow
        return
    (variable,) = variables
    for t in _BOUNDS[variable.bound]:
        yield Arrow(
            tuple(t if p is variable else p for p in arrow.pops), tuple(t if p is variable else p for p in arrow.pushes)
        )


def list_options(rows: Iterable[Instr], c: Any) -> Iterator[Option]:
    """Return every option of these rows under context ``c``; the weight of a row is shared by its options."""
    for row in rows:
        found: list[tuple[tuple[Any, ...], Arrow]] = []
        for imms in domain(row, c):
            try:
                arrow = row.arrow(c, imms)
            except InvalidError:
                continue
            if not arrow.polymorphic:
                found.extend((imms, a) for a in _instances(arrow))
        for imms, a in found:
            width = _width(row, c, imms)
            weight = max(1, row.weight // len(found))
            yield Option(row, imms, a.pops, a.pushes, _roles(row, a.pops, width), width, fills(row), weight)


def _pushes(option: Option, t: ValType) -> bool:
    return len(option.pushes) == 1 and matches(option.pushes[0], t)


class Palette:
    """The options of a module under a profile: ``producers[t]`` push one ``t``, ``leaves[t]`` without operands,
    ``effects`` push nothing.  ``calls`` are kept apart, because what may be called depends on the caller."""

    def __init__(self, c: Any, profile: Profile, allowed: Callable[[Option], bool]) -> None:
        """``allowed`` refuses what would break a promise of the module, such as its termination."""
        rows = [r for r in TABLE if r.feature in profile.features and not (r.nan and profile.nan == "none")]
        self.local_rows = [r for r in rows if Region.LOCAL in r.reads | r.writes]
        plain = [r for r in rows if r.control is None and r not in self.local_rows and r.weight > 0]
        options = list(_static_options(plain)) + list(list_options((r for r in plain if not _is_static(r)), c))
        options = [o for o in options if o.pushes or o.row.effect is not Effect.PURE]  # a pure effect is a drop
        options = [o for o in options if allowed(o)]
        self.producers = {t: Choices(o for o in options if _pushes(o, t) and o.pops) for t in VALUES}
        self.leaves = {t: Choices(o for o in options if _pushes(o, t) and not o.pops) for t in VALUES}
        self.effects = Choices(o for o in options if not o.pushes)
        self.calls = list(list_options((r for r in rows if r.control is Control.CALL), c))


def _is_static(row: Instr) -> bool:
    return isinstance(row.type, Arrow)


_static_cache: dict[Instr, tuple[Option, ...]] = {}


def _static_options(rows: Iterable[Instr]) -> Iterator[Option]:
    for row in rows:
        if _is_static(row):
            if row not in _static_cache:
                _static_cache[row] = tuple(list_options((row,), None))
            yield from _static_cache[row]
