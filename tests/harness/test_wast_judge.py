"""From records to verdicts: classes apart, phrases exact, nothing lost."""

from __future__ import annotations

import pytest

from harness.wast.judge import REASONS, judge, trap_phrase
from harness.wast.reader import read_script
from harness.wast.schedule import assembly, schedule
from harness.wast.spectest import PARTS, parts_for
from oracles.adapter import Description
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
)
from oracles.traps import PHRASES

ENGINE = Description("some", "1")
BINARY = b"\x00asm\x01\x00\x00\x00"


def plan_of(text: str, parts=()):
    script = read_script(text.encode())
    binaries = {step["module"]: BINARY for step in assembly(script).steps}
    return schedule(script, binaries, parts)


def verdicts(text: str, *outcomes, engine: Description = ENGINE):
    """Judge a script of which every text assembles, given the outcome of each step."""
    records = [Record(i, outcome) for i, outcome in enumerate(outcomes)]
    return judge(plan_of(text), records, {}, engine)


def reason(assertion: str, outcome, **options) -> str:
    """Return why an assertion on the current module failed, "" if it passed."""
    return verdicts(f"(module) {assertion}", Returned(), outcome, **options)[1].reason


CALL = '(invoke "f")'
OUTCOMES = {
    "returned": Returned(),
    "trapped": Trapped("unreachable"),
    "exhausted": Exhausted("stack"),
    "threw": Threw(0),
    "host error": HostError("x"),
    "malformed": Rejected("malformed"),
    "invalid": Rejected("invalid"),
    "unlinkable": Rejected("unlinkable", "incompatible import type"),
    "blocked": Blocked("x"),
    "unsupported": Unsupported("x"),
}


@pytest.mark.parametrize(
    ("assertion", "passing"),
    [
        (f"(assert_return {CALL})", {"returned"}),
        (f'(assert_trap {CALL} "unreachable")', {"trapped"}),
        (f'(assert_exhaustion {CALL} "call stack exhausted")', {"exhausted"}),
        (f"(assert_exception {CALL})", {"threw"}),
        ('(assert_malformed (module binary "") "x")', {"malformed"}),
        ('(assert_invalid (module) "x")', {"invalid"}),
        ('(assert_malformed (module quote "") "x")', {"malformed", "invalid"}),
        ('(assert_unlinkable (module) "incompatible import type")', {"unlinkable"}),
        ('(assert_trap (module) "unreachable")', {"trapped"}),
        (CALL, {"returned"}),
        ("(module)", {"returned"}),
        ("(module definition)", {"returned"}),
    ],
)
def test_each_kind_of_command_passes_by_its_own_class_of_outcome_alone(assertion, passing):
    assert {name for name, outcome in OUTCOMES.items() if not reason(assertion, outcome)} == passing
    assert all(reason(assertion, outcome) in ("", *REASONS) for outcome in OUTCOMES.values())


def test_an_engine_that_cannot_tell_malformed_from_invalid_passes_both():
    assert reason('(assert_invalid (module) "x")', Rejected("module")) == ""
    assert reason('(assert_malformed (module binary "") "x")', Rejected("module")) == ""
    assert reason('(assert_unlinkable (module) "x")', Rejected("module")) == "wrong stage"


def test_a_missing_feature_earns_nothing():
    for assertion in ('(assert_invalid (module) "x")', '(assert_malformed (module binary "") "x")', "(module)"):
        assert reason(assertion, Unsupported("feature gc")) == "unsupported feature"


@pytest.mark.parametrize(
    ("phrase", "said", "expected"),
    [
        ("unknown import", "unknown import: a.b", ""),
        ("incompatible import type", "incompatible import type for a.b", ""),
        ("incompatible import type", "unknown import: a.b", "unlinkable phrase"),
        ("unknown import", "incompatible import type", "unlinkable phrase"),
    ],
)
def test_an_unknown_import_is_not_an_incompatible_one(phrase, said, expected):
    assert reason(f'(assert_unlinkable (module) "{phrase}")', Rejected("unlinkable", said)) == expected


@pytest.mark.parametrize("phrase", PHRASES)
def test_a_trap_has_the_phrase_that_was_asked_for(phrase):
    assertion = f'(assert_trap {CALL} "{phrase}")'
    assert reason(assertion, Trapped(phrase)) == ""
    assert {reason(assertion, Trapped(other)) for other in PHRASES if other != phrase} == {"trap phrase"}


def test_spellings_of_the_suite():
    assert trap_phrase("uninitialized element 2") == "uninitialized element"
    assert trap_phrase("descriptor cast failure") == "cast failure"
    assert trap_phrase("out of bounds memory access") == "out of bounds memory access"
    assert trap_phrase("unheard of") == "unheard of"


def test_documented_merges_of_an_engine_apply_to_that_engine_alone():
    assertion = f'(assert_trap {CALL} "undefined element")'
    merged = Trapped("out of bounds table access")
    assert reason(assertion, merged, engine=Description("wasmtime", "50.0.1")) == ""
    assert reason(assertion, merged) == "trap phrase"


def test_results_are_compared_by_number_and_by_bits():
    assertion = f"(assert_return {CALL} (i32.const 1) (f32.const -0))"
    right = ("i32", "00000001"), ("f32", "80000000")
    assert reason(assertion, Returned(right)) == ""
    assert reason(assertion, Returned((right[0], ("f32", "00000000")))) == "value"
    assert reason(assertion, Returned(right[:1])) == "result count"
    assert reason(assertion, Returned((*right, right[0]))) == "result count"


def test_a_global_is_compared_by_the_value_in_the_data():
    text = '(module) (assert_return (get "g") (i64.const 7))'
    for bits, expected in (("0000000000000007", ""), ("0000000000000008", "value")):
        records = [Record(0, Returned()), Record(1, Returned(), {"value": ["i64", bits]})]
        assert judge(plan_of(text), records, {}, ENGINE)[1].reason == expected


@pytest.mark.parametrize(
    ("end", "expected"),
    [(Crashed(11), "crashed"), (TimedOut(5), "timed out"), (Exhausted("memory"), "limit")],
)
def test_whatever_ends_the_worker_fails_the_rest_of_the_file(end, expected):
    text = f"(module) (assert_return {CALL}) " + f'(assert_trap {CALL} "x") (assert_invalid (module) "x")' * 3
    found = verdicts(text, Returned(), end)
    assert len(found) == 8
    assert found[0].passed
    assert [v.reason for v in found[2:]] == [expected] * 6
    assert not found[1].passed


def test_no_record_at_all_fails_everything():
    assert [v.reason for v in verdicts(f"(module) {CALL}")] == ["crashed", "crashed"]


def test_text_decides_what_it_refuses():
    script = read_script(
        b'(assert_malformed (module quote "") "x") (assert_invalid (module) "x") (module) (invoke "f")'
    )
    plan = schedule(script, {}, ())
    found = judge(plan, [], dict.fromkeys(range(3), Rejected("text", "no")), ENGINE)
    assert [(v.column, v.reason) for v in found] == [
        ("text", ""),
        ("text", "text"),
        ("engine", "text"),
        ("engine", "blocked"),
    ]


def test_text_that_is_not_supported_earns_nothing():
    plan = schedule(read_script(b'(assert_malformed (module quote "") "x")'), {}, ())
    (found,) = judge(plan, [], {0: Unsupported("feature gc")}, ENGINE)
    assert found.reason == "unsupported feature"


def test_a_registered_name_that_failed_blocks_its_registration():
    found = verdicts('(module) (register "m") (register "n" $nobody)', Rejected("invalid"))
    assert [v.reason for v in found] == ["rejected", "rejected", "blocked"]


def test_every_part_of_spectest_needs_its_feature():
    assert [p.name for p in parts_for(("mvp", "memory64", "threads"), ("all",))] == [p.name for p in PARTS]
    assert [p.name for p in parts_for(("mvp",), ("all",))] == ["spectest"]
    assert [p.name for p in parts_for(("mvp", "memory64", "threads"), ("mvp", "threads"))] == [
        "spectest",
        "spectestshared",
    ]
