"""Element and data instances: what ``table.init`` and ``memory.init`` read until it is dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.types import RefType

__all__ = ["DataInst", "ElemInst"]


class ElemInst:
    """Spec: syntax-eleminst."""

    __slots__ = ("addr", "elems", "type")

    def __init__(self, addr: int, type: RefType, elems: tuple[Any, ...]) -> None:
        self.addr = addr
        self.type = type
        self.elems = elems

    def drop(self) -> None:
        """Forget the references.  Spec: exec-elem.drop."""
        self.elems = ()


class DataInst:
    """Spec: syntax-datainst."""

    __slots__ = ("addr", "data")

    def __init__(self, addr: int, data: bytes) -> None:
        self.addr = addr
        self.data = data

    def drop(self) -> None:
        """Forget the bytes.  Spec: exec-data.drop."""
        self.data = b""
