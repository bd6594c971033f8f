"""Whether what an engine did is what a command expects: one :class:`Verdict` per command, with a reason.

The classes of outcome are kept apart (a trap is not an exhaustion, a rejected module is not a link error), phrases are
compared through a reviewed list of spellings and the engine's documented merges, values by their patterns.  Only what
the text tool decided alone counts in the column ``text``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from oracles.outcome import (
    Blocked,
    Crashed,
    Exhausted,
    HostError,
    Rejected,
    Returned,
    Threw,
    TimedOut,
    Trapped,
    Unsupported,
)
from oracles.traps import PHRASES, merged

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.wast.schedule import Schedule
    from harness.wast.script import Command
    from oracles.adapter import Description
    from oracles.outcome import Outcome, Record

__all__ = ["REASONS", "Verdict", "judge", "trap_phrase"]

REASONS = (
    "accepted", "blocked", "crashed", "exhausted", "host error", "limit", "linked", "no exception", "no exhaustion",
    "no trap", "rejected", "result count", "text", "threw", "timed out", "trap phrase", "trapped", "unlinkable phrase",
    "unsupported feature", "value", "wrong stage",
)  # fmt: skip

# Spellings of the suite for a phrase that engines know, beside appended details such as "uninitialized element 2".
_SPELLINGS = {
    "descriptor cast failure": "cast failure",
    "undefined": "undefined element",
    "uninitialized": "uninitialized element",
    "out of bounds": "out of bounds memory access",
    "indirect call": "indirect call type mismatch",
}
_STAGES = {
    "assert_malformed": ("malformed", "module"),
    "assert_invalid": ("invalid", "module"),
    "assert_malformed_custom": ("malformed", "invalid", "module"),
    "assert_invalid_custom": ("invalid", "module"),
}
_UNKNOWN_IMPORT = "unknown import"


@dataclass(frozen=True, slots=True)
class Verdict:
    """``column`` is engine or text, ``reason`` one of REASONS or empty if it passed, ``detail`` what was seen."""

    command: Command
    column: str
    reason: str = ""
    detail: str = ""

    @property
    def passed(self) -> bool:
        return not self.reason


def trap_phrase(written: str) -> str:
    """Return the phrase of ``oracles.traps`` that a script means, or the written one if it is none."""
    for phrase in sorted(PHRASES, key=len, reverse=True):
        if written == phrase or written.startswith(phrase + " "):
            return phrase
    return _SPELLINGS.get(written, written)


def judge(
    schedule: Schedule, records: Sequence[Record], rejected: Mapping[int, Outcome], engine: Description
) -> tuple[Verdict, ...]:
    """Return the verdict of each command; ``rejected`` has the assembler's outcome, by command, where it gave nothing.

    A list of records that ends early fails every command from there on, for the reason of its last record.
    """
    return tuple(
        Verdict(check.command, "text" if _by_text(check.command, check.missing) else "engine", *failure)
        for i, check in enumerate(schedule.checks)
        for failure in [_failure(check.command, check.step, check.missing, records, rejected.get(i), engine)]
    )


def _by_text(command: Command, missing: str) -> bool:
    return missing == "text" and _STAGES.get(command.kind) is not None


def _failure(
    command: Command, step: int | None, missing: str, records: Sequence[Record], said: Outcome, engine: Description
) -> tuple[str, str]:
    """Return reason and detail, both empty if the command passed."""
    if missing == "text" and isinstance(said, Unsupported):
        return "unsupported feature", said.what  # no credit for rejecting what is not known
    if missing == "text":
        malformed = command.kind in ("assert_malformed", "assert_malformed_custom", "assert_invalid_custom")
        return ("", "") if malformed else ("text", said.text if isinstance(said, Rejected) else "")
    if step is None:
        return "blocked", "no such instance"
    if step >= len(records):
        return _cut_short(records[-1].outcome if records else Crashed(None, "no record"))
    record = records[step]
    common = _common(record.outcome)
    if common is not None:
        return common
    kind = command.kind
    if kind == "assert_return":
        return _returned(command, record)
    if kind == "assert_trap":
        return _trapped(command, record.outcome, engine)
    if kind == "assert_unlinkable":
        return _unlinkable(command, record.outcome)
    if kind in _STAGES:
        return _rejected(command, record.outcome)
    if kind == "assert_exhaustion":
        exhausted = isinstance(record.outcome, Exhausted) and record.outcome.resource == "stack"
        return ("", "") if exhausted else ("no exhaustion", _show(record.outcome))
    if kind == "assert_exception":
        return ("", "") if isinstance(record.outcome, Threw) else ("no exception", _show(record.outcome))
    return _completed(record.outcome)


def _cut_short(outcome: Outcome) -> tuple[str, str]:
    if isinstance(outcome, TimedOut):
        return "timed out", f"a step took more than {outcome.ms} ms"
    if isinstance(outcome, Exhausted):
        return "limit", f"{outcome.resource}: {outcome.text}"
    return "crashed", _show(outcome)


def _common(outcome: Outcome) -> tuple[str, str] | None:
    """Return the failure that an outcome is whatever was expected, or None."""
    match outcome:
        case Unsupported(what=what):
            return "unsupported feature", what
        case Blocked(what=what):
            return "blocked", what
        case Crashed() | TimedOut():
            return _cut_short(outcome)
        case HostError(id=id_):
            return "host error", id_
        case _:
            return None


def _completed(outcome: Outcome) -> tuple[str, str]:
    match outcome:
        case Returned():
            return "", ""
        case Trapped():
            return "trapped", outcome.trap
        case Exhausted():
            return "exhausted", outcome.resource
        case Threw():
            return "threw", ""
        case _:
            return "rejected", _show(outcome)


def _returned(command: Command, record: Record) -> tuple[str, str]:
    failure = _completed(record.outcome)
    if failure[0]:
        return failure
    values = list(record.outcome.values)
    if record.data is not None and "value" in record.data:
        values = [tuple(record.data["value"])]
    if len(values) != len(command.patterns):
        return "result count", f"{len(command.patterns)} expected, got {len(values)}"
    for value, pattern in zip(values, command.patterns, strict=True):
        if not pattern.matches(value):
            return "value", f"{pattern} expected, got {value[0]}:{value[1]}"
    return "", ""


def _trapped(command: Command, outcome: Outcome, engine: Description) -> tuple[str, str]:
    if not isinstance(outcome, Trapped):
        return "no trap", _show(outcome)
    if trap_phrase(command.phrase) in merged(outcome.trap, engine.name, engine.version):
        return "", ""
    return "trap phrase", f"{command.phrase!r} expected, got {outcome.trap!r}"


def _unlinkable(command: Command, outcome: Outcome) -> tuple[str, str]:
    if isinstance(outcome, Returned):
        return "linked", command.phrase
    if not isinstance(outcome, Rejected) or outcome.stage != "unlinkable":
        return "wrong stage", _show(outcome)
    if (_UNKNOWN_IMPORT in command.phrase) != (_UNKNOWN_IMPORT in outcome.text):
        return "unlinkable phrase", f"{command.phrase!r} expected, got {outcome.text!r}"
    return "", ""


def _rejected(command: Command, outcome: Outcome) -> tuple[str, str]:
    if isinstance(outcome, Returned):
        return "accepted", command.phrase
    stages = _STAGES[command.kind]
    if command.form == "assert_malformed quote":
        stages = (*stages, "invalid")  # the text was assembled: its binary may be merely invalid
    if isinstance(outcome, Rejected) and outcome.stage in stages:
        return "", ""
    return "wrong stage", _show(outcome)


def _show(outcome: Outcome) -> str:
    return repr(outcome)[:300]
