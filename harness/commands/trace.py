"""``wfuzz trace``: what a case executes, one line per instruction."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.case import CaseError, load_case
from harness.cli import EnvironmentProblem, Exit
from harness.corpus import case_directories
from harness.tracing import MAX_STEPS
from harness.tracing import trace as play
from oracles.adapter import Unavailable, load

if TYPE_CHECKING:
    from harness.case import Case
    from oracles.adapter import Adapter

__all__ = ["trace"]

WINDOW = 40  # lines if not told otherwise
MAX_LINES = 10_000
NUMBER = click.IntRange(1, MAX_STEPS)


@click.command(
    epilog="""\b
Examples:
  wfuzz trace wfuzz-out/RUN/findings/SIGNATURE/17      the last 40 instructions of a finding
  wfuzz trace corpus/regressions/wasmtime-array-copy-null-source
  wfuzz trace CASE --from 1 --to 200                   the first 200
  wfuzz trace CASE --to 512                            40 up to the 512th
\b
Instructions are numbered through the whole plan.  A line has the number, the function, the offset in the
module, the instruction, its operands, and after an arrow what it pushed or set.
"""
)
@click.argument("case", metavar="CASE", type=click.Path(path_type=Path))
@click.option("--from", "first", metavar="N", type=NUMBER, help="Show from this instruction on.")
@click.option("--to", "last", metavar="M", type=NUMBER, help=f"Show up to this one; {MAX_LINES:,} at most at once.")
def trace(case: Path, first: int | None, last: int | None) -> int:
    """Play a case on the reference engine and show what it executes, instruction by instruction."""
    if first is not None and last is not None:
        if first > last:
            raise click.UsageError(f"--from {first} is after --to {last}")
        if last - first >= MAX_LINES:
            raise click.UsageError(f"--from {first} --to {last}: at most {MAX_LINES:,} instructions are shown at once")
    found = _open(case)
    adapter = _adapter(found)
    try:
        if first is None:
            last = _length(adapter, found, last or MAX_STEPS)
            first = max(1, last - WINDOW + 1)
        elif last is None:
            last = first + WINDOW - 1
        traced = play(adapter, found.plan, first, last, click.echo)
        around = traced.last
        if first <= traced.steps < last:
            around = play(adapter, found.plan, traced.steps, traced.steps, lambda line: None).last
    except ValueError as e:
        raise click.UsageError(f"{case}: {e}") from None
    if traced.steps < first:
        click.echo(f"the plan executes {traced.steps} instructions")
    for line in around:
        click.echo(line)
    if traced.is_cut and traced.steps < MAX_STEPS:
        click.echo(f"there are more: wfuzz trace {case} --from {traced.steps + 1}")
    elif traced.is_cut:
        click.echo(f"there are more, but no more than {MAX_STEPS:,} of a case are executed here")
    return Exit.CLEAN


def _length(adapter: Adapter, case: Case, most: int) -> int:
    """Return how many instructions a case executes, at least 1 and at most so many."""
    return max(1, play(adapter, case.plan, most + 2, most, lambda line: None).steps)


def _open(directory: Path) -> Case:
    """Return the one case at or below a directory, or end with a usage error of one sentence."""
    try:
        places = case_directories(directory)
        if len(places) > 1:
            raise click.UsageError(f"{directory} holds {len(places)} cases: name one, such as {places[0]}")
        return load_case(places[0])
    except CaseError as e:
        raise click.UsageError(str(e)) from None


def _adapter(case: Case) -> Adapter:
    """Return the reference engine as the case has it, with a planted bug if it says so."""
    oracle = next((o for o in case.oracles if o.partition(":")[0] == "reference"), "reference")
    try:
        return load(oracle)
    except Unavailable as e:
        raise EnvironmentProblem(str(e)) from None
