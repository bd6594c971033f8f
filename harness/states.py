"""Comparison of what steps show: values, bytes, sizes, the whole visible state, the host trace (R1, R2, R5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.show import clip, pair, show_call, show_value, type_name, value_pair
from harness.verdicts import MISSING, NOTES, Pairing
from oracles.outcome import Returned

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.verdicts import Side

__all__ = ["States"]

_STATE = ("memories", "tables", "globals")


@dataclass(slots=True)
class States(Pairing):
    """Compares values, traces and observations."""

    def values(self, i: int, noun: str, left: Sequence[Any], right: Sequence[Any]) -> None:
        if [type_name(v) for v in left] != [type_name(v) for v in right]:
            shown = pair(lambda values: " ".join(map(show_value, values)) or "nothing", left, right)
            self.differ("R1", i, f"{noun} types", f"{noun} types", shown, ("values", "values"))
        for n, (a, b) in enumerate(zip(left, right, strict=True)):
            if not self.same(a, b):
                what = f"{noun} {n}" if len(left) > 1 else noun
                self.differ("R2", i, what, noun, *value_pair(a, b))

    # the host trace

    @staticmethod
    def trace(side: Side, i: int) -> list[Any] | None:
        """Return the host calls that the observation ``i`` shows, without notes."""
        if i >= len(side.records) or not isinstance(side.records[i].outcome, Returned):
            return None
        trace = (side.records[i].data or {}).get("trace")
        return _calls(trace) if isinstance(trace, list) else None

    def same_trace(self, rule: str, i: int, left: list[Any], right: list[Any]) -> None:
        for n in range(max(len(left), len(right))):
            a = left[n] if n < len(left) else MISSING
            b = right[n] if n < len(right) else MISSING
            if not self.same(a, b):
                classes = pair(lambda c: "missing" if c is MISSING else "host call", a, b)
                shown = pair(lambda c: "no call" if c is MISSING else show_call(c), a, b)
                self.differ(rule, i, f"host call {n}", "host trace", shown, classes)

    # data

    def data(self, i: int, left: Mapping[str, Any], right: Mapping[str, Any]) -> None:
        kind = self.plan.steps[i].kind
        if kind == "get":
            values = [d.get("value") for d in (left, right)]
            self.values(i, "global", *([[] if v is None else [v] for v in values]))
        elif kind == "grow":
            a, b = left.get("size"), right.get("size")
            if a != b:
                self.differ("R2", i, "old size", "old size", (clip(repr(a)), clip(repr(b))), ("size", "size"))
        elif kind == "read":
            a, b = str(left.get("bytes", "")), str(right.get("bytes", ""))
            if a != b:
                place = f"memory byte {_first_difference(a, b) // 2}"
                self.differ("R5", i, place, "memory contents", (clip(a), clip(b)), ("bytes", "bytes"))
        elif kind == "observe":
            if isinstance(left.get("trace"), list) and isinstance(right.get("trace"), list):
                self.same_trace("R5", i, _calls(left["trace"]), _calls(right["trace"]))
            self.instances(i, left.get("instances") or {}, right.get("instances") or {})

    def instances(self, i: int, left: Mapping[str, Any], right: Mapping[str, Any]) -> None:
        if left == right:
            return
        for name in sorted(set(left) | set(right)):
            a, b = left.get(name), right.get(name)
            if not isinstance(a, dict) or not isinstance(b, dict):
                shown = pair(lambda x: "seen" if isinstance(x, dict) else "absent", a, b)
                self.differ("R5", i, f"instance {name}", "instance", shown, shown)
            for part in _STATE:
                if part not in a or part not in b:
                    if part in a or part in b:
                        self.notes.append("unobserved")
                    continue
                for export in sorted(set(a[part]) | set(b[part])):
                    self.item(i, part, f"{name}.{export}", a[part].get(export), b[part].get(export))

    def item(self, i: int, part: str, name: str, a: Any, b: Any) -> None:
        if a is None or b is None:
            shown = pair(lambda x: "absent" if x is None else "seen", a, b)
            self.differ("R5", i, f"{part} {name}", part, shown, shown)
        elif part == "memories":
            self.memory(i, name, a, b)
        elif part == "tables":
            self.table(i, name, a, b)
        elif not self.same(a, b):
            self.differ("R5", i, f"global {name}", "global", *value_pair(a, b))

    def memory(self, i: int, name: str, a: Mapping[str, Any], b: Mapping[str, Any]) -> None:
        if a.get("pages") != b.get("pages"):
            shown = pair(lambda m: f"{m.get('pages')} pages", a, b)
            self.differ("R5", i, f"memory {name} size", "memory size", shown, ("pages", "pages"))
        crcs = dict(a.get("crc") or {}), dict(b.get("crc") or {})
        if crcs[0] == crcs[1]:
            return
        for page in sorted(set(crcs[0]) | set(crcs[1]), key=_page_number):
            left, right = crcs[0].get(page), crcs[1].get(page)
            if left != right:
                shown = pair(lambda c: "all zero" if c is None else f"crc {c}", left, right)
                place = f"memory {name} bytes {_page_number(page) * 4096:#x}..{_page_number(page) * 4096 + 4095:#x}"
                self.differ("R5", i, place, "memory contents", shown, ("bytes", "bytes"))

    def table(self, i: int, name: str, a: Sequence[Any], b: Sequence[Any]) -> None:
        if len(a) != len(b):
            shown = pair(lambda t: f"{len(t)} elements", a, b)
            self.differ("R5", i, f"table {name} size", "table size", shown, ("elements", "elements"))
        for n, (x, y) in enumerate(zip(a, b, strict=True)):
            if not self.same(x, y):
                self.differ("R5", i, f"table {name} element {n}", "table contents", *value_pair(x, y))


def _calls(trace: list[Any]) -> list[Any]:
    return [c for c in trace if not isinstance(c, (list, tuple)) or not c or c[0] not in NOTES]


def _page_number(page: Any) -> int:
    return int(page) if str(page).isdecimal() else -1


def _first_difference(a: str, b: str) -> int:
    return next((n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
