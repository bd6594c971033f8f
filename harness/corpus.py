"""Many cases on disk: the findings of a campaign, a directory of regressions, or a single case.

A corpus is data only and always reached by a path that somebody gave.  Its cases are those directories, at any depth up
to ``MAX_DEPTH``, that hold a ``case.json``; what lies inside a case (its ``reduced`` form) is part of that case.  Links
are not followed.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from harness.case import CaseError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["MAX_CASES", "MAX_DEPTH", "case_directories"]

MAX_DEPTH = 6
MAX_CASES = 10_000


def case_directories(path: Path) -> list[Path]:
    """Return the cases at or below a path, sorted; raise CaseError where there is none or there are too many."""
    found = []
    for directory in _walk(path, 0):
        found.append(directory)
        if len(found) > MAX_CASES:
            raise CaseError(f"{path} holds more than {MAX_CASES} cases")
    if not found:
        raise CaseError(f"{path} holds no case")
    return sorted(found)


def _walk(path: Path, depth: int) -> Iterator[Path]:
    try:
        with os.scandir(path) as entries:
            inside = sorted(entries, key=lambda e: e.name)
    except OSError as e:
        raise CaseError(f"{path} cannot be read as a directory: {e.strerror}") from None
    if any(e.name == "case.json" for e in inside):
        yield path
    elif depth < MAX_DEPTH:
        for entry in inside:
            if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                yield from _walk(path / entry.name, depth + 1)
