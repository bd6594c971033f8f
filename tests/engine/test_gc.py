"""Structures, arrays and casts beyond what scripts can say: room, garbage, long chains, makers, limits."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from engine import Config, ExhaustionError, InvalidError, Store, Trap, UnsupportedError, decode, instantiate, validate
from engine.errors import MalformedError, TrapKind
from engine.execution.build import Build
from engine.features import EXECUTED, FEATURES, GC
from engine.instructions import TABLE
from engine.instructions.arrays import MAX_FIXED
from engine.runtime.heap import ArrayInst, StructInst, measure
from tests.support.wasm import assert_traps, call, run, wasm, wat

LISTS = """
    (type $l (struct (field i32) (field (mut (ref null $l)))))
    (global $g (export "g") (mut (ref null $l)) (ref.null $l))
    (func (export "drop") (param i32) (local $x (ref null $l))
      (loop
        (local.set $x (struct.new $l (local.get 0) (ref.null $l)))
        (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
    (func (export "cycle") (param i32) (local $x (ref null $l))
      (loop
        (local.set $x (struct.new $l (local.get 0) (ref.null $l)))
        (struct.set $l 1 (local.get $x) (local.get $x))
        (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
    (func (export "list") (param i32)
      (loop
        (global.set $g (struct.new $l (local.get 0) (global.get $g)))
        (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
    (func (export "length") (result i32) (local $x (ref null $l)) (local $n i32)
      (local.set $x (global.get $g))
      (block
        (loop
          (br_if 1 (ref.is_null (local.get $x)))
          (local.set $x (struct.get $l 1 (local.get $x)))
          (local.set $n (i32.add (local.get $n) (i32.const 1)))
          (br 0)))
      (local.get $n))
    (func (export "clear") (global.set $g (ref.null $l)))
    (type $a (array (mut i64)))
    (func (export "array") (param i32) (result i32) (array.len (array.new $a (i64.const 7) (local.get 0))))
    (func (export "default") (param i32) (result i32) (array.len (array.new_default $a (local.get 0))))
"""
ROOM = 1 << 20


def small() -> Any:
    """An instance whose heap has room for some 6,500 list nodes."""
    return instantiate(Store(Config(max_heap_bytes=ROOM)), wat(LISTS))


@pytest.mark.parametrize("export", ["drop", "cycle"])
def test_what_nothing_refers_to_takes_no_room(export):
    instance = small()
    call(instance, export, 50_000)
    assert measure() <= 2 * ROOM
    call(instance, export, 10)


def test_a_list_beyond_the_room_is_exhaustion_and_the_store_stays_usable():
    instance = small()
    with pytest.raises(ExhaustionError, match="heap exhausted"):
        call(instance, "list", 1_000_000)
    length = call(instance, "length")
    assert ROOM // 200 < length < ROOM // 100
    call(instance, "clear")
    call(instance, "list", length - 10)
    assert call(instance, "length") == length - 10


def test_the_point_of_exhaustion_does_not_depend_on_when_garbage_is_collected():
    lengths = set()
    thresholds = gc.get_threshold()
    try:
        for threshold in (0, 50, 100_000):
            gc.set_threshold(threshold)
            instance = small()
            call(instance, "cycle", 20_000)
            with pytest.raises(ExhaustionError):
                call(instance, "list", 1_000_000)
            lengths.add(call(instance, "length"))
    finally:
        gc.set_threshold(*thresholds)
    assert len(lengths) == 1


@pytest.mark.parametrize("export", ["array", "default"])
@pytest.mark.parametrize("n", [ROOM, 2**31, 2**32 - 1])
def test_an_array_beyond_the_room_is_exhaustion(export, n):
    instance = small()
    with pytest.raises(ExhaustionError, match="heap exhausted"):
        call(instance, export, n)
    assert call(instance, export, 1000) == 1000


def test_a_long_list_lives_and_goes_without_recursion():
    instance = instantiate(Store(), wat(LISTS))
    call(instance, "list", 200_000)
    assert call(instance, "length") == 200_000
    call(instance, "clear")
    gc.collect()
    assert measure() < 1 << 20


def test_an_instance_that_is_gone_takes_its_objects_along():
    instance = instantiate(Store(), wat(LISTS))
    call(instance, "list", 5_000)
    assert measure() > 5_000 * 100
    del instance
    assert measure() < 5_000 * 100


# -- rows


FRAME = """
    (type $s (sub (struct (field (mut i8)) (field i64) (field (mut i16)))))
    (type $a (array (mut i8)))
    (type $w (array (mut i32)))
    (type $r (array (mut (ref null $s))))
    (data $d "\\01\\82\\03\\84\\05\\86\\07\\88")
    (elem $e (ref null $s) (ref.null $s) (struct.new_default $s))
"""


def view(v: Any) -> Any:
    """Return a value in a form that compares by contents."""
    if isinstance(v, StructInst):
        return "struct", v.type, [view(field) for field in v.fields]
    return ("array", v.type, [view(elem) for elem in v.elems]) if isinstance(v, ArrayInst) else v


def test_what_a_row_makes_is_what_it_runs():
    instance = instantiate(Store(), wat(FRAME))
    frame = type("Frame", (), {"module": instance})()
    s, a, w, r = instance.types

    def operands(name: str) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        struct, array = StructInst(s, [0x80, 5, 0x8000]), ArrayInst(a, [1, 2, 0x83])
        refs = ArrayInst(r, [None, None, None])
        return {
            "struct.new": ((0,), (0x1FF, 7, 0x1FFFF)), "struct.new_default": ((0,), ()),
            "struct.get": ((0, 1), (struct,)), "struct.get_s": ((0, 2), (struct,)), "struct.get_u": ((0, 2), (struct,)),
            "struct.set": ((0, 0), (struct, 0x101)), "array.new": ((1,), (0x1FE, 2)), "array.new_default": ((3,), (2,)),
            "array.new_fixed": ((1, 2), (0x101, 2)), "array.new_data": ((2, 0), (1, 1)),
            "array.new_elem": ((3, 0), (0, 2)), "array.get": ((2,), (ArrayInst(w, [4, 5]), 1)),
            "array.get_s": ((1,), (array, 2)), "array.get_u": ((1,), (array, 2)),
            "array.set": ((1,), (array, 0, 0x1AB)),
            "array.fill": ((1,), (array, 1, 0x1AB, 2)), "array.copy": ((1, 1), (array, 1, array, 0, 2)),
            "array.init_data": ((1, 0), (array, 0, 2, 3)), "array.init_elem": ((3, 0), (refs, 1, 0, 2)),
            "ref.test": ((0,), (struct,)), "ref.test null": ((0,), (None,)), "ref.cast": ((0,), (struct,)),
            "ref.cast null": ((1,), (array,)),
        }[name]  # fmt: skip

    for row in TABLE:
        if row.make is None or row.control is not None or row.feature is not GC:
            continue
        outcomes = []
        for how in ("run", "make"):
            imms, given = operands(row.name)
            result = row.run(frame, *imms, *given) if how == "run" else row.make(frame, *imms)(*given)
            outcomes.append((view(result), [view(v) for v in given]))
        assert outcomes[0] == outcomes[1], row


def test_a_row_that_a_build_replaces_runs_its_own_function():
    build = Build(table=TABLE.replace("struct.get", run=lambda frame, x, y, r: r.fields[y] + 1))
    text = """
        (type $s (struct (field i32)))
        (func (export "f") (result i32) (struct.get $s 0 (struct.new $s (i32.const 4))))"""
    assert call(instantiate(Store(Config(build=build)), wat(text)), "f") == 5
    assert run(text, "f") == 4


@pytest.mark.parametrize(
    "build", [Build(), Build(inline=False), Build(fold=False)], ids=["inlined", "shaped", "unfolded"]
)
def test_operands_of_bulk_operators_are_evaluated_in_order(build):
    text = """
        (type $a (array (mut i32)))
        (global $g (mut i32) (i32.const 0))
        (func $next (result i32) (global.set $g (i32.add (global.get $g) (i32.const 1))) (global.get $g))
        (func (export "f") (result i32 i32 i32) (local $a (ref $a))
          (local.set $a (array.new_default $a (i32.const 5)))
          (array.fill $a (local.get $a) (call $next) (call $next) (call $next))
          (array.get $a (local.get $a) (i32.const 0))
          (array.get $a (local.get $a) (i32.const 1))
          (array.get $a (local.get $a) (i32.const 4)))"""
    assert call(instantiate(Store(Config(build=build)), wat(text)), "f") == [0, 2, 0]


@pytest.mark.parametrize(
    ("operator", "kind"),
    [
        ("array.init_data $a $d (array.new $a (i32.const 0) (i32.const 1)) (i32.const 2) (i32.const 9) (i32.const 1)",
         TrapKind.ARRAY_OUT_OF_BOUNDS),
        ("array.init_data $a $d (ref.null $a) (i32.const 2) (i32.const 9) (i32.const 1)", TrapKind.NULL_ARRAY),
        ("array.copy $a $a (array.new $a (i32.const 0) (i32.const 0)) (i32.const 1) (ref.null $a) (i32.const 1)"
         " (i32.const 1)", TrapKind.NULL_ARRAY),
        ("array.fill $a (array.new $a (i32.const 0) (i32.const 2)) (i32.const -1) (i32.const 0) (i32.const 2)",
         TrapKind.ARRAY_OUT_OF_BOUNDS),
        ("drop (array.get_u $a (ref.null $a) (i32.const -1))", TrapKind.NULL_ARRAY),
    ],
)  # fmt: skip
def test_the_first_fault_decides_the_trap(operator, kind):
    assert_traps(f'(type $a (array (mut i8))) (data $d "x") (func (export "f") ({operator}))', "f", kind)


def test_bulk_operators_that_trap_write_nothing():
    text = """
        (type $a (array (mut i8)))
        (global $g (ref $a) (array.new $a (i32.const 7) (i32.const 4)))
        (data $d "123")
        (func (export "fill") (array.fill $a (global.get $g) (i32.const 2) (i32.const 1) (i32.const 3)))
        (func (export "init") (array.init_data $a $d (global.get $g) (i32.const 0) (i32.const 0) (i32.const 4)))
        (func (export "copy")
          (array.copy $a $a (global.get $g) (i32.const 0) (global.get $g) (i32.const 2) (i32.const 3)))
        (global (export "shown") arrayref (global.get $g))"""
    instance = instantiate(Store(), wat(text))
    for export in ("fill", "init", "copy"):
        with pytest.raises(Trap):
            call(instance, export)
    assert instance.exports["shown"].value.elems == [7] * 4


def test_a_branch_on_a_reference_with_many_values_moves_them_once():
    n = 40
    types = "i32 " * n
    numbers = " ".join(f"(i32.const {i})" for i in range(n))
    text = f"""
        (type $k (func (param {types}) (result i32)))
        (func (export "null") (param externref) (result {types})
          (br_on_null 0 {numbers} (local.get 0)) (drop) (drop) (i32.const -1))
        (func (export "cast") (param anyref) (result {types} anyref)
          (br_on_cast 0 anyref (ref i31) {numbers} (local.get 0)) (drop) (ref.null any))"""
    instance = instantiate(Store(), wat(text))
    assert call(instance, "null", None) == list(range(n))
    assert call(instance, "null", instance.store.alloc_extern(1)) == [*range(n - 1), 2**32 - 1]
    assert call(instance, "cast", 9) == [*range(n), 9]
    assert call(instance, "cast", None) == [*range(n), None]


# -- limits and hostile input


def test_array_new_fixed_has_a_limit_of_operands():
    body = "(i32.const 1) " * MAX_FIXED
    text = f'(type $a (array i32)) (func (export "f") (result i32) (array.len (array.new_fixed $a {{}} {body})))'
    assert run(text.format(MAX_FIXED), "f") == MAX_FIXED
    with pytest.raises(UnsupportedError, match="more than 10000 operands"):
        wat("(type $a (array i32)) (func (unreachable) (drop (array.new_fixed $a 4294967295)))")


@pytest.mark.parametrize("feature", ["gc", "function-references"])
def test_rows_of_a_feature_that_is_off_are_not_decoded(feature):
    body = {"gc": "(drop (ref.i31 (i32.const 1)))", "function-references": "(drop (ref.as_non_null (ref.null func)))"}
    with pytest.raises(MalformedError, match=f"needs {feature}"):
        decode(wasm(f"(func {body[feature]})"), EXECUTED - {FEATURES[feature]})


@pytest.mark.parametrize(
    "fields",
    [
        "(type $s (struct (field (ref null 9)))) ",
        "(func (param (ref 3)))",
        "(func (local (ref null 3)))",
        "(table 1 (ref null 4))",
    ],
)
def test_an_index_of_no_type_is_invalid(fields):
    with pytest.raises(InvalidError, match="unknown type"):
        validate(decode(wasm(fields)))
