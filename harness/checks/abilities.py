"""Which check is on for which engine, and with which reference each engine is compared.

An engine that counts fuel by a model we have is compared with a reference engine that counts by the same one: engines
of one model share a *bench*, a reference first.  Engines without a model have one with the plain reference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.checks import CHECKS
from oracles.adapter import Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["REFERENCE", "arrange", "reasons_off", "reference_for"]

REFERENCE = "reference"
_PLAIN = ("", "unit:none")  # models of which the plain reference will do
_STEPS = {"fuel": ("set_fuel",), "resume": ("set_fuel", "yield_schedule"), "debug": ("debug",)}
_ACTIONS = {"fuel": ("fuel",), "resume": ("fuel", "suspend")}


def reference_for(model: str) -> str:
    """Return the id of the reference engine that counts by a model."""
    return REFERENCE if model in _PLAIN else f"{REFERENCE}:fuel={model.replace(' ', '-').replace(':', '-')}"


def arrange(oracles: Mapping[str, Any], checks: frozenset[str]) -> tuple[tuple[str, ...], ...]:
    """Return the benches for engines given by id with their descriptions, in the order of the first of each.

    Raises Unavailable for an engine that would be its own reference.
    """
    benches: dict[str, list[str]] = {}
    for oracle, description in oracles.items():
        counts = checks & {"fuel", "resume"} and "set_fuel" in description.steps
        reference = reference_for(description.fuel_model if counts else "")
        if oracle == reference:
            raise Unavailable(f"{oracle} is what such an engine is compared with; name another engine")
        benches.setdefault(reference, []).append(oracle)
    return tuple((reference, *members) for reference, members in benches.items())


def reasons_off(reference: Any, engine: Any, checks: frozenset[str]) -> dict[str, str]:
    """Return the checks that cannot be made of a described engine beside a reference, each with its reason."""
    off: dict[str, str] = {}
    for check in CHECKS:
        if check not in checks:
            continue
        reason = _lack(reference, check) or _lack(engine, check)
        if reason is None and check in ("fuel", "resume"):
            reason = _uncounted(reference, engine)
        if reason is None and check == "debug" and not ("frames" in engine.can and "frames" in reference.can):
            reason = "its frames are not exact"
        if reason is not None:
            off[check] = reason
    return off


def _lack(description: Any, check: str) -> str | None:
    if check == "state" and not description.sees:
        return f"{description.name} shows no state"
    for steps, has in ((_STEPS, description.steps), (_ACTIONS, description.actions)):
        missing: Sequence[str] = [name for name in steps.get(check, ()) if name not in has]
        if missing:
            return f"{description.name} has no {missing[0]}"
    return None


def _uncounted(reference: Any, engine: Any) -> str | None:
    if not engine.fuel_model:
        return engine.fuel_note or "no model counts as it does"
    return None if reference.fuel_model == engine.fuel_model else f"no reference counts by {engine.fuel_model}"
