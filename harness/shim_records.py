"""From an engine's answers to a program back to the records of the plan that it was made of.

A program tells what happened as a stream of words (``harness.shim_module``): events of its host functions while a step
runs, DONE, then what the step shows, which the reader compiled with the step takes.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from engine.types import V128, RefType
from harness.shim_module import DONE, HOST_ERROR, TRACE, UNKNOWN, WASI, Refused
from oracles.adapter import MAX_SLOTS
from oracles.outcome import (
    Blocked,
    Crashed,
    Exhausted,
    HostError,
    Outcome,
    Record,
    Returned,
    TimedOut,
    Trapped,
    Unsupported,
)  # fmt: skip
from oracles.plan import WIDTHS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.types import ValType
    from harness.shim import Compiled, Program
    from oracles.plan import Value

__all__ = ["Telling", "Words", "memory_from", "signed", "slots_from", "value_from"]

Words = deque[int]


class Telling:
    """Reads the engine's answers in the order of the plan's steps."""

    def __init__(self, program: Program, answers: deque[Record]) -> None:
        self.program = program
        self.answers = answers
        self.words: Words = deque()
        self.trace: list[Any] = []
        self.host_outcome: Outcome | None = None
        self.over: Outcome | None = None  # what all further steps are
        self.shown_frames = 0

    def records(self) -> Iterator[Record]:
        made = self.answers.popleft() if self.answers else Record(0, Crashed(None, "no answer"))
        program = self.program
        failed = None if isinstance(made.outcome, Returned) else made.outcome
        for i, step in enumerate(program.steps):
            if step.frames is not None:
                self.shown_frames = step.frames
            if step.outcome is not None:
                yield Record(i, step.outcome) if self.over is None or step.frames is not None else self._after(i)
                continue
            if failed is not None:
                yield Record(i, failed, self._frames(made, failed))
                if _is_last(failed):
                    return
                failed, self.over = None, Blocked(f"instance {program.instance}")
                continue
            if self.over is not None:
                yield self._after(i)
                continue
            record = self._step(i, step)
            yield record
            if _is_last(record.outcome):
                return

    def _after(self, i: int) -> Record:
        """Return the record of a step after the end; without an instance there is still a trace to observe."""
        step = self.program.plan.steps[i]
        if isinstance(self.over, Blocked) and step.kind == "observe" and not step.get("instances"):
            trace, self.trace = self.trace, []
            return Record(i, Returned(), {"instances": {}, "trace": trace})
        return Record(i, self.over)

    def _step(self, i: int, step: Compiled) -> Record:
        """Return the record of a step that the program contains."""
        program = self.program
        answer = self._answer()
        self.host_outcome = None
        if not self._until_done():
            outcome = self._cause(answer)
            if i == program.first:
                self.over = Blocked(f"instance {program.instance}")
            elif program.flavour == WASI:
                self.over = Unsupported("the program ended with an earlier step")
            return Record(i, outcome, self._frames(answer or self.last, outcome), 0 if answer is None else answer.us)
        outcome, data = step.read(self.words)
        if data is not None and "trace" in data:
            data["trace"], self.trace = self.trace, []
        return Record(i, outcome, data, 0 if answer is None else answer.us)

    def _frames(self, answer: Record, outcome: Outcome) -> dict[str, Any] | None:
        """Return the frames of a trap, if the plan asks for them and the engine tells them."""
        frames = (answer.data or {}).get("frames")
        if frames is None or not self.shown_frames or not isinstance(outcome, Trapped):
            return None
        return {"frames": self.program.places.original(frames)[: self.shown_frames]}

    def _answer(self) -> Record | None:
        """Take the next answer if there is one to take, with its words."""
        if not self.answers or (self.program.flavour == WASI and self.words):
            return None
        answer = self.answers.popleft()
        self.words.extend(_words_of((answer.data or {}).get("output", "")))
        self.last = answer
        return answer

    def _cause(self, answer: Record | None) -> Outcome:
        """Return why a step did not get to its end."""
        outcome = (answer or self.last).outcome
        if isinstance(outcome, Returned):
            return Crashed(None, "the program returned without having told all its steps")
        if isinstance(outcome, Trapped) and self.host_outcome is not None:
            return self.host_outcome
        return outcome

    def _until_done(self) -> bool:
        """Read events; return whether the end of the step came."""
        while self.words:
            word = self.words.popleft()
            kind, x = word >> 56, word & 0xFFFFFFFF
            if kind == DONE:
                return True
            name, _, t = self.program.hosts[x]
            if kind == TRACE:
                self.trace.append([name, [list(value_from(p, self.words)) for p in t.params]])
            elif kind == HOST_ERROR:
                action = self.program.plan.hosts[name].actions[word >> 32 & 0xFFFF]
                self.host_outcome = HostError(str(action[1]))
            elif kind == UNKNOWN:
                self.host_outcome = Unsupported("a host function that mixes a reference")
            else:
                self.host_outcome = Exhausted("stack", "limit of nested host calls")
        return False


def _is_last(outcome: Outcome) -> bool:
    """Return whether the worker that said so is gone."""
    gone = isinstance(outcome, Exhausted) and outcome.resource == "memory"
    return gone or isinstance(outcome, (Crashed, TimedOut))


def _words_of(output: str) -> list[int]:
    data = bytes.fromhex(output)
    return [int.from_bytes(data[i : i + 8], "little") for i in range(0, len(data) - 7, 8)]


def signed(word: int) -> int:
    return word - (word >> 63 << 64)


def value_from(t: ValType, words: Words) -> Value:
    word = words.popleft()
    if isinstance(t, RefType):
        return str(t), "?" if word else None
    if t is V128:
        word |= words.popleft() << 64
    return str(t), f"{word:0{WIDTHS[str(t)] // 4}x}"


def slots_from(t: ValType, words: Words) -> list[list[Any]]:
    size = words.popleft()
    if size > MAX_SLOTS:
        raise Refused(f"a table of {size} slots is not shown")
    return [list(value_from(t, words)) for _ in range(size)]


def memory_from(words: Words) -> dict[str, Any]:
    pages = words.popleft()
    crc: dict[str, str] = {}
    while page := words.popleft():
        crc[str(page - 1)] = f"{words.popleft():08x}"
    return {"pages": pages, "crc": crc}
