"""``wfuzz wat``: a module as text."""

from __future__ import annotations

from pathlib import Path

import click

from engine.errors import WasmError
from engine.features import EXECUTED
from engine.text.printer import print_module
from harness.cli import Exit
from harness.modules import explain, load, read_input

__all__ = ["wat"]


@click.command(
    epilog="""\b
Examples:
  wfuzz wat add.wasm
  wfuzz wat add.wasm -o add.wat
  wfuzz wat nested.wat        (text is printed flat, with indices for names)
  wfuzz wat - < add.wasm
Exit status: 1 if the module is malformed.
"""
)
@click.argument("file", metavar="FILE|-")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write there, not to the screen.")
def wat(file: str, output: Path | None) -> int:
    """Print a binary module as text that assembles to the same module.  The module need not be valid."""
    data = read_input(file)
    try:
        text = print_module(load(file, data, EXECUTED))
    except WasmError as e:
        click.echo(f"{file}: {explain(e, file, data)}", err=True)
        return Exit.FINDINGS
    if output is None:
        click.echo(text, nl=False)
    else:
        output.write_text(text, "utf-8")
    return Exit.CLEAN
