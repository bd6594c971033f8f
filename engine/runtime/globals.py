"""Global instances."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.types import GlobalType

__all__ = ["GlobalInst"]


class GlobalInst:
    """Spec: syntax-globalinst."""

    __slots__ = ("addr", "type", "value")

    def __init__(self, addr: int, type: GlobalType, value: Any) -> None:
        self.addr = addr
        self.type = type
        self.value = value
