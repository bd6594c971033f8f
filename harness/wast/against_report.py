"""What came of comparing two engines by scripts, as text and as JSON."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from harness.compare import RULES, TOLERANCES
from harness.wast.settle import OPEN

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from harness.wast.against import Compared, Mismatch, Setting

__all__ = ["against_json", "against_text", "unexplained"]

_SHOWN = 20
_COUNTS = {
    "commands": "commands",
    "commands of text alone": "of them decided by the text format alone",
    "commands straight": "compared",
    "commands in slices": "compared in slices",
    "states": "states compared",
    "fuel": "figures of fuel compared",
    "pauses": "pauses compared",
    "steps in slices as straight": "steps compared between an engine's own straight run and its run in slices",
}


def unexplained(results: Iterable[Compared]) -> list[Mismatch]:
    """Return the mismatches that no registered divergence explains."""
    return [m for result in results for m in result.mismatches if not m.divergence]


def against_text(setting: Setting, results: Sequence[Compared]) -> str:
    """Return what is printed at the end."""
    sides = [f"{oracle} ({version})" for oracle, version in zip(setting.oracles, setting.versions, strict=True)]
    lines = [f"{' against '.join(sides)}: {', '.join(setting.checks)}; {len(results):,} scripts"]
    counts, left_out = _sums(results)
    lines += [f"{counts[name]:>12,}  {text}" for name, text in _COUNTS.items() if name in counts]
    if left_out:
        lines.append("left out or tolerated, by rule:")
        lines += [f"{n:>12,}  {rule}: {_meaning(rule)}" for rule, n in sorted(left_out.items())]
    explained = Counter(m.divergence for r in results for m in r.mismatches if m.divergence)
    lines += [f"{n:>12,}  known divergence {name}" for name, n in sorted(explained.items())]
    problems = [r for r in results if r.problem]
    lines += [f"{r.file.name}: {r.problem}" for r in problems[:_SHOWN]]
    found = unexplained(results)
    lines.append(
        f"{len(found):,} mismatch{'es' * (len(found) != 1)}" + f", {len(problems):,} problems" * bool(problems)
    )
    for m in found[:_SHOWN]:
        lines.append(f"  {m.file}:{m.line}: {m.kind} ({m.run}): {m.verdict.what} ({RULES[m.verdict.rule]})")
        lines += [
            f"    {oracle}: {has}" for oracle, has in zip(m.oracles, (m.verdict.left, m.verdict.right), strict=True)
        ]
        lines += [f"    saved as {m.place}"] * bool(m.place)
    if len(found) > _SHOWN:
        lines.append(f"  and {len(found) - _SHOWN:,} more (--json FILE has them all)")
    return "\n".join(lines)


def against_json(setting: Setting, results: Sequence[Compared]) -> dict[str, Any]:
    """Return everything as plain data."""
    counts, left_out = _sums(results)
    return {
        "oracles": dict(zip(setting.oracles, setting.versions, strict=True)),
        "checks": list(setting.checks),
        "counts": dict(sorted(counts.items())),
        "left out": dict(sorted(left_out.items())),
        "files": [
            {
                "name": result.file.name,
                "problem": result.problem,
                "counts": dict(sorted(result.counts.items())),
                "left out": dict(sorted(result.left_out.items())),
                "mismatches": [_mismatch(m) for m in result.mismatches],
            }
            for result in sorted(results, key=lambda r: r.file.name)
        ],
    }


def _mismatch(m: Mismatch) -> dict[str, Any]:
    verdict = m.verdict
    return {
        "line": m.line,
        "command": m.kind,
        "run": m.run,
        "signature": m.signature,
        "rule": verdict.rule,
        "what": verdict.what,
        "has": [[oracle, has] for oracle, has in zip(m.oracles, (verdict.left, verdict.right), strict=True)],
        "divergence": m.divergence,
        "case": m.place,
    }


def _sums(results: Iterable[Compared]) -> tuple[Counter[str], Counter[str]]:
    counts: Counter[str] = Counter()
    left_out: Counter[str] = Counter()
    for result in results:
        counts.update(result.counts)
        left_out.update(result.left_out)
    return counts, +left_out


def _meaning(rule: str) -> str:
    return OPEN.get(rule) or TOLERANCES.get(rule) or "the rest of its group of instances is left out"
