"""Modules from text, and running them: just enough for the module under test to be what the eye sees.

The text is assembled by wasmtime, so nothing here depends on a parser of ours.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
import wasmtime

from engine import Store, Trap, decode, instantiate, invoke, validate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from engine.errors import TrapKind
    from engine.module import Module
    from engine.runtime.instance import ExternVal, ModuleInst

__all__ = ["assert_traps", "call", "run", "wasm", "wat"]


@cache
def wasm(text: str) -> bytes:
    """Return the binary of module fields, or of a whole module."""
    return bytes(wasmtime.wat2wasm(text if text.lstrip().startswith("(module") else f"(module {text})"))


def wat(text: str) -> Module:
    """Return the decoded and validated module of these fields."""
    module = decode(wasm(text))
    validate(module)
    return module


def call(instance: ModuleInst, export: str, *args: Any) -> Any:
    """Call an exported function: its result, a list of several, or None."""
    results = invoke(instance.store, instance.exports[export], args)  # type: ignore[arg-type]
    return results[0] if len(results) == 1 else results or None


def run(module: Module | str, export: str, *args: Any, imports: Sequence[ExternVal] = ()) -> Any:
    """Instantiate in a fresh store and call."""
    return call(instantiate(Store(), wat(module) if isinstance(module, str) else module, imports), export, *args)


def assert_traps(module: Module | str, export: str, kind: TrapKind, *args: Any) -> None:
    """Check that the call ends in a trap of this kind."""
    traps(kind, lambda: run(module, export, *args))


def traps(kind: TrapKind, action: Callable[[], Any]) -> None:
    """Check that the action ends in a trap of this kind."""
    with pytest.raises(Trap) as caught:
        action()
    assert caught.value.kind is kind
