"""Closures over a register list: which factory serves a row, and the few factories that no row describes.

The factories of rows are generated (``generate.py`` says what their parameters mean).  *Inlined* ones hold the
semantics of a hot row; *shaped* ones call ``run`` and serve every row: an inlined factory is only ever a faster equal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.errors import Trap, TrapKind
from engine.execution._closures import ARGS, INLINED, SHAPED
from engine.execution.faults import placed

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.execution.frame import Frame, Lowered, Registers
    from engine.instructions.model import Instr
    from engine.runtime.globals import GlobalInst

__all__ = [
    "CLOSURE", "CONDITION", "CONSTANT", "REGISTER", "VALUE", "constant", "counted", "get_global", "grow", "inlined",
    "located", "many", "move", "move_many", "register", "registers", "scatter", "set_global", "shaped", "with_locals",
]  # fmt: skip

# Operand kinds, in the order of generate.KINDS.
REGISTER, CONSTANT, CLOSURE = range(3)

# Instead of a register to set.
VALUE, CONDITION = -1, -2


def inlined(row: Instr) -> tuple[Any, ...] | None:
    """Return the factories of a hot row by operand kinds, an entry None where all are constant; None for other rows."""
    found: tuple[Any, ...] | None = INLINED.get(row.name)
    return found


def shaped(arity: int, traps: bool) -> tuple[Any, ...]:
    """Return the factories that call any function of up to three operands, by operand kinds."""
    found: tuple[Any, ...] = SHAPED[arity, traps]
    return found


def constant(v: Any) -> Callable[[Registers], Any]:
    """Return the closure of a constant."""

    def f(R: Registers) -> Any:
        return v

    return f


def register(x: int) -> Callable[[Registers], Any]:
    """Return the closure of a register."""

    def f(R: Registers) -> Any:
        return R[x]

    return f


def move(d: int, kind: int, a: Any) -> Callable[[Registers], None]:
    """Return the effect ``d := a`` for a register or a constant."""
    if kind == CONSTANT:

        def f(R: Registers) -> None:
            R[d] = a
    else:

        def f(R: Registers) -> None:
            R[d] = R[a]

    return f


def move_many(d: int, s: int, n: int) -> Callable[[Registers], None]:
    """Return the effect that moves ``n`` registers as if at once."""

    def f(R: Registers) -> None:
        R[d : d + n] = R[s : s + n]

    return f


def grow(n: int) -> Callable[[Registers], None]:
    """Return the effect that makes a frame, made before a block was known, large enough for it."""

    def f(R: Registers) -> None:
        if len(R) < n:
            R += [None] * (n - len(R))

    return f


def get_global(d: int, a: Any, b: Any, w: int, x: GlobalInst) -> Callable[[Registers], Any]:
    """Return the closure of ``global.get``; a factory of no operands."""
    if d >= 0:

        def f(R: Registers) -> Any:
            R[d] = x.value
    else:

        def f(R: Registers) -> Any:
            return x.value

    return f


def set_global(kind: int, a: Any, x: GlobalInst) -> Callable[[Registers], None]:
    """Return the effect of ``global.set``."""
    if kind == REGISTER:

        def f(R: Registers) -> None:
            x.value = R[a]
    elif kind == CONSTANT:

        def f(R: Registers) -> None:
            x.value = a
    else:

        def f(R: Registers) -> None:
            x.value = a(R)

    return f


def many(run: Callable[..., Any], operands: list[Callable[[Registers], Any]]) -> Callable[[Registers], Any]:
    """Return the closure that calls ``run`` with any number of operands."""

    def f(R: Registers) -> Any:
        return run(*[operand(R) for operand in operands])

    return f


def located(call: Callable[[Registers], Any], offset: int) -> Callable[[Registers], Any]:
    """Return ``call`` with its traps placed."""

    def f(R: Registers) -> Any:
        try:
            return call(R)
        except Trap as trap:
            raise placed(trap, offset) from None

    return f


def aligned(address: Callable[[Registers], Any], add: int, n: int, offset: int) -> Callable[[Registers], Any]:
    """Return a closure that traps where an atomic access of ``n`` bytes is not aligned."""

    def f(R: Registers) -> None:
        ea = address(R) + add
        if ea % n:
            raise placed(Trap(TrapKind.UNALIGNED_ATOMIC, f"{n} bytes at {ea:#x}"), offset)

    return f


def with_locals(call: Callable[[Registers], Any], frame: Frame) -> Callable[[Registers], Any]:
    """Return ``call`` for a row that touches locals through ``frame``."""

    def f(R: Registers) -> Any:
        frame.locals = R
        return call(R)

    return f


def scatter(d: int, n: int, call: Callable[[Registers], Any]) -> Callable[[Registers], None]:
    """Return the effect that puts what ``call`` gives, 1 or ``n`` values, into registers from ``d``."""
    if n == 1:

        def f(R: Registers) -> None:
            R[d] = call(R)
    else:

        def f(R: Registers) -> None:
            R[d : d + n] = call(R)

    return f


def counted(
    length: int,
    charge: Callable[[int], int],
    effect: Callable[[Registers], Any],
    d: int,
    refused: int | None,
    unpaid: int,
) -> Callable[[Registers], int]:
    """Return the closure that runs a bulk operator and gives the fuel for its pieces, counted by a register.

    Growing that was refused leaves ``refused`` in register ``d`` and gives ``unpaid``.
    """

    def f(R: Registers) -> int:
        n = R[length]
        effect(R)
        return unpaid if refused is not None and R[d] == refused else charge(n)

    return f


def registers(code: Lowered, kinds: int, operands: list[Any]) -> Callable[[Registers], Registers]:
    """Return the closure that makes the registers of a call of ``code``: any number of operands, then its zeros.

    ``kinds`` are those of the operands as digits of base 3.
    """
    n = len(operands)
    if n < len(ARGS):
        made: Callable[[Registers], Registers] = ARGS[n][kinds](code, *operands)
        return made
    if kinds == 0 and operands == list(range(operands[0], operands[0] + n)):
        start, end = operands[0], operands[0] + n
        return lambda R: R[start:end] + code.zeros
    items = []
    for operand in reversed(operands):
        kinds, kind = divmod(kinds, 3)
        items.append(register(operand) if kind == REGISTER else constant(operand) if kind == CONSTANT else operand)
    items.reverse()
    return lambda R: [item(R) for item in items] + code.zeros
