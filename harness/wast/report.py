"""Results of scripts as a table, as JSON and as JUnit: three views of the same counts.

``engine N/M`` counts assertions that the engine decided, ``text N/M`` those that the text tool decided alone, and
``commands N/M`` what scripts do between assertions and must succeed.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from harness.wast.expectations import Difference
    from harness.wast.judge import Verdict
    from harness.wast.runner import FileResult

__all__ = ["Counts", "by_folder", "disagreement_report", "json_report", "junit_report", "table", "text_report"]

_COLUMNS = ("engine", "text", "commands")
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SHOWN = 20
_LACKING = {"unsupported feature", "blocked", "text"}


@dataclass(slots=True)
class Counts:
    """Passed and total by column, by kind of command, and failures by reason."""

    files: int = 0
    passed: Counter[str] = field(default_factory=Counter)
    total: Counter[str] = field(default_factory=Counter)
    kinds_passed: Counter[str] = field(default_factory=Counter)
    kinds_total: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, verdicts: Iterable[Verdict]) -> None:
        """Count one file."""
        self.files += 1
        for verdict in verdicts:
            kind = verdict.command.kind
            for column in (verdict.column if verdict.command.is_assertion else "commands",):
                self.total[column] += 1
                self.passed[column] += verdict.passed
            self.kinds_total[kind] += 1
            self.kinds_passed[kind] += verdict.passed
            if not verdict.passed:
                self.reasons[verdict.reason] += 1

    def score(self, column: str) -> str:
        """Return ``N/M`` of engine, text or commands; a folder of a feature that the engine lacks has no rate."""
        if column == "engine" and not self.passed["engine"] and set(self.reasons) <= _LACKING and self.reasons:
            return f"not supported ({self.total['engine']:,})"
        return f"{self.passed[column]:,}/{self.total[column]:,}"

    def both(self) -> str:
        """Return ``N/M`` of all assertions, for an engine that reads text itself."""
        columns = ("engine", "text")
        return "/".join(f"{sum(counts[c] for c in columns):,}" for counts in (self.passed, self.total))

    def to_json(self) -> dict[str, Any]:
        return {
            "files": self.files,
            **{c: {"passed": self.passed[c], "total": self.total[c]} for c in _COLUMNS},
            "kinds": {
                kind: {"passed": self.kinds_passed[kind], "total": self.kinds_total[kind]}
                for kind in sorted(self.kinds_total)
            },
            "reasons": dict(sorted(self.reasons.items())),
        }


def by_folder(results: Iterable[FileResult]) -> dict[str, Counts]:
    """Return the counts of each folder, of the whole of ``core`` if more than one of its folders ran, and of all."""
    folders: dict[str, Counts] = {}
    core, everything = Counts(), Counts()
    for result in results:
        folder = result.file.folder
        folders.setdefault(folder, Counts()).add(result.verdicts)
        everything.add(result.verdicts)
        if folder.startswith("core/"):
            core.add(result.verdicts)
    table = {folder: folders[folder] for folder in sorted(folders)}
    if sum(folder.startswith("core/") for folder in folders) > 1:
        table["core"] = core
    if len(folders) > 1 and everything.files != core.files:
        table["all"] = everything
    return table


def table(counts: dict[str, Counts]) -> str:
    """Return the table of folders."""
    rows: list[tuple[str, ...]] = [("folder", "files", *_COLUMNS)]
    rows += [(name, f"{c.files:,}", *(c.score(column) for column in _COLUMNS)) for name, c in counts.items()]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.rjust(w) if i else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True)))
        for row in rows
    )


def text_report(
    engine: str, results: Sequence[FileResult], differences: Sequence[Difference], judges_text: bool = False
) -> str:
    """Return what is printed at the end of a run; ``judges_text`` says that text is decided by the engine itself."""
    counts = by_folder(results)
    whole = counts[next(reversed(counts))] if counts else Counts()
    lines = [table(counts), ""]
    reasons: Counter[str] = Counter()
    for result in results:
        reasons.update(v.reason for v in result.verdicts if not v.passed)
    if reasons:
        lines.append("failed: " + ", ".join(f"{n:,} {reason}" for reason, n in reasons.most_common()))
    shown = "core" if "core" in counts else next(reversed(counts), "")
    score = counts.get(shown, whole)
    parts = f"engine {score.score('engine')}, text {score.score('text')}"
    lines.append(f"{engine} on {shown}: " + (f"engine+text {score.both()} ({parts})" if judges_text else parts))
    if differences:
        lines.append(f"{len(differences):,} difference{'s' * (len(differences) > 1)} from what is expected:")
        causes_first = sorted(differences, key=lambda d: "failed: blocked" in d.what)
        lines += [f"  {d.file}:{d.line}: {' '.join(d.what.split())[:200]}" for d in causes_first[:_SHOWN]]
        if len(differences) > _SHOWN:
            lines.append(f"  and {len(differences) - _SHOWN:,} more (--json FILE has them all)")
    else:
        lines.append("exactly as expected" if reasons else "all passed, as expected")
    return "\n".join(lines)


def disagreement_report(results: Iterable[FileResult]) -> str:
    """Return every disagreement of the second assembler with ours, one line each, by who is right."""
    found = sorted((d.right, d.why, r.file.name, d.line) for r in results for d in r.disagreements)
    lines = [f"{len(found):,} texts on which the assemblers disagree"]
    counts = Counter(right for right, *_ in found)
    lines[0] += ": " + ", ".join(f"{right} right {n:,}" for right, n in sorted(counts.items())) if found else ""
    lines += [f"  {right}: {name}:{line}: {' '.join(why.split())}" for right, why, name, line in found]
    return "\n".join(lines)


def json_report(
    engine: str, suite: str, results: Sequence[FileResult], differences: Sequence[Difference]
) -> dict[str, Any]:
    """Return everything as plain data."""
    return {
        "engine": engine,
        "suite": suite,
        "folders": {name: counts.to_json() for name, counts in by_folder(results).items()},
        "differences": [{"file": d.file, "line": d.line, "what": d.what} for d in differences],
        "files": [
            {
                "name": result.file.name,
                "problem": result.problem,
                "us": result.us,
                **_counts(result).to_json(),
                "failures": [
                    {"line": v.command.line, "kind": v.command.kind, "reason": v.reason, "detail": v.detail}
                    for v in result.verdicts
                    if not v.passed
                ],
            }
            for result in sorted(results, key=lambda r: r.file.name)
        ],
    }


def _counts(result: FileResult) -> Counts:
    counts = Counts()
    counts.add(result.verdicts)
    return counts


def junit_report(engine: str, results: Sequence[FileResult], differences: Sequence[Difference]) -> bytes:
    """Return JUnit XML: a suite per folder, a case per file and kind of command.

    A case fails by a difference from what is expected; one whose failures are all expected is skipped with the reasons.
    """
    root = ET.Element("testsuites", name=f"wfuzz spec {engine}")
    suites: dict[str, ET.Element] = {}
    found: dict[str, list[Difference]] = {}
    for difference in differences:
        found.setdefault(difference.file, []).append(difference)
    for result in sorted(results, key=lambda r: r.file.name):
        folder = result.file.folder
        if folder not in suites:
            suites[folder] = ET.SubElement(root, "testsuite", name=folder)
        for kind in sorted({v.command.kind for v in result.verdicts}):
            _case(suites[folder], result, kind, found.get(result.file.name, []))
        whole = [d for d in found.get(result.file.name, []) if not d.line]
        if whole or not result.verdicts:
            _fail(ET.SubElement(suites[folder], "testcase", classname=result.file.name, name="file"), whole)
    for suite in suites.values():
        suite.set("tests", str(len(suite)))
        suite.set("failures", str(sum(case.find("failure") is not None for case in suite)))
        suite.set("skipped", str(sum(case.find("skipped") is not None for case in suite)))
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True))


def _case(suite: ET.Element, result: FileResult, kind: str, differences: Sequence[Difference]) -> None:
    verdicts = [v for v in result.verdicts if v.command.kind == kind]
    passed = sum(v.passed for v in verdicts)
    case = ET.SubElement(suite, "testcase", classname=result.file.name, name=f"{kind} {passed}/{len(verdicts)}")
    lines = {v.command.line for v in verdicts}
    if mine := [d for d in differences if d.line in lines and d.what.startswith(f"{kind} ")]:
        _fail(case, mine)
    elif passed < len(verdicts):
        reasons = Counter(v.reason for v in verdicts if not v.passed)
        message = "expected: " + ", ".join(f"{n} {reason}" for reason, n in reasons.most_common())
        ET.SubElement(case, "skipped", message=message)


def _fail(case: ET.Element, differences: Sequence[Difference]) -> None:
    if differences:
        failure = ET.SubElement(case, "failure", message=f"{len(differences)} differences")
        failure.text = _NOT_XML.sub("\ufffd", "\n".join(f"line {d.line}: {d.what}" for d in differences[:_SHOWN]))
