"""Patterns compare bits and leave open only what scripts leave open."""

from __future__ import annotations

import pytest

from harness.wast.values import TOPS, Either, Exact, Lanes, Nan, NullRef, SomeRef, null_type, number, vector

CANONICAL, QUIET, SIGNALLING, INFINITE = 0x7FC00000, 0x7FC00001, 0x7F800001, 0x7F800000
NEGATIVE = 0x80000000


@pytest.mark.parametrize(
    ("bits", "canonical", "arithmetic"),
    [
        (CANONICAL, True, True),
        (CANONICAL | NEGATIVE, True, True),
        (QUIET, False, True),
        (QUIET | NEGATIVE, False, True),
        (SIGNALLING, False, False),
        (INFINITE, False, False),
        (0, False, False),
    ],
)
def test_classes_of_nan(bits, canonical, arithmetic):
    value = number("f32", bits)
    assert Nan("f32", "canonical").matches(value) is canonical
    assert Nan("f32", "arithmetic").matches(value) is arithmetic
    lanes = number("v128", bits << 32)
    assert Lanes(32, (0, "canonical", 0, 0)).matches(lanes) is canonical
    assert Lanes(32, (0, "arithmetic", 0, 0)).matches(lanes) is arithmetic


def test_a_nan_has_the_type_that_was_asked_for():
    assert Nan("f64", "canonical").matches(number("f64", 0x7FF8000000000000))
    assert not Nan("f64", "canonical").matches(number("f32", CANONICAL))


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (number("f32", 0), number("f32", NEGATIVE)),
        (number("f32", QUIET), number("f32", CANONICAL)),
        (number("i32", 0), number("f32", 0)),
        (number("i32", 1), number("i64", 1)),
        (("externref", 1), ("externref", 2)),
        (("anyref", {"host": 1}), ("anyref", {"host": 2})),
        (("anyref", {"host": 1}), ("anyref", {"i31": 1})),
    ],
)
def test_exact_means_every_bit_and_the_type(a, b):
    assert Exact(a).matches(a)
    assert not Exact(a).matches(b)
    assert not Exact(b).matches(a)


def test_a_vector_of_lanes_has_lane_zero_lowest():
    assert vector([1, 2], 64) == ("v128", "00000000000000020000000000000001")
    assert Lanes(64, (1, 2)).matches(vector([1, 2], 64))
    assert not Lanes(64, (2, 1)).matches(vector([1, 2], 64))
    assert not Lanes(64, (1, 2)).matches(number("i64", 1))


@pytest.mark.parametrize(
    ("heap", "top"), [("nofunc", "func"), ("noextern", "extern"), ("none", "any"), ("i31", "any"), ("noexn", "exn")]
)
def test_nulls_are_compared_by_the_top_of_their_hierarchy(heap, top):
    null = (null_type(heap), None)
    assert TOPS[heap] == top
    assert NullRef(top).matches(null)
    assert NullRef(None).matches(null)
    assert not any(NullRef(other).matches(null) for other in {"func", "extern", "any", "exn"} - {top})


def test_a_reference_is_no_null_and_a_number_neither():
    assert not NullRef(None).matches(("funcref", 0))
    assert not NullRef(None).matches(number("i32", 0))
    assert not SomeRef(None).matches(("funcref", None))
    assert not SomeRef(None).matches(number("i32", 0))
    assert null_type("nonsense") is None


@pytest.mark.parametrize(
    ("value", "heaps"),
    [
        (("funcref", 0), {"func"}),
        (("externref", 0), {"extern"}),
        (("externref", 5), {"extern"}),
        (("exnref", "exn"), {"exn"}),
        (("anyref", {"i31": 0}), {"any", "eq", "i31"}),
        (("anyref", {"host": 0}), {"any"}),
        (("anyref", "struct"), {"any", "eq", "struct"}),
        (("anyref", "array"), {"any", "eq", "array"}),
        (("anyref", "eq"), {"any", "eq"}),
    ],
)
def test_references_match_the_heap_types_they_belong_to(value, heaps):
    every = {"func", "extern", "exn", "any", "eq", "i31", "struct", "array"}
    assert {heap for heap in every if SomeRef(heap).matches(value)} == heaps
    assert SomeRef(None).matches(value)


def test_either_is_one_of_several():
    either = Either((Exact(number("i32", 1)), NullRef("func")))
    assert either.matches(number("i32", 1))
    assert either.matches(("funcref", None))
    assert not either.matches(number("i32", 2))


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (Exact(number("f32", CANONICAL)), "f32:7fc00000"),
        (Nan("f32", "arithmetic"), "f32:nan:arithmetic"),
        (Lanes(64, (1, "canonical")), "v128:[0000000000000001 nan:canonical]"),
        (NullRef("func"), "ref.null func"),
        (NullRef(None), "ref.null"),
        (SomeRef("i31"), "ref.i31"),
        (Either((SomeRef(None), NullRef(None))), "either(ref, ref.null)"),
    ],
)
def test_patterns_print_what_a_script_would_say(pattern, text):
    assert str(pattern) == text
