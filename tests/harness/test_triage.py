"""Signatures: stable, free of numbers, and the rule that keeps a few cases of each."""

from __future__ import annotations

import itertools

from harness.compare import Differ
from harness.triage import KEEP, keep_lowest, signature, slug, unversioned

VERDICT = Differ("R2", 7, "result 1", "i32:1", "i32:2", "result", "call", "i32", "i32")


def test_a_signature_is_what_cases_on_disk_have():
    assert (
        signature("reference", "wasmer@1.1:singlepass", VERDICT)
        == "reference wasmer:singlepass R2 call result: i32 / i32"
    )


def test_versions_do_not_enter_a_signature():
    assert unversioned("wasmer@1.1:singlepass") == "wasmer:singlepass"
    assert unversioned("wasmtime@50.0.1") == "wasmtime"


def test_slugs_are_file_names_that_differ_with_the_signature():
    one, two = (slug(signature("reference", o, VERDICT)) for o in ("wasmtime", "wasmer"))
    assert one != two
    assert one.startswith("reference-wasmtime-r2-call-result-")
    assert all(c.isalnum() or c == "-" for c in one)


def test_the_lowest_indices_are_kept_whatever_the_order_of_arrival():
    for order in itertools.permutations(range(KEEP + 2)):
        kept: list[int] = []
        for index in order:
            keep, gone = keep_lowest(kept, index)
            kept = [i for i in kept if i not in gone] + ([index] if keep else [])
        assert sorted(kept) == list(range(KEEP))
