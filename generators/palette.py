"""What can be emitted where: every row of the table, asked for its type under a context, indexed by what it pushes.

An :class:`Option` is a row with the immediates that typing sees, and its arrow without type variables. Options of a
module (numerics, memory, globals, calls) are listed once; options over locals once per function. ``roles`` say
which operands are addresses, indices or lengths, read off ``reads``, ``writes`` and ``bulk`` of the row: a body
aims such operands.
"""

from __future__ import annotations

from enum import Enum
from functools import cache
from itertools import accumulate, chain
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.errors import InvalidError
from engine.instructions import TABLE
from engine.instructions.model import Control, Effect, Region
from engine.matching import matches
from engine.types import EXTERNREF, F32, F64, FUNCREF, I32, I64, Arrow, TypeVar, ValType
from generators.immediates import domain, fills

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from engine.features import FeatureSet
    from engine.instructions.model import Instr
    from engine.validation.context import Context
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


class _Rows:
    """The rows of a profile by what their types depend on; the same for every module."""

    def __init__(self, features: FeatureSet, nan: str) -> None:
        rows = [r for r in TABLE if r.feature in features and not (r.nan and nan == "none")]
        self.local = [r for r in rows if Region.LOCAL in r.reads | r.writes]
        self.calls = [r for r in rows if r.control is Control.CALL]
        plain = [r for r in rows if r.control is None and r.weight > 0 and r not in self.local]
        static = [r for r in plain if isinstance(r.type, Arrow)]
        self.memory = [r for r in plain if r.imms and {i.name for i in r.imms} <= {"memarg", "memidx"}]
        self.other = [r for r in plain if r not in static and r not in self.memory]
        self.static = [o for o in list_options(static, None) if o.pushes or o.row.effect is not Effect.PURE]  # no drop
        self._of_memories: dict[tuple[ValType, ...], list[Option]] = {}

    def memory_options(self, c: Context) -> list[Option]:
        """Return the options of the memories of a module, which their address types determine."""
        key = tuple(m.addrtype for m in c.mems)
        if key not in self._of_memories:
            self._of_memories[key] = list(list_options(self.memory, c))
        return self._of_memories[key]


_rows = cache(_Rows)


class Palette:
    """The options of a module under a profile: ``producers[t]`` push one ``t``, ``leaves[t]`` without operands,
    ``effects`` push nothing.  ``calls`` are kept apart, because what may be called depends on the caller."""

    def __init__(self, c: Context, profile: Profile, allowed: Callable[[Option], bool]) -> None:
        """``allowed`` refuses what would break a promise of the module, such as its termination."""
        rows = _rows(profile.features, profile.nan)
        self.local_rows = rows.local
        self.calls = list(list_options(rows.calls, c))
        producers: dict[ValType, list[Option]] = {t: [] for t in VALUES}
        leaves: dict[ValType, list[Option]] = {t: [] for t in VALUES}
        effects: list[Option] = []
        for option in chain(rows.static, rows.memory_options(c), filter(allowed, list_options(rows.other, c))):
            if not option.pushes:
                effects.append(option)
            elif len(option.pushes) == 1:
                into = producers if option.pops else leaves
                pushed = option.pushes[0]
                for t in (pushed,) if pushed in into else VALUES:
                    if matches(pushed, t):
                        into[t].append(option)
        self.producers = {t: Choices(found) for t, found in producers.items()}
        self.leaves = {t: Choices(found) for t, found in leaves.items()}
        self.effects = Choices(effects)
