"""Tag instances."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.types import TagType

__all__ = ["TagInst"]


class TagInst:
    """Spec: syntax-taginst.  Two tags are the same only if they are the same object."""

    __slots__ = ("addr", "type")

    def __init__(self, addr: int, type: TagType) -> None:
        self.addr = addr
        self.type = type
