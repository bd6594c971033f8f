"""Element and data segments in the binary format (spec: binary-elemsec, binary-datasec).

An element segment has eight forms.  Bit 0 of the flag says passive or declarative, bit 1 an explicit table (active) or
declarative (not), bit 2 expressions in place of function indices.  A list of function indices is an abbreviation:
it stands for ``ref.func`` expressions at type ``(ref func)``, so a segment has one canonical form.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.errors import MalformedError
from engine.instructions import TABLE
from engine.instructions.immediates import read_reftype, write_valtype
from engine.instructions.leb import u
from engine.module import Active, Data, Declare, Elem, In, Passive
from engine.types import FUNC, FUNCREF, ref

from .code import read_expr, write_expr
from .forms import SHORTEST, Form
from .types import write_list

if TYPE_CHECKING:
    from engine.module import Expr
    from engine.types import RefType

    from .code import Plan
    from .reader import Reader

__all__ = ["FUNCTIONS", "read_data", "read_elem", "write_data", "write_elem"]

FUNCTIONS = ref(False, FUNC)
NOT_ACTIVE, EXPLICIT, EXPRS = 1, 2, 4
_REF_FUNC, _END = TABLE.by_name["ref.func"], TABLE.by_name["end"]


def read_elem(r: Reader, p: Plan) -> Elem:
    """Spec: binary-elem."""
    start = r.pos
    flag = r.u32()
    if flag > 7:
        raise MalformedError("malformed element segment flag", start)
    mode: Active | Passive | Declare
    if flag & NOT_ACTIVE:
        mode = Declare() if flag & EXPLICIT else Passive()
    else:
        x = r.u32() if flag & EXPLICIT else 0
        mode = Active(x, read_expr(r, p))
    reftype = _read_kind(r, flag)
    if flag & EXPRS:
        return Elem(reftype, tuple([read_expr(r, p) for _ in range(r.count())]), mode, flag)
    init: list[Expr] = []
    for _ in range(r.count()):
        offset = r.pos
        init.append((In(_REF_FUNC, (r.u32(),), offset), In(_END, (), offset)))
    return Elem(reftype, tuple(init), mode, flag)


def _read_kind(r: Reader, flag: int) -> RefType:
    """Read the type of the elements, which the two shortest forms leave out."""
    if flag in (0, EXPRS):
        return FUNCREF if flag else FUNCTIONS
    if flag & EXPRS:
        return read_reftype(r)
    if r.byte():
        raise MalformedError("malformed element kind", r.pos - 1)
    return FUNCTIONS


def write_elem(elem: Elem, form: Form = SHORTEST) -> bytes:
    """Write a form that reads back as the same segment."""
    by_index = elem.type is FUNCTIONS and all(len(e) == 2 and e[0].row is _REF_FUNC for e in elem.init)
    flag = 0 if by_index else EXPRS
    mode = elem.mode
    where = b""
    if isinstance(mode, Active):
        if mode.index or form.explicit_index or elem.type is not (FUNCTIONS if by_index else FUNCREF):
            flag |= EXPLICIT
            where = u(mode.index)
        where += write_expr(mode.offset)
    else:
        flag |= NOT_ACTIVE | (EXPLICIT if isinstance(mode, Declare) else 0)
    kind = b""
    if flag & (NOT_ACTIVE | EXPLICIT):
        kind = b"\0" if by_index else write_valtype(elem.type)
    init = [u(e[0].imms[0]) if by_index else write_expr(e) for e in elem.init]
    return u(flag) + where + kind + write_list(init)


def read_data(r: Reader, p: Plan) -> Data:
    """Spec: binary-data."""
    start = r.pos
    flag = r.u32()
    if flag > 2:
        raise MalformedError("malformed data segment flag", start)
    if flag == NOT_ACTIVE:
        return Data(r.blob(), Passive())
    x = r.u32() if flag & EXPLICIT else 0
    offset = read_expr(r, p)
    return Data(r.blob(), Active(x, offset))


def write_data(data: Data, form: Form = SHORTEST) -> bytes:
    """Write a form that reads back as the same segment."""
    mode = data.mode
    if isinstance(mode, Passive):
        where = u(NOT_ACTIVE)
    elif mode.index or form.explicit_index:
        where = u(EXPLICIT) + u(mode.index) + write_expr(mode.offset)
    else:
        where = u(0) + write_expr(mode.offset)
    return where + u(len(data.init)) + data.init
