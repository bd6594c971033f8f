"""The order of the passes, and what a reduction hands back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from engine.binary import decode
from engine.errors import WasmError
from engine.features import EXECUTED, FEATURES
from generators.module import generate
from generators.profile import PRESETS
from harness.case import Case, Finding
from harness.checks.dressing import dressed_like
from harness.compare import Differ
from harness.reduce.bodies import count_instructions
from harness.reduce.check import BudgetSpent, Check
from harness.reduce.module import ModuleReducer
from harness.reduce.steps import reduce_steps
from harness.reduce.tape import TapeReducer

if TYPE_CHECKING:
    from generators.profile import Profile
    from generators.source import Source
    from oracles.plan import Plan

__all__ = ["TAPE_SHARE", "Reduced", "instructions_of", "reduce_case"]

TAPE_SHARE = 0.4  # of the budget, at most, for the tape


@dataclass(frozen=True, slots=True)
class Reduced:
    """``case`` is the smallest found; ``is_minimal`` says that no pass had anything left to try."""

    case: Case
    before: int
    after: int
    tries: int
    is_minimal: bool


def instructions_of(plan: Plan) -> int:
    """Return the number of instructions in the bodies of the plan's modules, as far as they decode."""
    total = 0
    for wasm in plan.modules.values():
        try:
            total += count_instructions([code.body for code in decode(wasm, EXECUTED).codes])
        except WasmError:
            continue
    return total


def profile_of(case: Case) -> Profile | None:
    """Return the profile that made the case, fitted as it was then, or None where that is not known."""
    preset = PRESETS.get(str(case.provenance.get("profile")))
    if preset is None or any(name not in FEATURES for name in case.plan.features):
        return None
    features, without = (
        frozenset(FEATURES[n] for n in case.plan.features),
        frozenset(case.provenance.get("without", ())),
    )
    return replace(preset, features=features, without=without, nan=case.plan.nan)


def reduce_case(case: Case, check: Check) -> Reduced:
    """Return the case made small, or raise CheckError where there is nothing to hold on to."""
    check.be_sure(case.plan)
    plan = _by_tape(case, check)
    is_minimal = False
    try:
        while True:
            before = plan.digest()
            plan = reduce_steps(plan, check)
            for name in plan.modules:
                reducer = ModuleReducer(plan, name, check)
                try:
                    reducer.reduce()
                finally:
                    plan = reducer.plan
            if plan.digest() == before:
                is_minimal = True
                break
    except BudgetSpent:
        pass
    small = case if plan is case.plan else case.with_plan(plan)
    small = replace(small, finding=_finding(check, small))
    return Reduced(small, instructions_of(case.plan), instructions_of(plan), check.tries, is_minimal)


def _by_tape(case: Case, check: Check) -> Plan:
    """Return the plan of the simplest tape, or the case's own plan where its tape does not rebuild it."""
    profile = profile_of(case)
    if case.tape is None or profile is None:
        return case.plan

    def build(source: Source) -> Plan:
        return dressed_like(generate(source, profile).plan, case.plan)

    part = check.share(TAPE_SHARE)
    reducer = TapeReducer(case.tape, build, part)
    if reducer.best.plan.digest() != case.plan.digest():
        return case.plan  # another version of the generator made it
    plan = reducer.reduce().plan
    check.tries += part.tries
    return plan


def _finding(check: Check, case: Case) -> Finding | None:
    """Return the finding as the reduced case shows it."""
    for judgement in check.judgements(case.plan):
        verdict = judgement.comparison.verdict
        if judgement.signature == check.signature and isinstance(verdict, Differ):
            return Finding(check.signature, verdict.rule, verdict.step, verdict.what, verdict.left, verdict.right)
    return case.finding
