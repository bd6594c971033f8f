"""``wfuzz oracles``: which engines are here, what they can do, and how to get those that need an environment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from harness.cli import EnvironmentProblem, Exit
from harness.shim import connect
from oracles import side
from oracles.adapter import IDS, Unavailable

__all__ = ["oracles"]


@click.group(
    invoke_without_command=True,
    epilog="""\b
Examples:
  wfuzz oracles
  wfuzz oracles --json
  wfuzz oracles install wasmer@1.1
""",
)
@click.option("--json", "as_json", is_flag=True, help="Print everything that is known as JSON.")
@click.pass_context
def oracles(context: click.Context, as_json: bool) -> None:
    """List the engines that can be compared here, or install one."""
    if context.invoked_subcommand is not None:
        return
    found = [_look(oracle_id) for oracle_id in IDS]
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    _show(found)


@oracles.command(
    epilog="""\b
Examples:
  wfuzz oracles install wasmer@1.1
  wfuzz oracles install wasmer@1.1 --python /usr/bin/python3.10
"""
)
@click.argument("oracle")
@click.option("--python", type=click.Path(path_type=Path), help="The interpreter to make the environment from.")
def install(oracle: str, python: Path | None) -> int:
    """Make the environment that an oracle needs beside this one."""
    if oracle not in side.ENVIRONMENTS:
        raise click.UsageError(f"{oracle} needs no environment; those that do: {', '.join(side.ENVIRONMENTS)}")
    try:
        side.install(oracle, python, click.echo)
    except Unavailable as e:
        raise EnvironmentProblem(str(e)) from None
    return Exit.CLEAN


def _look(oracle_id: str) -> dict[str, Any]:
    """Start a worker and return what it says of itself, or why there is none."""
    try:
        with connect(oracle_id) as oracle:
            return {"id": oracle_id, "available": True, **oracle.description.to_json()}
    except Unavailable as e:
        return {"id": oracle_id, "available": False, "reason": str(e)}


def _show(found: list[dict[str, Any]]) -> None:
    click.echo(f"{'oracle':22} {'version':8} {'python':8} features  cannot")
    for entry in found:
        if not entry["available"]:
            click.echo(f"{entry['id']:22} not available: {entry['reason']}")
            continue
        count = len(entry["features"])
        click.echo(f"{entry['id']:22} {entry['version']:8} {entry['python']:8} {count:8}  {_lacks(entry)}".rstrip())


def _lacks(entry: dict[str, Any]) -> str:
    """Return in a few words what the best engine here can do and this one cannot."""
    lacks = [f"step {kind}" for kind in ("validate", "read", "write", "assemble") if kind not in entry["steps"]]
    lacks += [name for name in ("imports", "after-trap") if name not in entry["can"]]
    lacks += [f"{len(entry['without'])} instructions"] if entry["without"] else []
    lacks += [] if "engine" in entry["nan"] else ["canonical NaNs"]
    lacks += [] if entry["fuel"] else ["fuel"]
    return ", ".join(lacks)
