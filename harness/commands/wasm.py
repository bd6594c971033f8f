"""``wfuzz wasm``: a module as bytes."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from engine.binary import encode
from engine.errors import WasmError
from engine.features import EXECUTED
from engine.text.parser import parse
from harness.cli import Exit
from harness.modules import explain, read_input

__all__ = ["wasm"]


@click.command(
    epilog="""\b
Examples:
  wfuzz wasm add.wat                  writes add.wasm
  wfuzz wasm add.wat -o build/add.wasm
  wfuzz wasm add.wat --no-names -o - | wfuzz validate -
Exit status: 1 if the text is malformed.
"""
)
@click.argument("file", metavar="FILE|-")
@click.option(
    "-o", "--output", metavar="FILE|-", help="Where to.  [default: FILE with .wasm, the screen for standard input]"
)
@click.option("--names/--no-names", default=True, help="Keep identifiers in a name section.", show_default=True)
def wasm(file: str, output: str | None, names: bool) -> int:
    """Assemble a module in the text format.  The module need not be valid."""
    target = output or ("-" if file == "-" else str(Path(file).with_suffix(".wasm")))
    if target == file != "-":
        raise click.UsageError(f"{file} would be overwritten: name another file with -o")
    data = read_input(file)
    try:
        binary = encode(parse(data, EXECUTED, names=names))
    except WasmError as e:
        click.echo(f"{file}: {explain(e, file, data)}", err=True)
        return Exit.FINDINGS
    if target == "-":
        sys.stdout.buffer.write(binary)
    else:
        Path(target).write_bytes(binary)
    return Exit.CLEAN
