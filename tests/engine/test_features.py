"""Features: the named sets, and that what a feature adds exists with it and not without it."""

from __future__ import annotations

import pytest

from engine import InvalidError, MalformedError, UnsupportedError, decode, encode, parse, validate
from engine.features import (
    ALL,
    BULK_MEMORY,
    CUSTOM_DESCRIPTORS,
    CUSTOM_PAGE_SIZES,
    EXCEPTIONS,
    EXECUTED,
    EXTENDED_CONST,
    FEATURES,
    FUNCTION_REFERENCES,
    GC,
    LEGACY_EXCEPTIONS,
    MEMORY64,
    MULTI_MEMORY,
    MULTI_VALUE,
    MUTABLE_GLOBALS,
    MVP,
    REFERENCE_TYPES,
    RELAXED_SIMD,
    SATURATING_FLOAT,
    SIGN_EXTENSION,
    SIMD,
    TAIL_CALL,
    THREADS,
    WASM_1,
    WASM_2,
    WASM_3,
    WIDE_ARITHMETIC,
    FeatureSet,
)
from engine.instructions import TABLE
from oracles.adapters.wasmtime_api import Setup, load, settled
from tests.support.binary import module, section

# What one feature builds on: its modules need these too.
BELOW: dict[object, FeatureSet] = {
    CUSTOM_DESCRIPTORS: frozenset({REFERENCE_TYPES, FUNCTION_REFERENCES, GC}),
    EXCEPTIONS: frozenset({REFERENCE_TYPES, FUNCTION_REFERENCES}),
    FUNCTION_REFERENCES: frozenset({REFERENCE_TYPES}),
    GC: frozenset({REFERENCE_TYPES, FUNCTION_REFERENCES}),
    RELAXED_SIMD: frozenset({SIMD}),
    REFERENCE_TYPES: frozenset({BULK_MEMORY}),
}


def text(source: str) -> bytes:
    return encode(parse(source.encode()))


def with_(definitions: str, body: str) -> bytes:
    """Return a module of a function with this body, and a section of ids from 4 to 9 before the code."""
    code = b"\0" + bytes.fromhex(body)
    return module(
        section(1, b"\1\x60\0\0"), section(3, b"\1\0"), bytes.fromhex(definitions),
        section(10, b"\1", bytes((len(code),)), code),
    )  # fmt: skip


# Modules that need one feature, and how they are rejected without it: instructions and forms of the binary format that
# do not exist are malformed, what is well-formed and may not be used is invalid.
CASES = [
    (MUTABLE_GLOBALS, text('(global (export "g") (mut i32) (i32.const 0))'), InvalidError, "mutable globals"),
    (MUTABLE_GLOBALS, text('(import "a" "b" (global (mut i32)))'), InvalidError, "mutable globals"),
    (SIGN_EXTENSION, text("(func (drop (i32.extend8_s (i32.const 0))))"), MalformedError, "illegal opcode"),
    (SATURATING_FLOAT, text("(func (drop (i32.trunc_sat_f32_s (f32.const 0))))"), MalformedError, "illegal opcode"),
    (MULTI_VALUE, text("(func (result i32 i32) (i32.const 0) (i32.const 0))"), InvalidError, "result arity"),
    (MULTI_VALUE, text("(func (i32.const 0) (block (param i32) drop))"), InvalidError, "block type"),
    (REFERENCE_TYPES, text("(func (param externref))"), InvalidError, "type externref"),
    (REFERENCE_TYPES, text("(table 1 funcref) (table 1 funcref)"), InvalidError, "multiple tables"),
    (REFERENCE_TYPES, text("(table 1 funcref) (func (drop (table.size)))"), MalformedError, "illegal opcode"),
    (REFERENCE_TYPES, with_("040401700000", "41 00 11 00 80 00 0b"), MalformedError, "zero byte expected"),
    (BULK_MEMORY, text('(data "")'), InvalidError, "passive data segment"),
    (BULK_MEMORY, text("(elem func)"), InvalidError, "passive element segment"),
    (BULK_MEMORY, module(section(12, b"\0")), MalformedError, "malformed section id"),
    (SIMD, text("(func (local v128))"), InvalidError, "type v128"),
    (SIMD, text("(func (drop (v128.const i64x2 0 0)))"), MalformedError, "illegal opcode"),
    (EXTENDED_CONST, text("(global i32 (i32.add (i32.const 0) (i32.const 0)))"), InvalidError, "constant expression"),
    (TAIL_CALL, text("(func $f (return_call $f))"), MalformedError, "illegal opcode"),
    (MULTI_MEMORY, text("(memory 1) (memory 1)"), InvalidError, "multiple memories"),
    (MULTI_MEMORY, with_("0503010000", "3f 80 00 1a 0b"), MalformedError, "zero byte expected"),
    (MEMORY64, with_("0503010000", "41 00 2d 00 80 80 80 80 80 00 1a 0b"), MalformedError, "representation too long"),
    (MEMORY64, text("(memory i64 1)"), InvalidError, "64-bit limits"),
    (MEMORY64, text("(table i64 1 funcref)"), InvalidError, "64-bit limits"),
    (FUNCTION_REFERENCES, text("(func (param (ref func)))"), InvalidError, r"type \(ref func\)"),
    (FUNCTION_REFERENCES, text("(type (func)) (func (param (ref null 0)))"), InvalidError, "type"),
    (FUNCTION_REFERENCES, text("(func (drop (ref.as_non_null (ref.null func))))"), MalformedError, "illegal opcode"),
    (FUNCTION_REFERENCES, text("(table 1 funcref (ref.null func))"), InvalidError, "initialiser"),
    (FUNCTION_REFERENCES, text("(type $t (func)) (func (return_call_ref $t (ref.null $t)))"),
     MalformedError, "illegal opcode"),
    (GC, text("(type (struct))"), InvalidError, "struct, array or subtype"),
    (GC, text("(func (param anyref))"), InvalidError, "type anyref"),
    (GC, text("(rec (type (func)) (type (func)))"), MalformedError, "malformed definition type"),
    (GC, module(section(1, b"\1\x4e\1\x60\0\0")), MalformedError, "malformed definition type"),
    (GC, text("(type (sub (func)))"), MalformedError, "malformed definition type"),
    (GC, text("(func (drop (ref.i31 (i32.const 0))))"), MalformedError, "illegal opcode"),
    (GC, text("(global i32 (i32.const 0)) (global i32 (global.get 0))"), InvalidError, "unknown global"),
    (EXCEPTIONS, text("(tag)"), MalformedError, "malformed section id"),
    (EXCEPTIONS, module(section(13, b"\0")), MalformedError, "malformed section id"),
    (EXCEPTIONS, text('(import "a" "b" (tag))'), InvalidError, "unknown tag"),
    (EXCEPTIONS, text("(func (param exnref))"), InvalidError, "type exnref"),
    (EXCEPTIONS, text("(func (try_table))"), MalformedError, "illegal opcode"),
    (LEGACY_EXCEPTIONS, text("(func try end)"), MalformedError, "illegal opcode"),
    (RELAXED_SIMD, text("(func (param v128) (drop (i8x16.relaxed_swizzle (local.get 0) (local.get 0))))"),
     MalformedError, "illegal opcode"),
    (THREADS, text("(memory 1 1 shared)"), InvalidError, "shared memory"),
    (THREADS, text("(func atomic.fence)"), MalformedError, "illegal opcode"),
    (CUSTOM_PAGE_SIZES, text("(memory 1 (pagesize 1))"), MalformedError, "malformed limits flags"),
    (CUSTOM_DESCRIPTORS, text("(rec (type (descriptor 1) (struct)) (type (describes 0) (struct)))"), MalformedError,
     "malformed definition type"),
    (CUSTOM_DESCRIPTORS, text("(type (func)) (func (param (ref (exact 0))))"), MalformedError, "malformed heap type"),
    (CUSTOM_DESCRIPTORS, text('(type (func)) (import "a" "b" (func (exact (type 0))))'), MalformedError,
     "malformed import kind"),
    (WIDE_ARITHMETIC, text("(func (param i64) (i64.mul_wide_u (local.get 0) (local.get 0)) drop drop)"),
     MalformedError, "illegal opcode"),
]  # fmt: skip


def judge(wasm: bytes, features: FeatureSet) -> None:
    validate(decode(wasm, features), features)


def minimal(feature: object) -> FeatureSet:
    """Return the least set with a feature."""
    return WASM_1 | {feature} | BELOW.get(feature, frozenset())


def wasmtime_accepts(wasm: bytes, features: FeatureSet) -> bool:
    api = load()
    engine = api.engine(Setup(features=frozenset(f.name for f in features)))
    return api.error(api.wasmtime_module_validate(engine, wasm, len(wasm))) is None


IDS = [f"{feature}-{i}" for i, (feature, *_) in enumerate(CASES)]


@pytest.mark.parametrize(("feature", "wasm", "error", "phrase"), CASES, ids=IDS)
def test_what_a_feature_adds_is_accepted_with_it_alone_and_rejected_without_it(feature, wasm, error, phrase):
    judge(wasm, minimal(feature))
    judge(wasm, EXECUTED)
    with pytest.raises(error, match=phrase) as caught:
        judge(wasm, EXECUTED - {feature})
    assert caught.value.where is not None
    assert caught.value.where.offset is not None


@pytest.mark.parametrize(("feature", "wasm", "error", "phrase"), CASES, ids=IDS)
def test_wasmtime_agrees_about_features_that_it_can_do_without(feature, wasm, error, phrase):
    for features in (EXECUTED, EXECUTED - {feature}):
        names = settled(f.name for f in features)
        if (feature.name in names) == (feature in features):
            assert wasmtime_accepts(wasm, features) == (feature in features)


def test_every_feature_has_a_module_that_needs_it():
    assert {feature for feature, *_ in CASES} | {MVP} == ALL


def test_named_sets_grow():
    assert {MVP} < WASM_1 < WASM_2 < WASM_3 < ALL
    assert EXECUTED <= ALL
    assert set(FEATURES.values()) == ALL
    assert [f.name for f in FEATURES.values()] == list(FEATURES)


def test_every_feature_says_what_it_adds_and_where_it_is_written():
    assert all(feature.adds for feature in ALL)
    assert GC.link == "https://github.com/WebAssembly/gc"
    assert LEGACY_EXCEPTIONS.link == EXCEPTIONS.link


def test_rows_name_features_of_the_sets_that_they_are_in():
    assert {row.feature for row in TABLE} <= ALL
    assert {row.const for row in TABLE} - {None} <= ALL
    for row in TABLE:
        one_byte = isinstance(row.opcode, int)
        assert not (row.feature is MVP and not one_byte), row


def test_a_feature_that_is_not_executed_says_nothing_about_validity(monkeypatch):
    wasm = text("(func (param exnref))")
    features = EXECUTED - {EXCEPTIONS}
    monkeypatch.setattr("engine.validation.features.EXECUTED", features)
    with pytest.raises(UnsupportedError, match="exceptions"):
        judge(wasm, features)
    with pytest.raises(InvalidError, match=r"i32\.add"):  # a fault that has nothing to do with it
        judge(text("(func (param exnref) i32.add drop)"), features)
