"""Relaxed vector instructions in a comparison: where the specification leaves a set of results, and what is in it.

An engine may choose the function of a relaxed instruction, so two engines may differ and both be right.  That can be
judged only where the choice shows at once and goes nowhere else, which is in a *probe*: an exported function that hands
its parameters, in order, to one relaxed instruction and returns the result.  A probe has no effect, so after it the
states are as equal as before, whatever it returned.

Probes are recognised from the modules of a plan alone, so that a case from a corpus or a user profits as a generated
one does.  Anything that is more, less or other than a probe is compared bit by bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.binary import decode
from engine.errors import WasmError
from engine.features import EXECUTED
from engine.instructions.relaxed import allowed
from engine.module import FuncImport
from engine.types import V128, FuncType

if TYPE_CHECKING:
    from engine.instructions.model import Instr
    from engine.module import Module
    from oracles.plan import Plan

__all__ = ["Lanes", "Probes", "probed", "vector_bits"]

MAX_OPERANDS = 3


@dataclass(frozen=True, slots=True)
class Lanes:
    """What each lane of one call's result may be: ``sets`` has the bits, lane 0 first.

    Where ``nans`` has two numbers, the canonical NaN in the set stands for every NaN of either sign whose other bits
    are a number from the first to the second: the canonical one, and any quiet one where an operand is another NaN
    (spec: aux-nans).
    """

    row: Instr
    bits: int
    sets: tuple[frozenset[int], ...]
    nans: tuple[tuple[int, int] | None, ...]

    def split(self, value: int) -> list[int]:
        """Return the lanes of a result, lane 0 first."""
        return [value >> self.bits * k & (1 << self.bits) - 1 for k in range(128 // self.bits)]

    def admits(self, k: int, lane: int) -> bool:
        """Tell whether lane ``k`` of the result may be ``lane``."""
        nans = self.nans[k]
        return lane in self.sets[k] or (nans is not None and nans[0] <= lane & ((1 << self.bits - 1) - 1) <= nans[1])

    def classify(self, k: int, lane: int) -> str:
        """Return the class that ``lane`` has in place ``k``, for signatures."""
        if self.admits(k, lane):
            return "allowed"
        nans, payload = self.nans[k], lane & ((1 << self.bits - 1) - 1)
        is_signalling = nans is not None and infinity(self.bits) < payload < nans[0]
        return "signalling nan" if is_signalling else "not allowed"

    def show(self, k: int, lane: int) -> str:
        """Return ``lane`` as hexadecimal digits, with what is allowed in its place if it is not."""
        digits = self.bits // 4
        if self.admits(k, lane):
            return f"{lane:0{digits}x}, allowed"
        more = " or another quiet NaN" if self.nans[k] else ""
        choices = " or ".join(f"{b:0{digits}x}" for b in sorted(self.sets[k]))
        return f"{lane:0{digits}x}, not allowed: {choices}{more}"


class Probes:
    """Finds the calls of probes in a plan; modules are decoded when a call looks like one."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._exports: dict[str, dict[str, Instr]] = {}
        self._made: dict[str, list[tuple[int, str]]] = {}  # by instance: the steps that make one, and their modules
        self._assembled: dict[str, int] = {}  # by module: the first step that assembles it
        for i, step in enumerate(plan.steps):
            if step.kind == "instantiate":
                self._made.setdefault(step["instance"], []).append((i, step["module"]))
            elif step.kind == "assemble":
                self._assembled.setdefault(step["module"], i)

    def lanes(self, i: int) -> Lanes | None:
        """Return what step ``i`` may return, or None if it is not a call of a probe."""
        step = self.plan.steps[i]
        operands = _operands(step.get("args")) if step.kind == "call" else None
        if operands is None:
            return None
        row = self._probes(step["instance"], i).get(step["export"])
        if row is None or len(row.arrow(None, ()).pops) != len(operands):
            return None
        return _lanes(row, operands, is_canonical=self.plan.nan == "engine")

    def _probes(self, instance: str, i: int) -> dict[str, Instr]:
        """Return the probes that an instance exports at step ``i``, none if it is not one module all the time."""
        names = {module for made, module in self._made.get(instance, ()) if made < i}
        if len(names) != 1 or any(self._assembled.get(name, i) < i for name in names):
            return {}
        (name,) = names
        if name not in self._exports:
            self._exports[name] = probed(self.plan.modules.get(name, b""))
        return self._exports[name]


def probed(wasm: bytes) -> dict[str, Instr]:
    """Return the row of each probe that a module exports, by name."""
    try:
        module = decode(wasm, EXECUTED)
    except WasmError:
        return {}
    found = {e.name: _probe(module, e.index) for e in module.exports if e.kind == "func"}
    return {name: row for name, row in found.items() if row is not None}


def _probe(module: Module, x: int) -> Instr | None:
    """Return the relaxed row that function ``x`` consists of, or None; the module may be invalid."""
    y = x - sum(isinstance(i.desc, FuncImport) for i in module.imports)
    if not 0 <= y < min(len(module.codes), len(module.funcs)):
        return None
    code = module.codes[y]
    if code.locals or len(code.body) < 3:
        return None
    *gets, operator, end = code.body
    n = len(gets)
    row = operator.row
    if not row.choices or operator.imms or end.row.name != "end":
        return None
    if [(g.row.name, g.imms) for g in gets] != [("local.get", (k,)) for k in range(n)]:
        return None
    types = [subtype.comp for rec in module.types for subtype in rec.subtypes]
    t = types[module.funcs[y]] if module.funcs[y] < len(types) else None
    is_whole = row.arrow(None, ()).pops == (V128,) * n and t == FuncType((V128,) * n, (V128,))
    return row if is_whole else None


def vector_bits(value: Any) -> int | None:
    """Return the bits of a value that crossed as plain data, None if it is no vector."""
    if not isinstance(value, (list, tuple)) or len(value) != 2 or value[0] != "v128":
        return None
    try:
        bits = int(value[1], 16)
    except (TypeError, ValueError):
        return None
    return bits if 0 <= bits < 1 << 128 else None


def _operands(args: Any) -> list[bytes] | None:
    """Return the vectors that a call passes, None if it passes anything else."""
    if not isinstance(args, (list, tuple)) or not 0 < len(args) <= MAX_OPERANDS:
        return None
    vectors = [bits.to_bytes(16, "little") for v in args if (bits := vector_bits(v)) is not None]
    return vectors if len(vectors) == len(args) else None


def infinity(n: int) -> int:
    """Return the bits of the positive infinity of ``n`` bits: a magnitude above them is a NaN's."""
    return {32: 0xFF << 23, 64: 0x7FF << 52}[n]


def _lanes(row: Instr, operands: list[bytes], *, is_canonical: bool) -> Lanes:
    """``is_canonical`` tells that engines were asked for canonical NaNs, so that these are all that is allowed."""
    sets = allowed(row, *operands)
    n = 128 // len(sets)
    nans: list[tuple[int, int] | None] = [None] * len(sets)
    if row.nan and not is_canonical:
        magnitude = (1 << n - 1) - 1
        canonical = infinity(n) | (infinity(n) >> 1 & ~infinity(n))
        for k, lane in enumerate(sets):
            if canonical in lane:
                found = {int.from_bytes(v, "little") >> n * k & magnitude for v in operands}
                is_any = any(bits > infinity(n) and bits != canonical for bits in found)
                nans[k] = canonical, magnitude if is_any else canonical
    return Lanes(row, n, sets, tuple(nans))
