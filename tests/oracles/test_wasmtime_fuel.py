"""How wasmtime counts: what its worker finds out at its start, and that our models say the same."""

from __future__ import annotations

import pytest

from oracles.adapters import reference, wasmtime
from oracles.adapters.wasmtime_api import VARIANTS
from oracles.adapters.wasmtime_fuel import MEASUREMENTS, MODELS, START, fitting, measure


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_worker_names_the_model_that_fits(variant: str) -> None:
    description = wasmtime.adapter(variant).describe()
    assert description.fuel_model == "wasmtime 50" + (f":{variant}" if variant in ("winch", "pulley") else "")
    assert description.fuel_note == ""


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("text", MEASUREMENTS, ids=["core", "more", "startup", "images", "throwing"])
def test_our_model_of_the_name_leaves_what_the_column_says(model: str, text: str) -> None:
    ours = reference.adapter("fuel=" + model.replace(" ", "-").replace(":", "-"))
    assert ours.describe().fuel_model == model
    rows, column = MEASUREMENTS[text], MODELS.index(model)
    for (export, args, fuel, wanted), left in zip(rows, measure(text, ours.open), strict=True):
        assert wanted[column] in (left, None), (export or "instantiation", args, fuel)


def test_an_engine_that_no_model_fits_says_what_it_did() -> None:
    model, note = fitting(reference.adapter("fuel=unit").open)
    assert model == ""
    assert note.startswith(f"it counts by none of {len(MODELS)} fuel models: ")
    assert " by wasmtime " in note


def test_every_measurement_tells_something() -> None:
    rows = [(text, *row) for text, rows in MEASUREMENTS.items() for row in rows]
    assert len({row[:4] for row in rows}) >= len(rows) - 1  # growing twice
    assert all(any(left is not None for left in wanted) for *_, wanted in rows)
    assert rows[0][1] == START
