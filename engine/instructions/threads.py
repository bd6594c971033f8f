"""Atomic instructions (proposal: threads): what one agent alone can tell of them.

Every access is sequentially consistent, as in a store with one agent every access is anyway.  An access traps where it
is not aligned, else where it is out of bounds; the alignment in the memory argument is the natural one.  They work on
memories that are not shared too, except that a wait there traps.

Time does not pass while the only agent waits: nobody is left to wake it.  So a wait that blocks and has a timeout is
over at once, with the result "timed out", and one without a timeout ends in ``ExhaustionError``.  A notification wakes
nobody.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from engine.errors import ExhaustionError, InvalidError, Resource, Trap, TrapKind
from engine.features import THREADS
from engine.instructions.immediates import MEMARG, RESERVED
from engine.instructions.memory import memarg
from engine.instructions.model import Effect, Instr, Region, proposal
from engine.numerics.ints import iadd, iand, ior, isub, ixor, sign
from engine.types import I32, I64, Arrow, arrow

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.instructions.immediates import MemArg
    from engine.runtime.memory import MemInst
    from engine.types import AddrType, NumType

__all__ = ["ROWS"]

NOT_EQUAL, TIMED_OUT = 1, 2

_PREFIX = 0xFE
_MEMORY = frozenset({Region.MEMORY})
_NOTHING: frozenset[Region] = frozenset()
_TRAPS = frozenset({TrapKind.UNALIGNED_ATOMIC, TrapKind.MEMORY_OUT_OF_BOUNDS})


# -- execution


def _cell(frame: Any, m: MemArg, i: int, bytes: int) -> tuple[MemInst, int]:
    """Return the memory and the effective address of an access, or trap because it is not aligned."""
    ea = i + m.offset
    if ea % bytes:
        raise Trap(TrapKind.UNALIGNED_ATOMIC, f"{bytes} bytes at {ea:#x}")
    return frame.module.mems[m.mem], ea


def atomic_load(bytes: int, frame: Any, m: MemArg, i: int) -> int:
    """Return the integer in memory, extended by zeros."""
    mem, ea = _cell(frame, m, i, bytes)
    return int.from_bytes(mem.read(ea, bytes), "little")


def atomic_store(bytes: int, frame: Any, m: MemArg, i: int, v: int) -> None:
    """Replace the integer in memory by the low bits of ``v``."""
    mem, ea = _cell(frame, m, i, bytes)
    mem.write(ea, (v % 2 ** (8 * bytes)).to_bytes(bytes, "little"))


def atomic_rmw(bytes: int, fn: Callable[[int, int, int], int], frame: Any, m: MemArg, i: int, v: int) -> int:
    """Replace the integer in memory by ``fn(n, old, v)``, and return the old one, extended by zeros."""
    old = atomic_load(bytes, frame, m, i)
    atomic_store(bytes, frame, m, i, fn(8 * bytes, old, v % 2 ** (8 * bytes)))
    return old


def exchange(n: int, i: int, j: int) -> int:
    """Return the new value."""
    return j


def atomic_cmpxchg(bytes: int, frame: Any, m: MemArg, i: int, expected: int, v: int) -> int:
    """Replace the integer in memory if it equals the low bits of ``expected``; return the old one either way."""
    old = atomic_load(bytes, frame, m, i)
    if old == expected % 2 ** (8 * bytes):
        atomic_store(bytes, frame, m, i, v)
    return old


def atomic_wait(bytes: int, frame: Any, m: MemArg, i: int, expected: int, timeout_ns: int) -> int:
    """Return 1 where memory does not hold ``expected``, else 2 at once if there is a timeout: see the module."""
    found = atomic_load(bytes, frame, m, i)
    if not frame.module.mems[m.mem].type.shared:
        raise Trap(TrapKind.EXPECTED_SHARED_MEMORY)
    if found != expected:
        return NOT_EQUAL
    if timeout_ns & sign(64):  # negative: for ever
        raise ExhaustionError(Resource.TIME)
    return TIMED_OUT


def atomic_notify(bytes: int, frame: Any, m: MemArg, i: int, count: int) -> int:
    """Return how many agents were woken: none."""
    atomic_load(bytes, frame, m, i)
    return 0


def atomic_fence(frame: Any, reserved: int) -> None:
    """Do nothing: there is nobody to agree with on an order."""


# -- validation


def _memarg(c: Any, m: MemArg, bytes: int) -> AddrType:
    t = memarg(c, m, bytes)
    if 1 << m.align != bytes:
        raise InvalidError(f"atomic alignment must be natural: 2**{m.align} for {bytes} bytes")
    return t


# -- rows


def _row(
    name: str, sub: int, pops: tuple[NumType, ...], pushes: tuple[NumType, ...], bytes: int, run: Callable[..., Any],
    **rest: Any,
) -> Instr:  # fmt: skip
    """An access of this many bytes, whose first operand is the address."""
    arrows = {at: Arrow((at, *pops), pushes) for at in (I32, I64)}
    spec = f"exec-{rest['family'].replace(' ', '-')}"
    fields: dict[str, Any] = {"traps": _TRAPS, "reads": _MEMORY, "weight": 25, "spec": spec}
    return Instr(
        name=name, opcode=(_PREFIX, sub), type=lambda c, m: arrows[_memarg(c, m, bytes)], effect=Effect.STATE,
        run=run, imms=(MEMARG,), access=bytes, **(fields | rest),
    )  # fmt: skip


def load(name: str, sub: int, t: NumType, *, bytes: int) -> Instr:
    """``address -> t``."""
    return _row(name, sub, (), (t,), bytes, partial(atomic_load, bytes), family="atomic load")


def store(name: str, sub: int, t: NumType, *, bytes: int) -> Instr:
    """``address t ->``."""
    run = partial(atomic_store, bytes)
    return _row(name, sub, (t,), (), bytes, run, family="atomic store", reads=_NOTHING, writes=_MEMORY)


def rmw(name: str, sub: int, t: NumType, *, bytes: int, fn: Callable[[int, int, int], int]) -> Instr:
    """``address t -> t`` by ``fn(n, i, j)``."""
    run = partial(atomic_rmw, bytes, fn)
    return _row(name, sub, (t,), (t,), bytes, run, family="atomic rmw", writes=_MEMORY, weight=12)


def cmpxchg(name: str, sub: int, t: NumType, *, bytes: int) -> Instr:
    """``address t t -> t``: expected and replacement."""
    return _row(name, sub, (t, t), (t,), bytes, partial(atomic_cmpxchg, bytes), family="atomic cmpxchg", writes=_MEMORY)


def wait(name: str, sub: int, t: NumType) -> Instr:
    """``address t i64 -> i32``: expected value and timeout in nanoseconds."""
    bytes = t.bits // 8
    traps = _TRAPS | {TrapKind.EXPECTED_SHARED_MEMORY}
    run = partial(atomic_wait, bytes)
    return _row(name, sub, (t, I64), (I32,), bytes, run, family="atomic wait", writes=_MEMORY, traps=traps, weight=8)


def notify(name: str, sub: int) -> Instr:
    """``address i32 -> i32``."""
    return _row(name, sub, (I32,), (I32,), 4, partial(atomic_notify, 4), family="atomic notify", writes=_MEMORY)


def fence(name: str, sub: int) -> Instr:
    """``->``, and nothing that touches memory moves across."""
    return Instr(
        name=name, opcode=(_PREFIX, sub), type=arrow("->"), effect=Effect.STATE, run=atomic_fence, imms=(RESERVED,),
        reads=_MEMORY, writes=_MEMORY, family="atomic fence", spec="exec-atomic-fence", weight=5,
    )  # fmt: skip


# fmt: off
ROWS = proposal(THREADS, [
    notify("memory.atomic.notify",  0x00),
    wait("memory.atomic.wait32",    0x01, I32),
    wait("memory.atomic.wait64",    0x02, I64),
    fence("atomic.fence",           0x03),
    load("i32.atomic.load",       0x10, I32, bytes=4),
    load("i64.atomic.load",       0x11, I64, bytes=8),
    load("i32.atomic.load8_u",    0x12, I32, bytes=1),
    load("i32.atomic.load16_u",   0x13, I32, bytes=2),
    load("i64.atomic.load8_u",    0x14, I64, bytes=1),
    load("i64.atomic.load16_u",   0x15, I64, bytes=2),
    load("i64.atomic.load32_u",   0x16, I64, bytes=4),
    store("i32.atomic.store",     0x17, I32, bytes=4),
    store("i64.atomic.store",     0x18, I64, bytes=8),
    store("i32.atomic.store8",    0x19, I32, bytes=1),
    store("i32.atomic.store16",   0x1A, I32, bytes=2),
    store("i64.atomic.store8",    0x1B, I64, bytes=1),
    store("i64.atomic.store16",   0x1C, I64, bytes=2),
    store("i64.atomic.store32",   0x1D, I64, bytes=4),
    rmw("i32.atomic.rmw.add",       0x1E, I32, bytes=4, fn=iadd),
    rmw("i64.atomic.rmw.add",       0x1F, I64, bytes=8, fn=iadd),
    rmw("i32.atomic.rmw8.add_u",    0x20, I32, bytes=1, fn=iadd),
    rmw("i32.atomic.rmw16.add_u",   0x21, I32, bytes=2, fn=iadd),
    rmw("i64.atomic.rmw8.add_u",    0x22, I64, bytes=1, fn=iadd),
    rmw("i64.atomic.rmw16.add_u",   0x23, I64, bytes=2, fn=iadd),
    rmw("i64.atomic.rmw32.add_u",   0x24, I64, bytes=4, fn=iadd),
    rmw("i32.atomic.rmw.sub",       0x25, I32, bytes=4, fn=isub),
    rmw("i64.atomic.rmw.sub",       0x26, I64, bytes=8, fn=isub),
    rmw("i32.atomic.rmw8.sub_u",    0x27, I32, bytes=1, fn=isub),
    rmw("i32.atomic.rmw16.sub_u",   0x28, I32, bytes=2, fn=isub),
    rmw("i64.atomic.rmw8.sub_u",    0x29, I64, bytes=1, fn=isub),
    rmw("i64.atomic.rmw16.sub_u",   0x2A, I64, bytes=2, fn=isub),
    rmw("i64.atomic.rmw32.sub_u",   0x2B, I64, bytes=4, fn=isub),
    rmw("i32.atomic.rmw.and",       0x2C, I32, bytes=4, fn=iand),
    rmw("i64.atomic.rmw.and",       0x2D, I64, bytes=8, fn=iand),
    rmw("i32.atomic.rmw8.and_u",    0x2E, I32, bytes=1, fn=iand),
    rmw("i32.atomic.rmw16.and_u",   0x2F, I32, bytes=2, fn=iand),
    rmw("i64.atomic.rmw8.and_u",    0x30, I64, bytes=1, fn=iand),
    rmw("i64.atomic.rmw16.and_u",   0x31, I64, bytes=2, fn=iand),
    rmw("i64.atomic.rmw32.and_u",   0x32, I64, bytes=4, fn=iand),
    rmw("i32.atomic.rmw.or",        0x33, I32, bytes=4, fn=ior),
    rmw("i64.atomic.rmw.or",        0x34, I64, bytes=8, fn=ior),
    rmw("i32.atomic.rmw8.or_u",     0x35, I32, bytes=1, fn=ior),
    rmw("i32.atomic.rmw16.or_u",    0x36, I32, bytes=2, fn=ior),
    rmw("i64.atomic.rmw8.or_u",     0x37, I64, bytes=1, fn=ior),
    rmw("i64.atomic.rmw16.or_u",    0x38, I64, bytes=2, fn=ior),
    rmw("i64.atomic.rmw32.or_u",    0x39, I64, bytes=4, fn=ior),
    rmw("i32.atomic.rmw.xor",       0x3A, I32, bytes=4, fn=ixor),
    rmw("i64.atomic.rmw.xor",       0x3B, I64, bytes=8, fn=ixor),
    rmw("i32.atomic.rmw8.xor_u",    0x3C, I32, bytes=1, fn=ixor),
    rmw("i32.atomic.rmw16.xor_u",   0x3D, I32, bytes=2, fn=ixor),
    rmw("i64.atomic.rmw8.xor_u",    0x3E, I64, bytes=1, fn=ixor),
    rmw("i64.atomic.rmw16.xor_u",   0x3F, I64, bytes=2, fn=ixor),
    rmw("i64.atomic.rmw32.xor_u",   0x40, I64, bytes=4, fn=ixor),
    rmw("i32.atomic.rmw.xchg",      0x41, I32, bytes=4, fn=exchange),
    rmw("i64.atomic.rmw.xchg",      0x42, I64, bytes=8, fn=exchange),
    rmw("i32.atomic.rmw8.xchg_u",   0x43, I32, bytes=1, fn=exchange),
    rmw("i32.atomic.rmw16.xchg_u",  0x44, I32, bytes=2, fn=exchange),
    rmw("i64.atomic.rmw8.xchg_u",   0x45, I64, bytes=1, fn=exchange),
    rmw("i64.atomic.rmw16.xchg_u",  0x46, I64, bytes=2, fn=exchange),
    rmw("i64.atomic.rmw32.xchg_u",  0x47, I64, bytes=4, fn=exchange),
    cmpxchg("i32.atomic.rmw.cmpxchg",      0x48, I32, bytes=4),
    cmpxchg("i64.atomic.rmw.cmpxchg",      0x49, I64, bytes=8),
    cmpxchg("i32.atomic.rmw8.cmpxchg_u",   0x4A, I32, bytes=1),
    cmpxchg("i32.atomic.rmw16.cmpxchg_u",  0x4B, I32, bytes=2),
    cmpxchg("i64.atomic.rmw8.cmpxchg_u",   0x4C, I64, bytes=1),
    cmpxchg("i64.atomic.rmw16.cmpxchg_u",  0x4D, I64, bytes=2),
    cmpxchg("i64.atomic.rmw32.cmpxchg_u",  0x4E, I64, bytes=4),
])
# fmt: on
