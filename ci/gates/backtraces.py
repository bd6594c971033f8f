"""Backtraces of an engine that shows no more than those, against our cursor: ``ci.gates.debugging --oracle ID``.

The engine runs the plan as in a campaign, through the shim if it needs one, and its records tell where the frames of a
trap stood.  Our engine shows its own by the cursor, which knows nothing of the records' frames.  Programs have what the
engine has; instructions that the registry of divergences says it computes wrongly are not chosen.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from ci.gates.places import Code, explain
from ci.gates.shapes import shape
from engine.binary import decode
from engine.features import EXECUTED
from generators.module import generate
from generators.profile import PRESETS
from generators.source import Source
from harness import baselines
from harness.cases import fit_profile
from harness.checks import debug, shadow
from harness.divergences import Registry, load
from harness.runner import side_of
from harness.shim import connect
from oracles.adapter import OracleId, Unavailable
from oracles.adapters.reference import COUNT, ReferenceSession
from oracles.outcome import Exhausted, Record, Trapped, Unsupported

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.runner import OracleLike
    from oracles.adapter import Session
    from oracles.plan import Plan

__all__ = [
    "compare_places", "judge_backtraces", "judge_range", "lack_of", "program_for", "records_of", "shown_by_cursor",
    "wrong_rows",
]  # fmt: skip

SHAPED = 2  # one program in so many is of ``ci.gates.shapes``
_STATE = frozenset({"R2", "R3", "R4", "R5"})  # rules about what a program computes


@cache
def _registry() -> Registry:
    return load(baselines() / "divergences.toml")


def wrong_rows(oracle: OracleLike) -> frozenset[str]:
    """Return the instructions that the registry says this engine computes wrongly."""
    side = side_of(oracle, ())
    entries = (e for e in _registry().entries if e.rules & _STATE and e.names(side))
    return frozenset(row for entry in entries for row in entry.rows)


def lack_of(oracle_id: str) -> str | None:
    """Return why an engine cannot be held against our frames, if it cannot."""
    try:
        with connect(oracle_id) as oracle:
            exact = "frames" in oracle.description.can
    except Unavailable as e:
        return str(e)
    return None if exact else f"{oracle_id}: its frames are not exact"


def program_for(oracle: OracleLike, seed: int, i: int) -> Plan:
    """Return program ``i`` for an engine."""
    source = Source.fresh("backtraces", seed, i)
    without = wrong_rows(oracle) | frozenset(oracle.description.without)
    if i % SHAPED == 0:
        plan = shape(source, oracle.description.features, without, only_null=True)
        return replace(plan, nan=oracle.description.nan[0])
    profile = fit_profile(PRESETS["standard"], [oracle.description])
    profile = replace(profile, without=profile.without | without, start_percent=0, hosts=(1, 3))
    return generate(source, profile).plan


def records_of(session: Session, plan: Plan) -> list[Record]:
    """Run a plan and return its records."""
    try:
        return [Record(n, *session.run(step)) for n, step in enumerate(plan.steps)]
    finally:
        session.close()


def shown_by_cursor(plan: Plan) -> list[Record]:
    """Return the records of a plan in our engine, which show all frames; there is one before those of the plan."""
    shown = shadow.with_values(plan)
    return records_of(ReferenceSession(shown, None, COUNT), shown)


def judge_backtraces(plan: Plan, oracle: OracleLike) -> tuple[Counter[str], str | None]:
    """Run a program in our engine and another; return counts and how their backtraces differ, if they do."""
    counts: Counter[str] = Counter(programs=1)
    traced = oracle.run(debug.derive(plan))
    return counts, compare_places(OracleId.parse(oracle.id).base, plan, shown_by_cursor(plan), traced, counts)


def compare_places(
    engine: str, plan: Plan, shown: Sequence[Record], traced: Sequence[Record], counts: Counter[str]
) -> str | None:
    """Return how places of the frames of traps differ, if nothing explains it; up to a limit of either engine."""
    (wasm,) = plan.modules.values()
    code = Code(decode(wasm, EXECUTED))
    for one, two in zip(shown, traced, strict=False):
        if isinstance(one.outcome, Exhausted) or isinstance(two.outcome, Exhausted):
            counts["programs ended by a limit"] += 1
            return None
        if isinstance(two.outcome, Unsupported):
            counts["programs cut at a step that the engine cannot do"] += 1
            return None
        if type(one.outcome) is not type(two.outcome):
            return f"step {one.step} ended as {one.outcome}, in {engine} as {two.outcome}"
        if isinstance(one.outcome, Trapped) and "frames" in (one.data or {}):
            found = _compare_trap(engine, code, one, two, counts)
            if found is not None:
                return f"step {one.step} ({one.outcome.trap}): {found}"
    return None


def _compare_trap(engine: str, code: Code, one: Record, two: Record, counts: Counter[str]) -> str | None:
    theirs = (two.data or {}).get("frames")
    if theirs is None:
        return f"{engine} showed no frames"
    ours = [(frame["func"], frame["offset"]) for frame in (one.data or {})["frames"][: debug.FRAMES]]
    counts["backtraces"] += 1
    counts["places"] += len(ours)
    return explain(engine, code, ours, [(x, at) for x, at in theirs], counts)


def judge_range(oracle_id: str, seed: int, start: int, end: int) -> tuple[Counter[str], list[tuple[int, str]]]:
    """Return the counts of programs ``start <= i < end`` in an engine, and the differences."""
    counts: Counter[str] = Counter()
    found = []
    with connect(oracle_id) as oracle:
        for i in range(start, end):
            some, difference = judge_backtraces(program_for(oracle, seed, i), oracle)
            counts += some
            if difference is not None:
                found.append((i, difference))
    return counts, found
