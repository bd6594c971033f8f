"""Expressions and function bodies in the binary format (spec: binary-expr, binary-code), decoded at speed.

The loop of :func:`read_expr` switches on a *shape*, one small int per opcode byte, derived from the rows: no
immediates; one immediate that a single byte can hold; one of a fixed width; other immediates.  What was once read from
up to three bytes is remembered by these bytes and afterwards looked up; a fixed width is read at once; everything else
reads itself through a :class:`Reader`.  Only
``block``-like rows, ``else`` and ``end`` concern the loop itself, which counts nesting with a list and never recurses.

The bodies of a module that has no data count section may not name data segments, so there is a plan for these too.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from engine.errors import MalformedError, UnsupportedError, Where
from engine.features import EXECUTED, FeatureSet
from engine.instructions import TABLE
from engine.instructions.immediates import read_valtype, write_valtype
from engine.instructions.leb import u
from engine.instructions.model import Control, Instr, Opcode
from engine.module import Code, In

from .reader import Reader

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.instructions.immediates import Imm
    from engine.module import Expr
    from engine.types import ValType

__all__ = ["Plan", "make_plan", "names_data", "plan", "read_code", "read_expr", "write_code", "write_expr"]

PREFIXES = range(0xFB, 0xFF)
_OPENERS = frozenset({Control.BLOCK, Control.LOOP, Control.IF, Control.TRY_TABLE, Control.TRY})
_CLAUSES = frozenset({Control.CATCH, Control.DELEGATE})

SMALL, PLAIN, SHORT, WIDE, OPEN, ELSE, CLAUSE, END, OTHER = range(9)
_WIDTHS = {"f32": 4, "f64": 8}  # of immediates that are little-endian integers, by the name of the kind, in bytes

MEMO_SIZE = 4096  # entries per opcode

_new = tuple.__new__
_NONE: tuple[Any, ...] = ()


class Plan:
    """What the decoding loop knows about each opcode byte."""

    __slots__ = ("memo", "read", "rows", "shapes", "small", "widths")

    def __init__(self) -> None:
        self.shapes = [OTHER] * 256
        self.rows: list[Any] = [None] * 256
        # Immediates by the one byte, and by the two or three bytes, that they are; filled while decoding.
        self.small: list[list[tuple[Any, ...] | None]] = [[]] * 256
        self.memo: list[dict[bytes, tuple[Any, ...]]] = [{}] * 256
        self.widths = [0] * 256
        self.read: list[Callable[[Reader, int], In]] = [_illegal] * 256


@cache
def plan(features: FeatureSet, has_data_count: bool = True) -> Plan:
    """Return the plan for the rows of ``features``."""
    return make_plan(features, has_data_count)


def make_plan(features: FeatureSet, has_data_count: bool) -> Plan:
    """Return a new plan, which remembers nothing yet."""
    p = Plan()
    prefixed: dict[int, dict[int, Instr]] = {prefix: {} for prefix in PREFIXES}
    for row in TABLE:
        if row.feature not in features:
            continue
        if isinstance(row.opcode, tuple):
            prefixed[row.opcode[0]][row.opcode[1]] = row
        else:
            _add(p, row.opcode, row, has_data_count)
    for prefix, rows in prefixed.items():
        p.read[prefix] = _prefix_reader(prefix, rows, has_data_count)
    return p


def _add(p: Plan, op: int, row: Instr, has_data_count: bool) -> None:
    p.rows[op] = row
    p.read[op] = _row_reader(row, has_data_count)
    if row.control in _OPENERS:
        p.shapes[op] = OPEN
    elif row.control is Control.ELSE:
        p.shapes[op] = ELSE
    elif row.control in _CLAUSES:
        p.shapes[op] = CLAUSE
    elif row.control is Control.END:
        p.shapes[op] = END
    elif not row.imms:
        p.shapes[op] = PLAIN
    elif len(row.imms) == 1 and row.imms[0].name in _WIDTHS:
        p.shapes[op] = WIDE
        p.widths[op] = _WIDTHS[row.imms[0].name]
    p.small[op] = [None] * 256
    if p.shapes[op] == OTHER:
        p.shapes[op] = SMALL if len(row.imms) == 1 and _fits_a_byte(row.imms[0]) else SHORT
        p.memo[op] = {}


@cache
def _fits_a_byte(kind: Imm) -> bool:
    """Tell whether an immediate of this kind may be one byte, by asking for the byte 0."""
    r = Reader(b"\0")
    try:
        kind.read(r)
    except MalformedError:
        return False
    return r.pos == 1


def _row_reader(row: Instr, has_data_count: bool) -> Callable[[Reader, int], In]:
    kinds = tuple(kind.read for kind in row.imms)
    if not has_data_count and names_data(row):

        def refuse(r: Reader, offset: int) -> In:
            raise MalformedError(f"data count section required: {row.name}", offset)

        return refuse
    if len(kinds) == 1:
        only = kinds[0]

        def read_one(r: Reader, offset: int) -> In:
            return _new(In, (row, (only(r),), offset))

        return read_one

    def read(r: Reader, offset: int) -> In:
        return _new(In, (row, tuple([kind(r) for kind in kinds]), offset))

    return read


def _prefix_reader(prefix: int, rows: dict[int, Instr], has_data_count: bool) -> Callable[[Reader, int], In]:
    readers = {sub: _row_reader(row, has_data_count) for sub, row in rows.items()}
    plain = {u(sub): row for sub, row in rows.items() if not row.imms}  # by their one or two bytes

    def read(r: Reader, offset: int) -> In:
        data, after = r.data, r.pos + 1
        if after < r.end:  # not the last byte: an expression ends with another
            if data[after - 1] >= 0x80:
                after += 1
            row = plain.get(data[r.pos : after])
            if row is not None and after <= r.end:
                r.pos = after
                return _new(In, (row, _NONE, offset))
        sub = r.u32()
        reader = readers.get(sub)
        if reader is None:
            raise _absent((prefix, sub), offset)
        return reader(r, offset)

    return read


def _illegal(r: Reader, offset: int) -> In:
    raise _absent(r.data[offset], offset)


def _absent(opcode: Opcode, offset: int) -> MalformedError | UnsupportedError:
    """Return the error for an opcode without a row among the features that are on."""
    row = TABLE.by_opcode.get(opcode)
    if row is not None:
        feature = row.feature
        if feature in EXECUTED:
            return MalformedError(f"illegal opcode: {row.name} needs {feature.name}", offset)
        return UnsupportedError(feature.name, Where(None, offset))
    prefix, sub = opcode if isinstance(opcode, tuple) else (None, opcode)
    return MalformedError("illegal opcode " + (f"{prefix:02x} " if prefix else "") + f"{sub:02x}", offset)


def names_data(row: Instr) -> bool:
    """Tell whether a row has a data segment index, so that it needs the data count section."""
    return any(kind.name == "dataidx" for kind in row.imms)


def read_expr(r: Reader, p: Plan) -> Expr:
    """Read instructions up to the ``end`` that closes the expression, and stop behind it (spec: binary-expr)."""
    shapes, rows, small, memo, widths, readers = p.shapes, p.rows, p.small, p.memo, p.widths, p.read
    data, end, pos = r.data, r.end, r.pos
    out: list[In] = []
    add = out.append
    open_: list[Instr | None] = []  # rows of open constructs, or of their latest clause; None where none may follow
    while pos < end:
        op = data[pos]
        shape = shapes[op]
        start = pos + 1
        if shape <= SHORT:
            if shape == SMALL:
                if start < end and (imms := small[op][data[start]]) is not None:
                    add(_new(In, (rows[op], imms, pos)))
                    pos += 2
                    continue
            elif shape == PLAIN:
                add(_new(In, (rows[op], _NONE, pos)))
                pos = start
                continue
            known = memo[op]
            after = start + 2
            imms = known.get(data[start:after])
            if imms is None:
                after += 1
                imms = known.get(data[start:after])
            if imms is not None and after <= end:
                add(_new(In, (rows[op], imms, pos)))
                pos = after
                continue
            r.pos = start
            ins = readers[op](r, pos)
            add(ins)
            pos = r.pos
            size = pos - start
            if size == 1:
                small[op][data[start]] = ins[1]
            elif size <= 3 and len(known) < MEMO_SIZE:
                known[data[start:pos]] = ins[1]
            continue
        if shape == END:
            add(_new(In, (rows[op], _NONE, pos)))
            pos = start
            if not open_:
                r.pos = pos
                return tuple(out)
            open_.pop()
            continue
        if shape == WIDE:
            after = start + widths[op]
            if after <= end:
                imms = (int.from_bytes(data[start:after], "little"),)
                add(_new(In, (rows[op], imms, pos)))
                pos = after
                continue
        elif shape == OPEN:
            open_.append(rows[op])
            if start < end and (imms := small[op][data[start]]) is not None:
                add(_new(In, (rows[op], imms, pos)))
                pos += 2
                continue
        elif shape == ELSE:
            if not open_ or open_[-1] is None or open_[-1].control is not Control.IF:
                raise MalformedError("END opcode expected: else outside of an if", pos)
            open_[-1] = None
            add(_new(In, (rows[op], _NONE, pos)))
            pos = start
            continue
        elif shape == CLAUSE:
            _follow(open_, rows[op], pos)
        r.pos = start
        ins = readers[op](r, pos)
        add(ins)
        pos = r.pos
        if shape == OPEN and pos - start == 1:
            small[op][data[start]] = ins[1]
    raise MalformedError("END opcode expected: unexpected end", end)


def _follow(open_: list[Instr | None], row: Instr, pos: int) -> None:
    """Go on with the innermost construct, which must be a ``try``, by a clause, or end it by ``delegate``."""
    before = open_[-1] if open_ else None
    follows = before is not None and before.control is Control.TRY
    if row.control is Control.DELEGATE:
        if follows:
            open_.pop()
            return
    elif follows or (before is not None and before.control is Control.CATCH):
        open_[-1] = row if row.imms else None  # one that catches everything is the last
        return
    raise MalformedError(f"END opcode expected: {row.name} outside of a try", pos)


def read_code(r: Reader, p: Plan) -> Code:
    """Read one entry of the code section (spec: binary-code)."""
    start = r.pos
    size = r.u32()
    if size > r.end - r.pos:
        raise MalformedError("unexpected end of section or function", start)
    body = r.part(size)
    offset = body.pos
    locals_ = _read_locals(body)
    expr = read_expr(body, p)
    if body.pos != body.end:
        raise MalformedError("END opcode expected: bytes after the end of the function", body.pos)
    return Code(locals_, expr, offset)


def _read_locals(r: Reader) -> tuple[tuple[int, ValType], ...]:
    """Read runs of locals, which stay runs: two bytes may declare four thousand million."""
    runs: list[tuple[int, ValType]] = []
    total = 0
    for _ in range(r.count()):
        start = r.pos
        n = r.u32()
        total += n
        if total >= 1 << 32:
            raise MalformedError("too many locals", start)
        runs.append((n, read_valtype(r)))
    return tuple(runs)


# -- writing


@cache
def _opcode(row: Instr) -> bytes:
    if isinstance(row.opcode, tuple):
        return bytes((row.opcode[0],)) + u(row.opcode[1])
    return bytes((row.opcode,))


def write_expr(expr: Expr) -> bytes:
    """Spec: binary-expr."""
    out = bytearray()
    for row, imms, _ in expr:
        out += _opcode(row)
        if imms or row.imms:
            for kind, value in zip(row.imms, imms, strict=True):
                out += kind.write(value)
    return bytes(out)


def write_code(code: Code) -> bytes:
    """Spec: binary-code."""
    runs = u(len(code.locals)) + b"".join([u(n) + write_valtype(t) for n, t in code.locals])
    body = runs + write_expr(code.body)
    return u(len(body)) + body
