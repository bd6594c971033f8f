"""Custom descriptors: what types match, binary and text forms, typing and builds; see also corpus/conformance."""

from __future__ import annotations

from itertools import product

import pytest

from engine import (
    Config,
    InvalidError,
    MalformedError,
    Store,
    Trap,
    decode,
    encode,
    instantiate,
    invoke,
    matching,
    validate,
)
from engine.errors import LinkError
from engine.execution.build import Build
from engine.features import COMPATIBLE, CUSTOM_DESCRIPTORS, EXECUTED, WASM_3
from engine.instructions import TABLE
from engine.matching import close_rectype, matches, matches_heap, top
from engine.module import Code, FuncImport, Import, In, Module
from engine.runtime.heap import StructInst
from engine.text.parser import parse
from engine.text.printer import print_module
from engine.types import (
    ANY,
    BOT,
    FUNC,
    I31,
    NOFUNC,
    NONE,
    STRUCT,
    ExactType,
    FuncType,
    RecType,
    StructType,
    SubType,
    exact,
    ref,
)
from engine.validation.context import Context
from tests.support.binary import module, section

BUILDS = [Build(), Build(inline=False), Build(fold=False), Build(inline=False, fold=False)]
PAIR = "(rec (type $a (sub (descriptor $b) (struct))) (type $b (sub (describes $a) (struct))))"
BELOW = "(rec (type $c (sub $a (descriptor $d) (struct))) (type $d (sub $b (describes $c) (struct))))"


def made(fields: str, features=EXECUTED) -> Module:
    """Return the module of these fields, through its binary form."""
    m = decode(encode(parse(f"(module {fields})", EXECUTED)), features)
    validate(m, features)
    return m


def refuses(fields: str, phrase: str, features=EXECUTED) -> None:
    with pytest.raises(InvalidError, match=phrase):
        validate(parse(f"(module {fields})", EXECUTED), features)


# -- types


def closed() -> list:
    return Context.of_module(parse(f"(module {PAIR} {BELOW} (type $f (func)))", EXECUTED), EXECUTED).types


def test_an_exact_type_is_below_its_own_type_and_what_is_above_it():
    a, _, c, _, f = closed()
    for heap in (a, STRUCT, ANY):
        assert matches_heap(exact(a), heap)
    assert matches_heap(exact(c), a)
    assert matches_heap(exact(f), FUNC)
    for below, above in ((a, exact(a)), (c, exact(a)), (exact(c), exact(a)), (exact(a), I31), (exact(a), exact(f)),
                         (NOFUNC, exact(a)), (NONE, exact(f)), (ANY, exact(a)), (exact(a), NONE)):  # fmt: skip
        assert not matches_heap(below, above), (below, above)
    assert matches_heap(NONE, exact(a)) and matches_heap(NOFUNC, exact(f)) and matches_heap(BOT, exact(f))
    assert [top(exact(a)), top(exact(f))] == [ANY, FUNC]


def test_exact_types_of_equal_groups_are_one_and_null_matters_as_ever():
    one, other = closed()[0], closed()[0]
    assert exact(one) is exact(other)
    assert ref(False, exact(one)) is ref(False, exact(other))
    assert matches(ref(False, exact(one)), ref(True, exact(one)))
    assert not matches(ref(True, exact(one)), ref(False, exact(one)))
    assert str(ref(True, ExactType(3))) == "(ref null (exact 3))"


def test_what_has_exactly_a_type():
    a, _, c, _, _ = closed()
    has = matching.tester(exact(a))
    assert [has(StructInst(a, [])), has(StructInst(c, [])), has(5)] == [True, False, False]


def test_clauses_are_part_of_what_a_type_is():
    (plain,) = close_rectype(RecType((SubType(False, (), StructType(())),)), [])
    a, b, *_ = closed()
    assert len({plain, a, b}) == 3
    assert (a.sub.descriptor, b.sub.describes) == (b, a)


# -- forms


def test_forms_survive():
    text = f"""
        {PAIR} {BELOW}
        (rec
          (type $k (descriptor $l) (struct))
          (type $l (describes $k) (descriptor $m) (struct (field (ref null (exact $k)))))
          (type $m (describes $l) (struct (field (mut i8)))))
        (type $f (func (param (ref (exact $a))) (result (ref null (exact $c)))))
        (import "" "" (func (exact (type $f))))
        (import "" "" (func (type $f)))
        (global (ref null (exact $a)) (ref.null (exact $a)))
        (table 1 (ref null (exact $f)))
        (func (local (ref null (exact 70))) (drop (ref.test (ref (exact $a)) (ref.null (exact $c)))))
        """
    m = parse(f"(module {text})", EXECUTED)
    data = encode(m)
    read = decode(data, EXECUTED)
    assert (read.types, read.imports, encode(read)) == (m.types, m.imports, data)
    assert encode(parse(print_module(read), EXECUTED)) == data
    assert m.imports == (Import("", "", FuncImport(7, True)), Import("", "", FuncImport(7)))


@pytest.mark.parametrize("types", [
    "4d015f00", "4c005f00", "50004d015f00", "5f0164620000",
])  # fmt: skip
def test_binary_forms_are_malformed_without_the_feature(types):
    data = module(section(1, b"\1" + bytes.fromhex(types)))
    for features in (COMPATIBLE, WASM_3):
        with pytest.raises(MalformedError) as caught:
            decode(data, features)
        assert caught.value.offset is not None
    decode(data, EXECUTED)


@pytest.mark.parametrize("types", [
    "4d014d015f00", "4c004c005f00", "4d014c005f00", "5f01620000", "5f0164626200", "5f016462", "5f0164627000",
    "5f0164e2ff7f00", "4d", "4c00", "4d8080808010",
])  # fmt: skip
def test_binary_forms_that_are_none(types):
    with pytest.raises(MalformedError) as caught:
        decode(module(section(1, b"\1" + bytes.fromhex(types))), EXECUTED)
    assert caught.value.offset is not None


@pytest.mark.parametrize("features", [COMPATIBLE, EXECUTED])
def test_an_exact_import_is_a_kind_of_its_own(features):
    types = section(1, b"\1\x60\0\0")
    data = module(types, section(2, b"\1\0\0\x20\0"))
    if features is COMPATIBLE:
        with pytest.raises(MalformedError, match="malformed import kind"):
            decode(data, features)
    else:
        assert decode(data, features).imports[0].desc == FuncImport(0, True)
    with pytest.raises(MalformedError, match="malformed export kind"):
        decode(module(types, section(3, b"\1\0"), section(7, b"\1\0\x20\0"), section(10, b"\1\2\0\x0b")), features)


# -- validation


def test_what_the_feature_changes_is_off_without_it():
    wide = f"{PAIR} (func (result anyref) (br_on_cast 0 eqref anyref (unreachable)))"
    made(wide)
    refuses(wide, "needs custom-descriptors", COMPATIBLE)
    narrow = "(func (result anyref) (br_on_cast 0 eqref anyref (unreachable)))"
    made(narrow)
    refuses(narrow, "type mismatch: cast", COMPATIBLE)
    refuses("(type $t (struct)) (func (local (ref null (exact $t))))", "needs custom-descriptors", COMPATIBLE)
    for text in ("(struct.new $t)", "(array.new_fixed $u 0)"):
        fields = f"(type $t (struct)) (type $u (array i8)) (func (drop {text}))"
        made(fields, COMPATIBLE)
        assert CUSTOM_DESCRIPTORS in EXECUTED - COMPATIBLE


def test_what_is_left_unsaid_is_the_standard():
    text = "(module (func (result anyref) (br_on_cast 0 eqref anyref (unreachable))))"
    m = parse(text)
    assert decode(encode(m), EXECUTED) == decode(encode(m))
    validate(m, EXECUTED)
    for features in ((), (WASM_3,), (COMPATIBLE,)):
        with pytest.raises(InvalidError, match="type mismatch: cast"):
            validate(m, *features)
    assert Context().features == Context.of_module(m).features == COMPATIBLE
    for text in (f"(module {PAIR})", "(module (func ref.get_desc 0))"):
        with pytest.raises(MalformedError):
            decode(encode(parse(text, EXECUTED)))
    with pytest.raises(MalformedError, match="unknown operator"):
        parse("(module (func ref.get_desc 0))")
    with pytest.raises(InvalidError, match="needs custom-descriptors"):
        validate(parse(f"(module {PAIR})"))


@pytest.mark.parametrize("what", ["(struct.new_default $t)", "(ref.func $f)"])
def test_what_is_made_is_exact_where_there_are_exact_types(what):
    fields = f"(type $t ({'struct' if 'struct' in what else 'func'})) (func $f {'(type $t)' if 'func' in what else ''})"
    made(f"{fields} (global (ref (exact $t)) {what})")


@pytest.mark.parametrize(("types", "phrase"), [
    ("(type (descriptor 5) (struct))", "descriptor type is outside rec group"),
    ("(type (describes 0) (struct))", "forward use of described type"),
    ("(rec (type (sub 1 (descriptor 1) (struct))) (type (sub 0 (describes 0) (struct))))", "a supertype comes before"),
    ("(rec (type $a (sub (struct (field (ref $b))))) (type $c (sub $a (struct (field (ref $d)))))"
     " (type $b (sub $d (struct))) (type $d (sub $b (struct))))", "a supertype comes before"),
    ("(rec (type (descriptor 1) (func)) (type (describes 0) (struct)))", "descriptor type must be a struct"),
    ("(rec (type (descriptor 2) (struct)) (type (struct)) (type (describes 1) (struct)))", "not described by"),
])  # fmt: skip
def test_types_that_do_not_fit(types, phrase):
    refuses(types, phrase)


def test_a_chain_of_descriptors_may_be_long():
    n = 3_000
    clauses = [(f"(describes {x - 1})" if x else "") + (f"(descriptor {x + 1})" if x + 1 < n else "") for x in range(n)]
    m = made("(rec " + " ".join(f"(type {clause} (struct))" for clause in clauses) + ")")
    assert decode(encode(m), EXECUTED) == m


def test_built_modules_are_checked_too():
    for sub, phrase in (
        (SubType(True, (), FuncType((), ()), 0), "described type must be a struct"),
        (SubType(True, (), FuncType((), ()), None, 0), "descriptor type must be a struct"),
        (SubType(True, (), StructType(()), -1), "outside rec group"),
    ):
        with pytest.raises(InvalidError, match=phrase):
            validate(Module(types=(RecType((sub,)),)), EXECUTED)


@pytest.mark.parametrize(("body", "phrase"), [
    ([("ref.get_desc", 0)], "type mismatch"), ([("unreachable",), ("ref.get_desc", 1)], "type without descriptor"),
    ([("unreachable",), ("ref.get_desc", 9)], "unknown type 9"),
    ([("ref.null", NONE), ("struct.new_desc", 1)], "type without descriptor requires"),
    ([("struct.new_default", 0)], "type with descriptor requires"),
    ([("unreachable",), ("ref.cast_desc_eq", ANY)], "type any does not have a descriptor"),
    ([("unreachable",), ("ref.cast_desc_eq", ExactType(1))], "does not have a descriptor"),
])  # fmt: skip
def test_bodies_that_do_not_fit(body, phrase):
    types = parse(f"(module {PAIR} (type (func)))", EXECUTED).types
    instrs = (*(In(TABLE.by_name[name], tuple(imms)) for name, *imms in body), In(TABLE.by_name["end"]))
    with pytest.raises(InvalidError, match=phrase):
        validate(Module(types=types, funcs=(2,), codes=(Code((), instrs),)), EXECUTED)


# -- execution

RUN = f"""
    {PAIR} (type $plain (struct))
    (global $x (ref (exact $b)) (struct.new $b))
    (global $y (ref (exact $b)) (struct.new $b))
    (func (export "f") (param $r i32) (param $by i32) (result i32) (local $v anyref) (local $d (ref null $b))
      (if (i32.eq (local.get $r) (i32.const 1)) (then (local.set $v (struct.new_desc $a (global.get $x)))))
      (if (i32.eq (local.get $r) (i32.const 2)) (then (local.set $v (struct.new $plain))))
      (if (i32.eq (local.get $r) (i32.const 3)) (then (local.set $v (ref.i31 (i32.const 0)))))
      (if (i32.eq (local.get $by) (i32.const 1)) (then (local.set $d (global.get $x))))
      (if (i32.eq (local.get $by) (i32.const 2)) (then (local.set $d (global.get $y))))
      (i32.const 10)
      (block $is (param i32) (result i32 (ref null $a))
        (i32.add (i32.const 1) (i32.mul (local.get $r)))
        (br_on_cast_desc_eq $is anyref (ref null $a) (local.get $v) (local.get $d))
        (drop)
        (return (i32.mul (i32.const -1))))
      (drop))
"""


@pytest.mark.parametrize("build", BUILDS, ids=range(len(BUILDS)))
def test_a_branch_by_a_descriptor_in_every_build(build):
    instance = instantiate(Store(Config(build=build)), made(RUN))
    for r, by in product(range(4), range(3)):
        value = 10 + r
        expected = None if by == 0 else value if r == 0 or (r, by) == (1, 1) else -value & 0xFFFF_FFFF
        try:
            (got,) = invoke(instance.store, instance.exports["f"], (r, by))
        except Trap as e:
            assert e.kind.value == "null descriptor reference"
            got = None
        assert got == expected, (r, by)


def test_what_a_row_makes_is_what_it_runs():
    instance = instantiate(Store(), made(RUN))
    frame = type("Frame", (), {"module": instance})()
    a, b, *_ = instance.types
    by = StructInst(b, [])
    one = StructInst(a, [])
    one.descriptor = by
    given = {
        "struct.new_desc": (by,), "struct.new_default_desc": (by,), "ref.cast_desc_eq": (one, by),
        "ref.cast_desc_eq null": (one, by),
    }  # fmt: skip
    rows = [row for row in TABLE if row.feature is CUSTOM_DESCRIPTORS and row.make is not None and row.control is None]
    assert {row.name for row in rows} == set(given)
    for row in rows:
        for r in (row.run(frame, 0, *given[row.name]), row.make(frame, 0)(*given[row.name])):
            assert (r.type, r.descriptor, r.fields) == (a, by, [])


def test_an_exact_import_takes_no_function_of_a_subtype():
    types = "(type $f (sub (func))) (type $g (sub $f (func)))"
    store = Store()
    found = instantiate(store, made(f'{types} (func (export "g") (type $g))')).exports["g"]
    instantiate(store, made(f'{types} (import "" "" (func (type $f)))'), [found])
    instantiate(store, made(f'{types} (import "" "" (func (exact (type $g))))'), [found])
    with pytest.raises(LinkError, match="incompatible import type"):
        instantiate(store, made(f'{types} (import "" "" (func (exact (type $f))))'), [found])
