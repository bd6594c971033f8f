"""The module ``spectest`` that scripts import, as several small modules.

One module would need several memories, 64-bit tables and shared memories of every engine; in parts, an engine that
lacks one of them still links everything else.  Where two engines are compared, the functions are host functions
(``HOSTS``) and the parts have the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from oracles.adapter import ALL
from oracles.plan import HostFunc

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["HOSTS", "PARTS", "SILENT_PARTS", "Part", "parts_for"]


class Part(NamedTuple):
    """``feature`` is what an engine needs for this part, a name of ``engine.features``."""

    name: str
    feature: str
    text: bytes


_STATE = b"""
  (global (export "global_i32") i32 (i32.const 666))
  (global (export "global_i64") i64 (i64.const 666))
  (global (export "global_f32") f32 (f32.const 666.6))
  (global (export "global_f64") f64 (f64.const 666.6))
  (table (export "table") 10 20 funcref)
  (memory (export "memory") 1 2)"""
_PRINTS = {
    "print": (),
    "print_i32": ("i32",),
    "print_i64": ("i64",),
    "print_f32": ("f32",),
    "print_f64": ("f64",),
    "print_i32_f32": ("i32", "f32"),
    "print_f64_f64": ("f64", "f64"),
}

HOSTS = {name: HostFunc(params, (), (("record",),)) for name, params in _PRINTS.items()}

_FUNCS = "".join(f'\n  (func (export "{name}") (param {" ".join(params)}))' for name, params in _PRINTS.items())
_OTHERS = (
    Part("spectest64", "memory64", b'(module (table (export "table64") i64 10 20 funcref))'),
    Part("spectestshared", "threads", b'(module (memory (export "shared_memory") 1 2 shared))'),
)
PARTS = (Part("spectest", "mvp", b"(module%s%s)" % (_STATE, _FUNCS.encode())), *_OTHERS)
SILENT_PARTS = (Part("spectest", "mvp", b"(module%s)" % _STATE), *_OTHERS)


def parts_for(engine: Collection[str], asked: Collection[str], parts: tuple[Part, ...] = PARTS) -> tuple[Part, ...]:
    """Return the parts for an engine's features and the features that a plan asks for (``("all",)``: all it has)."""
    return tuple(p for p in parts if p.feature in engine and (ALL in asked or p.feature in asked))
