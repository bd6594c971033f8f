"""What a debug handler is told, while the Wasm in question is still on the stack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.errors import ExhaustionError
    from engine.errors import Trap as TrapError
    from engine.runtime.heap import ExnInst

__all__ = [
    "Breakpoint", "CaughtExceptionThrown", "Event", "HostcallError", "Step", "Trap", "UncaughtExceptionThrown",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class HostcallError:
    """A function of the host, which Wasm called, raised ``error``; it is about to unwind this activation."""

    error: Exception


@dataclass(frozen=True, slots=True)
class CaughtExceptionThrown:
    """``exn`` was thrown where the innermost frame stands, and a frame of this activation will catch it."""

    exn: ExnInst


@dataclass(frozen=True, slots=True)
class UncaughtExceptionThrown:
    """``exn`` was thrown where the innermost frame stands, and will leave this activation."""

    exn: ExnInst


@dataclass(frozen=True, slots=True)
class Trap:
    """The instruction of the innermost frame trapped or reached a limit: ``error`` is about to unwind this activation.

    Out of fuel is an event where the call cannot be resumed.
    """

    error: TrapError | ExhaustionError


@dataclass(frozen=True, slots=True)
class Breakpoint:
    """The instruction of the innermost frame, not executed yet, has a breakpoint."""


@dataclass(frozen=True, slots=True)
class Step:
    """The instruction of the innermost frame is the next; told of every one where ``Debugger.single_step`` is set."""


Event = HostcallError | CaughtExceptionThrown | UncaughtExceptionThrown | Trap | Breakpoint | Step
