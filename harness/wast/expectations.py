"""What an engine of a version is known to fail, exactly: an unexpected pass is as much a difference as a failure.

A file ``ENGINE@VERSION.json`` lists, for each script of the pinned suite that does not pass whole, the ordinals of its
failing commands with their reasons, and how many of its assertions the text tool decided alone.  A script that is not
in the pinned suite is expected to pass.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from harness.wast.runner import FileResult
    from oracles.adapter import Description

__all__ = ["Difference", "Expectations", "engine_name", "ranges", "unranged"]

_RANGES = re.compile(r"(?:\d{1,7}(?:-\d{1,7})?(?:,(?!$)|$))*")


@dataclass(frozen=True, slots=True)
class Difference:
    """``what`` is one sentence; ``line`` 0 where it is about the whole file."""

    file: str
    line: int
    what: str


def engine_name(engine: Description) -> str:
    """Return NAME@VERSION, with the variant if there is one."""
    variant = f":{engine.variant}" if engine.variant else ""
    return f"{engine.name}@{engine.version}{variant}"


def ranges(numbers: Iterable[int]) -> str:
    """Return ascending numbers as ``0-3,7``."""
    runs: list[list[int]] = []
    for n in numbers:
        if runs and n == runs[-1][1] + 1:
            runs[-1][1] = n
        else:
            runs.append([n, n])
    return ",".join(f"{a}-{b}" if a != b else str(a) for a, b in runs)


def unranged(text: str) -> list[int]:
    """Return the numbers of ``0-3,7``."""
    if not _RANGES.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is not a list of ranges")
    numbers: list[int] = []
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        numbers.extend(range(int(first), int(last or first) + 1))
    return numbers


def _observed(result: FileResult) -> dict[str, Any]:
    """Return the entry of a file: failing ordinals by reason, and the number of assertions decided by text."""
    failing: dict[str, list[int]] = {}
    for i, verdict in enumerate(result.verdicts):
        if not verdict.passed:
            failing.setdefault(verdict.reason, []).append(i)
    by_text = sum(v.column == "text" and v.command.is_assertion for v in result.verdicts)
    entry: dict[str, Any] = {}
    if failing:
        entry["failing"] = {reason: ranges(failing[reason]) for reason in sorted(failing)}
    if by_text:
        entry["text"] = by_text
    return entry


@dataclass(slots=True)
class Expectations:
    """``known`` says whether there is a file for this engine; without one every failure is a difference."""

    engine: str
    suite: str
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    known: bool = False

    @staticmethod
    def load(directory: Path, engine: str, suite: str, text: str = "own") -> Expectations:
        """Return the expectations checked in for this engine and suite, empty ones if there are none.

        With another text format than our own they are a file of their own, as that decides some assertions alone.
        """
        engine += "" if text == "own" else f"+{text}-text"
        path = directory / f"{engine}.json"
        if not path.is_file():
            return Expectations(engine, suite)
        data = json.loads(path.read_text("utf-8"))
        if data["suite"] != suite:
            return Expectations(engine, suite)
        return Expectations(engine, suite, data["files"], known=True)

    def differences(self, result: FileResult) -> list[Difference]:
        """Return how a result differs from what is expected of its file; empty if exactly as expected."""
        name = result.file.name
        if result.problem:
            return [Difference(name, 0, result.problem)]
        expected = self.files.get(name, {}) if result.file.info is not None else {}
        reasons = {i: reason for reason, text in expected.get("failing", {}).items() for i in unranged(text)}
        found: list[Difference] = []
        for i, verdict in enumerate(result.verdicts):
            wanted = reasons.pop(i, "")
            if verdict.reason == wanted:
                continue
            command = verdict.command
            if verdict.passed:
                what = f"{command.kind} passed, expected to fail: {wanted}"
            else:
                instead = f" (expected: {wanted})" if wanted else ""
                what = f"{command.kind} failed: {verdict.reason}{instead}; {verdict.detail}"
            found.append(Difference(name, command.line, what))
        if reasons:
            found.append(Difference(name, 0, f"{len(reasons)} commands expected to fail are not in the script"))
        text = _observed(result).get("text", 0)
        if self.known and result.file.info is not None and text != expected.get("text", 0):
            what = f"the text tool decided {text} assertions, expected {expected.get('text', 0)}"
            found.append(Difference(name, 0, what))
        return found

    def bless(self, results: Iterable[FileResult]) -> None:
        """Take what was observed as what is expected, for these files only."""
        for result in results:
            if result.file.info is None or result.problem:
                continue
            self.files.pop(result.file.name, None)
            if entry := _observed(result):
                self.files[result.file.name] = entry

    def save(self, directory: Path) -> Path:
        """Write ``ENGINE@VERSION.json`` by one rename and return its path."""
        path = directory / f"{self.engine}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        files = ",\n".join(f"  {json.dumps(name)}: {json.dumps(self.files[name])}" for name in sorted(self.files))
        head = f' "engine": {json.dumps(self.engine)},\n "suite": {json.dumps(self.suite)},\n "files": '
        text = "{\n" + head + ("{\n" + files + "\n }" if files else "{}") + "\n}\n"
        temporary = path.with_suffix(".new")
        temporary.write_text(text, "utf-8")
        os.replace(temporary, path)
        return path
