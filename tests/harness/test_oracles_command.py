"""``wfuzz oracles``: what is here and what is not, and installing with one sentence where it cannot be done."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import platformdirs
import pytest
from click.testing import CliRunner

from harness.cli import Exit
from harness.commands.oracles import oracles
from oracles import side
from oracles.adapter import IDS

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _nothing_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda _: tmp_path / "cache")


def invoke(*args: str) -> Any:
    return CliRunner().invoke(oracles, args)


def test_the_list_has_every_oracle_with_its_version_or_the_cure() -> None:
    result = invoke()
    assert result.exit_code == Exit.CLEAN
    lines = {line.split()[0]: line for line in result.output.splitlines()}
    assert set(IDS) <= set(lines)
    assert "50." in lines["wasmtime"]
    assert "wfuzz oracles install wasmer@1.1" in lines["wasmer@1.1:singlepass"]


def test_the_list_as_json_has_capabilities_and_reasons() -> None:
    found = {entry["id"]: entry for entry in json.loads(invoke("--json").output)}
    assert set(found) == set(IDS)
    assert found["wasmtime:winch"]["available"] is True
    assert "engine" not in found["wasmtime:winch"]["nan"]
    assert "after-trap" not in found["wasmer"]["can"]
    assert found["wasmer@1.1:cranelift"] == {
        "id": "wasmer@1.1:cranelift", "available": False,
        "reason": "wasmer@1.1 is not installed; install it with: wfuzz oracles install wasmer@1.1",
    }  # fmt: skip


def test_installing_without_an_interpreter_is_a_problem_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side, "candidates", lambda _: [])
    result = invoke("install", "wasmer@1.1")
    assert result.exit_code == Exit.ENVIRONMENT
    assert result.output == "Error: no CPython 3.10 found for wasmer@1.1; name one with --python\n"


def test_installing_what_needs_nothing_is_a_wrong_use() -> None:
    result = invoke("install", "wasmtime")
    assert result.exit_code == Exit.USAGE
    assert "wasmtime needs no environment" in result.output
