"""The page on the protocol shows what happens, and the schemas describe what is sent."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from oracles.adapter import ACTIONS, Description
from oracles.conformance import CHECKS
from oracles.outcome import OUTCOMES, Record
from oracles.plan import STEP_KINDS, Plan
from oracles.process import Oracle
from oracles.protocol import PROTOCOL, hello

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "oracle-protocol.md").read_text()
MESSAGES: list[dict[str, Any]] = [
    json.loads(line) for line in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)[0].splitlines()
]


@cache
def schema(name: str) -> Draft202012Validator:
    data = json.loads((DOCS / "schemas" / f"{name}.schema.json").read_text())
    Draft202012Validator.check_schema(data)
    return Draft202012Validator(data)


def without_us(record: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in json.loads(json.dumps(record)).items() if k != "us"}


def test_the_transcript_is_what_the_worker_says() -> None:
    request = next(m["parent"] for m in MESSAGES if "parent" in m)
    shown = [m["worker"]["record"] for m in MESSAGES if "record" in m.get("worker", {})]
    with Oracle("wasmtime") as oracle:
        records = oracle.run(Plan.from_json(request["plan"]))
    assert [without_us(r.to_json()) for r in records] == [without_us(r) for r in shown]
    assert MESSAGES[-1]["worker"] == {"id": request["id"], "end": len(shown)}


def test_the_transcript_fits_the_schemas() -> None:
    schema("handshake").validate(MESSAGES[0]["worker"])
    assert MESSAGES[0]["worker"]["protocol"] == PROTOCOL
    Description.from_json(MESSAGES[0]["worker"]["description"])
    for message in MESSAGES:
        if "parent" in message:
            schema("plan").validate(message["parent"]["plan"])
        elif "record" in message["worker"]:
            schema("record").validate(message["worker"]["record"])


@pytest.mark.parametrize("check", CHECKS, ids=lambda c: c.name)
def test_every_plan_and_record_of_the_kit_fits_the_schemas(check: Any) -> None:
    schema("plan").validate(json.loads(json.dumps(check.plan.to_json())))
    for i, (outcome, data) in enumerate(check.expected):
        schema("record").validate(json.loads(json.dumps(Record(i, outcome, data).to_json())))


def test_every_hello_fits_the_schema() -> None:
    schema("handshake").validate(hello(Description("e", "1")))
    schema("handshake").validate({"protocol": 1, "unavailable": "not here"})


def test_the_schemas_know_every_kind() -> None:
    plan, record = (json.loads((DOCS / "schemas" / f"{n}.schema.json").read_text()) for n in ("plan", "record"))
    steps = {s["properties"]["kind"]["const"] for s in plan["properties"]["steps"]["items"]["oneOf"]}
    assert steps == set(STEP_KINDS)
    actions = plan["properties"]["hosts"]["additionalProperties"]["properties"]["actions"]["items"]["anyOf"]
    assert {a["prefixItems"][0]["const"] for a in actions} == set(ACTIONS)
    assert {o["properties"]["kind"]["const"] for o in record["properties"]["outcome"]["oneOf"]} == set(OUTCOMES)


def test_the_schemas_refuse_what_is_wrong() -> None:
    plan = MESSAGES[1]["parent"]["plan"]
    steps = [{"kind": "dance"}], [{"kind": "validate"}]
    for change in ({"format": 2}, {"nan": "some"}, {"steps": steps[0]}, {"steps": steps[1]}, {"x": 1}):
        assert not schema("plan").is_valid({**plan, **change})
    assert not schema("record").is_valid({"step": 0, "outcome": {"kind": "returned"}})
    assert not schema("record").is_valid({"step": 0, "outcome": {"kind": "delighted"}})
    assert not schema("handshake").is_valid({"protocol": 2, "unavailable": "no"})


def test_the_worker_of_the_transcript_does_every_kind_of_step() -> None:
    assert MESSAGES[0]["worker"]["description"]["steps"] == list(STEP_KINDS)


@pytest.mark.parametrize("word", [*STEP_KINDS, *ACTIONS, *OUTCOMES])
def test_the_page_explains_every_word(word: str) -> None:
    assert f"`{word}`" in PAGE or f'["{word}"' in PAGE
