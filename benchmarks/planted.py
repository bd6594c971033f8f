"""How well planted bugs are found, made small and reproduced: ``python -m benchmarks.planted [NAME...]``.

Every plant of ``harness.planted`` and ``harness.planted_models`` runs beside the reference engine on the same cases
from a fixed seed until each was met once; the first finding of each is saved, reduced, loaded again and reproduced.
Wrong counts, resumes and restores are found by the checks of fuel and of slices, beside a reference that counts like
wasmtime.  The exit status is 1 if a bug is not found within ``--cases``, a finding does not reproduce, or the median
size is above ``--median`` instructions.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.case import load_case, save_case
from harness.cases import Examiner
from harness.checks import ALL_CHECKS, checks_of
from harness.planted import PLANTED
from harness.planted_models import WRONG_COUNTS, WRONG_RESTORES, WRONG_RESUMES
from harness.reduce.check import Check
from harness.reduce.shrink import Reduced, reduce_case
from harness.runner import Runner
from oracles.process import Oracle

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from harness.case import Case

__all__ = ["main"]

MODEL = "fuel=wasmtime-50"
WRONG = {name: w.wrong for name, w in (WRONG_COUNTS | WRONG_RESUMES | WRONG_RESTORES).items()}  # by checks of fuel
ALL = {name: planted.wrong for name, planted in PLANTED.items()} | WRONG


@dataclass(slots=True)
class Row:
    """What came of one bug."""

    found_at: int | None = None
    reduced: Reduced | None = None
    reproduces: bool = False
    seconds: float = 0.0


def find(names: Iterable[str], seed: int, cases: int, profile: str) -> dict[str, tuple[int, Case]]:
    """Return the first finding of each bug, by name, and the index of its case."""
    names = list(names)
    values = {f"reference:plant={name}": name for name in names if name not in WRONG}
    models = {f"reference:{_restored(name)}plant={name}+{MODEL}": name for name in names if name in WRONG}
    found = _find("reference", values, seed, cases, profile, checks_of("results,state"))
    return found | _find(f"reference:{MODEL}", models, seed, cases, profile, ALL_CHECKS)


def _restored(name: str) -> str:
    return "restored+" if name in WRONG_RESTORES else ""


def _find(
    reference: str, wanted: Mapping[str, str], seed: int, cases: int, profile: str, checks: frozenset[str]
) -> dict[str, tuple[int, Case]]:
    found: dict[str, tuple[int, Case]] = {}
    if not wanted:
        return found
    with Runner([Oracle(reference), *map(Oracle, wanted)]) as runner:
        examiner = Examiner(runner, seed, profile, checks=checks)
        for index in range(cases):
            result = examiner.test(index)
            if result.error is not None:
                raise RuntimeError(result.error)
            for finding in result.found:
                oracle = finding.case.oracles[1]
                if wanted[oracle] not in found:
                    found[wanted[oracle]] = index, finding.case
                    runner.drop(oracle)
            if len(runner.oracles) == 1:
                break
    return found


def shrink(case: Case, directory: Path, time_s: float, tries: int) -> tuple[Reduced, bool]:
    """Return the case made small, and whether both forms reproduce from what was saved."""
    assert case.finding is not None
    with Runner([Oracle(o) for o in case.oracles]) as runner:
        check = Check(runner, case.finding.signature, tries=tries, time_s=time_s)
        reduced = reduce_case(case, check)
        places = save_case(case, directory / "case"), save_case(reduced.case, directory / "reduced")
        return reduced, all(check.shows(load_case(place).plan) for place in places)


@click.command()
@click.argument("names", nargs=-1)
@click.option("--seed", default=1, show_default=True)
@click.option("--cases", default=5000, show_default=True)
@click.option("--profile", default="standard", show_default=True)
@click.option("--time", "time_s", default=60.0, show_default=True, help="Seconds to reduce one finding, at most.")
@click.option("--tries", default=20_000, show_default=True, help="Runs to reduce one finding, at most.")
@click.option("--out", type=click.Path(path_type=Path), help="Keep the cases in this directory.")
@click.option("--median", default=12.0, show_default=True, help="Instructions that the median may have.")
def main(
    names: tuple[str, ...], seed: int, cases: int, profile: str, time_s: float, tries: int, median: float,
    out: Path | None,
) -> None:  # fmt: skip
    """Find every planted bug, shrink and reproduce what was found."""
    wanted = names or tuple(ALL)
    if unknown := sorted(set(wanted) - set(ALL)):
        raise click.UsageError(f"no planted bug {unknown[0]}; known: {', '.join(ALL)}")
    found = find(wanted, seed, cases, profile)
    rows = {name: Row() for name in wanted}
    click.echo(f"{'bug':<14} {'case':>5} {'size':>5} {'reduced':>8} {'runs':>6} {'s':>4}  reproduces  what is wrong")
    with tempfile.TemporaryDirectory() as temporary:
        for name, row in rows.items():
            if name in found:
                row.found_at, case = found[name]
                begin = time.monotonic()
                row.reduced, row.reproduces = shrink(case, (out or Path(temporary)) / name, time_s, tries)
                row.seconds = time.monotonic() - begin
            click.echo(line(name, row))
    raise SystemExit(verdict(rows, cases, median))


def line(name: str, row: Row) -> str:
    """Return a line of the table."""
    if row.reduced is None:
        return f"{name:<14} {'-':>5} {'':>31}  not found   {ALL[name]}"
    r = row.reduced
    mark = " " if r.is_minimal else "+"
    return (
        f"{name:<14} {row.found_at:>5} {r.before:>5} {r.after:>7}{mark} {r.tries:>6} {row.seconds:>4.0f}  "
        f"{'yes' if row.reproduces else 'NO':<10}  {ALL[name]}"
    )


def verdict(rows: dict[str, Row], cases: int, median: float) -> int:
    """Print the sums and return the exit status."""
    reduced = [row.reduced for row in rows.values() if row.reduced is not None]
    middle = statistics.median(r.after for r in reduced) if reduced else 0
    again = sum(row.reproduces for row in rows.values())
    click.echo(f"found {len(reduced)}/{len(rows)} within {cases} cases, reproduced {again}")
    click.echo(f"median {middle:g} instructions, at most {median:g} allowed")
    return int(not all(row.reproduces for row in rows.values()) or middle > median)


if __name__ == "__main__":
    main()
