"""``wfuzz reduce``: a saved case made small."""

from __future__ import annotations

from pathlib import Path

import click

from harness.case import save_case
from harness.cli import Exit
from harness.commands.repro import open_case, runner_of
from harness.commands.run import registry_option
from harness.live import Live
from harness.reduce.check import Check, CheckError
from harness.reduce.shrink import Reduced, reduce_case
from harness.report import module_text, renderings, show_step

__all__ = ["reduce"]


@click.command(
    epilog="""\b
Examples:
  wfuzz reduce FINDING                     writes FINDING/reduced
  wfuzz reduce --time 300 --out small FINDING
"""
)
@click.argument("directory", type=click.Path(path_type=Path))
@click.option(
    "--time", "time_s", type=click.FloatRange(0, min_open=True), default=60.0, show_default=True, help="Seconds."
)
@click.option("--tries", type=click.IntRange(1), default=20_000, show_default=True, help="Runs of candidates.")
@click.option("--out", type=click.Path(path_type=Path), help="Where to write the case.  [default: DIRECTORY/reduced]")
def reduce(directory: Path, time_s: float, tries: int, out: Path | None) -> int:
    """Shrink a saved case while it keeps its signature."""
    case = open_case(directory)
    if case.finding is None:
        raise click.UsageError(f"{directory}: the case has no finding to keep")
    target = out or directory / "reduced"
    if target.exists():
        raise click.UsageError(f"{target} exists; remove it or name another with --out")
    with runner_of(case.oracles, registry_option(None)) as runner, Live(every_s=5.0) as live:
        check = Check(
            runner, case.finding.signature, tries=tries, time_s=time_s,
            progress=lambda c: live(lambda: f"{c.tries} candidates run, {c.answered} asked"),
        )  # fmt: skip
        try:
            reduced = reduce_case(case, check)
        except CheckError as e:
            raise click.UsageError(f"{directory}: {e}") from None
    save_case(reduced.case, target, renderings(reduced.case))
    _show(reduced, target)
    return Exit.FINDINGS


def _show(reduced: Reduced, target: Path) -> None:
    for wasm in reduced.case.plan.modules.values():
        click.echo(module_text(wasm).rstrip())
    for i, step in enumerate(reduced.case.plan.steps):
        click.echo(f"{i:3} {show_step(step)}")
    if (finding := reduced.case.finding) is not None:
        click.echo(f"step {finding.step}, {finding.what}: {finding.left} / {finding.right}")
    rest = "nothing more to take away" if reduced.is_minimal else "the budget is spent"
    click.echo(f"{reduced.before} -> {reduced.after} instructions in {reduced.tries} runs; {rest}; {target}")
