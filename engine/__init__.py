"""A WebAssembly engine in pure Python, exact to the bit: its public face.

``decode`` bytes or ``parse`` text to a module, ``validate`` it, ``instantiate`` it in a ``Store``, ``invoke`` its
exported functions, or ``call_resumable`` them; ``encode`` and ``print_module`` are the ways back.
The names below are public, everything else is internal.  They are imported on first use, so that whoever needs only
the types or the errors does not load the rest.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.binary import decode, encode
    from engine.errors import (
        CallError,
        EngineBug,
        ExhaustionError,
        InvalidError,
        InvocationConsumed,
        LinkError,
        MalformedError,
        MismatchingParameterLen,
        MismatchingParameterType,
        MismatchingResultLen,
        MismatchingResultType,
        StoreMismatch,
        TextError,
        Trap,
        TrapKind,
        UncaughtException,
        UnsupportedError,
        WasmError,
    )
    from engine.execution.calls import invoke
    from engine.execution.instantiate import instantiate, resolve
    from engine.resume import (
        Finished,
        HostTrap,
        OutOfFuel,
        Suspended,
        TypedFunc,
        Yielded,
        call_resumable,
        instantiate_resumable,
        typed,
    )
    from engine.runtime.store import Config, Store
    from engine.snapshot import SnapshotError, restore, save
    from engine.text.parser import parse
    from engine.text.printer import print_module
    from engine.validation import validate

__all__ = [
    "CallError", "Config", "EngineBug", "ExhaustionError", "Finished", "HostTrap", "InvalidError",
    "InvocationConsumed", "LinkError", "MalformedError", "MismatchingParameterLen", "MismatchingParameterType",
    "MismatchingResultLen", "MismatchingResultType", "OutOfFuel", "SnapshotError", "Store", "StoreMismatch",
    "Suspended", "TextError", "Trap", "TrapKind", "TypedFunc", "UncaughtException", "UnsupportedError", "WasmError",
    "Yielded", "call_resumable", "decode", "encode", "instantiate", "instantiate_resumable", "invoke", "parse",
    "print_module", "resolve", "restore", "save", "typed", "validate",
]  # fmt: skip

_HOMES = {
    "decode": "engine.binary", "encode": "engine.binary", "validate": "engine.validation",
    "instantiate": "engine.execution.instantiate", "resolve": "engine.execution.instantiate",
    "invoke": "engine.execution.calls", "Config": "engine.runtime.store", "Store": "engine.runtime.store",
    **dict.fromkeys(("Finished", "HostTrap", "OutOfFuel", "Suspended", "TypedFunc", "Yielded"), "engine.resume"),
    **dict.fromkeys(("SnapshotError", "restore", "save"), "engine.snapshot"),
    "call_resumable": "engine.resume", "instantiate_resumable": "engine.resume", "typed": "engine.resume",
    "parse": "engine.text.parser", "print_module": "engine.text.printer",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES.get(name, "engine.errors")), name)
    globals()[name] = value
    return value
