"""Validation: each rule refused with its phrase and place, polymorphic code, features, limits."""

from __future__ import annotations

import pytest

from engine import InvalidError, MalformedError, UnsupportedError, decode, validate
from engine.errors import Where
from engine.features import (
    BULK_MEMORY,
    CUSTOM_PAGE_SIZES,
    EXECUTED,
    EXTENDED_CONST,
    FEATURES,
    GC,
    MULTI_VALUE,
    REFERENCE_TYPES,
    WASM_1,
    WASM_3,
)
from engine.instructions import TABLE
from engine.module import Code, Data, Export, In, Module, Passive, Table
from engine.types import FUNC, FUNCREF, I32, I64, FuncType, Limits, MemType, RecType, SubType, TableType, ref
from engine.validation import Context
from engine.validation.module import MAX_LOCALS
from tests.support.binary import func, module, section
from tests.support.wasm import wasm


def check(text: str, features=EXECUTED) -> None:
    validate(decode(wasm(text), features), features)


def refuses(text: str, phrase: str, features=EXECUTED) -> InvalidError:
    with pytest.raises(InvalidError, match=phrase) as caught:
        check(text, features)
    return caught.value


# -- bodies


@pytest.mark.parametrize(
    ("body", "phrase"),
    [
        ("i32.add drop", "type mismatch: i32.add expects i32, found an empty stack"),
        ("i32.const 0 i64.const 0 i32.add drop", "type mismatch: i32.add expects i32, found i64"),
        ("i32.const 0", "type mismatch: values remain"),
        ("drop", "type mismatch: drop finds an empty stack"),
        ("block (result i32) end drop", "type mismatch: end expects i32, found an empty stack"),
        ("block (result i32) i64.const 0 end drop", "type mismatch: end expects i32, found i64"),
        ("block i32.const 0 end", "type mismatch: values remain"),
        ("i32.const 0 block drop end", "type mismatch: drop finds an empty stack"),  # a block sees only its parameters
        ("i32.const 0 if (result i32) i32.const 0 end drop", "type mismatch: if without else"),
        ("i32.const 0 if (result i32) i32.const 0 else end drop", "type mismatch: end expects i32"),
        ("i32.const 0 if (result i32) else i32.const 0 end drop", "type mismatch: else expects i32"),
        ("i64.const 0 if end", "type mismatch: if expects i32, found i64"),
        ("loop (param i32) drop end", "type mismatch: loop expects i32"),
        ("br 1", "unknown label 1"),
        ("block br_if 2 end", "unknown label 2"),
        ("i32.const 0 br_table 0 7", "unknown label 7"),
        ("i32.const 0 br_table 7 0", "unknown label 7"),
        ("block (result i32) br 0 end drop", "type mismatch: br expects i32"),
        ("block (result i32) i32.const 0 br_if 0 end drop", "type mismatch: br_if expects i32"),
        (
            "block (result i32) block i32.const 0 i32.const 0 br_table 0 1 end i32.const 0 end drop",
            "type mismatch: labels",
        ),
        ("i64.const 0 br_table 0", "type mismatch: br_table expects i32"),
        ("local.get 3 drop", "unknown local 3"),
        ("i32.const 0 local.set 1", "type mismatch: local.set expects i64, found i32"),
        ("global.get 9 drop", "unknown global 9"),
        ("i32.const 0 global.set 0", "immutable global"),
        ("i64.const 0 global.set 1", "type mismatch: global.set expects i32"),
        ("call 9", "unknown function 9"),
        ("call 1", "type mismatch: call expects i64"),
        ("i32.const 0 call_indirect 9 (type 0)", "unknown table 9"),
        ("i32.const 0 call_indirect 0 (type 99)", "unknown type 99"),
        ("i32.const 0 call_indirect 1 (type 0)", "type mismatch: call_indirect"),
        ("ref.func 0 drop", "undeclared function reference 0"),
        ("ref.func 9 drop", "unknown function 9"),
        ("i32.const 0 ref.is_null drop", "type mismatch: ref.is_null does not take i32"),
        ("i32.const 0 i64.const 0 i32.const 0 select drop", "type mismatch: select with operands"),
        ("ref.null func ref.null func i32.const 0 select drop", "type mismatch: select does not take funcref"),
        ("i32.const 0 i32.const 0 i64.const 0 select drop", "type mismatch: select expects i32, found i64"),
        ("i32.const 0 i32.const 0 i32.const 0 select (result i64) drop", "type mismatch: select t expects i64"),
        ("i32.const 0 i32.load align=8 drop", "alignment must not be larger than natural"),
        ("i32.const 0 i64.load8_s align=2 drop", "alignment must not be larger than natural"),
        ("i32.const 0 i32.load offset=0x1_0000_0000 drop", "offset out of range"),
        ("i32.const 0 i32.load 1 drop", "unknown memory 1"),
        ("memory.size 1 drop", "unknown memory 1"),
        ("i32.const 0 table.get 9 drop", "unknown table 9"),
        ("i32.const 0 ref.null extern table.set 0", "type mismatch: table.set expects funcref, found externref"),
        ("i32.const 0 i32.const 0 i32.const 0 table.copy 0 1", "type mismatch"),
        ("i32.const 0 i32.const 0 i32.const 0 table.init 0 9", "unknown elem segment 9"),
        ("i32.const 0 i32.const 0 i32.const 0 table.init 1 0", "type mismatch"),
        ("elem.drop 9", "unknown elem segment 9"),
        ("i32.const 0 i32.const 0 i32.const 0 memory.init 9", "unknown data segment 9"),
        ("data.drop 9", "unknown data segment 9"),
        ("return i32.const 0", "type mismatch: values remain"),
        ("unreachable i64.const 0 i32.add drop", "type mismatch: i32.add expects i32, found i64"),
        ("unreachable i32.add", "type mismatch: values remain"),
        ("unreachable select", "type mismatch: values remain"),
        ("unreachable i32.const 0 i64.const 0 i32.const 0 select drop", "type mismatch: select with operands"),
        ("unreachable ref.is_null i64.eqz drop", "type mismatch: i64.eqz expects i64, found i32"),
        ("block br 0 end i32.add drop", "type mismatch: i32.add expects i32, found an empty stack"),  # reachable again
        ("i32.const 0 if unreachable else i32.add end", "type mismatch: i32.add expects i32"),
        ("loop (result i32) br 0 i64.const 0 end drop", "type mismatch: end expects i32, found i64"),
    ],
)
def test_bodies_that_do_not_type(body, phrase):
    error = refuses(
        f"""(type (func)) (type (func (param i64)))
        (table 1 funcref) (table 1 externref) (memory 1)
        (global i32 (i32.const 0)) (global (mut i32) (i32.const 0))
        (func (type 0) (local i32 i64) {body}) (func (type 1)) (elem func) (data "x")""",
        phrase,
    )
    assert error.where.funcidx == 0
    assert error.where.offset > 8


@pytest.mark.parametrize(
    "body",
    [
        "unreachable i32.add drop",
        "unreachable select drop",
        "unreachable select i32.eqz drop",
        "unreachable i32.const 0 select i32.eqz drop",
        "unreachable ref.is_null drop",
        "unreachable drop drop drop",
        "unreachable br_table 0 0",
        "block (result i32) unreachable br_if 0 end drop",
        "block (result i32) i32.const 0 br 0 i32.add end drop",
        "unreachable if (param i32) (result i64) drop i64.const 0 else unreachable end drop",
        "block (result i32) block (result i64) unreachable br_table 0 1 end drop i32.const 0 end drop",
        "return i32.add drop",
        "i32.const 1 i64.const 2 block (param i32 i64) (result i64 i32) drop drop i64.const 0 i32.const 0 end drop "
        "drop",
        "i32.const 1 loop (param i32) i32.const 0 br_if 1 br 0 end",
        "i32.const 1 if (param) end",
        "i32.const 1 i32.const 1 if (param i32) (result i32) end drop",  # no else: the parameters are the results
        "ref.null extern ref.null extern i32.const 0 select (result externref) drop",
        "ref.null func i32.const 0 drop drop",
    ],
)
def test_bodies_that_type(body):
    check(f"(func {body})")


def test_a_branch_to_the_body_is_a_return():
    check("(func (result i32) i32.const 0 br 0) (func (param i32) (result i32) local.get 0 local.get 0 br_table 0 0)")
    refuses("(func (result i32) br 0)", "type mismatch: br expects i32")


def test_return_types_do_not_leak_between_functions():
    check("(func (result i32) i32.const 0 return) (func (result i64) i64.const 0 return)")


def test_local_types_do_not_leak_between_functions():
    check("(func (param i32) local.get 0 i32.eqz drop) (func (param i64) local.get 0 i64.eqz drop)")


def test_the_place_of_an_error_is_its_instruction():
    data = wasm("(func) (func nop i64.const 1 i32.eqz drop)")
    with pytest.raises(InvalidError) as caught:
        validate(decode(data))
    assert caught.value.where == Where(1, data.index(b"\x42\x01\x45") + 2)
    assert str(caught.value).endswith(f"(func 1, offset {caught.value.where.offset:#x})")


# -- definitions


@pytest.mark.parametrize(
    ("fields", "phrase"),
    [
        ("(func (type 3))", "unknown type 3"),
        ('(import "a" "b" (func (type 3)))', "unknown type 3"),
        ("(memory 65537)", r"memory size must be at most 65536 pages \(4GiB\)"),
        ("(memory 0 65537)", r"memory size must be at most 65536 pages \(4GiB\)"),
        ("(memory 2 1)", "size minimum must not be greater than maximum"),
        ('(import "a" "b" (memory 2 1))', "size minimum must not be greater than maximum"),
        ("(table 2 1 funcref)", "size minimum must not be greater than maximum"),
        ("(table 0x1_0000_0000 funcref)", "table size"),
        ("(global i32 (i64.const 0))", "type mismatch"),
        ("(global i32 (i32.const 0) (i32.const 0))", "type mismatch"),
        ("(global i32)", "type mismatch"),
        ("(global i32 (i32.clz (i32.const 0)))", "constant expression required: i32.clz"),
        ("(global i32 (block (result i32) (i32.const 0)))", "constant expression required: block"),
        ("(global i32 (global.get 0))", "unknown global 0"),
        ("(global i32 (i32.const 0)) (global i32 (global.get 1))", "unknown global 1"),
        ('(import "a" "b" (global (mut i32))) (global i32 (global.get 0))', "constant expression required: global 0"),
        ("(global funcref (ref.null extern))", "type mismatch"),
        ("(global funcref (ref.func 0))", "unknown function 0"),
        ('(func) (export "a" (func 0)) (export "a" (func 0))', "duplicate export name 'a'"),
        ('(func) (memory 1) (export "" (func 0)) (export "" (memory 0))', "duplicate export name ''"),
        ('(export "a" (func 0))', "unknown function 0"),
        ('(export "a" (table 0))', "unknown table 0"),
        ('(export "a" (memory 0))', "unknown memory 0"),
        ('(export "a" (global 0))', "unknown global 0"),
        ("(start 0)", "unknown function 0"),
        ("(func (param i32)) (start 0)", "start function"),
        ("(func (result i32) unreachable) (start 0)", "start function"),
        ("(elem (i32.const 0))", "unknown table 0"),
        ("(table 1 funcref) (elem (i64.const 0))", "type mismatch"),
        ("(table 1 funcref) (elem (i32.const 0) func 5)", "unknown function 5"),
        ("(table 1 funcref) (elem (i32.const 0) externref (ref.null extern))", "type mismatch: elements"),
        ("(table 1 funcref) (elem (i32.ctz (i32.const 0)))", "constant expression required"),
        ("(elem externref (ref.null func))", "type mismatch"),
        ("(elem funcref (item (nop) (ref.null func)))", "constant expression required"),
        ('(data (i32.const 0) "")', "unknown memory 0"),
        ('(memory 1) (data (i64.const 0) "")', "type mismatch"),
        ('(memory 1) (data (global.get 0) "")', "unknown global 0"),
    ],
)
def test_definitions_that_are_invalid(fields, phrase):
    refuses(fields, phrase)


def test_definitions_that_are_valid():
    check("""
        (import "a" "g" (global i32)) (import "a" "m" (global (mut i64)))
        (memory 65536 65536) (table 0xffff_ffff funcref) (table 1 externref)
        (global i64 (i64.mul (i64.const 2) (i64.sub (i64.const 3) (i64.const 4))))
        (global i32 (i32.add (global.get 0) (i32.const 1)))
        (global funcref (ref.func 0)) (global externref (ref.null extern))
        (func) (start 0)
        (elem (table 0) (offset (global.get 0)) func 0 0) (elem externref (ref.null extern)) (elem declare func 0)
        (data (i32.add (i32.const 1) (global.get 0)) "abc") (data "d")
        (export "a" (func 0)) (export "b" (global 2)) (export "é" (memory 0))
        """)


def test_a_reference_is_declared_by_any_use_outside_of_bodies():
    for use in ['(export "f" (func 0))', "(elem declare func 0)", "(global funcref (ref.func 0))"]:
        check(f"(func) (func ref.func 0 drop) {use}")
    refuses("(func) (func ref.func 0 drop) (start 0)", "undeclared function reference")
    refuses("(func) (func ref.func 0 drop call 0)", "undeclared function reference")


def test_a_misplaced_constant_knows_its_offset():
    data = wasm("(global i32 (i32.clz (i32.const 0)))")
    with pytest.raises(InvalidError) as caught:
        validate(decode(data))
    assert caught.value.where == Where(None, data.index(b"\x67"))


# -- modules that no decoder would give


def ins(name, *imms):
    return In(TABLE.by_name[name], imms)


def built(*body, **fields):
    types = (RecType((SubType(True, (), FuncType((), ())),)),)
    return Module(types=types, funcs=(0,), codes=(Code((), body),), **fields)


@pytest.mark.parametrize(
    ("m", "phrase"),
    [
        (Module(funcs=(0,)), "inconsistent lengths"),
        (Module(datas=(Data(b"", Passive()),), data_count=2), "inconsistent lengths"),
        (built(), "END opcode expected"),
        (built(ins("nop")), "END opcode expected"),
        (built(ins("block", None), ins("end")), "END opcode expected"),
        (built(ins("end"), ins("end")), "END opcode expected"),
        (built(ins("end"), ins("nop")), "END opcode expected"),
        (built(ins("else"), ins("end")), "else outside of an if"),
        (built(ins("catch_all"), ins("end")), "catch_all outside of a try"),
        (built(ins("try", None), ins("catch_all"), ins("catch_all"), ins("end")), "catch_all outside of a try"),
        (built(ins("delegate", 0), ins("end")), "delegate outside of a try"),
        (built(ins("select t", (I32, I32)), ins("end")), "invalid result arity"),
        (built(ins("select t", ()), ins("end")), "invalid result arity"),
        (built(ins("end"), exports=(Export("x", "tag", 0),)), "unknown tag 0"),
    ],
)
def test_built_modules_are_checked_as_well(m, phrase):
    with pytest.raises(InvalidError, match=phrase):
        validate(m)


# -- features


@pytest.mark.parametrize(
    ("text", "off", "phrase"),
    [
        ("(func (result i32 i32) unreachable)", MULTI_VALUE, "invalid result arity"),
        ("(type (func (param i32))) (func i32.const 0 block (type 0) drop end)", MULTI_VALUE, "block type"),
        ("(func (param externref))", REFERENCE_TYPES, "type mismatch: type externref"),
        ("(func (local funcref))", REFERENCE_TYPES, "type mismatch: type funcref"),
        ("(func block (result externref) unreachable end drop)", REFERENCE_TYPES, "type mismatch: type externref"),
        ("(table 1 funcref) (table 1 funcref)", REFERENCE_TYPES, "multiple tables"),
        ("(table 1 externref)", REFERENCE_TYPES, "type mismatch: type externref"),
        ("(global i32 (i32.add (i32.const 0) (i32.const 0)))", EXTENDED_CONST, "constant expression required"),
        ('(data "")', BULK_MEMORY, "passive data segment"),
        ("(elem func)", BULK_MEMORY, "passive element segment"),
    ],
)
def test_an_executed_feature_that_is_off_is_invalid(text, off, phrase):
    check(text)
    refuses(text, phrase, EXECUTED - {off})


def test_the_first_version_is_enough_for_its_own():
    check(
        '(table 1 funcref) (func (export "f")) (elem (i32.const 0) func 0) (memory 1) (data (i32.const 0) "x")', WASM_1
    )


OFF = [
    ("(memory 1) (memory 1)", "multiple memories", "multi-memory"),
    ('(import "a" "b" (memory 1)) (import "a" "b" (memory 1))', "multiple memories", "multi-memory"),
    ('(import "a" "b" (memory 1)) (memory 1)', "multiple memories", "multi-memory"),
    ("(memory i64 1)", "64-bit limits", "memory64"),
    ('(import "a" "b" (memory i64 1))', "64-bit limits", "memory64"),
    ("(table i64 1 funcref)", "64-bit limits", "memory64"),
    ("(memory 1 1 shared)", "shared memory", "threads"),
    ('(import "a" "b" (memory 1 1 shared))', "shared memory", "threads"),
    ("(func (param v128))", "type v128", "simd"),
    ("(func (local v128))", "type v128", "simd"),
]


@pytest.mark.parametrize(("text", "phrase", "feature"), OFF)
def test_structure_of_a_feature_that_is_off_is_invalid(text, phrase, feature):
    validate(decode(wasm(text)))
    refuses(text, phrase, EXECUTED - {FEATURES[feature]})
    refuses(text, feature, EXECUTED - {FEATURES[feature]})


OFF_CODE = [
    ("(memory 1) (func (drop (i32.atomic.load (i32.const 0))))", "threads"),
    ("(func atomic.fence)", "threads"),
    ("(func (i64.mul_wide_u (i64.const 0) (i64.const 0)) drop drop)", "wide-arithmetic"),
]


@pytest.mark.parametrize(("text", "feature"), OFF_CODE)
def test_an_instruction_of_a_feature_that_is_off_is_malformed(text, feature):
    validate(decode(wasm(text)))
    with pytest.raises(MalformedError, match=f"illegal opcode: .* needs {feature}"):
        decode(wasm(text), EXECUTED - {FEATURES[feature]})


def test_pages_of_bytes_need_their_feature_where_a_module_is_built():
    m = Module(mems=(MemType(Limits(1), page_bits=0),))
    validate(m)
    with pytest.raises(InvalidError, match=r"invalid custom page size .*custom-page-sizes"):
        validate(m, EXECUTED - {CUSTOM_PAGE_SIZES})


@pytest.mark.parametrize(("addrtype", "page_bits", "most"), [
    (I32, 16, 2**16), (I64, 16, 2**48), (I32, 0, 2**32 - 1), (I64, 0, 2**64 - 1),
])  # fmt: skip
def test_limits_of_a_memory_are_what_can_be_addressed_and_counted(addrtype, page_bits, most):
    validate(Module(mems=(MemType(Limits(most, most), addrtype, page_bits=page_bits),)))
    for limits in (Limits(most + 1), Limits(0, most + 1)):
        with pytest.raises(InvalidError, match="memory size must be at most"):
            validate(Module(mems=(MemType(limits, addrtype, page_bits=page_bits),)))


@pytest.mark.parametrize("page_bits", [1, 15, 17, 63])
def test_a_page_has_one_byte_or_65536(page_bits):
    with pytest.raises(InvalidError, match="invalid custom page size"):
        validate(Module(mems=(MemType(Limits(0), page_bits=page_bits),)))


@pytest.mark.parametrize(("addrtype", "most"), [(I32, 2**32 - 1), (I64, 2**64 - 1)])
def test_limits_of_a_table_are_what_can_be_addressed(addrtype, most):
    validate(Module(tables=(Table(TableType(FUNCREF, Limits(most, most), addrtype)),)))
    with pytest.raises(InvalidError, match="table size must be at most"):
        validate(Module(tables=(Table(TableType(FUNCREF, Limits(most + 1), addrtype)),)))


def test_a_module_has_at_most_100_memories():
    validate(Module(mems=(MemType(Limits(0)),) * 100))
    with pytest.raises(UnsupportedError, match="more than 100 memories"):
        validate(Module(mems=(MemType(Limits(0)),) * 101))


@pytest.mark.parametrize("offset", [2**32 - 1, 2**64 - 1])
def test_an_offset_is_below_the_end_of_the_addresses(offset):
    text = "(memory {}) (func (drop (i32.load8_u offset={} ({}.const 0))))"
    validate(decode(wasm(text.format("i64 1", offset, "i64"))))
    if offset < 2**32:
        validate(decode(wasm(text.format("1", offset, "i32"))))
    refuses(text.format("1", 2**32, "i32"), "offset out of range")


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("(type $a (sub final (struct))) (type (sub $a (struct)))", "sub type"),
        ("(type $a (sub (struct (field i32)))) (type (sub $a (struct)))", "sub type"),
        ("(type (sub 1 (struct))) (type (sub (struct)))", "unknown type 1"),
        ("(memory i64 0x1_0000_0000_0001)", "memory size"),
        ("(tag (result i32))", "non-empty tag result type"),
        ("(table 1 (ref func))", "type mismatch: a table"),
        ("(func (local (ref extern)) local.get 0 drop)", "uninitialized local 0"),
        ("(func (param (ref extern)) (local (ref extern)) block local.get 0 local.set 1 end local.get 1 drop)",
         "uninitialized local 1"),
        ("(func (param (ref extern)) (local (ref extern)) i32.const 0 "
         "if local.get 0 local.set 1 else local.get 1 drop end)", "uninitialized local 1"),
    ],
)  # fmt: skip
def test_rules_of_later_features(text, phrase):
    refuses(text, phrase, WASM_3)


def test_a_local_is_initialised_by_set_and_by_tee():
    check(
        """(func (param (ref extern)) (local (ref extern) (ref extern))
        local.get 0 local.tee 1 drop local.get 1 drop
        block local.get 1 local.set 2 local.get 2 drop end)""",
        WASM_3,
    )


def test_very_many_locals_may_lack_a_value():
    runs = b"\1" + b"\xd0\x86\x03" + b"\x64\x70"  # 50,000 of (ref func)
    validate(decode(func(b"\x0b", runs)))
    with pytest.raises(InvalidError, match="uninitialized local 49999"):
        validate(decode(func(b"\x20\xcf\x86\x03\x1a\x0b", runs)))


def test_globals_see_earlier_ones_only_with_garbage_collection():
    text = "(global i32 (i32.const 1)) (global i32 (global.get 0))"
    check(text, WASM_3)
    refuses(text, "unknown global 0", EXECUTED - {GC})


# -- limits


def test_locals_beyond_the_limit_are_unsupported():
    fits = func(b"\x0b", b"\1\xd0\x86\x03\x7f")  # 50,000
    validate(decode(fits))
    with pytest.raises(UnsupportedError, match=f"more than {MAX_LOCALS} locals"):
        validate(decode(func(b"\x0b", b"\1\xd1\x86\x03\x7f")))
    with pytest.raises(UnsupportedError, match=f"more than {MAX_LOCALS} locals"):
        validate(decode(func(b"\x0b", b"\1\xff\xff\xff\xff\x0f\x7f")))


@pytest.mark.parametrize("n", [1, 1999, 2000, 2001, 49_999])
def test_few_and_many_locals_have_the_same_types(n):
    view = Context().function(FuncType((FUNCREF,), ()), [(n, I32), (0, FUNCREF), (1, FUNCREF)])
    assert len(view.locals) == n + 2
    assert [view.local(x) for x in (0, 1, n, n + 1)] == [FUNCREF, I32, I32, FUNCREF]
    with pytest.raises(InvalidError, match=f"unknown local {n + 2}"):
        view.local(n + 2)


def test_very_long_types_are_unsupported():
    long = section(1, b"\1\x60\xe9\x07" + b"\x7f" * 1001 + b"\0")
    with pytest.raises(UnsupportedError, match="more than 1000 parameters"):
        validate(decode(module(long)))


# -- the context


def test_a_view_shares_the_module_and_has_its_own_locals():
    c = Context.of_module(
        decode(wasm("(global i32 (i32.const 0)) (func (param i32) (result i64) (local f32) unreachable)"))
    )
    view = c.function(c.functype(0), [(1, I32)])
    assert view.globals is c.globals
    assert [view.local(0), view.local(1)] == [I32, I32]
    assert view.results() == view.label(0) == c.functype(0).results
    assert list(c.locals) == []
    with pytest.raises(InvalidError, match="return outside of a function"):
        c.results()


def test_block_types():
    c = Context.of_module(decode(wasm("(type (func (param i32) (result i64)))")))
    assert c.blocktype(None) == FuncType((), ())
    assert c.blocktype(I32) == FuncType((), (I32,))
    assert c.blocktype(0) == c.functype(0)
    assert c.blocktype(ref(False, 0)).results[0] is ref(False, c.type(0))
    assert c.blocktype(ref(True, FUNC)).results == (FUNCREF,)


def test_imports_come_first_in_every_index_space():
    c = Context.of_module(
        decode(
            wasm("""(import "a" "f" (func (param i32))) (import "a" "g" (global i64)) (import "a" "t" (table 1 funcref))
        (func (param i64)) (global i32 (i32.const 0)) (memory 1)""")
        )
    )
    assert c.imported == {"func": 1, "table": 1, "mem": 0, "global": 1, "tag": 0}
    assert [str(t.comp) for t in c.funcs] == ["[i32] -> []", "[i64] -> []"]
    assert [str(g.valtype) for g in c.globals] == ["i64", "i32"]
    assert (len(c.mems), len(c.tables), c.datas) == (1, 1, 0)
