"""What lowering is parameterised by: rows, rules of control, inlining and folding, fuel, observation.

The default build uses the generated factories.  A row that another table replaces keeps none of them: it is called
through its own ``run``, and so is every row where ``inline`` is off.  Planted bugs, mutants and coverage are builds.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import TYPE_CHECKING

from engine.execution.bulk_rules import BULK_RULES
from engine.execution.call_rules import CALL_RULES
from engine.execution.control_rules import CONTROL_RULES
from engine.execution.exception_rules import EXCEPTION_RULES
from engine.execution.fuel_models import UNIT
from engine.execution.rules import VALUE_RULES, Plan, Rule, plan
from engine.execution.steps import stepped
from engine.instructions import TABLE, InstructionTable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from engine.execution.fuel import FuelModel
    from engine.instructions.model import Opcode
    from engine.runtime.store import Config

__all__ = ["DEFAULT", "RULES", "Build", "build_of"]

RULES: dict[str, Rule] = VALUE_RULES | BULK_RULES | CONTROL_RULES | CALL_RULES | EXCEPTION_RULES


@dataclass(frozen=True, eq=False)
class Build:
    """How bodies become blocks.

    ``rules`` replaces lowering rules by name (``RULES``).  ``inline`` allows the inlined
    factories, ``fold`` lets expressions nest instead of passing through operand slots.  ``observe`` is called with
    function index and block number whenever a block starts.  ``steps`` makes a block of each instruction (``steps.py``)
    and folds nothing.
    """

    table: InstructionTable = TABLE
    rules: Mapping[str, Rule] = field(default_factory=dict)
    inline: bool = True
    fold: bool = True
    observe: Callable[[int, int], object] | None = None
    fuel_model: FuelModel = UNIT
    steps: bool = False
    plans: dict[Opcode, Plan] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        unknown = set(self.rules) - set(RULES)
        if unknown:
            raise ValueError(f"no rule is named {', '.join(sorted(unknown))}")
        rules = RULES | dict(self.rules)
        if self.steps:
            object.__setattr__(self, "fold", False)
        plans = (
            (row.opcode, plan(row, rules, self.inline and TABLE.by_opcode.get(row.opcode) is row, self.fuel_model))
            for row in self.table
        )
        object.__setattr__(self, "plans", {opcode: plan_ for opcode, plan_ in plans if plan_ is not None})
        if self.steps:
            for plan_ in self.plans.values():
                plan_.rule = partial(stepped, plan_.rule)


DEFAULT = Build()


def build_of(config: Config) -> Build:
    """Return the build that a store asks for."""
    build: Build = config.build or DEFAULT
    fuel_model = config.fuel_model or build.fuel_model
    if fuel_model is build.fuel_model and config.guest_debug == build.steps:
        return build
    return _changed(build, fuel_model, config.guest_debug)


@cache
def _changed(build: Build, fuel_model: FuelModel, steps: bool) -> Build:
    return replace(build, fuel_model=fuel_model, steps=steps)
