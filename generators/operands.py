"""Operands with a meaning: addresses, indices, lengths, divisors.

A random i32 is almost never a valid address, and a body that traps at its first load tests nothing behind it. So an
operand whose role the row tells is aimed: mostly in bounds and close to others (dense aliasing), often exactly at
an edge, seldom anywhere. An operand of a trapping numeric operator is mostly tame in the same way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.instructions.model import Region
from engine.types import I32, I64, NumType, RefType, ValType
from generators.build import const
from generators.palette import Role
from generators.values import EDGES

if TYPE_CHECKING:
    from generators.body import Body
    from generators.palette import Option

__all__ = ["aimed", "present", "tame"]

_ONE_IN = 64  # aimed operands that are any value at all
_FAR = (1 << 32, (1 << 64) - 8, 1 << 63, (1 << 64) - 1)  # addresses that only 64 bits hold, and that must not wrap


def aimed(body: Body, t: ValType, role: Role, option: Option, imms: tuple[Any, ...], k: int) -> None:
    """Append operand ``k``, of this role."""
    if role is not Role.TIMEOUT and body.source.below(_ONE_IN) == _ONE_IN - 1:
        body.expr(t, 1)
        return
    _AIM[role](body, t, option, imms, k)


def _small(body: Body, t: ValType, bound: int, unit: int = 1) -> None:
    """Append a multiple of ``unit`` below ``bound``: a constant, or an expression masked to a power of two."""
    source = body.source
    if bound > 1 and source.chance(30):
        body.expr(t, 1)
        body.out.append(const(t, (1 << bound.bit_length() - 1) - unit))
        body.emit(f"{t}.and")
    else:
        at = source.below(max(1, bound))
        body.out.append(const(t, at - at % unit))


def _memory(option: Option, imms: tuple[Any, ...], k: int) -> int:
    """Return the memory that operand ``k`` is an address in; two memories stand in the order of their operands."""
    mems = [imm.mem if kind.name == "memarg" else imm for kind, imm in zip(option.row.imms, imms, strict=True)
            if kind.name in ("memarg", "memidx")]  # fmt: skip
    return int(mems[min(k, len(mems) - 1)])


def _address(body: Body, t: ValType, option: Option, imms: tuple[Any, ...], k: int) -> None:
    source = body.source
    x = _memory(option, imms, k)
    if not option.width:
        _span_address(body, t, x)
        return
    width, unit = option.width, option.unit
    if unit > 1 and source.chance(8):
        unit = 1
    offset = next((m.offset for m in imms if hasattr(m, "offset")), 0)
    if t is I64 and source.chance(3):
        body.out.append(const(t, source.choose(_FAR)))
        return
    how = source.below(16)
    if how < 13:
        _small(body, t, 32 if how < 9 else 256, unit)
    elif how < 15:  # the last access in bounds, the one before it, or the first beyond it
        edge = body.module.memory_bytes(x) - width - offset - unit * source.choose((0, 0, 0, 1, 1, 2, -1))
        body.out.append(const(t, max(0, edge)))
    else:  # the same edge after growth
        body.emit("memory.size", x)
        body.out.append(const(t, body.module.mems[x].page_bits))
        body.emit(f"{t}.shl")
        body.out.append(const(t, max(0, width + offset + unit * source.choose((0, 0, 0, 0, 1, 2, -1))) % 2**64))
        body.emit(f"{t}.sub")


def _span_address(body: Body, t: ValType, x: int) -> None:
    """Where a bulk operator begins: low down, or as far from the end as a usual length, or a little nearer."""
    source = body.source
    if source.below(16) < 13:
        _small(body, t, 32 if source.below(4) < 3 else 256)
    else:
        back = source.choose((16, 128, 16, 128, 15, 8, 1, 0))
        body.out.append(const(t, max(0, body.module.memory_bytes(x) - back)))


def _index(body: Body, t: ValType, option: Option, imms: tuple[Any, ...], k: int) -> None:
    """A slot of the table; for an indirect call mostly one that holds a function of the right type."""
    source = body.source
    kinds = [imm.name for imm in option.row.imms]
    table = imms[kinds.index("tableidx")]
    if "typeidx" in kinds:
        slots = body.module.slots(table, imms[kinds.index("typeidx")])
        if slots and source.below(16) < 15:
            body.out.append(const(t, source.choose(slots)))
            return
    if t is I64 and source.chance(3):
        body.out.append(const(t, source.choose(_FAR)))
    else:
        _small(body, t, body.module.table_room(table) + (1 if source.chance(4) else 0))


def _segment(body: Body, t: ValType, option: Option, imms: tuple[Any, ...], k: int) -> None:
    body.out.append(const(t, body.source.choose((0, 0, 0, 0, 0, 1))))


def _length(body: Body, t: ValType, option: Option, imms: tuple[Any, ...], k: int) -> None:
    source = body.source
    if Region.SEGMENT in option.row.reads:
        room = body.module.segment_room(option.row.imms[0].name, imms[0])
        body.out.append(const(t, source.below(room + 1) if source.below(8) < 7 else room + 1))
    elif Region.MEMORY in option.row.writes:
        _small(body, t, 16 if source.below(4) < 3 else 128)
    else:
        _small(body, t, 2 if source.below(4) < 3 else 8)


def _delta(body: Body, t: ValType, option: Option, imms: tuple[Any, ...], k: int) -> None:
    body.out.append(const(t, body.source.choose((0, 1, 2, 1, 1 << 16, 0xFFFF, (1 << (64 if t is I64 else 32)) - 1))))


def _expected(body: Body, t: ValType, option: Option, imms: tuple[Any, ...], k: int) -> None:
    """Zero, which most of a memory is, also with bits that are wrapped away where the access is narrower."""
    how = body.source.below(4)
    if how == 3:
        body.expr(t, 1)
    else:
        body.out.append(const(t, 0 if how else 1 << 8 * option.width & (1 << (64 if t is I64 else 32)) - 1))


def _timeout(body: Body, t: ValType, option: Option, imms: tuple[Any, ...], k: int) -> None:
    """A few nanoseconds at most: nobody wakes the only agent, and a negative timeout is for ever."""
    body.out.append(const(t, body.source.choose((0, 1, 1000))))


_AIM = {
    Role.ADDRESS: _address, Role.INDEX: _index, Role.SEGMENT: _segment, Role.LENGTH: _length, Role.DELTA: _delta,
    Role.EXPECTED: _expected, Role.TIMEOUT: _timeout,
}  # fmt: skip


def tame(body: Body, t: NumType, depth: int) -> None:
    """Append an operand that a trapping numeric operator mostly accepts: not zero, or small enough to convert."""
    source = body.source
    how = source.below(8)
    if how == 7:
        body.expr(t, depth)
    elif not t.is_float:
        if how < 5:
            body.out.append(const(t, source.choose(EDGES[t][1:])))
        else:
            body.expr(t, depth)
            body.out.append(const(t, 1))
            body.emit(f"{t}.or")
    elif how < 4:
        sign = 1 << t.bits - 1
        bits = source.choose(EDGES[t][:14])
        body.out.append(const(t, bits if how == 3 else bits & ~sign))
    else:
        body.expr(I32, depth)
        body.emit(f"{t}.convert_i32_{'s' if how == 4 else 'u'}")


def present(body: Body, t: RefType, depth: int) -> None:
    """Append an operand of an operator that traps on null: mostly a reference that is there, if one can be named."""
    source = body.source
    leaves = [o for o in body.module.palette.leaves[t].options if not getattr(o.pushes[0], "null", True)]
    if leaves and source.below(8) < 7:
        body.option(source.choose(leaves), depth)
    else:
        body.expr(t, depth)
