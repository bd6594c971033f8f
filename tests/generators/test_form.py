"""Other bytes of the same module: they decode to it, engines take them, and reduction loses them."""

from __future__ import annotations

from dataclasses import replace

from engine.binary import decode, encode
from engine.binary.padding import integers
from engine.features import WASM_1, WASM_2, FeatureSet
from engine.module import Active, Module
from generators.module import Generated, generate
from generators.profile import PRESETS, Profile
from generators.source import Source
from harness.reduce.tape import TapeReducer
from oracles.adapters import wasmtime
from oracles.outcome import Returned
from oracles.plan import Plan, Step

STANDARD = PRESETS["standard"]
OTHERS = replace(STANDARD, form_percent=100)


def cases(count: int, profile: Profile = OTHERS) -> list[Generated]:
    return [generate(Source.fresh("form", i), profile) for i in range(count)]


def canonical(wasm: bytes) -> bytes:
    return encode(replace(decode(wasm), customs=()))


def test_one_case_in_eight_has_other_bytes_of_its_module() -> None:
    found = cases(160, STANDARD)
    assert all(canonical(case.wasm) == encode(case.module) for case in found)
    assert 10 <= sum(case.wasm != encode(case.module) for case in found) <= 32


def test_every_other_form_occurs() -> None:
    modules: list[Module] = []
    longer = 0
    for case in cases(40):
        modules.append(decode(case.wasm))
        longer += sum(n.end - n.start > 1 and case.wasm[n.end - 1] in (0, 0x7F) for n in integers(case.wasm))
    assert longer > 1000
    assert len({custom.name for m in modules for custom in m.customs}) >= 4
    assert any(len(m.places) > len(decode(encode(m)).places) for m in modules)  # empty sections
    assert any(e.flag == 6 and e.mode.index == 0 for m in modules for e in m.elems if isinstance(e.mode, Active))


def test_wasmtime_takes_every_form() -> None:
    adapter = wasmtime.adapter("")
    shared = frozenset(f for f in STANDARD.features if f.name in {"mvp", *adapter.describe().features})
    for case in cases(60, replace(OTHERS, features=shared)):
        session = adapter.open(case.plan)
        assert session.run(Step("validate", {"module": "m"})) == (Returned(), None)
        session.close()


def test_a_form_needs_only_the_features_of_the_profile() -> None:
    sets: tuple[FeatureSet, ...] = (WASM_1, WASM_2)
    for features in sets:
        for case in cases(30, replace(OTHERS, features=features)):
            assert encode(replace(decode(case.wasm, features), customs=())) == encode(case.module)


def other_tape() -> list[int]:
    """The tape of a small case in other bytes."""
    for i in range(100):
        source = Source.fresh("reduce", i)
        case = generate(source, PRESETS["small"])
        if case.wasm != encode(case.module):
            return source.tape
    raise AssertionError("no case in other bytes")


def reduced(holds: bool | None) -> bytes:
    """Return the module of the simplest tape whose bytes are other ones, or are either."""

    def build(source: Source) -> Plan:
        return generate(source, PRESETS["small"]).plan

    def shows(plan: Plan) -> bool:
        wasm = plan.modules["m"]
        return holds is None or (wasm != canonical(wasm)) == holds

    return TapeReducer(other_tape(), build, shows).reduce().plan.modules["m"]


def test_reduction_brings_a_module_back_to_its_canonical_bytes() -> None:
    wasm = reduced(None)
    assert wasm == canonical(wasm)


def test_reduction_keeps_other_bytes_where_they_matter() -> None:
    wasm = reduced(True)
    assert wasm != canonical(wasm)
    assert len(wasm) < 250


def test_the_end_of_the_tape_is_the_form() -> None:
    source = Source.fresh("form", 1)
    case = generate(source, OTHERS)
    form = next(span for span in source.spans if span.label == "form")
    assert form.end == len(source.tape)
    short = generate(Source.replay(source.tape[: form.start - 1]), OTHERS)
    assert short.wasm == encode(case.module)
    assert short.plan.steps == case.plan.steps
