"""Looking at Wasm while it is on the stack: frames, events, breakpoints, single steps.

A store made with ``Config(guest_debug=True)`` has a :class:`Debugger`, lowers by the build of ``execution/steps.py``,
and computes exactly what it would compute without.  ``store.debug_frames()`` gives a :class:`Cursor`;
``store.set_debug_handler`` has a function called on each :data:`Event`; a :class:`Stepper` is a call that pauses.
``docs/debugging.md`` shows all of it.
"""

from __future__ import annotations

from engine.debug.cursor import Cursor, CursorError, TypedValue
from engine.debug.debugger import Debugger
from engine.debug.events import (
    Breakpoint,
    CaughtExceptionThrown,
    Event,
    HostcallError,
    Step,
    Trap,
    UncaughtExceptionThrown,
)
from engine.debug.stepper import Stepper

__all__ = [
    "Breakpoint", "CaughtExceptionThrown", "Cursor", "CursorError", "Debugger", "Event", "HostcallError", "Step",
    "Stepper", "Trap", "TypedValue", "UncaughtExceptionThrown",
]  # fmt: skip
