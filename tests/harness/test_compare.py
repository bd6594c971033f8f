"""Comparison: which pairs of records agree, differ or cannot be compared, and by which named rule."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.compare import TOLERANCES, Agree, Comparison, Differ, Incomparable, Side, canonical, compare, value_class
from oracles.outcome import (
    Blocked,
    Crashed,
    Exhausted,
    HostError,
    Record,
    Rejected,
    Returned,
    Threw,
    TimedOut,
    Trapped,
    Unsupported,
)  # fmt: skip
from oracles.plan import Plan, Step

CALL = Step("call", {"instance": "a", "export": "f", "args": []})
OBSERVE = Step("observe", {})
VALIDATE = Step("validate", {"module": "m"})
INSTANTIATE = Step("instantiate", {"instance": "a", "module": "m", "imports": {}})
GET = Step("get", {"instance": "a", "export": "g"})


def records(*outcomes, data=()):
    extra = dict(data)
    return [Record(i, o, extra.get(i)) for i, o in enumerate(outcomes)]


def verdict_on(steps, left, right) -> Comparison:
    return compare(Plan(steps=tuple(steps)), Side("reference", left), Side("wasmtime", right))


def on_call(left, right) -> Comparison:
    return verdict_on([CALL], records(left), records(right))


def state(**parts):
    return {"instances": {"a": {"memories": {}, "tables": {}, "globals": {}} | parts}, "trace": []}


def on_state(left, right) -> Comparison:
    return verdict_on([OBSERVE], records(Returned(), data=[(0, left)]), records(Returned(), data=[(0, right)]))


@pytest.mark.parametrize(
    "outcome",
    [
        Returned(),
        Returned((("f32", "7fc00000"), ("i64", "0" * 16))),
        Trapped("unreachable"),
        Threw(3, (("i32", "00000001"),)),
        HostError("x"),
        Rejected("invalid"),
        Blocked("instance a"),
    ],
)
def test_equal_outcomes_agree(outcome):
    assert on_call(outcome, outcome) == Comparison(Agree())


def test_wording_and_place_of_a_trap_are_not_compared():
    assert on_call(Trapped("unreachable", (1, 7), "ours"), Trapped("unreachable", None, "theirs")).verdict == Agree()


@pytest.mark.parametrize(
    ("left", "right", "rule", "aspect"),
    [
        (Returned((("f32", "7fc00000"),)), Returned((("f32", "ffc00000"),)), "R2", "result"),  # a NaN is its bits
        (Returned((("f64", "0" * 16),)), Returned((("f64", "8" + "0" * 15),)), "R2", "result"),  # and zero has a sign
        (Returned((("funcref", None),)), Returned((("funcref", 0),)), "R2", "result"),
        (Returned((("i32", "00000000"),)), Returned((("i64", "00000000"),)), "R1", "result types"),
        (Returned((("i32", "00000000"),)), Returned(), "R1", "result types"),
        (Returned(), Trapped("unreachable"), "R3", "outcome"),
        (Trapped("unreachable"), HostError("unreachable"), "R3", "outcome"),
        (HostError("a"), HostError("b"), "R3", "host error"),
        (Threw(1), Threw(2), "R3", "tag"),
        (Threw(1, (("i32", "00000000"),)), Threw(1, (("i32", "00000001"),)), "R2", "payload"),
        (Trapped("unreachable"), Trapped("integer overflow"), "R4", "trap"),
        (Rejected("invalid"), Rejected("unlinkable"), "R3", "stage"),
        (Returned(), Crashed(11, "Segmentation fault"), "R3", "outcome"),
        (Exhausted("stack"), Crashed(6), "R3", "outcome"),
        (Crashed(6), Crashed(6), "R3", "outcome"),
        (Unsupported("x"), Crashed(6), "R3", "outcome"),
    ],
)
def test_different_outcomes_are_findings_by_rule(left, right, rule, aspect):
    verdict = on_call(left, right).verdict
    assert isinstance(verdict, Differ)
    assert (verdict.rule, verdict.step, verdict.aspect, verdict.step_kind) == (rule, 0, aspect, "call")


def test_validity_has_its_own_rule():
    verdict = verdict_on([VALIDATE], records(Returned()), records(Rejected("invalid"))).verdict
    assert isinstance(verdict, Differ)
    assert verdict.rule == "R10"


@pytest.mark.parametrize(
    ("left", "right", "note"),
    [
        (Rejected("malformed"), Rejected("module"), "stage-module"),
        (Rejected("module"), Rejected("invalid"), "stage-module"),
        (Rejected("malformed"), Rejected("invalid"), "stage-validity"),
        (Threw(None), Threw(4), "tag-unknown"),
        (Unsupported("call"), Unsupported("call"), "unsupported"),
    ],
)
def test_each_tolerance_is_named_and_noted(left, right, note):
    assert on_call(left, right) == Comparison(Agree(), (note,))
    assert note in TOLERANCES


@pytest.mark.parametrize(
    ("name", "right", "agree"),
    [
        ("wasmtime", "out of bounds table access", True),  # one code for every table index (oracles.traps)
        ("other", "out of bounds table access", False),
        ("wasmtime", "unreachable", False),
    ],
)
def test_a_documented_merge_of_traps_is_tolerated_and_noted(name, right, agree):
    plan = Plan(steps=(CALL,))
    left, right = records(Trapped("undefined element")), records(Trapped(right))
    comparison = compare(plan, Side("reference", left, "reference", "0"), Side(name, right, name, "50.0.1"))
    assert (comparison == Comparison(Agree(), ("trap-merge",))) == agree
    assert isinstance(comparison.verdict, Differ) != agree


@pytest.mark.parametrize(("payload", "agree"), [(3, True), (0, True), (None, False)])
def test_a_reference_that_an_engine_cannot_name_equals_any_but_null(payload, agree):
    comparison = on_call(Returned((("funcref", payload),)), Returned((("funcref", "?"),)))
    assert (comparison == Comparison(Agree(), ("reference-unknown",))) == agree
    assert isinstance(comparison.verdict, Differ) != agree


def test_a_part_of_the_state_that_an_engine_cannot_show_is_left_out_and_noted():
    full = state(globals={"g": ["i32", "00000001"]})
    partial = {"instances": {"a": {k: v for k, v in full["instances"]["a"].items() if k != "tables"}}, "trace": []}
    assert on_state(full, partial) == Comparison(Agree(), ("unobserved",))


@pytest.mark.parametrize(
    ("left", "right", "aspect"),
    [
        (state(globals={"g": ["i32", "0"]}), state(globals={"g": ["i32", "1"]}), "global"),
        (state(globals={"g": ["i32", "0"]}), state(), "globals"),
        (state(memories={"m": {"pages": 1, "crc": {}}}), state(memories={"m": {"pages": 2, "crc": {}}}), "memory size"),
        (
            state(memories={"m": {"pages": 1, "crc": {"3": "aa"}}}),
            state(memories={"m": {"pages": 1, "crc": {}}}),
            "memory contents",
        ),
        (state(tables={"t": [["funcref", None]]}), state(tables={"t": []}), "table size"),
        (state(tables={"t": [["funcref", None]]}), state(tables={"t": [["funcref", 0]]}), "table contents"),
        (state(), {"instances": {}, "trace": []}, "instance"),
        (state() | {"trace": [["log", []]]}, state(), "host trace"),
    ],
)
def test_different_state_is_a_finding(left, right, aspect):
    verdict = on_state(left, right).verdict
    assert isinstance(verdict, Differ)
    assert (verdict.rule, verdict.aspect) == ("R5", aspect)


def test_get_compares_bits():
    left, right = ({"value": ["f32", bits]} for bits in ("7fc00000", "7fc00001"))
    verdict = verdict_on([GET], records(Returned(), data=[(0, left)]), records(Returned(), data=[(0, right)])).verdict
    assert isinstance(verdict, Differ)
    assert verdict.rule == "R2"


def test_read_names_the_first_differing_byte():
    step = Step("read", {"instance": "a", "export": "m", "address": 0, "length": 3})
    left, right = ({"bytes": b} for b in ("000102", "000302"))
    verdict = verdict_on([step], records(Returned(), data=[(0, left)]), records(Returned(), data=[(0, right)])).verdict
    assert isinstance(verdict, Differ)
    assert verdict.what == "memory byte 1"


def test_grow_compares_the_old_size():
    step = Step("grow", {"instance": "a", "export": "m", "delta": 1})
    left, right = ({"size": size} for size in (1, -1))
    verdict = verdict_on([step], records(Returned(), data=[(0, left)]), records(Returned(), data=[(0, right)])).verdict
    assert isinstance(verdict, Differ)
    assert (verdict.rule, verdict.aspect) == ("R2", "old size")


def test_a_module_that_is_refused_differs_by_that_and_not_by_the_calls_it_did_not_make():
    left = records(Returned(), Returned(), data=[(1, state() | {"trace": [["log", []]]})])
    right = records(Rejected("invalid"), Returned(), data=[(1, state())])
    verdict = verdict_on([INSTANTIATE, OBSERVE], left, right).verdict
    assert (verdict.step, verdict.aspect) == (0, "outcome")


def test_the_host_trace_of_a_step_is_compared_before_its_outcome():
    left = records(Returned(), Returned(), data=[(1, state() | {"trace": [["log", [["i32", "0"]]]]})])
    right = records(Trapped("unreachable"), Returned(), data=[(1, state())])
    verdict = verdict_on([CALL, OBSERVE], left, right).verdict
    assert isinstance(verdict, Differ)
    assert (verdict.step, verdict.aspect) == (0, "host trace")


def test_the_first_divergence_names_the_finding():
    left = records(Returned(), Returned((("i32", "1"),)), Trapped("unreachable"))
    right = records(Returned(), Returned((("i32", "2"),)), Trapped("integer overflow"))
    verdict = verdict_on([INSTANTIATE, CALL, CALL], left, right).verdict
    assert isinstance(verdict, Differ)
    assert verdict.step == 1


@pytest.mark.parametrize(
    ("left", "right", "reason"),
    [
        (Exhausted("stack"), Returned(), "limit: stack"),
        (Trapped("unreachable"), Exhausted("fuel"), "limit: fuel"),
        (Exhausted("stack"), Exhausted("stack"), "limit: stack"),
        (TimedOut(5000), Returned(), "limit: time"),
        (Unsupported("step call"), Returned(), "unsupported: step call"),
    ],
)
def test_limits_and_missing_abilities_are_incomparable_with_a_reason(left, right, reason):
    assert on_call(left, right).verdict == Incomparable(reason, 0)


def test_a_limited_run_must_be_a_prefix():
    calls = [["log", [["i32", "00000001"]]], ["log", [["i32", "00000002"]]]]
    other = [["log", [["i32", "00000009"]]]]

    def run(left_trace, right_trace):
        left = records(Exhausted("stack"), Returned(), data=[(1, state() | {"trace": left_trace})])
        right = records(Returned(), Returned(), data=[(1, state() | {"trace": right_trace})])
        return verdict_on([CALL, OBSERVE], left, right).verdict

    assert run(calls[:1], calls) == Incomparable("limit: stack", 0)
    for not_a_prefix in (run(other, calls), run(calls, calls[:1])):
        assert isinstance(not_a_prefix, Differ)
        assert not_a_prefix.rule == "R6"


def test_a_crash_is_a_finding_even_after_a_limit():
    verdict = verdict_on(
        [CALL, CALL], records(Exhausted("stack"), Returned()), records(Returned(), Crashed(11))
    ).verdict
    assert isinstance(verdict, Differ)
    assert (verdict.rule, verdict.step, verdict.right_class) == ("R3", 1, "crashed: signal 11")


def test_a_run_without_a_record_for_every_step_is_a_finding():
    verdict = verdict_on([CALL, CALL], records(Returned(), Returned()), records(Returned())).verdict
    assert isinstance(verdict, Differ)
    assert verdict.aspect == "records"


def test_steps_without_effect_may_be_unsupported_without_ending_the_comparison():
    left = records(Returned(), Returned((("i32", "1"),)))
    right = records(Unsupported("step validate"), Returned((("i32", "2"),)))
    comparison = verdict_on([VALIDATE, CALL], left, right)
    assert isinstance(comparison.verdict, Differ)
    assert comparison.notes == ("unsupported",)


@pytest.mark.parametrize(
    ("value", "cls"),
    [
        (("f32", "7f800000"), "f32"),
        (("f32", "7f800001"), "f32 nan"),
        (("f64", "fff8000000000000"), "f64 nan"),
        (("funcref", None), "funcref null"),
        (("i32", "7f800001"), "i32"),
    ],
)
def test_value_classes_are_free_of_numbers(value, cls):
    assert value_class(value) == cls


def test_the_canonical_form_has_no_times_wording_or_places():
    plan = Plan(steps=(CALL,))
    one = Record(0, Trapped("unreachable", (0, 1), "words"), None, 17)
    two = replace(one, outcome=Trapped("unreachable"), us=0)
    assert list(canonical(plan, [one])) == list(canonical(plan, [two]))
