"""``wfuzz repro``: saved cases once more."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.case import Case, CaseError, load_case
from harness.cli import EnvironmentProblem, Exit
from harness.commands.run import oracle_ids
from harness.compare import Differ, Incomparable
from harness.corpus import case_directories
from harness.runner import Runner
from harness.shim import connect
from harness.triage import unversioned
from oracles.adapter import Unavailable

if TYPE_CHECKING:
    from harness.divergences import Registry

__all__ = ["open_case", "repro", "runner_of"]


def open_case(directory: Path) -> Case:
    """Return the case in a directory, or end with a usage error of one sentence."""
    try:
        case = load_case(directory)
    except CaseError as e:
        raise click.UsageError(str(e)) from None
    if len(case.oracles) != 2:
        raise click.UsageError(f"{directory}: a case to run again names two oracles, this one {len(case.oracles)}")
    return case


def runner_of(oracles: tuple[str, ...], registry: Registry | None = None) -> Runner:
    """Return a runner with these oracles; one that is named twice is compared with itself."""
    try:
        runner = Runner([connect(o) for o in dict.fromkeys(oracles)], registry)
    except Unavailable as e:
        raise EnvironmentProblem(str(e)) from None
    try:
        runner.descriptions()
    except Unavailable as e:
        runner.close()
        raise EnvironmentProblem(str(e)) from None
    return runner


@click.command(
    epilog="""\b
Examples:
  wfuzz repro wfuzz-out/RUN/findings/SIGNATURE/17           one finding
  wfuzz repro wfuzz-out/RUN                                 all findings of a campaign
  wfuzz repro --oracle reference --oracle wasmtime:winch DIR    the same plan on other engines
Exit status: 1 if a finding shows with its signature, 0 if none does.
"""
)
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--oracle", "oracles", multiple=True, callback=oracle_ids, help="Compare these two instead.")
def repro(directory: Path, oracles: tuple[str, ...]) -> int:
    """Run a saved case again and say whether it still shows."""
    if oracles and len(oracles) != 2:
        raise click.UsageError("name two oracles, or none")
    try:
        places = case_directories(directory)
    except CaseError as e:
        raise click.UsageError(str(e)) from None
    cases = [(place, _with_oracles(open_case(place), oracles)) for place in places]
    reproduced = 0
    for ids in dict.fromkeys(case.oracles for _, case in cases):
        with runner_of(ids) as runner:
            for place, case in cases:
                if case.oracles == ids:
                    click.echo(f"{place}:")
                    reproduced += _reproduces(runner, case)
    if len(cases) > 1:
        click.echo(f"{reproduced} of {len(cases)} reproduced")
    return Exit.FINDINGS if reproduced else Exit.CLEAN


def _reproduces(runner: Runner, case: Case) -> bool:
    """Run a case, print what it shows, and return whether that is its finding."""
    run = runner.run(case.plan)
    judgements = runner.judge(run) if len(run.sides) > 1 else runner.check_itself(run)
    for side in run.sides:
        then = dict(case.provenance.get("versions", {})).get(side.oracle, side.version)
        click.echo(f"  {side.oracle} {side.version}" + (f" (found with {then})" if then != side.version else ""))
    for judgement in judgements:
        verdict = judgement.comparison.verdict
        if isinstance(verdict, Differ):
            click.echo(f"  {judgement.signature}\n  step {verdict.step}, {verdict.what}:")
            for oracle, has in zip(case.oracles, (verdict.left, verdict.right), strict=True):
                click.echo(f"    {oracle}: {has}")
        elif isinstance(verdict, Incomparable):
            click.echo(f"  not comparable from step {verdict.step} on: {verdict.reason}")
    shown = {j.signature for j in judgements if isinstance(j.comparison.verdict, Differ)}
    wanted = None if case.finding is None else case.finding.signature
    same = wanted in shown if wanted is not None else bool(shown)
    other = f": it differs in another way than {wanted}" if shown and not same else ""
    click.echo("  reproduced" if same else f"  not reproduced{other}")
    return same


def _with_oracles(case: Case, oracles: tuple[str, ...]) -> Case:
    """Return the case between other oracles, its signature in their names."""
    if not oracles:
        return case
    finding = case.finding
    if finding is not None:
        old, new = (" ".join(map(unversioned, ids)) for ids in (case.oracles, oracles))
        finding = replace(finding, signature=finding.signature.replace(old, new, 1))
    return replace(case, oracles=oracles, finding=finding)
