"""Gate: does our debugger show the frames that real engines have; ``python -m ci.gates.debugging``.

Random programs run three times: in our engine, where the cursor shows every frame at each stop; in wasmtime, which
tells where the frames of a trap stood; and in wasmtime as an instrumented twin, which tells locals and operands of
every frame too (``harness.checks.twins``).  A stop is a call of the host, a trap, or an exception that leaves.  Places
must be the same and values the same to the bit, of all activations.  Where wasmtime shows a wrong place, an entry of
``ci.gates.places`` must say why.  Program ``i`` is a function of the seed and ``i`` alone; ``--only I`` shows it.  The
exit status is the verdict: 0 clean, 1 differences.

wasmtime must not optimise: with its default a trap after an ``if`` is reported at the ``if``.  With ``--oracle ID`` it
is another engine that tells where the frames of a trap stood, and no more (``ci.gates.backtraces``).
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from ci.gates.backtraces import (
    compare_places,
    judge_backtraces,
    judge_range,
    lack_of,
    program_for,
    records_of,
    shown_by_cursor,
)
from ci.gates.chunks import Progress, each, ranges
from ci.gates.shapes import shape
from engine.binary import decode
from engine.features import EXECUTED, FEATURES
from engine.text.printer import print_module
from generators.module import generate
from generators.profile import PRESETS
from generators.source import Source
from harness.checks import debug, shadow
from harness.shim import connect
from oracles.adapters.wasmtime import WasmtimeSession
from oracles.adapters.wasmtime_api import Setup, engine_features, load

if TYPE_CHECKING:
    from collections.abc import Iterable

    from oracles.plan import Plan

CHUNK = 50
SHOWN = 20  # differences
VARIANTS = ("none", "", "pulley")  # of twins, in turn: values are the same however the engine compiles
SHAPED = 3  # one program in so many is of ``ci.gates.shapes``


class Verdict(NamedTuple):
    """What one program came to: counts, and the first difference."""

    counts: Counter[str]
    difference: str | None


def program(seed: int, i: int) -> Plan:
    """Return program ``i``."""
    source = Source.fresh("debugging", seed, i)
    if i % SHAPED == 0:
        return shape(source)
    available = frozenset(FEATURES[name] for name in engine_features("pulley" if _twin_variant(i) == "pulley" else ""))
    standard = PRESETS["standard"]
    profile = replace(standard, features=standard.features & available, start_percent=0, hosts=(1, 3))
    return generate(source, profile).plan


def _twin_variant(i: int) -> str:
    return VARIANTS[i // SHAPED % len(VARIANTS)]


def judge(plan: Plan, variant: str) -> Verdict:
    """Run a program in three ways and compare what is shown."""
    derived = shadow.derive(plan)
    assert derived is not None  # the plans of generators have one module
    twin_plan, twin = derived
    traced_plan = debug.derive(plan)
    counts: Counter[str] = Counter(programs=1)
    shown = shown_by_cursor(plan)
    told = records_of(_wasmtime(twin_plan, variant), twin_plan)
    traced = records_of(_wasmtime(traced_plan, "none"), traced_plan)
    found = shadow.disagreement(twin_plan, shown, twin, told, counts)
    if found is not None:
        return Verdict(counts, f"step {found.step}, {found.what}: {found.left}, in the twin {found.right}")
    return Verdict(counts, compare_places("wasmtime", plan, shown, traced, counts))


def _wasmtime(plan: Plan, variant: str) -> WasmtimeSession:
    return WasmtimeSession(plan, load(), Setup(variant, frozenset(plan.features), plan.nan == "engine"))


@dataclass
class Tally:
    """What programs came to: counts, and by program how it differs or what went wrong with it."""

    counts: Counter[str] = field(default_factory=Counter)
    found: list[tuple[int, str]] = field(default_factory=list)

    def take(self, i: int, counts: Counter[str], difference: str | None) -> None:
        """Add what program ``i`` came to."""
        self.add(Tally(counts, [] if difference is None else [(i, difference)]))

    def add(self, other: Tally) -> None:
        self.counts.update(other.counts)
        self.found += other.found


def run_chunk(seed: int, programs: Iterable[int]) -> Tally:
    """Return how programs fared; what escapes is a difference of its program."""
    tally = Tally()
    for i in programs:
        try:
            tally.take(i, *judge(program(seed, i), _twin_variant(i)))
        except Exception as e:  # noqa: BLE001  an engine's fault or ours: either way to be told
            tally.found.append((i, f"{type(e).__name__}: {e}"))
    return tally


def run_backtraces(oracle_id: str, seed: int, programs: range) -> Tally:
    """Return how programs fared on an engine that shows backtraces alone."""
    return Tally(*judge_range(oracle_id, seed, programs.start, programs.stop))


def _show(args: argparse.Namespace) -> None:
    """Print one program and its verdict."""
    if args.oracle:
        with connect(args.oracle) as oracle:
            plan = program_for(oracle, args.seed, args.only)
            verdict: Any = judge_backtraces(plan, oracle)
    else:
        plan = program(args.seed, args.only)
        verdict = judge(plan, _twin_variant(args.only))
    (wasm,) = plan.modules.values()
    print(print_module(decode(wasm, EXECUTED)), verdict, sep="\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--programs", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--oracle", metavar="ID", help="an engine that shows backtraces, in place of wasmtime")
    parser.add_argument("--only", type=int, metavar="I", help="show one program and its verdict")
    args = parser.parse_args()
    if args.oracle and (lack := lack_of(args.oracle)):
        parser.error(lack)
    if args.only is not None:
        _show(args)
        return 0
    tally = Tally()
    is_interrupted = not _run(args, tally)
    command = f"python -m ci.gates.debugging {f'--oracle {args.oracle} ' * bool(args.oracle)}--seed {args.seed} --only"
    for i, what in tally.found[:SHOWN]:
        print(f"  {i}: {what[:600]}  ({command} {i})")
    counts = tally.counts
    print(f"debugging: {', '.join(f'{n:,} {what}' for what, n in counts.items())}; {len(tally.found)} differences")
    if is_interrupted and not tally.found:
        return 130
    seen = counts["backtraces"] and (args.oracle or counts["host stops"])
    return 1 if tally.found or not seen else 0


def _run(args: argparse.Namespace, tally: Tally) -> bool:
    """Add to a tally how all programs fared; return whether that was to the end."""
    progress = Progress("debugging", args.programs)

    def tell() -> None:
        counts = tally.counts
        progress.tell(
            counts["programs"],
            f"{counts['backtraces']:,} traps, {counts['host stops']:,} host stops, {len(tally.found)} differences",
        )

    work = partial(run_backtraces, args.oracle, args.seed) if args.oracle else partial(run_chunk, args.seed)
    try:
        with contextlib.closing(each(work, ranges(0, args.programs, CHUNK), args.jobs, tell)) as results:
            for programs, some in results:
                tally.add(Tally(found=[(programs[0], "the process died")]) if some is None else some)
                tell()
    except KeyboardInterrupt:
        return False
    finally:
        progress.end()
    return True


if __name__ == "__main__":
    sys.exit(main())
