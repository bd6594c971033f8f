"""Which findings are the same bug, as far as their symptoms tell.

A signature is one line of text, ``ORACLES RULE STEP ASPECT: LEFT CLASS / RIGHT CLASS``, for instance ``reference
wasmtime R4 call trap: trapped: unreachable / trapped: integer overflow``.  It has no values, names, indices or
addresses, so that two cases that meet one bug through different programs share it, and so that it survives reduction.
It is stable: it is written into cases, and a change of its form is a new case format.  Oracle ids enter without their
versions, because one bug lives in many versions.  Two bugs with one symptom share a signature too; hence up to ``KEEP``
cases of each are kept.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness.compare import Differ

__all__ = ["KEEP", "keep_lowest", "signature", "slug", "unversioned"]

KEEP = 5


def unversioned(oracle: str) -> str:
    """Return an oracle id without its version and its way to count: ``wasmer@1.1:singlepass`` is
    ``wasmer:singlepass``, ``reference:fuel=wasmtime-50`` is ``reference``."""
    name, _, variant = oracle.partition(":")
    kept = "+".join(part for part in variant.split("+") if not part.startswith("fuel="))
    return name.partition("@")[0] + (f":{kept}" if kept else "")


def signature(left: str, right: str, verdict: Differ) -> str:
    """Return the signature of a finding between two oracles, given by id."""
    where = f"{verdict.rule} {verdict.step_kind} {verdict.aspect}"
    return f"{unversioned(left)} {unversioned(right)} {where}: {verdict.left_class} / {verdict.right_class}"


def slug(signature: str) -> str:
    """Return the directory name of a signature: a readable part and twelve hex digits of its SHA-256."""
    head = "".join(c if c.isascii() and c.isalnum() else "-" for c in signature.partition(": ")[0].lower())
    return f"{'-'.join(filter(None, head.split('-')))[:60]}-{hashlib.sha256(signature.encode()).hexdigest()[:12]}"


def keep_lowest(indices: Iterable[int], new: int) -> tuple[bool, list[int]]:
    """Return whether the case of index ``new`` is kept beside ``indices``, and which of those then go.

    The lowest ``KEEP`` indices stay, whatever the order of arrival, so that jobs do not change which cases are kept.
    """
    kept = sorted({*indices, new})[:KEEP]
    return new in kept, sorted(set(indices) - set(kept))
