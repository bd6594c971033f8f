"""The module ``spectest`` that scripts import, as several small modules.

One module would need several memories, 64-bit tables and shared memories of every engine; in parts, an engine that
lacks one of them still links everything else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from oracles.adapter import ALL

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["PARTS", "Part", "parts_for"]


class Part(NamedTuple):
    """``feature`` is what an engine needs for this part, a name of ``engine.features``."""

    name: str
    feature: str
    text: bytes


_BASE = b"""(module
  (global (export "global_i32") i32 (i32.const 666))
  (global (export "global_i64") i64 (i64.const 666))
  (global (export "global_f32") f32 (f32.const 666.6))
  (global (export "global_f64") f64 (f64.const 666.6))
  (table (export "table") 10 20 funcref)
  (memory (export "memory") 1 2)
  (func (export "print"))
  (func (export "print_i32") (param i32))
  (func (export "print_i64") (param i64))
  (func (export "print_f32") (param f32))
  (func (export "print_f64") (param f64))
  (func (export "print_i32_f32") (param i32 f32))
  (func (export "print_f64_f64") (param f64 f64)))"""

PARTS = (
    Part("spectest", "mvp", _BASE),
    Part("spectest64", "memory64", b'(module (table (export "table64") i64 10 20 funcref))'),
    Part("spectestshared", "threads", b'(module (memory (export "shared_memory") 1 2 shared))'),
)


def parts_for(engine: Collection[str], asked: Collection[str]) -> tuple[Part, ...]:
    """Return the parts for an engine's features and the features that a plan asks for (``("all",)``: all it has)."""
    return tuple(p for p in PARTS if p.feature in engine and (ALL in asked or p.feature in asked))
