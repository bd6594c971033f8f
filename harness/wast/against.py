"""The scripts on two engines at once: after every command both must have the same outcome, state and fuel.

Each script is assembled once, its schedule made a watched plan (``harness.wast.watched``), that plan run by both
engines and their records compared (``harness.wast.settle``).  With the check ``resume`` it runs a second time with all
calls in slices, in fresh stores and by parts that have nothing to do with each other; then each engine's two runs must
agree too.  A mismatch becomes an ordinary case: what of the plan its group of instances needs up to there.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

from engine.errors import MalformedError
from engine.execution.fuel_models import MODELS
from engine.features import WASM_3
from harness.case import Case, Finding, save_case
from harness.checks.abilities import reasons_off, reference_for
from harness.compare import Differ
from harness.report import renderings
from harness.runner import Runner
from harness.shim import connect
from harness.triage import KEEP, signature, slug
from harness.wast.reader import read_script
from harness.wast.runner import BUDGET, AssemblerError, assemble
from harness.wast.schedule import schedule
from harness.wast.settle import renumbered, rules_of_slices, settle
from harness.wast.spectest import HOSTS, SILENT_PARTS, parts_for
from harness.wast.suite import features_of
from harness.wast.watched import watched
from oracles.adapter import ALL
from oracles.process import Oracle

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from harness.compare import Side
    from harness.divergences import Registry
    from harness.runner import Run
    from harness.wast.settle import Settled
    from harness.wast.suite import SuiteFile
    from harness.wast.watched import Watched
    from oracles.outcome import Record
    from oracles.plan import Plan

__all__ = ["CHECKS", "Against", "Compared", "Mismatch", "Setting", "setting_for"]

CHECKS = ("results", "state", "fuel", "resume")
ASSEMBLER = "reference"
_MODELS = {str(model): model for model in MODELS.values()}
_SAVING = threading.Lock()  # threads share the directory of cases


@dataclass(frozen=True, slots=True)
class Setting:
    """What is compared: the reference side first, checks out of CHECKS; ``out`` is where mismatches are saved."""

    oracles: tuple[str, str]
    versions: tuple[str, str]
    checks: tuple[str, ...]
    registry: Registry
    out: Path | None = None


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One difference between two runs, of which command and in which run; ``run`` is ``straight``, say.

    ``divergence`` names the registered one that explains it, ``place`` is where it was saved as a case.
    """

    file: str
    line: int
    kind: str
    run: str
    oracles: tuple[str, str]
    verdict: Differ
    signature: str
    divergence: str = ""
    place: str = ""


@dataclass(slots=True)
class Compared:
    """What came of one script; ``counts`` are of what was compared, ``left_out`` by rule of what was not."""

    file: SuiteFile
    counts: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    mismatches: list[Mismatch] = field(default_factory=list)
    problem: str = ""


def setting_for(
    engine: str, other: str, asked: Collection[str], registry: Registry, out: Path | None = None
) -> tuple[Setting, dict[str, str]]:
    """Return the setting for two engines by id, and the checks that cannot be made, each with its reason.

    A reference engine that counts in no one's way is the one that counts as the other does.
    """
    checks = frozenset({"results", *asked})
    with connect(other, budget=BUDGET) as right:
        counts = checks & {"fuel", "resume"} and "set_fuel" in right.description.steps
        if engine == ASSEMBLER and counts:
            engine = reference_for(right.description.fuel_model)
        with connect(engine, budget=BUDGET) as left:
            described = left.description, right.description
            off = reasons_off(*described, checks)
    versions = (str(described[0].version), str(described[1].version))
    made = tuple(check for check in CHECKS if check in checks and check not in off)
    return Setting((engine, other), versions, made, registry, out), off


class _Left:
    """The left side of a runner as an assembler."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.id = runner.oracles[0].id

    def run(self, plan: Plan) -> Sequence[Record]:
        return self.runner.run(plan, (self.id,)).sides[0].records


class Against:
    """Two engines and an assembler; a context manager that owns the workers, to be used in one thread."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.runner = Runner([connect(o, budget=BUDGET) for o in setting.oracles], setting.registry)
        is_ours = setting.oracles[0].partition(":")[0] == ASSEMBLER
        self.assembler = _Left(self.runner) if is_ours else Oracle(ASSEMBLER, budget=BUDGET)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.runner.close()
        if isinstance(self.assembler, Oracle):
            self.assembler.close()

    def run(self, file: SuiteFile) -> Compared:
        """Return what came of comparing one file."""
        result = Compared(file)
        try:
            script = read_script(file.data)
            binaries, _ = assemble(script, self.assembler, SILENT_PARTS)
        except (MalformedError, AssemblerError) as e:
            result.problem = str(e)
            return result
        common = set.intersection(*(set(d.features) for d in self.runner.descriptions()))
        features = _features(file.folder, common)
        parts = parts_for(common, features, SILENT_PARTS)
        hosts = HOSTS
        if "fuel" in self.setting.checks:
            hosts = {name: replace(host, actions=(*host.actions, ("fuel",))) for name, host in HOSTS.items()}
        plan = schedule(script, binaries, parts, features, hosts)
        state, fuel = (check in self.setting.checks for check in ("state", "fuel"))
        whole = watched(plan, state=state, fuel=fuel, nan=self._nan())
        result.counts["commands"] = len(script.commands)
        result.counts["commands of text alone"] = sum(check.step is None for check in plan.checks)
        straight = self._compare(result, whole, "straight")
        if "resume" in self.setting.checks and not result.problem:
            for part, steps in whole.parts():
                self._agree(result, part, steps, straight, self._compare(result, part.sliced(), "in slices"))
        return result

    def _nan(self) -> str:
        """Return the strictest NaN profile that both engines keep."""
        offered = [set(d.nan) for d in self.runner.descriptions()]
        return next(nan for nan in ("engine", "none") if all(nan in o for o in offered))

    def _compare(self, result: Compared, whole: Watched, name: str) -> Run:
        """Run a plan on both sides, add what came of it, and return the run."""
        run = self.runner.run(whole.plan, deadline_s=whole.plan.limits.step_ms / 1000)
        settled = settle(whole, run.sides[0], run.sides[1])
        _count(result, whole, run, settled, name)
        for verdict in settled.mismatches:
            self._mismatch(result, whole, run.sides, verdict, name)
        return run

    def _agree(self, result: Compared, part: Watched, steps: Sequence[int], straight: Run, slices: Run) -> None:
        """Compare what each engine's straight run and its run in slices came to in a part: it must be the same (R9)."""
        for left, right in zip(straight.sides, slices.sides, strict=True):
            known = [replace(left.records[i], step=at) for at, i in enumerate(steps) if i < len(left.records)]
            again = [replace(r, step=r.step - 1) for r in right.records[1:]]
            one, two = (
                replace(side, records=[_seen_in(part, record) for record in records])
                for side, records in ((left, known), (right, again))
            )
            rules = rules_of_slices(_MODELS.get(left.fuel_model))
            settled = settle(part, one, two, rules)
            if settled.mismatches:
                one, two = (replace(side, records=renumbered(side.records)) for side in (one, two))
                settled = settle(part, one, two, rules)
            result.counts["steps in slices as straight"] += len(two.records) - len(settled.skipped)
            result.left_out.update({rule: n for rule, n in settled.left_out.items() if rule in rules})
            for verdict in settled.mismatches:
                self._mismatch(result, part, (one, two), replace(verdict, rule="R9"), "straight and in slices")

    # mismatches

    def _mismatch(self, result: Compared, whole: Watched, sides: Sequence[Side], verdict: Differ, name: str) -> None:
        """Add a mismatch, saved as a case if it is between two engines and not registered."""
        command = whole.commands[verdict.step]
        left, right = sides
        oracles = (left.oracle, right.oracle)
        text = signature(*oracles, verdict)
        known = self.setting.registry.explain(whole.excerpt(verdict.step), _silent(left), _silent(right), verdict)
        place = ""
        if known is None and self.setting.out is not None and left.oracle != right.oracle:
            place = self._save(result, whole, verdict, text)
        line, kind = (0, "end") if command is None else (command.line, command.kind)
        divergence = "" if known is None else known.id
        result.mismatches.append(
            Mismatch(result.file.name, line, kind, name, oracles, verdict, text, divergence, place)
        )

    def _save(self, result: Compared, whole: Watched, verdict: Differ, text: str) -> str:
        """Save the mismatch as a case that shows it, as small as its group of instances; return where, or ""."""
        assert self.setting.out is not None
        folder = self.setting.out / slug(text)
        if len(list(folder.glob("*"))) >= KEEP:
            return ""
        for plan in (whole.excerpt(verdict.step), replace(whole.plan, steps=whole.plan.steps[: verdict.step + 2])):
            shown = self._shown(plan)
            if shown is not None and shown[0] == text:
                break
        else:
            return ""
        command = whole.commands[verdict.step]
        origin = f"{result.file.name}:{0 if command is None else command.line}"
        versions = dict(zip(self.setting.oracles, self.setting.versions, strict=True))
        provenance = {"origin": origin, "versions": versions}
        case = Case(plan, provenance, self.setting.oracles, None, shown[1])
        with _SAVING:
            free = [folder / str(n) for n in range(KEEP) if not (folder / str(n)).exists()]
            return str(save_case(case, free[0], renderings(case))) if free else ""

    def _shown(self, plan: Plan) -> tuple[str, Finding] | None:
        """Return signature and finding of what a plan shows, or None."""
        (judgement,) = self.runner.judge(self.runner.run(plan))
        found = judgement.comparison.verdict
        if not isinstance(found, Differ) or judgement.signature is None:
            return None
        finding = Finding(judgement.signature, found.rule, found.step, found.what, found.left, found.right)
        return judgement.signature, finding


def _count(result: Compared, whole: Watched, run: Run, settled: Settled, name: str) -> None:
    """Add what was compared in one run and what was left out."""
    ends = min(len(side.records) for side in run.sides)
    done = [i for i in range(ends) if i not in settled.skipped]
    result.counts[f"commands {name}"] += sum(whole.decides.get(i, 0) for i in done)
    result.counts["states"] += sum(_shows_state(run, i) for i in done)
    result.counts.update(settled.compared)
    result.left_out.update(settled.left_out)
    result.problem = result.problem or settled.lost


def _shows_state(run: Run, i: int) -> bool:
    """Return whether both sides showed an instance in step ``i``."""
    return all((side.records[i].data or {}).get("instances") for side in run.sides)


def _silent(side: Side) -> Side:
    """Return a side without its records, which are not those of an excerpt."""
    return replace(side, records=())


def _features(folder: str, common: set[str]) -> tuple[str, ...]:
    """Return what the plans of a folder ask for: no more than both have, where one lacks something of the standard."""
    features = features_of(folder)
    has_all = {feature.name for feature in WASM_3} <= common
    return features if ALL not in features or has_all else tuple(sorted(common))


def _seen_in(part: Watched, record: Record) -> Record:
    """Return the record of an observation of everything with the instances of a part alone."""
    step = part.plan.steps[record.step]
    if step.kind != "observe" or step.get("instances") is not None or record.data is None:
        return record
    own = frozenset[str]().union(*part.groups)
    seen = {name: state for name, state in record.data["instances"].items() if name in own}
    return replace(record, data={**record.data, "instances": seen})
