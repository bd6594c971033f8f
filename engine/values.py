"""How a value of each type is represented inside the engine, its default, and its bits.

=============  ==========================================================================================
i32 i64        int, unsigned: ``0 <= i < 2**n`` everywhere; ``numerics.ints.signed`` is the only conversion
f64            float; a Python float keeps all 64 bits through moves, negation, ``abs`` and ``copysign``
f32            float holding the exact value; a NaN is widened *by bits*: sign, then payload shifted by 29
v128           bytes, 16 of them, as in memory
references     None for null of any type; an int, unsigned, for an i31; else an object of ``engine.runtime``
=============  ==========================================================================================

An f32 NaN must never pass through a C conversion between float and double: that sets the quiet bit.  Hence the
functions here test for NaN themselves, and everybody else goes through them.
"""

from __future__ import annotations

from array import array
from math import copysign
from struct import Struct
from typing import TYPE_CHECKING, Any

from engine.errors import EngineBug
from engine.types import F32, F64, I32, I64, V128

if TYPE_CHECKING:
    from engine.types import ValType

__all__ = [
    "default", "f32_from_bits", "f32_round", "f32_to_bits", "f64_from_bits", "f64_to_bits", "from_bits", "to_bits",
]  # fmt: skip

_F32 = Struct("<f")
_F64 = Struct("<d")
_U32 = Struct("<I")
_U64 = Struct("<Q")
_CELL = array("f", [0.0])  # unlike struct, storing beyond the largest f32 gives infinity


def f64_from_bits(bits: int) -> float:
    """Return the f64 with these 64 bits."""
    return _F64.unpack(_U64.pack(bits))[0]  # type: ignore[no-any-return]


def f64_to_bits(z: float) -> int:
    """Return the 64 bits of an f64."""
    return _U64.unpack(_F64.pack(z))[0]  # type: ignore[no-any-return]


def f32_nan_from_bits(bits: int) -> float:
    """Return the f32 NaN with these 32 bits."""
    return f64_from_bits((bits & 0x8000_0000) << 32 | 0x7FF0_0000_0000_0000 | (bits & 0x7F_FFFF) << 29)


def f32_nan_to_bits(z: float) -> int:
    """Return the 32 bits of an f32 that is a NaN: in double its exponent has ones to spare."""
    return f64_to_bits(z) >> 29 & 0x7FFF_FFFF | (0x8000_0000 if copysign(1.0, z) < 0 else 0)


def f32_from_bits(bits: int) -> float:
    """Return the f32 with these 32 bits."""
    return f32_nan_from_bits(bits) if bits & 0x7FFF_FFFF > 0x7F80_0000 else _F32.unpack(_U32.pack(bits))[0]


def f32_to_bits(z: float) -> int:
    """Return the 32 bits of an f32; a value that no f32 has is our fault."""
    return _U32.unpack(_F32.pack(z))[0] if z == z else f32_nan_to_bits(z)  # noqa: PLR0124


def f32_round(x: float) -> float:
    """Return the f32 nearest to a double, ties to even; payloads of NaN are not kept."""
    _CELL[0] = x
    return _CELL[0]


def from_bits(valtype: ValType, bits: int) -> Any:
    """Return the number or vector whose bits are the unsigned integer ``bits``."""
    if valtype is I32 or valtype is I64:
        return bits
    if valtype is F32:
        return f32_from_bits(bits)
    if valtype is F64:
        return f64_from_bits(bits)
    if valtype is V128:
        return bits.to_bytes(16, "little")
    raise EngineBug(f"values of type {valtype} have no bits")


def to_bits(valtype: ValType, value: Any) -> int:
    """Return the bits of a number or vector as an unsigned integer."""
    if valtype is I32 or valtype is I64:
        return int(value)
    if valtype is F32:
        return f32_to_bits(value)
    if valtype is F64:
        return f64_to_bits(value)
    if valtype is V128:
        return int.from_bytes(value, "little")
    raise EngineBug(f"values of type {valtype} have no bits")


def default(valtype: ValType) -> Any:
    """Return zero or null (spec: default-val); asking for a non-null reference type is our fault."""
    if valtype is I32 or valtype is I64:
        return 0
    if valtype is F32 or valtype is F64:
        return 0.0
    if valtype is V128:
        return bytes(16)
    if getattr(valtype, "null", False):
        return None
    raise EngineBug(f"type {valtype} has no default")
