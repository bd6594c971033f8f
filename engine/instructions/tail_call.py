"""Tail calls (spec: syntax-instr-control): calls in whose place the frame of the caller is gone.

What the callee returns is what the caller returns, so the types of the results must match.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.errors import InvalidError, TrapKind
from engine.features import FUNCTION_REFERENCES, TAIL_CALL
from engine.instructions.control import call_arrow, call_indirect_arrow, call_ref_arrow
from engine.instructions.immediates import FUNCIDX, LEADING_TABLEIDX, TYPEIDX, TYPEUSE
from engine.instructions.model import Control, Effect, Instr, Region
from engine.matching import matches_results
from engine.types import Arrow

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ROWS"]


def _returning(arrow: Callable[..., Arrow]) -> Callable[..., Arrow]:
    """Return the typing rule of a tail call from that of the call.

    Spec: valid-return_call, valid-return_call_indirect, valid-return_call_ref.
    """

    def type_(c: Any, *imms: int) -> Arrow:
        pops, results, _ = arrow(c, *imms)
        expected = c.results()
        if not matches_results(results, expected):
            raise InvalidError(f"type mismatch: a tail call gives {list(results)}, the function {list(expected)}")
        return Arrow(pops, (), True)

    return type_


def _tail_call(name: str, opcode: int, type: Callable[..., Arrow], **rest: Any) -> Instr:
    return Instr(
        name=name, opcode=opcode, type=_returning(type), effect=Effect.CONTROL, control=Control.TAIL_CALL,
        family="control", spec=f"exec-{name}", **({"feature": TAIL_CALL} | rest),
    )  # fmt: skip


# fmt: off
ROWS = [
    _tail_call("return_call",          0x12, call_arrow, imms=(FUNCIDX,), weight=40),
    _tail_call("return_call_indirect", 0x13, call_indirect_arrow, imms=(TYPEUSE, LEADING_TABLEIDX), weight=40,
               reads=frozenset({Region.TABLE}), traps=frozenset({
                   TrapKind.UNDEFINED_ELEMENT, TrapKind.UNINITIALIZED_ELEMENT, TrapKind.INDIRECT_CALL_MISMATCH,
               })),
    _tail_call("return_call_ref",      0x15, call_ref_arrow, imms=(TYPEIDX,), weight=40,
               feature=FUNCTION_REFERENCES, traps=frozenset({TrapKind.NULL_FUNCTION})),
]
# fmt: on
