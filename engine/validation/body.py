"""The one place that pops and pushes: the stack algorithm of the specification (spec: appendix, Validation Algorithm).

A body is walked once.  Each row yields an arrow; the walker takes the pops from the stack of types and puts the pushes
on it.  Code after a branch is unreachable: there the stack of the current construct may be deeper than what we see, and
what comes out of the invisible part is ``BOTTOM``, which matches everything.

Speed: what a row needs is looked up in ``_steps``, made once per row.  Rows with a fixed arrow compare a slice of the
stack with a list of singletons.  Rows with a rule remember their arrow in the context by immediates, because it depends
on nothing else; a row over a local or a label by the type of that; rows that diverge may depend on the function, and do
not remember.  A row with a type variable remembers what it pushed by the operands it found.  What holds in any module,
because no reference type is in it, is kept beyond this one in ``_lasting``.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from engine.errors import InvalidError, UnsupportedError, WasmError, Where
from engine.instructions.model import Control, Region
from engine.matching import matches, matches_results
from engine.types import BOT, Arrow, ExactType, NumType, RefType, VecType, part_of, substitute, variable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from engine.instructions.model import Instr
    from engine.module import In
    from engine.types import ResultType, ValType

    from .context import Context

__all__ = ["BOTTOM", "MAX_OPERANDS", "Walker", "check_body"]

# An implementation limit: a call of two bytes may push a thousand results.  Looked at where one instruction may push
# many; anything else needs an instruction per operand.
MAX_OPERANDS = 1_000_000


# The variable of an arrow stands among the last types of each side: the others are those of a label, and may be many.
OPEN_TAIL = 3


class _Bottom:
    """The type of an operand that unreachable code never has."""

    def __repr__(self) -> str:
        return "any type"


BOTTOM: Any = _Bottom()

# How a row is treated: its arrow is fixed; or depends on the type of a local, on the types of a label, on a memory
# argument, on other immediates; or it has a type variable; or it is structured control.
FIXED, LOCAL, LABEL, ACCESS, RULE, VARIABLE, OPEN, ELSE, END, TABLE, CLAUSE = range(11)
_BY_KINDS: dict[tuple[str, ...], int] = {("localidx",): LOCAL, ("labelidx",): LABEL, ("memarg",): ACCESS}
_STRUCTURE = {
    Control.BLOCK: OPEN, Control.LOOP: OPEN, Control.IF: OPEN, Control.ELSE: ELSE, Control.END: END,
    Control.BR_TABLE: TABLE, Control.TRY_TABLE: OPEN, Control.TRY: OPEN, Control.CATCH: CLAUSE,
    Control.DELEGATE: CLAUSE, Control.RETHROW: CLAUSE,
}  # fmt: skip

# Members of the enumeration as globals: reading them from their class is slow.
IF, LOOP, TRY, CATCH = Control.IF, Control.LOOP, Control.TRY, Control.CATCH

Step = tuple[int, list[Any], int, tuple[Any, ...], bool]  # how, pops, their number, pushes, polymorphic
_steps: dict[Instr, Step] = {}

# Steps of rows over locals, labels, memory arguments and block types, which depend on number and vector types alone.
_lasting: dict[Any, Step] = {}
MAX_LASTING = 1 << 14

LEAST_SPACE = 1 << 32  # an offset below is in the address space of any memory


def _step(row: Instr) -> Step:
    """Return how the walker treats a row, and its arrow if that is fixed."""
    how, arrow = RULE, Arrow((), ())
    if row.control in _STRUCTURE:
        how = _STRUCTURE[row.control]
    elif isinstance(row.type, Arrow):
        arrow = row.type
        how = FIXED
    else:
        how = _BY_KINDS.get(tuple(kind.name for kind in row.imms), RULE)
    step = _steps[row] = _of_arrow(how, arrow)
    return step


def _of_arrow(how: int, a: Arrow) -> Step:
    if how in (FIXED, RULE) and any(map(variable, a.pops)):
        how = VARIABLE
    return how, list(a.pops), len(a.pops), a.pushes, a.polymorphic


class _Frame:
    """A structured instruction that is open: what it takes and gives, and the stack below it.

    ``opener`` is its row or that of its latest clause, None for a function.
    """

    __slots__ = ("height", "opener", "params", "results", "unreachable")

    def __init__(self, params: Sequence[ValType], results: ResultType, height: int, opener: Instr | None) -> None:
        self.params = params
        self.results = results
        self.height = height
        self.opener = opener
        self.unreachable = False

    def begun_by(self, control: Control) -> bool:
        """Tell whether the construct, or its latest clause, is of this control."""
        return self.opener is not None and self.opener.control is control


class Walker:
    """The two stacks, and the slow, obvious ways to pop from them."""

    __slots__ = ("c", "frames", "given", "newly_set", "tracked", "vals")

    def __init__(self, c: Context, results: ResultType, tracked: int | None) -> None:
        self.c = c
        self.vals: list[Any] = []
        self.frames = [_Frame((), results, 0, None)]
        self.tracked = tracked
        self.given: set[int] = set()  # tracked locals with a value
        self.newly_set: list[tuple[int, int]] = []  # depth of the construct, local

    def pop(self, what: Instr) -> Any:
        """Pop any type."""
        vals, frame = self.vals, self.frames[-1]
        if len(vals) > frame.height:
            return vals.pop()
        if frame.unreachable:
            return BOTTOM
        raise InvalidError(f"type mismatch: {what.name} finds an empty stack")

    def pop_type(self, t: ValType, what: Instr) -> Any:
        """Pop a subtype of ``t``."""
        vals, frame = self.vals, self.frames[-1]
        if len(vals) <= frame.height and not frame.unreachable:
            raise InvalidError(f"type mismatch: {what.name} expects {t}, found an empty stack")
        got = self.pop(what)
        if got is not BOTTOM and not matches(got, t):
            raise InvalidError(f"type mismatch: {what.name} expects {t}, found {got}")
        return got

    def pop_types(self, ts: Sequence[ValType], what: Instr) -> list[Any]:
        """Pop subtypes of ``ts`` and return them, first to last, without those that unreachable code never has."""
        frame = self.frames[-1]
        if frame.unreachable:
            ts = ts[max(0, len(ts) - len(self.vals) + frame.height) :]
        return [self.pop_type(t, what) for t in reversed(ts)][::-1]

    def bind(self, row: Instr, pops: Sequence[Any], pushes: Sequence[Any]) -> tuple[Any, ...]:
        """Pop by an arrow with a type variable, which the stack binds, and return what to push."""
        bound: Any = BOTTOM
        vals, known = self.vals, max(0, len(pops) - OPEN_TAIL)
        for t in reversed(pops[known:]):
            if variable(t) is None:
                self.pop_type(t, row)
                continue
            got = _value_of(t, self.pop(row), row)
            if got is BOTTOM:
                continue
            if bound is not BOTTOM and bound is not got:
                raise InvalidError(f"type mismatch: {row.name} with operands {got} and {bound}")
            bound = got
        if known:
            base = len(vals) - known
            if base >= self.frames[-1].height and vals[base:] == pops[:known]:
                del vals[base:]
            else:
                self.pop_types(pops[:known], row)
        known = max(0, len(pushes) - OPEN_TAIL)
        return (
            *pushes[:known],
            *[substitute(t, _unknown(t) if bound is BOTTOM else bound) for t in pushes[known:]],
        )

    def diverge(self) -> None:
        """Mark the rest of the innermost construct unreachable."""
        frame = self.frames[-1]
        del self.vals[frame.height :]
        frame.unreachable = True

    def close(self, row: Instr) -> _Frame:
        """Check that the innermost construct leaves exactly its results, and leave them on the stack as declared."""
        frame = self.frames[-1]
        vals, height, results = self.vals, frame.height, frame.results
        if len(vals) != height + len(results) or (results and tuple(vals[height:]) != results):
            self.pop_types(results, row)
            if len(vals) != height:
                rest = vals[height:]
                shown = ", ".join([*map(str, rest[:8]), *["..."] * (len(rest) > 8)])
                raise InvalidError(f"type mismatch: values remain on the stack at {row.name}: {shown}")
            vals += results
        if self.given:
            self.forget_locals(len(self.frames))
        return frame

    def end(self, row: Instr) -> None:
        """Leave a construct; an ``if`` without ``else`` must give back what it takes."""
        frame = self.close(row)
        opener = frame.opener
        if opener is not None and opener.control is IF and not matches_results(tuple(frame.params), frame.results):
            raise InvalidError(f"type mismatch: if without else, {list(frame.params)} is not {list(frame.results)}")
        self.frames.pop()
        self.c.labels.pop()

    def else_(self, row: Instr) -> None:
        """Switch to the other branch of an ``if``."""
        if not self.frames[-1].begun_by(IF):
            raise InvalidError("type mismatch: else outside of an if")
        frame = self.close(row)
        frame.opener, frame.unreachable = row, False
        self.vals[frame.height :] = frame.params

    def catch(self, row: Instr, imms: tuple[Any, ...]) -> None:
        """Switch to the next clause of a ``try``; one without a tag is the last."""
        opener = self.frames[-1].opener
        if not self.frames[-1].begun_by(TRY) and (opener is None or opener.control is not CATCH or not opener.imms):
            raise InvalidError(f"type mismatch: {row.name} outside of a try")
        frame = self.close(row)
        frame.opener, frame.unreachable = row, False
        self.vals[frame.height :] = row.arrow(self.c, imms).pushes

    def delegate(self, row: Instr, imms: tuple[Any, ...]) -> None:
        """Leave a ``try`` without clauses."""
        if not self.frames[-1].begun_by(TRY):
            raise InvalidError(f"type mismatch: {row.name} outside of a try")
        self.end(row)
        row.arrow(self.c, imms)  # its label is outside

    def rethrow(self, row: Instr, imms: tuple[Any, ...]) -> None:
        """Throw what a clause has caught."""
        row.arrow(self.c, imms)
        if not self.frames[-1 - imms[0]].begun_by(CATCH):
            raise InvalidError(f"invalid rethrow label {imms[0]}")
        self.diverge()

    def br_table(self, row: Instr, imms: tuple[Any, ...]) -> None:
        """Check each different list of label types once against the same stack (spec: valid-br_table)."""
        arrow = row.arrow(self.c, imms)
        default = arrow.pops[:-1]
        self.pop_type(arrow.pops[-1], row)
        checked = set()
        for l in set(imms[0][0]):
            ts = self.c.label(l)
            if len(ts) != len(default):
                raise InvalidError(f"type mismatch: labels of {row.name} take {len(ts)} and {len(default)} values")
            if ts not in checked:
                checked.add(ts)
                self.vals += self.pop_types(ts, row)
        self.pop_types(default, row)
        self.diverge()

    def track_local(self, row: Instr, x: int, t: ValType) -> None:
        """Keep the set of locals with a value among those without a default one (spec: valid-local)."""
        if self.tracked is None or x < self.tracked or type(t) is not RefType or t.null or x in self.given:
            return
        if Region.LOCAL in row.reads:
            raise InvalidError(f"uninitialized local {x}")
        self.given.add(x)
        self.newly_set.append((len(self.frames), x))

    def forget_locals(self, depth: int) -> None:
        """Count locals that were set inside the construct at ``depth`` as unset again."""
        while self.newly_set and self.newly_set[-1][0] >= depth:
            self.given.discard(self.newly_set.pop()[1])


_CLAUSES: dict[Any, Callable[[Walker, Instr, tuple[Any, ...]], None]] = {
    CATCH: Walker.catch, Control.DELEGATE: Walker.delegate, Control.RETHROW: Walker.rethrow,
}  # fmt: skip

_BOUNDS: dict[str, Any] = {"any": object, "numvec": (NumType, VecType), "ref": RefType}


def _value_of(pattern: Any, got: Any, row: Instr) -> Any:
    """Return what the variable in a type of an arrow stands for where the stack has ``got``; BOTTOM decides nothing."""
    if got is BOTTOM:
        return BOTTOM
    bounds = _BOUNDS.get(getattr(pattern, "bound", ""))
    if bounds is not None:
        if isinstance(got, bounds):
            return got
    elif isinstance(got, RefType):  # the variable is a part of a reference type
        value = part_of(pattern, got)
        if matches(got, substitute(pattern, value)):
            return value
    raise InvalidError(f"type mismatch: {row.name} does not take {got}")


def _unknown(pattern: Any) -> Any:
    """Return what the variable in a type stands for if no operand says: the least that it may."""
    if not isinstance(pattern, RefType):
        return BOTTOM
    if type(pattern.heap) is ExactType:
        return True
    return BOT if isinstance(pattern.null, bool) else False


def _of_rule(c: Context, row: Instr, imms: tuple[Any, ...]) -> Step:
    """Compute the arrow of a row with a rule; keep it with the context unless it leaves the function or a block."""
    if not _has_only_indices(row):
        c.gate.check_written(row, imms)
    arrow = row.arrow(c, imms)
    step = _of_arrow(RULE, arrow)
    if arrow.polymorphic or _has_labels(row):
        return step
    if row.control in _STRUCTURE and (imms[0] is None or type(imms[0]) is NumType):
        _keep((row, imms), step)
    else:
        c.arrows[row, imms] = step
    return step


@cache
def _has_only_indices(row: Instr) -> bool:
    """Tell whether no immediate of a row can be a type."""
    return all(kind.name.endswith("idx") for kind in row.imms)


@cache
def _has_labels(row: Instr) -> bool:
    return any("labelidx" in kind.holds for kind in row.imms)


def _keep(key: Any, step: Step) -> None:
    """Remember a step for all modules."""
    if len(_lasting) >= MAX_LASTING:
        _lasting.clear()
    _lasting[key] = step


def _of_access(c: Context, row: Instr, imms: tuple[Any, ...]) -> Step:
    """Compute the arrow of a row over a memory argument, which any offset has that is in every address space."""
    align, start, x = imms[0]
    step = _of_arrow(RULE, row.arrow(c, imms))
    if start < LEAST_SPACE:
        _keep((row, align, c.mem(x).addrtype), step)
    return step


def _of_index(c: Context, row: Instr, x: int, t: ValType | ResultType) -> Step:
    """Compute the arrow of a row over a local or label of type ``t`` and keep it."""
    step = _of_arrow(RULE, row.arrow(c, (x,)))
    if any(type(part) is RefType for part in (t if isinstance(t, tuple) else (t,))):
        c.index_arrows[row, t] = step
    else:
        _keep((row, t), step)
    return step


def check_body(
    c: Context,
    body: Iterable[In],
    results: ResultType,
    funcidx: int | None = None,
    tracked: int | None = None,
    walker: Walker | None = None,
) -> None:
    """Check an expression whose locals and outermost label ``c`` has, and which must yield ``results``.

    Locals from index ``tracked`` on may lack a default value, none does if it is None.  Errors carry the function and
    the offset of the instruction.  ``walker`` is a fresh one that somebody watches.
    Spec: valid-expr.
    """
    walker = walker or Walker(c, results, tracked)
    vals, frames, labels, locals_, mems = walker.vals, walker.frames, c.labels, c.locals, c.mems
    steps, lasting, arrows, index_arrows, bindings = _steps, _lasting, c.arrows, c.index_arrows, c.bindings
    locals_end, mems_end = len(locals_), len(mems)
    height, ins = 0, None
    key: Any
    instrs = iter(body)
    try:
        for ins in instrs:
            row = ins[0]
            how, pops, n, pushes, diverges = steps.get(row) or _step(row)
            if how:
                imms = ins[1]
                if how == LOCAL:
                    x = imms[0]
                    t = locals_[x] if x < locals_end else c.local(x)
                    key = row, t
                    step = lasting.get(key) or index_arrows.get(key) or _of_index(c, row, x, t)
                    _, pops, n, pushes, diverges = step
                    if tracked is not None:
                        walker.track_local(row, x, t)
                elif how == ACCESS:
                    align, start, x = imms[0]
                    key = (row, align, mems[x].addrtype) if x < mems_end and start < LEAST_SPACE else None
                    _, pops, n, pushes, diverges = lasting.get(key) or _of_access(c, row, imms)
                elif how == RULE:
                    how, pops, n, pushes, diverges = arrows.get((row, imms)) or _of_rule(c, row, imms)
                    if len(vals) > MAX_OPERANDS:
                        raise UnsupportedError(f"more than {MAX_OPERANDS} operands")
                    if how == VARIABLE:
                        vals += walker.bind(row, pops, pushes)
                        continue
                elif how == LABEL:
                    x = imms[0]
                    ts = labels[-1 - x] if x < len(labels) else c.label(x)
                    key = row, ts
                    step = lasting.get(key) or index_arrows.get(key) or _of_index(c, row, x, ts)
                    how, pops, n, pushes, diverges = step
                    if how == VARIABLE:
                        vals += walker.bind(row, pops, pushes)
                        continue
                elif how == VARIABLE:
                    base = len(vals) - n
                    if base < height:
                        vals += walker.bind(row, pops, pushes)
                        continue
                    key = (row, *vals[base:])
                    bound = bindings.get(key)
                    if bound is None:
                        bound = bindings[key] = walker.bind(row, pops, pushes)
                    else:
                        del vals[base:]
                    vals += bound
                    continue
                elif how == END:
                    walker.end(row)
                    if not frames:
                        break
                    height = frames[-1].height
                    continue
                elif how == OPEN:
                    key = row, imms
                    _, pops, n, pushes, diverges = lasting.get(key) or arrows.get(key) or _of_rule(c, row, imms)
                    if len(vals) > MAX_OPERANDS:
                        raise UnsupportedError(f"more than {MAX_OPERANDS} operands")
                elif how == ELSE:
                    walker.else_(row)
                    continue
                elif how == TABLE:
                    walker.br_table(row, imms)
                    continue
                else:
                    _CLAUSES[row.control](walker, row, imms)
                    height = frames[-1].height
                    continue
            if n == 1:
                if len(vals) > height and vals[-1] is pops[0]:
                    del vals[-1]
                else:
                    walker.pop_types(pops, row)
            elif n:
                base = len(vals) - n
                if base >= height and vals[base:] == pops:
                    del vals[base:]
                else:
                    walker.pop_types(pops, row)
            if how == OPEN:
                params = pops[:-1] if row.control is IF else pops
                height = len(vals)
                frames.append(_Frame(params, pushes, height, row))
                labels.append(tuple(params) if row.control is LOOP else pushes)
                vals += params
                continue
            if pushes:
                vals += pushes
            if diverges:
                walker.diverge()
        if frames or next(instrs, None) is not None:
            raise InvalidError("type mismatch: END opcode expected: the last instruction must be the last end")
    except WasmError as e:
        raise e.at(Where(funcidx, None if ins is None or ins.offset < 0 else ins.offset)) from None
