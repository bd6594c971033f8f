"""Phrases are the engine's, and merges are data with a reason."""

from __future__ import annotations

from engine.errors import TrapKind
from oracles.traps import MERGES, PHRASES, STACK, WASMER_TEXTS, WASMTIME_CODES, Merge, merged, wasmer_trap


def test_phrases_are_the_engines_trap_kinds() -> None:
    assert set(PHRASES) == {kind.value for kind in TrapKind}


def test_every_table_speaks_in_phrases() -> None:
    assert set(WASMTIME_CODES.values()) <= {*PHRASES, STACK}
    assert {phrase for _, phrase in WASMER_TEXTS} <= {*PHRASES, STACK}
    assert all(merge.phrases <= set(PHRASES) and merge.reason for merge in MERGES)


def test_wasmtime_cannot_tell_an_undefined_element_from_a_table_bound() -> None:
    assert "undefined element" in merged("out of bounds table access", "wasmtime", "50.0.1")
    assert merged("unreachable", "wasmtime", "50.0.1") == {"unreachable"}
    assert merged("undefined element", "reference", "0.1") == {"undefined element"}


def test_a_merge_applies_to_its_versions_only() -> None:
    merge = Merge("e", frozenset({"unreachable"}), "because", since="2.0", until="10.1")
    assert [merge.applies("e", v) for v in ("1.9", "2.0", "9.5.1", "10.1", "11")] == [False, True, True, False, False]
    assert not merge.applies("f", "3")


def test_wasmer_messages_become_phrases() -> None:
    assert wasmer_trap("undefined element: out of bounds table access") == "out of bounds table access"
    assert wasmer_trap("call stack exhausted") == STACK
    assert wasmer_trap("unheard of") is None
