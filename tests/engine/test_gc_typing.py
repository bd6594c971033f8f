"""One module per typing rule of references and objects: right but for the one thing the rule forbids."""

from __future__ import annotations

import pytest

from engine import InvalidError, decode, validate
from engine.features import WASM_3
from tests.support.wasm import wasm

TYPES = """
    (type $s (sub (struct (field $x i32) (field $p (mut i8)) (field $r (mut anyref)))))
    (type $t (sub $s (struct (field i32) (field (mut i8)) (field (mut anyref)) (field i64))))
    (type $n (struct (field (ref any))))
    (type $a (array (mut i32)))
    (type $b (array (mut i8)))
    (type $c (array i64))
    (type $v (array (mut anyref)))
    (type $m (array (mut (ref any))))
    (type $f (func (param i32) (result i64)))
    (data $d "") (elem $e i31ref) (elem $g funcref)
"""

WRONG = {
    # operands of the wrong type
    "ref.as_non_null takes a reference": "(drop (ref.as_non_null (i32.const 0)))",
    "ref.eq takes comparable references": "(param anyref) (drop (ref.eq (local.get 0) (ref.null none)))",
    "ref.eq takes two": "(param eqref) (drop (ref.eq (local.get 0)))",
    "ref.test stays in its hierarchy": "(param funcref) (drop (ref.test anyref (local.get 0)))",
    "ref.cast stays in its hierarchy": "(param anyref) (drop (ref.cast externref (local.get 0)))",
    "ref.cast gives its type": "(param anyref) (result (ref $t)) (ref.cast (ref $s) (local.get 0))",
    "ref.cast null gives null": "(param anyref) (result (ref $s)) (ref.cast (ref null $s) (local.get 0))",
    "ref.i31 takes a number": "(param i64) (drop (ref.i31 (local.get 0)))",
    "i31.get_s takes an i31": "(param eqref) (drop (i31.get_s (local.get 0)))",
    "i31.get_u takes an i31": "(param structref) (drop (i31.get_u (local.get 0)))",
    "any.convert_extern takes external references": "(param funcref) (drop (any.convert_extern (local.get 0)))",
    "any.convert_extern keeps null": "(param externref) (result (ref any)) (any.convert_extern (local.get 0))",
    "extern.convert_any takes internal references": "(param externref) (drop (extern.convert_any (local.get 0)))",
    "extern.convert_any keeps null": "(param anyref) (result (ref extern)) (extern.convert_any (local.get 0))",
    "call_ref takes its own type": "(param funcref) (drop (call_ref $f (i32.const 0) (local.get 0)))",
    "call_ref takes arguments": "(param (ref $f)) (drop (call_ref $f (i64.const 0) (local.get 0)))",
    "call_ref gives results": "(param (ref $f)) (result i32) (call_ref $f (i32.const 0) (local.get 0))",
    "call_ref has a function type": "(param (ref $s)) (call_ref $s (local.get 0))",
    "br_on_null takes what its label takes":
        "(param anyref) (result i32) (i64.const 0) (br_on_null 0 (local.get 0)) (drop) (drop) "
        "(i32.const 0)",
    "br_on_null takes a reference": "(drop (br_on_null 0 (i32.const 0)))",
    "br_on_null leaves a reference": "(param anyref) (br_on_null 0 (local.get 0))",
    "br_on_non_null has a label of a reference":
        "(param anyref) (result i32) (br_on_non_null 0 (local.get 0)) (i32.const 0)",
    "br_on_non_null has a label of some value": "(param anyref) (br_on_non_null 0 (local.get 0))",
    "br_on_non_null branches with its operand":
        "(param anyref) (result (ref eq)) (br_on_non_null 0 (local.get 0)) (unreachable)",
    "br_on_non_null leaves nothing": "(param anyref) (result anyref) (br_on_non_null 0 (local.get 0))",
    "br_on_cast goes down": "(param eqref) (result anyref) (br_on_cast 0 eqref anyref (local.get 0))",
    "br_on_cast branches with its target":
        "(param anyref) (result i31ref) (br_on_cast 0 anyref structref (local.get 0)) (unreachable)",
    "br_on_cast takes its source":
        "(param anyref) (result i31ref) (br_on_cast 0 eqref i31ref (local.get 0)) (unreachable)",
    "br_on_cast leaves null": "(param anyref) (result (ref any)) (br_on_cast 0 anyref (ref i31) (local.get 0))",
    "br_on_cast has a label of a value": "(param anyref) (drop (br_on_cast 0 anyref i31ref (local.get 0)))",
    "br_on_cast_fail goes down": "(param eqref) (result anyref) (br_on_cast_fail 0 eqref anyref (local.get 0))",
    "br_on_cast_fail branches with what is left":
        "(param anyref) (result (ref any)) (br_on_cast_fail 0 anyref (ref i31) (local.get 0))",
    "br_on_cast_fail leaves its target":
        "(param anyref) (result anyref) (i31.get_u (br_on_cast_fail 0 anyref structref (local.get 0))) "
        "(unreachable)",
    "struct.new takes its fields": "(drop (struct.new $s (i32.const 0) (i64.const 0) (ref.null any)))",
    "struct.new takes all its fields": "(drop (struct.new $s (i32.const 0) (i32.const 0)))",
    "struct.new has a structure type": "(drop (struct.new $a))",
    "struct.new_default needs defaults": "(drop (struct.new_default $n))",
    "struct.get takes its structure": "(param structref) (drop (struct.get $s $x (local.get 0)))",
    "struct.get takes no supertype": "(param (ref $s)) (drop (struct.get $t 3 (local.get 0)))",
    "struct.get reads no packed field": "(param (ref $s)) (drop (struct.get $s $p (local.get 0)))",
    "struct.get_s reads a packed field": "(param (ref $s)) (drop (struct.get_s $s $x (local.get 0)))",
    "struct.get_u reads a packed field": "(param (ref $s)) (drop (struct.get_u $s $x (local.get 0)))",
    "struct.get has a field": "(param (ref $s)) (drop (struct.get $s 3 (local.get 0)))",
    "struct.set writes mutable fields": "(param (ref $s)) (struct.set $s $x (local.get 0) (i32.const 0))",
    "struct.set takes the field": "(param (ref $s)) (struct.set $s $r (local.get 0) (i32.const 0))",
    "struct.set takes i32 for packed fields": "(param (ref $s)) (struct.set $s $p (local.get 0) (i64.const 0))",
    "array.new takes an element": "(drop (array.new $a (i64.const 0) (i32.const 1)))",
    "array.new takes a length": "(drop (array.new $c (i64.const 0) (i64.const 1)))",
    "array.new has an array type": "(drop (array.new $s (i32.const 0) (i32.const 1)))",
    "array.new_default needs a default": "(drop (array.new_default $m (i32.const 1)))",
    "array.new_fixed takes elements": "(drop (array.new_fixed $a 2 (i32.const 0) (i64.const 0)))",
    "array.new_fixed takes all of them": "(drop (array.new_fixed $a 2 (i32.const 0)))",
    "array.new_data makes numbers": "(drop (array.new_data $v $d (i32.const 0) (i32.const 0)))",
    "array.new_data has a segment": "(drop (array.new_data $a 1 (i32.const 0) (i32.const 0)))",
    "array.new_elem makes references": "(drop (array.new_elem $a $e (i32.const 0) (i32.const 0)))",
    "array.new_elem has fitting elements": "(drop (array.new_elem $v $g (i32.const 0) (i32.const 0)))",
    "array.new_elem has a segment": "(drop (array.new_elem $v 2 (i32.const 0) (i32.const 0)))",
    "array.get takes its array": "(param arrayref) (drop (array.get $a (local.get 0) (i32.const 0)))",
    "array.get takes an index": "(param (ref $a)) (drop (array.get $a (local.get 0) (i64.const 0)))",
    "array.get reads no packed element": "(param (ref $b)) (drop (array.get $b (local.get 0) (i32.const 0)))",
    "array.get_s reads packed elements": "(param (ref $a)) (drop (array.get_s $a (local.get 0) (i32.const 0)))",
    "array.get_u reads packed elements": "(param (ref $a)) (drop (array.get_u $a (local.get 0) (i32.const 0)))",
    "array.set writes mutable arrays": "(param (ref $c)) (array.set $c (local.get 0) (i32.const 0) (i64.const 0))",
    "array.set takes an element": "(param (ref $a)) (array.set $a (local.get 0) (i32.const 0) (i64.const 0))",
    "array.len takes an array": "(param (ref $s)) (drop (array.len (local.get 0)))",
    "array.fill writes mutable arrays":
        "(param (ref $c)) (array.fill $c (local.get 0) (i32.const 0) (i64.const 0) (i32.const 0))",
    "array.fill takes an element":
        "(param (ref $a)) (array.fill $a (local.get 0) (i32.const 0) (i64.const 0) (i32.const 0))",
    "array.copy writes mutable arrays":
        "(param (ref $c)) (array.copy $c $c (local.get 0) (i32.const 0) (local.get 0) (i32.const 0) "
        "(i32.const 0))",
    "array.copy copies fitting elements":
        "(param (ref $a)) (param (ref $b)) (array.copy $a $b (local.get 0) (i32.const 0) (local.get 1) "
        "(i32.const 0) (i32.const 0))",
    "array.copy takes its arrays in order":
        "(param (ref $a)) (param (ref $v)) (array.copy $a $a (local.get 0) (i32.const 0) (local.get 1) "
        "(i32.const 0) (i32.const 0))",
    "array.init_data writes mutable arrays":
        "(param (ref $c)) (array.init_data $c $d (local.get 0) (i32.const 0) (i32.const 0) (i32.const 0))",
    "array.init_data writes numbers":
        "(param (ref $v)) (array.init_data $v $d (local.get 0) (i32.const 0) (i32.const 0) (i32.const 0))",
    "array.init_elem writes references":
        "(param (ref $a)) (array.init_elem $a $e (local.get 0) (i32.const 0) (i32.const 0) (i32.const 0))",
    "array.init_elem has fitting elements":
        "(param (ref $v)) (array.init_elem $v $g (local.get 0) (i32.const 0) (i32.const 0) (i32.const 0))",
    "a local that cannot be null is set first": "(local (ref $s)) (drop (local.get 0))",
    "a local set in a block is not set behind it":
        "(local (ref any)) (block (local.set 0 (ref.i31 (i32.const 0)))) (drop (local.get 0))",
}  # fmt: skip

RIGHT = {
    "a subtype is a supertype": "(param (ref $t)) (drop (struct.get $s $x (local.get 0)))",
    "null of the bottom type is any null": "(drop (struct.get $s $x (ref.null none)))",
    "br_on_cast leaves no null if it takes null":
        "(param anyref) (result anyref) (drop (ref.eq (ref.cast (ref eq) "
        "(br_on_cast 0 anyref (ref null i31) (local.get 0))) (ref.null none))) (ref.null any)",
    "elements of a subtype fit": "(drop (array.new_elem $v $e (i32.const 0) (i32.const 0)))",
    "what is set in a block is there in it":
        "(local (ref any)) (block (local.set 0 (ref.i31 (i32.const 0))) (drop (local.get 0)))",
    "a local that is set stays set in blocks":
        "(local (ref any)) (local.set 0 (ref.i31 (i32.const 0))) (block (drop (local.get 0)))",
    "unreachable code has every type":
        "(unreachable) (struct.set $s $r) (array.copy $v $v) (drop (any.convert_extern)) "
        "(drop (br_on_null 0)) (drop (ref.cast (ref $s)))",
    "a bottom reference is every reference":
        "(unreachable) (ref.as_non_null) (struct.set $s $r (ref.null any)) (call_ref $f) (drop)",
}  # fmt: skip


@pytest.mark.parametrize("rule", WRONG)
def test_what_a_rule_forbids_is_invalid(rule):
    module = decode(wasm(f"{TYPES} (func {WRONG[rule]})"), WASM_3)
    with pytest.raises(InvalidError):
        validate(module, WASM_3)


@pytest.mark.parametrize("rule", RIGHT)
def test_what_a_rule_allows_is_valid(rule):
    validate(decode(wasm(f"{TYPES} (func {RIGHT[rule]})"), WASM_3), WASM_3)


CONSTANTS = {
    "(global (ref $s) (struct.new $s (i32.const 1) (i32.const 2) (ref.i31 (i32.const 3))))": True,
    "(global anyref (array.new_fixed $v 2 (ref.null any) (array.new_default $a (i32.const 4))))": True,
    "(global externref (extern.convert_any (any.convert_extern (ref.null extern))))": True,
    "(global $h i32 (i32.const 4)) (global (ref $a) (array.new $a (global.get $h) (global.get $h)))": True,
    "(global $h (mut i32) (i32.const 4)) (global (ref i31) (ref.i31 (global.get $h)))": False,
    "(global i32 (i31.get_s (ref.i31 (i32.const 1))))": False,
    "(global i32 (struct.get $s $x (struct.new_default $s)))": False,
    "(global anyref (ref.cast (ref i31) (ref.i31 (i32.const 1))))": False,
    "(global (ref any) (ref.as_non_null (ref.null any)))": False,
    "(global anyref (array.new_data $a $d (i32.const 0) (i32.const 0)))": False,
    "(global anyref (array.new_elem $v $e (i32.const 0) (i32.const 0)))": False,
    "(global i32 (ref.test (ref i31) (ref.null any)))": False,
    "(global i32 (array.len (array.new_default $a (i32.const 4))))": False,
    "(table 2 (ref $s) (struct.new_default $s))": True,
    "(table 2 (ref $s))": False,
    "(table 2 (ref $s) (struct.new_default $n))": False,
}


@pytest.mark.parametrize(("field", "is_valid"), CONSTANTS.items())
def test_what_stands_in_constant_expressions(field, is_valid):
    module = decode(wasm(f"{TYPES} {field}"), WASM_3)
    if is_valid:
        validate(module, WASM_3)
    else:
        with pytest.raises(InvalidError):
            validate(module, WASM_3)
