"""Arithmetic on 128 bits as pairs of i64, the low half first (proposal: wide-arithmetic, revision 00acf2a)."""

from __future__ import annotations

from engine.features import WIDE_ARITHMETIC
from engine.instructions.model import Effect, Instr, proposal
from engine.numerics.ints import iadd, imul, isub, mask, signed
from engine.types import arrow

__all__ = ["ROWS"]

_PAIRS = arrow("i64 i64 i64 i64 -> i64 i64")
_WIDEN = arrow("i64 i64 -> i64 i64")


def _halves(i: int) -> tuple[int, int]:
    return i & mask(64), i >> 64


def add128(low1: int, high1: int, low2: int, high2: int) -> tuple[int, int]:
    """Add two pairs, modulo 2**128."""
    return _halves(iadd(128, high1 << 64 | low1, high2 << 64 | low2))


def sub128(low1: int, high1: int, low2: int, high2: int) -> tuple[int, int]:
    """Subtract two pairs, modulo 2**128."""
    return _halves(isub(128, high1 << 64 | low1, high2 << 64 | low2))


def mul_wide_s(i: int, j: int) -> tuple[int, int]:
    """Multiply two signed integers; no bit of the product is lost."""
    return _halves(signed(64, i) * signed(64, j) & mask(128))


def mul_wide_u(i: int, j: int) -> tuple[int, int]:
    """Multiply two unsigned integers; no bit of the product is lost."""
    return _halves(imul(128, i, j))


def _row(name: str, opcode: tuple[int, int], **rest: object) -> Instr:
    return Instr(
        name=name, opcode=opcode, effect=Effect.PURE, family="wide", fuel=2, weight=60, spec=f"exec-{name}", **rest,  # type: ignore[arg-type]
    )  # fmt: skip


# fmt: off
ROWS = proposal(WIDE_ARITHMETIC, [
    _row("i64.add128",     (0xFC, 19), type=_PAIRS, run=add128),
    _row("i64.sub128",     (0xFC, 20), type=_PAIRS, run=sub128),
    _row("i64.mul_wide_s", (0xFC, 21), type=_WIDEN, run=mul_wide_s),
    _row("i64.mul_wide_u", (0xFC, 22), type=_WIDEN, run=mul_wide_u),
])
# fmt: on
