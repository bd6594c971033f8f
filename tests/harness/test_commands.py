"""The commands run, repro, reduce and diff on real workers, and what each says to wrong input."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from harness.case import load_case
from harness.cli import Exit, main

WAT = """(module
  (import "env" "log" (func $log (param i32)))
  (memory (export "m") 1)
  (func (export "rem") (param i32 i32) (result i32) local.get 0 call $log local.get 0 local.get 1 i32.rem_s)
  (func (export "sign") (param f64 f64) (result f64) local.get 0 local.get 1 f64.copysign))"""


HARNESS = (sys.executable, "-m", "harness")


@pytest.fixture
def wat(tmp_path):
    path = tmp_path / "m.wat"
    path.write_text(WAT)
    return path


@pytest.fixture(scope="module")
def finding(tmp_path_factory):
    """A campaign on a planted bug, and the directory of its first finding."""
    out = tmp_path_factory.mktemp("campaign") / "run"
    with pytest.raises(SystemExit) as caught:
        main(["run", "--oracle", "reference:plant=tee", "--seed", "1", "--cases", "25", "--out", str(out)])
    assert caught.value.code == Exit.FINDINGS
    return out, next(iter(sorted((out / "findings").glob("*/*"))))


def digest(text):
    return re.search(r"digest +([0-9a-f]{64})", text)[1]


def test_a_campaign_against_wasmtime_is_clean(wfuzz, tmp_path):
    status, out, _ = wfuzz("run", "--oracle", "wasmtime", "--seed", 1, "--cases", 12, "--out", tmp_path / "run")
    assert status == Exit.CLEAN
    for part in ("12 in ", "findings       0", "harness errors 0", "inconclusive", "generate"):
        assert part in out
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (summary["cases"], summary["status"]) == (12, 0)
    assert summary["executed"] > 300


def test_jobs_and_repetition_do_not_change_the_digest(wfuzz, tmp_path):
    digests = set()
    for n, jobs in enumerate((1, 1, 2)):
        args = ("--seed", 3, "--cases", 12, "--jobs", jobs, "--out", tmp_path / str(n))
        status, out, _ = wfuzz("run", "--oracle", "wasmtime", *args)
        assert status == Exit.CLEAN
        digests.add(digest(out))
    assert len(digests) == 1


def test_a_finding_reproduces_and_its_reduced_form_too(wfuzz, finding, tmp_path):
    _, place = finding
    status, out, _ = wfuzz("repro", place)
    assert (status, out.splitlines()[-1]) == (Exit.FINDINGS, "  reproduced")
    small = tmp_path / "small"
    status, out, _ = wfuzz("reduce", place, "--time", 20, "--tries", 600, "--out", small)
    assert status == Exit.FINDINGS
    assert "instructions in" in out
    assert load_case(small).finding.signature == load_case(place).finding.signature
    status, out, _ = wfuzz("repro", small)
    assert (status, out.splitlines()[-1]) == (Exit.FINDINGS, "  reproduced")


def test_a_finding_has_a_report_and_module_text(finding):
    _, place = finding
    assert "(module" in next(place.glob("modules/*.wat")).read_text()
    report = (place / "finding.md").read_text()
    for part in ("Rule R", "wfuzz repro", "wfuzz run --seed 1", "->"):
        assert part in report


def test_a_fixed_engine_does_not_reproduce(wfuzz, finding):
    _, place = finding
    status, out, _ = wfuzz("repro", place, "--oracle", "reference", "--oracle", "wasmtime")
    assert (status, out.splitlines()[-1]) == (Exit.CLEAN, "  not reproduced")


def test_all_findings_of_a_campaign_reproduce(wfuzz, finding):
    out_directory, _ = finding
    status, out, _ = wfuzz("repro", out_directory)
    n = len(list((out_directory / "findings").glob("*/*")))
    assert status == Exit.FINDINGS
    assert n == 1 or out.splitlines()[-1] == f"{n} of {n} reproduced"


def test_one_case_of_a_campaign_runs_alone(wfuzz, finding, tmp_path):
    _, place = finding
    args = ("--seed", 1, "--first", place.name, "--cases", 1, "--out", tmp_path / "again")
    status, _, _ = wfuzz("run", "--oracle", "reference:plant=tee", *args)
    assert status == Exit.FINDINGS
    again = tmp_path / "again" / "findings" / place.parent.name / place.name
    assert load_case(again).plan.digest() == load_case(place).plan.digest()


def test_a_finished_campaign_is_not_run_again(wfuzz, finding):
    out_directory, _ = finding
    args = ("--seed", 1, "--cases", 25, "--out", out_directory)
    status, out, _ = wfuzz("run", "--oracle", "reference:plant=tee", *args)
    assert status == Exit.FINDINGS
    assert "25 in " in out


def test_ctrl_c_ends_a_campaign_in_order_and_it_can_go_on(tmp_path):
    run = [
        sys.executable,
        "-m",
        "harness",
        "run",
        "--oracle",
        "wasmtime",
        "--seed",
        "5",
        "--out",
        str(tmp_path / "run"),
    ]
    process = subprocess.Popen(run, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    progress = tmp_path / "run" / "progress.json"
    while not progress.exists():
        assert process.poll() is None
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == Exit.INTERRUPTED
    assert "interrupted" in out
    assert "Traceback" not in err
    done = json.loads(progress.read_text())["cases"]
    assert f"{done:,} in " in out
    more = subprocess.run([*run, "--cases", str(done + 3)], capture_output=True, text=True, check=False)
    assert more.returncode == Exit.CLEAN
    assert f"{done + 3:,} in " in more.stdout


def test_kill_9_loses_no_finding(tmp_path):
    out = tmp_path / "run"
    run = [*HARNESS, "run", "--oracle", "reference:plant=tee", "--seed", "3", "--out", str(out)]
    process = subprocess.Popen(run, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not list(out.glob("findings/*/[0-9]*/case.json")):
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    for case in out.glob("findings/*/[0-9]*/case.json"):
        assert load_case(case.parent).finding is not None
    again = subprocess.run([*run, "--cases", "24"], capture_output=True, text=True, check=False)
    assert again.returncode == Exit.FINDINGS
    assert not list(out.glob("**/.writing-*"))


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (("--oracle", "nothing"), "no oracle 'nothing'"),
        (("--oracle", "/bin/sh"), "not NAME"),
        (("--oracle", "wasmtime", "--oracle", "wasmtime"), "twice"),
        (("--oracle", "reference"), "other than the reference"),
        (("--cases", "0"), "0"),
        (("--cases", "many"), "many"),
        (("--time", "-1"), "-1"),
        (("--jobs", "0"), "0"),
        (("--seed", "-1"), "-1"),
        (("--shard", "3/2"), "I/N"),
        (("--shard", "0/2"), "I/N"),
        (("--shard", "x"), "I/N"),
        (("--profile", "nothing"), "nothing"),
        (("--divergences", "/nowhere.toml"), "nowhere"),
        (("--oracle", "reference:plant=nothing"), "no planted bug"),
    ],
)
def test_run_refuses_wrong_options_in_one_sentence(wfuzz, tmp_path, args, why):
    status, out, err = wfuzz("run", "--out", tmp_path / "run", *args)
    assert status in (Exit.USAGE, Exit.ENVIRONMENT)
    assert why in err.splitlines()[-1]
    assert out == ""
    assert not (tmp_path / "run" / "findings").exists()


def test_run_leaves_other_directories_alone(wfuzz, tmp_path):
    (tmp_path / "precious").write_text("x")
    status, _, err = wfuzz("run", "--seed", 1, "--cases", 1, "--out", tmp_path)
    assert status == Exit.USAGE
    assert "is no campaign" in err


def test_a_campaign_does_not_go_on_with_other_options(wfuzz, finding):
    status, _, err = wfuzz("run", "--oracle", "reference:plant=tee", "--seed", 2, "--cases", 1, "--out", finding[0])
    assert status == Exit.USAGE
    assert "another seed" in err


@pytest.mark.parametrize("command", ["repro", "reduce"])
def test_hostile_and_missing_cases_are_refused(wfuzz, tmp_path, command):
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "case.json").write_text('{"format": 1, "command": "true"}')
    for name in ("nothing", "empty", "bad"):
        status, out, err = wfuzz(command, tmp_path / name)
        assert status == Exit.USAGE
        assert name in err.splitlines()[-1]
        assert out == ""


def test_reduce_does_not_overwrite(wfuzz, finding, tmp_path):
    (tmp_path / "there").mkdir()
    status, _, err = wfuzz("reduce", finding[1], "--out", tmp_path / "there")
    assert status == Exit.USAGE
    assert "exists" in err


# diff


def test_diff_calls_every_function_with_edges(wfuzz, wat):
    status, out, _ = wfuzz("diff", wat)
    assert status == Exit.CLEAN
    assert out.count("call m.rem") == out.count("call m.sign") > 3
    assert "trapped: integer divide by zero" in out
    assert out.splitlines()[-1] == "no difference"


def test_diff_marks_the_first_difference_and_saves_a_case(wfuzz, wat, tmp_path):
    args = ("--oracle", "reference", "--oracle", "reference:plant=rem-s", "--save", tmp_path / "case")
    status, out, _ = wfuzz("diff", wat, "--invoke", "rem", "0x80000000", "-1", *args)
    assert status == Exit.FINDINGS
    (marked,) = (line for line in out.splitlines() if line.startswith("->"))
    assert "returned i32:00000000" in marked
    assert "trapped: integer overflow" in marked
    assert out.count("log(i32:80000000)") == 2
    status, out, _ = wfuzz("repro", tmp_path / "case")
    assert (status, out.splitlines()[-1]) == (Exit.FINDINGS, "  reproduced")


def test_diff_takes_binaries_and_scripts(wfuzz, tmp_path):
    (tmp_path / "m.wasm").write_bytes(b"\0asm\1\0\0\0")
    assert wfuzz("diff", tmp_path / "m.wasm")[0] == Exit.CLEAN
    (tmp_path / "m.wasm").write_bytes(b"\0asm\1\0\0\0garbage")
    status, out, _ = wfuzz("diff", tmp_path / "m.wasm")
    assert status == Exit.CLEAN
    assert out.count("rejected") == 4
    script = """
      (module (func (export "f") (result i32) i32.const 7))
      (assert_return (invoke "f") (i32.const 7))
      (assert_malformed (module quote "(func") "x")"""
    (tmp_path / "s.wast").write_text(script)
    status, out, _ = wfuzz("diff", tmp_path / "s.wast")
    assert status == Exit.CLEAN
    assert "returned i32:00000007" in out


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (("--invoke", "nothing"), "exports no function 'nothing'; its functions: rem, sign"),
        (("--invoke", "rem", "1"), "rem takes 2 arguments"),
        (("--invoke", "rem", "1", "x"), "'x' is no i32"),
        (("--invoke", "rem", "1", "4294967296"), "is no i32"),
        (("--invoke", "sign", "1.5", "f32:1"), "a f32 where f64 is expected"),
        (("1",), "need --invoke"),
        (("--orcale", "wasmtime"), "need --invoke"),
        (("--oracle", "wasmtime"), "two oracles"),
    ],
)
def test_diff_refuses_wrong_arguments(wfuzz, wat, args, why):
    status, _, err = wfuzz("diff", wat, *args)
    assert status == Exit.USAGE
    assert why in err.splitlines()[-1]


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("m.txt", b"", "ends in .wasm"),
        ("m.wat", b"(module (func", "does not assemble"),
        ("m.wat", b"\xff\xfe", "does not assemble"),
        ("s.wast", b'(invoke "f"', "not a script"),
    ],
)
def test_diff_refuses_files_that_are_not_modules(wfuzz, tmp_path, name, content, why):
    (tmp_path / name).write_bytes(content)
    status, _, err = wfuzz("diff", tmp_path / name)
    assert status == Exit.USAGE
    assert why in err.splitlines()[-1]
