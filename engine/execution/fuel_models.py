"""The fuel models by name: ours, and those of engines, exact to the unit (spec: none; each engine counts as it likes).

wasmtime charges 1 for every operator but those that make no code; it checks at the entry of functions and at loop
headers, where more than was spent must have been given; Cranelift and Pulley count in a register that traps lose, Winch
in memory at the end of each of its basic blocks.  Adding a model is adding an entry to ``MODELS``.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from engine.execution.fuel import Bulk, Check, FuelModel, Refund, Start
from engine.execution.sight import UNCHECKED
from engine.execution.startup import StartupFunctions
from engine.instructions.model import Control, Effect
from engine.types import Arrow

if TYPE_CHECKING:
    from engine.instructions.model import Instr

__all__ = ["MODELS", "UNIT", "fuel_model", "unit_model"]

_WORK = frozenset({Start.ENTRY, Start.LOOP, Start.BULK})  # where unbounded work may begin


# -- ours


@cache
def unit_model(pieces_per_unit: int | None = 1024) -> FuelModel:
    """Each instruction costs its row's ``fuel``, pieces of bulk operators one per ``pieces_per_unit``.

    A budget of n runs everything that costs n in all.  Traps refund nothing.  With ``pieces_per_unit`` None the fuel
    spent is the number of instructions executed.
    """
    return FuelModel(
        "unit", 0, "" if pieces_per_unit == 1024 else str(pieces_per_unit).lower(),
        flat=lambda row: row.fuel,
        check=Check.FITS,
        checks=_WORK,
        pieces=lambda row, n: 0 if pieces_per_unit is None else n // pieces_per_unit,
    )  # fmt: skip


UNIT = unit_model()


# -- wasmtime

_NO_CODE = frozenset({
    Control.NOP, Control.BLOCK, Control.LOOP, Control.ELSE, Control.END, Control.UNREACHABLE, Control.RETURN,
})  # fmt: skip
_BASIC_BLOCKS = frozenset({Control.END})  # where costs are summed up and lowering would not end a block
_BY_REFERENCE = frozenset({Control.BR_ON_NULL, Control.BR_ON_NON_NULL, Control.BR_ON_CAST})


def _one(row: Instr) -> int:
    """Return 1 for what makes code, that is all but ``drop`` and a few of the controls."""
    if row.control is not None:
        return int(row.control not in _NO_CODE)
    drops = row.effect is Effect.PURE and isinstance(row.type, Arrow) and row.type.pops and not row.type.pushes
    return int(not drops)


def _each(row: Instr, n: int) -> int:
    return n


_STARTUP = StartupFunctions(_one)

_WASMTIME_50 = FuelModel(
    "wasmtime", 50, "", flat=_one, entry=1, check=Check.REMAINS, checks=_WORK, pieces=_each, unchecked=UNCHECKED,
    refund=Refund.SAVED, startup=_STARTUP,
)  # fmt: skip
_WASMTIME_50_WINCH = FuelModel(
    "wasmtime", 50, "winch", flat=_one, entry=1, check=Check.REMAINS, checks=frozenset({Start.ENTRY, Start.LOOP}),
    pieces=_each, bulk=Bulk.FLAT, refund=Refund.BLOCK, splits=_BASIC_BLOCKS, startup=_STARTUP,
)  # fmt: skip

# Pulley's host is not that of the machine: its pages are of 64 KiB, by which the images of memories are copied.
_WASMTIME_50_PULLEY = replace(_WASMTIME_50, variant="pulley", startup=replace(_STARTUP, page_bits=16))

# Before 49, units of bulk operators are paid and checked before, those of memory.grow only checked.


def _but_pages(row: Instr, n: int) -> int:
    assert row.bulk is not None
    return 0 if row.bulk.unit == "page" else n


_STARTUP_48 = StartupFunctions(_one, before=True, loses_end=True)

_WASMTIME_48 = FuelModel(
    "wasmtime", 48, "", flat=_one, entry=1, check=Check.REMAINS, checks=frozenset({Start.ENTRY, Start.LOOP}),
    pieces=_but_pages, bulk=Bulk.BEFORE, unchecked=UNCHECKED, refund=Refund.SAVED, forgets=True, wraps=True,
    startup=_STARTUP_48,
)  # fmt: skip
_WASMTIME_48_WINCH = replace(_WASMTIME_50_WINCH, version=48, startup=_STARTUP_48)
_WASMTIME_48_PULLEY = replace(_WASMTIME_48, variant="pulley", startup=replace(_STARTUP_48, page_bits=16))

# In 36 nothing is counted by pieces, the host calls start functions, and branches on references do not sum up.
_WASMTIME_36 = FuelModel(
    "wasmtime", 36, "", flat=_one, entry=1, check=Check.REMAINS, checks=frozenset({Start.ENTRY, Start.LOOP}),
    pieces=_each, bulk=Bulk.FLAT, refund=Refund.SAVED, splits=_BASIC_BLOCKS, owes=_BY_REFERENCE, forgets=True,
)  # fmt: skip

# -- wasmi

_PIECES = {"byte": 1, "page": 1 << 16, "element": 4}  # bytes of each; a reference takes four


def _by_64_bytes(row: Instr, n: int) -> int:
    assert row.bulk is not None
    return n * _PIECES[row.bulk.unit] // 64


# The rules of wasmi 2 (what a charge is, where it is made, what growing and copying cost), over the cost of operators:
# what wasmi counts are the instructions of its own code, which depend on its optimiser.
_WASMI = FuelModel(
    "wasmi", 2, "", flat=_one, check=Check.FITS, checks=frozenset(Start), pieces=_by_64_bytes, bulk=Bulk.BEFORE,
)  # fmt: skip

MODELS: dict[tuple[str, int, str], FuelModel] = {
    (model.name, model.version, model.variant): model
    for model in (
        UNIT, unit_model(None), _WASMTIME_50, _WASMTIME_50_WINCH, _WASMTIME_50_PULLEY, _WASMTIME_48,
        _WASMTIME_48_WINCH, _WASMTIME_48_PULLEY, _WASMTIME_36, _WASMI,
    )
}  # fmt: skip


def fuel_model(name: str, version: int = 0, variant: str = "") -> FuelModel:
    """Return the model of an engine, or raise KeyError with the names of those there are."""
    try:
        return MODELS[name, version, variant]
    except KeyError:
        known = ", ".join(sorted(map(str, MODELS.values())))
        raise KeyError(f"no fuel model {name} {version} {variant!r}; known: {known}") from None
