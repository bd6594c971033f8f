"""The bytes of a module, now and then others than the shortest: what decoders must take and no compiler writes.

Everything else of a case is drawn before, so a tape that ends earlier has the canonical bytes of the same module, and
a finding that does not need the others loses them with the end of its tape.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING

from engine.binary import Form, encode
from engine.binary.padding import pad
from engine.features import BULK_MEMORY, EXCEPTIONS, GC, REFERENCE_TYPES
from engine.module import Custom

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.module import Module
    from generators.profile import Profile
    from generators.source import Source

__all__ = ["write"]

_NAMES = (
    "",
    "x",
    "name",
    "metadata.code.branch_hint",
    "\u00e9",
)  # contents that are not what the name says are ignored
_PLACES = (0, 10)  # before everything, and behind the bodies


def write(source: Source, profile: Profile, module: Module) -> bytes:
    """Return bytes of ``module``, perhaps with custom sections, in one of the forms that the features have."""
    if not source.chance(profile.form_percent):
        return encode(module)
    features = profile.features
    with source.span("form"):
        form = Form(
            explicit_index=source.chance(50) and {BULK_MEMORY, REFERENCE_TYPES} <= features,
            explicit_types=source.chance(50) and GC in features,
            empty_sections=source.chance(50) and EXCEPTIONS in features,  # that of tags is among them
        )
        customs = tuple(_custom(source) for _ in range(source.below(3)))
        wasm = encode(replace(module, customs=(*module.customs, *customs)), form)
        return pad(wasm, _choose_extra(source), features) if source.chance(60) else wasm


def _custom(source: Source) -> Custom:
    return Custom(
        source.choose(_NAMES), source.bits(64).to_bytes(8, "little")[source.below(9) :], source.choose(_PLACES)
    )


def _choose_extra(source: Source) -> Callable[[int], int]:
    """Return by how much to lengthen each integer in turn: every so many of them, after the first few."""
    every = source.choose((97, 17, 5, 2, 1))
    numbers = count(-source.below(200))
    bytes_ = source.between(1, 9)

    def extra(most: int) -> int:
        n = next(numbers)
        return min(bytes_, most) if n >= 0 and n % every == 0 else 0

    return extra
