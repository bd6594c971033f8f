"""References that are not null: of every type, read only where they have a value, and passed where a host can."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from engine.binary import decode
from engine.errors import InvalidError
from engine.features import FUNCTION_REFERENCES
from engine.instructions import TABLE
from engine.matching import close_valtype
from engine.module import Code, In
from engine.types import DefType, FuncType, RefType, ValType
from engine.validation import validate
from engine.validation.context import Context
from generators.module import Generated, generate
from generators.present import PRESENT, Given, is_absent, is_present
from generators.profile import PRESETS
from generators.source import Source
from oracles.adapters import reference
from oracles.outcome import Blocked, Returned

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from engine.module import Module

STANDARD = PRESETS["standard"]
RICH = replace(STANDARD, present_percent=100, heap_percent=60)


def cases(count: int) -> list[Generated]:
    return [generate(Source.fresh("present", i), RICH) for i in range(count)]


def functypes(c: Context) -> list[FuncType]:
    return [t.comp for t in c.funcs if isinstance(t.comp, FuncType)]


def kind(t: ValType) -> str:
    assert isinstance(t, RefType)
    return type(t.heap.comp).__name__ if isinstance(t.heap, DefType) else str(t)


def kinds(types: Iterator[ValType]) -> set[str]:
    return {kind(t) for t in types if is_present(t)}


def test_every_heap_type_is_that_of_parameters_results_locals_and_blocks() -> None:
    expected = {*map(str, PRESENT[:5]), "StructType", "ArrayType"}
    params: set[str] = set()
    results: set[str] = set()
    locals_: set[str] = set()
    blocks: set[str] = set()
    for case in cases(300):
        c = Context.of_module(case.module)
        params |= kinds(t for f in functypes(c) for t in f.params)
        results |= kinds(t for f in functypes(c) for t in f.results)
        locals_ |= kinds(close_valtype(t, c.types) for code in case.module.codes for _, t in code.locals)
        imms = (i.imms[0] for code in case.module.codes for i in code.body if i.row.name in ("block", "if"))
        blocks |= kinds(close_valtype(t, c.types) for t in imms if isinstance(t, RefType))
    assert params >= expected | {"FuncType"}
    assert locals_ >= expected | {"FuncType", "(ref struct)", "(ref array)", "(ref none)", "(ref exn)"}
    assert results >= expected
    assert blocks >= expected


def test_globals_and_tables_hold_them_from_the_beginning() -> None:
    globals_: set[str] = set()
    tables: Counter[str] = Counter()
    calls = 0
    for case in cases(250):
        c = Context.of_module(case.module)
        globals_ |= kinds(g.valtype for g in c.globals)
        tables.update(kinds(t.reftype for t in c.tables))
        filled = {x for x, t in enumerate(case.module.tables) if t.init is not None}
        assert filled == {x for x, t in enumerate(c.tables) if is_present(t.reftype)}
        indirect = (i for code in case.module.codes for i in code.body if i.row.name == "call_indirect")
        calls += sum(i.imms[1] in filled for i in indirect)
    assert globals_ >= {*map(str, PRESENT[:5]), "StructType", "ArrayType"}
    assert set(tables) >= {*map(str, PRESENT[:5]), "StructType", "ArrayType", "FuncType"}
    assert calls


def positions(module: Module) -> Iterator[tuple[int, int, int]]:
    """Every function, place in its body, and declared local without a default value, with strides."""
    c = Context.of_module(module)
    for f, code in enumerate(module.codes):
        params = len(functypes(c)[f + c.imported["func"]].params)
        for k, (_, t) in enumerate(code.locals):
            for at in range(k % 3, len(code.body), 3) if is_present(t) else ():
                yield f, at, params + k


def with_read(module: Module, f: int, at: int, x: int) -> Module:
    read = In(TABLE.by_name["local.get"], (x,)), In(TABLE.by_name["drop"])
    codes: list[Code] = list(module.codes)
    body = codes[f].body
    codes[f] = replace(codes[f], body=(*body[:at], *read, *body[at:]))
    return replace(module, codes=tuple(codes))


def test_a_local_may_be_read_exactly_where_the_validator_says() -> None:
    count: Counter[bool] = Counter()
    for case in cases(25):
        module = decode(case.wasm)
        for f, at, x in positions(module):
            expected = Given([x]).may_read(x, module.codes[f].body[:at])
            count[expected] += 1
            if expected:
                validate(with_read(module, f, at, x))
            else:
                with pytest.raises(InvalidError, match="uninitialized local"):
                    validate(with_read(module, f, at, x))
    assert min(count[True], count[False]) > 100


def test_asking_on_the_way_changes_no_answer() -> None:
    for case in cases(10):
        for f, at, x in positions(case.module):
            body = case.module.codes[f].body
            given = Given([x])
            for end in range(0, at, 7):
                given.may_read(x, body[:end])
            assert given.may_read(x, body[:at]) == Given([x]).may_read(x, body[:at])


def depths(body: Sequence[In]) -> Iterator[tuple[In, int]]:
    depth = 0
    for i in body:
        opens = any(kind.name == "blocktype" for kind in i.row.imms)
        depth += opens - (i.row.name in ("end", "delegate"))
        yield i, depth


def test_some_locals_get_their_value_inside_of_a_block_and_are_read_there() -> None:
    deep: Counter[str] = Counter()
    for case in cases(250):
        c = Context.of_module(case.module)
        for f, code in enumerate(case.module.codes):
            params = len(functypes(c)[f + c.imported["func"]].params)
            tracked = {params + k for k, (_, t) in enumerate(code.locals) if is_present(t)}
            at_once = {i.imms[0] for i, depth in depths(code.body) if depth == 0 and i.row.name == "local.set"}
            for i, depth in depths(code.body):
                if depth > 0 and i.row.name.startswith("local.") and i.imms[0] in tracked - at_once:
                    deep[i.row.name] += 1
    assert deep["local.set"] > 30
    assert deep["local.get"] > 10


def test_a_function_that_takes_objects_is_called_by_others_alone() -> None:
    called = 0
    for case in cases(150):
        c = Context.of_module(case.module)
        absent = {x for x, t in enumerate(functypes(c)) if any(map(is_absent, t.params))}
        exports = {e.name: e.index for e in case.module.exports if e.kind == "func"}
        assert not absent & {exports[s["export"]] for s in case.plan.steps if s.kind == "call"}
        names = ("call", "return_call", "ref.func")
        called += len(absent & {i.imms[0] for code in case.module.codes for i in code.body if i.row.name in names})
    assert called > 5


def test_a_plan_passes_only_what_fits() -> None:
    passed = 0
    for case in cases(80):
        session = reference.adapter("").open(case.plan)
        records = [(step, session.run(step)) for step in case.plan.steps]
        session.close()
        if not isinstance(records[0][1][0], Returned):
            continue  # there is no instance
        assert not [outcome for _, (outcome, _) in records if isinstance(outcome, Blocked)]
        for step in case.plan.steps:
            passed += sum(name == "funcref" and n is not None for name, n in step["args"]) if step.kind == "call" else 0
    assert passed > 20


def test_without_the_feature_there_are_none() -> None:
    profile = replace(RICH, features=RICH.features - {FUNCTION_REFERENCES})
    for i in range(20):
        module = generate(Source.fresh(i), profile).module
        assert not any(is_present(t) for code in module.codes for _, t in code.locals)
        assert not any(is_present(t) for f in functypes(Context.of_module(module)) for t in (*f.params, *f.results))
