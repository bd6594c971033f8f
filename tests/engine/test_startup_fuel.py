"""What instantiation costs in wasmtime 50: numbers by hand, on our engine counting alike and on wasmtime.

Where there is a startup function, costs include 1 for its entry.
"""

from __future__ import annotations

import pytest

from engine import (
    Config,
    ExhaustionError,
    OutOfFuel,
    Store,
    Trap,
    TrapKind,
    Yielded,
    instantiate,
    instantiate_resumable,
    invoke,
)
from engine.execution.fuel_models import fuel_model
from tests.support.fuel import AMPLE, CRANELIFT, WINCH, instantiated, instantiated_with
from tests.support.wasm import call, wat

every_oracle = pytest.mark.parametrize("oracle", CRANELIFT + WINCH)
each_oracle = pytest.mark.parametrize("oracle", CRANELIFT)
NULLS = "(ref.null func)"


def cost(oracle: str, text: str) -> int:
    word, fuel = instantiated(oracle, text)
    assert word == "returned"
    return AMPLE - fuel


def least(oracle: str, text: str) -> int:
    """Return the least fuel that is enough."""
    return [word for word, _ in instantiated_with(oracle, text, range(300))].index("returned")


FREE = {
    "nothing": "",
    "globals that are numbers": "(global i32 (i32.const 1)) (global (mut f64) (f64.const 1))",
    "data whose place is known": '(memory 1) (data (i32.const 0) "abc")',
    "data with no bytes": '(memory 1) (data (i32.const 0) "")',
    "data in a memory of 64 bits": '(memory i64 1) (data (i64.const 5) "abc")',
    "passive data": '(memory 1) (data "abc")',
    "functions whose place is known": "(table 10 funcref) (func $g) (elem (i32.const 0) $g $g)",
    "declared functions": "(func $g) (elem declare func $g)",
}


@every_oracle
@pytest.mark.parametrize("name", FREE)
def test_what_is_known_ahead_is_free_and_needs_no_fuel(oracle, name):
    assert instantiated(oracle, FREE[name], 0) == ("returned", 0)


COSTS = {
    "a start function, called": ("(func $s (drop (i32.const 1))) (start $s)", 1 + 1 + 2),
    "a start function of the host": ('(import "" "host" (func $h)) (start $h)', 1 + 1),
    "a global that is a null": ("(global funcref (ref.null func))", 1 + 1),
    "two of them beside a number": (
        "(global funcref (ref.null func)) (global i32 (i32.const 4)) (global funcref (ref.null func))",
        1 + 2,
    ),
    "a global that is computed": ("(global i32 (i32.add (i32.const 1) (i32.const 2)))", 1 + 3),
    "a passive segment of functions": ("(func $g) (elem func $g $g)", 1),
    "a passive segment of expressions": ("(func $g) (elem funcref (ref.func $g) (ref.null func))", 1 + 2),
    "functions at a place that is computed": (
        "(table 10 funcref) (func $g) (elem (i32.add (i32.const 0) (i32.const 1)) $g $g)",
        1 + 3 + 2,
    ),
    "all segments from the first that is not laid out": (
        "(table 10 funcref) (func $g) (elem (i32.add (i32.const 0) (i32.const 1)) $g) (elem (i32.const 0) $g $g)",
        1 + (3 + 1) + (1 + 2),
    ),
    "none before it": (
        "(table 10 funcref) (func $g) (elem (i32.const 0) $g $g) (elem (i32.add (i32.const 0) (i32.const 1)) $g)",
        1 + (3 + 1),
    ),
    "expressions as elements": (
        "(table 10 funcref) (func $g) (elem (i32.const 0) funcref (ref.func $g) (ref.null func))",
        1 + 1 + 2 + 2,
    ),
    "functions in a table of another module": (
        '(import "" "t" (table 10 funcref)) (func $g) (elem (i32.const 0) $g $g)',
        1 + 1 + 2,
    ),
    "data in a memory of another module": ('(import "" "m" (memory 1)) (data (i32.const 0) "abc")', 1 + 1 + 3),
    "data at a place that is computed": ('(memory 1) (data (i32.add (i32.const 0) (i32.const 1)) "abc")', 1 + 3 + 3),
    "all data where one place is not known": (
        '(memory 1) (data (i32.const 0) "abcd") (data (i32.add (i32.const 0) (i32.const 1)) "abc")',
        1 + (1 + 4) + (3 + 3),
    ),
    "data far apart": ('(memory 600) (data (i32.const 0) "abc") (data (i32.const 30000000) "ab")', 1 + 1 + 3 + 1 + 2),
    "data not so far apart": ('(memory 600) (data (i32.const 0) "abc") (data (i32.const 16777200) "ab")', 0),
}


@every_oracle
@pytest.mark.parametrize("name", COSTS)
def test_what_is_left_to_the_startup_function_costs(oracle, name):
    text, expected = COSTS[name]
    assert cost(oracle, text) == expected


HEAP_COSTS = {
    "a table of an initial value": ("(table 10 funcref (ref.null func))", 1 + 1 + 10),
    "a table of one function": ("(table 10 funcref (ref.func $g)) (func $g)", 0),
    "a structure": ("(type $s (struct (field i32))) (global (ref $s) (struct.new $s (i32.const 1)))", 1 + 2),
    "an array with its elements": (
        "(type $a (array i32)) (global (ref $a) (array.new $a (i32.const 1) (i32.const 10)))",
        1 + 3 + 10,
    ),
    "nulls in a table of other references": (
        "(table 10 externref) (elem (i32.const 0) externref (ref.null extern))",
        1 + 1 + 1 + 1,
    ),
}


@each_oracle
@pytest.mark.parametrize("name", HEAP_COSTS)
def test_so_do_references_to_the_heap(oracle, name):
    text, expected = HEAP_COSTS[name]
    assert cost(oracle, text) == expected


# -- where it is checked, and what is lost


@every_oracle
def test_the_entry_is_checked(oracle):
    text = "(global i32 (i32.add (i32.const 1) (i32.const 2)))"
    assert instantiated_with(oracle, text, range(6)) == [
        ("out of fuel", 0), ("out of fuel", 0), ("returned", 0), ("returned", 0), ("returned", 0), ("returned", 1),
    ]  # fmt: skip


@every_oracle
def test_data_is_checked_and_few_elements_are_not(oracle):
    assert least(oracle, '(import "" "m" (memory 1)) (data (i32.const 0) "abc")') == 1 + 1 + 3 + 1
    assert least(oracle, '(import "" "t" (table 10 funcref)) (func $g) (elem (i32.const 0) $g)') == 2


@each_oracle
def test_many_elements_are_checked(oracle):
    elem = "(table 300 externref) (elem (i32.const 0) externref {})".format
    assert least(oracle, elem("(ref.null extern)" * 128)) == 2
    assert least(oracle, elem("(ref.null extern)" * 129)) == 1 + 1 + 129 + 129 + 1
    assert least(oracle, "(table 129 funcref (ref.null func))") == 1 + 1 + 129 + 1


@every_oracle
@pytest.mark.parametrize(
    ("text", "trap"),
    [
        (
            '(memory 1) (global i32 (i32.add (i32.const 1) (i32.const 2))) (data (i32.const 65535) "abc")',
            "out of bounds memory access",
        ),
        (
            "(table 1 funcref) (global i32 (i32.add (i32.const 1) (i32.const 2))) (func $g) (elem (i32.const 1) $g)",
            "out of bounds table access",
        ),
    ],
)
def test_a_segment_out_of_bounds_gives_all_back(oracle, text, trap):
    assert instantiated(oracle, text) == (trap, AMPLE)
    assert instantiated(oracle, text, 2) == (trap, 2)
    assert instantiated(oracle, text, 1) == ("out of fuel", 0)


@every_oracle
def test_traps_of_the_start_function_are_as_in_a_call(oracle):
    assert instantiated(oracle, "(func $s (drop (i32.const 1)) (unreachable)) (start $s)") == (
        "unreachable",
        AMPLE - 1 - 1 - 2,
    )
    assert instantiated(oracle, '(import "" "trap" (func $h)) (start $h)') == ("hosterror", AMPLE - 1 - 1)


IMAGE = '(memory 1) (data (i32.const 0) "abc")'


IMAGES = (
    ('(memory 1) (data (memory 1) (i32.const 0) "abc")', (1, 1)),
    ('(memory 1) (data (memory 1) (i32.const 4095) "abc")', (2, 1)),
    ('(memory 2) (data (memory 1) (i32.const 65535) "abc") (memory 1) (data (memory 2) (i32.const 9) "a")', (3, 3)),
)


@pytest.mark.parametrize("oracle", [*CRANELIFT, *WINCH, "reference:fuel=wasmtime-50-pulley"])
@pytest.mark.parametrize(("text", "pages"), IMAGES)
def test_images_are_copied_by_pages_of_the_host_where_a_memory_is_imported(oracle, text, pages):
    size = 65_536 * pages[1] if "pulley" in oracle else 4096 * pages[0]
    assert cost(oracle, f'(import "" "m" (memory 1)) {text}') == 1 + size


@every_oracle
def test_what_is_pending_where_memories_have_images_is_lost(oracle):
    assert cost(oracle, "(global funcref (ref.null func))") == 2
    assert cost(oracle, IMAGE + "(global funcref (ref.null func))") == 1
    assert cost(oracle, IMAGE + "(global funcref (ref.null func)) (func $s) (start $s)") == 1 + 1 + 1


@each_oracle
def test_what_was_charged_at_a_check_is_not_lost(oracle):
    nulls = "(table 300 externref) (elem (i32.const 0) externref {})".format("(ref.null extern)" * 200)
    assert cost(oracle, IMAGE + nulls + "(elem (i32.const 0) externref (ref.null extern))") == 1 + 1 + 200 + 200


# -- in our engine


def metered(fuel: int, interval: int | None = None) -> Store:
    store = Store(Config(fuel_model=fuel_model("wasmtime", 50)))
    store.set_fuel(fuel)
    store.set_fuel_interval(interval)
    return store


ALL = """(import "" "t" (table 300 funcref)) (import "" "m" (memory 1))
  (elem (i32.const 0) func {}) (data (i32.const 0) "abc") (data (i32.const 8) "de")
  (func $g (result i32) (i32.const 7)) (global $n (mut i32) (i32.const 0)) (export "n" (global $n))
  (func $s (global.set $n (i32.const 5))) (start $s)""".format("$g " * 200)
PROVIDER = '(table (export "t") 300 funcref) (memory (export "m") 1)'


def provided(store: Store):
    exports = instantiate(store, wat(PROVIDER)).exports
    return exports["t"], exports["m"]


def test_running_out_leaves_what_was_done_up_to_the_check():
    """Checks at the entry, behind the elements, behind each data segment and at the entry of the start function."""
    text, checks = wat(ALL), [1, 1 + 1 + 200, 202 + 1 + 3, 206 + 1 + 2, 209 + 1 + 1]
    for n, spent in enumerate(checks):
        store = metered(spent)
        table, memory = provided(store)
        with pytest.raises(ExhaustionError):
            instantiate(store, text, (table, memory))
        assert store.fuel == 0
        assert (table.elems[199] is not None) == (n >= 1)
        assert bytes(memory.data[:3]) == (b"abc" if n >= 2 else bytes(3))
        assert bytes(memory.data[8:10]) == (b"de" if n >= 3 else bytes(2))
    store = metered(checks[-1] + 1)
    assert instantiate(store, text, provided(store)).exports["n"].value == 5
    assert store.fuel == 0  # the start function spends 2 more after its check


SEES = """(import "" "t" (table 300 funcref)) (memory 1) (data (i32.const 0) "a")
  (func $g (result i32) (i32.load8_u (i32.const 0))) (elem (i32.const 0) func {}) (elem (i32.const 300) func $g)"""


@pytest.mark.parametrize(("fuel", "error", "byte"), [(10_000, Trap, 0), (50, ExhaustionError, 0x61)])
def test_images_are_there_where_elements_run_out_of_fuel_but_not_where_they_trap(fuel, error, byte):
    store = metered(fuel)
    table, _ = provided(store)
    with pytest.raises(error):
        instantiate(store, wat(SEES.format("$g " * 200)), (table,))
    store.set_fuel(100)
    assert invoke(store, table.elems[0], ()) == [byte]


def test_it_pauses_at_each_interval():
    text = wat(ALL)
    store = metered(10_000, interval=1)
    call = instantiate_resumable(store, text, provided(store))
    left = []
    while isinstance(call, Yielded):
        left.append(10_000 - store.fuel)
        call = call.resume(store)
    assert call.results[0].exports["n"].value == 5
    assert left == [1, 202, 206, 209, 211]
    assert 10_000 - store.fuel == 211 + 2


def test_it_goes_on_from_exhausted_fuel():
    text = wat(ALL)
    store = metered(100)
    call = instantiate_resumable(store, text, provided(store))
    assert isinstance(call.into_error(), ExhaustionError)
    store = metered(100)
    call = instantiate_resumable(store, text, provided(store))
    assert call.required_fuel == 202 - 100 + 1
    store.add_fuel(50)
    call = call.resume(store)
    assert call.required_fuel == 202 - 150 + 1
    store.add_fuel(60)
    call = call.resume(store)
    assert call.under_way.activation is not None  # 210 are enough for all but the start function, which is at 211
    assert call.required_fuel == 211 - 210 + 1
    store.add_fuel(1_000)
    assert call.resume(store).results[0].exports["n"].value == 5


def test_a_trap_is_final_where_it_may_pause_too():
    store = metered(1_000)
    with pytest.raises(Trap) as caught:
        instantiate_resumable(store, wat('(memory 1) (data (i32.const 65535) "abc")'))
    assert caught.value.kind is TrapKind.MEMORY_OUT_OF_BOUNDS
    assert store.fuel == 1_000


@pytest.mark.parametrize("fuel", [100, 10_000])
def test_it_goes_on_where_metering_ends_while_it_stands_still(fuel):
    text = wat(ALL)
    store = metered(fuel, interval=1)
    call = instantiate_resumable(store, text, provided(store)).resume(store)
    assert isinstance(call, OutOfFuel if fuel == 100 else Yielded)
    store.set_fuel(None)
    assert call.resume(store).results[0].exports["n"].value == 5
    assert store.fuel_left is None


def test_an_interval_does_not_stop_what_cannot_be_resumed():
    store = metered(10_000, interval=1)
    assert instantiate(store, wat(ALL), provided(store)).exports["n"].value == 5


def test_other_models_charge_for_the_start_function_alone():
    store = Store()
    store.set_fuel(100)
    instance = instantiate(store, wat("(global funcref (ref.null func)) (func $s (nop)) (start $s)"))
    assert store.fuel == 100
    assert instance.globals[0].value is None
    assert call(instantiate(store, wat('(func (export "f") (result i32) (i32.const 1))')), "f") == 1
    assert store.fuel == 99
