"""Rules of clauses and of what stands outside of bodies: a module that keeps one, and one that breaks exactly it.

Wasmtime has the same opinion of both where it has the features.
"""

from __future__ import annotations

import pytest

from ci.gates.agreement import SETS, theirs
from engine import InvalidError, decode, encode, parse, validate
from engine.features import ALL, LEGACY_EXCEPTIONS, FeatureSet

T = "(table 1 funcref) (table $e 1 externref) (memory 1) (func $f) (func $g (param i32))"
S = "(type $s (sub (struct (field i32) (field (mut i32)))))"

# Anchor of the rule, what keeps it, what breaks it, and the phrase.
RULES = [
    # types
    ("valid-functype", "(type (func (param (ref null 0))))", "(type (func (param (ref null 9))))", "unknown type"),
    ("valid-structtype", "(type (struct (field (ref null 0))))", "(type (struct (field (ref null 1))))",
     "unknown type"),
    ("valid-arraytype", "(type (array (ref null 0)))", "(type (array (ref null 1)))", "unknown type"),
    ("valid-rectype", "(rec (type (struct (field (ref 1)))) (type (struct)))",
     "(rec (type (struct (field (ref 2)))) (type (struct)))", "unknown type"),
    ("valid-subtype-order", "(type (sub (struct))) (type (sub 0 (struct)))",
     "(type (sub 1 (struct))) (type (sub (struct)))",
     "unknown type"),
    ("valid-subtype-self", "(type (sub (struct)))", "(type (sub 0 (struct)))", "unknown type"),
    ("valid-subtype-final", "(type (sub (func))) (type (sub 0 (func)))",
     "(type (sub final (func))) (type (sub 0 (func)))",
     "sub type"),
    ("valid-subtype-one", "(type (sub (struct))) (type (sub (struct))) (type (sub 1 (struct)))",
     "(type (sub (struct))) (type (sub (struct))) (type (sub 0 1 (struct)))", "more than one supertype"),
    ("valid-subtype-kind", "(type (sub (func))) (type (sub 0 (func)))", "(type (sub (func))) (type (sub 0 (struct)))",
     "sub type"),
    ("match-functype-params", "(type (sub (func (param eqref)))) (type (sub 0 (func (param anyref))))",
     "(type (sub (func (param anyref)))) (type (sub 0 (func (param eqref))))", "sub type"),
    ("match-functype-results", "(type (sub (func (result anyref)))) (type (sub 0 (func (result eqref))))",
     "(type (sub (func (result eqref)))) (type (sub 0 (func (result anyref))))", "sub type"),
    ("match-structtype-width", S + "(type (sub $s (struct (field i32) (field (mut i32)) (field i64))))",
     S + "(type (sub $s (struct (field i32))))", "sub type"),
    ("match-structtype-depth", "(type (sub (struct (field anyref)))) (type (sub 0 (struct (field eqref))))",
     "(type (sub (struct (field eqref)))) (type (sub 0 (struct (field anyref))))", "sub type"),
    ("match-fieldtype-var", "(type (sub (struct (field (mut anyref))))) (type (sub 0 (struct (field (mut anyref)))))",
     "(type (sub (struct (field (mut anyref))))) (type (sub 0 (struct (field (mut eqref)))))", "sub type"),
    ("match-fieldtype-mut", S + "(type (sub $s (struct (field i32) (field (mut i32)))))",
     S + "(type (sub $s (struct (field (mut i32)) (field (mut i32)))))", "sub type"),
    ("match-packtype", "(type (sub (array i8))) (type (sub 0 (array i8)))",
     "(type (sub (array i8))) (type (sub 0 (array i16)))", "sub type"),
    ("valid-limits-table", "(table 1 1 funcref)", "(table 2 1 funcref)", "size minimum"),
    ("valid-limits-mem", "(memory 1 1)", "(memory 2 1)", "size minimum"),
    ("valid-memtype-min", "(memory 65536)", "(memory 65537)", "memory size"),
    ("valid-memtype-max", "(memory 0 65536)", "(memory 0 65537)", "memory size"),
    ("valid-memtype-64", "(memory i64 0x1_0000_0000_0000)", "(memory i64 0x1_0000_0000_0001)", "memory size"),
    ("valid-memtype-shared", "(memory 1 1 shared)", "(memory 1 shared)", "shared memory must have maximum"),
    ("valid-memtype-page", "(memory 1 (pagesize 1))", "(memory 1 (pagesize 2))", "custom page size"),
    ("valid-tabletype", "(type (func)) (table 0 (ref null 0))", "(table 0 (ref null 9))", "unknown type"),
    ("valid-globaltype", "(type (func)) (global (ref null 0) (ref.null 0))", "(global (ref null 9) (ref.null func))",
     "unknown type"),
    ("valid-tagtype", "(tag (param i32))", "(tag (result i32))", "non-empty tag result type"),
    ("valid-tagtype-index", "(type (func)) (tag (type 0))", "(tag (type 9))", "unknown type"),
    ("valid-tagtype-kind", "(type (func)) (tag (type 0))", "(type (struct)) (tag (type 0))", "type"),
    # definitions
    ("valid-func-type", "(type (func)) (func (type 0))", "(func (type 9))", "unknown type"),
    ("valid-func-kind", "(type (func)) (func (type 0))", "(type (struct)) (func (type 0))", "type"),
    ("valid-func-result", "(func (result i32) (i32.const 0))", "(func (result i32) (i64.const 0))", "type mismatch"),
    ("valid-func-leftover", "(func (result i32) (i32.const 0))", "(func (i32.const 0))", "values remain"),
    ("valid-local", "(func (param funcref) (local (ref null func)) (local.get 1) drop)",
     "(func (param funcref) (local (ref func)) (local.get 1) drop)", "uninitialized local"),
    ("valid-local-type", "(type (func)) (func (local (ref null 0)))", "(func (local (ref null 9)))", "unknown type"),
    ("valid-table-null", "(table 1 (ref null func))", "(table 1 (ref func))", "type mismatch"),
    ("valid-table-init", "(func $f) (table 1 (ref func) (ref.func $f))", "(table 1 (ref func) (ref.null func))",
     "type mismatch"),
    ("valid-table-const", "(global $g funcref (ref.null func)) (table 1 funcref (ref.null func))",
     "(func $f (result funcref) (ref.null func)) (table 1 funcref (call $f))", "constant expression"),
    ("valid-global-type", "(global i32 (i32.const 0))", "(global i32 (i64.const 0))", "type mismatch"),
    ("valid-global-empty", "(global i32 (i32.const 0))", "(global i32)", "type mismatch"),
    ("valid-global-many", "(global i32 (i32.const 0))", "(global i32 (i32.const 0) (i32.const 0))", "type mismatch"),
    ("valid-constant", "(global i32 (i32.add (i32.const 0) (i32.const 0)))",
     "(global i32 (i32.and (i32.const 0) (i32.const 0)))", "constant expression"),
    ("valid-const-global", "(global i32 (i32.const 0)) (global i32 (global.get 0))",
     "(global (mut i32) (i32.const 0)) (global i32 (global.get 0))", "constant expression"),
    ("valid-global-order", "(global i32 (i32.const 0)) (global i32 (global.get 0))",
     "(global i32 (global.get 1)) (global i32 (i32.const 0))", "unknown global"),
    ("valid-global-self", "(global i32 (i32.const 0))", "(global i32 (global.get 0))", "unknown global"),
    ("valid-const-func", "(func) (global funcref (ref.func 0))", "(global funcref (ref.func 0))", "unknown function"),
    # segments
    ("valid-elem-table", T + "(elem (i32.const 0) $f)", T + "(elem (table 9) (i32.const 0) func $f)", "unknown table"),
    ("valid-elem-type", T + "(elem (table $e) (i32.const 0) externref)",
     T + "(elem (table $e) (i32.const 0) funcref)", "type mismatch"),
    ("valid-elem-init", T + "(elem funcref (ref.null func))", T + "(elem funcref (ref.null extern))", "type mismatch"),
    ("valid-elem-const", T + "(elem funcref (ref.func $f))", T + "(elem funcref (item (ref.func $f) (ref.func $f)))",
     "type mismatch"),
    ("valid-elem-func", T + "(elem func $f)", T + "(elem func 9)", "unknown function"),
    ("valid-elemmode-offset", T + "(elem (i32.const 0) $f)", T + "(elem (i64.const 0) $f)", "type mismatch"),
    ("valid-elemmode-64", "(table i64 1 funcref) (elem (i64.const 0) func)",
     "(table i64 1 funcref) (elem (i32.const 0) func)",
     "type mismatch"),
    ("valid-elemmode-const", T + "(elem (i32.const 0) $f)", T + "(elem (i32.clz (i32.const 0)) $f)",
     "constant expression"),
    ("valid-data-mem", '(memory 1) (data (i32.const 0) "")', '(data (i32.const 0) "")', "unknown memory"),
    ("valid-datamode-offset", T + '(data (i32.const 0) "")', T + '(data (f32.const 0) "")', "type mismatch"),
    ("valid-datamode-64", '(memory i64 1) (data (i64.const 0) "")', '(memory i64 1) (data (i32.const 0) "")',
     "type mismatch"),
    ("valid-datamode-const", T + '(data (i32.const 0) "")', T + '(data (i32.clz (i32.const 0)) "")',
     "constant expression"),
    # the module
    ("valid-start-index", T + "(start $f)", T + "(start 9)", "unknown function"),
    ("valid-start-type", T + "(start $f)", T + "(start $g)", "start function"),
    ("valid-export-name", T + '(export "a" (func $f)) (export "b" (func $f))',
     T + '(export "a" (func $f)) (export "a" (memory 0))', "duplicate export name"),
    ("valid-export-func", T + '(export "a" (func 1))', T + '(export "a" (func 2))', "unknown function"),
    ("valid-export-table", T + '(export "a" (table 1))', T + '(export "a" (table 2))', "unknown table"),
    ("valid-export-mem", T + '(export "a" (memory 0))', T + '(export "a" (memory 1))', "unknown memory"),
    ("valid-export-global", '(global i32 (i32.const 0)) (export "a" (global 0))', '(export "a" (global 0))',
     "unknown global"),
    ("valid-export-tag", '(tag) (export "a" (tag 0))', '(export "a" (tag 0))', "unknown tag"),
    ("valid-import-func", '(type (func)) (import "a" "b" (func (type 0)))', '(import "a" "b" (func (type 9)))',
     "unknown type"),
    ("valid-import-kind", '(type (func)) (import "a" "b" (func (type 0)))',
     '(type (array i8)) (import "a" "b" (func (type 0)))', "type"),
    ("valid-import-table", '(import "a" "b" (table 1 1 funcref))', '(import "a" "b" (table 2 1 funcref))',
     "size minimum"),
    ("valid-import-mem", '(import "a" "b" (memory 1))', '(import "a" "b" (memory 65537))', "memory size"),
    ("valid-import-global", '(import "a" "b" (global (ref func)))', '(import "a" "b" (global (ref 9)))',
     "unknown type"),
    ("valid-import-tag", '(import "a" "b" (tag (param i32)))', '(import "a" "b" (tag (result i32)))',
     "non-empty tag result type"),
    ("valid-ref.func", "(func $f) (elem declare func $f) (func (drop (ref.func $f)))",
     "(func $f) (func (drop (ref.func $f)))", "undeclared function reference"),
    # clauses
    ("valid-if", "(func (if (i32.const 0) (then) (else)))", "(func (if (i32.const 0) (then) (else (i32.const 0))))",
     "values remain"),
    ("valid-if-then", "(func (result i32) (if (result i32) (i32.const 0) (then (i32.const 0)) (else (i32.const 0))))",
     "(func (result i32) (if (result i32) (i32.const 0) (then (i64.const 0)) (else (i32.const 0))))", "type mismatch"),
    ("valid-if-else", "(func (result i32) (if (result i32) (i32.const 0) (then (i32.const 0)) (else (i32.const 0))))",
     "(func (result i32) (if (result i32) (i32.const 0) (then (i32.const 0)) (else (i64.const 0))))", "type mismatch"),
    ("valid-if-without-else", "(func (if (i32.const 0) (then)))",
     "(func (result i32) (if (result i32) (i32.const 0) (then (i32.const 0))))", "type mismatch"),
    ("valid-block", "(func (block))", "(func (block (i32.const 0)))", "values remain"),
    ("valid-br_table", "(func (block (br_table 0 1 (i32.const 0))))",
     "(func (result i32) (block (br_table 0 1 (i32.const 0) (i32.const 0))) (i32.const 0))", "type mismatch"),
    ("valid-br_table-label", "(func (br_table 0 0 (i32.const 0)))", "(func (br_table 9 0 (i32.const 0)))",
     "unknown label"),
    ("valid-catch", "(tag (param i32)) (func (result i32) (try_table (result i32) (catch 0 0) (i32.const 0)))",
     "(tag (param i64)) (func (result i32) (try_table (result i32) (catch 0 0) (i32.const 0)))", "type mismatch"),
    ("legacy-catch", "(tag (param i32)) (func try catch 0 drop end)", "(tag (param i32)) (func try catch 0 end)",
     "values remain"),
    ("legacy-catch-tag", "(tag) (func try catch 0 end)", "(tag) (func try catch 1 end)", "unknown tag"),
    ("legacy-catch-body", "(tag) (func try catch 0 end)", "(tag) (func try i32.const 0 catch 0 end)", "values remain"),
    ("legacy-catch_all", "(func try nop catch_all end)", "(func try nop catch_all drop end)", "type mismatch"),
    ("legacy-delegate", "(func try nop delegate 0)", "(func try nop delegate 1)", "unknown label"),
    ("legacy-rethrow", "(func try nop catch_all rethrow 0 end)", "(func try nop rethrow 0 catch_all end)",
     "invalid rethrow label"),
    ("legacy-rethrow-label", "(func try nop catch_all rethrow 0 end)", "(func try nop catch_all rethrow 9 end)",
     "unknown label"),
    # the proposal of custom descriptors
    ("descriptors-forward", "(rec (type (descriptor 1) (struct)) (type (describes 0) (struct)))",
     "(rec (type (describes 1) (struct)) (type (descriptor 0) (struct)))", "forward use of described type"),
    ("descriptors-sub",
     """(rec (type (sub (descriptor 1) (struct))) (type (sub (describes 0) (struct))))
     (rec (type (sub 0 (descriptor 3) (struct))) (type (sub 1 (describes 2) (struct))))""",
     """(rec (type (sub (descriptor 1) (struct))) (type (sub (describes 0) (struct))))
     (rec (type (sub 0 (descriptor 3) (struct))) (type (sub (describes 2) (struct))))""",
     "descriptor type 3 does not match"),
    ("descriptors-new",
     "(type (struct)) (func (drop (struct.new 0)))",
     "(rec (type (descriptor 1) (struct)) (type (describes 0) (struct))) (func (drop (struct.new 0)))",
     "type with descriptor requires descriptor allocation"),
    ("descriptors-new_desc",
     """(rec (type (descriptor 1) (struct)) (type (describes 0) (struct)))
     (func (drop (struct.new_desc 0 (struct.new 1))))""",
     """(rec (type (descriptor 1) (struct)) (type (describes 0) (struct)))
     (func (drop (struct.new_desc 1 (struct.new 1))))""",
     "type without descriptor"),
    ("descriptors-pair", "(rec (type (descriptor 1) (struct)) (type (describes 0) (struct)))",
     "(rec (type (descriptor 1) (struct)) (type (struct)))", "not described by its descriptor"),
    ("descriptors-describes", "(rec (type (descriptor 1) (struct)) (type (describes 0) (struct)))",
     "(rec (type (struct)) (type (describes 0) (struct)))", "not described by descriptor"),
    ("descriptors-kind", "(rec (type (descriptor 1) (struct)) (type (describes 0) (struct)))",
     "(rec (type (descriptor 1) (array i8)) (type (describes 0) (struct)))", "must be a struct"),
    ("descriptors-index", "(rec (type (descriptor 1) (struct)) (type (describes 0) (struct)))",
     "(rec (type (descriptor 2) (struct)) (type (describes 0) (struct)))", "outside rec group"),
]  # fmt: skip


def features(anchor: str) -> FeatureSet:
    if anchor.startswith("legacy"):
        return SETS["all"] | {LEGACY_EXCEPTIONS}
    return ALL if anchor.startswith("descriptors") else SETS["all"]


@pytest.mark.parametrize(("anchor", "right", "wrong", "phrase"), RULES, ids=[rule[0] for rule in RULES])
def test_a_rule_and_what_breaks_it(anchor, right, wrong, phrase):
    on = features(anchor)
    keeps, breaks = (encode(parse(text, on)) for text in (right, wrong))
    validate(decode(keeps, on), on)
    with pytest.raises(InvalidError, match=phrase) as caught:
        validate(decode(breaks, on), on)
    assert caught.value.where is not None
    assert caught.value.where.offset is not None
    if on == SETS["all"]:
        assert theirs(keeps, on) is None
        assert theirs(breaks, on) is not None


def test_every_rule_is_here_once():
    assert len({anchor for anchor, *_ in RULES}) == len(RULES)
