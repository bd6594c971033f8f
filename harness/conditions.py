"""Conditions of the registry of divergences: what must have happened in a case, where its instructions do not tell it.

A condition is asked about a finding that exists already, with what both engines answered until then; it decides by the
plan, its modules and these answers alone, and says no where it lacks any of them.  A name in :data:`CONDITIONS` is what
an entry's ``when`` may be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.binary import decode
from engine.errors import WasmError
from engine.execution.startup import image_sizes
from engine.features import EXECUTED, GC
from engine.instructions.model import Effect
from engine.module import Active
from engine.validation.context import Context
from oracles.metered import is_metered
from oracles.outcome import Trapped

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.module import Module
    from harness.compare import Differ, Side
    from oracles.plan import Plan

    Condition = Callable[[Plan, Side, Side, Differ], bool]

__all__ = ["CONDITIONS", "Condition"]


def left_functions_over_an_image(plan: Plan, left: Side, right: Side, verdict: Differ) -> bool:
    """Tell whether an instantiation before the finding trapped in an element segment and left functions with an image.

    On both sides it trapped there, in a module whose memories have images, after a segment that put functions into a
    table of another module: these are the only ones that can show what a memory of no instance holds.  Engines are
    asked for images in metered plans alone.
    """
    return is_metered(plan) and any(
        step.kind == "instantiate"
        and all(_trapped_in_elements(side, n) for side in (left, right))
        and _may_show(plan.modules.get(step["module"]))
        for n, step in enumerate(plan.steps[: verdict.step])
    )


def _trapped_in_elements(side: Side, n: int) -> bool:
    if n >= len(side.records) or side.records[n].step != n:
        return False
    outcome = side.records[n].outcome
    in_no_function = isinstance(outcome, Trapped) and outcome.where is None
    return in_no_function and outcome.trap == "out of bounds table access"


def _may_show(data: bytes | None) -> bool:
    """Tell whether functions of a failed instance may show what its memories have images of."""
    module = None if data is None else _decoded(data)
    if module is None:
        return False
    try:
        context = Context.of_module(module, EXECUTED)
    except WasmError:
        return False
    return bool(image_sizes(module, context)) and _leaves_functions(module, context)


def _leaves_functions(module: Module, context: Context) -> bool:
    """Tell whether an active segment, not the last, fills a table of another module."""
    active = [elem for elem in module.elems if isinstance(elem.mode, Active)]
    imported = context.imported["table"]
    return any(e.init and isinstance(e.mode, Active) and e.mode.index < imported for e in active[:-1])


def copied_allocated_elements(plan: Plan, left: Side, right: Side, verdict: Differ) -> bool:
    """Tell whether a module copies elements by instructions from a segment in which one is a new structure or array."""
    return any(_copies_allocated(module) for data in plan.modules.values() if (module := _decoded(data)) is not None)


def _copies_allocated(module: Module) -> bool:
    segments = [elem for elem in module.elems if not isinstance(elem.mode, Active)]
    allocates = any(row.const is GC and row.effect is Effect.STATE for e in segments for x in e.init for row, *_ in x)
    copying = (i.row for code in module.codes for i in code.body if i.row.bulk is not None)
    return allocates and any(imm.name == "elemidx" for row in copying for imm in row.imms)


def _decoded(data: bytes) -> Module | None:
    try:
        return decode(data, EXECUTED)
    except WasmError:
        return None


CONDITIONS: dict[str, Condition] = {
    "functions left over an image": left_functions_over_an_image,
    "elements that are allocated": copied_allocated_elements,
}
