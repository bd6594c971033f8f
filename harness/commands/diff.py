"""``wfuzz diff``: one module or script on two engines, side by side."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness import __version__
from harness.case import MAX_FILE, Case, CaseError, Finding, save_case
from harness.cli import EnvironmentProblem, Exit
from harness.commands.run import oracle_ids
from harness.compare import Differ, Incomparable, show_call, show_outcome, show_value
from harness.report import renderings, show_step
from harness.runner import Runner
from harness.shim import connect
from harness.single import SingleError, assemble, plan_of_module, plan_of_script
from oracles.adapter import Unavailable
from oracles.outcome import Returned
from oracles.process import Oracle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.runner import Judgement, Run
    from oracles.outcome import Record
    from oracles.plan import Plan

__all__ = ["diff"]

ASSEMBLER = "reference"
WIDTH = 44


@click.command(
    context_settings={"ignore_unknown_options": True},
    epilog="""\b
Examples:
  wfuzz diff add.wat --oracle reference --oracle wasmtime
  wfuzz diff add.wasm --invoke add 1 -1 --oracle wasmtime --oracle wasmer
  wfuzz diff copysign.wat --invoke f bits:7fa00000 -0.0 --save case
  wfuzz diff script.wast --oracle reference --oracle wasmtime:winch
Values: 1, -1, 0xff, 1.5, -nan, inf, bits:7fa00000, null; TYPE:VALUE where the module cannot be read.
Exit status: 1 if the engines differ, 0 if not.
""",
)
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("args", nargs=-1)
@click.option("--invoke", metavar="NAME", help="Call this export with ARGS.  [default: call every exported function]")
@click.option(
    "--oracle", "oracles", multiple=True, callback=oracle_ids, help="Two engines.  [default: reference and wasmtime]"
)
@click.option("--save", type=click.Path(path_type=Path), help="Write a case that `wfuzz repro` runs again.")
def diff(file: Path, args: tuple[str, ...], invoke: str | None, oracles: tuple[str, ...], save: Path | None) -> int:
    """Run one module or script on two engines side by side; the first difference is marked."""
    ids = oracles or ("reference", "wasmtime")
    if len(ids) != 2:
        raise click.UsageError("name two oracles")
    if args and invoke is None:
        raise click.UsageError(f"{args[0]!r}: arguments need --invoke NAME")
    if save is not None and save.exists():
        raise click.UsageError(f"{save} exists")
    if file.suffix not in (".wasm", ".wat", ".wast"):
        raise click.UsageError(f"{file}: the name ends in .wasm, .wat or .wast")
    if file.stat().st_size > MAX_FILE:
        raise click.UsageError(f"{file} is larger than {MAX_FILE} bytes")
    try:
        with Runner([connect(o) for o in ids]) as runner:
            plan = _plan(runner, file, invoke, args)
            run = runner.run(plan)
            (judgement,) = runner.judge(run)
    except SingleError as e:
        raise click.UsageError(f"{file}: {e}") from None
    except Unavailable as e:
        raise EnvironmentProblem(str(e)) from None
    _show(run, judgement)
    if save is not None:
        _save(run, judgement, file, save)
    return Exit.FINDINGS if isinstance(judgement.comparison.verdict, Differ) else Exit.CLEAN


def _plan(runner: Runner, file: Path, invoke: str | None, args: tuple[str, ...]) -> Plan:
    """Return the plan of a file, with the features and the NaN profile that both engines have."""
    first, second = runner.descriptions()
    features = tuple(sorted(set(first.features) & set(second.features)))
    nan = "engine" if "engine" in first.nan and "engine" in second.nan else "none"
    data = file.read_bytes()
    if file.suffix == ".wasm":
        return plan_of_module(data, features, invoke, args, nan)
    with Oracle(ASSEMBLER) as assembler:
        if file.suffix == ".wat":
            return plan_of_module(assemble(assembler, data), features, invoke, args, nan)
        if invoke is not None:
            raise click.UsageError("a script says itself what it calls: --invoke is for modules")
        return replace(plan_of_script(data, assembler, features), nan=nan)


def _show(run: Run, judgement: Judgement) -> None:
    """Print the steps with what each engine did, and the verdict."""
    left, right = run.sides
    verdict = judgement.comparison.verdict
    marked = verdict.step if isinstance(verdict, Differ) else -1
    click.echo(f"   {'':4} {'':{WIDTH}} {left.oracle:<{WIDTH}} {right.oracle}")
    for i, step in enumerate(run.plan.steps):
        shown = [_cell(side.records, i) for side in (left, right)]
        if step.kind == "observe" and i != marked and shown == ["", ""]:
            continue
        mark = "->" if i == marked else "  "
        cells = [f"{_clip(text):{WIDTH}}" for text in (show_step(step), *shown)]
        click.echo(f"{mark} {i:4} {' '.join(cells)}".rstrip())
    if isinstance(verdict, Differ):
        click.echo(f"first difference at step {verdict.step}, {verdict.what} (rule {verdict.rule}):")
        click.echo(f"  {left.oracle}: {verdict.left}\n  {right.oracle}: {verdict.right}")
    elif isinstance(verdict, Incomparable):
        click.echo(f"equal up to step {verdict.step}, then not comparable: {verdict.reason}")
    else:
        click.echo("no difference")
    if notes := sorted(set(judgement.comparison.notes)):
        click.echo(f"tolerated: {', '.join(notes)}")


def _cell(records: Sequence[Record], i: int) -> str:
    if i >= len(records):
        return "(not run)"
    record = records[i]
    data = record.data or {}
    if "value" in data:
        return show_value(data["value"])
    if isinstance(record.outcome, Returned) and "trace" in data:
        return " ".join(map(show_call, data["trace"]))
    return show_outcome(record.outcome)


def _clip(text: str) -> str:
    return text if len(text) < WIDTH else text[: WIDTH - 4] + "..."


def _save(run: Run, judgement: Judgement, file: Path, directory: Path) -> None:
    verdict, signature = judgement.comparison.verdict, judgement.signature
    finding = None
    if isinstance(verdict, Differ) and signature is not None:
        finding = Finding(signature, verdict.rule, verdict.step, verdict.what, verdict.left, verdict.right)
    versions = {"wfuzz": __version__, **{s.oracle: s.version for s in run.sides}}
    provenance = {"origin": f"wfuzz diff {file.name}", "versions": versions}
    case = Case(run.plan, provenance, tuple(s.oracle for s in run.sides), None, finding)
    try:
        save_case(case, directory, renderings(case))
    except CaseError as e:
        raise click.UsageError(f"{directory}: {e}") from None
    click.echo(f"saved: {directory}")
