"""What supervision promises beyond faults: isolation, fresh workers, limits, one-sentence refusals."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from oracles.adapter import Unavailable
from oracles.conformance_modules import binary
from oracles.outcome import Exhausted, Returned, TimedOut
from oracles.plan import Limits, Plan, Step
from oracles.process import BACKOFF_S, Budget, Oracle

LOOP = Plan(
    (
        Step("instantiate", {"instance": "i", "module": "loop", "imports": {}}),
        Step("call", {"instance": "i", "export": "one", "args": []}),
        Step("call", {"instance": "i", "export": "spin", "args": []}),
        Step("call", {"instance": "i", "export": "one", "args": []}),
    ),
    {"loop": binary("loop")},
)


def test_a_hang_is_an_outcome_and_the_next_plan_gets_a_fresh_worker() -> None:
    with Oracle("wasmtime") as oracle:
        records = oracle.run(LOOP, deadline_s=0.5)
        assert [type(r.outcome) for r in records] == [Returned, Returned, TimedOut]
        first = oracle.starts
        records = oracle.run(Plan(LOOP.steps[:2], LOOP.modules))
        assert records[-1].outcome == Returned((("i32", "00000001"),))
        assert oracle.starts == first + 1


def test_a_worker_over_its_resident_size_is_a_limit() -> None:
    greedy = b"""(module (memory 8000) (func (export "touch") (local i32)
      (loop (i32.store8 (local.get 0) (i32.const 1))
        (local.set 0 (i32.rem_u (i32.add (local.get 0) (i32.const 4096)) (i32.const 524288000))) (br 0))))"""
    steps = (
        Step("assemble", {"module": "m", "text": "m"}),
        Step("instantiate", {"instance": "i", "module": "m", "imports": {}}),
        Step("call", {"instance": "i", "export": "touch", "args": []}),
    )
    plan = Plan(steps, texts={"m": greedy}, limits=Limits(memory_pages=8000, step_ms=60_000))
    with Oracle("wasmtime", budget=Budget(rss_bytes=256 << 20)) as oracle:
        records = oracle.run(plan)
        assert [type(r.outcome) for r in records] == [Returned, Returned, Exhausted]
        assert records[-1].outcome.resource == "memory"


def test_the_system_bounds_the_data_segment() -> None:
    steps = (
        Step("instantiate", {"instance": "i", "module": "wide", "imports": {}}),
        Step("grow", {"instance": "i", "export": "memory", "delta": 16000}),
    )
    plan = Plan(steps, {"wide": binary("wide")}, limits=Limits(memory_pages=20000))
    with Oracle("wasmtime", budget=Budget(data_bytes=512 << 20)) as oracle:
        records = oracle.run(plan)
        assert records[1].data == {"size": -1} or isinstance(records[-1].outcome, Exhausted)


def test_a_worker_sees_a_clean_environment_and_no_descriptor_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WFUZZ_TEST_MARK", "visible")
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    with Oracle("wasmtime") as oracle:
        assert oracle.description.name == "wasmtime"
        process = psutil.Process(oracle.pid)
        assert "WFUZZ_TEST_MARK" not in process.environ()
        assert os.listdir(process.cwd()) == []
        assert os.getpgid(process.pid) == process.pid
        assert os.readlink(f"/proc/{process.pid}/fd/0") == "/dev/null"
        assert os.readlink(f"/proc/{process.pid}/fd/1") == "/dev/null"
        ours = {os.readlink(f"/proc/self/fd/{fd}") for fd in (reader, writer)}
        theirs = {os.readlink(f"/proc/{process.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{process.pid}/fd")}
        assert not ours & theirs
        directory = process.cwd()
    assert not Path(directory).exists()
    os.close(reader)
    os.close(writer)


def test_a_worker_dies_with_its_parent() -> None:
    code = (
        "import os, sys\n"
        "from oracles.process import Oracle\n"
        "o = Oracle('wasmtime'); o.start(); print(o.pid, flush=True); os.kill(os.getpid(), 9)\n"
    )
    root = str(Path(__file__).resolve().parents[2])
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    pid = int(done.stdout)
    for _ in range(200):
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return
        time.sleep(0.05)
    raise AssertionError(f"worker {pid} outlived its parent")


def test_what_cannot_run_is_unavailable_with_a_reason() -> None:
    with pytest.raises(Unavailable, match="no oracle"):
        Oracle("nonesuch").start()
    with pytest.raises(Unavailable, match="variant"):
        Oracle("wasmtime:turbo").start()
    with pytest.raises(Unavailable, match="not an oracle id"):
        Oracle("../../bin/sh").start()
    with pytest.raises(Unavailable, match="does not start"):
        Oracle("wasmtime", command=["/nonexistent/python"]).start()


def test_a_worker_that_never_says_hello_is_given_up_after_a_few_tries() -> None:
    oracle = Oracle("wasmtime", command=[sys.executable, "-c", "print('hello')"])
    with pytest.raises(Unavailable, match="in a row"):
        oracle.start()
    assert oracle.starts == len(BACKOFF_S)


def test_a_worker_killed_between_plans_is_replaced() -> None:
    with Oracle("wasmtime") as oracle:
        plan = Plan(LOOP.steps[:2], LOOP.modules)
        assert len(oracle.run(plan)) == 2
        assert oracle.pid is not None
        os.kill(oracle.pid, 9)
        assert [type(r.outcome) for r in oracle.run(plan)] == [Returned, Returned]


def test_a_plan_longer_than_a_frame_is_not_sent() -> None:
    with Oracle("wasmtime") as oracle:
        records = oracle.run(Plan((), {"m": bytes(30 << 20)}))
        assert len(records) == 1
        assert "plan" in records[0].outcome.what
