"""References that are not null: the types of them that a module uses, and the locals of them that have a value.

Nothing is the default of such a type, so a module uses those of which it can make a value anywhere: objects by
instructions that are constant, functions by their index.  What a host can make too, a plan may pass.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from engine.features import FUNCTION_REFERENCES, GC, REFERENCE_TYPES
from engine.instructions.model import Control, Region
from engine.matching import matches, top
from engine.types import ANY, ARRAY, EQ, EXN, EXTERN, FUNC, I31, NOEXTERN, NOFUNC, NONE, STRUCT, RefType, ref
from engine.validation.features import type_feature

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from engine.module import In
    from engine.types import ValType
    from generators.profile import Profile
    from generators.source import Source

__all__ = ["PRESENT", "Given", "choose_present", "choose_unused", "is_absent", "is_present", "nullable"]

PRESENT: tuple[RefType, ...] = tuple(ref(False, heap) for heap in (FUNC, EXTERN, ANY, EQ, I31, STRUCT, ARRAY))
_ALWAYS = PRESENT[:5]  # values of the others are objects of types of the module
_UNUSED: tuple[RefType, ...] = tuple(ref(False, heap) for heap in (NONE, NOFUNC, NOEXTERN, EXN, STRUCT, ARRAY))

_OPENS = {Control.BLOCK, Control.LOOP, Control.IF, Control.TRY_TABLE, Control.TRY}
_CLAUSES = {Control.ELSE, Control.CATCH}
_CLOSES = {Control.END, Control.DELEGATE}


def is_present(t: ValType) -> bool:
    """Tell whether a type is of references that are not null."""
    return isinstance(t, RefType) and not t.null


def nullable(t: ValType) -> ValType:
    """Return the type with null among its values, where it is of references."""
    return ref(True, t.heap) if isinstance(t, RefType) else t


def choose_present(source: Source, profile: Profile, objects: Iterable[RefType]) -> tuple[RefType, ...]:
    """Return a few types of references that are not null, among them some of ``objects``."""
    if not {FUNCTION_REFERENCES, REFERENCE_TYPES} <= profile.features or not source.chance(profile.present_percent):
        return ()
    found = (*(_ALWAYS if GC in profile.features else _ALWAYS[:1]), *[ref(False, t.heap) for t in objects])
    return tuple(dict.fromkeys(source.choose(found) for _ in range(source.between(1, 3))))


def choose_unused(source: Source, profile: Profile) -> RefType:
    """Return the type of a local that is never set, which nothing else needs to be able to make."""
    return source.choose([t for t in _UNUSED if type_feature(ref(True, t.heap)) in profile.features] or PRESENT[:1])


def is_absent(t: ValType) -> bool:
    """Tell whether a type has no value that a host can make: references to objects of the module."""
    return isinstance(t, RefType) and not t.null and top(t.heap) is ANY and not matches(ref(False, I31), t)


class Given:
    """The locals without a default value that have one where a body ends so far (spec: valid-local).

    The validator's rule, asked of a body that is still growing: what was set in a construct is not set behind it.
    """

    def __init__(self, locals_: Iterable[int]) -> None:
        self._tracked = frozenset(locals_)
        self._open: list[set[int]] = [set()]
        self._seen = 0

    def may_read(self, x: int, body: Sequence[In]) -> bool:
        """Tell whether local ``x`` has a value behind ``body``, which begins with what was asked about before."""
        if x not in self._tracked:
            return True
        for row, imms, _ in islice(body, self._seen, None):
            if row.control in _OPENS:
                self._open.append(set(self._open[-1]))
            elif row.control in _CLOSES:
                self._open.pop()
            elif row.control in _CLAUSES:
                self._open[-1] = set(self._open[-2])
            elif Region.LOCAL in row.writes:
                self._open[-1].add(imms[0])
        self._seen = len(body)
        return x in self._open[-1]
