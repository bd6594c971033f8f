"""Values that references point to and that are not functions: for now what the host hands in.

Structures, arrays and i31 will live here too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.matching import matches_heap, top
from engine.types import EXTERN, I31

if TYPE_CHECKING:
    from engine.types import RefType

__all__ = ["ExternRef", "matches_ref"]


def matches_ref(r: Any, t: RefType) -> bool:
    """Tell whether a reference of the hierarchy of ``t`` has that closed type (spec: ref typing).

    Whatever it is, a reference that is not null has the type at the top of its hierarchy: a value of one hierarchy that
    was converted to the other is the same object here.
    """
    if r is None:
        return t.null
    return t.heap is top(t.heap) or matches_heap(I31 if type(r) is int else r.type, t.heap)


class ExternRef:
    """Spec: syntax-ref (ref.extern).  ``value`` is the host's; the engine never looks at it."""

    __slots__ = ("addr", "value")

    type = EXTERN

    def __init__(self, addr: int, value: Any) -> None:
        self.addr = addr
        self.value = value

    def __repr__(self) -> str:
        return f"<extern {self.addr}>"
