"""What a comparison of scripts leaves out, and that it goes on after a mismatch."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.execution.fuel_models import fuel_model
from harness.compare import RULES, TOLERANCES, Side
from harness.wast.script import Action, Command
from harness.wast.settle import MOST, OF_SLICES, OPEN, renumbered, rules_of_slices, settle
from harness.wast.values import Either, Exact, Lanes, Nan, SomeRef
from harness.wast.watched import Watched
from oracles.outcome import Blocked, Crashed, Exhausted, Record, Rejected, Returned, TimedOut, Trapped, Unsupported
from oracles.plan import Plan, Step

ONE, TWO = ("i32", "00000001"), ("i32", "00000002")
QUIET, PAYLOAD, SIGNALLING = ("f32", "7fc00000"), ("f32", "ffc00001"), ("f32", "7f800001")
STACK = Exhausted("stack")
FORGETFUL = rules_of_slices(fuel_model("wasmtime", 48))


def watched(*steps: tuple[str, str], patterns=()) -> Watched:
    """Return a plan of steps (KIND, GROUP) on instances named by single letters."""
    made = []
    for kind, group in steps:
        args = {"instance": group[:1], "module": "m", "export": "f", "args": []}
        made.append(Step(kind, {"instances": list(group)} if kind == "observe" else args))
    command = Command("assert_return", 1, Action("invoke", None, "f"), tuple(patterns))
    groups = tuple(frozenset(group) for _, group in steps)
    return Watched(Plan(tuple(made)), (command,) * len(made), groups, {}, {})


def side(*answers, oracle: str = "reference", model: str = "") -> Side:
    """Return the records of outcomes, or of pairs of outcome and data."""
    pairs = [a if isinstance(a, tuple) else (a, None) for a in answers]
    return Side(oracle, tuple(Record(i, *pair) for i, pair in enumerate(pairs)), oracle, "1", model)


def settled(whole, left, right, **options):
    return settle(whole, side(*left, **options), side(*right, oracle="other", **options))


def state(value, *names: str):
    """Return an observation of instances with a global of this value."""
    return Returned(), {"instances": {n: {"memories": {}, "tables": {}, "globals": {"g": value}} for n in names}}


def test_the_names_of_rules_are_taken_once():
    assert not OPEN.keys() & (TOLERANCES.keys() | RULES.keys())
    assert OPEN.keys() >= FORGETFUL > OF_SLICES


@pytest.mark.parametrize(
    ("pattern", "left", "right", "rule"),
    [
        (Nan("f32", "arithmetic"), QUIET, PAYLOAD, "nan-set"),
        (Nan("f32", "canonical"), QUIET, PAYLOAD, ""),
        (Nan("f32", "arithmetic"), QUIET, SIGNALLING, ""),
        (Either((Exact(ONE), Exact(TWO))), ONE, TWO, "either"),
        (Either((Exact(ONE), Exact(ONE))), ONE, TWO, ""),
        (Exact(ONE), ONE, TWO, ""),
        (SomeRef("func"), ("funcref", 1), ("funcref", 2), ""),
        (Lanes(32, ("canonical", 0, 0, 0)), ("v128", f"{0x7FC00000:032x}"), ("v128", f"{0xFFC00000:032x}"), "nan-set"),
        (Lanes(32, (0, 0, 0, 0)), ("v128", f"{0:032x}"), ("v128", f"{1:032x}"), ""),
    ],
)
def test_results_may_differ_only_within_what_the_script_leaves_open(pattern, left, right, rule):
    found = settled(watched(("call", "a"), patterns=[pattern]), [Returned((left,))], [Returned((right,))])
    assert found.left_out == ({rule: 1} if rule else {})
    assert [m.rule for m in found.mismatches] == ([] if rule else ["R2"])


def test_equal_results_take_no_rule():
    found = settled(
        watched(("call", "a"), patterns=[Nan("f32", "canonical")]), [Returned((QUIET,))], [Returned((QUIET,))]
    )
    assert not found.left_out
    assert not found.mismatches


def test_a_stack_overflow_of_both_is_left_out_with_its_host_calls_and_nothing_else():
    whole = watched(("call", "a"), ("observe", "a"), ("call", "a"))
    seen = [(o, {**d, "trace": [["print", []]] * n}) for n, (o, d) in ((1, state(ONE, "a")), (2, state(TWO, "a")))]
    found = settled(whole, [STACK, seen[0], Returned((ONE,))], [STACK, seen[1], Returned((TWO,))])
    assert found.left_out == {"stack-overflow": 1, "set-aside": 1}
    assert [(m.rule, m.step) for m in found.mismatches] == [("R5", 1)]
    assert found.skipped == {0, 1, 2}


def test_a_stack_overflow_of_one_is_no_agreement():
    found = settled(watched(("call", "a")), [STACK], [Returned()])
    assert found.left_out == {"limit: stack": 1}
    assert found.skipped == {0}


def test_a_table_that_neither_shows_is_left_out():
    large = Exhausted("memory")
    found = settled(watched(("observe", "a"), ("call", "a")), [large, Returned((ONE,))], [large, Returned((TWO,))])
    assert found.left_out["unseen"] == 1
    assert [m.step for m in found.mismatches] == [1]


def test_what_one_engine_lacks_is_left_out_with_all_that_is_linked_to_it():
    whole = watched(("instantiate", "a"), ("call", "a"), ("call", "b"), ("observe", "ab"))
    left = [Returned(), Returned((ONE,)), Returned((ONE,)), state(ONE, "a", "b")]
    right = [Unsupported("gc"), Blocked("a"), Returned((TWO,)), state(TWO, "b")]
    found = settled(whole, left, right)
    assert found.left_out["lacking"] == 1
    assert found.left_out["set-aside"] == 2
    assert [(m.rule, m.step) for m in found.mismatches] == [("R2", 2)]


def test_what_joins_a_group_that_is_left_out_is_left_out_and_numbers_do_not_depend_on_it():
    whole = watched(("instantiate", "a"), ("instantiate", "ab"), ("observe", "c"), ("observe", ""))
    left = [Returned(), Returned(), state(("funcref", 5), "c"), state(("funcref", 5), "a", "b", "c")]
    right = [Unsupported("gc"), Blocked("a"), state(("funcref", 3), "c"), state(("funcref", 3), "c")]
    found = settled(whole, left, right)
    assert found.mismatches == []
    assert found.left_out == {"lacking": 1, "set-aside": 1}


def test_after_a_mismatch_the_rest_is_compared():
    whole = watched(("call", "a"), ("call", "a"), ("call", "b"))
    found = settled(whole, [Returned((ONE,))] * 3, [Returned((TWO,)), Returned((ONE,)), Returned((TWO,))])
    assert [m.step for m in found.mismatches] == [0, 2]
    assert found.skipped == {0, 2}


def test_after_states_have_parted_their_group_is_set_aside_and_others_are_not():
    whole = watched(("observe", "a"), ("call", "a"), ("observe", "b"), ("observe", ""))
    left = [state(ONE, "a"), Returned((ONE,)), state(ONE, "b"), state(ONE, "a", "b")]
    right = [state(TWO, "a"), Returned((TWO,)), state(TWO, "b"), state(TWO, "a", "b")]
    found = settled(whole, left, right)
    assert [(m.rule, m.step) for m in found.mismatches] == [("R5", 0), ("R5", 2)]
    assert found.left_out == {"set-aside": 1}


def test_mismatches_of_one_script_have_an_end():
    whole = watched(*[("call", "a")] * (MOST + 20))
    found = settled(whole, [Returned((ONE,))] * (MOST + 20), [Returned((TWO,))] * (MOST + 20))
    assert len(found.mismatches) == MOST


@pytest.mark.parametrize("end", [Crashed(11), TimedOut(5)])
def test_a_run_that_ended_early_loses_the_rest_and_says_so(end):
    found = settled(watched(*[("call", "a")] * 3), [Returned()] * 3, [Returned(), end])
    assert found.lost == "the run ended at step 1"
    assert [m.rule for m in found.mismatches] == (["R3"] if isinstance(end, Crashed) else [])


def test_rejections_need_the_same_stage_only_as_far_as_engines_tell():
    whole = watched(("validate", ""))
    assert settled(whole, [Rejected("invalid")], [Rejected("module")]).left_out == {"stage-module": 1}
    assert [m.rule for m in settled(whole, [Rejected("invalid")], [Returned()]).mismatches] == ["R10"]


def fueled(left: int, **more):
    return Trapped("unreachable"), {"fuel": left, **more}


@pytest.mark.parametrize(
    ("straight", "slices", "is_open"),
    [
        (fueled(9), fueled(7, paused=1, pauses=[]), True),
        (fueled(9), fueled(7, paused=0, pauses=[]), False),
        (fueled(7), fueled(9, paused=1, pauses=[]), False),
        ((Returned(), {"fuel": 9}), (Returned(), {"fuel": 7, "paused": 1, "pauses": []}), False),
    ],
)
def test_slices_give_back_less_at_a_trap_and_nowhere_else(straight, slices, is_open):
    whole = watched(("call", "a"))
    sides = side(straight, model="m"), side(slices, model="m")
    found = settle(whole, *sides, OF_SLICES)
    assert [m.rule for m in found.mismatches] == ([] if is_open else ["R8"])
    assert found.left_out["slice-refund"] == is_open
    assert [m.rule for m in settle(whole, *sides).mismatches] == ["R8"]


def test_a_model_that_forgets_leaves_the_fuel_of_slices_out_and_nothing_else():
    whole = watched(("call", "a"), ("observe", "a"))
    seen = [["@fuel", [["i64", "0000000000000009"]]], ["print", []]]
    other = [["@fuel", [["i64", "0000000000000005"]]], ["print", []]]
    straight = [(Returned(), {"fuel": 9}), (Returned(), {"instances": {}, "trace": seen})]
    slices = [(Returned(), {"fuel": 7, "paused": 1, "pauses": []}), (Returned(), {"instances": {}, "trace": other})]
    sides = side(*straight, model="m"), side(*slices, model="m")
    found = settle(whole, *sides, FORGETFUL)
    assert (found.mismatches, found.left_out["slice-forgets"]) == ([], 2)
    assert [m.rule for m in settle(whole, *sides, OF_SLICES).mismatches] == ["R8", "R8"]
    wrong = side((Returned((ONE,)), slices[0][1]), slices[1], model="m")
    right = side((Returned((TWO,)), straight[0][1]), straight[1], model="m")
    assert [m.rule for m in settle(whole, right, wrong, FORGETFUL).mismatches] == ["R2"]
    called = [slices[0], (Returned(), {"instances": {}, "trace": [other[0], ["rint", []]]})]
    assert [m.rule for m in settle(whole, sides[0], side(*called, model="m"), FORGETFUL).mismatches] == ["R5"]


def test_what_nobody_could_pay_for_may_be_a_present_in_slices_alone_and_where_the_counter_wraps():
    whole = watched(("call", "a"), ("observe", "a"))
    out = Exhausted("fuel"), {"fuel": 0}
    paid = Trapped("out of bounds memory access"), {"fuel": 9, "paused": 1, "pauses": []}
    sides = [[side(*pair, model="m") for pair in ((first, state("1", "a")), (second, state("2", "a")))]
             for first, second in ((out, paid), (paid, out))]  # fmt: skip
    found = settle(whole, *sides[0], FORGETFUL)
    assert (found.mismatches, found.left_out["slice-wraps"]) == ([], 1)
    assert settle(whole, *sides[1], FORGETFUL).mismatches
    for version in (36, 50):
        assert settle(whole, *sides[0], rules_of_slices(fuel_model("wasmtime", version))).mismatches
    assert rules_of_slices(None) == rules_of_slices(fuel_model("wasmtime", 50)) == OF_SLICES


def test_function_references_are_numbered_by_the_records_themselves():
    table = {"a": {"tables": {"t": [["funcref", 7], ["funcref", None], ["funcref", 3]]}}}
    records = [
        Record(0, Returned((("funcref", 3), ONE))),
        Record(1, Returned(), {"instances": table, "trace": [["print", []]]}),
        Record(2, Returned(), {"value": ["funcref", 7]}),
    ]
    one, two, three = renumbered(records)
    assert one.outcome.values == (("funcref", 0), ONE)
    assert two.data["instances"]["a"]["tables"]["t"] == (("funcref", 1), ("funcref", None), ("funcref", 0))
    assert two.data["trace"] == [["print", []]]
    assert three.data["value"] == ("funcref", 1)
    assert renumbered(replace(r) for r in (one, two, three)) == (one, two, three)
