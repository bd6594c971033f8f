"""Probes: exported functions that are one relaxed vector instruction, for a comparison by what is allowed.

In a body, the choice that an engine makes for a relaxed instruction shows in everything computed from it; so there the
operands are such that all choices agree (``agree`` of the row).  A probe returns the result as it is and nothing else
refers to it, so its operands are free: NaNs with payloads, infinities, indices out of range.  ``harness.relaxed`` knows
a probe by its shape, and which NaNs it may return; so none has a select behind it in the NaN profile ``module``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from engine.features import SIMD
from engine.instructions import TABLE
from engine.module import Code, Export, FuncImport, In
from engine.numerics.lanes import SHAPES
from engine.types import V128, Arrow, FuncType, RecType, SubType
from generators.build import END, instr
from generators.values import choose_vector
from oracles.plan import Step

if TYPE_CHECKING:
    from engine.instructions.model import Instr
    from engine.module import Module
    from engine.numerics.lanes import Shape
    from generators.profile import Profile
    from generators.source import Source

__all__ = ["RELAXED", "Probe", "choose_probes", "probe_steps", "with_probes"]

PERCENT = 17  # of cases
RELAXED: tuple[Instr, ...] = tuple(row for row in TABLE if row.choices)
Probe = tuple["Instr", list[list[int]]]  # a row, and the operands of each call as bits


def choose_probes(source: Source, profile: Profile) -> list[Probe]:
    """Return one to three rows with the operands of some calls, in most cases none."""
    rows = [r for r in RELAXED if r.feature in profile.features and not (r.nan and profile.nan == "none")]
    if not rows or SIMD not in profile.features or not source.chance(PERCENT):
        return []
    probes = []
    for _ in range(source.between(1, 3)):
        with source.span("probe"):
            row = source.choose(rows)
            probes.append((row, [_operands(source, row) for _ in range(source.between(1, 4))]))
    return probes


def _operands(source: Source, row: Instr) -> list[int]:
    """Return the bits of operands: mostly lanes as the row takes them, now and then of any shape or all the same."""
    with source.span("call"):
        assert row.lanes is not None
        shape = source.choose(SHAPES) if source.chance(15) else row.lanes[0]
        choose = _near_one if shape.is_float and source.chance(30) else choose_vector
        n = len(_params(row))
        return [choose(source, shape)] * n if source.chance(15) else [choose(source, shape) for _ in range(n)]


def _near_one(source: Source, shape: Shape) -> int:
    """Return the bits of numbers from 1 to 2 of either sign: how often a product is rounded shows in their sums."""
    one, exponent = {32: (0x7F << 23, 0xFF << 23), 64: (0x3FF << 52, 0x7FF << 52)}[shape.bits]
    return one * shape.ones | source.bits(128) & ~(exponent * shape.ones)


def _params(row: Instr) -> tuple[object, ...]:
    assert isinstance(row.type, Arrow)
    return row.type.pops


def with_probes(module: Module, probes: list[Probe]) -> Module:
    """Return the module with the probes behind everything else, exported as ``p0``, ``p1`` and so on."""
    if not probes:
        return module
    arities = sorted({len(_params(row)) for row, _ in probes})
    first = sum(len(rec.subtypes) for rec in module.types)
    types = tuple(RecType((SubType(True, (), FuncType((V128,) * n, (V128,))),)) for n in arities)
    x = sum(isinstance(i.desc, FuncImport) for i in module.imports) + len(module.funcs)
    return replace(
        module,
        types=(*module.types, *types),
        funcs=(*module.funcs, *(first + arities.index(len(_params(row))) for row, _ in probes)),
        exports=(*module.exports, *(Export(f"p{k}", "func", x + k) for k in range(len(probes)))),
        codes=(*module.codes, *(_code(row) for row, _ in probes)),
    )


def _code(row: Instr) -> Code:
    return Code((), (*(instr("local.get", k) for k in range(len(_params(row)))), In(row), END))


def probe_steps(probes: list[Probe], instance: str) -> list[Step]:
    """Return the calls of the probes, and an observation that shows that they left no trace."""
    steps = []
    for k, (_, calls) in enumerate(probes):
        for operands in calls:
            args = [("v128", format(bits, "032x")) for bits in operands]
            steps.append(Step("call", {"instance": instance, "export": f"p{k}", "args": args}))
    return [*steps, Step("observe", {})] if steps else []
