"""The reference engine behind the adapter protocol: values, outcomes, hosts, observation, planted bugs."""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import Any

import pytest

from engine import EngineBug, ExhaustionError, Trap, TrapKind
from engine.errors import Resource, UnsupportedError, Where
from engine.execution.build import DEFAULT, Build
from oracles import adapter as adapters
from oracles.adapter import ADAPTERS, MAX_READ, REENTRY_LIMIT, RefusingSession, Unavailable
from oracles.adapters import reference, reference_calls
from oracles.outcome import Blocked, Exhausted, HostError, Rejected, Returned, Trapped, Unsupported
from oracles.plan import HOST, HostFunc, Limits, Plan, Step, host_mix
from tests.support.wasm import wasm

I32 = "i32"


def plan(*steps: Step, modules: dict[str, bytes | str] | None = None, **rest: Any) -> Plan:
    binaries = {name: wasm(m) if isinstance(m, str) else m for name, m in (modules or {}).items()}
    return Plan(steps=steps, modules=binaries, features=("all",), **rest)


def step(kind: str, *args: Any, **more: Any) -> Step:
    names = [name.rstrip("?") for name in adapters.STEP_KINDS[kind]]
    return Step(kind, dict(zip(names, args, strict=False)) | more)


def instantiate(instance: str = "a", module: str = "m", **imports: list[str]) -> Step:
    return step("instantiate", instance, module, imports)


def call(export: str, *args: Any, instance: str = "a") -> Step:
    return step("call", instance, export, list(args))


def play(p: Plan, variant: str = "") -> list[Any]:
    """Return the outcome of each step, or the data where it asked for some."""
    session = reference.adapter(variant).open(p)
    answers = [session.run(s) for s in p.steps]
    session.close()
    return [outcome if data is None or "executed" in data else data for outcome, data in answers]


def test_executed_instructions_are_counted():
    text = '(func (export "f") (param i32) (result i32) (memory.grow (local.get 0))) (memory 1 1)'
    p = plan(instantiate(), call("f", i32(-1)), modules={"m": text})
    session = reference.adapter("").open(p)
    assert [session.run(s)[1] for s in p.steps] == [{"executed": 0}, {"executed": 2}]


def play_one(text: str, *steps: Step, **rest: Any) -> list[Any]:
    """Instantiate ``text`` as ``a`` and return the answers of the other steps."""
    first, *others = play(plan(instantiate(host=[HOST]), *steps, modules={"m": text}, **rest))
    assert first == Returned()
    return others


def i32(n: int) -> tuple[str, str]:
    return I32, f"{n % 2**32:08x}"


# -- description


def test_it_describes_what_the_engine_executes_and_assembles():
    d = adapters.load("reference").describe()
    assert d.name == "reference"
    assert {"mvp", "bulk-memory", "reference-types", "extended-const"} <= set(d.features)
    assert "stack-switching" not in d.features
    assert (set(d.steps), set(d.actions)) == (set(adapters.STEP_KINDS), set(adapters.ACTIONS))
    assert d.fuel_model == "unit:none"
    assert (d.text, d.fuel, d.nan) == (True, True, ("engine", "module", "none"))
    assert "reference" in ADAPTERS
    assert adapters.Description.from_json(d.to_json()) == d


def test_text_is_assembled_and_a_text_that_is_not_is_no_module():
    texts = {"t": b'(module (func (export "f") (result i32) (i32.const 7)))', "bad": b"(module (func (foo)))"}
    steps = [step("assemble", "m", "t"), instantiate(), call("f"), step("assemble", "m", "bad"), step("validate", "m")]
    returned, refused = Returned((i32(7),)), Rejected("text", "unknown operator: foo at line 1, column 16")
    answers = play(Plan(steps=(*steps, step("assemble", "m", "none")), texts=texts))
    assert answers == [Returned(), Returned(), returned, refused, Blocked("module m"), Blocked("text none")]


def test_assembled_bytes_are_given_where_they_are_wanted():
    (data,) = play(Plan(steps=(step("assemble", "m", "t", want=True),), texts={"t": b"(module)"}))
    assert data == {"wasm": "AGFzbQEAAAA="}


def test_text_of_a_feature_that_is_off_is_rejected():
    plan_of = Plan(steps=(step("assemble", "m", "t"),), texts={"t": b"(func (i32.extend8_s (i32.const 1)) drop)"})
    assert play(plan_of) == [Returned()]
    (outcome,) = play(replace(plan_of, features=("mvp",)))
    assert outcome.text.startswith("unknown operator: i32.extend8_s needs sign-extension")


def test_a_plan_that_needs_more_is_refused_step_by_step():
    p = Plan(steps=(step("validate", "m"),), features=("stack-switching",))
    assert isinstance(reference.adapter("").open(p), RefusingSession)
    assert play(p) == [Unsupported("feature stack-switching")]


# -- outcomes


@pytest.mark.parametrize(
    ("module", "stage"),
    [
        (b"\0asm\1\0\0\0\xff", "malformed"),
        (b"", "malformed"),
        ("(func (result i32))", "invalid"),
        ('(import "x" "y" (func))', "unlinkable"),
        ('(import "host" "f" (func (param i64)))', "unlinkable"),
    ],
)
def test_rejections(module, stage):
    hosts = {"f": HostFunc((), ())}
    binary = module if isinstance(module, bytes) else unchecked(module)
    (outcome,) = play(plan(instantiate(host=[HOST]), modules={"m": binary}, hosts=hosts))
    assert (type(outcome), outcome.stage) == (Rejected, stage)
    assert outcome.text


def unchecked(text: str) -> bytes:
    """wat2wasm does not validate, so an ill-typed module is assembled like any other."""
    return wasm(text)


def test_validate_tells_malformed_from_invalid_and_needs_no_imports():
    modules = {"bad": b"\0asm", "ill": wasm("(func (result i32))"), "good": '(import "x" "y" (func))'}
    bad, ill, good, missing = play(
        plan(*(step("validate", m) for m in ("bad", "ill", "good", "none")), modules=modules)
    )
    assert (bad.stage, ill.stage, good, type(missing)) == ("malformed", "invalid", Returned(), Blocked)


def test_features_outside_the_plan_are_off():
    text = "(memory 1) (func i32.const 0 i32.const 0 i32.const 0 memory.fill)"
    for features, expected in (("mvp",), Rejected), (("mvp", "bulk-memory"), Returned), ((), Returned):
        p = Plan(steps=(step("validate", "m"),), modules={"m": wasm(text)}, features=features)
        assert [type(answer) for answer in play(p)] == [expected]


def test_a_trap_has_the_phrase_and_the_place():
    (outcome,) = play_one('(func (export "f") unreachable)', call("f"))
    assert (outcome.trap, outcome.where[0]) == ("unreachable", 0)
    binary = wasm('(func (export "f") unreachable)')
    assert binary[outcome.where[1]] == 0x00
    assert outcome.where[1] == len(binary) - 2


def test_a_trapping_start_function_is_a_trap_and_its_instance_is_blocked():
    modules = {"m": '(func unreachable) (start 0) (func (export "f"))'}
    start, after = play(plan(instantiate(), call("f"), modules=modules))
    assert start.trap == "unreachable"
    assert isinstance(after, Blocked)


def test_exhaustion():
    text = '(func $f (export "f") (call $f)) (func (export "l") (loop (br 0)))'
    assert [type(o) for o in play_one(text, call("f"))] == [Exhausted]
    assert play_one(text, call("f"))[0].resource == "stack"
    assert play_one(text, call("l"), limits=Limits(fuel=1000))[0].resource == "fuel"
    assert play(plan(instantiate(), modules={"m": "(memory 3)"}, limits=Limits(memory_pages=2)))[0].resource == "memory"


def test_each_call_has_the_whole_budget():
    text = """(func (export "f") (local i32)
        (loop (br_if 0 (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 100)))))"""
    assert play_one(text, *[call("f")] * 5, limits=Limits(fuel=1000)) == [Returned()] * 5


def no_threw(e: Any) -> Any:
    raise AssertionError


def test_errors_map_to_outcomes_and_a_bug_does_not():
    trap = Trap(TrapKind.CAST_FAILURE, "detail", Where(3, 0x20))
    assert reference.outcome_of(trap, no_threw) == Trapped(
        "cast failure", (3, 0x20), "cast failure: detail (func 3, offset 0x20)"
    )
    assert reference.outcome_of(Trap(TrapKind.UNREACHABLE), no_threw).where is None
    assert reference.outcome_of(UnsupportedError("simd"), no_threw) == Unsupported("feature simd")
    for resource, name in ((Resource.STACK, "stack"), (Resource.FUEL, "fuel"), (Resource.HEAP, "memory")):
        assert reference.outcome_of(ExhaustionError(resource), no_threw).resource == name


@pytest.mark.parametrize("error", [EngineBug, RecursionError, MemoryError, KeyError])
def test_what_is_not_an_error_of_the_engine_leaves_the_session(error, monkeypatch):
    def broken(*args: Any) -> Any:
        raise error

    monkeypatch.setattr(reference_calls, "invoke", broken)
    with pytest.raises(error):
        play_one('(func (export "f"))', call("f"))


@pytest.mark.parametrize("error", [TypeError, ValueError, IndexError])
def test_a_bug_below_a_host_function_is_not_taken_for_a_malformed_action(error, monkeypatch):
    def broken(*args: Any) -> Any:
        raise error

    hosts = {"h": HostFunc((), (), (("call", "a", "g", []),))}
    session = reference.adapter("").open(plan(instantiate(host=[HOST]), modules={"m": NESTING}, hosts=hosts))
    session.run(instantiate(host=[HOST]))
    monkeypatch.setattr(reference.ReferenceSession, "export", broken)
    with pytest.raises(EngineBug):
        session.host_call("h", [])


NESTING = '(import "host" "h" (func)) (func (export "g"))'


# -- values


VALUES = [
    ("i32", "80000000"),
    ("i64", "8000000000000000"),
    ("f32", "7fa00001"),
    ("f32", "ffc00000"),
    ("f64", "fff4000000000001"),
    ("f64", "8000000000000000"),
    ("externref", None),
    ("externref", 7),
    ("funcref", None),
    ("funcref", 1),
]


@pytest.mark.parametrize("value", VALUES)
def test_values_cross_by_bits(value):
    t = value[0]
    text = f"""
        (func (export "id") (param {t}) (result {t}) local.get 0) (func (export "g"))
        (global (export "v") (mut {t}) ({"ref.null " + t[:-3] if t.endswith("ref") else t + ".const 0"}))
    """
    steps = [call("id", value), step("set", "a", "v", value), step("get", "a", "v")]
    assert play_one(text, *steps) == [Returned((value,)), Returned(), {"value": list(value)}]


@pytest.mark.parametrize(
    "args",
    [
        [],
        [i32(0)] * 2,
        [("i64", "0" * 16)],
        [("f32", "00000000")],
        [("i32", "0")],
        [("i32", 0)],
        ["i32"],
        [("funcref", 0)],
    ],
)
def test_arguments_that_do_not_fit_block_the_call(args):
    (outcome,) = play_one('(func (export "f") (param i32) unreachable)', call("f", *args))
    assert isinstance(outcome, Blocked)


@pytest.mark.parametrize("n", [1, -1, "0", True, 2**70])
def test_a_function_that_was_never_seen_blocks_the_call(n):
    (outcome,) = play_one('(func (export "f") (param funcref) unreachable)', call("f", ("funcref", n)))
    assert isinstance(outcome, Blocked)


def test_functions_are_numbered_by_export_order_then_by_first_sight():
    text = """
        (func $x) (func $y) (func $z)
        (export "y" (func $y)) (export "x" (func $x)) (export "y2" (func $y))
        (func (export "hidden") (result funcref) ref.func $z) (func (export "shown") (result funcref) ref.func $x)
        (elem declare func $x $z)
    """
    p = plan(
        instantiate("a"), instantiate("b"), call("shown"), call("hidden"), call("shown", instance="b"),
        call("hidden", instance="b"), call("hidden"), modules={"m": text},
    )  # fmt: skip
    assert [o.values[0][1] for o in play(p)[2:]] == [1, 8, 5, 9, 8]


# -- steps that look and change


def test_memory_steps():
    text = '(memory (export "m") 1 3)'
    out = play_one(
        text,
        step("write", "a", "m", 65534, "abcd"),
        step("read", "a", "m", 65533, 3),
        step("write", "a", "m", 65535, "0102"),
        step("read", "a", "m", 65535, 1),
        step("read", "a", "m", 65535, 2),
        step("grow", "a", "m", 2),
        step("grow", "a", "m", 1),
        step("read", "a", "m", 0, MAX_READ + 1),
        step("read", "a", "m", -1, 1),
        step("write", "a", "m", 0, "xy"),
    )
    assert out[:2] == [Returned(), {"bytes": "00abcd"}]
    assert [out[2].trap, out[3], out[4].trap] == [
        "out of bounds memory access",
        {"bytes": "cd"},
        "out of bounds memory access",
    ]
    assert out[5:7] == [{"size": 1}, {"size": -1}]
    assert [type(o) for o in out[7:]] == [Unsupported, Blocked, Blocked]


def test_growing_a_table_fills_with_null():
    out = play_one(
        '(table (export "t") 1 3 externref)', step("grow", "a", "t", 2), step("grow", "a", "t", 1), step("observe")
    )
    assert out[:2] == [{"size": 1}, {"size": -1}]
    assert out[2]["instances"]["a"]["tables"] == {"t": [["externref", None]] * 3}


def test_setting_an_immutable_global_is_blocked():
    (outcome,) = play_one('(global (export "v") i32 (i32.const 1))', step("set", "a", "v", i32(2)))
    assert isinstance(outcome, Blocked)


@pytest.mark.parametrize("kind", ["get", "set", "read", "write", "grow", "call"])
def test_a_name_that_is_not_there_blocks(kind):
    more = {"value": i32(0), "address": 0, "length": 1, "data": "00", "delta": 1, "args": []}
    names = [name for name in adapters.STEP_KINDS[kind] if name in more]
    wanted = {name: more[name] for name in names}
    for instance, export in (("a", "missing"), ("b", "f"), ("a", "tag")):
        assert isinstance(play_one('(func (export "f"))', step(kind, instance, export, **wanted))[0], Blocked)


def crc(page: bytes) -> str:
    return f"{zlib.crc32(page):08x}"


def test_observe_shows_everything_visible():
    text = """
        (memory (export "m") 40 50) (data (i32.const 4096) "x") (data (i32.const 2621439) "y")
        (func $f (export "f")) (table (export "t") 2 funcref) (elem (i32.const 1) $f)
        (global (export "g") (mut i64) (i64.const -1)) (global (export "h") f32 (f32.const nan))
    """
    (data,) = play_one(text, step("observe"))
    pages = [b"x" + bytes(4095), bytes(4095) + b"y"]
    assert data == {
        "instances": {
            "a": {
                "memories": {"m": {"pages": 40, "crc": {"1": crc(pages[0]), "639": crc(pages[1])}}},
                "tables": {"t": [["funcref", None], ["funcref", 0]]},
                "globals": {"g": ["i64", "f" * 16], "h": ["f32", "7fc00000"]},
            }
        },
        "trace": [],
    }  # fmt: skip


def test_observe_of_some_instances_and_of_missing_ones():
    p = plan(instantiate("a"), instantiate("b"), step("observe", ["b"]), step("observe", ["c"]), modules={"m": ""})
    assert list(play(p)[2]["instances"]) == ["b"]
    assert isinstance(play(p)[3], Blocked)


def test_a_table_too_long_to_show_is_a_limit():
    assert play_one('(table (export "t") 70000 funcref)', step("observe"))[0].resource == "memory"


def test_instances_share_what_they_import():
    modules = {
        "m": '(memory (export "mem") 1) (global (export "g") (mut i32) (i32.const 0))',
        "n": '(import "x" "mem" (memory 1)) (import "x" "g" (global (mut i32))) (data (i32.const 0) "Z")'
        '(func (export "f") i32.const 5 global.set 0)',
    }
    p = plan(
        instantiate("a"), instantiate("b", "n", x=["a"]), call("f", instance="b"), step("read", "a", "mem", 0, 1),
        step("get", "a", "g"), modules=modules,
    )  # fmt: skip
    assert play(p)[3:] == [{"bytes": "5a"}, {"value": list(i32(5))}]


def test_the_first_provider_that_has_the_name_wins():
    modules = {"m": '(global (export "g") i32 (i32.const 1))', "n": '(global (export "g") i32 (i32.const 2))',
               "u": '(import "x" "g" (global i32)) (export "g" (global 0))'}  # fmt: skip
    p = plan(
        instantiate("a"), instantiate("b", "n"), instantiate("c", "u", x=[HOST, "b", "a"]), step("get", "c", "g"),
        instantiate("c", "u", x=["gone"]), step("get", "c", "g"), modules=modules,
    )  # fmt: skip
    assert play(p)[3] == {"value": list(i32(2))}
    assert [type(o) for o in play(p)[4:]] == [Blocked, Blocked]


# -- host functions as data

HOSTED = """
    (import "host" "h" (func $h (param i32 f64) (result i32)))
    (memory (export "m") 1 2) (global (export "g") (mut i32) (i32.const 0)) (table (export "t") 2 funcref)
    (func (export "f") (param i32) (result i32) local.get 0 f64.const -0.5 call $h)
    (func (export "inner") (param i32) (result i32) local.get 0 i32.const 1 i32.add global.set 0 i32.const 9)
    (func (export "bad") unreachable)
"""
SEEN = ["h", [list(i32(3)), ["f64", "bfe0000000000000"]]]


def hosted(*actions: Any, calls: int = 1) -> list[Any]:
    hosts = {"h": HostFunc((I32, "f64"), (I32,), actions)}
    return play_one(HOSTED, *[call("f", i32(3))] * calls, step("observe"), hosts=hosts)


def test_record_and_default_results():
    outcome, state = hosted(("record",))
    assert (outcome, state["trace"]) == (Returned((i32(0),)), [SEEN])


def test_the_trace_is_since_the_last_observation():
    hosts = {"h": HostFunc((I32, "f64"), (I32,))}
    out = play_one(HOSTED, call("f", i32(3)), step("observe"), step("observe"), hosts=hosts)
    assert [o["trace"] for o in out[1:]] == [[SEEN], []]


def test_mix_is_the_documented_function():
    args = [i32(3), ("f64", "bfe0000000000000")]
    assert hosted(("mix", 77))[0] == Returned(tuple(host_mix(77, args, (I32,))))


def test_actions_on_the_instance():
    outcome, state = hosted(
        ("mem.grow", "a", "m", 1),
        ("mem.write", "a", "m", 65536, "01"),
        ("mem.write", "a", "m", 2**17, "01"),
        ("global.set", "a", "g", i32(8)),
        ("table.set", "a", "t", 1, ("funcref", 0)),
        ("table.set", "a", "t", 2, ("funcref", 0)),
        ("table.set", "a", "t", 0, ("externref", 0)),
        ("table.set", "a", "missing", 0, ("funcref", 0)),
        ("global.set", "gone", "g", i32(9)),
    )
    assert outcome == Returned((i32(0),))
    a = state["instances"]["a"]
    assert (a["memories"]["m"]["pages"], list(a["memories"]["m"]["crc"])) == (2, ["16"])
    assert (a["globals"]["g"], a["tables"]["t"]) == (list(i32(8)), [["funcref", None], ["funcref", 0]])


def test_a_call_back_runs_and_its_trap_propagates():
    outcome, state = hosted(("call", "a", "inner", [i32(40)]))
    assert (outcome, state["instances"]["a"]["globals"]["g"]) == (Returned((i32(0),)), list(i32(41)))
    outcome, _ = hosted(("call", "a", "bad", []), ("global.set", "a", "g", i32(1)))
    assert outcome.trap == "unreachable"


def test_a_host_trap_is_a_host_error_on_the_nth_call_and_the_store_goes_on():
    assert hosted(("trap", "boom", 2), calls=3)[:3] == [Returned((i32(0),)), HostError("boom"), Returned((i32(0),))]
    assert hosted(("trap", "boom", 0), calls=2)[:2] == [HostError("boom")] * 2


def test_endless_reentry_ends_as_exhaustion():
    outcome, state = hosted(("record",), ("call", "a", "f", [i32(3)]))
    assert (type(outcome), outcome.resource) == (Exhausted, "stack")
    assert len(state["trace"]) == REENTRY_LIMIT


def test_an_unknown_action_is_unsupported():
    assert isinstance(hosted(("burn", 0))[0], Unsupported)


def test_one_host_function_is_one_reference():
    text = '(import "host" "h" (func)) (export "h" (func 0)) (func (export "r") (result funcref) ref.func 0)'
    p = plan(instantiate("a", host=[HOST]), instantiate("b", host=[HOST]), call("r"), call("r", instance="b"),
             modules={"m": text}, hosts={"h": HostFunc((), ())})  # fmt: skip
    assert [o.values for o in play(p)[2:]] == [(("funcref", 0),)] * 2


# -- planted bugs


def test_a_plant_is_a_build_taken_from_the_registry(monkeypatch):
    def wrong() -> Build:
        return Build(table=DEFAULT.table.replace("i32.add", run=lambda i, j: (i + j + 1) % 2**32))

    monkeypatch.setitem(reference.PLANTS, "add", wrong)
    p = plan(
        instantiate(), call("f"), modules={"m": '(func (export "f") (result i32) i32.const 1 i32.const 2 i32.add)'}
    )
    assert [play(p, variant)[1].values for variant in ("", "plant=add")] == [(i32(3),), (i32(4),)]
    assert adapters.load("reference:plant=add").describe().variant == "plant=add"


@pytest.mark.parametrize("variant", ["fast", "plant=", "plant=no-such-bug"])
@pytest.mark.parametrize("planted_by", ["string", "no.such.module"])
def test_any_other_variant_is_unavailable(variant, planted_by, monkeypatch):
    monkeypatch.setattr(reference, "PLANTED_BY", planted_by)
    with pytest.raises(Unavailable):
        reference.adapter(variant)
