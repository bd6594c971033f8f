"""wasmtime beyond the kit: features by plan, GC references, exceptions, shared memory, its assembler."""

from __future__ import annotations

import ctypes
import itertools
from typing import TYPE_CHECKING, Any

import pytest
from wasmtime import _bindings

from oracles.adapters.wasmtime import adapter
from oracles.adapters.wasmtime_api import KINDS, VARIANTS, engine_features, load
from oracles.adapters.wasmtime_text import ascii_text
from oracles.outcome import Blocked, Exhausted, Rejected, Returned, Threw, Trapped, Unsupported
from oracles.plan import HOST, HostFunc, Limits, Plan, Step
from oracles.process import Oracle

if TYPE_CHECKING:
    from collections.abc import Iterator

    from oracles.plan import Value

ALL = ("all",)
PRE_3 = (
    "mvp", "mutable-globals", "sign-extension", "saturating-float-to-int", "multi-value", "bulk-memory", "simd",
    "threads",
)  # fmt: skip


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    with Oracle("wasmtime") as supervised:
        yield supervised


def outcomes(oracle: Oracle, text: str, *calls: tuple[str, list[Value]], **fields: Any) -> list[Any]:
    """Assemble, instantiate and call; return the outcomes of the calls, or the first failure before them."""
    steps = [Step("assemble", {"module": "m", "text": "t"})]
    steps.append(Step("instantiate", {"instance": "i", "module": "m", "imports": {}}))
    steps += [Step("call", {"instance": "i", "export": name, "args": args}) for name, args in calls]
    fields.setdefault("features", ALL)
    records = oracle.run(Plan(tuple(steps), texts={"t": text.encode()}, **fields))
    for record in records[:2]:
        if not isinstance(record.outcome, Returned):
            return [record.outcome]
    return [r.outcome for r in records[2:]]


def test_references_show_the_top_of_their_hierarchy_and_what_they_are(oracle: Oracle) -> None:
    text = """(module
      (type $s (struct (field i32))) (type $a (array i8))
      (func (export "null") (result nullref nullfuncref nullexternref nullexnref)
        (ref.null none) (ref.null nofunc) (ref.null noextern) (ref.null noexn))
      (func (export "i31") (param i32) (result i31ref) (ref.i31 (local.get 0)))
      (func (export "struct") (result (ref $s)) (struct.new_default $s))
      (func (export "array") (result (ref eq)) (array.new_default $a (i32.const 3)))
      (func (export "host") (param externref) (result anyref) (any.convert_extern (local.get 0)))
      (func (export "extern") (param anyref) (result externref) (extern.convert_any (local.get 0)))
      (func (export "any") (param anyref) (result anyref) (local.get 0)))"""
    got = outcomes(
        oracle, text, ("null", []), ("i31", [("i32", "ffffffff")]), ("struct", []), ("array", []),
        ("host", [("externref", 3)]), ("extern", [("anyref", {"host": 4})]), ("extern", [("anyref", {"i31": 5})]),
        ("any", [("anyref", {"host": 6})]), ("any", [("structref", None)]),
    )  # fmt: skip
    values = [o.values for o in got]
    assert values[0] == (("anyref", None), ("funcref", None), ("externref", None), ("exnref", None))
    assert [v[0] for v in values[1:]] == [
        ("anyref", {"i31": 0x7FFFFFFF}), ("anyref", "struct"), ("anyref", "array"), ("anyref", {"host": 3}),
        ("externref", 4), ("externref", {"any": {"i31": 5}}), ("anyref", {"host": 6}), ("anyref", None),
    ]  # fmt: skip


def test_an_uncaught_exception_shows_its_tag_and_payload(oracle: Oracle) -> None:
    text = """(module
      (tag $a (param i32 f64)) (tag (export "b") (param externref))
      (func (export "a") (throw $a (i32.const 7) (f64.const nan:0x4000000000001)))
      (func (export "b2") (param externref) (throw 1 (local.get 0)))
      (func (export "ok") (result i32) (i32.const 1)))"""
    got = outcomes(oracle, text, ("b2", [("externref", 2)]), ("a", []), ("a", []), ("ok", []))
    assert got[0] == Threw(0, (("externref", 2),))
    assert got[1] == got[2] == Threw(1, (("i32", "00000007"), ("f64", "7ff4000000000001")))
    assert got[3] == Returned((("i32", "00000001"),))


def test_shared_memory_is_imported_grown_and_observed(oracle: Oracle) -> None:
    provider = '(module (memory (export "m") 1 3 shared))'
    user = '(module (import "p" "m" (memory 1 3 shared))'
    user += '(func (export "st") (i32.atomic.store (i32.const 8) (i32.const 1))))'
    steps = (
        Step("assemble", {"module": "p", "text": "p"}),
        Step("assemble", {"module": "u", "text": "u"}),
        Step("instantiate", {"instance": "p", "module": "p", "imports": {}}),
        Step("instantiate", {"instance": "u", "module": "u", "imports": {"p": ["p"]}}),
        Step("call", {"instance": "u", "export": "st", "args": []}),
        Step("read", {"instance": "p", "export": "m", "address": 8, "length": 4}),
        Step("grow", {"instance": "p", "export": "m", "delta": 2}),
        Step("grow", {"instance": "p", "export": "m", "delta": 1}),
        Step("observe", {}),
    )
    records = oracle.run(Plan(steps, texts={"p": provider.encode(), "u": user.encode()}, features=ALL))
    assert all(isinstance(r.outcome, Returned) for r in records)
    assert [r.data for r in records[5:8]] == [{"bytes": "01000000"}, {"size": 1}, {"size": -1}]
    assert records[8].data is not None
    assert records[8].data["instances"]["p"]["memories"]["m"]["pages"] == 3


def test_the_plan_decides_which_features_are_on(oracle: Oracle) -> None:
    two_memories, vector = "(module (memory 1) (memory 1))", "(module (func (drop (v128.const i64x2 0 0))))"
    assert outcomes(oracle, two_memories) == []
    assert isinstance(outcomes(oracle, two_memories, features=PRE_3)[0], Rejected)
    assert isinstance(outcomes(oracle, vector, features=("mvp",))[0], Rejected)
    assert outcomes(oracle, vector, features=("mvp", "simd")) == []
    assert outcomes(oracle, vector, features=()) == []
    assert outcomes(oracle, vector, features=("warp",)) == [Unsupported("feature warp")]


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_set_of_features_ends_the_worker(variant: str) -> None:
    names = engine_features(variant)
    sets = [(), *((n,) for n in names), *itertools.combinations(names, len(names) - 1), names]
    with Oracle(f"wasmtime:{variant}" if variant else "wasmtime") as oracle:
        for features in sets:
            got = outcomes(oracle, "(module)", features=("mvp", *features), nan="none")
            assert got == [], features
        assert oracle.starts == 1


def test_fuel_is_the_budget_of_one_call(oracle: Oracle) -> None:
    text = """(module (func (export "f") (param i32) (loop
      (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br_if 0 (local.get 0)))))"""
    small, big = [("i32", "00000064")], [("i32", "00100000")]
    got = outcomes(oracle, text, ("f", small), ("f", big), ("f", small), limits=Limits(fuel=10_000))
    assert got == [Returned(), Exhausted("fuel"), Returned()]


def test_traps_carry_function_and_module_offset(oracle: Oracle) -> None:
    text = '(module (func) (func (export "f") (unreachable)))'
    (got,) = outcomes(oracle, text, ("f", []))
    assert isinstance(got, Trapped)
    assert got.where is not None
    assert got.where[0] == 1


def test_canonical_nans_are_an_option_of_the_plan(oracle: Oracle) -> None:
    text = '(module (func (export "f") (param f32) (result f32) (f32.add (local.get 0) (f32.const 1))))'
    call = ("f", [("f32", "ffa00001")])
    assert outcomes(oracle, text, call, nan="engine") == [Returned((("f32", "7fc00000"),))]
    assert outcomes(oracle, text, call, nan="none") == [Returned((("f32", "ffe00001"),))]


def test_winch_says_what_it_lacks() -> None:
    text = '(module (func (export "f") (param externref)))'
    with Oracle("wasmtime:winch") as oracle:
        assert isinstance(outcomes(oracle, text, nan="none")[0], Unsupported)
        assert outcomes(oracle, "(module)", nan="none", features=("gc",)) == [Unsupported("feature gc")]
        assert outcomes(oracle, "(module)", nan="engine") == [Unsupported("nan profile engine")]


def test_a_table_of_any_reference_type_grows_by_nulls(oracle: Oracle) -> None:
    text = '(module (table (export "t") 0 9 anyref) (table (export "x") 1 9 exnref) (table (export "f") 0 9 funcref))'
    steps = [Step("assemble", {"module": "m", "text": "t"})]
    steps.append(Step("instantiate", {"instance": "i", "module": "m", "imports": {}}))
    steps += [Step("grow", {"instance": "i", "export": name, "delta": 2}) for name in "txf"]
    steps += [Step("observe", {})]
    records = oracle.run(Plan(tuple(steps), texts={"t": text.encode()}))
    assert [r.data for r in records[2:5]] == [{"size": 0}, {"size": 1}, {"size": 0}]
    assert records[5].data is not None
    tables = records[5].data["instances"]["i"]["tables"]
    assert tables == {"t": [["anyref", None]] * 2, "x": [["exnref", None]] * 3, "f": [["funcref", None]] * 2}


def test_arguments_that_cannot_cross_are_refused_not_guessed(oracle: Oracle) -> None:
    text = '(module (func (export "f") (param anyref)) (func (export "x") (param exnref)))'
    got = outcomes(
        oracle, text, ("f", [("anyref", "struct")]), ("f", [("externref", 1)]), ("x", [("exnref", "exn")]),
        ("f", [("i128", "0")]), ("f", [("anyref", None)]),
    )  # fmt: skip
    assert [type(o) for o in got] == [Unsupported, Blocked, Unsupported, Unsupported, Returned]


def test_confusing_characters_in_strings_are_rewritten_for_the_assembler(oracle: Oracle) -> None:
    name = "\u202e\u00e9\u2067"
    text = f'(module (func (export "{name}") (result i32) (i32.const 5)) ;; \u202e\n (; \u2067 (; " ;) ;) )'
    assert outcomes(oracle, text, (name, [])) == [Returned((("i32", "00000005"),))]


def test_a_text_that_is_no_module_is_rejected_as_text(oracle: Oracle) -> None:
    for text in ("(module (func (i32.const)))", "(module", "\u202e", '(module (func (export "\u00e9"))'):
        (got,) = outcomes(oracle, text)
        assert isinstance(got, Rejected)
        assert got.stage == "text"


@pytest.mark.parametrize(
    ("text", "ascii"),
    [
        (b'"\xc3\xa9\\"\xc3"', b'"\\c3\\a9\\"\\c3"'),
        (b';; "\xc3\n"\xc3"', b';; "?\n"\\c3"'),
        (b'(; "\xc3 (; ;) \xc3 ;) "\xc3"', b'(; "? (; ;) ? ;) "\\c3"'),
        (b'$\xc3 "a', b'$\xc3 "a'),
    ],
)
def test_the_rewrite_touches_strings_and_comments_only(text: bytes, ascii: bytes) -> None:
    assert ascii_text(text) == ascii


def test_every_kind_of_value_is_named(oracle: Oracle) -> None:
    assert oracle.description.types == KINDS


_FUNCTION = ctypes.CFUNCTYPE(None).__mro__[1]  # of which all types of callbacks are


def _letter(kind: Any) -> str:
    """Return what the adapter calls a type of the wheel's own prototypes."""
    if kind is None:
        return "v"
    if issubclass(kind, (ctypes._Pointer, _FUNCTION, ctypes.c_void_p, ctypes.c_char_p)):
        return "p"
    return {"c_bool": "b", "c_ubyte": "B", "c_uint": "I", "c_int": "i", "c_ulong": "Q", "c_long": "q"}[kind.__name__]


def test_the_prototypes_are_those_of_the_wheel() -> None:
    for name in [name for name in vars(load()) if name.startswith(("wasm_", "wasmtime_"))]:
        ours, theirs = getattr(load(), name), getattr(_bindings, f"_{name}")
        for own, its in zip((ours.restype, *ours.argtypes), (theirs.restype, *theirs.argtypes), strict=True):
            assert _letter(own) == _letter(its), name


def test_what_older_releases_are_asked_by_way_of_a_module_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    text = """(module (type $s (struct)) (type $a (array i8)) (import "env" "f" (func $f (param v128) (result v128)))
      (global (export "g") (mut anyref) (struct.new $s))
      (table (export "t") 4 anyref (array.new_fixed $a 0))
      (elem (table 0) (i32.const 1) anyref (ref.i31 (i32.const 5)) (ref.null any) (struct.new $s))
      (func (export "v") (param v128) (result v128) (call $f (local.get 0))))"""
    vector = [["v128", "00112233445566778899aabbccddeeff"]]
    steps = (
        Step("assemble", {"module": "m", "text": "t"}),
        Step("instantiate", {"instance": "i", "module": "m", "imports": {"env": [HOST]}}),
        Step("call", {"instance": "i", "export": "v", "args": vector}),
        Step("observe", {}),
    )
    plan = Plan(steps, texts={"t": text.encode()}, hosts={"f": HostFunc(("v128",), ("v128",))}, features=ALL)

    def answers() -> list[Any]:
        session = adapter("").open(plan)
        try:
            return [session.run(step) for step in steps]
        finally:
            session.close()

    known, absent = answers(), ("wasmtime_wasm_valtype_v128", "wasmtime_anyref_is_struct", "wasmtime_anyref_is_array")
    api = load()
    has = api.has
    monkeypatch.setattr(api, "has", lambda name: name not in absent and has(name))
    monkeypatch.setattr(api, "_functypes", {})
    for name in absent:
        monkeypatch.delattr(api, name)
    assert answers() == known
    assert known[3][1]["instances"]["i"]["tables"]["t"] == [
        ["anyref", "array"], ["anyref", {"i31": 5}], ["anyref", None], ["anyref", "struct"],
    ]  # fmt: skip
