"""``wfuzz trace``: which instructions it shows, what it says of each, and that it ends."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace

import pytest

from generators.module import generate
from generators.profile import PRESETS
from generators.source import Source
from harness import tracing
from harness.case import Case, save_case
from harness.checks import fuel, resume
from harness.cli import Exit
from harness.commands import trace as command
from harness.show import show_outcome
from harness.tracing import MAX_STEPS, trace
from oracles.adapters.reference import ReferenceAdapter
from oracles.plan import HOST, HostFunc, Limits, Plan, Step
from tests.support.wasm import wasm

TEXT = """(module (import "env" "log" (func $log (param i32) (result i32))) (tag $t (param i32)) (memory 1)
  (func $f (export "f") (param i32) (result i32) (local $x i32)
    (local.set $x (call $double (local.get 0)))
    (call $log (local.get $x)))
  (func $double (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2)))
  (func (export "traps") (param f32) (f32.const nan) (f32.add (local.get 0)) drop (i32.div_u (i32.const 1) (i32.const 0)) drop)
  (func (export "throws") (block $b (result i32) (try_table (catch $t $b) (throw $t (i32.const 42))) (i32.const 0)) drop)
  (func (export "loops") (loop $l (br $l)))
  (func (export "tall") (result i32) {pushes} {adds}))"""  # noqa: E501
TEXT = TEXT.replace("{pushes}", "(i32.const 1)" * 30).replace("{adds}", "(i32.add)" * 29)

INSTANTIATE = Step("instantiate", {"instance": "i", "module": "m", "imports": {"env": [HOST]}})


def call(name, *args):
    return Step("call", {"instance": "i", "export": name, "args": [list(a) for a in args]})


def plan(*steps, **more):
    hosts = {"log": HostFunc(("i32",), ("i32",), (("record",), ("mix", 5)))}
    return Plan((INSTANTIATE, *steps), {"m": wasm(TEXT)}, hosts=hosts, features=("all",), **more)


@pytest.fixture
def saved(tmp_path):
    def save(*steps, oracles=("reference", "wasmtime"), **more):
        return save_case(Case(plan(*steps, **more), {"origin": "a test"}, oracles), tmp_path / "case")

    return save


def lines(adapter, plan, first=1, last=MAX_STEPS):
    out = []
    traced = trace(adapter, plan, first, last, out.append)
    return out, traced


def test_a_call_with_everything_it_does(wfuzz, saved):
    status, out, _ = wfuzz("trace", saved(call("f", ("i32", "00000015"))))
    assert status == Exit.CLEAN
    shown = [re.sub(r"  0x[0-9a-f]{6}  ", " @ ", line) for line in out.splitlines()]
    shown = [re.sub(r"  +", "  ", line) for line in shown]
    assert shown[:10] == [
        "step 1: call i.f(i32:00000015)",
        "  1  func 1 @ local.get 0  -> i32:00000015",
        "  2  func 1 @ call 2  i32:00000015",
        "  3  func 2 @ local.get 0  -> i32:00000015",
        "  4  func 2 @ i32.const 2  -> i32:00000002",
        "  5  func 2 @ i32.mul  i32:00000015 i32:00000002 -> i32:0000002a",
        "  6  func 2 @ end  i32:0000002a",
        "  7  func 1 @ local.set 1  i32:0000002a -> local 1 = i32:0000002a",
        "  8  func 1 @ local.get 1  -> i32:0000002a",
        shown[9],
    ]
    assert re.fullmatch(r"  9  func 1 @ call 0  i32:0000002a -> i32:[0-9a-f]{8}", shown[9])
    assert shown[11].startswith("  returned i32:")
    assert shown[12:15] == [
        "before the last of them, in func 1:",
        "  locals:  i32:00000015 i32:0000002a",
        "  operands: " + shown[9].partition("-> ")[2],
    ]
    assert re.fullmatch(r"->  ?0x[0-9a-f]{6}  end", out.splitlines()[-1])


def test_a_trap_is_shown_with_the_text_around(wfuzz, saved):
    _, out, _ = wfuzz("trace", saved(call("traps", ("f32", "ff812345"))))
    assert "-> f32:7fc00000" in out
    assert "  trap: integer divide by zero (func 3, offset " in out
    assert "  trapped: integer divide by zero" in out
    assert "  operands: i32:00000001 i32:00000000" in out
    (marked,) = [line for line in out.splitlines() if line.startswith("->")]
    assert marked.endswith("i32.div_u")
    assert "i32.const 0" in out
    assert out.splitlines()[-1].endswith("end")


def test_exceptions_are_told_of(wfuzz, saved):
    _, out, _ = wfuzz("trace", saved(call("throws")))
    assert "exception of tag 0, caught here" in out


def test_the_first_instructions_and_those_in_the_middle(wfuzz, saved):
    case = saved(call("f", ("i32", "00000015")), call("f", ("i32", "00000001")))
    _, everything, _ = wfuzz("trace", case)
    numbered = {int(line.split()[0]): line for line in everything.splitlines() if line[:8].strip().isdigit()}
    assert sorted(numbered) == list(range(1, 21))
    _, out, _ = wfuzz("trace", case, "--from", 4, "--to", 5)
    assert out.splitlines()[:3] == ["step 1: call i.f(i32:00000015)", numbered[4], numbered[5]]
    assert out.splitlines()[-1] == f"there are more: wfuzz trace {case} --from 6"
    _, out, _ = wfuzz("trace", case, "--from", 18)
    assert [line for line in out.splitlines() if line in numbered.values()] == [numbered[n] for n in (18, 19, 20)]
    assert "before the last of them, in func 1" in out
    _, out, _ = wfuzz("trace", case, "--from", 21)
    assert out == "the plan executes 20 instructions\n"


def test_the_end_of_a_long_run_is_shown_unless_told_otherwise(wfuzz, saved):
    _, out, _ = wfuzz("trace", saved(call("loops"), limits=Limits(fuel=1001)))
    shown = [line for line in out.splitlines() if " br 0" in line and "func" in line]
    assert len(shown) == 40
    assert "exhausted: fuel" in out


def test_a_run_without_end_is_cut(monkeypatch):
    monkeypatch.setattr(tracing, "MAX_STEPS", 500)
    out, traced = lines(ReferenceAdapter(), plan(call("loops")), 491, 1000)
    assert (traced.steps, traced.is_cut, len(out)) == (500, True, 11)


def test_many_values_are_not_all_shown(wfuzz, saved):
    _, out, _ = wfuzz("trace", saved(call("tall")), "--to", 30)
    (operands,) = [line for line in out.splitlines() if line.startswith("  operands")]
    assert operands.split()[1:] == ["i32:00000001"] * 12 + ["..."]


def test_a_planted_bug_is_executed(wfuzz, saved):
    _, out, _ = wfuzz("trace", saved(call("f", ("i32", "00000015")), oracles=("reference", "reference:plant=tee")))
    assert "returned" in out


@pytest.mark.parametrize("sliced", [False, True])
def test_tracing_changes_nothing_and_shows_every_instruction(sliced):
    for i in range(10):
        source = Source.fresh("traced", i)
        made = generate(source, PRESETS["standard"]).plan
        if sliced:  # metered, in slices, with hosts that suspend
            made = resume.derive(fuel.derive(made, source), source)
        session = ReferenceAdapter().open(made)
        outcomes = [show_outcome(session.run(step)[0]) for step in made.steps]
        out, traced = lines(ReferenceAdapter(), made)
        numbers = [int(line.split()[0]) for line in out if line[:8].strip().isdigit()]
        assert numbers == list(range(1, traced.steps + 1))
        assert not traced.is_cut
        headings = [n for n, line in enumerate(out) if line.startswith("step ")]
        assert headings[:1] == [0]
        for start, end in zip(headings, [*headings[1:], len(out)], strict=True):
            step = int(out[start].split()[1].rstrip(":"))
            assert out[end - 1] == f"  {outcomes[step]}"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--from", 5, "--to", 4), "--from 5 is after --to 4"),
        (("--from", 1, "--to", 10_001), "at most 10,000 instructions"),
        (("--from", 0), "Invalid value"),
        (("--to", MAX_STEPS + 1), "Invalid value"),
    ],
)
def test_windows_that_make_no_sense(wfuzz, saved, args, message):
    status, _, err = wfuzz("trace", saved(call("f", ("i32", "00000015"))), *args)
    assert status == Exit.USAGE
    assert message in err


def test_an_end_beyond_the_last_instruction_is_the_last(wfuzz, saved):
    case = saved(call("f", ("i32", "00000015")))
    _, everything, _ = wfuzz("trace", case)
    assert "before the last of them" in everything
    for last in (10, 11, 1000, MAX_STEPS):
        status, out, _ = wfuzz("trace", case, "--to", last)
        assert (status, out) == (Exit.CLEAN, everything)
    _, out, _ = wfuzz("trace", case, "--to", 9)
    assert out.splitlines()[:9] == everything.splitlines()[:9]
    assert "there are more" in out


def test_a_run_that_is_cut_does_not_name_instructions_that_cannot_be_shown(wfuzz, saved, monkeypatch):
    for module in (tracing, command):
        monkeypatch.setattr(module, "MAX_STEPS", 500)
    _, out, _ = wfuzz("trace", saved(call("loops")))
    assert out.splitlines()[-1] == "there are more, but no more than 500 of a case are executed here"


INVALID = bytes.fromhex("0061736d01000000 0105016000017f 03020100 0a040102000b")
FAILING = {
    "malformed": (b"hello", "rejected: malformed"),
    "invalid": (INVALID, "rejected: invalid (type mismatch"),
    "unlinkable": (wasm('(import "x" "y" (func))'), "rejected: unlinkable"),
    "trapping": (wasm('(memory 1) (data (i32.const 65536) "x")'), "trapped: out of bounds memory access"),
}


@pytest.mark.parametrize("name", FAILING)
def test_steps_that_fail_before_their_first_instruction_are_shown(wfuzz, tmp_path, name):
    module, outcome = FAILING[name]
    made = replace(plan(*[call("f", ("i32", "00000015"))] * 50), modules={"m": module})
    status, out, _ = wfuzz("trace", save_case(Case(made, {"origin": "a test"}, ("reference",)), tmp_path / "case"))
    assert status == Exit.CLEAN
    lines = out.splitlines()
    assert lines[0] == "step 0: instantiate i from module m"
    assert lines[1].startswith(f"  {outcome}")
    assert lines[2:4] == ["step 1: call i.f(i32:00000015)", "  blocked: instance i"]
    assert lines[-2:] == ["more steps of the plan fail and execute nothing", "the plan executes 0 instructions"]
    assert len(lines) == 2 * tracing.QUIET + 2


def test_a_trap_in_the_start_function_is_shown(wfuzz, tmp_path):
    made = replace(plan(), modules={"m": wasm("(func $s (i32.div_u (i32.const 1) (i32.const 0)) drop) (start $s)")})
    _, out, _ = wfuzz("trace", save_case(Case(made, {"origin": "a test"}, ("reference",)), tmp_path / "case"))
    assert "  trap: integer divide by zero" in out
    assert "  operands: i32:00000001 i32:00000000" in out


@pytest.mark.parametrize("args", [None, 5, "xyz", {"a": 1}, [1, None], [["i32"]]])
def test_arguments_that_are_none_are_shown_as_they_are(wfuzz, tmp_path, args):
    made = plan(Step("call", {"instance": "i", "export": "f", "args": args}))
    status, out, _ = wfuzz("trace", save_case(Case(made, {"origin": "a test"}, ("reference",)), tmp_path / "case"))
    assert status == Exit.CLEAN
    assert out.startswith("step 1: call i.f(")
    assert "  blocked: " in out


def test_names_do_nothing_to_a_terminal(wfuzz, tmp_path):
    name = "a\x1b[2J\n\r\u202e\x07"
    text = '(func (export "{}") nop)'.format("".join(f"\\u{{{ord(c):x}}}" for c in name))
    made = replace(plan(call(name)), modules={"m": wasm(text)})
    _, out, _ = wfuzz("trace", save_case(Case(made, {"origin": "a test"}, ("reference",)), tmp_path / "case"))
    assert out.splitlines()[0] == r"step 1: call i.a\x1b[2J\n\r\u202e\x07()"
    assert all(line.isprintable() for line in out.splitlines())
    assert "nop" in out


@pytest.mark.parametrize(
    ("output", "status"), [("head", Exit.INTERRUPTED), ("closed", Exit.CLEAN), ("full", Exit.ENVIRONMENT)]
)
def test_output_that_nobody_takes_ends_it_quietly(saved, output, status):
    redirections = {"head": "| head -1", "closed": ">&-", "full": ">/dev/full"}
    case = saved(call("loops"), limits=Limits(fuel=20_000))
    shell = f"set -o pipefail; '{sys.executable}' -m harness trace '{case}' --from 1 --to 9000 {redirections[output]}"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=False)
    assert done.returncode == status
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= (output == "full")


def test_an_interrupt_ends_it_quietly(saved):
    """A step of the debugger is interrupted, by a signal that comes when it would."""
    case = saved(call("loops"))
    program = (
        "import signal, sys, threading\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from harness import tracing\n"
        "from harness.cli import main\n"
        "described, seen = tracing._Tracer.told, []\n"
        "def told(self, store, event):\n"
        "    seen.append(None)\n"
        "    if len(seen) == 1000:\n"
        "        signal.raise_signal(signal.SIGINT)\n"
        "    described(self, store, event)\n"
        "tracing._Tracer.told = told\n"
        "main(sys.argv[1:])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "trace", str(case)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.strip()) == (Exit.INTERRUPTED, "wfuzz: interrupted")


def test_what_is_no_case_is_wrong_usage(wfuzz, tmp_path):
    for place in (tmp_path, tmp_path / "nothing"):
        status, _, err = wfuzz("trace", place)
        assert status == Exit.USAGE
        assert len(err.splitlines()) <= 4


def test_a_directory_of_several_cases_must_be_told_which(wfuzz, tmp_path):
    for name in ("a", "b"):
        save_case(Case(plan(call("throws")), {"origin": "a test"}, ("reference", "wasmtime")), tmp_path / name)
    status, _, err = wfuzz("trace", tmp_path)
    assert status == Exit.USAGE
    assert "2 cases" in err


def test_a_plan_that_the_engine_cannot_run_is_wrong_usage(wfuzz, tmp_path):
    case = Case(Plan((INSTANTIATE,), features=("telepathy",)), {"origin": "a test"}, ("reference", "wasmtime"))
    status, _, err = wfuzz("trace", save_case(case, tmp_path / "case"))
    assert status == Exit.USAGE
    assert "lacks" in err
