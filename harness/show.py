"""How values and outcomes are shown to a reader, and the class of each: what kind of thing it is, free of numbers.

Renderings are for people, one line each and bounded; classes are for signatures (``harness.triage``), which must stay
the same while a case is made small.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oracles.outcome import Blocked, Crashed, Exhausted, HostError, Rejected, Returned, Threw, Trapped, Unsupported
from oracles.plan import WIDTHS

if TYPE_CHECKING:
    from collections.abc import Callable

    from oracles.outcome import Outcome

__all__ = [
    "Pair", "clip", "outcome_class", "outcome_pair", "pair", "show_call", "show_outcome", "show_value", "type_name",
    "value_class", "value_pair",
]  # fmt: skip

Pair = tuple[str, str]  # something of the left side and of the right


def pair(render: Callable[[Any], str], a: Any, b: Any) -> Pair:
    """Return one rendering of something of each side."""
    return render(a), render(b)


def outcome_pair(a: Outcome, b: Outcome) -> tuple[Pair, Pair]:
    """Return two outcomes as shown, and their classes."""
    return pair(show_outcome, a, b), pair(outcome_class, a, b)


def value_pair(a: Any, b: Any) -> tuple[Pair, Pair]:
    """Return two values as shown, and their classes."""
    return pair(show_value, a, b), pair(value_class, a, b)


def outcome_class(outcome: Outcome) -> str:
    """Return the class of an outcome, free of numbers: ``trapped: unreachable``."""
    if isinstance(outcome, Trapped):
        return f"trapped: {outcome.trap}"
    if isinstance(outcome, Rejected):
        return f"rejected: {outcome.stage}"
    if isinstance(outcome, Exhausted):
        return f"exhausted: {outcome.resource}"
    if isinstance(outcome, Crashed):
        return f"crashed: {'no signal' if outcome.signal is None else f'signal {outcome.signal}'}"
    return type(outcome).__name__.lower()


def show_outcome(outcome: Outcome) -> str:
    """Return one line that shows an outcome with its values and its own words."""
    if isinstance(outcome, Returned):
        return "returned " + (" ".join(map(show_value, outcome.values)) or "nothing")
    if isinstance(outcome, Threw):
        return f"threw tag {outcome.tag} " + " ".join(map(show_value, outcome.values))
    if isinstance(outcome, HostError):
        return f"host error {outcome.id}"
    if isinstance(outcome, (Unsupported, Blocked)):
        return f"{outcome_class(outcome)}: {clip(outcome.what)}"
    text = getattr(outcome, "text", "")
    last = text.strip().splitlines()[-1] if text.strip() else ""
    return clip(
        f"{outcome_class(outcome)} ({last})"
        if last and last != getattr(outcome, "trap", "")
        else outcome_class(outcome)
    )


def show_value(value: Any) -> str:
    """Return a value as ``f32:7fc00000``, ``funcref:3``, ``externref:null``."""
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        return clip(repr(value))
    return f"{value[0]}:{'null' if value[1] is None else value[1]}"


def show_call(call: Any) -> str:
    """Return a host call of the trace as ``log(i32:00000001)``."""
    if not isinstance(call, (list, tuple)) or len(call) != 2 or not isinstance(call[1], (list, tuple)):
        return clip(repr(call))
    return clip(f"{call[0]}({', '.join(map(show_value, call[1]))})")


def value_class(value: Any) -> str:
    """Return a value's type, with ``nan`` or ``null`` where it is one."""
    kind = type_name(value)
    if kind in ("f32", "f64"):
        return f"{kind} nan" if _is_nan(kind, value[1]) else kind
    if kind not in WIDTHS:
        return f"{kind} null" if kind and value[1] is None else kind
    return kind


def _is_nan(kind: str, payload: Any) -> bool:
    try:
        bits = int(payload, 16)
    except (TypeError, ValueError):
        return False
    width = WIDTHS[kind]
    infinity = 0x7F800000 if width == 32 else 0x7FF << 52
    return bits & ((1 << width - 1) - 1) > infinity


def type_name(value: Any) -> str:
    """Return the type that a value says it has, or nothing if it is no value."""
    return str(value[0]) if isinstance(value, (list, tuple)) and len(value) == 2 else ""


def clip(text: str, width: int = 200) -> str:
    """Return a text, cut where it is too long for a line."""
    return text if len(text) <= width else text[: width - 3] + "..."
