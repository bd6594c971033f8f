"""What can be emitted where: every row of the table, asked for its type under a context, indexed by what it pushes.

An :class:`Option` is a row with the immediates that typing sees, and its arrow without type variables. Options of a
module (globals, tables, calls) are listed once per module; those that a few types determine (numerics, memory
accesses, locals) once and for all. ``roles`` say which operands are addresses, indices or lengths, read off ``reads``,
``writes`` and ``bulk`` of the row: a body aims such operands.
"""

from __future__ import annotations

from enum import Enum
from functools import cache, lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.errors import InvalidError
from engine.instructions import TABLE
from engine.instructions.model import Control, Effect, Region
from engine.matching import matches
from engine.types import (
    ANY,
    ANYREF,
    EXTERN,
    EXTERNREF,
    F32,
    F64,
    FUNC,
    FUNCREF,
    I32,
    I64,
    V128,
    Arrow,
    RefType,
    ValType,
    substitute,
    variable,
)
from engine.validation.context import Context
from engine.validation.features import type_feature
from generators.heap import ABSTRACT
from generators.immediates import alignments, domain, fills, is_context_free
from generators.present import PRESENT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from engine.features import FeatureSet
    from engine.instructions.model import Instr
    from engine.types import NumType, VecType
    from generators.heap import Heap
    from generators.profile import Profile
    from generators.source import Source

__all__ = ["NUMERIC", "VALUES", "Choices", "Option", "Palette", "Role", "list_options"]

NUMERIC: tuple[ValType, ...] = (I32, I64, F32, F64)
VALUES: tuple[ValType, ...] = (*NUMERIC, V128, FUNCREF, EXTERNREF)

_BOUNDS: dict[str, tuple[Any, ...]] = {
    "any": VALUES, "numvec": (*NUMERIC, V128), "ref": (FUNCREF, EXTERNREF, ANYREF), "heap": (FUNC, EXTERN, ANY),
    "null": (True,),
}  # fmt: skip


class Role(Enum):
    """What an operand means to its instruction."""

    VALUE = "any value"
    ADDRESS = "a memory address"
    INDEX = "a table index"
    SEGMENT = "an offset in a segment"
    LENGTH = "a number of bytes or elements"
    DELTA = "a number of pages or elements to grow by"
    EXPECTED = "what memory may hold"
    TIMEOUT = "a time to wait"


class Option(NamedTuple):
    """One thing to emit; ``width`` is the number of bytes of a memory access, 0 where there is none, ``unit`` that of
    which its address must be a multiple."""

    row: Instr
    imms: tuple[Any, ...]
    pops: tuple[ValType, ...]
    pushes: tuple[ValType, ...]
    roles: tuple[Role, ...]
    width: int
    unit: int
    fills: bool
    weight: int


class Choices:
    """Options with their weights, to be drawn from a source; those of ``first`` come before the others."""

    __slots__ = ("_cumulative", "options")

    def __init__(self, options: Iterable[Option], first: Choices | None = None) -> None:
        self.options = [o for o in options if o.weight > 0]
        self._cumulative = list(accumulate([o.weight for o in self.options]))
        if first:
            total = first._cumulative[-1]
            self.options = first.options + self.options
            self._cumulative = first._cumulative + [total + w for w in self._cumulative]

    def __bool__(self) -> bool:
        return bool(self.options)

    def choose(self, source: Source) -> Option:
        """Return one option by weight."""
        return self.options[source.weighted(self._cumulative)]


@cache
def _roles(row: Instr, arity: int, is_access: bool) -> tuple[Role, ...]:
    roles = [Role.VALUE] * arity
    if row.family == "heap":
        return tuple(roles)  # generators.heap aims them
    place = Role.ADDRESS if Region.MEMORY in row.reads | row.writes else Role.INDEX
    if row.bulk is not None:
        grows = len(row.traps) == 0
        roles[row.bulk.length] = Role.DELTA if grows else Role.LENGTH
        if not grows:
            roles[0] = place
            if row.reads:
                roles[1] = Role.SEGMENT if Region.SEGMENT in row.reads else place
    elif is_access:
        roles[0] = Role.ADDRESS
        if row.family in ("atomic wait", "atomic cmpxchg"):
            roles[1] = Role.EXPECTED
        if row.family == "atomic wait":
            roles[2] = Role.TIMEOUT
    elif Region.TABLE in row.reads | row.writes and arity:
        roles[-1 if row.control is Control.CALL else 0] = Role.INDEX
    return tuple(roles)


@lru_cache(maxsize=4096)
def _instances(arrow: Arrow, features: FeatureSet) -> tuple[Arrow, ...]:
    """Return the arrow for each choice of its type variable, or itself, where its types are on."""
    found = [arrow]
    bound = next((found for found in map(variable, arrow.pops) if found), None)
    if bound is not None:
        found = [
            Arrow(tuple(substitute(t, value) for t in arrow.pops), tuple(substitute(t, value) for t in arrow.pushes))
            for value in _BOUNDS[bound.bound]
        ]
    return tuple([a for a in found if all(type_feature(t) in features for t in (*a.pops, *a.pushes))])


@cache
def _access(row: Instr) -> tuple[int, int]:
    """Return ``width`` and ``unit`` of the options of ``row``."""
    legal = alignments(row)
    width = 1 << legal[-1] if legal else 0
    return width, width if len(legal) == 1 else 1


def list_options(rows: Iterable[Instr], c: Any, choices: Iterable[tuple[Any, ...]] | None = None) -> Iterator[Option]:
    """Return every option of these rows under context ``c``; the weight of a row is shared by its options.

    The immediates are those of ``choices``, or all that typing can tell apart.
    """
    features = c.features
    for row in rows:
        is_free = choices is None and is_context_free(row)  # else all types are of the module, and on
        found: list[tuple[tuple[Any, ...], Arrow]] = []
        for imms in domain(row, c) if choices is None else choices:
            try:
                arrow = row.arrow(c, imms)
            except InvalidError:
                continue
            if not arrow.polymorphic:
                found += [(imms, a) for a in _instances(arrow, features)] if is_free else [(imms, arrow)]
        if not found:
            continue
        width, unit = _access(row)
        weight = max(1, row.weight // len(found))
        filled = fills(row)
        for imms, a in found:
            yield Option(row, imms, a.pops, a.pushes, _roles(row, len(a.pops), width > 0), width, unit, filled, weight)


class _Rows:
    """The rows of a profile by what their types depend on, and the options that many modules share."""

    def __init__(self, features: FeatureSet, nan: str, without: frozenset[str]) -> None:
        rows = [r for r in TABLE if r.feature in features and not (r.nan and nan == "none") and r.name not in without]
        self.calls = [r for r in rows if r.control is Control.CALL and r.weight > 0]
        tails = [r for r in rows if r.control is Control.TAIL_CALL]
        self.tail = {r: t for r in self.calls for t in tails if [i.name for i in r.imms] == [i.name for i in t.imms]}
        plain = [r for r in rows if r.control is None and r.weight > 0 and Region.LOCAL not in r.reads | r.writes]
        free = [r for r in plain if is_context_free(r) and r.family != "heap"]
        self.memory = [r for r in plain if r.imms and {i.name for i in r.imms} <= {"memarg", "memidx", "laneidx"}]
        self.indexed = [r for r in plain if r not in free and r not in self.memory and r.family != "heap"]
        self.heap = [r for r in plain if r.family == "heap"]
        self.casts = [r for r in plain if [imm.name for imm in r.imms] == ["heaptype"]]
        self.free = [o for o in list_options(free, Context(features)) if o.pushes or o.row.effect is not Effect.PURE]
        operators = [o for o in self.free if o.pops and o.pushes]
        operators = [o for o in operators if not any(isinstance(t, RefType) for t in o.pops + o.pushes)]
        self.operators = Choices(o._replace(weight=o.weight // 4) if V128 in o.pops else o for o in operators)
        self._of_memories: dict[tuple[ValType, ...], _Sorted] = {}

    def shared(self, c: Context) -> _Sorted:
        """Return the options that the memories of a module determine, by their address types."""
        key = tuple(m.addrtype for m in c.mems)
        if key not in self._of_memories:
            self._of_memories[key] = _Sorted([*self.free, *list_options(self.memory, c)])
        return self._of_memories[key]


_rows = cache(_Rows)


class _Sorted:
    """Options by what they are good for (see :class:`Palette`), behind those of ``first``."""

    producers: dict[ValType, Choices]
    leaves: dict[ValType, Choices]
    effects: Choices
    accesses: Choices

    def __init__(
        self,
        options: Iterable[Option],
        first: _Sorted | None = None,
        types: tuple[ValType, ...] = (*VALUES, *ABSTRACT, *PRESENT),
    ) -> None:
        producers: dict[ValType, list[Option]] = {t: [] for t in types}
        leaves: dict[ValType, list[Option]] = {t: [] for t in types}
        above: dict[ValType, list[ValType]] = {}  # the types that take what an option pushes
        effects: list[Option] = []
        accesses: list[Option] = []
        for option in options:
            if option.width and option.pushes:
                accesses.append(option)
            if len(option.pushes) != 1:
                effects.append(option)
            else:
                into = producers if option.pops else leaves
                pushed = option.pushes[0]
                if pushed not in above:
                    above[pushed] = [t for t in types if matches(pushed, t)]
                for t in above[pushed]:
                    into[t].append(option)
        before = (first.producers, first.leaves) if first else ({}, {})
        self.producers = {t: _extend(before[0].get(t), found) for t, found in producers.items()}
        self.leaves = {t: _extend(before[1].get(t), found) for t, found in leaves.items()}
        effects.sort(key=lambda o: len(o.pushes))  # what leaves values to be consumed is less simple
        self.effects = _extend(first.effects if first else None, effects)
        self.accesses = _extend(first.accesses if first else None, accesses)


def _extend(first: Choices | None, options: list[Option]) -> Choices:
    return Choices(options, first) if options or first is None else first


class Palette:
    """The options of a module under a profile: ``producers[t]`` push one ``t``, ``leaves[t]`` without operands,
    ``effects`` push nothing or several values, ``operators`` are those on numbers and (there are so many) more rarely
    on vectors, ``accesses`` give one value from memory.  ``calls`` are kept apart, because what may be called depends
    on the caller."""

    def __init__(
        self, c: Context, profile: Profile, allowed: Callable[[Option], bool], heap: Heap, present: tuple[RefType, ...]
    ) -> None:
        """``allowed`` refuses what would break a promise of the module, such as its termination."""
        rows = _rows(profile.features, profile.nan, profile.without)
        self.operators = rows.operators
        self.calls = list(list_options(rows.calls, c))
        self._tail = rows.tail
        options = list(filter(allowed, list_options(rows.indexed, c)))
        if heap.types:
            narrow = c.view()
            narrow.types = c.types[: len(heap.types)]  # the others are function types
            options += list_options(rows.heap, narrow)
            for x in (*range(len(heap.types)), *heap.functions):
                options += list_options(rows.casts, c, [(x,)])
        found = _Sorted(options, rows.shared(c), tuple(dict.fromkeys((*VALUES, *ABSTRACT, *heap.values, *present))))
        self.producers, self.leaves, self.effects = found.producers, found.leaves, found.effects
        self.accesses = found.accesses
        self._accesses = [o for o in self.effects.options if o.width]

    def tail_calls(self, calls: Iterable[Option]) -> list[Option]:
        """Return the tail calls of what these call; they push nothing, but give what the calls push."""
        return [o._replace(row=self._tail[o.row]) for o in calls if o.row in self._tail]

    def stores(self, t: NumType | VecType) -> list[Option]:
        """Return the options that store a whole ``t``."""
        return [o for o in self._accesses if o.pops[-1] is t and 8 * o.width == t.bits]
