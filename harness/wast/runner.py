"""Running scripts: each file's texts through the assembler, its plan through the engine, its records to verdicts.

Files are independent and go to ``jobs`` threads, each with its own two workers; a worker that dies costs the rest of
its file and nothing else.  Every command gets a verdict, whatever happens.
"""

from __future__ import annotations

import base64
import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from engine.errors import MalformedError
from harness.wast.judge import Verdict, judge
from harness.wast.reader import read_script
from harness.wast.schedule import assembly, schedule, text_name
from harness.wast.spectest import parts_for
from harness.wast.suite import features_of
from oracles.outcome import Rejected
from oracles.process import Budget, Oracle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from harness.wast.script import Script
    from harness.wast.suite import SuiteFile
    from oracles.adapter import Description

__all__ = ["ASSEMBLER", "FileResult", "ScriptRunner", "run_files"]

ASSEMBLER = "wasmtime"
_BUDGET = Budget(rss_bytes=2 << 30, data_bytes=8 << 30)


@dataclass(frozen=True, slots=True)
class FileResult:
    """``problem`` says what is wrong with the file or with the run of it, beyond any verdict; "" where nothing is."""

    file: SuiteFile
    verdicts: tuple[Verdict, ...] = ()
    problem: str = ""
    us: int = 0


class ScriptRunner:
    """An engine under test and an assembler; a context manager that owns their workers."""

    def __init__(self, engine: str, assembler: str = ASSEMBLER) -> None:
        self.oracle = Oracle(engine, budget=_BUDGET)
        self.assembler = self.oracle if engine == assembler else Oracle(assembler, budget=_BUDGET)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.oracle.close()
        self.assembler.close()

    def assemble(self, script: Script) -> tuple[dict[str, bytes], dict[int, str]]:
        """Return the binaries by name and, by command, what the assembler said where it gave none."""
        plan = assembly(script)
        records = self.assembler.run(plan)
        binaries: dict[str, bytes] = {}
        said: dict[str, str] = {}
        for step, record in zip(plan.steps, records, strict=False):
            if record.data is not None and "wasm" in record.data:
                binaries[step["module"]] = base64.b64decode(record.data["wasm"])
            else:
                outcome = record.outcome
                said[step["module"]] = outcome.text if isinstance(outcome, Rejected) else repr(outcome)
        if len(records) < len(plan.steps) or any(not isinstance(r.outcome, Rejected) for r in records if not r.data):
            last = repr(records[-1].outcome)[:300] if records else "nothing"
            raise AssemblerError(f"the assembler {self.assembler.id} failed: {last}")
        return binaries, {i: said[text_name(i)] for i in range(len(script.commands)) if text_name(i) in said}

    def run(self, file: SuiteFile) -> FileResult:
        """Return the verdicts of one file."""
        try:
            script = read_script(file.data)
        except MalformedError as e:
            return FileResult(file, problem=f"not a script: {e}")
        counts = script.counts()
        if file.info is not None and file.info.counts is not None and dict(file.info.counts) != counts:
            return FileResult(file, problem="the reader found other commands than the manifest counts")
        try:
            binaries, said = self.assemble(script)
        except AssemblerError as e:
            failed = tuple(Verdict(command, "engine", "text", str(e)) for command in script.commands)
            return FileResult(file, failed, str(e))
        engine = self.oracle.description
        features = features_of(file.folder) if file.info is not None else features_of("")
        plan = schedule(script, binaries, parts_for(engine.features, features), features)
        records = self.oracle.run(plan.plan)
        verdicts = judge(plan, records, said, engine)
        return FileResult(file, verdicts, us=sum(record.us for record in records))


class AssemblerError(Exception):
    """The assembler crashed or answered something other than a binary or a rejection."""


def run_files(
    files: Sequence[SuiteFile], engine: str, jobs: int, started: Callable[[Description], None] = lambda _: None
) -> Iterator[FileResult]:
    """Yield the result of each file as it ends, the largest files first; ``started`` learns who answers.

    Raises Unavailable if the engine or the assembler cannot run here.
    """
    with ScriptRunner(engine) as first:
        started(first.oracle.description)
        first.assembler.start()
        if jobs <= 1:
            for file in files:
                yield first.run(file)
            return
    yield from _in_threads(files, engine, jobs)


def _in_threads(files: Sequence[SuiteFile], engine: str, jobs: int) -> Iterator[FileResult]:
    waiting = deque(sorted(files, key=lambda file: -len(file.data)))
    results: deque[FileResult | BaseException] = deque()
    arrived = threading.Semaphore(0)
    stopping = threading.Event()

    def work() -> None:
        """Run files until there are none; a worker of an oracle dies with the thread that started it."""
        try:
            with ScriptRunner(engine) as runner:
                while waiting and not stopping.is_set():
                    try:
                        file = waiting.popleft()
                    except IndexError:
                        return
                    results.append(runner.run(file))
                    arrived.release()
        except BaseException as e:  # noqa: BLE001  handed to the caller's thread
            results.append(e)
            arrived.release()

    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(jobs, len(files)))]
    for thread in threads:
        thread.start()
    try:
        for _ in files:
            arrived.acquire()
            result = results.popleft()
            if isinstance(result, BaseException):
                raise result
            yield result
    except KeyboardInterrupt:
        threads.clear()  # whoever interrupts does not want to wait for a step: daemons and their workers die with us
        raise
    finally:
        stopping.set()
        for thread in threads:
            thread.join()
