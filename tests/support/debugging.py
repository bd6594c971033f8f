"""Playing plans in a store with a debugger."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from engine.execution.fuel_models import unit_model
from engine.runtime.store import Store
from oracles.adapters.reference import ReferenceSession
from oracles.metered import UNMETERED
from oracles.outcome import Record

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.debug import Event
    from engine.execution.fuel import FuelModel
    from oracles.plan import Plan

__all__ = ["play"]

COUNT = unit_model(None)


def play(
    plan: Plan,
    fuel_model: FuelModel = COUNT,
    guest_debug: bool = False,
    handler: Callable[[Store, Event], object] | None = None,
    single_step: bool = False,
) -> list[Record]:
    """Return the records of a plan, told to ``handler`` where there is a debugger."""
    session = ReferenceSession(plan, None, fuel_model)
    if guest_debug:
        session.store = Store(replace(session.store.config, guest_debug=True))
        session.set_fuel(UNMETERED)
        session.store.set_debug_handler(handler)
        session.store.debugger.single_step = single_step
    records = [Record(i, *session.run(step)) for i, step in enumerate(plan.steps)]
    session.close()
    return records
