"""Values that references point to and that are not functions: for now what the host hands in.

Structures, arrays and i31 will live here too.
"""

from __future__ import annotations

from typing import Any

__all__ = ["ExternRef"]


class ExternRef:
    """Spec: syntax-ref (ref.extern).  ``value`` is the host's; the engine never looks at it."""

    __slots__ = ("addr", "value")

    def __init__(self, addr: int, value: Any) -> None:
        self.addr = addr
        self.value = value

    def __repr__(self) -> str:
        return f"<extern {self.addr}>"
