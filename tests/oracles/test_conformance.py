"""Every adapter passes the kit, and the kit notices an adapter that does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from oracles import adapter
from oracles.adapter import Description
from oracles.conformance import CHECKS, failure, failures
from oracles.conformance_modules import TEXTS, binary
from oracles.outcome import Record, Returned, Unsupported
from oracles.plan import Plan, Step
from oracles.process import Oracle

if TYPE_CHECKING:
    from collections.abc import Iterator

    from oracles.conformance import Check

ENGINES = (
    "reference", "wasmtime", "wasmtime:none", "wasmtime:winch", "wasmtime:pulley", "reference:fuel=wasmtime-50",
    "reference:fuel=wasmtime-50-winch", "reference:restored", "reference:restored+fuel=wasmtime-50",
)  # fmt: skip


@pytest.fixture(scope="module", params=ENGINES)
def oracle(request: pytest.FixtureRequest) -> Iterator[Oracle]:
    with Oracle(request.param) as supervised:
        yield supervised


@pytest.fixture(scope="module")
def wasmtime() -> Iterator[Oracle]:
    with Oracle("wasmtime:none") as supervised:
        yield supervised


@pytest.mark.parametrize("check", CHECKS, ids=lambda c: c.name)
def test_every_adapter_passes_the_kit(oracle: Oracle, check: Check) -> None:
    assert failure(check, oracle.run, oracle.description) is None


@pytest.mark.parametrize("name", TEXTS)
def test_the_bytes_of_the_kit_are_those_of_its_texts(name: str) -> None:
    session = adapter.load("wasmtime").open(Plan((), texts={"t": TEXTS[name].encode()}))
    session.run(Step("assemble", {"module": "m", "text": "t"}))
    assert session.binary("m") == binary(name)
    session.close()


def test_the_kit_notices_a_wrong_value_a_lost_record_and_a_false_claim(wasmtime: Oracle) -> None:
    description = wasmtime.description

    def lying(plan: Plan) -> list[Record]:
        records = wasmtime.run(plan)
        last = records[-1].outcome
        if isinstance(last, Returned) and last.values and last.values[0][0] == "i32":
            records[-1] = Record(len(records) - 1, Returned((("i32", "0badf00d"),)))
        return records

    assert len(failures(lying, description)) > 5
    assert len(failures(lambda plan: wasmtime.run(plan)[:-1], description)) == len(CHECKS)
    refuse = [Record(0, Unsupported("everything"))]
    assert len(failures(lambda _: refuse, description)) == len(CHECKS)
    modest = Description("wasmtime", "50", steps=(), actions=(), types=(), sees=(), can=())
    assert len(failures(lambda _: refuse, modest)) < len(CHECKS)
