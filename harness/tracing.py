"""Playing a plan on the reference engine one instruction at a time, and saying what each did.

A line is written once the next instruction of the same frame is reached, because then the results are known: number,
function, offset, instruction, operands, and after an arrow what was pushed or set.  Where control goes elsewhere first
(into a call, out of a function, to a handler) the line ends with the operands.

Nothing is kept but the line at hand: whoever wants the end of a long run plays the plan twice, first to count.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.debug import (
    Breakpoint,
    CaughtExceptionThrown,
    Cursor,
    HostcallError,
    Trap,
    TypedValue,
    UncaughtExceptionThrown,
)
from engine.debug import Step as SingleStep
from engine.instructions.model import Control, Region
from engine.runtime.heap import ArrayInst, ExnInst, ExternRef, StructInst
from engine.runtime.instance import FuncInst, HostFunc
from engine.runtime.store import Store
from engine.text.printer import print_instr
from engine.types import RefType
from harness.report import show_step
from harness.show import clip, show_outcome
from oracles.adapters.reference import ReferenceSession
from oracles.metered import UNMETERED
from oracles.outcome import Returned
from oracles.plan import WIDTHS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from engine.debug import Event
    from engine.module import In
    from oracles.adapter import Adapter
    from oracles.outcome import Outcome
    from oracles.plan import Plan

__all__ = ["MAX_STEPS", "Traced", "trace"]

MAX_STEPS = 1_000_000  # instructions that are executed here
AROUND = 5  # instructions shown before and after the last one
SHOWN = 12  # values in one line
QUIET = 10  # steps of the plan in one trace that fail and execute nothing

# What controls take from the stack beside what goes with a branch; calls and the like say it by their arrow.
_TAKEN = {
    Control.IF: 1, Control.BR_IF: 1, Control.BR_TABLE: 1, Control.BR_ON_NULL: 1, Control.BR_ON_NON_NULL: 1,
    Control.BR_ON_CAST: 1, Control.BR_ON_CAST_BY: 2,
}  # fmt: skip
_BY_ARROW = (None, Control.CALL, Control.TAIL_CALL, Control.THROW)
_RETURNING = (None, Control.CALL)  # what comes back to the next instruction with results
_OPENERS = (Control.BLOCK, Control.LOOP, Control.IF, Control.TRY_TABLE, Control.TRY)


class Traced(NamedTuple):
    """How many instructions were executed, whether there are more, and where the last of them was, for the reader."""

    steps: int
    is_cut: bool
    last: list[str]


class _EnoughError(BaseException):
    """Nothing more is to be executed.  Not an Exception, so that nothing takes it for a failure of the host."""


def trace(adapter: Adapter, plan: Plan, first: int, last: int, write: Callable[[str], object]) -> Traced:
    """Play a plan to instruction ``last`` (from 1, at most MAX_STEPS), and write a line for each from ``first`` on.

    Between them stand lines about the plan's own steps, traps and exceptions.  What a case calls things goes into them,
    so nothing but printable characters does.  Raises ValueError for a plan that asks for what the reference engine
    lacks.
    """
    session = adapter.open(plan)
    if not isinstance(session, ReferenceSession):
        raise ValueError("the reference engine lacks something that the plan asks for")
    session.store = Store(replace(session.store.config, guest_debug=True))
    session.set_fuel(UNMETERED)
    tracer = _Tracer(session, first, min(last, MAX_STEPS), lambda line: write(_printable(line)))
    debugger = session.store.debugger
    assert debugger is not None
    debugger.single_step = True
    debugger.set_handler(tracer.told)
    is_cut = False
    try:
        for i, step in enumerate(plan.steps):
            tracer.begin(f"step {i}: {clip(show_step(step))}")
            tracer.end(session.run(step)[0])
    except _EnoughError:
        is_cut = True
    finally:
        session.close()
    return Traced(tracer.steps, is_cut, [*map(_printable, tracer.last)])


def _printable(line: str) -> str:
    """Return a line of which no terminal makes anything else."""
    return line if line.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)


class _Line(NamedTuple):
    """What is to be written of the instruction under way; ``height`` is that of the stack below its operands."""

    mark: object
    text: str
    height: int
    returns: bool
    local: int | None  # that it sets


class _Tracer:
    """The debug handler."""

    def __init__(self, session: ReferenceSession, first: int, final: int, write: Callable[[str], object]) -> None:
        self.session = session
        self.first = first
        self.final = final
        self.write = write
        self.steps = 0
        self.last: list[str] = []
        self.line: _Line | None = None
        self.heading = ""
        self.begun = 0
        self.quiet = 0

    def begin(self, heading: str) -> None:
        """Keep the heading of a step of the plan until there is something of it to show."""
        self.heading = heading
        self.begun = self.steps

    def end(self, outcome: Outcome) -> None:
        """Write how a step of the plan ended: one of which something was written, or that failed before its first
        instruction.
        """
        self.flush()
        if self.steps == self.begun >= self.first - 1 and not isinstance(outcome, Returned):
            self.quiet += 1
            if self.quiet <= QUIET:
                self.write(self.heading)
                self.heading = ""
            elif self.quiet == QUIET + 1:
                self.write("more steps of the plan fail and execute nothing")
        if not self.heading:
            self.write(f"  {show_outcome(outcome)}")

    def told(self, store: Store, event: Event) -> None:
        """Write what an event is about."""
        if not isinstance(event, (SingleStep, Breakpoint)):
            if self.steps >= self.first:
                self.flush()
                self.write(f"  {_event(event)}")
            return
        if self.steps >= self.final:
            self.flush(store.debug_frames())
            raise _EnoughError
        self.steps += 1
        if self.steps < self.first:
            return
        cursor = store.debug_frames()
        assert cursor is not None
        self.flush(cursor)
        if self.heading:
            self.write(self.heading)
            self.heading = ""
        self.line = self.describe(cursor)
        if self.steps == self.final:
            self.last = [*self.surroundings(cursor)]

    def flush(self, cursor: Cursor | None = None) -> None:
        """Write the line at hand, with results if the cursor is at the next instruction of its frame."""
        line, self.line = self.line, None
        if line is None:
            return
        text = line.text
        if cursor is not None and cursor.is_frame_of(line.mark):
            if line.returns and cursor.num_stacks() > line.height:
                text += " -> " + _values(cursor.stack(i) for i in range(line.height, cursor.num_stacks()))
            if line.local is not None:
                text += f" -> local {line.local} = {_value(cursor.local(line.local))}"
        self.write(text.rstrip())

    def describe(self, cursor: Cursor) -> _Line:
        """Return what is known of an instruction before it is executed."""
        ins = cursor.instruction()
        height = cursor.num_stacks()
        below = height - min(_taken(cursor, ins), height)
        operands = _values(cursor.stack(i) for i in range(below, height))
        number = f"{self.steps:>8}  {self.place(cursor)}  {ins.offset:#08x}"
        local = ins.imms[0] if Region.LOCAL in ins.row.writes else None
        text = f"{number}  {clip(print_instr(ins), 60):<24} {operands}"
        return _Line(cursor.mark, text, below, ins.row.control in _RETURNING, local)

    def place(self, cursor: Cursor) -> str:
        """Return the function of a frame, with the name of its instance where there are several."""
        instances = self.session.instances
        name = next((name for name, instance in instances.items() if instance is cursor.instance()), "")
        func = f"func {cursor.function().funcidx}"
        return f"{clip(name, 40)} {func}" if name and len(instances) > 1 else func

    def surroundings(self, cursor: Cursor) -> Iterable[str]:
        """Yield the frame before its current instruction: locals, operands, and the text around."""
        yield f"before the last of them, in {self.place(cursor)}:"
        n, m = cursor.num_locals(), cursor.num_stacks()
        yield f"  locals:   {_values(cursor.local(i) for i in range(n)) or 'none'}"
        yield f"  operands: {_values(cursor.stack(i) for i in range(m)) or 'none'}"
        here, depth = cursor.instruction_index(), 1
        body = cursor.function().code.body
        for i, ins in enumerate(islice(body, here + AROUND + 1)):
            control = ins.row.control
            depth -= control is Control.END
            if i >= here - AROUND:
                indent = "  " * min(max(depth - (control is Control.ELSE), 0), 8)
                yield f"{'->' if i == here else '  '} {ins.offset:#08x}  {indent}{clip(print_instr(ins), 80)}"
            depth += control in _OPENERS


def _taken(cursor: Cursor, ins: In) -> int:
    """Return the number of operands of an instruction, apart from what goes with a branch."""
    row, func = ins.row, cursor.function()
    if row.control is Control.RETURN or (row.control is Control.END and ins is func.code.body[-1]):
        return len(func.functype.results)
    if row.control not in _BY_ARROW:
        return _TAKEN.get(row.control, 0)
    if Region.LOCAL in row.reads | row.writes:
        return int(Region.LOCAL in row.writes)
    context = func.module.context
    if row.control is Control.TAIL_CALL:  # whose type is that of a return, too
        context = context.function(func.functype, func.code.locals)
    return len(row.arrow(context, ins.imms).pops)


def _event(event: Any) -> str:
    if isinstance(event, Trap):
        return clip(f"trap: {event.error}")
    if isinstance(event, HostcallError):
        return clip(f"the function of the host failed: {type(event.error).__name__}: {event.error}")
    assert isinstance(event, (CaughtExceptionThrown, UncaughtExceptionThrown))
    fate = "caught here" if isinstance(event, CaughtExceptionThrown) else "not caught here"
    return f"exception of tag {event.exn.tag.addr}, {fate}"


def _values(values: Iterable[TypedValue]) -> str:
    """Return values as shown, the first few of them."""
    shown = [_value(v) for v in islice(values, SHOWN + 1)]
    return " ".join(shown if len(shown) <= SHOWN else [*shown[:SHOWN], "..."])


def _value(v: TypedValue) -> str:
    """Return a value as ``i32:0000002a``, or what a reference refers to."""
    if not isinstance(v.type, RefType):
        name = str(v.type)
        return f"{name}:{v.bits:0{WIDTHS[name] // 4}x}"
    to = v.value
    if to is None:
        return "null"
    if isinstance(to, FuncInst):
        return f"func:{to.funcidx}"
    if isinstance(to, int):
        return f"i31:{to}"
    if isinstance(to, ExternRef):
        return clip(f"host:{to.value}", 40)
    kinds = {HostFunc: "func:host", StructInst: "struct", ArrayInst: "array", ExnInst: "exn"}
    return next((name for kind, name in kinds.items() if isinstance(to, kind)), "reference")
