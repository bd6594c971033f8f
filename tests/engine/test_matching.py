"""Subtyping and equivalence of closed types, within and between modules."""

from __future__ import annotations

import gc
from weakref import ref as weak

import pytest

from engine import InvalidError, matching
from engine.matching import (
    close_rectype,
    close_valtype,
    matches,
    matches_comp,
    matches_extern,
    matches_heap,
    matches_limits,
    matches_results,
    top,
)
from engine.types import (
    ANY,
    ARRAY,
    BOT,
    EQ,
    EXN,
    EXNREF,
    EXTERN,
    EXTERNREF,
    F32,
    FUNC,
    FUNCREF,
    I8,
    I31,
    I32,
    I64,
    NOEXN,
    NOEXTERN,
    NOFUNC,
    NONE,
    STRUCT,
    ArrayType,
    DefType,
    FieldType,
    FuncType,
    GlobalType,
    Limits,
    MemType,
    RecIdx,
    RecType,
    StructType,
    SubType,
    TableType,
    TagType,
    func_deftype,
    ref,
)


def closed(*groups: RecType) -> list[DefType]:
    types: list[DefType] = []
    for group in groups:
        types += close_rectype(group, types)
    return types


def one(comp, *supers, final=True):
    return RecType((SubType(final, supers, comp),))


def func(params=(), results=()):
    return FuncType(tuple(params), tuple(results))


CHAINS = [
    (NONE, I31, EQ, ANY),
    (NONE, STRUCT, EQ, ANY),
    (NONE, ARRAY, EQ, ANY),
    (NOFUNC, FUNC),
    (NOEXTERN, EXTERN),
    (NOEXN, EXN),
]
ABOVE = {(a, b) for chain in CHAINS for i, a in enumerate(chain) for b in chain[i:]}


@pytest.mark.parametrize("h2", sorted({h for pair in ABOVE for h in pair}, key=str))
@pytest.mark.parametrize("h1", sorted({h for pair in ABOVE for h in pair}, key=str))
def test_abstract_heap_types(h1, h2):
    assert matches_heap(h1, h2) == ((h1, h2) in ABOVE)


def test_nullability_goes_one_way():
    assert matches(ref(False, FUNC), FUNCREF)
    assert not matches(FUNCREF, ref(False, FUNC))
    assert not matches(FUNCREF, EXTERNREF)
    assert matches(ref(True, NOFUNC), FUNCREF)


def test_numbers_match_only_themselves():
    assert matches(I32, I32)
    assert not matches(I32, I64)
    assert not matches(I32, FUNCREF)
    assert not matches(FUNCREF, I32)


def test_equal_types_of_two_modules_are_the_same_object():
    a = closed(one(func([I32])), one(func([ref(True, 0)])), one(StructType((FieldType(I8, True),)), final=False))
    b = closed(
        one(func([F32])),
        one(func([I32])),
        one(func([ref(True, 1)])),
        one(StructType((FieldType(I8, True),)), final=False),
    )
    assert a[0] is b[1]
    assert a[1] is b[2]
    assert a[2] is b[3]


def test_a_plain_function_type_is_the_one_of_func_deftype():
    assert closed(one(func([I32], [I64])))[0] is func_deftype(func([I32], [I64]))
    assert closed(one(func([I32], [I64]), final=False))[0] is not func_deftype(func([I32], [I64]))


def test_recursive_groups_are_equal_by_structure_not_by_unrolling():
    node = StructType((FieldType(ref(True, 0), True),))
    shifted = StructType((FieldType(ref(True, 1), True),))
    (a,) = closed(one(node))
    _, b = closed(one(func()), one(shifted))
    assert a is b
    assert a.comp.fields[0].storage is ref(True, a)
    pair = RecType((SubType(True, (), StructType((FieldType(ref(True, 1), True),))), SubType(True, (), node)))
    c, d = closed(pair)
    assert c is not d
    assert a not in (c, d)
    assert c.sub.comp.fields[0].storage is ref(True, d)


def test_group_members_are_relative_in_the_rolled_form():
    (a,) = closed(one(StructType((FieldType(ref(True, 0), False),))))
    assert a.rec.subtypes[0].comp.fields[0].storage is ref(True, RecIdx(0))


def test_declared_supertypes_and_their_hierarchy():
    types = closed(
        one(StructType(()), final=False),
        one(StructType((FieldType(I32, False),)), 0, final=False),
        one(StructType((FieldType(I32, False), FieldType(I64, False))), 1),
        one(ArrayType(FieldType(I8, True))),
        one(func(), final=False),
    )
    base, middle, leaf, array, function = types
    assert matches_heap(leaf, base)
    assert matches_heap(leaf, middle)
    assert not matches_heap(base, leaf)
    assert matches_heap(leaf, STRUCT)
    assert not matches_heap(leaf, ARRAY)
    assert matches_heap(array, ARRAY)
    assert matches_heap(array, EQ)
    assert matches_heap(NONE, array)
    assert not matches_heap(NOFUNC, array)
    assert matches_heap(NOFUNC, function)
    assert not matches_heap(STRUCT, base)
    assert [top(h) for h in (leaf, array, function, NOEXTERN, EXN)] == [ANY, ANY, FUNC, EXTERN, EXN]


def test_an_unknown_index_is_invalid():
    with pytest.raises(InvalidError, match="unknown type 1"):
        closed(one(func([ref(True, 1)])))
    with pytest.raises(InvalidError, match="unknown type 0"):
        close_valtype(ref(True, 0), [])


def test_result_lists_match_element_by_element():
    assert matches_results((ref(False, FUNC), I32), (FUNCREF, I32))
    assert not matches_results((I32,), (I32, I32))


def test_function_types_are_contravariant_in_parameters():
    narrow, wide = ref(True, NOFUNC), FUNCREF
    assert matches_comp(func([wide], [narrow]), func([narrow], [wide]))
    assert not matches_comp(func([narrow], [wide]), func([wide], [wide]))


def test_fields_are_covariant_unless_mutable_and_structures_may_be_wider():
    narrow, wide = ref(True, NONE), ref(True, ANY)
    assert matches_comp(
        StructType((FieldType(narrow, False), FieldType(I32, True))), StructType((FieldType(wide, False),))
    )
    assert not matches_comp(StructType((FieldType(narrow, True),)), StructType((FieldType(wide, True),)))
    assert not matches_comp(StructType(()), StructType((FieldType(I32, True),)))
    assert not matches_comp(ArrayType(FieldType(I8, True)), ArrayType(FieldType(I8, False)))
    assert not matches_comp(ArrayType(FieldType(I8, True)), StructType((FieldType(I8, True),)))


@pytest.mark.parametrize(
    ("provided", "wanted", "fits"),
    [
        ((1, None), (1, None), True),
        ((2, None), (1, None), True),
        ((0, None), (1, None), False),
        ((1, 5), (1, 5), True),
        ((1, 4), (1, 5), True),
        ((1, 6), (1, 5), False),
        ((1, None), (1, 5), False),
        ((1, 5), (1, None), True),
    ],
)
def test_limits(provided, wanted, fits):
    assert matches_limits(Limits(*provided), Limits(*wanted)) == fits
    assert matches_extern(MemType(Limits(*provided)), MemType(Limits(*wanted))) == fits
    assert matches_extern(TableType(FUNCREF, Limits(*provided)), TableType(FUNCREF, Limits(*wanted))) == fits


def test_external_types():
    f = func_deftype(func([I32]))
    limits = Limits(1)
    assert matches_extern(f, func_deftype(func([I32])))
    assert not matches_extern(f, func_deftype(func([I64])))
    assert not matches_extern(f, MemType(limits))
    assert not matches_extern(MemType(limits), MemType(limits, I64))
    assert not matches_extern(MemType(limits, shared=True), MemType(limits))
    assert not matches_extern(MemType(limits, page_bits=0), MemType(limits))
    assert not matches_extern(TableType(FUNCREF, limits), TableType(EXTERNREF, limits))
    assert not matches_extern(TableType(ref(False, FUNC), limits), TableType(FUNCREF, limits))
    assert not matches_extern(TableType(FUNCREF, limits), TableType(FUNCREF, limits, I64))
    assert matches_extern(GlobalType(False, ref(False, FUNC)), GlobalType(False, FUNCREF))
    assert not matches_extern(GlobalType(True, ref(False, FUNC)), GlobalType(True, FUNCREF))
    assert not matches_extern(GlobalType(True, I32), GlobalType(False, I32))
    assert matches_extern(GlobalType(True, EXNREF), GlobalType(True, EXNREF))
    assert matches_extern(TagType(f), TagType(f))
    assert not matches_extern(TagType(f), TagType(func_deftype(func())))


def test_a_recursive_type_has_a_short_name():
    (a,) = closed(one(StructType((FieldType(ref(True, 0), True),))))
    assert str(ref(True, a)) == "(ref null <struct>)"


def test_types_that_nobody_uses_are_forgotten_with_what_mentions_them():
    a, b = closed(
        RecType(
            (
                SubType(True, (), ArrayType(FieldType(ref(True, 1), False))),
                SubType(False, (), FuncType((ref(False, 0),), ())),
            )
        )
    )
    f = func_deftype(func([ref(True, a)]))
    seen = [weak(t) for t in (a, b, f, ref(True, a), ref(False, b))]
    gc.collect()
    assert all(found() is not None for found in seen[:3])
    del a, b, f
    gc.collect()
    assert [found() for found in seen] == [None] * 5


def test_one_type_keeps_its_group():
    group = RecType((SubType(True, (), StructType(())), SubType(True, (), ArrayType(FieldType(ref(True, 0), False)))))
    last = closed(group)[1]
    gc.collect()
    assert closed(group)[1] is last
    assert last.comp.field.storage.heap is closed(group)[0]


def test_bottom_is_below_every_reference_and_no_number():
    (a,) = closed(one(StructType(())))
    assert all(
        matches(ref(False, BOT), ref(null, heap))
        for heap in (ANY, FUNC, EXTERN, EXN, NONE, a)
        for null in (True, False)
    )
    assert not matches(ref(False, BOT), I32)
    assert not matches(ref(True, BOT), ref(False, ANY))


class Thing:
    def __init__(self, type_: object) -> None:
        self.type = type_


def test_references_are_told_apart_by_their_type():
    a, b, f = closed(
        RecType((SubType(False, (), StructType(())),)), RecType((SubType(True, (0,), StructType(())),)), one(func())
    )
    things = {"i31": 5, "a": Thing(a), "b": Thing(b), "array": Thing(closed(one(ArrayType(FieldType(I8, True))))[0])}
    things |= {"function": Thing(f), "host": Thing(EXTERN)}
    internal = {"i31", "a", "b", "array", "host"}  # what a host made is internal once it is converted

    def found(heap: object, among: set[str]) -> set[str]:
        return {name for name in among if matching.tester(heap)(things[name])}

    assert found(ANY, internal) == internal
    assert found(EQ, internal) == internal - {"host"}
    assert found(I31, internal) == {"i31"}
    assert found(STRUCT, internal) == {"a", "b"}
    assert found(ARRAY, internal) == {"array"}
    assert found(NONE, internal) == set()
    assert found(a, internal) == {"a", "b"}
    assert found(b, internal) == {"b"}
    assert found(EXTERN, internal) == internal
    assert found(NOEXTERN, internal) == set()
    assert found(FUNC, {"function"}) == found(f, {"function"}) == {"function"}
    assert found(NOFUNC, {"function"}) == set()
