"""The canonical text of a snapshot: JSON in ASCII, names sorted, no spaces."""

from __future__ import annotations

import json
from typing import Any

from engine.snapshot.plain import SnapshotError

__all__ = ["dumps", "loads"]

MAX_BYTES = 1 << 30
_MAX_DIGITS = 40


def dumps(data: dict[str, Any]) -> str:
    """Return the one text of a snapshot."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)


def loads(text: str | bytes, max_bytes: int = MAX_BYTES) -> Any:
    """Return the plain data of a text, or raise SnapshotError where it is no JSON, or says a name twice."""
    if len(text) > max_bytes:
        raise SnapshotError(f"a text of more than {max_bytes} bytes")
    try:
        return json.loads(
            text, object_pairs_hook=_once, parse_constant=_refuse, parse_int=_integer, parse_float=_refuse
        )
    except (ValueError, RecursionError) as e:
        raise SnapshotError(f"not the text of a snapshot: {e}") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise SnapshotError("an object that says a name twice")
    return found


def _integer(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise SnapshotError(f"an integer of {len(digits)} digits")
    return int(digits)


def _refuse(what: str) -> Any:
    raise SnapshotError(f"{what[:_MAX_DIGITS]} is no integer")
