"""``wfuzz run``: a campaign from the command line."""

from __future__ import annotations

import contextlib
import platform
import secrets
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from generators.profile import PRESETS
from harness import __version__, baselines
from harness.campaign import Budget, Campaign, Shard
from harness.case import ORACLE_ID
from harness.cases import fit_profile
from harness.checks import CHECKS, CheckNameError, checks_of
from harness.checks.abilities import REFERENCE, arrange
from harness.cli import EnvironmentProblem, Exit
from harness.directory import DirectoryError, DiskFull, RunDirectory
from harness.divergences import Registry, RegistryError, load
from harness.live import Live, campaign_line
from harness.pool import InProcess, Processes, Setup, spare_the_collector
from harness.report import summary_lines
from harness.shim import connect
from oracles.adapter import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness.campaign import Ending
    from harness.pool import Pool
    from harness.runner import OracleLike

__all__ = ["oracle_ids", "registry_option", "run"]


def _shard(ctx: click.Context, param: click.Parameter, value: str) -> tuple[int, int]:
    number, _, of = value.partition("/")
    if not (number.isdecimal() and of.isdecimal() and len(of) < 7 and 1 <= int(number) <= int(of)):
        raise click.BadParameter(f"{value!r} is not I/N with 1 <= I <= N", ctx, param)
    return int(number), int(of)


def _checks(ctx: click.Context, param: click.Parameter, value: str) -> frozenset[str]:
    try:
        return checks_of(value)
    except CheckNameError as e:
        raise click.BadParameter(str(e), ctx, param) from None


def oracle_ids(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Return the oracle ids of a repeated option, each once and well-formed."""
    for value in values:
        if not ORACLE_ID.match(value):
            raise click.BadParameter(f"{value!r} is not NAME[@VERSION][:VARIANT]", ctx, param)
    if len(set(values)) != len(values):
        raise click.BadParameter("an oracle is named twice", ctx, param)
    return values


def registry_option(path: Path | None) -> Registry:
    """Return the registry in a file, by default the checked-in one."""
    try:
        return load(path or baselines() / "divergences.toml")
    except RegistryError as e:
        raise click.UsageError(str(e)) from None


@click.command(
    epilog="""\b
Examples:
  wfuzz run --oracle wasmtime --time 60
  wfuzz run --oracle wasmtime --oracle wasmer --seed 2 --cases 500 --jobs 2
  wfuzz run --seed 1 --cases 100000 --shard 3/8 --out night
  wfuzz run --seed 1 --first 4711 --cases 1          one case of a campaign again
  wfuzz run --check results,state --time 60          nothing but what the specification says
\b
Checks (docs/checks.md):
"""
    + "".join(f"  {name:<9} {what}\n" for name, what in CHECKS.items())
)
@click.option(
    "--oracle", "oracles", multiple=True, callback=oracle_ids,
    help="An engine to compare with the reference engine; repeat for more.  [default: wasmtime]",
)  # fmt: skip
@click.option("--time", "time_s", type=click.FloatRange(0, min_open=True), help="Seconds to run.  [default: no limit]")
@click.option("--cases", type=click.IntRange(1), help="Cases to run, of this shard.  [default: no limit]")
@click.option("--seed", type=click.IntRange(0, (1 << 64) - 1), help="Seed of the campaign.  [default: a fresh one]")
@click.option("--first", type=click.IntRange(0), default=0, help="Index of the first case.  [default: 0]")
@click.option("--jobs", type=click.IntRange(1, 256), default=1, show_default=True, help="Processes that run cases.")
@click.option(
    "--shard", metavar="I/N", callback=_shard, default="1/1", show_default=True, help="Run the I-th of N parts."
)
@click.option("--profile", type=click.Choice(sorted(PRESETS)), default="standard", show_default=True)
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False),
    help="Directory of the campaign; an existing one is resumed.  [default: a new one under wfuzz-out]",
)  # fmt: skip
@click.option(
    "--check", "checks", metavar="LIST", callback=_checks, default=",".join(CHECKS), show_default=True,
    help="What is compared, separated by commas; what an engine cannot do is off for it, and the summary says so.",
)  # fmt: skip
@click.option("--divergences", type=click.Path(path_type=Path, dir_okay=False), help="Registry of known divergences.")
def run(
    oracles: tuple[str, ...], time_s: float | None, cases: int | None, seed: int | None, first: int, jobs: int,
    shard: tuple[int, int], profile: str, out: Path | None, checks: frozenset[str], divergences: Path | None,
) -> int:  # fmt: skip
    """Fuzz engines against the reference engine and save what differs.

    Case i depends on seed, i and profile alone: jobs and shards change nothing but the time it takes.  Ctrl-C ends a
    campaign in order; with --out it can be continued.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)
    registry = registry_option(divergences)
    seed = secrets.randbits(32) if seed is None else seed
    wanted = tuple(o for o in oracles or ("wasmtime",) if o != REFERENCE)
    if not wanted:
        raise click.UsageError("name an oracle other than the reference")
    with contextlib.ExitStack() as opened:
        benches, connected, described = _benches(wanted, checks, opened)
        fitted = fit_profile(PRESETS[profile], described.values())
        versions = {o: str(d.version) for o, d in described.items()}
        identity = {
            "format": 1, "seed": seed, "profile": profile, "first": first, "shard": list(shard),
            "oracles": [list(bench) for bench in benches], "checks": sorted(checks),
            "features": sorted(f.name for f in fitted.features), "nan": fitted.nan,
            "without": sorted(fitted.without),
            "versions": {"wfuzz": __version__, **versions},
        }  # fmt: skip
        directory = _directory(out or Path("wfuzz-out") / f"{time.strftime('%Y%m%d-%H%M%S')}-seed{seed}", identity)
        engines = ", ".join(f"{o} {v}" for o, v in versions.items())
        python = platform.python_version()
        click.echo(f"wfuzz {__version__} on CPython {python}: {engines}; seed {seed}; {directory.path}", err=True)
        with Live() as live:
            campaign = Campaign(
                directory,
                Shard(*shard, first),
                Budget(cases, time_s),
                registry,
                lambda c: live(lambda: campaign_line(c)),
            )
            setup = Setup(benches, seed, profile, fitted, registry, checks)
            if jobs == 1:
                pool = InProcess(setup.examiners(connected.__getitem__))
                spare_the_collector()
                ending = _finish(campaign, pool)
            else:
                opened.close()
                ending = _finish(campaign, Processes(setup, jobs))
    return _report(campaign, ending, identity)


def _finish(campaign: Campaign, pool: Pool) -> Ending:
    try:
        return campaign.run(pool)
    finally:
        pool.close()
        campaign.directory.close()


def _directory(path: Path, identity: dict[str, Any]) -> RunDirectory:
    try:
        return RunDirectory(path, identity)
    except DirectoryError as e:
        raise click.UsageError(str(e)) from None
    except DiskFull as e:
        raise EnvironmentProblem(str(e.strerror)) from None


def _benches(
    wanted: tuple[str, ...], checks: frozenset[str], opened: contextlib.ExitStack
) -> tuple[tuple[tuple[str, ...], ...], dict[str, OracleLike], dict[str, Any]]:
    """Return the benches for the oracles wanted, all oracles with their references, and the description of each."""
    connected: dict[str, OracleLike] = {}

    def describe(ids: Iterable[str]) -> dict[str, Any]:
        new = [o for o in dict.fromkeys(ids) if o not in connected]
        for oracle in new:
            connected[oracle] = connect(oracle)
            opened.callback(connected[oracle].close)
        return {oracle: connected[oracle].description for oracle in new}

    try:
        engines = describe(wanted)
        benches = arrange(engines, checks)
        return benches, connected, describe(bench[0] for bench in benches) | engines
    except Unavailable as e:
        raise EnvironmentProblem(str(e)) from None


def _interrupt(*_: object) -> None:
    """End the campaign in order at the first signal; only a second Ctrl-C cuts that short."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    raise KeyboardInterrupt


def _report(campaign: Campaign, ending: Ending, identity: dict[str, Any]) -> int:
    """Print and save the summary; return the exit status."""
    title = f"seed {identity['seed']}, profile {identity['profile']}: {ending.why}"
    places = campaign.directory.places()
    lines = summary_lines(campaign.tally, title, places) + campaign.over_count()
    click.echo("\n".join(lines))
    if places:
        click.echo(f"\nfirst: wfuzz repro {places[0]}")
    status = ending.status
    try:
        campaign.directory.write_summary(lines, {"ending": ending.why, "status": int(status), "campaign": identity})
    except DiskFull as e:
        click.echo(f"wfuzz: {e.strerror}", err=True)
        status = Exit.ENVIRONMENT
    return int(status)
