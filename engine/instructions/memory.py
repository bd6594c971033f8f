"""Memory instructions (spec: syntax-instr-memory).

A load or store row shows how it touches memory: its ``run`` is ``partial(load_n, t, bytes, signed)`` or
``partial(store_n, t, bytes)``.  Execution derives faster closures from these facts and is tested equal to ``run``.
Immediates of ``memory.init`` are segment then memory, those of ``memory.copy`` destination then source.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from engine.errors import InvalidError, TrapKind
from engine.features import BULK_MEMORY, MVP, Feature
from engine.instructions.immediates import DATAIDX, LEADING_MEMIDX, MEMARG, MEMIDX
from engine.instructions.model import Bulk, Effect, Instr, Region
from engine.types import F32, F64, I32, I64, Arrow
from engine.values import from_bits, to_bits

if TYPE_CHECKING:
    from engine.instructions.immediates import MemArg
    from engine.instructions.model import Opcode
    from engine.types import AddrType, MemType, NumType, VecType

__all__ = ["ROWS", "load", "load_n", "memarg", "store", "store_n"]

_OUT_OF_BOUNDS = frozenset({TrapKind.MEMORY_OUT_OF_BOUNDS})
_MEMORY = frozenset({Region.MEMORY})
_SEGMENT = frozenset({Region.SEGMENT})


def load_n(t: NumType | VecType, bytes: int, signed: bool, frame: Any, m: MemArg, i: int) -> Any:
    """Spec: exec-load-val, exec-load-pack."""
    bits = int.from_bytes(frame.module.mems[m.mem].read(i + m.offset, bytes), "little", signed=signed)
    return from_bits(t, bits % 2**t.bits)


def store_n(t: NumType | VecType, bytes: int, frame: Any, m: MemArg, i: int, v: Any) -> None:
    """Spec: exec-store-val, exec-store-pack."""
    bits = to_bits(t, v) % 2 ** (8 * bytes)
    frame.module.mems[m.mem].write(i + m.offset, bits.to_bytes(bytes, "little"))


def memory_size(frame: Any, x: int) -> Any:
    """Spec: exec-memory.size."""
    return frame.module.mems[x].size_pages


def memory_grow(frame: Any, x: int, n: int) -> int:
    """Spec: exec-memory.grow."""
    mem = frame.module.mems[x]
    bits: int = mem.type.addrtype.bits
    old: int = mem.grow(n)
    return old & ((1 << bits) - 1)


def memory_init(frame: Any, y: int, x: int, d: int, s: int, n: int) -> None:
    """Spec: exec-memory.init."""
    frame.module.mems[x].init(frame.module.datas[y].data, d, s, n)


def data_drop(frame: Any, x: int) -> None:
    """Spec: exec-data.drop."""
    frame.module.datas[x].drop()


def memory_copy(frame: Any, x: int, y: int, d: int, s: int, n: int) -> None:
    """Spec: exec-memory.copy."""
    mems = frame.module.mems
    mems[x].copy(mems[y], d, s, n)


def memory_fill(frame: Any, x: int, d: int, val: int, n: int) -> None:
    """Spec: exec-memory.fill; only the low byte of ``val`` counts."""
    frame.module.mems[x].fill(d, val % 256, n)


def memarg(c: Any, m: MemArg, bytes: int) -> AddrType:
    """Return the address type of an access of this many bytes, if its alignment and offset are valid.

    Spec: valid-memarg.
    """
    t: MemType = c.mem(m.mem)
    if m.align >= bytes.bit_length():
        raise InvalidError(f"alignment must not be larger than natural: 2**{m.align} for {bytes} bytes")
    if m.offset >= 2**t.addrtype.bits:
        raise InvalidError(f"offset out of range: {m.offset:#x}")
    return t.addrtype


def load(name: str, opcode: Opcode, t: NumType | VecType, *, bytes: int, signed: bool = False, **rest: Any) -> Instr:
    """``address -> t`` from ``bytes`` little-endian bytes, extended by sign or zeros."""
    arrows = {at: Arrow((at,), (t,)) for at in (I32, I64)}
    fields: dict[str, Any] = {"spec": "exec-load-val" if 8 * bytes == t.bits else "exec-load-pack"} | rest
    return Instr(
        name=name, opcode=opcode, type=lambda c, m: arrows[memarg(c, m, bytes)], effect=Effect.STATE,
        run=partial(load_n, t, bytes, signed), imms=(MEMARG,), traps=_OUT_OF_BOUNDS, reads=_MEMORY, family="load",
        access=bytes, hot=True, **fields,
    )  # fmt: skip


def store(name: str, opcode: Opcode, t: NumType | VecType, *, bytes: int, **rest: Any) -> Instr:
    """``address t ->``, the low ``bytes`` bytes in little-endian order."""
    arrows = {at: Arrow((at, t), ()) for at in (I32, I64)}
    fields: dict[str, Any] = {"spec": "exec-store-val" if 8 * bytes == t.bits else "exec-store-pack"} | rest
    return Instr(
        name=name, opcode=opcode, type=lambda c, m: arrows[memarg(c, m, bytes)], effect=Effect.STATE,
        run=partial(store_n, t, bytes), imms=(MEMARG,), traps=_OUT_OF_BOUNDS, writes=_MEMORY, family="store",
        access=bytes, hot=True, **fields,
    )  # fmt: skip


def _size(c: Any, x: int) -> Arrow:
    return Arrow((), (c.mem(x).addrtype,))


def _grow(c: Any, x: int) -> Arrow:
    t: MemType = c.mem(x)
    return Arrow((t.addrtype,), (t.addrtype,))


def _init(c: Any, y: int, x: int) -> Arrow:
    """Spec: valid-memory.init."""
    t: MemType = c.mem(x)
    c.data(y)
    return Arrow((t.addrtype, I32, I32), ())


def _drop(c: Any, x: int) -> Arrow:
    c.data(x)
    return Arrow((), ())


def _copy(c: Any, x: int, y: int) -> Arrow:
    """Spec: valid-memory.copy; the length has the narrower address type."""
    to: AddrType = c.mem(x).addrtype
    of: AddrType = c.mem(y).addrtype
    return Arrow((to, of, to if to.bits < of.bits else of), ())


def _fill(c: Any, x: int) -> Arrow:
    t: MemType = c.mem(x)
    return Arrow((t.addrtype, I32, t.addrtype), ())


def _row(name: str, opcode: Opcode, feature: Feature, **rest: Any) -> Instr:
    fields: dict[str, Any] = {"imms": (MEMIDX,), "weight": 40, "spec": f"exec-{name}"} | rest
    return Instr(name=name, opcode=opcode, feature=feature, effect=Effect.STATE, family="memory", **fields)


# fmt: off
ROWS = [
    load("i32.load",      0x28, I32, bytes=4),
    load("i64.load",      0x29, I64, bytes=8),
    load("f32.load",      0x2A, F32, bytes=4),
    load("f64.load",      0x2B, F64, bytes=8),
    load("i32.load8_s",   0x2C, I32, bytes=1, signed=True),
    load("i32.load8_u",   0x2D, I32, bytes=1),
    load("i32.load16_s",  0x2E, I32, bytes=2, signed=True),
    load("i32.load16_u",  0x2F, I32, bytes=2),
    load("i64.load8_s",   0x30, I64, bytes=1, signed=True),
    load("i64.load8_u",   0x31, I64, bytes=1),
    load("i64.load16_s",  0x32, I64, bytes=2, signed=True),
    load("i64.load16_u",  0x33, I64, bytes=2),
    load("i64.load32_s",  0x34, I64, bytes=4, signed=True),
    load("i64.load32_u",  0x35, I64, bytes=4),
    store("i32.store",    0x36, I32, bytes=4),
    store("i64.store",    0x37, I64, bytes=8),
    store("f32.store",    0x38, F32, bytes=4),
    store("f64.store",    0x39, F64, bytes=8),
    store("i32.store8",   0x3A, I32, bytes=1),
    store("i32.store16",  0x3B, I32, bytes=2),
    store("i64.store8",   0x3C, I64, bytes=1),
    store("i64.store16",  0x3D, I64, bytes=2),
    store("i64.store32",  0x3E, I64, bytes=4),
    _row("memory.size",   0x3F,       MVP,         type=_size, run=memory_size, reads=_MEMORY),
    _row("memory.grow",   0x40,       MVP,         type=_grow, run=memory_grow, reads=_MEMORY, writes=_MEMORY,
         bulk=Bulk(0, "page"), weight=20),
    _row("memory.init",   (0xFC, 8),  BULK_MEMORY, type=_init, run=memory_init, reads=_SEGMENT, writes=_MEMORY,
         traps=_OUT_OF_BOUNDS, imms=(DATAIDX, LEADING_MEMIDX), bulk=Bulk(2, "byte"), weight=80),
    _row("data.drop",     (0xFC, 9),  BULK_MEMORY, type=_drop, run=data_drop,   writes=_SEGMENT, imms=(DATAIDX,)),
    _row("memory.copy",   (0xFC, 10), BULK_MEMORY, type=_copy, run=memory_copy, reads=_MEMORY, writes=_MEMORY,
         traps=_OUT_OF_BOUNDS, imms=(MEMIDX, MEMIDX), bulk=Bulk(2, "byte"), weight=80),
    _row("memory.fill",   (0xFC, 11), BULK_MEMORY, type=_fill, run=memory_fill, writes=_MEMORY,
         traps=_OUT_OF_BOUNDS, bulk=Bulk(2, "byte"), weight=80),
]
# fmt: on
