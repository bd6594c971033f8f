"""What wasmtime 50 charges, saves, gives back and checks: numbers by hand, for our engine counting alike and for it.

Costs include 1 for the entry of the function.
"""

from __future__ import annotations

import pytest

from engine.execution.fuel_models import fuel_model
from tests.support.fuel import AMPLE, CRANELIFT, WINCH, left, seen, swept

each_oracle = pytest.mark.parametrize("oracle", CRANELIFT)
each_winch = pytest.mark.parametrize("oracle", WINCH)
every_oracle = pytest.mark.parametrize("oracle", CRANELIFT + WINCH)


def f(body: str, fields: str = "") -> str:
    return f'{fields} (func (export "f") {body})'


def spent(oracle: str, text: str, *calls: str) -> int:
    (word, fuel), *_ = left(oracle, text, *calls)
    assert word == "returned"
    return AMPLE - fuel


# -- the counter


@every_oracle
def test_an_empty_function_costs_1_and_needs_2(oracle):
    assert swept(oracle, f(""), range(4)) == [
        ("out of fuel", 0), ("out of fuel", 0), ("returned", 1), ("returned", 2),
    ]  # fmt: skip


@every_oracle
def test_straight_code_overspends_and_the_next_call_pays(oracle):
    body = f("(local i32)" + "(local.set 0 (i32.const 1))" * 40)
    assert left(oracle, body, "f", "f", fuel=2) == [("returned", 0), ("out of fuel", 0)]


def test_models_are_known_by_name():
    assert str(fuel_model("wasmtime", 50)) == "wasmtime 50"
    assert str(fuel_model("wasmtime", 50, "winch")) == "wasmtime 50:winch"
    with pytest.raises(KeyError, match="known: "):
        fuel_model("wasmtime", 1)


# -- operators

FREE = ["(nop)", "(block)", "(block (nop) (nop))", "(loop)", "(return)", "(block (block (block)))"]
COSTS = {
    "(drop (i32.const 1))": 1,
    "(if (i32.const 1) (then (nop)) (else (nop)))": 2,
    "(block (br 0))": 1,
    "(block (br_if 0 (i32.const 1)))": 2,
    "(block (br_table 0 0 (i32.const 1)))": 2,
    "(local i32) (local.set 0 (local.tee 0 (local.get 0)))": 3,
    "(drop (select (i32.const 1) (i32.const 2) (i32.const 3)))": 4,
    "(drop (i64.add (i64.const 1) (i64.const 2)))": 3,
    "(drop (memory.size))": 1,
    "(i32.store (i32.const 0) (i32.load (i32.const 0)))": 4,
    "(drop (ref.is_null (ref.null func)))": 2,
    "(drop (ref.func 0))": 1,
    "(drop (table.get (i32.const 0)))": 2,
    "(data.drop 0)": 1,
    "(elem.drop 0)": 1,
    "(global.set 0 (global.get 0))": 2,
}
FIELDS = """(memory 1) (table 1 funcref) (data "") (global (mut i32) (i32.const 0)) (elem declare func 0) (elem func)
  (export "e" (func 0))"""


@every_oracle
@pytest.mark.parametrize("body", FREE)
def test_what_makes_no_code_is_free(oracle, body):
    assert spent(oracle, f(body)) == 1


@every_oracle
@pytest.mark.parametrize("body", COSTS)
def test_any_other_operator_costs_1(oracle, body):
    assert spent(oracle, f(body, FIELDS)) == 1 + COSTS[body]


HEAP_COSTS = {
    "(drop (struct.get $s 0 (struct.new $s (i32.const 1))))": 3,
    "(drop (array.len (array.new_fixed $a 3 (i32.const 1) (i32.const 1) (i32.const 1))))": 5,
    "(drop (i31.get_s (ref.i31 (i32.const 1))))": 3,
    "(drop (ref.cast (ref i31) (ref.i31 (i32.const 1))))": 3,
    "(block (br_on_null 0 (ref.null any)) (drop))": 2,
    "(block (try_table (catch_all 0) (throw $t)))": 2,
    "(drop (v128.not (v128.const i64x2 1 1)))": 2,
}


@each_oracle
@pytest.mark.parametrize("body", HEAP_COSTS)
def test_so_do_operators_of_later_proposals(oracle, body):
    fields = "(type $s (struct (field i32))) (type $a (array i32)) (tag $t)"
    assert spent(oracle, f(body, fields)) == 1 + HEAP_COSTS[body]


@every_oracle
def test_a_way_that_is_not_taken_costs_nothing(oracle):
    assert spent(oracle, f("(if (i32.const 0) (then (drop (i32.const 1))))")) == 1 + 2
    assert spent(oracle, f("(block (br 0) (drop (i32.const 1)))")) == 1 + 1


@every_oracle
def test_calls_add_up(oracle):
    assert spent(oracle, f("(call 0) (call 0)", "(func (drop (i32.const 1)))")) == 1 + 2 * (1 + 2)


# -- what the host sees


@every_oracle
def test_inside_of_a_host_call_all_is_spent_up_to_the_call(oracle):
    text = f("(drop (i32.const 1)) (call 0) (drop (i32.const 1)) (call 0)", '(import "" "host" (func))')
    assert seen(oracle, text) == [AMPLE - 3, AMPLE - 5]


@every_oracle
def test_host_calls_that_call_back_share_the_fuel(oracle):
    text = f("(call 0) (drop (i32.const 1))", '(import "" "again" (func)) (func (export "inner") (drop (i32.const 1)))')
    assert spent(oracle, text) == 1 + 1 + 2 + 1


EXACT = {  # traps that give back nothing
    "(drop (i32.const 1)) (unreachable)": ("unreachable", 2),
    "(call_indirect (i32.const 1))": ("uninitialized element", 3),
    "(call_indirect (param i32) (i32.const 0) (i32.const 0))": ("indirect call type mismatch", 4),
    "(drop (i32.load offset=65536 (i32.const 0)))": ("out of bounds memory access", 3),
}


@every_oracle
@pytest.mark.parametrize("body", EXACT)
def test_a_trap_where_the_counter_is_saved_is_paid_for(oracle, body):
    trap, cost = EXACT[body]
    assert left(oracle, f(body, "(memory 1 1) (table 2 funcref) (elem (i32.const 0) func 0)")) == [(trap, AMPLE - cost)]


REFERENCES = "(type $t (func)) (tag $e) (table 2 funcref) (elem declare func $g) (func $g (nop) (drop (i32.const 1)))"
EXACT_LATER = {
    "(throw $e)": 1,
    "(throw_ref (ref.null exn))": 2,
    "(call_ref $t (ref.null $t))": 2,
    "(return_call_ref $t (ref.null $t))": 2,
    "(return_call_indirect (i32.const 1))": 2,
}


@each_oracle
@pytest.mark.parametrize("body", EXACT_LATER)
def test_so_are_exceptions_and_calls_by_reference_that_fail(oracle, body):
    ((word, fuel),) = left(oracle, f(body, REFERENCES))
    assert word != "returned"
    assert fuel == AMPLE - 1 - EXACT_LATER[body]


@each_oracle
def test_what_a_callee_spent_is_seen_after_it_returned_or_threw(oracle):
    assert spent(oracle, f("(call_ref $t (ref.func $g))", REFERENCES)) == 1 + 2 + 2
    fields = "(tag $e) (func $thrower (drop (i32.const 1)) (throw $e))"
    assert spent(oracle, f("(block (try_table (catch_all 0) (call $thrower)))", fields)) == 1 + 2 + 3


@every_oracle
def test_a_trap_of_the_host_is_paid_for(oracle):
    assert left(oracle, f("(drop (i32.const 1)) (call 0)", '(import "" "trap" (func))')) == [("hosterror", AMPLE - 3)]


BACK = {
    "(drop (i32.const 1)) (drop (i32.div_s (i32.const 1) (i32.const 0)))": "integer divide by zero",
    "(drop (i32.const 1)) (drop (i32.load (i32.const 65536)))": "out of bounds memory access",
    "(drop (i32.const 1)) (memory.fill (i32.const 65536) (i32.const 1) (i32.const 9))": "out of bounds memory access",
    "(drop (i32.const 1)) (drop (table.get (i32.const 5)))": "out of bounds table access",
    "(drop (i32.trunc_f32_s (f32.const nan)))": "invalid conversion to integer",
}


@each_oracle
@pytest.mark.parametrize("body", BACK)
def test_any_other_trap_gives_back_all_since_the_counter_was_saved(oracle, body):
    fields = "(memory 1 2) (table 1 funcref) (func $leaf)"
    assert left(oracle, f(body, fields)) == [(BACK[body], AMPLE)]
    assert left(oracle, f("(call $leaf) " + body, fields)) == [(BACK[body], AMPLE - 3)]


@pytest.mark.parametrize("oracle", [o for o in CRANELIFT if "pulley" not in o])  # which has no shared memories
def test_waiting_and_notifying_are_calls_whose_traps_give_back(oracle):
    notify = "(drop (memory.atomic.notify offset=65536 (i32.const 0) (i32.const 0)))"
    assert left(oracle, f(notify, "(memory 1 1 shared)")) == [("out of bounds memory access", AMPLE)]
    add = "(drop (i32.atomic.rmw.add offset=65536 (i32.const 0) (i32.const 0)))"
    assert left(oracle, f(add, "(memory 1 1 shared)")) == [("out of bounds memory access", AMPLE - 1 - 3)]


@pytest.mark.parametrize("oracle", [o for o in CRANELIFT if "pulley" not in o])
def test_an_atomic_that_is_never_in_bounds_is_first_of_all_aligned(oracle):
    add = "(drop (i32.atomic.rmw.add offset=65536 (i32.const {}) (i32.const 0)))"
    assert left(oracle, f(add.format(1), "(memory 1 1)")) == [("unaligned atomic", AMPLE)]
    assert left(oracle, f(add.format(4), "(memory 1 1)")) == [("out of bounds memory access", AMPLE - 1 - 3)]


LOOP = """(local i32) (loop
  (br_if 0 (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 10))))
  (drop (i32.div_s (i32.const 1) (i32.const 0)))"""


@each_oracle
def test_a_trap_gives_back_iterations(oracle):
    assert left(oracle, f(LOOP)) == [("integer divide by zero", AMPLE)]


@each_winch
def test_winch_gives_back_the_basic_block(oracle):
    assert left(oracle, f("(drop (i32.div_s (i32.const 1) (i32.const 0)))")) == [
        ("integer divide by zero", AMPLE - 1)
    ]  # fmt: skip
    assert left(oracle, f(LOOP)) == [("integer divide by zero", AMPLE - 1 - 10 * 7)]


# -- bulk operators

BULK = {  # operands and operator, then the pieces
    "(memory.fill (i32.const 0) (i32.const 1) (i32.const 5))": (4, 5),
    "(memory.fill (i32.const 0) (i32.const 1) (i32.const 500))": (4, 500),
    "(memory.copy (i32.const 0) (i32.const 1) (i32.const 7))": (4, 7),
    "(memory.init 0 (i32.const 0) (i32.const 0) (i32.const 3))": (4, 3),
    "(drop (memory.grow (i32.const 3)))": (2, 3),
    "(table.fill (i32.const 0) (ref.null func) (i32.const 4))": (4, 4),
    "(table.copy (i32.const 0) (i32.const 1) (i32.const 2))": (4, 2),
    "(table.init 0 (i32.const 0) (i32.const 0) (i32.const 1))": (4, 1),
    "(drop (table.grow (ref.null func) (i32.const 6)))": (3, 6),
}
SPACES = '(memory 1 5) (table 10 20 funcref) (data "abc") (elem func 0)'


@each_oracle
@pytest.mark.parametrize("body", BULK)
def test_bulk_operators_cost_1_for_each_piece(oracle, body):
    flat, pieces = BULK[body]
    assert spent(oracle, f(body, SPACES)) == 1 + flat + pieces


@each_winch
@pytest.mark.parametrize("body", BULK)
def test_with_winch_pieces_are_free(oracle, body):
    assert spent(oracle, f(body, SPACES)) == 1 + BULK[body][0]


ARRAYS = {
    "(drop (array.new $a (i32.const 1) (i32.const 9)))": (3, 9),
    "(drop (array.new_default $a (i32.const 5)))": (2, 5),
    "(drop (array.new_data $a 0 (i32.const 0) (i32.const 2)))": (3, 2),
    "(array.fill $a (array.new_default $a (i32.const 5)) (i32.const 0) (i32.const 1) (i32.const 4))": (6, 9),
}


@each_oracle
@pytest.mark.parametrize("body", ARRAYS)
def test_so_do_bulk_operators_of_arrays(oracle, body):
    flat, pieces = ARRAYS[body]
    assert spent(oracle, f(body, '(type $a (array (mut i32))) (data "0123456789")')) == 1 + flat + pieces


@each_oracle
def test_refused_growth_costs_its_pieces_where_they_are_a_small_constant(oracle):
    fields = "(memory 1 5) (global $n (mut i32) (i32.const 100))"
    assert spent(oracle, f("(drop (memory.grow (i32.const 100)))", fields)) == 1 + 2 + 100
    assert spent(oracle, f("(drop (memory.grow (i32.const 129)))", fields)) == 1 + 2
    assert spent(oracle, f("(drop (memory.grow (global.get $n)))", fields)) == 1 + 2


def least(oracle: str, text: str) -> int:
    """Return the least fuel with which ``f`` returns."""
    return [word for word, _ in swept(oracle, text, range(200))].index("returned")


@each_oracle
def test_only_lengths_that_are_small_constants_are_not_checked(oracle):
    fill = "(memory.fill (i32.const 0) (i32.const 1) {})".format
    fields = "(memory 1) (global $n (mut i32) (i32.const 5)) (global $k i32 (i32.const 5))"
    assert least(oracle, f(fill("(i32.const 128)"), fields)) == 2
    assert least(oracle, f(fill("(i32.const 129)"), fields)) == 1 + 4 + 129 + 1
    assert least(oracle, f(fill("(global.get $n)"), fields)) == 1 + 4 + 5 + 1
    assert least(oracle, f(fill("(global.get $k)"), fields)) == 2


@each_winch
def test_winch_checks_no_bulk_operator(oracle):
    assert least(oracle, f("(memory.fill (i32.const 0) (i32.const 1) (i32.const 129))", "(memory 1)")) == 2


# -- check points


@every_oracle
def test_fuel_is_checked_at_entries_and_loop_headers(oracle):
    """Each iteration costs 6 and 2 in the leaf; the header is checked as often as it is reached."""
    text = f("""(local i32) (loop (call $leaf)
      (br_if 0 (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 3))))""",
      "(func $leaf (drop (i32.const 1)))")  # fmt: skip
    iteration = 1 + 2 + 7
    assert spent(oracle, text) == 1 + 3 * iteration
    # the last check is at the entry of the third leaf
    assert least(oracle, text) == 1 + 2 * iteration + 2 + 1
