"""``wfuzz spec``: the official specification scripts on one engine, and ``wfuzz spec fetch``, which installs them."""

from __future__ import annotations

import json
import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from harness import baselines
from harness.checks import CheckNameError, checks_of
from harness.cli import EnvironmentProblem, Exit
from harness.divergences import RegistryError, load
from harness.live import Live
from harness.wast.against import CHECKS, Against, setting_for
from harness.wast.against_report import against_json, against_text, unexplained
from harness.wast.archive import ArchiveError
from harness.wast.expectations import Expectations, engine_name
from harness.wast.fetch import install
from harness.wast.report import disagreement_report, json_report, junit_report, text_report
from harness.wast.runner import ASSEMBLERS, in_threads, run_files
from harness.wast.suite import SuiteError, installed_at, load_installed, load_manifest, load_path, select
from oracles.adapter import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.wast.against import Compared
    from harness.wast.runner import FileResult
    from harness.wast.suite import SuiteFile
    from oracles.adapter import Description

__all__ = ["spec"]


class _FilesOrFetch(click.Group):
    """``fetch`` is a command; anything else are the arguments of a run."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, args if args[:1] == ["fetch"] else ["run", *args])


@click.group(cls=_FilesOrFetch)
def spec() -> None:
    """Run the official specification scripts on one engine."""


@spec.command("run", epilog="`wfuzz spec fetch` installs the suite.  Exit status: 0 exactly as expected, 1 otherwise.")
@click.argument("filters", nargs=-1, metavar="[FILTER...]")
@click.option("--engine", default="reference", show_default=True, metavar="ID", help="NAME[@VERSION][:VARIANT].")
@click.option("--suite", type=click.Path(path_type=Path), metavar="DIR|ARCHIVE", help="Scripts to run instead.")
@click.option("--jobs", type=click.IntRange(1, 256), default=None, help="Files in parallel (default: one per core).")
@click.option("--junit", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Write JUnit XML.")
@click.option("--json", "json_", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Write JSON.")
@click.option(
    "--text", type=click.Choice([*ASSEMBLERS, "both"]), default="own", show_default=True,
    help="Whose text format decides; both: own decides, and each disagreement with wasmtime is listed.",
)  # fmt: skip
@click.option("--bless", is_flag=True, help="Take what is observed as what is expected from now on.")
@click.option("--against", metavar="ID", help="Compare the engine with this one after every command instead.")
@click.option(
    "--check", "checks", default=",".join(CHECKS), show_default=True, metavar="LIST", help="What --against compares.",
)  # fmt: skip
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), metavar="DIR", help="Save mismatches as cases."
)
def run(
    filters: tuple[str, ...], engine: str, suite: Path | None, jobs: int | None, junit: Path | None,
    json_: Path | None, text: str, bless: bool, against: str | None, checks: str, out: Path | None,
) -> int:  # fmt: skip
    """Run the scripts whose name FOLDER/FILE matches a FILTER (a glob or a part of it), all of them by default.

    An assertion about text counts as the engine's own where it reads text itself; elsewhere it has a column of its own.
    """
    manifest = load_manifest()
    try:
        scripts = load_installed(manifest) if suite is None else load_path(suite, manifest)
    except (SuiteError, ArchiveError) as e:
        raise EnvironmentProblem(str(e)) from e
    chosen = select(scripts, filters)
    if not chosen:
        raise click.UsageError(f"no script matches {' '.join(filters)}")
    if against is not None:
        if bless or junit is not None or text != "own":
            raise click.UsageError("--against goes with --check, --out, --json, --jobs and --suite alone")
        return _compare(chosen, engine, against, _checks(checks), jobs or _cores(), out, json_)
    try:
        description, results = _run(chosen, engine, jobs or _cores(), text)
    except Unavailable as e:
        raise EnvironmentProblem(str(e)) from e
    name = engine_name(description)
    expected = Expectations.load(baselines() / "spec", name, manifest.name, "wasmtime" if text == "wasmtime" else "own")
    if bless:
        expected.bless(results)
        expected.known = True
        click.echo(f"wrote {expected.save(baselines() / 'spec')}", err=True)
    differences = [d for result in results for d in expected.differences(result)]
    if junit is not None:
        junit.write_bytes(junit_report(name, results, differences))
    if json_ is not None:
        json_.write_text(json.dumps(json_report(name, manifest.name, results, differences), indent=1) + "\n", "utf-8")
    own = text != "wasmtime" and engine == ASSEMBLERS["own"]
    click.echo(text_report(name, results, differences, own or engine == text))
    if text == "both":
        click.echo(disagreement_report(results))
    if not expected.known and any(r.file.info for r in results) and differences:
        click.echo(f"there are no expectations for {name} in {baselines() / 'spec'}; --bless writes them", err=True)
    return Exit.FINDINGS if differences else Exit.CLEAN


def _checks(text: str) -> frozenset[str]:
    try:
        checks = checks_of(text)
    except CheckNameError as e:
        raise click.BadParameter(str(e), param_hint="--check") from None
    if unknown := sorted(checks - set(CHECKS)):
        raise click.BadParameter(f"scripts are not checked by {unknown[0]}", param_hint="--check")
    return checks


def _compare(
    files: list[SuiteFile], engine: str, other: str, checks: frozenset[str], jobs: int, out: Path | None,
    json_: Path | None,
) -> int:  # fmt: skip
    """Compare two engines by scripts and tell what came of it."""
    try:
        registry = load(baselines() / "divergences.toml")
        setting, off = setting_for(engine, other, checks, registry, out)
        for check, reason in off.items():
            click.echo(f"check {check} is off: {reason}", err=True)
        results: list[Compared] = []
        with Live() as live:
            for result in in_threads(files, jobs, lambda: Against(setting)):
                results.append(result)
                live(lambda: _line(results, len(files)))
    except (Unavailable, RegistryError) as e:
        raise EnvironmentProblem(str(e)) from e
    if json_ is not None:
        json_.write_text(json.dumps(against_json(setting, results), indent=1) + "\n", "utf-8")
    click.echo(against_text(setting, results))
    return Exit.FINDINGS if unexplained(results) or any(r.problem for r in results) else Exit.CLEAN


def _line(results: list[Compared], files: int) -> str:
    """Return the state of a comparison as one line."""
    commands = sum(r.counts["commands straight"] for r in results)
    found = len(unexplained(results))
    return f"{len(results)} of {files} scripts, {commands:,} commands, {found} mismatches: {results[-1].file.name}"


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _run(files: list[SuiteFile], engine: str, jobs: int, text: str) -> tuple[Description, list[FileResult]]:
    """Return who answered and the results in order of names, with a progress bar on a terminal."""
    described: list[Description] = []
    results: list[FileResult] = []
    assembler, second = (ASSEMBLERS["own"], ASSEMBLERS["wasmtime"]) if text == "both" else (ASSEMBLERS[text], None)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(file=sys.stderr), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("scripts", total=len(files))
        for result in run_files(files, engine, jobs, described.append, assembler, second):
            results.append(result)
            bar.update(task, advance=1, description=result.file.name[-40:])
    return described[0], sorted(results, key=lambda result: result.file.name)


@spec.command()
@click.option(
    "--from", "sources", multiple=True, metavar="ARCHIVE|URL",
    help="A tar or zip archive, or its address, instead of the public ones; several together hold all files.",
)  # fmt: skip
def fetch(sources: tuple[str, ...]) -> None:
    """Install the pinned official suite into the user's cache, every file verified by SHA-256."""
    manifest = load_manifest()
    target = installed_at(manifest)
    try:
        with ExitStack() as stack:
            install(manifest, target, sources, _download_bar(stack))
    except (SuiteError, ArchiveError) as e:
        raise EnvironmentProblem(str(e)) from e
    click.echo(f"{manifest.name}: {len(manifest.files)} files, all as pinned, in {target}")


def _download_bar(stack: ExitStack) -> Callable[[str, int, int | None], None]:
    """Return a progress function that draws on a terminal and is silent elsewhere."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    bar = stack.enter_context(
        Progress(*columns, console=Console(file=sys.stderr), transient=True, disable=not sys.stderr.isatty())
    )
    tasks = {}

    def progress(source: str, done: int, total: int | None) -> None:
        if source not in tasks:
            tasks[source] = bar.add_task(source.rsplit("/", 1)[-1][-40:], total=total)
        bar.update(tasks[source], completed=done)

    return progress
