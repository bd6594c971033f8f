"""Which Python objects are values of a type: for the borders where values come from someone who may be wrong.

Execution trusts its values (``engine.values`` tells how each is represented); here nothing is trusted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.matching import top
from engine.runtime.heap import ArrayInst, ExnInst, ExternRef, StructInst, matches_ref
from engine.runtime.instance import FuncInst, HostFunc
from engine.types import ANY, EXN, EXTERN, F32, F64, FUNC, I32, I64, V128, RefType
from engine.values import f32_round, f64_to_bits

if TYPE_CHECKING:
    from engine.types import HeapType, ValType

__all__ = ["fits"]

_CLASSES: dict[HeapType, tuple[type, ...]] = {  # what references of a hierarchy are, beside i31
    FUNC: (FuncInst, HostFunc),
    EXN: (ExnInst,),
    ANY: (StructInst, ArrayInst, ExternRef),
    EXTERN: (ExternRef, StructInst, ArrayInst),
}
_NAN_PAYLOAD_BEYOND_F32 = (1 << 29) - 1


def fits(v: Any, t: ValType) -> bool:
    """Tell whether any object at all is a value of a closed type (spec: valid-val)."""
    kind = type(v)
    if t is I32:
        return kind is int and 0 <= v < 1 << 32
    if t is I64:
        return kind is int and 0 <= v < 1 << 64
    if t is F64:
        return kind is float
    if t is F32:
        return kind is float and _is_f32(v)
    if t is V128:
        return kind is bytes and len(v) == 16
    return isinstance(t, RefType) and _is_reference(v, t)


def _is_f32(z: float) -> bool:
    if z != z:  # noqa: PLR0124
        return not f64_to_bits(z) & _NAN_PAYLOAD_BEYOND_F32
    return f32_round(z) == z


def _is_reference(r: Any, t: RefType) -> bool:
    if r is None:
        return t.null
    hierarchy = top(t.heap)
    if type(r) is int:
        if hierarchy not in (ANY, EXTERN) or not 0 <= r < 1 << 31:
            return False
    elif type(r) not in _CLASSES[hierarchy]:
        return False
    return matches_ref(r, t)
