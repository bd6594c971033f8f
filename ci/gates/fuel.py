"""Fuel, to the unit: every call of random modules with random budgets, on our engine and on others that count alike.

Half of the modules come from the generator, half from ``ci.gates.lengths``, whose bodies are full of bulk operators.
Each module first runs on our engine alone, in slices of one unit, which shows where fuel is checked.  Then it runs on
both engines some times in one store, each instantiation and call with a budget of its own: more than enough, random, or
within two of what was spent at a check point.  All is compared: outcomes, the fuel left after them and inside of host
calls, and the visible state.  Where a stack overflows, or at a divergence that the registry knows, nothing more of that
run is compared, which is counted.

    python -m ci.gates.fuel --modules 100 --budgets 8 --engines wasmtime,wasmtime:none,wasmtime:pulley,wasmtime:winch
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from ci.gates.chunks import Progress, each, ranges
from ci.gates.lengths import lengths_plan
from engine.binary import decode
from engine.execution.fuel_models import MODELS
from engine.runtime.store import Config, Store
from engine.text.printer import print_module
from generators.profile import PRESETS
from generators.source import Source
from harness import baselines
from harness.cases import fit_profile, make
from harness.checks.dressing import LARGE, with_actions
from harness.compare import Differ, Incomparable, Side, compare
from harness.divergences import Registry
from harness.divergences import load as load_registry
from oracles.adapter import OracleId, Unavailable, load
from oracles.adapters.reference import ReferenceSession
from oracles.outcome import Blocked, Exhausted, Record, Rejected, Returned, Trapped
from oracles.plan import Step
from oracles.process import Oracle
from oracles.side import ENVIRONMENTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from engine.execution.fuel import FuelModel
    from oracles.adapter import Description, Session
    from oracles.outcome import Outcome
    from oracles.plan import Plan

__all__ = ["Tally", "check_module", "main", "plan_of"]

ENGINES = "wasmtime,wasmtime:none,wasmtime:pulley,wasmtime:winch"
PRESET = "standard"
CHUNK = 20
SHOWN = 20
LIMIT_S = 60.0  # for one module on one engine
_METERED = ("instantiate", "call")


@dataclass
class Tally:
    """What became of the modules on one engine: calls by outcome, and mismatches with the index of the module."""

    modules: int = 0  # of which anything could be compared
    tried: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)  # modules not compared to their end, by reason
    seen: int = 0  # fuel that was compared: after calls and inside of host calls
    failures: list[tuple[int, str]] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        self.modules += other.modules
        self.tried += other.tried
        self.outcomes += other.outcomes
        self.left_out += other.left_out
        self.seen += other.seen
        self.failures += other.failures


# -- engines


@dataclass(frozen=True)
class Engine:
    """An engine, in this process or in its side environment, and the model by which ours counts like it."""

    run: Callable[[Plan], Sequence[Record]]
    description: Description
    model: FuelModel


@cache
def engine(oracle_id: str) -> Engine:
    """Return an engine that counts by a model of ours, or raise Unavailable."""
    run: Callable[[Plan], Sequence[Record]]
    if OracleId.parse(oracle_id).base in ENVIRONMENTS:
        oracle = Oracle(oracle_id)
        run, description = oracle.run, oracle.description
    else:
        adapter = load(oracle_id)
        run, description = partial(_run, adapter.open), adapter.describe()
    models = {str(model): model for model in MODELS.values()}
    if description.fuel_model not in models:
        raise Unavailable(f"{oracle_id} counts fuel by no model: {description.fuel_note}")
    return Engine(run, description, models[description.fuel_model])


class _Counting(ReferenceSession):
    """Our engine, counting by a model; in slices of one unit, ``checked`` is the fuel left at each check point."""

    def __init__(self, plan: Plan, model: FuelModel, sliced: bool = False) -> None:
        super().__init__(plan, None, model)
        self.checked: list[int] = []
        if sliced:
            self.store = _Noting(self.store.config, self.checked)
            self.set_fuel(LARGE)


class _Noting(Store):
    """A store that notes what is left each time it gives fuel to execution, a unit at a time."""

    __slots__ = ("checked",)

    def __init__(self, config: Config, checked: list[int]) -> None:
        super().__init__(config)
        self.checked = checked
        self.set_fuel_interval(1)

    def inject(self, fuel: int) -> int:
        self.checked.append(fuel)
        return super().inject(fuel)


# -- plans


def plan_of(seed: int, i: int, description: Description) -> Plan | None:
    """Return plan ``i`` for an engine, whose host functions look at the fuel; None if there is none."""
    if i % 2:
        features = set(description.features)
        source = Source.fresh("lengths", seed, i)
        heap, exceptions = "gc" in features and source.chance(60), "exceptions" in features and source.chance(60)
        return lengths_plan(source, heap=heap, exceptions=exceptions, features=tuple(sorted(features)))
    profile = fit_profile(PRESETS[PRESET], [description])
    if "externref" not in description.types:
        profile = replace(profile, reference_percent=0)
    made = make(seed, i, PRESET, profile).plan
    return None if made is None else with_actions(made, dict.fromkeys(made.hosts, ("fuel",)), {})


def check_points(plan: Plan, model: FuelModel) -> dict[int, list[int]]:
    """Return what instantiations and calls have spent at their check points and in all, by step."""
    found: dict[int, list[int]] = {}
    session = _Counting(plan, model, sliced=True)
    try:
        for n, step in enumerate(plan.steps):
            session.run(Step("set_fuel", {"fuel": LARGE}))
            session.checked.clear()
            outcome, _ = session.run(step)
            if step.kind in _METERED:
                found[n] = [LARGE - left for left in (*session.checked, session.fuel())]
                if isinstance(outcome, Exhausted):
                    break
    finally:
        session.close()
    return found


def with_budgets(plan: Plan, points: dict[int, list[int]], source: Source, runs: int) -> Plan:
    """Return the plan so many times over, on fresh instances, with fuel set before each instantiation and call."""
    steps: list[Step] = []
    for _ in range(runs):
        for n, step in enumerate(plan.steps):
            if step.kind in _METERED:
                ample = step.kind == "instantiate" and source.chance(85)
                fuel = LARGE if ample else _budget(points.get(n, [0]), source)
                steps.append(Step("set_fuel", {"fuel": fuel}))
            steps.append(step)
    return replace(plan, steps=tuple(steps))


def _budget(points: Sequence[int], source: Source) -> int:
    kind = source.below(20)
    if kind < 4:
        return LARGE
    if kind < 7:
        return source.below(max(points[-1], 1) + 3)
    point = points[-1] if kind < 10 else source.choose(points)
    return max(0, point + source.choose((-1, 0, 0, 1, 2)))


# -- comparing


def _run(open_: Callable[[Plan], Session], plan: Plan) -> tuple[Record, ...]:
    session = open_(plan)
    try:
        return tuple(Record(n, *session.run(step)) for n, step in enumerate(plan.steps))
    finally:
        session.close()


def check_module(oracle_id: str, seed: int, i: int, budgets: int) -> Tally:
    """Return how module ``i`` fared."""
    tally = Tally()
    other = engine(oracle_id)
    plan = plan_of(seed, i, other.description)
    if plan is None:
        tally.left_out["not generated"] += 1
        return tally
    points = check_points(plan, other.model)
    tried = with_budgets(plan, points, Source.fresh("budgets", seed, i), budgets)
    ours = _run(partial(_Counting, model=other.model), tried)
    theirs = other.run(tried)
    model, d = str(other.model), other.description
    sides = Side("reference", ours, "reference", "", model), Side(oracle_id, theirs, d.name, d.version, model)
    comparison = compare(tried, *sides)
    verdict = comparison.verdict
    until = verdict.step if isinstance(verdict, (Differ, Incomparable)) else len(tried.steps)
    tally.seen += comparison.compared.get("fuel", 0)
    for step, record in zip(tried.steps[:until], ours, strict=False):
        if step.kind in _METERED and not isinstance(record.outcome, (Blocked, Rejected)):
            tally.outcomes[f"{step.kind}: {_word(record.outcome)}"] += 1
    tally.modules = int(tally.outcomes.total() > 0)
    if isinstance(verdict, Incomparable):
        tally.left_out[verdict.reason.partition(":")[0] if "unsupported" in verdict.reason else verdict.reason] += 1
    elif isinstance(verdict, Differ):
        known = _registry().explain(tried, *sides, verdict)
        if known is None:
            tally.failures.append((i, _shown(tried, verdict)))
        else:
            tally.left_out[f"known divergence {known.id}"] += 1
    return tally


@cache
def _registry() -> Registry:
    return load_registry(baselines() / "divergences.toml")


def _word(outcome: Outcome) -> str:
    if isinstance(outcome, Trapped):
        return f"trap: {outcome.trap}"
    if isinstance(outcome, Exhausted):
        return f"out of {outcome.resource}"
    return "returned" if isinstance(outcome, Returned) else type(outcome).__name__.lower()


def _shown(plan: Plan, verdict: Differ) -> str:
    steps = plan.steps[: verdict.step + 1]
    fuel = next((s["fuel"] for s in reversed(steps) if s.kind == "set_fuel"), None)
    calls = [s.get("export", s.kind) for s in steps if s.kind in _METERED]
    where = f"{calls[-1] if calls else ''} (step {verdict.step}, fuel {fuel})"
    return f"{verdict.rule} {verdict.what} at {where}: {verdict.left} | {verdict.right}"


# -- running


class _Late(BaseException):
    """A module takes too long."""


def _interrupt(*_: Any) -> None:
    raise _Late


def check_chunk(oracle_id: str, seed: int, budgets: int, indices: Sequence[int]) -> Tally:
    """Return how some modules fared; what escapes is a failure of the module."""
    tally = Tally()
    signal.signal(signal.SIGALRM, _interrupt)
    for i in indices:
        tally.tried += 1
        signal.setitimer(signal.ITIMER_REAL, LIMIT_S)
        try:
            tally.add(check_module(oracle_id, seed, i, budgets))
        except _Late:
            tally.left_out[f"no end in {LIMIT_S:g} s"] += 1
        except Exception as e:  # noqa: BLE001  an engine's fault or ours: either way to be told
            tally.failures.append((i, f"{type(e).__name__}: {str(e)[:300]}"))
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    return tally


def run(oracle_id: str, options: argparse.Namespace, tally: Tally) -> None:
    """Add to a tally how all modules fared on one engine, whatever ends the processes that it runs in."""
    progress = Progress(f"fuel, {oracle_id}", options.modules)

    def tell() -> None:
        progress.tell(tally.tried, f"fuel {tally.seen:,} times, {len(tally.failures)} mismatches")

    work = partial(check_chunk, oracle_id, options.seed, options.budgets)
    todo = ranges(options.start, options.modules, CHUNK)
    try:
        with contextlib.closing(each(work, todo, options.jobs, tell)) as results:
            for indices, result in results:
                died = Tally(tried=1, failures=[(indices[0], "the process died")])
                _take(tally, died if result is None else result, oracle_id, options.seed)
                tell()
    finally:
        progress.end()


def _take(tally: Tally, some: Tally, oracle_id: str, seed: int) -> None:
    for i, what in some.failures[: max(0, SHOWN - len(tally.failures))]:
        print(f"{oracle_id} module {i}: {what}  (--engines {oracle_id} --seed {seed} --only {i})", flush=True)
    tally.add(some)


def closing(tallies: dict[str, Tally]) -> Iterator[str]:
    """Yield what became of calls on each engine, then the line that says how the run went."""
    for oracle_id, tally in tallies.items():
        for what, n in sorted(tally.outcomes.items()):
            yield f"  {oracle_id} {what}: {n:,}"
        for why, n in sorted(tally.left_out.items()):
            yield f"  {oracle_id} left out, {why}: {n:,} modules"
    parts = []
    for oracle_id, t in tallies.items():
        calls, out = t.outcomes.total(), sum(n for what, n in t.outcomes.items() if what.endswith("out of fuel"))
        overflows = sum(n for why, n in t.left_out.items() if "stack" in why)
        parts.append(
            f"{oracle_id} {t.modules:,} modules of {t.tried:,}, {calls:,} calls ({out:,} out of fuel), "
            f"fuel {t.seen:,} times, {overflows:,} ended by stack overflows, {len(t.failures)} mismatches"
        )
    yield "fuel: " + "; ".join(parts)


def main(args: Sequence[str] | None = None) -> int:
    """Run the gate; the exit status is 1 if anything differs, 130 if it was interrupted."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0], prog="python -m ci.gates.fuel")
    parser.add_argument("--modules", type=int, default=100, help="on each engine  [100]")
    parser.add_argument("--start", type=int, default=0, help="index of the first module  [0]")
    parser.add_argument("--budgets", type=int, default=8, help="runs of each module  [8]")
    parser.add_argument("--engines", default=ENGINES, help=f"[{ENGINES}]")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", type=int, metavar="I", help="print one module, check it here")
    options = parser.parse_args(args)
    engines = options.engines.split(",")
    try:
        for oracle_id in engines:
            engine(oracle_id)
    except Unavailable as e:
        parser.error(str(e))
    if options.only is not None:
        return _only(engines, options)
    tallies: dict[str, Tally] = {}
    is_interrupted = False
    try:
        for oracle_id in engines:
            run(oracle_id, options, tallies.setdefault(oracle_id, Tally()))
    except KeyboardInterrupt:
        is_interrupted = True
    print("\n".join(closing(tallies)))
    if any(t.failures for t in tallies.values()):
        return 1
    return 130 if is_interrupted else 0


def _only(engines: Sequence[str], options: argparse.Namespace) -> int:
    failed = False
    for oracle_id in engines:
        plan = plan_of(options.seed, options.only, engine(oracle_id).description)
        if plan is not None:
            print(*[print_module(decode(wasm)) for wasm in plan.modules.values()], sep="\n")
        tally = check_module(oracle_id, options.seed, options.only, options.budgets)
        print(*[what for _, what in tally.failures], *closing({oracle_id: tally}), sep="\n")
        failed |= bool(tally.failures)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
