"""Scripts on two engines at once: what agrees, what does not, and the cases that come of it."""

from __future__ import annotations

import json

import pytest

from harness.case import load_case
from harness.cli import Exit, main
from harness.divergences import Registry
from harness.wast.against import Against, setting_for
from harness.wast.suite import SuiteFile

SCRIPT = """
(module $a
  (import "spectest" "print_i32" (func $print (param i32)))
  (memory 1) (global $n (mut i32) (i32.const 0)) (table 4 funcref)
  (func (export "sum") (param $n i32) (result i32) (local $s i32)
    (loop
      (local.set $s (i32.add (local.get $s) (local.get $n)))
      (i32.store (i32.mul (local.get $n) (i32.const 4)) (local.get $s))
      (call $print (local.get $s))
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (br_if 0 (local.get $n)))
    (global.set $n (local.get $s)) (local.get $s))
  (func (export "rem") (param i32 i32) (result i32) (i32.rem_s (local.get 0) (local.get 1)))
  (func (export "nan") (result f32) (f32.div (f32.const 0) (f32.const 0)))
  (func $deep (export "deep") (call $deep) (drop (i32.const 1)))
  (func (export "fill") (param i32) (memory.fill (i32.const 0) (i32.const 1) (local.get 0))))
(register "a" $a)
(assert_return (invoke "sum" (i32.const 30)) (i32.const 465))
(assert_return (invoke "rem" (i32.const -2147483648) (i32.const -1)) (i32.const 0))
(assert_trap (invoke "rem" (i32.const 1) (i32.const 0)) "integer divide by zero")
(assert_return (invoke "nan") (f32.const nan:canonical))
(assert_exhaustion (invoke "deep") "call stack exhausted")
(invoke "fill" (i32.const 1000))
(assert_trap (invoke "fill" (i32.const 65537)) "out of bounds memory access")
(assert_unlinkable (module (import "a" "none" (func))) "unknown import")
(assert_invalid (module (func (result i32))) "type mismatch")
(assert_malformed (module quote "(func") "unexpected token")
"""
FILE = SuiteFile("own/small.wast", SCRIPT.encode())
REM = 1 + SCRIPT[: SCRIPT.index('(assert_return (invoke "rem"')].count("\n")  # the line that rem-s fails


def compared(engine: str, other: str, *checks: str, out=None, file: SuiteFile = FILE):
    setting, off = setting_for(engine, other, checks, Registry(), out)
    with Against(setting) as against:
        return against.run(file), off


def test_two_engines_agree_after_every_command_in_results_state_fuel_and_pauses():
    result, off = compared("reference", "wasmtime", "state", "fuel", "resume")
    assert off == {}
    assert result.problem == ""
    assert result.mismatches == []
    counts = result.counts
    assert (counts["commands"], counts["commands of text alone"]) == (12, 1)
    assert counts["commands straight"] == counts["commands in slices"] == 10  # the stack overflow is left out
    assert counts["states"] > 10
    assert counts["fuel"] > 16 + 60  # each action, and each of 30 calls of the host, in both runs
    assert counts["pauses"] > 20
    assert result.left_out["stack-overflow"] == 2
    assert result.left_out["slice-refund"] >= 1


BY_REFERENCE = b"""
(module (type $t (func)) (elem declare func $f)
  (func $f (loop (br_if 0 (i32.const 0))) (drop (i32.add (i32.const 1) (i32.const 2))))
  (func (export "f") (call_ref $t (ref.func $f)) (drop (i32.const 1))))
(invoke "f")
"""


@pytest.mark.parametrize(
    ("other", "is_forgetful"),
    [("wasmtime", False), *(pytest.param(f"wasmtime@{n}", True, marks=pytest.mark.external) for n in (48, 36))],
)
def test_what_a_model_forgets_depends_on_pauses_and_is_left_out(other, is_forgetful):
    result, off = compared("reference", other, "fuel", "resume", file=SuiteFile("own/reference.wast", BY_REFERENCE))
    assert (result.mismatches, off) == ([], {})
    assert (result.left_out["slice-forgets"] > 0) == is_forgetful


IMAGES = b"""
(module (memory (export "m") 1)) (register "a")
(module (memory 1) (memory 1) (data (memory 1) (i32.const 0) "x"))
(module (memory 1) (memory 1) (data (memory 0) (i32.const 0) "x") (data (memory 1) (i32.const 0) "x"))
(module (memory (import "a" "m") 1) (memory 1) (data (memory 1) (i32.const 4095) "xy"))
(module (memory (import "a" "m") 1) (data (i32.const 10) "xyz"))
(module (memory 1) (data (i32.const 0) "x") (global funcref (ref.null func)) (elem funcref (ref.null func)))
(module (func $f) (table 2 funcref) (elem (i32.const 0) $f) (elem (i32.const 1) funcref (ref.func $f)) (start $f))
(assert_trap (module (memory 1) (data (i32.const 65536) "x")) "out of bounds memory access")
(assert_trap (module (func $f unreachable) (start $f)) "unreachable")
"""


def test_instantiations_cost_and_pause_alike():
    result, _ = compared("reference", "wasmtime", "state", "fuel", "resume", file=SuiteFile("own/images.wast", IMAGES))
    assert result.mismatches == []
    assert result.counts["fuel"] >= 2 * 9
    assert result.counts["pauses"] > 4


def test_parts_in_slices_need_not_know_what_others_did_to_spectest():
    many = b"(module (memory 1))" * 10
    text = b"""(module (import "spectest" "memory" (memory 1)) (data (i32.const 0) "x"))
(module (import "spectest" "table" (table 1 funcref)) (func $f) (elem (i32.const 0) $f))""" + many + b"""
(module (global $g (import "spectest" "global_i32") i32) (memory 1)
  (func (export "f") (result i32) (i32.store (i32.const 0) (global.get $g)) (i32.load (i32.const 0))))
(assert_return (invoke "f") (i32.const 666))"""  # fmt: skip
    result, _ = compared("reference", "wasmtime", "state", "resume", file=SuiteFile("own/parts.wast", text))
    assert result.mismatches == []
    assert result.counts["commands in slices"] == result.counts["commands straight"] == 14


def test_what_one_engine_lacks_of_the_standard_is_asked_of_neither():
    text = b"""(module (type $t (func)) (func (export "f") (param (ref null $t)) (result i32) (i32.const 1)))
(assert_return (invoke "f" (ref.null func)) (i32.const 1))
(module (memory 1) (func (export "g") (result i32) (memory.grow (i32.const 1))))
(assert_return (invoke "g") (i32.const 1))"""
    result, off = compared("reference", "wasmtime:winch", "state", "fuel", file=SuiteFile("own/refs.wast", text))
    assert off == {}
    assert result.mismatches == []
    assert result.counts["commands straight"] == 4
    assert result.counts["fuel"] >= 2


def test_without_checks_only_results_are_compared():
    result, _ = compared("reference", "wasmtime")
    assert result.mismatches == []
    assert not {"states", "fuel", "pauses", "commands in slices"} & {k for k, n in result.counts.items() if n}


def test_a_wrong_result_is_found_and_the_rest_of_the_script_too():
    result, _ = compared("reference", "reference:plant=rem-s")
    assert [(m.line, m.kind, m.verdict.rule) for m in result.mismatches] == [(REM, "assert_return", "R3")]
    assert result.counts["commands straight"] == 4  # nobody can say that the states are still the same
    result, _ = compared("reference", "reference:plant=rem-s", "state")
    assert result.counts["commands straight"] == 9  # without the overflow and the mismatch


def test_a_wrong_state_is_found_that_no_export_of_the_script_shows():
    result, _ = compared("reference", "reference:plant=fill-bounds", "state")
    assert [(m.line, m.verdict.rule) for m in result.mismatches] == [(REM + 5, "R3")]
    copy = b"""(module (memory 1) (data (i32.const 0) "abc")
  (func (export "f") (memory.copy (i32.const 1) (i32.const 0) (i32.const 3))))
(invoke "f")"""
    result, _ = compared("reference", "reference:plant=copy-overlap", "state", file=SuiteFile("own/copy.wast", copy))
    assert [(m.line, m.verdict.rule, m.verdict.aspect) for m in result.mismatches] == [(3, "R5", "memory contents")]


@pytest.mark.parametrize(
    ("plant", "rule"), [("no-refund", "R8"), ("host-blind", "R8"), ("no-back-edge", "R9"), ("lost-local", "R9")]
)
def test_wrong_counts_and_wrong_resumes_are_found(plant, rule):
    result, off = compared(f"reference:plant={plant}+fuel=wasmtime-50", "wasmtime", "fuel", "resume")
    assert off == {}
    assert rule in {m.verdict.rule for m in result.mismatches}


def test_engines_that_count_in_different_ways_are_not_compared_in_fuel():
    _, off = compared("reference", "reference:fuel=wasmtime-50", "state")
    assert off == {}
    result, off = compared("reference:fuel=wasmtime-50-winch", "wasmtime", "fuel")
    assert "fuel" in off
    assert not result.counts["fuel"]


def test_a_mismatch_is_saved_as_a_case_that_shows_it(tmp_path):
    result, _ = compared("reference", "reference:plant=rem-s", "state", out=tmp_path)
    (mismatch,) = result.mismatches
    case = load_case(mismatch.place)
    assert case.provenance["origin"] == f"own/small.wast:{REM}"
    assert case.oracles == ("reference", "reference:plant=rem-s")
    assert case.finding.signature == mismatch.signature
    assert list(case.plan.modules) == ["m0"]
    with pytest.raises(SystemExit) as e:
        main(["repro", mismatch.place])
    assert e.value.code == Exit.FINDINGS


def test_what_is_no_script_is_a_problem():
    result, _ = compared("reference", "reference:plant=rem-s", file=SuiteFile("own/bad.wast", b"(module"))
    assert "unexpected end" in result.problem


# the command


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "small.wast"
    path.write_text(SCRIPT)
    return path


def spec(*args: object) -> int:
    with pytest.raises(SystemExit) as e:
        main(["spec", *map(str, args)])
    return int(e.value.code or 0)


def test_the_command_prints_what_was_compared(script, capsys):
    assert spec("--suite", script, "--against", "wasmtime", "--check", "state,fuel", "--jobs", 1) == Exit.CLEAN
    out = capsys.readouterr().out
    assert "reference:fuel=wasmtime-50" in out
    assert "          10  compared\n" in out
    assert "stack-overflow: " in out
    assert out.endswith("0 mismatches\n")


def test_the_command_tells_mismatches_and_where_their_cases_are(script, tmp_path, capsys):
    options = ["--suite", script, "--against", "reference:plant=rem-s", "--check", "state"]
    assert spec(*options, "--out", tmp_path / "out", "--json", tmp_path / "r.json") == Exit.FINDINGS
    out = capsys.readouterr().out
    assert f"small.wast:{REM}: assert_return (straight): outcome" in out
    assert "    reference:plant=rem-s: trapped: integer overflow" in out
    data = json.loads((tmp_path / "r.json").read_text())
    (found,) = data["files"][0]["mismatches"]
    assert found["line"] == REM
    assert found["has"][1][0] == "reference:plant=rem-s"
    assert load_case(found["case"]).finding is not None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--check", "states"], "no check 'states'"),
        (["--check", "debug"], "not checked by debug"),
        (["--bless"], "--against goes with"),
        (["--text", "wasmtime"], "--against goes with"),
    ],
)
def test_options_that_do_not_fit_are_usage_errors(script, capsys, options, said):
    assert spec("--suite", script, "--against", "wasmtime", *options) == Exit.USAGE
    assert said in capsys.readouterr().err


def test_an_engine_that_is_not_there_is_a_sentence(script, capsys):
    assert spec("--suite", script, "--against", "nonesuch") == Exit.ENVIRONMENT
    assert "nonesuch" in capsys.readouterr().err
