"""``wfuzz repro``: a saved case once more."""

from __future__ import annotations

from pathlib import Path

import click

from harness.case import Case, CaseError, load_case
from harness.cli import EnvironmentProblem, Exit
from harness.compare import Differ, Incomparable
from harness.runner import Runner
from harness.shim import connect
from harness.triage import unversioned
from oracles.adapter import Unavailable

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


def runner_of(case: Case) -> Runner:
    """Return a runner with the oracles of a case; an oracle named twice is compared with itself."""
    try:
        runner = Runner([connect(o) for o in dict.fromkeys(case.oracles)])
        runner.descriptions()
    except Unavailable as e:
        raise EnvironmentProblem(str(e)) from None
    return runner


@click.command(
    epilog="""\b
Examples:
  wfuzz repro wfuzz-out/20260101-120000-seed1/findings/reference-wasmtime-r2-call-result-0123456789ab/17
  wfuzz repro --oracle reference --oracle wasmtime@50 DIR      the same plan on other engines
Exit status: 1 if the finding shows with the same signature, 0 if it does not.
"""
)
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--oracle", "oracles", multiple=True, help="Compare these two instead of those of the case.")
def repro(directory: Path, oracles: tuple[str, ...]) -> int:
    """Run a saved case again and say whether it still shows."""
    case = open_case(directory)
    if oracles:
        case = _with_oracles(case, oracles)
    with runner_of(case) as runner:
        run = runner.run(case.plan)
        judgements = runner.judge(run) or runner.check_determinism(run)
        versions = ", ".join(f"{s.oracle} {s.version}" for s in run.sides)
    verdicts = [j.comparison.verdict for j in judgements]
    wanted = None if case.finding is None else case.finding.signature
    click.echo(versions)
    for judgement, verdict in zip(judgements, verdicts, strict=True):
        if isinstance(verdict, Differ):
            click.echo(f"{judgement.signature}")
            click.echo(f"  step {verdict.step}, {verdict.what}: {case.oracles[0]} has {verdict.left}")
            click.echo(
                f"  {'':{len(str(verdict.step)) + 6}}{' ' * len(verdict.what)} {case.oracles[1]} has {verdict.right}"
            )
        elif isinstance(verdict, Incomparable):
            click.echo(f"not comparable from step {verdict.step} on: {verdict.reason}")
    shown = {j.signature for j in judgements if isinstance(j.comparison.verdict, Differ)}
    if wanted in shown or (wanted is None and shown):
        click.echo("reproduced")
        return Exit.FINDINGS
    if shown and wanted is not None:
        click.echo(f"not reproduced: it differs in another way than {wanted}")
        return Exit.FINDINGS if oracles else Exit.CLEAN
    click.echo("not reproduced")
    return Exit.CLEAN


def _with_oracles(case: Case, oracles: tuple[str, ...]) -> Case:
    from dataclasses import replace

    if len(oracles) != 2:
        raise click.UsageError("name two oracles, or none")
    finding = case.finding
    if finding is not None:
        old = " ".join(unversioned(o) for o in case.oracles)
        new = " ".join(unversioned(o) for o in oracles)
        finding = replace(finding, signature=finding.signature.replace(old, new, 1))
    return replace(case, oracles=oracles, finding=finding)
