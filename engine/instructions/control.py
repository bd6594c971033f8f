"""Control instructions (spec: syntax-instr-control).

Their semantics is the shape that lowering builds, told by ``control``; so ``run`` is None and only typing lives here.
The arrow of ``block``, ``loop`` and ``if`` is that of the whole construct: it pops what the construct takes from
outside and pushes what is there after its ``end``; whoever walks the body enters it with the parameters of its block
type.  ``else`` and ``end`` have the empty arrow.  The arrow of ``br_table`` is that of its default label; the
walker checks the others, because in unreachable code their types need only agree with the stack.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.errors import InvalidError, TrapKind
from engine.features import CUSTOM_DESCRIPTORS, FUNCTION_REFERENCES, GC, MVP
from engine.instructions.immediates import (
    BLOCKTYPE,
    BRTABLE,
    CAST_BRANCH,
    FUNCIDX,
    LABELIDX,
    LEADING_TABLEIDX,
    TYPEIDX,
    TYPEUSE,
)
from engine.instructions.model import Control, Effect, Instr, Region, applied
from engine.instructions.reference import closed_in
from engine.matching import matches, tester, top
from engine.types import FUNCREF, I32, Arrow, RefType, TypeVar, arrow, ref, ref_pattern

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.instructions.immediates import CastBranch
    from engine.instructions.model import Opcode
    from engine.types import FuncType, ResultType, ValType

__all__ = ["ROWS", "br_on_cast_arrow", "br_on_cast_fail_arrow", "call_arrow", "call_indirect_arrow", "call_ref_arrow"]


def _block(c: Any, bt: ValType | int | None) -> Arrow:
    """Spec: valid-block, valid-loop."""
    t: FuncType = c.blocktype(bt)
    return Arrow(t.params, t.results)


def _if(c: Any, bt: ValType | int | None) -> Arrow:
    """Spec: valid-if."""
    t: FuncType = c.blocktype(bt)
    return Arrow((*t.params, I32), t.results)


def _br(c: Any, l: int) -> Arrow:
    """Spec: valid-br."""
    return Arrow(c.label(l), (), True)


def _br_if(c: Any, l: int) -> Arrow:
    """Spec: valid-br_if."""
    ts: ResultType = c.label(l)
    return Arrow((*ts, I32), ts)


def _br_table(c: Any, labels: tuple[tuple[int, ...], int]) -> Arrow:
    """Spec: valid-br_table."""
    return Arrow((*c.label(labels[1]), I32), (), True)


def _return(c: Any) -> Arrow:
    """Spec: valid-return."""
    return Arrow(c.results(), (), True)


def call_arrow(c: Any, x: int) -> Arrow:
    """Spec: valid-call."""
    t: FuncType = c.func(x).comp
    return Arrow(t.params, t.results)


def call_indirect_arrow(c: Any, y: int, x: int) -> Arrow:
    """Spec: valid-call_indirect."""
    table = c.table(x)
    if not matches(table.reftype, FUNCREF):
        raise InvalidError(f"type mismatch: call_indirect needs a table of functions, found {table.reftype}")
    t: FuncType = c.functype(y)
    return Arrow((*t.params, table.addrtype), t.results)


def call_ref_arrow(c: Any, x: int) -> Arrow:
    """Spec: valid-call_ref."""
    t: FuncType = c.functype(x)
    return Arrow((*t.params, ref(True, c.type(x))), t.results)


_HEAP = TypeVar("heap")


def _br_on_null(c: Any, l: int) -> Arrow:
    """Spec: valid-br_on_null."""
    ts: ResultType = c.label(l)
    return Arrow((*ts, ref_pattern(True, _HEAP)), (*ts, ref_pattern(False, _HEAP)))


def _br_on_non_null(c: Any, l: int) -> Arrow:
    """Spec: valid-br_on_non_null."""
    ts: ResultType = c.label(l)
    if not ts or not isinstance(ts[-1], RefType):
        raise InvalidError(f"type mismatch: label {l} takes no reference")
    return Arrow((*ts[:-1], ref(True, ts[-1].heap)), ts[:-1])


def _is_null(frame: Any, l: int, r: Any) -> bool:
    """Spec: exec-br_on_null."""
    return r is None


def _is_not_null(frame: Any, l: int, r: Any) -> bool:
    """Spec: exec-br_on_non_null."""
    return r is not None


def br_on_cast(frame: Any, cast: CastBranch) -> Callable[[Any], bool]:
    """Spec: exec-br_on_cast."""
    test, null = tester(closed_in(frame, cast.target.heap)), cast.target.null
    return lambda r: null if r is None else test(r)


def br_on_cast_fail(frame: Any, cast: CastBranch) -> Callable[[Any], bool]:
    """Spec: exec-br_on_cast_fail."""
    test, null = tester(closed_in(frame, cast.target.heap)), cast.target.null
    return lambda r: not (null if r is None else test(r))


def _without(t1: RefType, t2: RefType) -> RefType:
    """Return the type of what is a ``t1`` and no ``t2``.  Spec: aux-reftypediff."""
    return ref(t1.null and not t2.null, t1.heap)


def _branch(
    c: Any, cast: CastBranch, is_taken_by: Callable[[RefType, RefType], tuple[RefType, RefType]], *operands: RefType,
) -> Arrow:  # fmt: skip
    """Return the arrow of a branch by a cast, of a reference and further operands.

    With custom descriptors the two types need only be of one hierarchy.
    """
    source, target = c.close_reftype(cast.source), c.close_reftype(cast.target)
    taken, on = is_taken_by(source, target)
    ts = c.label(cast.label)
    among = ref(True, top(source.heap)) if CUSTOM_DESCRIPTORS in c.features else source
    if not matches(target, among):
        raise InvalidError(f"type mismatch: cast from {source} to {target}")
    if not ts or not matches(taken, ts[-1]):
        raise InvalidError(f"type mismatch: label {cast.label} does not take {taken}")
    return Arrow((*ts[:-1], source, *operands), (*ts[:-1], on))


def br_on_cast_arrow(c: Any, cast: CastBranch, *operands: RefType) -> Arrow:
    """Spec: valid-br_on_cast."""
    return _branch(c, cast, lambda source, target: (target, _without(source, target)), *operands)


def br_on_cast_fail_arrow(c: Any, cast: CastBranch, *operands: RefType) -> Arrow:
    """Spec: valid-br_on_cast_fail."""
    return _branch(c, cast, lambda source, target: (_without(source, target), target), *operands)


def _control(
    name: str, opcode: Opcode, control: Control, type: Arrow | Callable[..., Arrow], **rest: Any,
) -> Instr:  # fmt: skip
    fields: dict[str, Any] = {"family": "control", "spec": f"exec-{name}", "fuel": 0, "weight": 40} | rest
    return Instr(name=name, opcode=opcode, control=control, type=type, effect=Effect.CONTROL, **fields)


_CALL_INDIRECT_TRAPS = frozenset(
    {TrapKind.UNDEFINED_ELEMENT, TrapKind.UNINITIALIZED_ELEMENT, TrapKind.INDIRECT_CALL_MISMATCH}
)
_NULL_FUNCTION = frozenset({TrapKind.NULL_FUNCTION})
_NOTHING = arrow("->")

# fmt: off
ROWS = [
    _control("unreachable",   0x00, Control.UNREACHABLE, arrow("-> ..."), traps=frozenset({TrapKind.UNREACHABLE}),
             weight=3),
    _control("nop",           0x01, Control.NOP,      _NOTHING, weight=5),
    _control("block",         0x02, Control.BLOCK,    _block, imms=(BLOCKTYPE,)),
    _control("loop",          0x03, Control.LOOP,     _block, imms=(BLOCKTYPE,)),
    _control("if",            0x04, Control.IF,       _if, imms=(BLOCKTYPE,), fuel=1),
    _control("else",          0x05, Control.ELSE,     _NOTHING, spec="exec-if", weight=0),
    _control("end",           0x0B, Control.END,      _NOTHING, spec="exec-label", weight=0, const=MVP),
    _control("br",            0x0C, Control.BR,       _br, imms=(LABELIDX,), fuel=1),
    _control("br_if",         0x0D, Control.BR_IF,    _br_if, imms=(LABELIDX,), fuel=1),
    _control("br_table",      0x0E, Control.BR_TABLE, _br_table, imms=(BRTABLE,), fuel=1),
    _control("return",        0x0F, Control.RETURN,   _return, weight=10),
    _control("call",          0x10, Control.CALL,     call_arrow, imms=(FUNCIDX,), fuel=1, weight=100),
    _control("call_indirect", 0x11, Control.CALL,     call_indirect_arrow, imms=(TYPEUSE, LEADING_TABLEIDX), fuel=1,
             weight=60, traps=_CALL_INDIRECT_TRAPS, reads=frozenset({Region.TABLE})),
    _control("call_ref",      0x14, Control.CALL,     call_ref_arrow, imms=(TYPEIDX,), fuel=1, weight=60,
             traps=_NULL_FUNCTION, feature=FUNCTION_REFERENCES),
    _control("br_on_null",    0xD5, Control.BR_ON_NULL, _br_on_null, imms=(LABELIDX,), fuel=1, run=_is_null,
             feature=FUNCTION_REFERENCES),
    _control("br_on_non_null", 0xD6, Control.BR_ON_NON_NULL, _br_on_non_null, imms=(LABELIDX,), fuel=1,
             run=_is_not_null, feature=FUNCTION_REFERENCES),
    _control("br_on_cast",      (0xFB, 24), Control.BR_ON_CAST, br_on_cast_arrow, imms=(CAST_BRANCH,), fuel=1,
             make=br_on_cast, run=applied(br_on_cast, 1), feature=GC),
    _control("br_on_cast_fail", (0xFB, 25), Control.BR_ON_CAST, br_on_cast_fail_arrow, imms=(CAST_BRANCH,), fuel=1,
             make=br_on_cast_fail, run=applied(br_on_cast_fail, 1), feature=GC),
]
# fmt: on
