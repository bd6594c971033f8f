"""Immediate kinds of constants (spec: binary-numeric, text-num): numbers, vectors and lanes."""

from __future__ import annotations

from math import isfinite, isnan
from operator import methodcaller
from typing import TYPE_CHECKING

from engine.instructions.kind import Imm
from engine.instructions.leb import s
from engine.numerics.ints import signed
from engine.values import f32_from_bits, f64_from_bits

if TYPE_CHECKING:
    from engine.instructions.kind import Text

__all__ = ["F32_BITS", "F64_BITS", "I32_BITS", "I64_BITS", "LANEIDX", "LANES", "V128_BITS", "print_float"]


def print_float(z: float, nan: int, negative: bool) -> str:
    """Return the exact text of a float; for a NaN, ``nan`` is its payload (spec: text-float)."""
    if isnan(z):
        return f"{'-' if negative else ''}nan:{nan:#x}"
    return z.hex() if isfinite(z) else "-inf" if negative else "inf"


def _print_f32(bits: int) -> str:
    return print_float(f32_from_bits(bits), bits & 0x7F_FFFF, bits >> 31 == 1)


def _print_f64(bits: int) -> str:
    return print_float(f64_from_bits(bits), bits & 0xF_FFFF_FFFF_FFFF, bits >> 63 == 1)


# fmt: off
I32_BITS = Imm("i32", lambda r: r.s32() & 0xFFFF_FFFF, lambda i: s(signed(32, i)), lambda i: str(signed(32, i)),
               parse=methodcaller("integer", 32))
I64_BITS = Imm("i64", lambda r: r.s64() & 0xFFFF_FFFF_FFFF_FFFF, lambda i: s(signed(64, i)),
               lambda i: str(signed(64, i)), parse=methodcaller("integer", 64))
F32_BITS = Imm("f32", lambda r: int.from_bytes(r.bytes(4), "little"), lambda i: i.to_bytes(4, "little"), _print_f32,
               parse=methodcaller("float_", 32))
F64_BITS = Imm("f64", lambda r: int.from_bytes(r.bytes(8), "little"), lambda i: i.to_bytes(8, "little"), _print_f64,
               parse=methodcaller("float_", 64))
# fmt: on


# Vectors.

_LANE_BITS = {"i8x16": 8, "i16x8": 16, "i32x4": 32, "i64x2": 64, "f32x4": 32, "f64x2": 64}


def _print_v128(bits: int) -> str:
    return "i32x4 " + " ".join([f"{bits >> at & 0xFFFF_FFFF:#010x}" for at in (0, 32, 64, 96)])


def _parse_v128(t: Text) -> int:
    """Spec: text-instr-vec.  A shape, then one literal for each of its lanes."""
    shape = t.keyword()
    n = _LANE_BITS.get(shape)
    if n is None:
        raise t.error("unexpected token", f"a shape of lanes is expected, not {shape[:40]}", 1)
    if t.numbers_ahead(128 // n + 1) != 128 // n:
        raise t.error("wrong number of lane literals", f"{shape} has {128 // n}")
    read = t.float_ if shape.startswith("f") else t.integer
    return sum([read(n) << at for at in range(0, 128, n)])


def _parse_lanes(t: Text) -> bytes:
    if t.words_ahead(17) != 16:
        raise t.error("invalid lane length", "16 lane indices are expected")
    return bytes([t.unsigned(8) for _ in range(16)])


def _print_lanes(lanes: bytes) -> str:
    return " ".join(map(str, lanes))


LANEIDX = Imm("laneidx", methodcaller("byte"), lambda l: bytes((l,)), parse=methodcaller("unsigned", 8), words=1)
# Sixteen lane indices, as bytes.
LANES = Imm("lanes", methodcaller("bytes", 16), lambda lanes: lanes, _print_lanes, parse=_parse_lanes, words=16)
V128_BITS = Imm("v128", lambda r: int.from_bytes(r.bytes(16), "little"), lambda i: i.to_bytes(16, "little"),
                _print_v128, parse=_parse_v128)  # fmt: skip
