"""Relaxed vector instructions: those of which an engine may choose the function (spec: syntax-instr-vec-relaxed).

``run`` is the choice of the deterministic profile; the others are the row's ``choices``, and :func:`allowed` gives what
each lane of a result may be under any of them.  Engines' own deterministic options do not all agree with that profile:
wasmtime's fuses multiply and add, and wraps dot products.  So a row says with ``agree`` how a generator makes operands
on which all choices give the same.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from engine.features import RELAXED_SIMD
from engine.instructions import lanewise
from engine.instructions.lanewise import pure
from engine.numerics.lanes import F32X4, F64X2, I8X16, I16X8, I32X4, I64X2
from engine.types import V128, Arrow

# isort: off
# fmt: off
from engine.numerics.relaxed import (
    frelaxed_madd, frelaxed_max, frelaxed_min, frelaxed_nmadd, irelaxed_laneselect, irelaxed_q15mulr_s,
    ivrelaxed_swizzle, relaxed_trunc_s, relaxed_trunc_u, vrelaxed_dot, vrelaxed_dot_add,
)
# fmt: on
# isort: on

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.instructions.model import Instr
    from engine.numerics.lanes import Shape

    Fn = Callable[..., Any]
    Guard = tuple[tuple[Any, ...], ...]

__all__ = ["ROWS", "allowed"]


def _row(family: Callable[..., Instr], *args: Any, choices: int = 2, agree: tuple[Guard, ...], **rest: Any) -> Instr:
    """Return the row of ``family``, whose last argument is a function of the choice too."""
    *head, fn = args
    first, *others = [family(*head, partial(fn, r), **rest) for r in range(choices)]
    return replace(first, feature=RELAXED_SIMD, choices=tuple(row.run for row in others if row.run), agree=agree)


def _dot(name: str, sub: int, arity: int, target: Shape, run: Fn) -> Instr:
    family = "vextbinop" if arity == 2 else "vextternop"
    return pure(name, sub, family, Arrow((V128,) * arity, (V128,)), run, I8X16, target)


def allowed(row: Instr, *operands: bytes) -> tuple[frozenset[int], ...]:
    """Return the bits that each lane of the result of a row may have, lane 0 first.

    Where the row has ``nan``, a canonical NaN in a set stands for every NaN that is allowed (spec: aux-nans).  What the
    official test suite accepts beyond the specification is in the sets too (``engine.numerics.relaxed``).
    """
    assert row.run is not None and row.lanes is not None
    shape = {F32X4: I32X4, F64X2: I64X2}.get(row.lanes[1], row.lanes[1])
    functions: tuple[Fn, ...] = (row.run, *row.choices)
    return tuple(map(frozenset, zip(*(shape.unpack(f(*operands)) for f in functions), strict=True)))


# Instructions behind an operand that bring it where all choices agree, as names with their immediates.
KEEP: Guard = ()
INDEX: Guard = (("v128.const", int.from_bytes(b"\x8f" * 16, "little")), ("v128.and",))  # below 16 or above 127
I7: Guard = (("v128.const", int.from_bytes(b"\x7f" * 16, "little")), ("v128.and",))
ODD: Guard = (("v128.const", int.from_bytes(b"\x01\x00" * 8, "little")), ("v128.or",))  # so not the smallest
F32: Guard = (("i32.const", 20), ("i32x4.shr_s",), ("f32x4.convert_i32x4_s",))  # twelve digits: products are exact
F64: Guard = (("i32.const", 8), ("i32x4.shr_s",), ("f64x2.convert_low_i32x4_s",))
U31: Guard = (("i32.const", 1), ("i32x4.shr_u",), ("f32x4.convert_i32x4_u",))


def _sign(sh: Shape) -> Guard:
    return ("i32.const", sh.bits - 1), (f"{sh}.shr_s",)


# fmt: off
ROWS = [
    _row(lanewise.swizzle, "i8x16.relaxed_swizzle",               0x100, ivrelaxed_swizzle, agree=(KEEP, INDEX)),
    _row(lanewise.convert, "i32x4.relaxed_trunc_f32x4_s",         0x101, F32X4, I32X4, relaxed_trunc_s, agree=(F32,)),
    _row(lanewise.convert, "i32x4.relaxed_trunc_f32x4_u",         0x102, F32X4, I32X4, relaxed_trunc_u, agree=(U31,)),
    _row(lanewise.convert, "i32x4.relaxed_trunc_f64x2_s_zero",    0x103, F64X2, I32X4, relaxed_trunc_s, agree=(F64,)),
    _row(lanewise.convert, "i32x4.relaxed_trunc_f64x2_u_zero",    0x104, F64X2, I32X4, relaxed_trunc_u,
         agree=((("f64x2.convert_low_i32x4_u",),),)),
    _row(lanewise.vec, "f32x4.relaxed_madd",                      0x105, 3, F32X4, frelaxed_madd, nan=True,
         agree=(F32, F32, KEEP)),
    _row(lanewise.vec, "f32x4.relaxed_nmadd",                     0x106, 3, F32X4, frelaxed_nmadd, nan=True,
         agree=(F32, F32, KEEP)),
    _row(lanewise.vec, "f64x2.relaxed_madd",                      0x107, 3, F64X2, frelaxed_madd, nan=True,
         agree=(F64, F64, KEEP)),
    _row(lanewise.vec, "f64x2.relaxed_nmadd",                     0x108, 3, F64X2, frelaxed_nmadd, nan=True,
         agree=(F64, F64, KEEP)),
    _row(lanewise.vec, "i8x16.relaxed_laneselect",                0x109, 3, I8X16, irelaxed_laneselect,
         agree=(KEEP, KEEP, _sign(I8X16))),
    _row(lanewise.vec, "i16x8.relaxed_laneselect",                0x10A, 3, I16X8, irelaxed_laneselect,
         choices=3, agree=(KEEP, KEEP, _sign(I16X8))),
    _row(lanewise.vec, "i32x4.relaxed_laneselect",                0x10B, 3, I32X4, irelaxed_laneselect,
         agree=(KEEP, KEEP, _sign(I32X4))),
    _row(lanewise.vec, "i64x2.relaxed_laneselect",                0x10C, 3, I64X2, irelaxed_laneselect,
         agree=(KEEP, KEEP, _sign(I64X2))),
    _row(lanewise.vec, "f32x4.relaxed_min",                       0x10D, 2, F32X4, frelaxed_min, nan=True, choices=4,
         agree=(F32, F32)),
    _row(lanewise.vec, "f32x4.relaxed_max",                       0x10E, 2, F32X4, frelaxed_max, nan=True, choices=4,
         agree=(F32, F32)),
    _row(lanewise.vec, "f64x2.relaxed_min",                       0x10F, 2, F64X2, frelaxed_min, nan=True, choices=4,
         agree=(F64, F64)),
    _row(lanewise.vec, "f64x2.relaxed_max",                       0x110, 2, F64X2, frelaxed_max, nan=True, choices=4,
         agree=(F64, F64)),
    _row(lanewise.vec, "i16x8.relaxed_q15mulr_s",                 0x111, 2, I16X8, irelaxed_q15mulr_s,
         agree=(KEEP, ODD)),
    _row(_dot, "i16x8.relaxed_dot_i8x16_i7x16_s",                 0x112, 2, I16X8, vrelaxed_dot, agree=(KEEP, I7)),
    _row(_dot, "i32x4.relaxed_dot_i8x16_i7x16_add_s",             0x113, 3, I32X4, vrelaxed_dot_add, choices=4,
         agree=(KEEP, I7, KEEP)),
]
# fmt: on
