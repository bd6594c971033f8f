"""How closures raise traps: with the offset of their instruction; the driver adds the function."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.errors import EngineBug, Trap, TrapKind, Where

if TYPE_CHECKING:
    from collections.abc import Sized

__all__ = ["outside", "placed"]


def placed(trap: Trap, offset: int) -> Trap:
    """Return ``trap``, which came from the instruction at ``offset`` unless it knows better."""
    return trap.at(Where(None, offset))


def outside(data: Sized, ea: int, n: int, offset: int, cause: Exception) -> Trap | EngineBug:
    """Return the trap of an access of ``n`` bytes at ``ea``, after the buffer refused it.

    The buffer also refuses a value that does not fit its field: that is our fault, told apart by the bounds.
    """
    if ea + n <= len(data):
        return EngineBug(f"access of {n} bytes at {ea:#x}: {cause}")
    return placed(Trap(TrapKind.MEMORY_OUT_OF_BOUNDS, f"{n} bytes at {ea:#x} of {len(data):#x}"), offset)
