"""Backtraces of an engine that shows no more than those, against our cursor: ``ci.gates.debugging --oracle ID``.

The engine runs the plan as in a campaign, through the shim if it needs one, and its records tell where the frames of a
trap stood.  Our engine shows its own by the cursor, which knows nothing of the records' frames.  Programs have what the
engine has; instructions that the registry of divergences says it computes wrongly are not chosen.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

from ci.gates.places import Code, explain
from ci.gates.shapes import shape
from ci.gates.stops import INSTANCE, TRACED, CursorSession
from engine.binary import decode
from engine.features import EXECUTED
from generators.module import generate
from generators.profile import PRESETS
from generators.source import Source
from harness import baselines
from harness.cases import fit_profile
from harness.checks import debug
from harness.checks.dressing import prologue
from harness.divergences import Registry, load
from harness.runner import side_of
from harness.shim import connect
from oracles.adapter import OracleId, Unavailable
from oracles.outcome import Exhausted, Returned, Trapped, Unsupported

if TYPE_CHECKING:
    from harness.runner import OracleLike
    from oracles.outcome import Record
    from oracles.plan import Plan

__all__ = ["judge_backtraces", "judge_range", "lack_of", "program_for", "wrong_rows"]

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


def judge_backtraces(plan: Plan, oracle: OracleLike) -> tuple[Counter[str], str | None]:
    """Run a program in our engine and another; return counts and how their backtraces differ, if they do."""
    counts: Counter[str] = Counter(programs=1)
    session = CursorSession(plan)
    try:
        return counts, _compare(plan, session, oracle, counts)
    finally:
        session.close()


def _compare(plan: Plan, session: CursorSession, oracle: OracleLike, counts: Counter[str]) -> str | None:
    code = Code(decode(plan.modules[INSTANCE], EXECUTED))
    dressed = debug.derive(plan)
    records = oracle.run(dressed)[len(prologue(dressed)) :]
    for number, (step, record) in enumerate(zip(plan.steps, records, strict=False)):
        session.stops.clear()
        outcome, _ = session.run(step)
        if isinstance(outcome, Exhausted) or isinstance(record.outcome, Exhausted):
            counts["programs ended by a limit"] += 1
            return None
        if isinstance(record.outcome, Unsupported):
            counts["programs cut at a step that the engine cannot do"] += 1
            return None
        if type(outcome) is not type(record.outcome):
            return f"step {number} ended as {outcome}, in {oracle.id} as {record.outcome}"
        if step.kind == "instantiate" and not isinstance(outcome, Returned):
            counts["programs without an instance"] += 1
            return None
        found = _compare_trap(session, record, OracleId.parse(oracle.id).base, code, counts)
        if found is not None:
            return f"step {number} ({record.outcome.trap}): {found}"
    return None


def _compare_trap(session: CursorSession, record: Record, engine: str, code: Code, counts: Counter[str]) -> str | None:
    if not isinstance(record.outcome, Trapped):
        return None
    if not session.stops or session.stops[-1].cause != "trap":
        return "our debugger showed no trap"
    shown: Any = (record.data or {}).get("frames")
    if shown is None:
        return f"{engine} showed no frames"
    frames = session.stops[-1].frames
    places = [(frame.funcidx, frame.offset) for frame in frames[:TRACED]]
    counts["trap stops"] += 1
    counts["frames"] += len(places)
    counts["deepest"] = max(counts["deepest"], len(frames))
    return explain(engine, code, places, [(x, at) for x, at in shown], counts)


def judge_range(oracle_id: str, seed: int, start: int, end: int) -> tuple[Counter[str], list[tuple[int, str]]]:
    """Return the counts of programs ``start <= i < end`` in an engine, and the differences."""
    counts: Counter[str] = Counter()
    found = []
    with connect(oracle_id) as oracle:
        for i in range(start, end):
            some, difference = judge_backtraces(program_for(oracle, seed, i), oracle)
            deepest = max(counts["deepest"], some["deepest"])
            counts += some
            counts["deepest"] = deepest
            if difference is not None:
                found.append((i, difference))
    return counts, found
