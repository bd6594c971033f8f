"""What a reader gets: the summary of a campaign, a finding as Markdown, modules as text.  Nothing here is read back."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from engine.binary import decode
from engine.errors import WasmError
from engine.features import EXECUTED
from engine.text.printer import print_module
from harness.compare import RULES, TOLERANCES, show_value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.case import Case
    from harness.cases import CaseResult
    from oracles.plan import Plan, Step

__all__ = [
    "INCONCLUSIVE_PERCENT", "UNSUPPORTED_PERCENT", "VERDICTS", "Tally", "finding_text", "module_text", "renderings",
    "show_step", "summary_lines",
]  # fmt: skip

VERDICTS = ("agree", "inconclusive", "unsupported", "divergence", "finding")
INCONCLUSIVE_PERCENT = 2.0  # of all comparisons, at most
UNSUPPORTED_PERCENT = 50.0
MOST = 12  # names in one line of the summary
_PHASES = ("generate", "reference", "oracle", "compare")


@dataclass(slots=True)
class Tally:
    """The sums over the finished cases of a campaign; ``digest`` adds up case digests and so knows no order."""

    cases: int = 0
    undigested: list[int] = field(default_factory=list)
    errors: list[int] = field(default_factory=list)
    executed: int = 0
    digest: int = 0
    elapsed_s: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    seconds: Counter[str] = field(default_factory=Counter)

    def add(self, result: CaseResult) -> None:
        """Add one case."""
        self.cases += 1
        self.executed += result.executed
        self.counts.update(result.counts)
        for phase, seconds in result.seconds.items():
            self.seconds[phase] += seconds  # type: ignore[assignment]
        if result.error is not None:
            self.errors.append(result.index)
        elif result.digest is None:
            self.undigested.append(result.index)
        else:
            self.digest = (self.digest + digest_of(result.index, result.digest)) % (1 << 256)

    def of_kind(self, kind: str) -> dict[str, int]:
        """Return the counts with keys ``kind/NAME`` by name, the most frequent first."""
        prefix = kind + "/"
        pairs = [(k.removeprefix(prefix), n) for k, n in self.counts.items() if k.startswith(prefix)]
        return dict(sorted(pairs, key=lambda pair: (-pair[1], pair[0])))

    def percent(self, kind: str) -> float:
        """Return the share of a kind of verdict among all comparisons."""
        sums = {
            k: sum(self.of_kind(k).values()) for k in ("agree", "inconclusive", "unsupported", "divergence", "finding")
        }
        return 100 * sums[kind] / (sum(sums.values()) or 1)

    def to_json(self) -> dict[str, Any]:
        return {
            "cases": self.cases,
            "undigested": self.undigested,
            "errors": self.errors,
            "executed": self.executed,
            "digest": f"{self.digest:064x}",
            "elapsed_s": round(self.elapsed_s, 3),
            "counts": dict(sorted(self.counts.items())),
            "seconds": {k: round(v, 3) for k, v in sorted(self.seconds.items())},
        }

    @staticmethod
    def from_json(data: dict[str, Any]) -> Tally:
        """Return the tally that :meth:`to_json` described, or raise KeyError, TypeError or ValueError."""
        return Tally(
            int(data["cases"]), [int(i) for i in data["undigested"]], [int(i) for i in data["errors"]],
            int(data["executed"]), int(data["digest"], 16), float(data["elapsed_s"]),
            Counter({str(k): int(v) for k, v in data["counts"].items()}),
            Counter({str(k): float(v) for k, v in data["seconds"].items()}),
        )  # fmt: skip


def digest_of(index: int, digest: str) -> int:
    """Return the summand of case ``index`` in the digest of a campaign."""
    return int.from_bytes(hashlib.sha256(f"{index}:{digest}".encode()).digest(), "big")


def summary_lines(tally: Tally, title: str, places: Sequence[str] = ()) -> list[str]:
    """Return the summary of a campaign as lines; ``places`` are where kept findings lie."""
    findings = tally.of_kind("finding")
    rate = tally.cases / tally.elapsed_s if tally.elapsed_s else 0.0
    total = sum(tally.seconds[p] for p in _PHASES) or 1
    lines = [title, ""]

    def row(name: str, value: str) -> None:
        lines.append(f"  {name:<14} {value}")

    row("cases", f"{tally.cases:,} in {tally.elapsed_s:.1f} s, {rate:.1f}/s")
    if tally.executed:
        row("executed", f"{tally.executed:,} units of fuel")
    runs = {name: n for name, n in tally.of_kind("run").items() if name != "case"}
    if compared := tally.of_kind("compared"):
        row("checks", "  ".join(filter(None, (_shares(compared), _shares({f"{k} runs": n for k, n in runs.items()})))))
    for n, (name, cases) in enumerate(tally.of_kind("off").items()):
        row("" if n else "checks off", f"{name} ({cases:,} cases)")
    for n, (name, cases) in enumerate(tally.of_kind("passed").items()):
        row("" if n else "passed over", f"{name} ({cases:,} cases)")
    row("time", "  ".join(f"{p} {100 * tally.seconds[p] / total:.0f}%" for p in _PHASES))
    row("outcomes", _shares(tally.of_kind("outcome")))
    row("traps", _shares(tally.of_kind("trap")) or "none")
    for kind in ("inconclusive", "unsupported"):
        if (share := tally.percent(kind)) or kind == "inconclusive":
            row(kind, f"{share:.2f}%  {_shares(tally.of_kind(kind))}".rstrip())
    if tally.undigested:
        row("", f"not in the digest: cases {', '.join(map(str, tally.undigested[:10]))}")
    if notes := tally.of_kind("note"):
        row("tolerated", _shares(notes))
        lines += [f"  {'':<14}   {name}: {TOLERANCES.get(name, '')}" for name in notes]
    row("known", _shares(tally.of_kind("divergence")) or "no registered divergence met")
    row("findings", f"{sum(findings.values())} of {len(findings)} signatures" if findings else "0")
    lines += [f"  {'':<14}   {n} x {name}" for name, n in findings.items()]
    lines += [f"  {'':<14}   {place}" for place in places]
    row("harness errors", str(len(tally.errors)))
    row("digest", f"{tally.digest:064x}")
    return lines


def _shares(counts: dict[str, int]) -> str:
    shown = [f"{name} {n:,}" for name, n in list(counts.items())[:MOST]]
    return "  ".join([*shown, f"and {len(counts) - MOST} more"] if len(counts) > MOST else shown)


def show_step(step: Step) -> str:
    """Return a step of a plan as one line."""
    place = f"{step.get('instance')}.{step.get('export')}"
    if step.kind == "call":
        args = step["args"]  # of a plan that may be wrong
        shown = map(show_value, args) if isinstance(args, (list, tuple)) else [repr(args)]
        return f"call {place}({', '.join(shown)})"
    if step.kind == "instantiate":
        return f"instantiate {step['instance']} from module {step['module']}"
    if step.kind == "set":
        return f"set {place} = {show_value(step['value'])}"
    rest = " ".join(f"{k}={v}" for k, v in step.args.items() if k not in ("instance", "export"))
    return f"{step.kind} {place if step.get('export') else ''} {rest}".replace("  ", " ").strip()


def renderings(case: Case) -> dict[str, str]:
    """Return the texts for the reader that lie beside a case: modules that decode as text, and the finding."""
    texts = {f"modules/{name}.wat": module_text(wasm) for name, wasm in case.plan.modules.items()}
    texts["finding.md"] = finding_text(case)
    return texts


def module_text(wasm: bytes) -> str:
    """Return a module as text, or a comment that says why there is none."""
    try:
        return print_module(decode(wasm, EXECUTED))
    except WasmError as e:
        return f";; no text: {e}\n"


def finding_text(case: Case) -> str:
    """Return a finding as Markdown."""
    if case.finding is None:
        return f"# A case without a finding\n\n{_steps(case.plan, -1)}"
    f, (left, right) = case.finding, (*case.oracles, "?", "?")[:2]
    lines = [
        f"# {f.signature}",
        "",
        f"Rule {f.rule}: {RULES.get(f.rule, 'unknown rule')}.  First divergence at step {f.step}, {f.what}:",
        "",
        "| oracle | has |",
        "|---|---|",
        f"| {left} | `{_cell(f.left)}` |",
        f"| {right} | `{_cell(f.right)}` |",
        "",
        "Run it again with `wfuzz repro DIR`, make it small with `wfuzz reduce DIR`, where DIR is this directory.",
    ]
    if {"seed", "index", "profile"} <= set(case.provenance):
        p = case.provenance
        run = f"wfuzz run --seed {p['seed']} --profile {p['profile']} --first {p['index']} --cases 1"
        lines.append(f"It is case {p['index']} of its campaign: `{run}`.")
    return "\n".join([*lines, "", _steps(case.plan, f.step)])


def _steps(plan: Plan, marked: int) -> str:
    lines = []
    for name, host in plan.hosts.items():
        actions = "; ".join(" ".join(map(str, a)) for a in host.actions)
        lines.append(f"host {name}({', '.join(host.params)}) -> ({', '.join(host.results)}): {actions}")
    lines += [f"{'->' if i == marked else '  '} {i:3} {show_step(step)}" for i, step in enumerate(plan.steps)]
    return "\n".join(["```", *lines, "```", ""])


def _cell(text: str) -> str:
    return text.replace("`", "'").replace("|", "/").replace("\n", " ")
