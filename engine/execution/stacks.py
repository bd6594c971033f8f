"""Stacks of the interpreter for calls that come back from the host, again and again.

Calls of Wasm take none of it, but a function of the host that calls back into Wasm does: frames of Python, which the
interpreter counts, and, where it calls through C (``sorted`` with a key, a partial function), stack of the process,
which nobody counts on some versions and which ends the process where it ends.  How far that reaches depends on the
version, the platform and the thread.  So that our own limit decides everywhere, each hundred activations that nest go
on in a thread of their own, with a stack of known size, while the one before waits.  At most one of these threads runs
at any time.  Context variables are those of the caller; what else is bound to a thread, the host must not expect of
calls that nest so deep.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, TypeVar

from engine.errors import ExhaustionError, Resource

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PER_STACK", "elsewhere", "make_room"]

T = TypeVar("T")

PER_STACK = 100  # activations
_PYTHON_FRAMES = 40  # of one activation: ours and those of the host function that re-enters
_STACK_BYTES = PER_STACK * 40 * 1024
_LIMIT = 1000 + PER_STACK * _PYTHON_FRAMES
_PATIENCE_S = 0.1


def make_room() -> int:
    """Raise the interpreter's limit of recursion to what the activations of one stack may take.

    Returns the limit to go back to, or 0.  It does not stay raised: other code of the process, a JSON decoder for
    instance, relies on it to stop before the stack ends.
    """
    before = sys.getrecursionlimit()
    if before >= _LIMIT:
        return 0
    sys.setrecursionlimit(_LIMIT)
    return before


def elsewhere(run: Callable[[], T]) -> T:
    """Return what ``run`` does on another stack, or raise what it raises; ExhaustionError if there can be none.

    An interrupt of the one who waits, a signal for instance, becomes one of ``run``, and goes on from here when that
    has ended.
    """
    runs = [run]  # popped, because tracebacks refer to the function inside and so to its closure
    ends: list[tuple[Any, BaseException | None]] = []
    starting, running = threading.Lock(), threading.Lock()
    starting.acquire()
    running.acquire()
    context = copy_context()

    def work() -> None:
        starting.acquire()
        try:
            ends.append((context.run(runs.pop()), None))
        except BaseException as error:  # noqa: BLE001  # it is raised where it belongs
            ends.append((None, error))
        finally:
            running.release()

    thread = threading.Thread(target=work, daemon=True)
    _start(thread, starting)
    interrupt: BaseException | None = None
    told: BaseException | None = None
    while True:
        try:
            if interrupt is not told:
                told = interrupt
                _interrupt(thread)
            while not ends:
                running.acquire(timeout=_PATIENCE_S)
            break
        except BaseException as raised:  # noqa: BLE001  # whatever a handler of signals raises
            interrupt = raised
    thread.join()
    results, error = ends.pop()
    try:
        if interrupt is not None:
            raise interrupt
        if error is not None:
            raise error
        return results  # type: ignore[no-any-return]
    finally:
        del interrupt, told, error  # their tracebacks refer to this frame


def _start(thread: threading.Thread, starting: threading.Lock) -> None:
    """Start a thread with a stack of its size, and let it go on when the size is again what it was."""
    before = threading.stack_size(_STACK_BYTES)
    try:
        thread.start()
    except RuntimeError:
        raise ExhaustionError(Resource.STACK) from None
    finally:
        threading.stack_size(before)
        starting.release()


def _interrupt(thread: threading.Thread) -> None:
    """Raise KeyboardInterrupt in a thread as soon as it gets to it."""
    ident, error = ctypes.c_ulong(thread.ident or 0), ctypes.py_object(KeyboardInterrupt)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, error)
