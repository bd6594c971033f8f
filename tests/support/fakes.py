"""Oracles that answer from a function, so that tests of the harness need no engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.features import EXECUTED
from oracles.adapter import ACTIONS, Description
from oracles.outcome import Record, Returned
from oracles.plan import STEP_KINDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from oracles.outcome import Outcome
    from oracles.plan import Plan

FEATURES = tuple(f.name for f in EXECUTED)


def all_return(plan: Plan) -> list[Outcome]:
    """Return the outcomes of an engine on which every step ends normally."""
    return [Returned() for _ in plan.steps]


class FakeOracle:
    """Runs ``behave(plan)``, a list of outcomes or records; ``runs`` remembers the plans."""

    def __init__(
        self,
        oracle_id: str,
        behave: Callable[[Plan], list] = all_return,
        version: str = "1.0",
        fuel_model: str = "",
        can: tuple[str, ...] = (),
    ) -> None:
        self.id = oracle_id
        self.behave = behave
        self.description = Description(
            oracle_id.partition(":")[0], version, features=FEATURES, nan=("engine", "module", "none"), can=can,
            steps=tuple(STEP_KINDS), actions=ACTIONS, fuel_model=fuel_model,
        )  # fmt: skip
        self.runs: list[Plan] = []
        self.is_closed = False

    def run(self, plan: Plan, *, deadline_s: float | None = None) -> list[Record]:
        self.runs.append(plan)
        answers = self.behave(plan)
        return [a if isinstance(a, Record) else Record(i, a) for i, a in enumerate(answers)]

    def close(self) -> None:
        self.is_closed = True
