"""The registry of known divergences: real differences of engines that a campaign counts instead of reporting.

An entry names one engine, a bounded range of its versions, the rules and what the difference looks like, gives its
reason, and says in how many of 1,000 cases it may come up (``count``).  It never loosens a comparison: a divergence is
found first and looked up after.  An entry that is too broad (no upper version, a wildcard, neither rows nor outcome nor
condition) is refused when the file is read; one that matches more often than its count makes the campaign fail at its
end.

    format = 1

    [[divergence]]
    id = "wasmer-1.1-trunc"                       # shown in the summary
    engine = "wasmer"                             # or "wasmer:singlepass" for one variant
    versions = ">=1.1.0,<1.2"                     # both bounds
    rule = "R4"                                   # or a list: a wrong value shows as a result (R2) or in memory (R5)
    rows = ["i32.trunc_f32_s"]                    # the case must have one of these instructions
    operand = "v128"                              # and one of them an operand of this type; for select, say
    outcome = ["trapped: integer overflow", "trapped: invalid conversion to integer"]    # reference (or a list), engine
    when = "functions left over an image"         # and this must have happened before; conditions.py has them by name
    reason = "one sentence, at least, on why this is theirs and known"
    count = 2
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.binary import decode
from engine.errors import WasmError
from engine.features import EXECUTED
from engine.instructions import TABLE
from engine.types import Arrow
from engine.validation import validate
from harness.compare import RULES
from harness.conditions import CONDITIONS
from oracles.plan import WIDTHS

if TYPE_CHECKING:
    from pathlib import Path

    from harness.compare import Differ, Side
    from oracles.plan import Plan

__all__ = ["Divergence", "Registry", "RegistryError", "load", "parse"]

MAX_BYTES = 1 << 20
MAX_ROWS = 16
_FIELDS = {"id", "engine", "versions", "rule", "rows", "operand", "outcome", "when", "reason", "count"}
_VERSIONS = re.compile(r">=(\d+(?:\.\d+)*),(<=?)(\d+(?:\.\d+)*)\Z")


class RegistryError(ValueError):
    """The file does not describe a registry; the message is one sentence."""


@dataclass(frozen=True, slots=True)
class Divergence:
    """One entry; ``low`` and ``high`` bound the versions, ``high_closed`` tells whether ``high`` itself is in."""

    id: str
    engine: str
    low: tuple[int, ...]
    high: tuple[int, ...]
    high_closed: bool
    rules: frozenset[str]
    rows: frozenset[str]
    operand: str
    outcome: tuple[frozenset[str], str] | None
    when: str
    reason: str
    count: int

    def matches(self, plan: Plan, left: Side, right: Side, verdict: Differ) -> bool:
        """Return whether this entry explains the finding of ``right`` against ``left``, or the other way round."""
        if verdict.rule not in self.rules:
            return False
        seen = (verdict.left_class, verdict.right_class)
        sides = ((left, seen[::-1]), (right, seen))
        if not any(self.names(side) and self._fits(*classes) for side, classes in sides):
            return False
        if self.rows and not self.rows & _rows_of(plan, self.operand):
            return False
        return not self.when or CONDITIONS[self.when](plan, left, right, verdict)

    def _fits(self, reference: str, engine: str) -> bool:
        return self.outcome is None or (reference in self.outcome[0] and engine == self.outcome[1])

    def names(self, side: Side) -> bool:
        """Return whether this entry is about the engine of a side."""
        name, _, variant = self.engine.partition(":")
        if side.name != name or (variant and side.oracle.partition(":")[2] != variant):
            return False
        version = _version(side.version)
        if version is None or version < self.low:
            return False
        return version[: len(self.high)] <= self.high if self.high_closed else version < self.high


@dataclass(frozen=True, slots=True)
class Registry:
    entries: tuple[Divergence, ...] = ()

    def explain(self, plan: Plan, left: Side, right: Side, verdict: Differ) -> Divergence | None:
        """Return the first entry that explains a finding, or None."""
        return next((e for e in self.entries if e.matches(plan, left, right, verdict)), None)

    def over_count(self, hits: dict[str, int], cases: int) -> list[str]:
        """Return one sentence for each entry that matched more often than its count allows in so many cases."""
        return [
            f"divergence {e.id} matched {hits[e.id]} of {cases} cases, more than {e.count} of 1,000"
            for e in self.entries
            if hits.get(e.id, 0) > e.count * max(1, -(-cases // 1000))
        ]


def load(path: Path) -> Registry:
    """Return the registry in a file, or raise RegistryError."""
    try:
        data = path.read_bytes()[: MAX_BYTES + 1]
    except OSError as e:
        raise RegistryError(f"{path}: {e.strerror or e}") from e
    if len(data) > MAX_BYTES:
        raise RegistryError(f"{path}: larger than {MAX_BYTES} bytes")
    try:
        return parse(data.decode())
    except (RegistryError, UnicodeDecodeError) as e:
        raise RegistryError(f"{path}: {e}") from e


def parse(text: str) -> Registry:
    """Return the registry that a TOML text describes, or raise RegistryError."""
    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as e:
        raise RegistryError(f"not TOML: {e}") from e
    if set(data) - {"format", "divergence"} or data.get("format") != 1:
        raise RegistryError("a registry has format = 1 and [[divergence]] entries, nothing else")
    entries = data.get("divergence", [])
    if not isinstance(entries, list):
        raise RegistryError("divergence is an array of tables")
    registry = Registry(tuple(_entry(e) for e in entries))
    ids = [e.id for e in registry.entries]
    twice = sorted({i for i in ids if ids.count(i) > 1})
    if twice:
        raise RegistryError(f"divergence {twice[0]} is there twice")
    return registry


def _entry(data: Any) -> Divergence:
    if not isinstance(data, dict):
        raise RegistryError("divergence is an array of tables")
    name = str(data.get("id", "?"))[:80]

    def refuse(why: str) -> RegistryError:
        return RegistryError(f"divergence {name}: {why}")

    if unknown := sorted(set(data) - _FIELDS):
        raise refuse(f"unknown field {unknown[0]}")
    if missing := sorted({"id", "engine", "versions", "rule", "reason", "count"} - set(data)):
        raise refuse(f"field {missing[0]} is missing")
    for field in ("id", "engine", "versions", "reason"):
        if not isinstance(data[field], str):
            raise refuse(f"{field} is not a string")
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{2,79}", data["id"]):
        raise refuse("id is three or more of a-z, 0-9, '.', '-'")
    if not re.fullmatch(r"[a-z][a-z0-9-]*(:[a-z0-9-]+)?", data["engine"]):
        raise refuse("engine is one engine name, with :VARIANT for one of its variants")
    bounds = _VERSIONS.match(data["versions"].replace(" ", ""))
    if bounds is None:
        raise refuse("versions is a bounded range such as >=1.1.0,<1.2")
    if len(data["reason"].split()) < 4:
        raise refuse("reason is at least one sentence")
    if not isinstance(data["count"], int) or isinstance(data["count"], bool) or not 1 <= data["count"] <= 1000:
        raise refuse("count is a number of cases in 1,000, from 1 to 1000")
    low, closed, high = bounds.groups()
    return Divergence(
        data["id"], data["engine"], _numbers(low), _numbers(high), closed == "<=", _rules(data, refuse),
        _rows(data, refuse), _operand(data, refuse), _outcome(data, refuse), _when(data, refuse), data["reason"],
        data["count"],
    )  # fmt: skip


def _rules(data: dict[str, Any], refuse: Any) -> frozenset[str]:
    rules = data["rule"] if isinstance(data["rule"], list) else [data["rule"]]
    if not rules or not all(isinstance(r, str) and r in RULES for r in rules):
        raise refuse(f"rule is one or several of {', '.join(RULES)}")
    return frozenset(rules)


def _operand(data: dict[str, Any], refuse: Any) -> str:
    operand = data.get("operand", "")
    if "operand" in data and operand not in WIDTHS:
        raise refuse(f"operand is one of {', '.join(WIDTHS)}")
    if operand and not data.get("rows"):
        raise refuse("an operand is one of rows")
    return str(operand)


def _when(data: dict[str, Any], refuse: Any) -> str:
    when = data.get("when", "")
    if "when" in data and when not in CONDITIONS:
        raise refuse(f"when is one of {', '.join(CONDITIONS)}")
    return str(when)


def _rows(data: dict[str, Any], refuse: Any) -> frozenset[str]:
    rows = data.get("rows", [])
    if not isinstance(rows, list) or not all(isinstance(r, str) for r in rows):
        raise refuse("rows is a list of instruction names")
    for row in rows:
        if row not in TABLE.by_name:
            raise refuse(f"{row!r} is no instruction")
    if len(rows) > MAX_ROWS or (not rows and not {"outcome", "when"} & set(data)):
        raise refuse(f"over-broad, give an outcome, a condition or up to {MAX_ROWS} rows")
    return frozenset(rows)


def _outcome(data: dict[str, Any], refuse: Any) -> tuple[frozenset[str], str] | None:
    if "outcome" not in data:
        return None
    pair = data["outcome"]
    if not isinstance(pair, list) or len(pair) != 2:
        raise refuse("outcome is the class of the reference's outcome, or a list of them, and that of the engine's")
    references = pair[0] if isinstance(pair[0], list) else [pair[0]]
    classes = [*references, pair[1]]
    if not references or not all(isinstance(p, str) and p for p in classes):
        raise refuse("outcome is of names of classes")
    if any("*" in p for p in classes):
        raise refuse("over-broad, outcome has no wildcards")
    return frozenset(references), pair[1]


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(n) for n in text.split(".") if len(n) < 10)


def _version(text: str) -> tuple[int, ...] | None:
    found = re.match(r"\d{1,9}(?:\.\d{1,9})*", text)
    return _numbers(found.group()) if found else None


def _rows_of(plan: Plan, operand: str) -> set[str]:
    """Return the names of the instructions in the plan's modules (of those that decode); of an operand's type if given.

    A module that is not valid has no types of operands.
    """
    names: set[str] = set()
    for data in plan.modules.values():
        try:
            module = decode(data, EXECUTED)
            if operand:
                validate(module, EXECUTED)
        except WasmError:
            continue
        rows = {i.row for code in module.codes for i in code.body}
        if not operand:
            names.update(row.name for row in rows)
            continue
        types = [*module.context.operands(), *((r, r.type.pops) for r in rows if isinstance(r.type, Arrow))]
        names.update(row.name for row, ts in types if operand in map(str, ts))
    return names
