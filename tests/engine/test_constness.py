"""Lengths that a translator sees as constants: by hand, and as wasmtime shows by where it checks."""

from __future__ import annotations

import pytest

from engine import Store, instantiate
from engine.execution import constness
from engine.execution.constness import constant_lengths
from engine.instructions import TABLE
from engine.module import Code, In
from engine.runtime.instance import FuncInst
from tests.support.fuel import AMPLE, CRANELIFT, swept
from tests.support.wasm import wat

FIELDS = """(memory 1 9) (table $t 12 12 funcref) (table $few 10 20 funcref) (table $any 10 anyref) (tag $e (param i32))
  (table $i31 10 i31ref) (table $null 1 (ref null nofunc))
  (type $ints (array (mut i32))) (type $refs (array (mut anyref))) (type $smalls (array (mut i31ref)))
  (global $k i32 (i32.const 5)) (global $var (mut i32) (i32.const 5)) (global $sum i32 (i32.add (i32.const 2)
  (i32.const 3))) (global $copy i32 (global.get $k)) (elem declare func $g)
  (func $g (param i32) (result i32) (local.get 0))"""
FILL = "(memory.fill (i32.const 0) (i32.const 1) {})".format
SET = "(local $x i32) (local.set $x (i32.const 4))"
BACK = "(br_if 0 (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 3)))"
OF_ANY = "(table.fill $any (i32.const 0) (ref.null any) (i32.const 1))"
X = FILL("(local.get $x)")
ANY = "(ref.i31 (i32.const 1))"
LAST = "(block (br_if 0 (local.get 0)) (local.set $x (i32.const 3)) {})".format
MADE = "(array.new_default {} (i32.const 5))".format


def text_of(body: str) -> str:
    """Return a module whose ``inner`` has a parameter, and whose ``f`` calls it with 1."""
    return f'{FIELDS} (func $inner (param i32) {body}) (func (export "f") (call $inner (i32.const 1)))'


def lengths(body: str) -> list[int | None]:
    """Return what is known of the length of each bulk operator of a body, in order."""
    instance = instantiate(Store(), wat(text_of(body)))
    func = instance.funcs[1]
    assert isinstance(func, FuncInst)
    found = constant_lengths(func)
    return [found.get(pc) for pc, ins in enumerate(func.code.body) if ins.row.bulk is not None]


CASES: dict[str, tuple[str, list[int | None]]] = {
    "a literal": (FILL("(i32.const 5)"), [5]),
    "a large literal": (FILL("(i32.const -1)"), [0xFFFF_FFFF]),
    "a parameter": (FILL("(local.get 0)"), [None]),
    "arithmetic": (FILL("(i32.add (i32.const 2) (i32.const 3))"), [None]),
    "a select": (FILL("(select (i32.const 5) (i32.const 5) (local.get 0))"), [None]),
    "what a call gives": (FILL("(call $g (i32.const 5))"), [None]),
    "a local's first value": ("(local $x i32)" + X, [0]),
    "a local with one definition": (SET + X, [4]),
    "a local just set": ("(local $x i32)" + FILL("(local.tee $x (i32.const 6))"), [6]),
    "a local set to a parameter": (SET + "(local.set $x (local.get 0))" + X, [None]),
    "two definitions, although equal": (SET + "(if (local.get 0) (then (local.set $x (i32.const 4))))" + X, [None]),
    "one definition by two ways": (SET + "(if (local.get 0) (then (nop)) (else (nop)))" + X, [4]),
    "zeros declared together are one": (
        "(local $x i32) (local $y i32) (if (local.get 0) (then (local.set $x (local.get $y))))" + X,
        [0],
    ),
    "zeros declared apart are two": (
        "(local $x i32) (local i64) (local $y i32) (if (local.get 0) (then (local.set $x (local.get $y))))" + X,
        [None],
    ),
    "a result of a block": (FILL("(block (result i32) (i32.const 5))"), [5]),
    "a result of two literals": (
        FILL("(if (result i32) (local.get 0) (then (i32.const 5)) (else (i32.const 5)))"),
        [None],
    ),
    "one literal on two ways": (
        FILL("(i32.const 5) (if (param i32) (result i32) (local.get 0) (then) (else))"),
        [5],
    ),
    "a literal that a br_table carries": (
        FILL("(block (result i32) (br_table 0 0 0 (i32.const 5) (local.get 0)))"),
        [5],
    ),
    "another way that is never reached": (
        SET + "(block (br_if 0 (local.get 0)) (br 0) (local.set $x (i32.const 9)))" + X,
        [4],
    ),
    "in a loop, what was set before": (SET + "(loop " + X + ")", [None]),
    "in a loop, what was set in it": (SET + "(loop (local.set $x (i32.const 6))" + X + ")", [6]),
    "a parameter of a loop": (
        "(i32.const 5) (loop (param i32) (local.set 0) (memory.fill (i32.const 0) (i32.const 1) (local.get 0)))",
        [None],
    ),
    "after a loop that never goes back": (SET + "(loop)" + X, [4]),
    "after a loop, where it was not read": ("(local $i i32)" + SET + f"(loop {BACK})" + X, [None]),
    "after a loop, where it was read": ("(local $i i32)" + SET + f"(loop {X} {BACK})" + X, [None, 4]),
    "a global that is a literal for good": (FILL("(global.get $k)"), [5]),
    "a global that may change": (FILL("(global.get $var)"), [None]),
    "a global that is computed": (FILL("(global.get $sum)"), [None]),
    "a global that is a copy": (FILL("(global.get $copy)"), [None]),
    "the size of a table that cannot grow": (FILL("(table.size $t)"), [12]),
    "the size of one that can": (FILL("(table.size $few)"), [None]),
    "the size of a memory": (FILL("(memory.size)"), [None]),
    "whether what is not null is null": (FILL("(ref.is_null (ref.func $g))"), [0]),
    "whether what may be null is null": (FILL("(ref.is_null (ref.null func))"), [None]),
    "whether what a branch left is null": (
        "(i32.const 0) (i32.const 1) (block (br_on_null 0 (ref.null func)) (drop)) (drop) (drop)"
        "(block (result i32) (i32.const 1) (br_on_null 0 (ref.func $g)) (drop)) (drop)"
        "(block (i32.const 0) (i32.const 1) (br_on_null 0 (ref.func $g)) (ref.is_null) (memory.fill))",
        [0],
    ),
    "any or null of a hierarchy": (FILL(f"(ref.test (ref null any) {ANY})"), [1]),
    "any of a hierarchy": (FILL(f"(ref.test (ref any) {ANY})"), [None]),
    "none of a hierarchy": (FILL(f"(ref.test (ref none) {ANY})"), [0]),
    "none or null, of what is not null": (FILL(f"(ref.test (ref null none) {ANY})"), [0]),
    "none or null, of what may be": (FILL("(ref.test (ref null none) (ref.null any))"), [None]),
    "a type below": (FILL(f"(ref.test (ref i31) {ANY})"), [None]),
    "pages": ("(drop (memory.grow (i32.const 2)))", [2]),
    "after elements of functions": (SET + "(table.fill $few (i32.const 0) (ref.null func) (i32.const 1))" + X, [1, 4]),
    "after elements with barriers": (SET + OF_ANY + X, [1, None]),
    "after elements that need none": (SET + "(table.fill $i31 (i32.const 0) (ref.null i31) (i32.const 1))" + X, [1, 4]),
    "after copied functions": (SET + "(table.copy $t $t (i32.const 0) (i32.const 1) (i32.const 2))" + X, [2, None]),
    "after copied small integers": (
        SET + "(table.copy $i31 $i31 (i32.const 0) (i32.const 1) (i32.const 2))" + X,
        [2, 4],
    ),
    "after an array of numbers": (SET + f"(drop {MADE('$ints')})" + X, [5, 4]),
    "after an array of references": (SET + f"(drop {MADE('$refs')})" + X, [5, None]),
    "after an array of small integers": (SET + f"(drop {MADE('$smalls')})" + X, [5, 4]),
    "behind what always traps": (
        SET + LAST("(drop (i32.load offset=0x90000 (i32.const 0)))") + X,
        [4],
    ),
    "behind what may trap": (
        SET + LAST("(drop (i32.load offset=0x80000 (i32.const 0)))") + X,
        [None],
    ),
    "behind a call by a table of nothing": (
        SET + LAST("(call_indirect $null (i32.const 0))") + X,
        [4],
    ),
    "in a handler, what was so at all calls": (
        SET + "(block (try_table (catch_all 0) (drop (call $g (i32.const 1))) (drop (call $g (i32.const 1)))))" + X,
        [4],
    ),
    "in a handler, what calls found different": (
        SET + "(block (try_table (catch_all 0) (drop (call $g (i32.const 1))) (local.set $x (i32.const 5))"
        "(drop (call $g (i32.const 1))) (local.set $x (i32.const 4))) (return))" + X,
        [None],
    ),
    "in a handler that nothing comes to": (
        SET + "(block (try_table (catch_all 0)) (return))" + X,
        [0],
    ),
    "in a handler around one for all": (
        SET + "(local.set $x (block (result i32) (try_table (catch $e 0) (block (try_table (catch_all 0)"
        "(drop (call $g (i32.const 1)))))) (i32.const 7)))" + X,
        [None],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_what_is_seen_as_a_constant(name):
    body, expected = CASES[name]
    assert lengths(body) == expected


@pytest.mark.parametrize("oracle", CRANELIFT[1:])
@pytest.mark.parametrize("name", CASES)
def test_wasmtime_checks_where_a_length_is_no_constant(name, oracle):
    """Every budget comes to the same as on our engine, which depends on what is known of lengths."""
    text = text_of(CASES[name][0])
    budgets = [*range(40), AMPLE]
    assert swept(oracle, text, budgets) == swept(CRANELIFT[0], text, budgets)


def test_nothing_is_known_with_legacy_exceptions():
    instance = instantiate(Store(), wat(text_of(SET + X)))
    func = instance.funcs[1]
    body = (In(TABLE.by_name["try"], (None,)), func.code.body[-1], *func.code.body)
    legacy = FuncInst(9, func.type, func.functype, instance, 1, Code(func.code.locals, body))
    assert constant_lengths(func) != {}
    assert constant_lengths(legacy) == {}


def hostile(n: int) -> str:
    """Return a body with so many joins, and as many locals that are read behind all of them."""
    joins = "(block (br_if 0 (local.get 0)))" * n
    reads = "".join(f"(drop (local.get {x}))" for x in range(1, n))
    return f"(local {'i32 ' * n}) {joins} {reads} {FILL('(local.get 1)')}"


def test_a_body_that_takes_too_long_is_given_up(monkeypatch):
    assert lengths(hostile(40)) == [0]
    monkeypatch.setattr(constness, "MIN_STEPS", 0)
    assert lengths(hostile(400)) == [None]


def test_joins_without_end_take_no_recursion():
    assert lengths("(local $x i32)" + "(block (br_if 0 (local.get 0)))" * 20_000 + X) == [0]


def test_nesting_without_end_takes_no_recursion():
    n = 5_000
    assert lengths(SET + "(block " * n + X + ")" * n) == [4]
    assert lengths(SET + "(loop " * n + X + ")" * n + X) == [None, 4]
