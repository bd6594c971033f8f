"""``wfuzz validate``: whether modules are valid, and why not."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING

import click

from engine import features as known
from engine.features import COMPATIBLE, FEATURES, MVP
from harness.cli import Exit
from harness.modules import judge, read_input

if TYPE_CHECKING:
    from engine.features import FeatureSet

__all__ = ["validate"]

_SETS: dict[str, FeatureSet] = {
    "wasm1": known.WASM_1, "wasm2": known.WASM_2, "wasm3": known.WASM_3, "compatible": COMPATIBLE, "all": known.ALL,
}  # fmt: skip
_NAMES = fill(", ".join(FEATURES), 78, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)


def _features(ctx: click.Context, param: click.Parameter, text: str | None) -> FeatureSet:
    """Return the features that a comma-separated list of names and sets stands for."""
    if text is None:
        return COMPATIBLE
    found: set[known.Feature] = {MVP}
    for name in text.split(","):
        if name not in _SETS and name not in FEATURES:
            names = ", ".join([*_SETS, *FEATURES])
            raise click.BadParameter(f"{name!r} is no feature or set of features; known are {names}")
        found |= _SETS.get(name) or {FEATURES[name]}
    return frozenset(found)


@click.command(
    epilog=f"""\b
Examples:
  wfuzz validate add.wasm
  wfuzz validate *.wasm *.wat
  wfuzz validate add.wat --features wasm1
  wfuzz validate add.wat --features wasm2,tail-call
  wfuzz validate exact.wat --features all
Sets: wasm1, wasm2, wasm3 are the standard by its versions; compatible is wasm3 and the proposals that leave its rules
as they are; all has custom-descriptors too, under which br_on_cast and br_on_cast_fail have other types.
Features:
{_NAMES}
Exit status: 0 if all are valid, 1 if one is malformed or invalid, 5 if one needs a feature that is not executed.
"""
)
@click.argument("files", nargs=-1, required=True, metavar="FILE|- ...")
@click.option(
    "--features", callback=_features, metavar="NAME,...",
    help="What modules may use: features, or the sets wasm1, wasm2, wasm3, compatible, all.  [default: compatible]",
)  # fmt: skip
def validate(files: tuple[str, ...], features: FeatureSet) -> int:
    """Say of each module, in binary or text form, whether it is valid; where it is not, where and why."""
    words = set()
    for file in files:
        verdict = judge(file, read_input(file), features)
        words.add(verdict.word)
        click.echo(f"{file}: {verdict.word}" + (f": {verdict.explanation}" if verdict.explanation else ""))
    if words & {"malformed", "invalid"}:
        return Exit.FINDINGS
    return Exit.INCONCLUSIVE if "unsupported" in words else Exit.CLEAN
