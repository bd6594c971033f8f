"""The gate of agreement about validity: a small run, and that it would notice."""

from __future__ import annotations

import pytest

from ci.gates import agreement
from ci.gates.agreement import SETS, compare
from engine import validate
from engine.errors import InvalidError
from engine.features import EXTENDED_CONST, GC, LEGACY_EXCEPTIONS, MVP
from tests.support.binary import func, module, section
from tests.support.wasm import wasm


@pytest.mark.parametrize("name", list(SETS))
def test_a_small_run_is_clean(name):
    counts, found = agreement.run_chunk(name, seed=2, start=0, end=150)
    assert found == []
    assert counts["both accept"] > 20
    assert counts["both reject"] > 20


def test_sets_are_what_both_can_be_configured_with():
    assert MVP in SETS["wasm-1"]
    assert EXTENDED_CONST in SETS["wasm-1"]  # wasmtime cannot do without
    assert GC not in SETS["wasm-2"]
    assert GC in SETS["wasm-3"]
    assert LEGACY_EXCEPTIONS not in SETS["all"]


def test_what_we_would_accept_alone_is_a_difference(monkeypatch):
    monkeypatch.setattr(agreement, "validate", lambda module, features: None)
    assert compare(func(b"\x6a\x0b"), SETS["all"]).startswith("! wasmtime rejects")


def test_what_we_would_reject_alone_is_a_difference(monkeypatch):
    def refuse(module, features):
        validate(module, features)
        raise InvalidError("type mismatch: nothing is right")

    monkeypatch.setattr(agreement, "validate", refuse)
    assert compare(wasm("(func)"), SETS["all"]).startswith("! we reject (invalid: type mismatch")


LONG_LIMIT = module(section(5, b"\1\0\x81\x80\x80\x80\x80\0"))


@pytest.mark.parametrize(("name", "word"), [
    ("wasm-2", "long sizes in limits (we are right)"), ("wasm-3", "both accept"),
])  # fmt: skip
def test_a_known_difference_needs_its_feature_to_be_off(name, word):
    assert compare(LONG_LIMIT, SETS[name]) == word
