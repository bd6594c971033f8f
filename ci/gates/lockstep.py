"""Gate: engines in lock step with ours, by fuel; ``python -m ci.gates.lockstep --modules 2000 --budgets 1000``.

``--modules``: generated modules in slices, with host functions that suspend; at every pause cause, fuel and state are
compared, and our own run in slices with our straight one.  One run in four pauses at every check point.
``--budgets``: calls and instantiations that need little, each on fresh instances with every budget up to two more than
it needs: status, state and fuel.  ``--need`` says how little that is.

Each engine is compared with the reference that counts as it does.  Module ``i`` is a function of the seed and ``i``
alone.  The exit status is the verdict: 0 clean, 1 mismatches, which ``--out`` keeps as cases.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ci.gates.chunks import Progress
from engine.features import REFERENCE_TYPES
from generators.profile import PRESETS
from generators.source import Source
from harness import baselines
from harness.case import save_case
from harness.cases import Examiner, fit_profile, make
from harness.checks import exhaustion, fuel, resume
from harness.checks.abilities import arrange
from harness.checks.exhaustion import SMALL
from harness.compare import Incomparable
from harness.divergences import load
from harness.report import renderings
from harness.runner import Runner
from harness.shim import connect
from harness.triage import slug
from oracles.adapter import Unavailable
from oracles.outcome import Exhausted, TimedOut

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from harness.runner import Judgement, Run
    from oracles.plan import Plan

ENGINES = ("wasmtime", "wasmtime:pulley", "wasmtime:winch")
AT_EVERY = 4  # of so many runs one pauses at every check point
PARTLY = frozenset({REFERENCE_TYPES})  # of which Winch compiles a part, so that it would refuse most modules
SHOWN = 20  # mismatches that are printed
INTERRUPTED = 130


class Bench:
    """Engines that count alike, and what came of comparing them."""

    def __init__(self, examiner: Examiner, out: Path | None) -> None:
        self.examiner = examiner
        self.runner = examiner.runner
        self.out = out
        self.counts: dict[str, Counter[str]] = {o.id: Counter() for o in self.runner.oracles[1:]}
        self.passed_over: Counter[str] = Counter()  # modules of which no budgets are tried, by reason
        self.mismatches = 0

    def progress(self, what: str, count: int) -> Progress:
        """Return the progress of a run."""
        return Progress(f"{what}, {' '.join(self.counts)}", count)

    def tell(self, progress: Progress, done: int) -> None:
        """Say how far a run is."""
        progress.tell(done, f"{self.mismatches} mismatches")

    def plans(self, first: int) -> Iterator[tuple[int, Plan, Source]]:
        """Yield metered plans without end, each with its index and choices."""
        index = first
        while True:
            made = make(self.examiner.seed, index, self.examiner.name, self.examiner.profile)
            if made.plan is None:
                raise RuntimeError(made.error)
            choices = Source.fresh("lockstep", self.examiner.seed, index)
            yield index, fuel.derive(made.plan, choices), choices
            index += 1

    def take(self, index: int, plan: Plan, judgements: list[Judgement], kind: str) -> None:
        """Count judgements, and keep and print what is a mismatch."""
        for judgement in judgements:
            if not judgement.is_with_itself:
                counts = self.counts[judgement.oracle]
                counts.update(judgement.comparison.compared)
                counts.update(f"times tolerated {note}" for note in judgement.comparison.notes)
                counts[kind] += 1
                counts[_came_to(judgement)] += 1
            if judgement.is_finding:
                self.mismatches += 1
                found = self.examiner.found(plan, judgement, index)
                place = ""
                if self.out is not None:
                    place = str(self.out / slug(found.signature) / f"{kind.replace(' ', '-')}-{index}")
                    with contextlib.suppress(FileExistsError):
                        save_case(found.case, place, renderings(found.case))
                if self.mismatches <= SHOWN:
                    print(f"  {kind} {index}: {found.signature} {place}".rstrip())

    def run_modules(self, count: int, first: int) -> None:
        """Run modules in slices."""
        progress = self.progress("modules", count)
        for index, plan, choices in self.plans(first):
            self.tell(progress, index - first)
            if index >= first + count:
                break
            at_every = index % AT_EVERY == 0
            sliced = resume.derive(plan, choices, at_every=at_every)
            run = self.runner.run(sliced)
            kind = "at every check point" if at_every else "at intervals"
            self.take(index, sliced, self.runner.judge(run) + self.runner.check_straight(run), kind)

    def run_budgets(self, count: int, first: int, most: int) -> None:
        """Run steps that need at most so much fuel with every budget."""
        done = 0
        progress = self.progress("budgets", count)
        for index, plan, choices in self.plans(first):
            self.tell(progress, done)
            if done >= count:
                break
            straight = self.runner.run(plan, (self.runner.oracles[0].id,))
            if _is_cut(straight):
                self.passed_over["came to a limit of the reference"] += 1
                continue
            targets = exhaustion.targets(plan, straight.sides[0].records)
            small = [t for t in targets if t.is_exact and 0 < t.need <= most]
            if not small:
                self.passed_over["need more or nothing"] += 1
                continue
            done += 1
            tried = exhaustion.plan_for(plan, target := choices.choose(small), exhaustion.every(target))
            run = self.runner.run(tried)
            for counts in self.counts.values():
                counts["budgets"] += len(exhaustion.every(target))
            self.take(index, tried, self.runner.judge(run), "cases")


def _came_to(judgement: Judgement) -> str:
    verdict = judgement.comparison.verdict
    if isinstance(verdict, Incomparable):
        return f"incomparable by {verdict.reason}"
    if judgement.divergence is not None:
        return f"known divergence {judgement.divergence.id}"
    return type(verdict).__name__


def _is_cut(run: Run) -> bool:
    return any(isinstance(r.outcome, (Exhausted, TimedOut)) for r in run.sides[0].records)


def benches(engines: list[str], seed: int, profile: str, out: Path | None) -> Generator[Bench, None, None]:
    """Yield the benches of engines, one after the other; each ends with the next."""
    registry = load(baselines() / "divergences.toml")
    with contextlib.ExitStack() as opened:
        described = {}
        for engine in engines:
            oracle = connect(engine)
            opened.callback(oracle.close)
            described[engine] = oracle.description
        groups = arrange(described, frozenset({"fuel", "resume"}))
    for group in groups:
        with Runner([connect(oracle) for oracle in group], registry) as runner:
            fitted = fit_profile(PRESETS[profile], runner.descriptions())
            features = fitted.features - (PARTLY if any(o.endswith(":winch") for o in group) else frozenset())
            examiner = Examiner(runner, seed, profile, replace(fitted, features=features))
            off = {
                oracle: reasons
                for oracle, reasons in examiner.course.off.items()
                if {"fuel", "resume"} & reasons.keys()
            }
            if off:
                raise SystemExit(f"not in lock step: {off}")
            yield Bench(examiner, out)


def report(what: str, bench: Bench) -> None:
    """Print a line for each engine."""
    for oracle, counts in bench.counts.items():
        said = ", ".join(f"{counts[k]:,} {k}" for k in sorted(counts) if counts[k])
        passed = "".join(f"; {n:,} modules {why}" for why, n in sorted(bench.passed_over.items()))
        print(f"{what}, {oracle}: {said}{passed}; {bench.mismatches} mismatches", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--modules", type=int, default=0, help="modules in slices, per engine")
    parser.add_argument("--budgets", type=int, default=0, help="small cases with every budget, per engine")
    parser.add_argument("--need", type=int, default=SMALL, help=f"fuel that a small case needs at most  [{SMALL}]")
    parser.add_argument("--engine", action="append", dest="engines", help=f"[default: {' '.join(ENGINES)}]")
    parser.add_argument("--profile", default="standard", choices=sorted(PRESETS))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="index of the first module")
    parser.add_argument("--out", type=Path, help="keep mismatches as cases in this directory")
    args = parser.parse_args()
    if not (args.modules or args.budgets):
        parser.error("say how many: --modules N, --budgets N or both")
    statuses = [0]
    try:
        for what, count in (("modules", args.modules), ("budgets", args.budgets)):
            if count and INTERRUPTED not in statuses:
                statuses.append(_run(args, what, count))
    except Unavailable as e:
        parser.error(str(e))
    return max(statuses, key=(0, INTERRUPTED, 1).index)


def _run(args: argparse.Namespace, what: str, count: int) -> int:
    """Run modules or budgets on all engines, and return the exit status."""
    compared = mismatches = 0
    is_interrupted = False
    noun = "pauses" if what == "modules" else "budgets"
    with contextlib.closing(benches(args.engines or list(ENGINES), args.seed, args.profile, args.out)) as opened:
        for bench in opened:
            try:
                if what == "modules":
                    bench.run_modules(count, args.first)
                else:
                    bench.run_budgets(count, args.first, args.need)
            except KeyboardInterrupt:
                is_interrupted = True
            report(what, bench)
            mismatches += bench.mismatches
            compared += sum(counts[noun] for counts in bench.counts.values())
            if is_interrupted:
                break
    print(f"{what}: {count:,} per engine, {compared:,} {noun}, {mismatches} mismatches")
    if mismatches or not (compared or is_interrupted):
        return 1
    return INTERRUPTED if is_interrupted else 0


if __name__ == "__main__":
    sys.exit(main())
