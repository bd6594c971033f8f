"""The generator makes every row but those that it has a reason not to make."""

from __future__ import annotations

from engine.features import CUSTOM_DESCRIPTORS, EXECUTED
from engine.instructions import TABLE
from generators.module import generate
from generators.profile import PRESETS
from generators.source import Source

WITHOUT = {CUSTOM_DESCRIPTORS: "no engine to compare with executes them, and they change the types of other rows"}
MOST = 3000  # modules; the last row is mostly met after 400 to 800 of them


def test_every_row_is_generated() -> None:
    wanted = {row.name for row in TABLE if row.feature in EXECUTED and row.feature not in WITHOUT}
    for i in range(MOST):
        wanted -= made(i)
        if not wanted:
            break
    assert wanted == set()


def test_what_is_not_generated_is_in_no_profile() -> None:
    assert all(not profile.features & set(WITHOUT) for profile in PRESETS.values())


def made(i: int) -> set[str]:
    """Return the names of the rows of a module."""
    codes = generate(Source.fresh(11, i), PRESETS["standard"]).module.codes
    return {instruction.row.name for code in codes for instruction in code.body}
