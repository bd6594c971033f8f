"""Values that references point to and that are not functions: structures, arrays, and what the host hands in.

An i31 reference is a plain int.  What nothing refers to any more is freed, cycles too: Python does that.
"""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

from engine.matching import tester
from engine.types import EXN, EXTERN

if TYPE_CHECKING:
    from engine.runtime.tag import TagInst
    from engine.types import DefType, RefType

__all__ = ["FIELD_BYTES", "OBJECT_BYTES", "ArrayInst", "ExnInst", "ExternRef", "StructInst", "matches_ref", "measure"]

# What an object takes, and each of its fields: about right for small numbers and references.
OBJECT_BYTES, FIELD_BYTES = 128, 16


def matches_ref(r: Any, t: RefType) -> bool:
    """Tell whether a reference of the hierarchy of ``t`` has that closed type.  Spec: valid-ref."""
    return t.null if r is None else tester(t.heap)(r)


class StructInst:
    """Spec: syntax-structinst.  Equality is identity; packed fields are unsigned ints of their width.

    ``descriptor`` is set where the type has one.
    """

    __slots__ = ("descriptor", "fields", "type")
    descriptor: StructInst

    def __init__(self, type: DefType, fields: list[Any]) -> None:
        self.type = type
        self.fields = fields

    def __repr__(self) -> str:
        return f"<structure of {len(self.fields)} fields>"


class ArrayInst:
    """Spec: syntax-arrayinst.  Equality is identity; packed elements are unsigned ints of their width."""

    __slots__ = ("elems", "type")

    def __init__(self, type: DefType, elems: list[Any]) -> None:
        self.type = type
        self.elems = elems

    def __repr__(self) -> str:
        return f"<array of {len(self.elems)} elements>"


class ExnInst:
    """Spec: syntax-exninst.  Nobody can tell two of them apart that have the same tag and values."""

    __slots__ = ("tag", "values")

    type = EXN

    def __init__(self, tag: TagInst, values: tuple[Any, ...]) -> None:
        self.tag = tag
        self.values = values

    def __repr__(self) -> str:
        return f"<exception of tag {self.tag.addr}>"


def measure() -> int:
    """Collect garbage and return what the structures, arrays and exceptions of this process take."""
    gc.collect()
    total = 0
    for r in gc.get_objects():
        kind = type(r)
        if kind is StructInst:
            total += OBJECT_BYTES + FIELD_BYTES * len(r.fields)
        elif kind is ArrayInst:
            total += OBJECT_BYTES + FIELD_BYTES * len(r.elems)
        elif kind is ExnInst:
            total += OBJECT_BYTES + FIELD_BYTES * len(r.values)
    return total


class ExternRef:
    """Spec: syntax-ref (ref.extern).  ``value`` is the host's; the engine never looks at it."""

    __slots__ = ("addr", "value")

    type = EXTERN

    def __init__(self, addr: int, value: Any) -> None:
        self.addr = addr
        self.value = value

    def __repr__(self) -> str:
        return f"<extern {self.addr}>"
