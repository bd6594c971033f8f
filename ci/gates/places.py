"""Places that an engine shows otherwise than ours, and why: what ``ci.gates.debugging`` accepts, one entry a reason.

An entry looks at the code: it does not say that a difference of some kind is known, but that this one is what must be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from engine.features import EXECUTED
from engine.instructions.model import Control, Effect, Region
from engine.module import FuncImport
from engine.validation import validate

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Sequence

    from engine.module import In, Module
    from engine.validation import Context

__all__ = ["EXPLAINED", "Code", "Explained", "Place", "explain"]

Place = tuple[int, int]  # function index, offset


class Explained(NamedTuple):
    """A place that ``engines`` (ids without variants) show wrongly.

    ``fits(code, ours, theirs, n)`` tells whether this is why frame ``n`` differs.
    """

    name: str
    engines: tuple[str, ...]
    rule: str
    fits: Callable[[Code, Sequence[Place], Sequence[Place], int], bool]


class Code:
    """The instructions of a module, which must be valid, by place."""

    def __init__(self, module: Module) -> None:
        validate(module, EXECUTED)
        self.context: Context = module.context
        first = sum(isinstance(i.desc, FuncImport) for i in module.imports)
        self.codes = {first + x: code for x, code in enumerate(module.codes)}

    def at(self, place: Place) -> In:
        """Return the instruction at a place."""
        return next(ins for ins in self.codes[place[0]].body if ins.offset == place[1])

    def user(self, place: Place) -> Place | None:
        """Return where what an instruction pushes is used first, if control goes there and nowhere else.

        Locals may carry it there, and a block may begin on the way: neither is anything to a compiler.
        """
        code = self.codes[place[0]]
        view = self.context.function(self.context.funcs[place[0]].comp, code.locals)  # type: ignore[arg-type]
        stack = [True]  # which operands it is, from where it was pushed upwards
        held: set[int] = set()  # locals that it is in
        for ins in (ins for ins in code.body if ins.offset > place[1]):
            if ins.row.control is Control.BLOCK:
                continue
            if ins.row.effect is Effect.CONTROL:
                return None
            arrow = ins.row.arrow(view, ins.imms)
            popped = [stack.pop() if stack else False for _ in arrow.pops]
            if ins.row.name in ("local.set", "local.tee"):
                (held.add if popped[0] else held.discard)(ins.imms[0])
            elif any(popped) and ins.row.name != "drop":
                return place[0], ins.offset
            carried = ins.row.name in ("local.get", "local.tee") and ins.imms[0] in held
            stack += [carried] * len(arrow.pushes)
        return None


def _is_return_address(code: Code, ours: Sequence[Place], theirs: Sequence[Place], n: int) -> bool:
    calls = code.at(ours[n]).row.control is Control.CALL
    return n > 0 and calls and ours[n][0] == ours[0][0] and theirs[n] == theirs[0] == ours[0]


def _is_sunk_load(code: Code, ours: Sequence[Place], theirs: Sequence[Place], n: int) -> bool:
    return n == 0 and Region.MEMORY in code.at(ours[0]).row.reads and theirs[0] == code.user(ours[0])


def _is_sunk_address(code: Code, ours: Sequence[Place], theirs: Sequence[Place], n: int) -> bool:
    if code.at(ours[0]).row.name != "i32.load" or not _is_sunk_load(code, ours, theirs, n):
        return False
    user = code.at(theirs[0]).row
    return Region.MEMORY in user.reads | user.writes


EXPLAINED = (
    Explained(
        "trap at a return address",
        ("wasmtime", "wasmer@1.1"),
        "every frame whose return address is the address of the trap is taken for the one that trapped, so where the "
        "code after a call is the trap, the frames of a recursion that wait there are shown at the trap",
        _is_return_address,
    ),
    Explained(
        "load sunk into its user",
        ("wasmtime", "wasmer@1.1"),
        "a load is made a part of the one instruction that uses it, also without optimising, and its trap is shown "
        "there",
        _is_sunk_load,
    ),
    Explained(
        "load sunk into the access of its address",
        ("wasmer",),
        "an i32.load whose value is the address of another access is made a part of it, and its trap is shown there",
        _is_sunk_address,
    ),
)


def explain(
    engine: str, code: Code, ours: Sequence[Place], theirs: Sequence[Place], counts: Counter[str]
) -> str | None:
    """Return how the backtrace of an engine differs from ours, if nothing explains it; count what does."""
    difference = f"the frames are {list(ours)}, {engine} shows {list(theirs)}"
    if len(ours) != len(theirs):
        return difference
    reasons: dict[str, None] = {}
    for n in range(len(ours)):
        if ours[n] != theirs[n]:
            entries = (e for e in EXPLAINED if engine in e.engines)
            reason = next((e.name for e in entries if e.fits(code, ours, theirs, n)), None)
            if reason is None:
                return difference
            reasons[reason] = None
    counts.update([*reasons])
    return None
