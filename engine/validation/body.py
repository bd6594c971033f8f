"""The one place that pops and pushes: the stack algorithm of the specification (spec: appendix, Validation Algorithm).

A body is walked once.  Each row yields an arrow; the walker takes the pops from the stack of types and puts the pushes
on it.  Code after a branch is unreachable: there the stack of the current construct may be deeper than what we see, and
what comes out of the invisible part is ``BOTTOM``, which matches everything.

Speed: what a row needs is looked up in ``_steps``, made once per row.  Rows with a fixed arrow compare a slice of the
stack with a list of singletons.  Rows with a rule remember their arrow per context by immediates, because it depends on
nothing else, except that a row over a local remembers it by the type of that local and that branches depend on labels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.errors import InvalidError, WasmError, Where
from engine.instructions.model import Control, Region
from engine.matching import matches, matches_results
from engine.types import Arrow, NumType, RefType, TypeVar, VecType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.instructions.model import Instr
    from engine.module import Expr
    from engine.types import ResultType, ValType

    from .context import Context

__all__ = ["BOTTOM", "check_body"]


class _Bottom:
    """The type of an operand that unreachable code never has."""

    def __repr__(self) -> str:
        return "any type"


BOTTOM: Any = _Bottom()

FIXED, LOCAL, RULE, BRANCH, VARIABLE, CONTROL = range(6)
_STRUCTURE = frozenset({Control.BLOCK, Control.LOOP, Control.IF, Control.ELSE, Control.END, Control.BR_TABLE})

Step = tuple[int, list[Any], int, tuple[Any, ...], bool]  # how, pops, their number, pushes, polymorphic
_steps: dict[Instr, Step] = {}


def _step(row: Instr) -> Step:
    """Return how the walker treats a row, and its arrow if that is fixed."""
    kinds = [kind.name for kind in row.imms]
    if row.control in _STRUCTURE:
        step = _of_arrow(CONTROL, Arrow((), ()))
    elif isinstance(row.type, Arrow):
        has_variable = any(isinstance(t, TypeVar) for t in row.type.pops)
        step = _of_arrow(VARIABLE if has_variable else FIXED, row.type)
    elif kinds == ["localidx"]:
        step = _of_arrow(LOCAL, Arrow((), ()))
    elif "labelidx" in kinds or row.control is Control.RETURN:
        step = _of_arrow(BRANCH, Arrow((), ()))
    else:
        step = _of_arrow(RULE, Arrow((), ()))
    _steps[row] = step
    return step


def _of_arrow(how: int, a: Arrow) -> Step:
    return how, list(a.pops), len(a.pops), a.pushes, a.polymorphic


class _Frame:
    """A structured instruction that is open: what it takes and gives, and the stack below it."""

    __slots__ = ("control", "ends", "height", "params", "results", "unreachable")

    def __init__(self, control: Control, params: ResultType, results: ResultType, height: int) -> None:
        self.control = control
        self.params = params
        self.results = results
        self.height = height
        self.unreachable = False
        self.ends: list[int] = []  # locals that are set inside and count as unset behind it


class _Walker:
    """The two stacks, and the slow, obvious ways to pop from them."""

    __slots__ = ("c", "frames", "unset", "vals")

    def __init__(self, c: Context, results: ResultType, unset: set[int] | None) -> None:
        self.c = c
        self.vals: list[Any] = []
        self.frames = [_Frame(Control.BLOCK, (), results, 0)]
        self.unset = unset

    def pop(self, what: Instr | str) -> Any:
        """Pop any type."""
        vals, frame = self.vals, self.frames[-1]
        if len(vals) > frame.height:
            return vals.pop()
        if frame.unreachable:
            return BOTTOM
        raise InvalidError(f"type mismatch: {_name(what)} finds an empty stack")

    def pop_type(self, t: ValType, what: Instr | str) -> Any:
        """Pop a subtype of ``t``."""
        vals, frame = self.vals, self.frames[-1]
        if len(vals) <= frame.height and not frame.unreachable:
            raise InvalidError(f"type mismatch: {_name(what)} expects {t}, found an empty stack")
        got = self.pop(what)
        if got is not BOTTOM and not matches(got, t):
            raise InvalidError(f"type mismatch: {_name(what)} expects {t}, found {got}")
        return got

    def pop_types(self, ts: Sequence[ValType], what: Instr | str) -> list[Any]:
        """Pop subtypes of ``ts`` and return them, first to last."""
        return [self.pop_type(t, what) for t in reversed(ts)][::-1]

    def apply_variable(self, row: Instr) -> None:
        """Pop and push with the type variable bound from the stack."""
        arrow = row.arrow(self.c, ())
        bound: Any = BOTTOM
        for t in reversed(arrow.pops):
            if not isinstance(t, TypeVar):
                self.pop_type(t, row)
                continue
            got = self.pop(row)
            if got is BOTTOM:
                continue
            if not _within(got, t.bound):
                raise InvalidError(f"type mismatch: {row.name} does not take {got}")
            if bound is not BOTTOM and bound is not got:
                raise InvalidError(f"type mismatch: {row.name} with operands {got} and {bound}")
            bound = got
        self.vals.extend(bound if isinstance(t, TypeVar) else t for t in arrow.pushes)

    def diverge(self) -> None:
        """Mark the rest of the innermost construct unreachable."""
        frame = self.frames[-1]
        del self.vals[frame.height :]
        frame.unreachable = True

    def control(self, row: Instr, imms: tuple[Any, ...]) -> None:
        """Enter, switch or leave a construct, or branch by a table."""
        control = row.control
        if control is Control.END:
            self._end(row)
        elif control is Control.ELSE:
            self._else(row)
        elif control is Control.BR_TABLE:
            self._br_table(row, imms)
        else:
            assert control is not None
            step = self.c.arrows.get((row, imms)) or _remember(self.c, row, imms)
            self.pop_types(step[1], row)
            params = tuple(step[1][:-1] if control is Control.IF else step[1])
            results = step[3]
            self.frames.append(_Frame(control, params, results, len(self.vals)))
            self.c.labels.append(params if control is Control.LOOP else results)
            self.vals += params

    def _close(self, row: Instr) -> _Frame:
        """Check that the innermost construct leaves exactly its results, and empty the stack down to its base."""
        frame = self.frames[-1]
        self.pop_types(frame.results, row)
        if len(self.vals) != frame.height:
            left = self.vals[frame.height :]
            raise InvalidError(f"type mismatch: values remain on the stack at {row.name}: {left}")
        if self.unset is not None:
            self.unset.update(frame.ends)
        return frame

    def _end(self, row: Instr) -> None:
        frame = self._close(row)
        if frame.control is Control.IF and not matches_results(frame.params, frame.results):
            raise InvalidError(f"type mismatch: if without else, {list(frame.params)} is not {list(frame.results)}")
        self.frames.pop()
        if self.c.labels:
            self.c.labels.pop()
        self.vals += frame.results

    def _else(self, row: Instr) -> None:
        if self.frames[-1].control is not Control.IF:
            raise InvalidError("type mismatch: else outside of an if")
        frame = self._close(row)
        frame.control = Control.ELSE
        frame.unreachable = False
        frame.ends = []
        self.vals += frame.params

    def _br_table(self, row: Instr, imms: tuple[Any, ...]) -> None:
        """Spec: valid-br_table; each different list of label types is checked once against the same stack."""
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

    def track_local(self, row: Instr, x: int) -> None:
        """Keep the set of locals without a value, which only non-nullable references can be (spec: valid-local)."""
        unset = self.unset
        if unset is None or x not in unset:
            return
        if Region.LOCAL in row.reads:
            raise InvalidError(f"uninitialized local {x}")
        unset.discard(x)
        self.frames[-1].ends.append(x)


def _name(what: Instr | str) -> str:
    return what if isinstance(what, str) else what.name


def _within(t: ValType, bound: str) -> bool:
    """Tell whether a type variable with this bound may stand for ``t``."""
    if bound == "any":
        return True
    return isinstance(t, RefType) if bound == "ref" else isinstance(t, NumType | VecType)


def _remember(c: Context, row: Instr, imms: tuple[Any, ...]) -> Step:
    """Compute the arrow of a row with a rule and keep it with the context."""
    c.gate.check_written(row, imms)
    step = _of_arrow(RULE, row.arrow(c, imms))
    c.arrows[row, imms] = step
    return step


def _of_local(c: Context, row: Instr, x: int) -> Step:
    """Compute the arrow of a row over a local and keep it with the context, by the type of the local."""
    t = c.local(x)
    step = c.local_arrows[row, t] = _of_arrow(LOCAL, row.arrow(c, (x,)))
    return step


def check_body(
    c: Context, body: Expr, results: ResultType, funcidx: int | None = None, unset: set[int] | None = None
) -> None:
    """Check an expression whose locals and outermost label ``c`` has, and which must yield ``results``.

    ``unset`` holds the locals that have no default value.  Errors carry the function and the offset of the instruction.
    Spec: valid-expr.
    """
    walker = _Walker(c, results, unset)
    vals, frames = walker.vals, walker.frames
    steps, arrows, local_arrows, locals_ = _steps, c.arrows, c.local_arrows, c.locals
    locals_end = len(locals_)
    height, offset = 0, -1
    instrs = iter(body)
    try:
        for row, imms, offset in instrs:  # noqa: B007  # the handler below wants the offset
            how, pops, n, pushes, diverges = steps.get(row) or _step(row)
            if how == LOCAL:
                x = imms[0]
                if x >= locals_end:
                    c.local(x)
                key = (row, locals_[x])
                _, pops, n, pushes, diverges = local_arrows.get(key) or _of_local(c, row, x)
                if unset:
                    walker.track_local(row, x)
            elif how == RULE:
                _, pops, n, pushes, diverges = arrows.get((row, imms)) or _remember(c, row, imms)
            elif how == BRANCH:
                _, pops, n, pushes, diverges = _of_arrow(BRANCH, row.arrow(c, imms))
            elif how == VARIABLE:
                walker.apply_variable(row)
                continue
            elif how == CONTROL:
                walker.control(row, imms)
                if not frames:
                    break
                height = frames[-1].height
                continue
            if n:
                base = len(vals) - n
                if base >= height and vals[base:] == pops:
                    del vals[base:]
                else:
                    walker.pop_types(pops, row)
            if pushes:
                vals += pushes
            if diverges:
                walker.diverge()
        if frames or next(instrs, None) is not None:
            raise InvalidError("type mismatch: END opcode expected: the last instruction must be the last end")
    except WasmError as e:
        raise e.at(Where(funcidx, None if offset < 0 else offset)) from None
