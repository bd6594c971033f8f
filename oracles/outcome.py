"""What one run did, as plain data: an outcome per step.

Nothing in an oracle raises for a finding; an adapter returns one of these.  Standard library only, syntax of CPython
3.10.  On the wire an outcome is ``{"kind": "trapped", ...fields}`` and a record ``{"step": i, "outcome": {...},
"data": {...}, "us": n}``.  ``data`` holds what the step was asked for: ``wasm`` (base64) of assemble, ``value`` of get,
``bytes`` (hex) of read, ``size`` (the old one, -1 where refused) of grow, and of observe ``{"instances": {name:
{"memories": {export: {"pages": n, "crc": {page: hex}}}, "tables": {export: [Value...]}, "globals": {export: Value}}},
"trace": [[host function, [Value...]]...]}`` where ``crc`` has the CRC-32 (8 hex digits) of each 4 KiB page that is not
all zero, keyed by its decimal number. An engine that counts adds ``executed`` (instructions, or units of its fuel) to
call and instantiate; it is reported, never compared. After ``set_fuel`` these have ``fuel``, what is left; under a
``yield_schedule`` they have ``pauses``, each ``{"cause": "fuel" or "host", "fuel": n, "state": hex}`` where ``state``
is :func:`state_digest` of what observe would show, and ``paused``, how many there were in all; after ``debug`` a trap
has ``frames`` ``[[funcidx, offset]...]``, with ``values`` ``[{"func": funcidx, "offset": n, "locals": [Value or
null...], "operands": [Value...]}...]``, where the type of a reference is ``ref``, one that is not null is 0, and a
local that has not been set is null; after ``shadow`` a trap or an exception has ``shadow``, hex digits, or null where
there is too much of it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Dict, Mapping, Optional, Tuple, Type

__all__ = [
    "Blocked", "Crashed", "Exhausted", "HostError", "OUTCOMES", "Outcome", "OutcomeError", "Record", "Rejected",
    "Returned", "Threw", "TimedOut", "Trapped", "Unsupported", "state_digest",
]  # fmt: skip


class OutcomeError(ValueError):
    """The plain data does not describe an outcome or record."""


@dataclass(frozen=True)
class Returned:
    """Ended normally with these values (empty for steps other than calls)."""

    values: Tuple[Tuple[str, Any], ...] = ()


@dataclass(frozen=True)
class Trapped:
    """``trap`` is the suite's phrase (``oracles.traps``), ``where`` (funcidx, offset) if the engine tells it."""

    trap: str
    where: Optional[Tuple[int, int]] = None
    text: str = ""


@dataclass(frozen=True)
class Threw:
    """An exception nobody caught: the number of its tag, or None where the engine cannot tell, and its payload."""

    tag: Optional[int]
    values: Tuple[Tuple[str, Any], ...] = ()


@dataclass(frozen=True)
class HostError:
    """A host function ended with its ``trap`` action of this id."""

    id: str


@dataclass(frozen=True)
class Rejected:
    """``stage`` is text, malformed, invalid, unlinkable, or module where an engine merges malformed and invalid."""

    stage: str
    text: str = ""


@dataclass(frozen=True)
class Exhausted:
    """A limit: ``resource`` is stack, fuel, memory or time."""

    resource: str
    text: str = ""


@dataclass(frozen=True)
class Crashed:
    """The worker died or broke the protocol; always the last record of a run."""

    signal: Optional[int]
    text: str = ""


@dataclass(frozen=True)
class TimedOut:
    """The step passed its wall-clock limit and the worker was killed; always the last record of a run."""

    ms: int


@dataclass(frozen=True)
class Unsupported:
    """The engine or its adapter cannot do this step."""

    what: str


@dataclass(frozen=True)
class Blocked:
    """The step names an instance or module that an earlier step failed to make."""

    what: str


def state_digest(instances: Mapping[str, Any]) -> str:
    """Return 16 hex digits that stand for the ``instances`` of an observation."""
    text = json.dumps(instances, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


_ALL = (Returned, Trapped, Threw, HostError, Rejected, Exhausted, Crashed, TimedOut, Unsupported, Blocked)
OUTCOMES: Dict[str, Type[Any]] = {c.__name__.lower(): c for c in _ALL}
_KINDS: Dict[Type[Any], str] = {cls: kind for kind, cls in OUTCOMES.items()}
Outcome = Any  # one of OUTCOMES.values(); a Union in an annotation would name them all again


@dataclass(frozen=True)
class Record:
    """Outcome and data of one step; ``us`` is the worker's wall time for it."""

    step: int
    outcome: Outcome
    data: Optional[Mapping[str, Any]] = None
    us: int = 0

    def to_json(self) -> Dict[str, Any]:
        outcome = {"kind": _KINDS[type(self.outcome)], **vars(self.outcome)}
        record: Dict[str, Any] = {"step": self.step, "outcome": outcome}
        if self.data is not None:
            record["data"] = self.data
        if self.us:
            record["us"] = self.us
        return record

    @staticmethod
    def from_json(data: Any) -> "Record":
        """Return the record described by untrusted plain data, or raise OutcomeError."""
        try:
            outcome = _RETURNED if data["outcome"] == _NOTHING else _outcome(data["outcome"])
            extra = data.get("data")
            if not isinstance(data["step"], int) or not isinstance(extra, (dict, type(None))):
                raise OutcomeError("a record has a step number and an object as data")
            return Record(data["step"], outcome, extra, int(data.get("us", 0)))
        except (KeyError, TypeError, ValueError, AttributeError) as e:
            raise OutcomeError(f"malformed record: {type(e).__name__}: {str(e)[:200]}") from e


_RETURNED, _NOTHING = Returned(), {"kind": "returned", "values": []}  # of most steps


def _outcome(data: Any) -> Outcome:
    out = dict(data)
    cls = OUTCOMES[out.pop("kind")]
    for name in ("values", "where"):
        if out.get(name) is not None:
            out[name] = tuple(tuple(v) if isinstance(v, list) else v for v in out[name])
    return cls(**out)
