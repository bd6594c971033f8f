"""The families of vector rows: what a shape and a function of lanes make of an instruction (spec: syntax-instr-vec).

A row says ``lanes``, the shapes of its operands and of its result.  Immediates stand in the order of the binary format:
the memory argument of a lane access before its lane.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from engine.errors import InvalidError, TrapKind
from engine.features import SIMD
from engine.instructions.immediates import LANEIDX, MEMARG
from engine.instructions.memory import memarg
from engine.instructions.model import Effect, Instr, Region
from engine.numerics.whole import WHOLE
from engine.types import F32, F64, I32, I64, V128, Arrow

# isort: off
# fmt: off
from engine.numerics.lanes import (
    I8X16, Shape, vall_true, vbinop, vbitmask, vcvtop, vdot, vextadd_pairwise, vextend, vextmul, vextract_lane,
    vnarrow, vrelop, vreplace_lane, vshiftop, vsplat, vternop, vunop, vvbinop, vvternop, vvunop,
)
# fmt: on
# isort: on

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.instructions.immediates import MemArg
    from engine.types import NumType

    Fn = Callable[..., Any]

__all__ = [
    "all_true", "bitmask", "bits", "check_lane", "convert", "dot", "extadd", "extend", "extmul", "extract",
    "load_extend", "load_lane", "load_splat", "load_zero", "narrow", "pure", "rel", "replace", "shift", "splat",
    "store_lane", "swizzle", "vec",
]  # fmt: skip

_VV = Arrow((V128,), (V128,)), Arrow((V128, V128), (V128,)), Arrow((V128, V128, V128), (V128,))
_BITS = (vvunop, vvbinop, vvternop)
_LANES = (vunop, vbinop, vternop)
_MEMORY = frozenset({Region.MEMORY})
_OUT_OF_BOUNDS = frozenset({TrapKind.MEMORY_OUT_OF_BOUNDS})


def pure(
    name: str, sub: int, family: str, type: Any, run: Fn, source: Shape | None = None, target: Shape | None = None,
    **rest: Any,
) -> Instr:  # fmt: skip
    """Any row from operands to results; ``target`` is the shape of the result where not that of the operands."""
    fields: dict[str, Any] = {"spec": f"exec-{family}", "feature": SIMD, "weight": 50} | rest
    lanes = None if source is None else (source, target or source)
    return Instr(
        name=name, opcode=(0xFD, sub), type=type, effect=Effect.PURE, run=run, family=family, lanes=lanes, **fields
    )


def bits(name: str, sub: int, arity: int, fn: Fn) -> Instr:
    """``v128* -> v128`` by ``fn(128, ...)`` on the vectors as integers."""
    return pure(name, sub, _BITS[arity - 1].__name__, _VV[arity - 1], partial(_BITS[arity - 1], fn), I8X16)


def _whole(lift: Fn, sh: Shape, fn: Fn) -> Fn:
    """Return the lift of ``fn``, or its faster equal."""
    return partial(WHOLE[fn], sh) if fn in WHOLE else partial(lift, sh, fn)


def vec(name: str, sub: int, arity: int, sh: Shape, fn: Fn, **rest: Any) -> Instr:
    """``v128* -> v128`` by ``fn(n, ...)`` lane by lane."""
    lift = _LANES[arity - 1]
    return pure(name, sub, lift.__name__, _VV[arity - 1], _whole(lift, sh, fn), sh, **rest)


def rel(name: str, sub: int, sh: Shape, fn: Fn) -> Instr:
    """``v128 v128 -> v128`` by ``fn(n, v, w)``, which gives 0 or 1."""
    return pure(name, sub, "vrelop", _VV[1], _whole(vrelop, sh, fn), sh)


def shift(name: str, sub: int, sh: Shape, fn: Fn) -> Instr:
    """``v128 i32 -> v128`` by ``fn(n, v, j)``."""
    return pure(name, sub, "vshiftop", Arrow((V128, I32), (V128,)), _whole(vshiftop, sh, fn), sh)


def convert(name: str, sub: int, source: Shape, target: Shape, fn: Fn, *, start: int = 0, **rest: Any) -> Instr:
    """``v128 -> v128`` by ``fn(m, n, v)`` on lanes from ``start`` on."""
    return pure(name, sub, "vcvtop", _VV[0], partial(vcvtop, source, target, start, fn), source, target, **rest)


def extend(name: str, sub: int, source: Shape, target: Shape, fn: Fn, *, start: int = 0) -> Instr:
    """``v128 -> v128``: lanes from ``start`` on, extended by ``fn(m, n, v)``."""
    return pure(name, sub, "vcvtop", _VV[0], partial(vextend, source, target, start, fn), source, target)


def narrow(name: str, sub: int, source: Shape, target: Shape, fn: Fn) -> Instr:
    """``v128 v128 -> v128`` by ``fn(n, i)`` on the signed lanes of both."""
    return pure(name, sub, "vnarrow", _VV[1], partial(vnarrow, source, target, fn), source, target)


def extadd(name: str, sub: int, source: Shape, target: Shape, fn: Fn) -> Instr:
    """``v128 -> v128``: sums of neighbours, extended by ``fn(m, n, v)``."""
    run = partial(vextadd_pairwise, source, target, fn)
    return pure(name, sub, "vextunop", _VV[0], run, source, target)


def extmul(name: str, sub: int, source: Shape, target: Shape, fn: Fn, *, start: int = 0) -> Instr:
    """``v128 v128 -> v128``: products of lanes from ``start`` on, extended by ``fn(m, n, v)``."""
    run = partial(vextmul, source, target, start, fn)
    return pure(name, sub, "vextbinop", _VV[1], run, source, target)


def dot(name: str, sub: int, source: Shape, target: Shape) -> Instr:
    """``v128 v128 -> v128``: sums of neighbouring products of signed lanes."""
    return pure(name, sub, "vextbinop", _VV[1], partial(vdot, source, target), source, target)


def swizzle(name: str, sub: int, run: Fn, **rest: Any) -> Instr:
    """``v128 v128 -> v128`` by ``run(v, s)``."""
    return pure(name, sub, "vswizzlop", _VV[1], run, I8X16, **rest)


def all_true(name: str, sub: int, sh: Shape) -> Instr:
    """``v128 -> i32``."""
    return pure(name, sub, "vtestop", Arrow((V128,), (I32,)), partial(vall_true, sh), sh)


def bitmask(name: str, sub: int, sh: Shape) -> Instr:
    """``v128 -> i32``."""
    return pure(name, sub, "vbitmask", Arrow((V128,), (I32,)), partial(vbitmask, sh), sh)


# -- single lanes


def _unpacked(sh: Shape) -> NumType:
    """Spec: aux-unpackshape."""
    if sh.is_float:
        return F64 if sh.bits == 64 else F32
    return I64 if sh.bits == 64 else I32


def check_lane(l: int, lanes: int) -> None:
    """Spec: valid-vextract_lane."""
    if l >= lanes:
        raise InvalidError(f"invalid lane index: {l} of {lanes}")


def _single(family: str, name: str, sub: int, sh: Shape, arrow: Arrow, run: Fn) -> Instr:
    def type_(c: Any, l: int) -> Arrow:
        check_lane(l, sh.lanes)
        return arrow

    return pure(name, sub, family, type_, partial(run, sh), sh, imms=(LANEIDX,))


def splat(name: str, sub: int, sh: Shape) -> Instr:
    """``t -> v128``."""
    return pure(name, sub, "vsplat", Arrow((_unpacked(sh),), (V128,)), partial(vsplat, sh), sh)


def extract(name: str, sub: int, sh: Shape, run: Fn = vextract_lane) -> Instr:
    """``v128 -> t``."""
    return _single("vextract_lane", name, sub, sh, Arrow((V128,), (_unpacked(sh),)), run)


def replace(name: str, sub: int, sh: Shape) -> Instr:
    """``v128 t -> v128``."""
    return _single("vreplace_lane", name, sub, sh, Arrow((V128, _unpacked(sh)), (V128,)), vreplace_lane)


# -- memory


def _extend(source: Shape, target: Shape, f: Fn, frame: Any, m: MemArg, i: int) -> bytes:
    """Spec: exec-vload-pack."""
    half: bytes = frame.module.mems[m.mem].read(i + m.offset, 8)
    return vextend(source, target, 0, f, half + bytes(8))


def _splat(n: int, frame: Any, m: MemArg, i: int) -> Any:
    """Spec: exec-vload-splat."""
    return frame.module.mems[m.mem].read(i + m.offset, n) * (16 // n)


def _zero(n: int, frame: Any, m: MemArg, i: int) -> Any:
    """Spec: exec-vload-zero."""
    return frame.module.mems[m.mem].read(i + m.offset, n) + bytes(16 - n)


def _load_lane(n: int, frame: Any, m: MemArg, l: int, i: int, v: bytes) -> Any:
    """Spec: exec-vload_lane."""
    return v[: l * n] + frame.module.mems[m.mem].read(i + m.offset, n) + v[l * n + n :]


def _store_lane(n: int, frame: Any, m: MemArg, l: int, i: int, v: bytes) -> None:
    """Spec: exec-vstore_lane."""
    frame.module.mems[m.mem].write(i + m.offset, v[l * n : l * n + n])


def _access(name: str, sub: int, n: int, run: Fn, **rest: Any) -> Instr:
    """``address -> v128`` from ``n`` bytes."""
    arrows = {at: Arrow((at,), (V128,)) for at in (I32, I64)}
    fields: dict[str, Any] = {"reads": _MEMORY, "imms": (MEMARG,)} | rest
    fields.setdefault("type", lambda c, m: arrows[memarg(c, m, n)])
    return Instr(
        name=name, opcode=(0xFD, sub), effect=Effect.STATE, run=run, feature=SIMD, traps=_OUT_OF_BOUNDS, weight=150,
        access=n, **fields,
    )  # fmt: skip


def load_extend(name: str, sub: int, source: Shape, target: Shape, fn: Fn) -> Instr:
    """``address -> v128`` from eight bytes, which are half of the lanes of ``source``."""
    run = partial(_extend, source, target, fn)
    return _access(name, sub, 8, run, family="vload_pack", spec="exec-vload-pack", lanes=(source, target))


def load_splat(name: str, sub: int, n: int) -> Instr:
    """``address -> v128`` from ``n`` bytes, in every lane."""
    return _access(name, sub, n, partial(_splat, n), family="vload_splat", spec="exec-vload-splat")


def load_zero(name: str, sub: int, n: int) -> Instr:
    """``address -> v128`` from ``n`` bytes, then zeros."""
    return _access(name, sub, n, partial(_zero, n), family="vload_zero", spec="exec-vload-zero")


def _lane_type(n: int, pushes: tuple[Any, ...]) -> Fn:
    arrows = {at: Arrow((at, V128), pushes) for at in (I32, I64)}

    def type_(c: Any, m: MemArg, l: int) -> Arrow:
        arrow = arrows[memarg(c, m, n)]
        check_lane(l, 16 // n)
        return arrow

    return type_


def load_lane(name: str, sub: int, n: int) -> Instr:
    """``address v128 -> v128`` with one lane of ``n`` bytes from memory."""
    return _access(
        name, sub, n, partial(_load_lane, n), family="vload_lane", spec="exec-vload_lane", imms=(MEMARG, LANEIDX),
        type=_lane_type(n, (V128,)),
    )  # fmt: skip


def store_lane(name: str, sub: int, n: int) -> Instr:
    """``address v128 ->`` with one lane of ``n`` bytes to memory."""
    return _access(
        name, sub, n, partial(_store_lane, n), family="vstore_lane", spec="exec-vstore_lane", imms=(MEMARG, LANEIDX),
        type=_lane_type(n, ()), reads=frozenset(), writes=_MEMORY,
    )  # fmt: skip
