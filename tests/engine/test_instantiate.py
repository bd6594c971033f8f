"""Instantiation: imports, constant expressions, segments in order, start; and what failure leaves behind."""

from __future__ import annotations

from typing import Any

import pytest

from engine import Config, ExhaustionError, LinkError, Store, Trap, TrapKind, instantiate, resolve, save
from engine.errors import EngineBug
from engine.execution.fuel_models import fuel_model
from engine.runtime.instance import FuncInst, HostFunc
from engine.types import EXTERNREF, F32, FUNCREF, I32, I64, FuncType, GlobalType, Limits, MemType, TableType
from tests.support.wasm import call, traps, wat

PAGE = 65536


def make(text: str, imports: Any = (), store: Store | None = None) -> Any:
    return instantiate(store or Store(), wat(text), imports)


def exports(instance: Any) -> dict[str, Any]:
    return dict(instance.exports)


# -- imports


def provide(store: Store) -> dict[str, Any]:
    return {
        "func": store.alloc_host_func(FuncType((I32,), (I32,)), lambda caller, args: args),
        "table": store.alloc_table(TableType(FUNCREF, Limits(2, 5))),
        "memory": store.alloc_mem(MemType(Limits(1, 3))),
        "global": store.alloc_global(GlobalType(False, I32), 7),
        "var": store.alloc_global(GlobalType(True, I64), 8),
    }


MATCHING = [
    ("func", "(func (param i32) (result i32))"),
    ("table", "(table 0 funcref)"),
    ("table", "(table 2 5 funcref)"),
    ("memory", "(memory 1)"),
    ("memory", "(memory 0 4)"),
    ("global", "(global i32)"),
    ("var", "(global (mut i64))"),
]
INCOMPATIBLE = [
    ("func", "(func (param i32))"),
    ("func", "(func (param i64) (result i32))"),
    ("func", "(memory 1)"),
    ("table", "(table 3 funcref)"),
    ("table", "(table 2 4 funcref)"),
    ("table", "(table 2 externref)"),
    ("table", "(func)"),
    ("memory", "(memory 2)"),
    ("memory", "(memory 1 2)"),
    ("memory", "(table 1 funcref)"),
    ("global", "(global (mut i32))"),
    ("global", "(global i64)"),
    ("var", "(global i64)"),
    ("var", "(global (mut i32))"),
]


def import_one(name: str, desc: str) -> Any:
    store = Store()
    module = wat(f'(import "host" "{name}" {desc})')
    given = provide(store)
    return given[name], instantiate(store, module, resolve(module, lambda space, item: given.get(item)))


@pytest.mark.parametrize(("name", "desc"), MATCHING)
def test_an_import_that_matches_is_that_very_object(name, desc):
    given, instance = import_one(name, desc)
    assert given in [*instance.funcs, *instance.tables, *instance.mems, *instance.globals]


@pytest.mark.parametrize(("name", "desc"), INCOMPATIBLE)
def test_an_import_of_another_type_is_incompatible(name, desc):
    with pytest.raises(LinkError, match="incompatible import type"):
        import_one(name, desc)


def test_a_missing_import_is_unknown():
    module = wat('(import "a" "b" (func)) (import "a" "c" (func))')
    store = Store()
    found = store.alloc_host_func(FuncType((), ()), lambda caller, args: ())
    with pytest.raises(LinkError, match="unknown import: 'a' 'c'"):
        resolve(module, lambda space, name: found if name == "b" else None)
    with pytest.raises(LinkError, match="unknown import: 'a' 'c'"):
        instantiate(store, module, [found])


def test_too_many_external_values_are_our_fault():
    store = Store()
    with pytest.raises(EngineBug):
        instantiate(store, wat(""), [store.alloc_mem(MemType(Limits(0)))])


def test_matching_sees_the_current_size():
    store = Store()
    exporter = make('(memory (export "m") 1 3) (table (export "t") 1 3 funcref)', store=store)
    importer = wat('(import "" "m" (memory 3)) (import "" "t" (table 3 funcref))')
    given = list(exporter.exports.values())
    with pytest.raises(LinkError):
        instantiate(store, importer, given)
    assert (given[0].grow(2), given[1].grow(2, None)) == (1, 1)
    instantiate(store, importer, given)


def test_functions_of_another_instance_match_by_structure():
    store = Store()
    exporter = make('(type (func)) (type (func (param f32))) (func (export "f") (type 1))', store=store)
    importer = make('(import "" "f" (func (param f32)))', [exporter.exports["f"]], store)
    assert importer.funcs[0] is exporter.exports["f"]


# -- what an instance has


def test_exports_are_in_the_order_of_the_section_and_are_the_objects():
    instance = make(
        '(func (export "z")) (global (export "a") i32 (i32.const 1)) (memory (export "m") 1)'
        '(table (export "t") 1 funcref) (func (export "b"))'
    )
    assert list(instance.exports) == ["z", "a", "m", "t", "b"]
    assert exports(instance) == {
        "z": instance.funcs[0], "a": instance.globals[0], "m": instance.mems[0], "t": instance.tables[0],
        "b": instance.funcs[1],
    }  # fmt: skip


def test_imports_come_first_in_each_space():
    store = Store()
    host = store.alloc_host_func(FuncType((), (I32,)), lambda caller, args: (40,))
    instance = make(
        '(import "" "" (func (result i32))) (func (export "f") (result i32) i32.const 2 call 0 i32.add)', [host], store
    )
    assert [type(f) for f in instance.funcs] == [HostFunc, FuncInst]
    assert instance.funcs[1].funcidx == 1
    assert call(instance, "f") == 42


def test_addresses_are_positions_in_the_store():
    store = Store()
    for _ in range(2):
        make("(func) (func) (memory 1) (table 1 funcref) (global i32 (i32.const 0))", store=store)
    for space in (store.funcs, store.mems, store.tables, store.globals):
        assert [x.addr for x in space] == list(range(len(space)))


# -- constant expressions


@pytest.mark.parametrize(
    ("t", "expr", "expected"),
    [
        ("i32", "i32.const -1", 2**32 - 1),
        ("i64", "i64.const -1", 2**64 - 1),
        ("f64", "f64.const 0.5", 0.5),
        ("i32", "global.get $i", 7),
        ("i32", "(i32.sub (i32.mul (i32.const 3) (i32.const 5)) (i32.const 16))", 2**32 - 1),
        ("i32", "(i32.add (global.get $i) (i32.const -8))", 2**32 - 1),
        ("i64", "(i64.mul (i64.const 0x100000001) (i64.const 0x100000001))", 0x2_0000_0001),
        ("funcref", "ref.null func", None),
        ("externref", "ref.null extern", None),
    ],
)
def test_constant_expressions(t, expr, expected):
    store = Store()
    given = store.alloc_global(GlobalType(False, I32), 7)
    instance = make(f'(import "" "" (global $i i32)) (global $x {t} {expr})', [given], store)
    assert instance.globals[1].value == expected


def test_ref_func_is_the_function_instance():
    instance = make("(func $f) (global funcref (ref.func $f)) (table funcref (elem $f))")
    assert instance.globals[0].value is instance.funcs[0]
    assert instance.tables[0].elems == [instance.funcs[0]]


def test_segments_may_read_imported_globals():
    store = Store()
    given = store.alloc_global(GlobalType(False, I32), 3)
    instance = make('(import "" "" (global i32)) (memory 1) (data (global.get 0) "x")', [given], store)
    assert instance.mems[0].read(2, 3) == b"\0x\0"


# -- segments and start


def test_active_segments_apply_in_order_and_are_dropped_passive_ones_stay():
    instance = make(
        '(memory 1) (data (i32.const 0) "abc") (data (i32.const 1) "X") (data "p")'
        "(table 3 funcref) (func $f) (func $g) (elem (i32.const 0) $f $f) (elem (i32.const 1) $g) (elem func $f)"
        "(elem declare func $g)"
    )
    f, g = instance.funcs
    assert instance.mems[0].read(0, 4) == b"aXc\0"
    assert instance.tables[0].elems == [f, g, None]
    assert [d.data for d in instance.datas] == [b"", b"", b"p"]
    assert [e.elems for e in instance.elems] == [(), (), (f,), ()]


def test_an_empty_segment_may_end_at_the_end_but_not_beyond():
    make(f'(memory 1) (data (i32.const {PAGE}) "") (table 2 funcref) (elem (i32.const 2))')
    traps(TrapKind.MEMORY_OUT_OF_BOUNDS, lambda: make(f'(memory 1) (data (i32.const {PAGE + 1}) "")'))
    traps(TrapKind.TABLE_OUT_OF_BOUNDS, lambda: make("(table 2 funcref) (elem (i32.const 3))"))
    traps(TrapKind.MEMORY_OUT_OF_BOUNDS, lambda: make('(memory 1) (data (i32.const -1) "x")'))


def test_segments_of_a_memory_without_pages():
    make('(memory 0) (data (i32.const 0) "")')
    traps(TrapKind.MEMORY_OUT_OF_BOUNDS, lambda: make('(memory 0) (data (i32.const 0) "x")'))
    traps(TrapKind.MEMORY_OUT_OF_BOUNDS, lambda: make('(memory 0) (data (i32.const 1) "")'))


FAILING = """
    (import "" "m" (memory 1)) (import "" "t" (table 4 funcref))
    (func $f (export "f") (result i32) i32.const 42)
    (elem (i32.const 0) $f)
    (data (i32.const 0) "before")
"""


@pytest.mark.parametrize(
    ("rest", "kind", "memory"),
    [
        ("(elem (i32.const 3) $f $f)", TrapKind.TABLE_OUT_OF_BOUNDS, bytes(6)),
        (f'(data (i32.const {PAGE - 1}) "xy")', TrapKind.MEMORY_OUT_OF_BOUNDS, b"before"),
        ("(func $s unreachable) (start $s)", TrapKind.UNREACHABLE, b"before"),
    ],
)
def test_what_a_failed_instantiation_wrote_stays_and_its_functions_live(rest, kind, memory):
    store = Store()
    mem, table = store.alloc_mem(MemType(Limits(1))), store.alloc_table(TableType(FUNCREF, Limits(4)))
    traps(kind, lambda: make(FAILING + rest, [mem, table], store))
    assert mem.read(0, 6) == memory
    assert mem.read(PAGE - 1, 1) == b"\0"
    assert table.get(3) is None
    caller = make(
        '(import "" "t" (table 4 funcref)) (func (export "g") (result i32) i32.const 0 call_indirect (result i32))',
        [table],
        store,
    )
    assert call(caller, "g") == 42


def test_a_link_error_has_no_effect():
    store = Store()
    mem, wrong = store.alloc_mem(MemType(Limits(1))), store.alloc_global(GlobalType(False, F32), 0.0)
    with pytest.raises(LinkError):
        make('(import "" "m" (memory 1)) (import "" "g" (global i32)) (data (i32.const 0) "x")', [mem, wrong], store)
    assert mem.read(0, 1) == b"\0"
    assert not store.instances


def test_the_start_function_runs_after_the_segments():
    store = Store()
    seen = []
    host = store.alloc_host_func(FuncType((I32,), ()), lambda caller, args: seen.append(args) or ())
    make(
        '(import "" "" (func (param i32))) (memory 1) (data (i32.const 0) "A")'
        "(func i32.const 0 i32.load8_u call 0) (start 1)",
        [host],
        store,
    )
    assert seen == [(65,)]


def test_a_host_function_may_be_the_start():
    store = Store()
    seen = []
    host = store.alloc_host_func(FuncType((), ()), lambda caller, args: seen.append(caller.store) or ())
    make('(import "" "" (func)) (start 0)', [host], store)
    assert seen == [store]


def test_what_a_host_function_raises_passes_through():
    class Private(Exception):
        pass

    def call_(caller: Any, args: Any) -> Any:
        raise Private

    store = Store()
    host = store.alloc_host_func(FuncType((), ()), call_)
    with pytest.raises(Private):
        make('(import "" "" (func)) (func call 0) (start 1)', [host], store)
    assert (store.activations, store.depth) == (0, 0)


# -- limits


@pytest.mark.parametrize("text", ["(memory 3)", "(table 11 funcref)"])
def test_more_than_the_store_allows_is_exhaustion_and_the_store_stays_usable(text):
    store = Store(Config(max_memory_pages=2, max_table_elements=10))
    with pytest.raises(ExhaustionError):
        make(text, store=store)
    instance = make('(memory 2) (table 10 externref) (func (export "f") (result i32) i32.const 1)', store=store)
    assert (call(instance, "f"), instance.tables[0].type.reftype) == (1, EXTERNREF)


BEYOND = {
    "a memory": "(memory 1) (memory 3)",
    "a table": '(memory 1) (tag) (global i32 (i32.const 1)) (table 1 funcref) (table 11 funcref) (data "x")',
    "an array": "(type $a (array i8)) (table 1 funcref (ref.func $f)) "
    "(global (ref $a) (array.new $a (i32.const 0) (i32.const 9999999)))",
    "elements": "(type $a (array i8)) (table 1 funcref) (elem func $f) "
    "(elem arrayref (item (array.new_default $a (i32.const 9999999))))",
}


@pytest.mark.parametrize("text", BEYOND.values(), ids=BEYOND)
@pytest.mark.parametrize("fuel", [None, 1000])
def test_of_what_a_limit_ended_half_way_nothing_is_in_the_store(text, fuel):
    store = Store(Config(2, 10, max_heap_bytes=1 << 20, fuel_model=fuel_model("wasmtime", 50)))
    store.set_fuel(fuel)
    first = make('(memory (export "m") 1) (func (export "f")) (elem func 0) (data "abc")', store=store)
    before = save(store)
    with pytest.raises(ExhaustionError):
        make('(import "" "m" (memory 1)) (import "" "f" (func)) (func $f)' + text, [*first.exports.values()], store)
    assert save(store) == before
    second = make('(func (export "f") (result i32) i32.const 1)', store=store)
    assert (second.funcs[0].addr, store.funcs[1], call(second, "f")) == (1, second.funcs[0], 1)


def test_growth_in_a_module_stops_at_the_limit_of_the_store():
    store = Store(Config(max_memory_pages=2, max_table_elements=3))
    instance = make(
        '(memory 1 9) (func (export "m") (result i32) i32.const 1 memory.grow)'
        '(table 1 9 funcref) (func (export "t") (result i32) ref.null func i32.const 2 table.grow)',
        store=store,
    )
    assert [call(instance, f) for f in "mmtt"] == [1, 2**32 - 1, 1, 2**32 - 1]


def test_instances_are_counted():
    store = Store(Config(max_instances=2))
    for _ in range(2):
        make("", store=store)
    with pytest.raises(ExhaustionError):
        make("", store=store)


def test_depth_is_counted_and_the_store_survives():
    store = Store(Config(max_depth=50))
    instance = make(
        '(func $f (export "f") (param i32) (result i32) (if (result i32) (local.get 0)'
        "(then (i32.add (i32.const 1) (call $f (i32.sub (local.get 0) (i32.const 1))))) (else (i32.const 0))))",
        store=store,
    )
    assert call(instance, "f", 49) == 49
    with pytest.raises(ExhaustionError, match="call stack exhausted"):
        call(instance, "f", 50)
    assert call(instance, "f", 49) == 49


def test_reentry_through_the_host_is_counted():
    store = Store(Config(max_activations=20))
    reached = []

    def again(caller: Any, args: Any) -> Any:
        reached.append(args)
        call(instance, "f", args[0] + 1)
        return ()

    host = store.alloc_host_func(FuncType((I32,), ()), again)
    instance = make(
        '(import "" "" (func (param i32))) (func (export "f") (param i32) local.get 0 call 0)', [host], store
    )
    with pytest.raises(ExhaustionError, match="call stack exhausted"):
        call(instance, "f", 0)
    assert len(reached) == 20
    assert (store.activations, store.depth) == (0, 0)


def test_a_trap_tells_where():
    instance = make('(func) (func (export "f") nop unreachable)')
    with pytest.raises(Trap) as caught:
        call(instance, "f")
    where = caught.value.where
    code = instance.funcs[1].code
    assert where is not None
    assert (where.funcidx, where.offset) == (1, code.body[1].offset)


def test_values_of_64_bits_pass_unsigned():
    instance = make('(func (export "f") (param i64) (result i64) local.get 0)')
    assert call(instance, "f", 2**64 - 1) == 2**64 - 1
    assert instance.funcs[0].functype == FuncType((I64,), (I64,))
