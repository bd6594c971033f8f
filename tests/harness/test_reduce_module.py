"""Reduction of modules: proposals before and after, renumbering, and whole modules down to what a finding needs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.binary import decode, encode
from engine.errors import InvalidError, WasmError
from engine.execution.build import Build
from engine.execution.calls import invoke
from engine.execution.instantiate import instantiate
from engine.features import EXECUTED
from engine.instructions import TABLE
from engine.instructions.model import Control
from engine.module import FuncImport
from engine.runtime.store import Config, Store
from engine.text.parser import parse
from engine.text.printer import print_module
from engine.validation import validate
from engine.validation.context import Context
from generators.module import generate
from generators.profile import PRESETS
from generators.source import Source
from harness.reduce.bodies import count_instructions, proposals, segments, size_of
from harness.reduce.module import ModuleReducer
from harness.reduce.sections import SPACES, Used, remove, size_of_space
from harness.reduce.shrink import instructions_of
from oracles.plan import Plan, Step
from tests.support.wasm import wasm

NAMES = [f.name for f in PRESETS["standard"].features]


def view(module, n=0):
    """The body of a function and its context."""
    context = Context.of_module(module)
    x = context.imported["func"] + n
    return module.codes[n].body, context.function(context.funcs[x].comp, module.codes[n].locals)


def text(body):
    """A body as words, without its last end."""
    return " ".join(
        " ".join([i.row.name, *(k.print_(v) for k, v in zip(i.row.imms, i.imms, strict=True))]).strip()
        for i in body[:-1]
    )


def proposed(source):
    return {text(p) for p in proposals(*view(decode(wasm(source))))}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        # delete what leaves nothing, alone and in runs
        ("nop i32.const 1 drop", "i32.const 1 drop"),
        ("(local i32) i32.const 1 local.set 0 i32.const 2 local.set 0", ""),
        ("block i32.const 1 drop end", ""),
        # put a constant in place of what leaves a value
        ("(result i32) i32.const 7 i32.const 8 i32.add", "i32.const 0"),
        ("(result i32) i32.const 7 i32.const 8 i32.add", "i32.const 1"),
        ("(result f64) (local f64) local.get 0 f64.sqrt f64.neg", "f64.const 0x0.0p+0"),
        ("(result i32) block (result i32) i32.const 3 end", "i32.const 0"),
        ("(result externref) ref.null extern ref.null extern i32.const 1 select (result externref)", "ref.null extern"),
        # put an operand in place of an operator
        ("(param i64) (result i64) local.get 0 i64.const 8 i64.add", "local.get 0"),
        ("(param i64) (result i64) i64.const 8 local.get 0 i64.add", "local.get 0"),
        # unwrap constructs, lowering what branches past them
        ("block block nop br 1 end end", "block nop br 0 end"),
        ("(param i32) local.get 0 if nop else unreachable end", "nop"),
        ("(param i32) local.get 0 if nop else unreachable end", "unreachable"),
        ("(result i32) loop (result i32) i32.const 4 end", "i32.const 4"),
        # what never runs
        ("unreachable nop nop", "unreachable"),
        ("block br 0 nop end nop", "block br 0 end nop"),
        # plainer immediates
        ("(result i32) i32.const 100", "i32.const 50"),
        ("(result f32) f32.const nan", "f32.const 0x0.0p+0"),
        ("i32.const 0 br_table 0 0 0", "i32.const 0 br_table 0"),
    ],
)  # fmt: skip
def test_a_body_is_proposed(before, after):
    assert after in proposed(f"(func {before})")


def test_a_block_that_is_branched_to_is_not_unwrapped():
    assert "i32.const 1 br_if 0" not in proposed("(func block i32.const 1 br_if 0 end)")


def test_operands_of_a_call_of_several_results_stay_balanced():
    source = "(func $g (result i32 i64) i32.const 1 i64.const 2) (func (local i64 i32) call $g local.set 0 local.set 1)"
    module = decode(wasm(source))
    bodies = [text(p) for p in proposals(*view(module, 1))]
    assert "" in bodies
    body, context = view(module, 1)
    assert [s.types for s in segments(body, context)][-1] == ()


def generated(index, profile="standard"):
    return generate(Source.fresh("reduce", index), PRESETS[profile])


@pytest.mark.parametrize("index", range(6))
def test_most_proposals_for_generated_bodies_are_valid(index):
    module = decode(generated(index).wasm)
    good = total = 0
    for n in range(len(module.codes)):
        body, context = view(module, n)
        for proposal in proposals(body, context):
            if size_of(proposal) >= size_of(body):
                continue
            total += 1
            code = replace(module.codes[n], body=tuple(proposal))
            candidate = replace(module, codes=(*module.codes[:n], code, *module.codes[n + 1 :]))
            try:
                validate(decode(encode(candidate)))
                good += 1
            except WasmError:
                continue
    assert total > 20
    assert good / total > 0.9


def test_looking_for_proposals_leaves_the_context_as_it_was():
    body, context = view(decode(generated(1).wasm))
    labels = list(context.labels)
    list(proposals(body, context))
    assert context.labels == labels


# sections

FULL = """
  (type (func)) (type (func (param i32))) (type (func (result i64)))
  (import "e" "a" (func (type 1))) (import "e" "b" (func (type 0))) (import "e" "g" (global i32))
  (table 1 funcref) (table 2 funcref) (memory 1)
  (global i32 (i32.const 1)) (global (mut i64) (i64.const 2)) (global i32 (global.get 0))
  (func (type 0)) (func (type 2) global.get 2 call 1 call 4) (func (type 0) call 2)
  (export "f" (func 3)) (export "t" (table 1)) (export "g" (global 3)) (start 2)
  (elem (table 1) (i32.const 0) func 3 1) (elem func 4) (data (i32.const 0) "x") (data "y")
"""


def printed(module):
    return print_module(decode(encode(module)))


def expected(source):
    return print_module(decode(wasm(source)))


def test_removing_a_function_moves_all_references_down():
    module = remove(decode(wasm(FULL)), "func", 0)
    validate(decode(encode(module)))
    assert module.start == 1
    assert [e.index for e in module.exports] == [2, 1, 3]
    assert "call 0" in printed(module)
    assert "call 3" in printed(module)


def test_removing_a_global_changes_initialisers_and_bodies():
    module = remove(decode(wasm(FULL)), "global", 1)
    validate(decode(encode(module)))
    assert "global.get 1" in printed(module)
    assert [e.index for e in module.exports if e.kind == "global"] == [2]


@pytest.mark.parametrize(
    ("space", "x"), [("func", 1), ("func", 4), ("global", 0), ("table", 1), ("mem", 0), ("type", 0)]
)
def test_what_is_used_cannot_go(space, x):
    with pytest.raises(Used):
        remove(decode(wasm(FULL)), space, x)


def test_whatever_is_removed_leaves_a_valid_module():
    assert sum(map(removed, range(8))) > 8


def removed(index):
    module = decode(generated(index).wasm)
    removed = 0
    for space in SPACES:
        for x in range(size_of_space(module, space) - 1, -1, -1):
            before = size_of_space(module, space)
            try:
                candidate = remove(module, space, x)
            except Used:
                continue
            try:
                validate(candidate)
            except InvalidError as e:
                assert "undeclared function reference" in str(e)
                continue
            module = decode(encode(candidate))
            assert size_of_space(module, space) == before - 1
            removed += 1
    return removed


# whole modules


def plan_of(source):
    return Plan((), {"m": wasm(source)}, features=tuple(NAMES))


def reduced(plan, holds):
    """The module text after reduction for a predicate over our own decoded module."""
    reducer = ModuleReducer(plan, "m", lambda candidate: holds(decode(candidate.modules["m"])))
    return decode(reducer.reduce().modules["m"])


def test_a_module_shrinks_to_the_instruction_that_is_looked_for():
    for index in range(6):
        made = generated(index)
        rows = {i.row.name for c in decode(made.wasm).codes for i in c.body if i.row.control is None}
        name = sorted(rows)[index % len(rows)]
        module = reduced(made.plan, lambda m, name=name: any(i.row.name == name for c in m.codes for i in c.body))
        assert count_instructions([c.body for c in module.codes]) <= 7, (index, name)
        assert len(module.codes) == 1
        assert not module.exports


def test_a_module_shrinks_to_what_a_result_needs():
    source = """(global $g (mut i32) (i32.const 3)) (memory 1)
      (func $unused (param i32) (result i32) local.get 0 i32.const 5 i32.mul)
      (func (export "f") (result i32) (local i32 i64 f32)
        i32.const 9 local.set 0
        block i32.const 1 br_if 0 i32.const 8 local.set 0 end
        i32.const 4 i32.const 7 i32.store
        local.get 0 i32.const 33 i32.add global.get $g i32.const 3 i32.sub i32.add)"""

    def gives_42(module):
        exported = [e for e in module.exports if e.name == "f"]
        if not exported:
            return False
        store = Store(Config())
        return invoke(store, instantiate(store, module, []).exports["f"], ()) == [42]

    module = reduced(plan_of(source), gives_42)
    assert printed(module) == expected('(func (export "f") (result i32) i32.const 42)')


def test_a_call_step_goes_to_the_callee_of_its_function():
    source = """(func $g (param i32) (result i32) i32.const 100 local.get 0 i32.div_u)
      (func (export "f") (param i64) (result i64) i32.const 7 call $g i64.extend_i32_u)"""
    step = Step("call", {"instance": "m", "export": "f", "args": [("i64", "0" * 16)]})
    plan = replace(plan_of(source), steps=(step,))

    def divides_by_7(candidate):
        module = decode(candidate.modules["m"])
        seen = []

        def divide(i, j):
            seen.append((i, j))
            return i // j if j else 0

        store = Store(Config(build=Build(table=TABLE.replace("i32.div_u", run=divide))))
        exports = instantiate(store, module, []).exports
        if "f" not in exports:
            return False
        args = [int(bits, 16) for _, bits in candidate.steps[0]["args"]]
        if len(args) != len(exports["f"].functype.params):
            return False
        invoke(store, exports["f"], args)
        return any(j == 7 for _, j in seen)

    reducer = ModuleReducer(plan, "m", divides_by_7)
    small = reducer.reduce()
    assert instructions_of(small) == 3
    assert len(decode(small.modules["m"]).codes) == 1


def test_a_module_that_we_do_not_accept_is_left_alone():
    plan = Plan((), {"m": b"garbage"})
    assert ModuleReducer(plan, "m", lambda _: True).reduce() == plan


def test_instructions_are_counted_without_structure():
    source = "(func (param i32) local.get 0 if nop else nop end)"
    assert instructions_of(plan_of(source)) == 4
    structure = [i for i in decode(wasm(source)).codes[0].body if i.row.control in (Control.END, Control.ELSE)]
    assert len(structure) == 3


def test_a_type_goes_out_of_its_group_and_every_index_above_it_moves_down():
    text = """
        (rec
          (type $unused (struct)) (type $a (sub (struct (field (ref null $b))))) (type $b (array (mut (ref null $a)))))
        (type $gone (func)) (type $c (sub $a (struct (field (ref null $b)) (field i32))))
        (func (export "f") (param anyref) (result (ref null $c)) (local (ref null $b))
          (block $l (result (ref null $a))
            (br_on_cast $l anyref (ref $a) (local.get 0))
            (drop)
            (struct.new $c (array.new_default $b (i32.const 1)) (i32.const 2)))
          (ref.cast (ref null $c)))
        (global (ref null $b) (ref.null $b)) (table 1 (ref null $c)) (elem (ref null $a) (ref.null $c))
        (tag (type $gone))"""
    module = decode(wasm(text))
    for used in (1, 3):
        with pytest.raises(Used):
            remove(module, "type", used)
    smaller = remove(remove(remove(module, "tag", 0), "type", 3), "type", 0)
    validate(decode(encode(smaller)))
    assert [len(rec.subtypes) for rec in smaller.types] == [2, 1, 1]
    assert size_of_space(smaller, "type") == 4


def test_exact_types_and_descriptors_move_down_too():
    module = parse(
        """(module
        (type (struct))
        (rec (type $a (sub (descriptor $b) (struct))) (type $b (sub (describes $a) (struct))))
        (type $f (func (param (ref (exact $a)))))
        (import "" "" (func (exact (type $f))))
        (func (local (ref null (exact $b))) (drop (ref.test (ref (exact $a)) (ref.null (exact $b))))))""",
        EXECUTED,
    )
    smaller = decode(encode(remove(module, "type", 0)), EXECUTED)
    validate(smaller, EXECUTED)
    assert smaller.imports[0].desc == FuncImport(2, True)
    assert print_module(smaller).count("(exact 1)") == 2
    for used in (0, 1, 2):
        with pytest.raises(Used):
            remove(smaller, "type", used)
