"""The gate of determinism: a campaign in two ways, and that it would notice."""

from __future__ import annotations

from ci.gates.determinism import Variant, complaints, run


def test_two_processes_and_another_hash_seed_change_nothing():
    campaign = ["--oracle", "wasmtime", "--seed", "7", "--cases", "12"]
    one = run(Variant("one"), campaign)
    two = run(Variant("two", args=("--jobs", "2"), hash_seed="99"), campaign)
    assert complaints({"one": one, "two": two}) == []
    assert one["cases"] == two["cases"] == 12


def test_another_seed_gives_another_digest():
    campaign = ["--oracle", "wasmtime", "--cases", "3"]
    seven = run(Variant("seven"), [*campaign, "--seed", "7"])
    eight = run(Variant("eight"), [*campaign, "--seed", "8"])
    assert [c.split(":")[0] for c in complaints({"seven": seven, "eight": eight})] == ["the digests differ"]


def test_a_run_that_failed_is_noticed():
    failed = run(Variant("broken"), ["--oracle", "no-such-engine", "--cases", "1"])
    assert [c.split(":")[0] for c in complaints({"broken": failed})] == ["broken", "the digests differ"]


def test_findings_are_noticed():
    clean = {"exit": 0, "digest": "d"}
    assert complaints({"one": clean, "two": clean}) == []
    assert complaints({"one": clean, "two": {"exit": 1, "digest": "d"}}) == ["two: exit status 1"]
