"""Running scripts: each file's texts through the assembler, its plan through the engine, its records to verdicts.

Files are independent and go to ``jobs`` threads, each with its own two workers; a worker that dies costs the rest of
its file and nothing else.  Every command gets a verdict, whatever happens.
"""

from __future__ import annotations

import base64
import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self, TypeVar

from engine.errors import MalformedError
from harness.wast.judge import Verdict, judge
from harness.wast.reader import read_script
from harness.wast.schedule import assembly, schedule, text_name
from harness.wast.spectest import PARTS, parts_for
from harness.wast.suite import features_of
from harness.wast.texts import disagreements
from oracles.outcome import Rejected, Unsupported
from oracles.process import Budget, Oracle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from harness.wast.script import Script
    from harness.wast.spectest import Part
    from harness.wast.suite import SuiteFile
    from harness.wast.texts import Disagreement
    from oracles.adapter import Description
    from oracles.outcome import Outcome, Record
    from oracles.plan import Plan

__all__ = [
    "ASSEMBLERS",
    "BUDGET",
    "AssemblerError",
    "FileResult",
    "ScriptRunner",
    "assemble",
    "in_threads",
    "run_files",
]

ASSEMBLERS = {"own": "reference", "wasmtime": "wasmtime"}  # whose text format decides, and its oracle
Result_co = TypeVar("Result_co", covariant=True)
BUDGET = Budget(rss_bytes=2 << 30, data_bytes=8 << 30)


@dataclass(frozen=True, slots=True)
class FileResult:
    """``problem`` says what is wrong with the file or with the run of it, beyond any verdict; "" where nothing is.

    ``disagreements`` are those of a second assembler, if there is one, with the one that decides.
    """

    file: SuiteFile
    verdicts: tuple[Verdict, ...] = ()
    problem: str = ""
    us: int = 0
    disagreements: tuple[Disagreement, ...] = ()


class ScriptRunner:
    """An engine under test, the assembler that decides, perhaps a second; a context manager that owns the workers."""

    def __init__(self, engine: str, assembler: str = ASSEMBLERS["own"], second: str | None = None) -> None:
        self.oracle = Oracle(engine, budget=BUDGET)
        self.assembler = self.oracle if engine == assembler else Oracle(assembler, budget=BUDGET)
        self.second = None if second is None else Oracle(second, budget=BUDGET)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for oracle in (self.oracle, self.assembler, self.second):
            if oracle is not None:
                oracle.close()

    @property
    def judges_text(self) -> bool:
        """Whether text is decided by the engine under test itself."""
        return self.assembler is self.oracle

    def assemble(self, script: Script, assembler: Oracle | None = None) -> tuple[dict[str, bytes], dict[int, Outcome]]:
        """Return the binaries by name and, by command, the assembler's outcome where it gave none."""
        return assemble(script, self.assembler if assembler is None else assembler)

    def run(self, file: SuiteFile) -> FileResult:
        """Return the verdicts of one file."""
        try:
            script = read_script(file.data)
        except MalformedError as e:
            return FileResult(file, problem=f"not a script: {e}")
        counts = script.counts()
        if file.info is not None and file.info.counts is not None and dict(file.info.counts) != counts:
            return FileResult(file, problem="the reader found other commands than the manifest counts")
        found: tuple[Disagreement, ...] = ()
        try:
            binaries, said = self.assemble(script)
            if self.second is not None:
                other = self.assemble(script, self.second)
                sides = [_by_command(script, *made) for made in ((binaries, said), other)]
                found = tuple(disagreements(script, sides[0], sides[1], self.second.id))
        except AssemblerError as e:
            failed = tuple(Verdict(command, "engine", "text", str(e)) for command in script.commands)
            return FileResult(file, failed, str(e))
        engine = self.oracle.description
        features = features_of(file.folder)
        plan = schedule(script, binaries, parts_for(engine.features, features), features)
        records = self.oracle.run(plan.plan)
        verdicts = judge(plan, records, said, engine)
        return FileResult(file, verdicts, us=sum(record.us for record in records), disagreements=found)


def _by_command(script: Script, binaries: dict[str, bytes], said: dict[int, Outcome]) -> dict[int, bytes | Outcome]:
    """Return what an assembler made of each command's text."""
    made: dict[int, bytes | Outcome] = dict(said)
    return made | {i: binaries[text_name(i)] for i in range(len(script.commands)) if text_name(i) in binaries}


class AssemblerError(Exception):
    """The assembler crashed or answered something other than a binary or a rejection."""


class Assembler(Protocol):
    """What runs a plan of ``assemble`` steps."""

    @property
    def id(self) -> str: ...

    def run(self, plan: Plan) -> Sequence[Record]: ...


def assemble(
    script: Script, assembler: Assembler, parts: Sequence[Part] = PARTS
) -> tuple[dict[str, bytes], dict[int, Outcome]]:
    """Return the binaries by name and, by command, the assembler's outcome where it gave none."""
    plan = assembly(script, parts)
    records = assembler.run(plan)
    binaries: dict[str, bytes] = {}
    said: dict[str, Outcome] = {}
    for step, record in zip(plan.steps, records, strict=False):
        if record.data is not None and "wasm" in record.data:
            binaries[step["module"]] = base64.b64decode(record.data["wasm"])
        else:
            said[step["module"]] = record.outcome
    refusals = (Rejected, Unsupported)
    if len(records) < len(plan.steps) or not all(isinstance(outcome, refusals) for outcome in said.values()):
        last = repr(records[-1].outcome)[:300] if records else "nothing"
        raise AssemblerError(f"the assembler {assembler.id} failed: {last}")
    return binaries, {i: said[text_name(i)] for i in range(len(script.commands)) if text_name(i) in said}


def run_files(
    files: Sequence[SuiteFile],
    engine: str,
    jobs: int,
    started: Callable[[Description], None] = lambda _: None,
    assembler: str = ASSEMBLERS["own"],
    second: str | None = None,
) -> Iterator[FileResult]:
    """Yield the result of each file as it ends, the largest files first; ``started`` learns who answers.

    Raises Unavailable if the engine or the assembler cannot run here.
    """
    with ScriptRunner(engine, assembler, second) as first:
        started(first.oracle.description)
        first.assembler.start()
        if first.second is not None:
            first.second.start()
        if jobs <= 1:
            for file in files:
                yield first.run(file)
            return
    yield from in_threads(files, jobs, lambda: ScriptRunner(engine, assembler, second))


class FileRunner(Protocol[Result_co]):
    """Runs one file at a time; a context manager to be used in one thread, with which its workers die."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def run(self, file: SuiteFile) -> Result_co: ...


def in_threads(
    files: Sequence[SuiteFile], jobs: int, runner_of: Callable[[], FileRunner[Result_co]]
) -> Iterator[Result_co]:
    """Yield the result of each file as it ends, the largest files first, from ``jobs`` threads with a runner each."""
    waiting = deque(sorted(files, key=lambda file: -len(file.data)))
    results: deque[Result_co | BaseException] = deque()
    arrived = threading.Semaphore(0)
    stopping = threading.Event()

    def work() -> None:
        """Run files until there are none; a worker of an oracle dies with the thread that started it."""
        try:
            with runner_of() as runner:
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
