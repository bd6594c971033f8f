"""Numeric instructions (spec: syntax-instr-numeric)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.errors import TrapKind
from engine.features import EXTENDED_CONST, MVP, SATURATING_FLOAT, SIGN_EXTENSION
from engine.instructions.immediates import F32_BITS, F64_BITS, I32_BITS, I64_BITS
from engine.instructions.model import Effect, Instr, binop, cvtop, proposal, relop, testop, unop
from engine.types import F32, F64, I32, I64, Arrow
from engine.values import f32_from_bits, f64_from_bits

# isort: off
# fmt: off
from engine.numerics.ints import (
    iadd, iand, iclz, ictz, idiv_s, idiv_u, ieq, ieqz, iextend8_s, iextend16_s, iextend32_s, ige_s, ige_u, igt_s,
    igt_u, ile_s, ile_u, ilt_s, ilt_u, imul, ine, ior, ipopcnt, irem_s, irem_u, irotl, irotr, ishl, ishr_s, ishr_u,
    isub, ixor,
)
from engine.numerics.floats import (
    fabs, fadd, fceil, fcopysign, fdiv, feq, ffloor, fge, fgt, fle, flt, fmax, fmin, fmul, fne, fnearest, fneg, fsqrt,
    fsub, ftrunc,
)
from engine.numerics.conversions import (
    convert_s, convert_u, demote, extend_s, extend_u, promote, reinterpret_f, reinterpret_i, trunc_s, trunc_sat_s,
    trunc_sat_u, trunc_u, wrap,
)
# fmt: on
# isort: on

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.instructions.immediates import Imm
    from engine.types import NumType

__all__ = ["ROWS"]

ZERO = TrapKind.DIVIDE_BY_ZERO
OVERFLOW = TrapKind.INTEGER_OVERFLOW
NAN = TrapKind.BAD_CONVERSION


def const(name: str, opcode: int, t: NumType, imm: Imm, run: Callable[[int], Any]) -> Instr:
    """``-> t`` by ``run(bits)``: the value of the immediate."""
    return Instr(
        name=name, opcode=opcode, type=Arrow((), (t,)), effect=Effect.PURE, run=run, imms=(imm,), family="const",
        const=MVP, spec="exec-const",
    )  # fmt: skip


def integer(bits: int) -> int:
    """Return the integer with these bits: in the engine it is its bits."""
    return bits


# fmt: off
ROWS = [
    const("i32.const",             0x41, I32, I32_BITS, integer),
    const("i64.const",             0x42, I64, I64_BITS, integer),
    const("f32.const",             0x43, F32, F32_BITS, f32_from_bits),
    const("f64.const",             0x44, F64, F64_BITS, f64_from_bits),

    testop("i32.eqz",              0x45, I32, ieqz),
    relop("i32.eq",                0x46, I32, ieq),
    relop("i32.ne",                0x47, I32, ine),
    relop("i32.lt_s",              0x48, I32, ilt_s),
    relop("i32.lt_u",              0x49, I32, ilt_u),
    relop("i32.gt_s",              0x4A, I32, igt_s),
    relop("i32.gt_u",              0x4B, I32, igt_u),
    relop("i32.le_s",              0x4C, I32, ile_s),
    relop("i32.le_u",              0x4D, I32, ile_u),
    relop("i32.ge_s",              0x4E, I32, ige_s),
    relop("i32.ge_u",              0x4F, I32, ige_u),

    testop("i64.eqz",              0x50, I64, ieqz),
    relop("i64.eq",                0x51, I64, ieq),
    relop("i64.ne",                0x52, I64, ine),
    relop("i64.lt_s",              0x53, I64, ilt_s),
    relop("i64.lt_u",              0x54, I64, ilt_u),
    relop("i64.gt_s",              0x55, I64, igt_s),
    relop("i64.gt_u",              0x56, I64, igt_u),
    relop("i64.le_s",              0x57, I64, ile_s),
    relop("i64.le_u",              0x58, I64, ile_u),
    relop("i64.ge_s",              0x59, I64, ige_s),
    relop("i64.ge_u",              0x5A, I64, ige_u),

    relop("f32.eq",                0x5B, F32, feq),
    relop("f32.ne",                0x5C, F32, fne),
    relop("f32.lt",                0x5D, F32, flt),
    relop("f32.gt",                0x5E, F32, fgt),
    relop("f32.le",                0x5F, F32, fle),
    relop("f32.ge",                0x60, F32, fge),

    relop("f64.eq",                0x61, F64, feq),
    relop("f64.ne",                0x62, F64, fne),
    relop("f64.lt",                0x63, F64, flt),
    relop("f64.gt",                0x64, F64, fgt),
    relop("f64.le",                0x65, F64, fle),
    relop("f64.ge",                0x66, F64, fge),

    unop("i32.clz",                0x67, I32, iclz),
    unop("i32.ctz",                0x68, I32, ictz),
    unop("i32.popcnt",             0x69, I32, ipopcnt),
    binop("i32.add",               0x6A, I32, iadd, const=EXTENDED_CONST),
    binop("i32.sub",               0x6B, I32, isub, const=EXTENDED_CONST),
    binop("i32.mul",               0x6C, I32, imul, const=EXTENDED_CONST),
    binop("i32.div_s",             0x6D, I32, idiv_s, (ZERO, OVERFLOW), hot=False),
    binop("i32.div_u",             0x6E, I32, idiv_u, (ZERO,), hot=False),
    binop("i32.rem_s",             0x6F, I32, irem_s, (ZERO,), hot=False),
    binop("i32.rem_u",             0x70, I32, irem_u, (ZERO,), hot=False),
    binop("i32.and",               0x71, I32, iand),
    binop("i32.or",                0x72, I32, ior),
    binop("i32.xor",               0x73, I32, ixor),
    binop("i32.shl",               0x74, I32, ishl),
    binop("i32.shr_s",             0x75, I32, ishr_s),
    binop("i32.shr_u",             0x76, I32, ishr_u),
    binop("i32.rotl",              0x77, I32, irotl),
    binop("i32.rotr",              0x78, I32, irotr),

    unop("i64.clz",                0x79, I64, iclz),
    unop("i64.ctz",                0x7A, I64, ictz),
    unop("i64.popcnt",             0x7B, I64, ipopcnt),
    binop("i64.add",               0x7C, I64, iadd, const=EXTENDED_CONST),
    binop("i64.sub",               0x7D, I64, isub, const=EXTENDED_CONST),
    binop("i64.mul",               0x7E, I64, imul, const=EXTENDED_CONST),
    binop("i64.div_s",             0x7F, I64, idiv_s, (ZERO, OVERFLOW), hot=False),
    binop("i64.div_u",             0x80, I64, idiv_u, (ZERO,), hot=False),
    binop("i64.rem_s",             0x81, I64, irem_s, (ZERO,), hot=False),
    binop("i64.rem_u",             0x82, I64, irem_u, (ZERO,), hot=False),
    binop("i64.and",               0x83, I64, iand),
    binop("i64.or",                0x84, I64, ior),
    binop("i64.xor",               0x85, I64, ixor),
    binop("i64.shl",               0x86, I64, ishl),
    binop("i64.shr_s",             0x87, I64, ishr_s),
    binop("i64.shr_u",             0x88, I64, ishr_u),
    binop("i64.rotl",              0x89, I64, irotl),
    binop("i64.rotr",              0x8A, I64, irotr),

    unop("f32.abs",                0x8B, F32, fabs),
    unop("f32.neg",                0x8C, F32, fneg),
    unop("f32.ceil",               0x8D, F32, fceil, nan=True),
    unop("f32.floor",              0x8E, F32, ffloor, nan=True),
    unop("f32.trunc",              0x8F, F32, ftrunc, nan=True),
    unop("f32.nearest",            0x90, F32, fnearest, nan=True),
    unop("f32.sqrt",               0x91, F32, fsqrt, nan=True),
    binop("f32.add",               0x92, F32, fadd, nan=True),
    binop("f32.sub",               0x93, F32, fsub, nan=True),
    binop("f32.mul",               0x94, F32, fmul, nan=True),
    binop("f32.div",               0x95, F32, fdiv, nan=True),
    binop("f32.min",               0x96, F32, fmin, nan=True),
    binop("f32.max",               0x97, F32, fmax, nan=True),
    binop("f32.copysign",          0x98, F32, fcopysign),

    unop("f64.abs",                0x99, F64, fabs),
    unop("f64.neg",                0x9A, F64, fneg),
    unop("f64.ceil",               0x9B, F64, fceil, nan=True),
    unop("f64.floor",              0x9C, F64, ffloor, nan=True),
    unop("f64.trunc",              0x9D, F64, ftrunc, nan=True),
    unop("f64.nearest",            0x9E, F64, fnearest, nan=True),
    unop("f64.sqrt",               0x9F, F64, fsqrt, nan=True),
    binop("f64.add",               0xA0, F64, fadd, nan=True),
    binop("f64.sub",               0xA1, F64, fsub, nan=True),
    binop("f64.mul",               0xA2, F64, fmul, nan=True),
    binop("f64.div",               0xA3, F64, fdiv, nan=True),
    binop("f64.min",               0xA4, F64, fmin, nan=True),
    binop("f64.max",               0xA5, F64, fmax, nan=True),
    binop("f64.copysign",          0xA6, F64, fcopysign),

    cvtop("i32.wrap_i64",          0xA7, I64, I32, wrap),
    cvtop("i32.trunc_f32_s",       0xA8, F32, I32, trunc_s, (NAN, OVERFLOW), hot=False),
    cvtop("i32.trunc_f32_u",       0xA9, F32, I32, trunc_u, (NAN, OVERFLOW), hot=False),
    cvtop("i32.trunc_f64_s",       0xAA, F64, I32, trunc_s, (NAN, OVERFLOW), hot=False),
    cvtop("i32.trunc_f64_u",       0xAB, F64, I32, trunc_u, (NAN, OVERFLOW), hot=False),
    cvtop("i64.extend_i32_s",      0xAC, I32, I64, extend_s),
    cvtop("i64.extend_i32_u",      0xAD, I32, I64, extend_u),
    cvtop("i64.trunc_f32_s",       0xAE, F32, I64, trunc_s, (NAN, OVERFLOW), hot=False),
    cvtop("i64.trunc_f32_u",       0xAF, F32, I64, trunc_u, (NAN, OVERFLOW), hot=False),
    cvtop("i64.trunc_f64_s",       0xB0, F64, I64, trunc_s, (NAN, OVERFLOW), hot=False),
    cvtop("i64.trunc_f64_u",       0xB1, F64, I64, trunc_u, (NAN, OVERFLOW), hot=False),
    cvtop("f32.convert_i32_s",     0xB2, I32, F32, convert_s),
    cvtop("f32.convert_i32_u",     0xB3, I32, F32, convert_u),
    cvtop("f32.convert_i64_s",     0xB4, I64, F32, convert_s),
    cvtop("f32.convert_i64_u",     0xB5, I64, F32, convert_u),
    cvtop("f32.demote_f64",        0xB6, F64, F32, demote, nan=True),
    cvtop("f64.convert_i32_s",     0xB7, I32, F64, convert_s),
    cvtop("f64.convert_i32_u",     0xB8, I32, F64, convert_u),
    cvtop("f64.convert_i64_s",     0xB9, I64, F64, convert_s),
    cvtop("f64.convert_i64_u",     0xBA, I64, F64, convert_u),
    cvtop("f64.promote_f32",       0xBB, F32, F64, promote, nan=True),
    cvtop("i32.reinterpret_f32",   0xBC, F32, I32, reinterpret_i),
    cvtop("i64.reinterpret_f64",   0xBD, F64, I64, reinterpret_i),
    cvtop("f32.reinterpret_i32",   0xBE, I32, F32, reinterpret_f),
    cvtop("f64.reinterpret_i64",   0xBF, I64, F64, reinterpret_f),

    *proposal(SIGN_EXTENSION, [
        unop("i32.extend8_s",      0xC0, I32, iextend8_s),
        unop("i32.extend16_s",     0xC1, I32, iextend16_s),
        unop("i64.extend8_s",      0xC2, I64, iextend8_s),
        unop("i64.extend16_s",     0xC3, I64, iextend16_s),
        unop("i64.extend32_s",     0xC4, I64, iextend32_s),
    ]),

    *proposal(SATURATING_FLOAT, [
        cvtop("i32.trunc_sat_f32_s",  (0xFC, 0), F32, I32, trunc_sat_s),
        cvtop("i32.trunc_sat_f32_u",  (0xFC, 1), F32, I32, trunc_sat_u),
        cvtop("i32.trunc_sat_f64_s",  (0xFC, 2), F64, I32, trunc_sat_s),
        cvtop("i32.trunc_sat_f64_u",  (0xFC, 3), F64, I32, trunc_sat_u),
        cvtop("i64.trunc_sat_f32_s",  (0xFC, 4), F32, I64, trunc_sat_s),
        cvtop("i64.trunc_sat_f32_u",  (0xFC, 5), F32, I64, trunc_sat_u),
        cvtop("i64.trunc_sat_f64_s",  (0xFC, 6), F64, I64, trunc_sat_s),
        cvtop("i64.trunc_sat_f64_u",  (0xFC, 7), F64, I64, trunc_sat_u),
    ]),
]
# fmt: on
