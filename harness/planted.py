"""Planted bugs: builds of the reference engine that are wrong in one place, to measure what the harness can find.

Each is a mistake that engines have made: an edge of an operator, an order of effects, a check that is a little too
wide.  A plant is a :class:`~engine.execution.build.Build` with one row or one lowering rule replaced, and runs as the
oracle ``reference:plant=NAME``.  The rest of the file is nothing but the bugs, smallest idea first.  Mistakes of
counting and of resuming are in ``harness.planted_models``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from engine.errors import Trap, TrapKind
from engine.execution.build import RULES, Build
from engine.execution.call_rules import call_indirect, resolve
from engine.instructions import TABLE
from engine.instructions.memory import load_n
from engine.numerics.ints import ishr_s, signed
from engine.numerics.lanes import I16X8, vbinop
from engine.types import I32
from harness import planted_models  # noqa: F401  one import makes all plants known
from oracles.adapters.reference import PLANTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.execution.lower import Lowering
    from engine.execution.rules import Plan
    from engine.runtime.table import TableInst
    from engine.types import DefType

__all__ = ["PLANTED", "Planted"]


@dataclass(frozen=True, slots=True)
class Planted:
    """One bug: what is wrong, and the build that is so."""

    name: str
    wrong: str
    build: Callable[[], Build]


def _row(name: str, run: Callable[..., Any], **changes: Any) -> Callable[[], Build]:
    return lambda: Build(table=TABLE.replace(name, run=run, **changes))


def _rule(name: str, rule: Callable[..., None]) -> Callable[[], Build]:
    return lambda: Build(rules={name: rule})


# operators at their edges


def rem_s(i: int, j: int) -> int:
    """The processor's division traps for INT_MIN by -1, and so does this remainder."""
    if i == 1 << 31 and j == (1 << 32) - 1:
        raise Trap(TrapKind.INTEGER_OVERFLOW)
    right: Any = TABLE.by_name["i32.rem_s"].run
    return int(right(i, j))


def copysign(z: float, w: float) -> float:
    """A NaN is returned as it is, without the sign of the second operand."""
    right: Any = TABLE.by_name["f64.copysign"].run
    return z if z != z else float(right(z, w))  # noqa: PLR0124


def f32_min(z: float, w: float) -> float:
    """Both zeros are taken for equal: the second operand is the result."""
    right: Any = TABLE.by_name["f32.min"].run
    return w if z == 0 and w == 0 else float(right(z, w))


def i64_shr_s(i: int, j: int) -> int:
    """The count is not taken modulo 64: from 64 on only the sign is left."""
    return int(ishr_s(64, i, j)) if j < 64 else 0 if signed(64, i) >= 0 else (1 << 64) - 1


def trunc_f32_s(z: float) -> int:
    """2**31 passes the check of the range and wraps around."""
    right: Any = TABLE.by_name["i32.trunc_f32_s"].run
    return 1 << 31 if z == 2.0**31 else int(right(z))


def load8_s(frame: Any, m: Any, i: int) -> int:
    """The sign of the byte is lost."""
    return int(load_n(I32, 1, False, frame, m, i))


def select(v: Any, w: Any, i: int) -> Any:
    """The condition is taken for positive instead of nonzero."""
    return v if signed(32, i) > 0 else w


def nearest(z: float) -> float:
    """Ties go away from zero instead of to even."""
    right: Any = TABLE.by_name["f64.nearest"].run
    return float(right(z)) + (1.0 if z % 2 == 0.5 else 0.0)


def swizzle(v: bytes, s: bytes) -> bytes:
    """What other vector units do with an index that is too large."""
    return bytes([v[i % 16] for i in s])


def avgr_u(v: bytes, w: bytes) -> bytes:
    """The sum is halved without the 1 that rounds up."""
    return vbinop(I16X8, lambda n, i, j: (i + j) >> 1, v, w)


# memory


def load_last_byte(frame: Any, m: Any, i: int) -> int:
    """The bounds are off by one: the last byte of the memory cannot be read."""
    if i + m.offset + 4 == len(frame.module.mems[m.mem].data):
        raise Trap(TrapKind.MEMORY_OUT_OF_BOUNDS)
    return int(load_n(I32, 4, False, frame, m, i))


def memory_grow(frame: Any, x: int, n: int) -> int:
    """The new size is the result, not the old one."""
    mem = frame.module.mems[x]
    return int(mem.size_pages) if mem.grow(n) >= 0 else (1 << 32) - 1


def memory_copy(frame: Any, x: int, y: int, d: int, s: int, n: int) -> None:
    """Bytes are copied upwards one after the other, whatever the overlap."""
    to, of = frame.module.mems[x], frame.module.mems[y]
    to.copy(of, d, s, 0)
    of.read(s, n)
    to.read(d, n)
    for k in range(n):
        to.data[d + k] = of.data[s + k]


def memory_fill(frame: Any, x: int, d: int, val: int, n: int) -> None:
    """Bounds are checked for the first byte only; what is in bounds is filled."""
    mem = frame.module.mems[x]
    mem.fill(d, val % 256, 0)
    mem.fill(d, val % 256, min(n, len(mem.data) - d))


def data_drop(frame: Any, x: int) -> None:
    """The segment stays."""


# control, calls and order


def br_table(low: Lowering, p: Plan, imms: tuple[Any, ...], offset: int) -> None:
    """An index beyond the table goes to the last label instead of the default."""
    labels, default = imms[0]
    RULES["br_table"](low, p, ((labels, labels[-1] if labels else default),), offset)


def local_tee(low: Lowering, p: Plan, imms: tuple[Any, ...], offset: int) -> None:
    """What goes on is the local's old value."""
    value = low.stack.pop()
    low.push(imms[0])
    low.push(value)
    RULES["local.set"](low, p, imms, offset)


def _cached(table: TableInst, i: int, expected: DefType) -> Any:
    """A wrong type does not trap: the call goes to the first function of the right type, as from a stale cache."""
    func = table.elems[i] if i < len(table.elems) else None
    if func is not None and func.type is not expected:
        fitting = (f for f in table.elems if f is not None and f.type is expected)
        func = next(fitting, None)
    return resolve(table, i, expected) if func is None else func


_cached_call = partial(call_indirect, resolve=_cached)


def _marked(low: Lowering, p: Plan, imms: tuple[Any, ...], offset: int) -> None:
    """A store as it should be, remembered for :func:`_before_store`."""
    RULES["store"](low, p, imms, offset)
    effect = low.body[-1]

    def store(registers: Any) -> Any:
        return effect(registers)

    store.is_store = True  # type: ignore[attr-defined]
    low.body[-1] = store


def _before_store(name: str, low: Lowering, p: Plan, imms: tuple[Any, ...], offset: int) -> None:
    """The effect is moved before a store that it follows: if it traps, the store is lost."""
    RULES[name](low, p, imms, offset)
    if len(low.body) >= 2 and getattr(low.body[-2], "is_store", False):
        low.body[-2:] = reversed(low.body[-2:])


def _lost_store() -> Build:
    moved = ("local.set", "global.set")
    return Build(rules={"store": _marked, **{name: partial(_before_store, name) for name in moved}})


PLANTED: dict[str, Planted] = {
    p.name: p
    for p in (
        Planted("rem-s", "i32.rem_s of INT_MIN by -1 traps", _row("i32.rem_s", rem_s)),
        Planted("copysign-nan", "f64.copysign of a NaN keeps its sign", _row("f64.copysign", copysign)),
        Planted("min-zero", "f32.min(-0, 0) is 0", _row("f32.min", f32_min)),
        Planted("shr-64", "i64.shr_s by 64 is not by 0", _row("i64.shr_s", i64_shr_s)),
        Planted("trunc-edge", "i32.trunc_f32_s of 2**31 does not trap", _row("i32.trunc_f32_s", trunc_f32_s)),
        Planted("load8-sign", "i32.load8_s does not extend the sign", _row("i32.load8_s", load8_s)),
        Planted("select-sign", "select takes a negative condition for 0", _row("select", select)),
        Planted("nearest-tie", "f64.nearest rounds 0.5 to 1", _row("f64.nearest", nearest)),
        Planted("swizzle-wraps", "i8x16.swizzle takes indices modulo 16", _row("i8x16.swizzle", swizzle)),
        Planted("average-down", "i16x8.avgr_u rounds down", _row("i16x8.avgr_u", avgr_u)),
        Planted("last-byte", "i32.load cannot read the last byte", _row("i32.load", load_last_byte)),
        Planted("grow-result", "memory.grow gives the new size", _row("memory.grow", memory_grow)),
        Planted("copy-overlap", "memory.copy upwards over itself repeats bytes", _row("memory.copy", memory_copy)),
        Planted("fill-bounds", "memory.fill checks its first byte only", _row("memory.fill", memory_fill)),
        Planted("data-drop", "data.drop does nothing", _row("data.drop", data_drop)),
        Planted("br-table", "br_table never takes its default", _rule("br_table", br_table)),
        Planted("tee", "local.tee gives the old value", _rule("local.tee", local_tee)),
        Planted("call-type", "call_indirect of a wrong type uses a stale cache", _rule("call_indirect", _cached_call)),
        Planted("lost-store", "a trap in the next statement loses a store", _lost_store),
    )
}
PLANTS.update({p.name: p.build for p in PLANTED.values()})
