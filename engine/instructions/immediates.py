"""Immediate kinds: how one operand of an instruction is read, written, printed and parsed (spec: binary-instr).

A row lists its kinds in the order of the binary format.  The text format agrees, with one exception: an index that may
be left out there stands first (``call_indirect 1 (type 0)``, ``memory.init 1 5``).  Such a kind has ``leads``, and
:func:`print_operands` puts it in front, so no printer names an instruction.  ``name`` is the kind for whoever chooses
values: ``TABLEIDX`` and ``LEADING_TABLEIDX`` share it, and ``TYPEUSE`` is a ``typeidx`` that prints as ``(type 0)``.

``parse`` gets a :class:`Text` and returns the value; a new kind needs one.  A kind that is one index or number in text
has ``words`` 1.  One that may be left out has a ``default``; it is left out where the row has fewer words than kinds
that take one.  Where rows share a keyword (``select``, ``select t``), ``fits`` looks at what follows and takes nothing:
the row of the most kinds that all fit is meant.

A value that is made of others, as that of ``br_table`` is of labels, says so for whoever renumbers or looks for them:
``holds`` has the names of their kinds, and :meth:`Imm.map` changes each.

What a value is: an index is an int; a constant is its bits as an unsigned int; the rest says its function.
What a kind is made of is in ``kind.py``, those of constants and lanes in ``literals.py``; all are to be had from here.
"""

from __future__ import annotations

from dataclasses import replace
from operator import methodcaller
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.errors import MalformedError
from engine.features import CUSTOM_DESCRIPTORS
from engine.instructions.kind import Imm, print_operands
from engine.instructions.leb import s, u
from engine.instructions.literals import (
    F32_BITS,
    F64_BITS,
    I32_BITS,
    I64_BITS,
    LANEIDX,
    LANES,
    V128_BITS,
    print_float,
)
from engine.types import (
    ANY,
    ARRAY,
    EQ,
    EXN,
    EXTERN,
    F32,
    F64,
    FUNC,
    I31,
    I32,
    I64,
    NOEXN,
    NOEXTERN,
    NOFUNC,
    NONE,
    STRUCT,
    V128,
    AbsHeapType,
    ExactType,
    NumType,
    RefType,
    VecType,
    exact,
    ref,
)  # fmt: skip

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from engine.instructions.kind import Reader, Text
    from engine.types import HeapType, ValType

__all__ = [
    "BLOCKTYPE", "BRTABLE", "CAST_BRANCH", "CATCHES", "COUNT", "DATAIDX", "ELEMIDX", "F32_BITS", "F64_BITS", "FIELDIDX",
    "FUNCIDX", "GLOBALIDX", "HEAPTYPE", "HEAPTYPE_NON_NULL", "HEAPTYPE_NULL", "I32_BITS", "I64_BITS", "LABELIDX",
    "LANEIDX", "LANES", "LEADING_MEMIDX", "LEADING_TABLEIDX", "LOCALIDX", "MEMARG", "MEMIDX", "RESERVED", "TABLEIDX",
    "TAGIDX", "TYPEIDX", "TYPEUSE", "V128_BITS", "VALTYPES", "BlockType", "CastBranch", "Catch", "Imm", "MemArg",
    "labels_in", "print_float", "print_operands", "read_heaptype", "read_reftype", "read_valtype",
    "write_heaptype", "write_valtype",
]  # fmt: skip


def labels_in(kind: Imm, value: Any) -> list[int]:
    """Return the labels that an immediate is or has in it."""
    if kind is LABELIDX:
        return [value]
    found: list[int] = []
    if "labelidx" in kind.holds:
        kind.map(lambda name, part: found.append(part) if name == "labelidx" else None, value)
    return found


# Indices.

_u32 = methodcaller("u32")


def _index(space: str, default: int | None = None) -> Imm:
    """Return the kind of an index into ``space``; one with a default may be left out in text."""
    return Imm(f"{space}idx", _u32, u, parse=methodcaller("index", space), words=1, default=default)


LOCALIDX = _index("local")
GLOBALIDX = _index("global")
FUNCIDX = _index("func")
TYPEIDX = _index("type")
TABLEIDX = replace(_index("table", 0), read=methodcaller("tableidx"))
MEMIDX = replace(_index("mem", 0), read=methodcaller("memidx"))
ELEMIDX = _index("elem")
DATAIDX = _index("data")
FIELDIDX = _index("field")
LABELIDX = _index("label")
TAGIDX = _index("tag")

TYPEUSE = replace(TYPEIDX, print_="(type {})".format, parse=methodcaller("typeuse"), words=0)
LEADING_TABLEIDX = replace(TABLEIDX, leads=True)
LEADING_MEMIDX = replace(MEMIDX, leads=True)


def _read_br_table(r: Reader) -> tuple[tuple[int, ...], int]:
    labels = tuple(r.u32() for _ in range(r.u32()))
    return labels, r.u32()


def _write_br_table(value: tuple[tuple[int, ...], int]) -> bytes:
    labels, default = value
    return u(len(labels)) + b"".join(map(u, labels)) + u(default)


def _print_br_table(value: tuple[tuple[int, ...], int]) -> str:
    labels, default = value
    return " ".join(map(str, (*labels, default)))


def _parse_br_table(t: Text) -> tuple[tuple[int, ...], int]:
    labels = [t.index("label")]
    while t.words_ahead(1):
        labels.append(t.index("label"))
    return tuple(labels[:-1]), labels[-1]


def _map_br_table(change: Callable[[str, Any], Any], value: Any) -> Any:
    labels, default = value
    return tuple([change("labelidx", l) for l in labels]), change("labelidx", default)


# The labels, then the default label.
BRTABLE = Imm("br_table", _read_br_table, _write_br_table, _print_br_table, parse=_parse_br_table,
              holds=("labelidx",), parts=_map_br_table)  # fmt: skip


# Memory arguments.


class MemArg(NamedTuple):
    """Spec: syntax-memarg.  ``align`` is the exponent of two, as in the binary format."""

    align: int
    offset: int
    mem: int = 0


HAS_MEMIDX = 1 << 6


def _read_memarg(r: Reader) -> MemArg:
    """Spec: binary-memarg."""
    at = r.pos
    flags = r.u32()
    if flags >= HAS_MEMIDX << 1:
        raise MalformedError("malformed memop flags", at)
    mem = r.u32() if flags & HAS_MEMIDX else 0
    return MemArg(flags & HAS_MEMIDX - 1, r.address(), mem)


def _write_memarg(m: MemArg) -> bytes:
    return u(m.align | HAS_MEMIDX) + u(m.mem) + u(m.offset) if m.mem else u(m.align) + u(m.offset)


def _print_memarg(m: MemArg) -> str:
    parts = [str(m.mem)] if m.mem else []
    if m.offset:
        parts.append(f"offset={m.offset}")
    return " ".join([*parts, f"align={1 << m.align}"])


def _parse_memarg(t: Text) -> MemArg:
    """Spec: text-memarg.  Alignment is natural where it is left out."""
    words = t.words_ahead(t.reserved + 1)
    mem = t.index("mem") if words > t.reserved or (words == 1 and t.setting_at(1)) else 0
    offset = t.setting("offset", 64)
    align = t.setting("align", 64)
    if align is None:
        return MemArg(t.natural, offset or 0, mem)
    if not align or align & (align - 1):
        raise t.error("alignment must be a power of two", f"not {align}", 1)
    return MemArg(align.bit_length() - 1, offset or 0, mem)


MEMARG = Imm("memarg", _read_memarg, _write_memarg, _print_memarg, parse=_parse_memarg, holds=("memidx",),
             parts=lambda change, m: m._replace(mem=change("memidx", m.mem)))  # fmt: skip


# A byte that means nothing yet.
RESERVED = Imm("zero", methodcaller("zero"), lambda zero: bytes((zero,)), lambda zero: "", parse=lambda t: 0)


# Types.  A concrete heap type is its type index.  Reading knows every type of the standard; which of them are on is
# asked where the whole module is known.

EMPTY, EXACT, REF_NULL, REF = 0x40, 0x62, 0x63, 0x64
_HEAPTYPES = {
    h.code: h for h in (FUNC, EXTERN, ANY, EQ, I31, STRUCT, ARRAY, EXN, NONE, NOFUNC, NOEXTERN, NOEXN)
}  # fmt: skip
_REFTYPES = {code: ref(True, h) for code, h in _HEAPTYPES.items()}
_VALTYPES: dict[int, ValType] = {I32.code: I32, I64.code: I64, F32.code: F32, F64.code: F64, V128.code: V128}
_VALTYPES |= _REFTYPES


def read_heaptype(r: Reader) -> HeapType:
    """Spec: binary-heaptype."""
    at = r.pos
    heap = _HEAPTYPES.get(r.byte())
    if heap is not None:
        return heap
    r.pos = at
    x = r.s33()
    if x >= 0:
        return x
    if x == EXACT - 0x80 and r.pos == at + 1 and CUSTOM_DESCRIPTORS in r.features:
        x = r.s33()
        if x >= 0:
            return exact(x)
    raise MalformedError("malformed heap type", at)


def read_reftype(r: Reader) -> RefType:
    """Spec: binary-reftype."""
    at = r.pos
    code = r.byte()
    t = _REFTYPES.get(code)
    if t is not None:
        return t
    if code not in (REF_NULL, REF):
        raise MalformedError("malformed reference type", at)
    return ref(code == REF_NULL, read_heaptype(r))


def read_valtype(r: Reader) -> ValType:
    """Spec: binary-valtype."""
    at = r.pos
    code = r.byte()
    t = _VALTYPES.get(code)
    if t is not None:
        return t
    if code not in (REF_NULL, REF):
        raise MalformedError("malformed value type", at)
    return ref(code == REF_NULL, read_heaptype(r))


def write_heaptype(heap: HeapType) -> bytes:
    """Spec: binary-heaptype."""
    if isinstance(heap, AbsHeapType):
        return bytes((heap.code,))
    if isinstance(heap, int):
        return s(heap)
    if isinstance(heap, ExactType):
        return bytes((EXACT,)) + write_heaptype(heap.heap)
    raise TypeError(f"heap type {heap!r} is closed: it has no binary form")


def write_valtype(t: ValType) -> bytes:
    """Spec: binary-valtype, with the short form of a reference type where there is one."""
    if isinstance(t, NumType | VecType):
        return bytes((t.code,))
    if t.null and isinstance(t.heap, AbsHeapType):
        return bytes((t.heap.code,))
    return bytes((REF_NULL if t.null else REF,)) + write_heaptype(t.heap)


BlockType = NumType | VecType | RefType | int | None  # the one result, a type index, or nothing


def _read_blocktype(r: Reader) -> BlockType:
    """Spec: binary-blocktype.  As signed integers of one byte, the codes of types are negative."""
    at = r.pos
    code = r.byte()
    if code == EMPTY:
        return None
    r.pos = at
    if EMPTY < code < 0x80:
        return read_valtype(r)
    x = r.s33()
    if x < 0:
        raise MalformedError("malformed block type", at)
    return x


def _write_blocktype(t: BlockType) -> bytes:
    if t is None:
        return bytes((EMPTY,))
    return s(t) if isinstance(t, int) else write_valtype(t)


def _print_blocktype(t: BlockType) -> str:
    if t is None:
        return ""
    return f"(type {t})" if isinstance(t, int) else f"(result {t})"


def _read_valtypes(r: Reader) -> tuple[ValType, ...]:
    return tuple(read_valtype(r) for _ in range(r.u32()))


def _write_valtypes(ts: Sequence[ValType]) -> bytes:
    return u(len(ts)) + b"".join(map(write_valtype, ts))


def _print_valtypes(ts: Sequence[ValType]) -> str:
    return f"(result {' '.join(map(str, ts))})" if ts else "(result)"


HEAPTYPE = Imm("heaptype", read_heaptype, write_heaptype, parse=methodcaller("heaptype"))
HEAPTYPE_NON_NULL = replace(
    HEAPTYPE, print_="(ref {})".format, parse=lambda t: t.reftype().heap, fits=lambda t: not t.at_nullable()
)
HEAPTYPE_NULL = replace(HEAPTYPE, print_="(ref null {})".format, parse=lambda t: t.reftype().heap)
BLOCKTYPE = Imm("blocktype", _read_blocktype, _write_blocktype, _print_blocktype, parse=methodcaller("blocktype"))
VALTYPES = Imm(
    "valtypes", _read_valtypes, _write_valtypes, _print_valtypes, parse=methodcaller("results"),
    fits=methodcaller("opens", "result"),
)  # fmt: skip


class CastBranch(NamedTuple):
    """A label, the type that is cast, and the type it is cast to."""

    label: int
    source: RefType
    target: RefType


def _read_cast(r: Reader) -> CastBranch:
    """Spec: binary-castop."""
    at = r.pos
    flags = r.byte()
    if flags > 3:
        raise MalformedError("malformed br_on_cast flags", at)
    label = r.u32()
    source = ref(flags & 1 == 1, read_heaptype(r))
    return CastBranch(label, source, ref(flags & 2 == 2, read_heaptype(r)))


def _write_cast(cast: CastBranch) -> bytes:
    label, source, target = cast
    flags = bytes((source.null | target.null << 1,))
    return flags + u(label) + write_heaptype(source.heap) + write_heaptype(target.heap)


def _print_cast(cast: CastBranch) -> str:
    return " ".join(map(str, cast))


def _parse_cast(t: Text) -> CastBranch:
    return CastBranch(t.index("label"), t.reftype(), t.reftype())


def _map_cast(change: Callable[[str, Any], Any], cast: CastBranch) -> CastBranch:
    label, source, target = cast
    return CastBranch(change("labelidx", label), change("reftype", source), change("reftype", target))


CAST_BRANCH = Imm("cast", _read_cast, _write_cast, _print_cast, parse=_parse_cast, holds=("labelidx", "reftype"),
                  parts=_map_cast)  # fmt: skip
COUNT = Imm("u32", _u32, u, parse=methodcaller("unsigned", 32), words=1)


# Handlers.


class Catch(NamedTuple):
    """Spec: syntax-catch.  ``tag`` is None for every tag; ``with_ref`` passes the exception on behind its values."""

    tag: int | None
    with_ref: bool
    label: int


_CATCHES = ("catch", "catch_ref", "catch_all", "catch_all_ref")  # by their codes in the binary format


def _catch_code(clause: Catch) -> int:
    return (clause.tag is None) << 1 | clause.with_ref


def _read_catches(r: Reader) -> tuple[Catch, ...]:
    """Spec: binary-catch."""
    out = []
    for _ in range(r.u32()):
        at = r.pos
        code = r.byte()
        if code >= len(_CATCHES):
            raise MalformedError("malformed catch clause", at)
        tag = None if code & 2 else r.u32()
        out.append(Catch(tag, code & 1 == 1, r.u32()))
    return tuple(out)


def _write_catches(clauses: Sequence[Catch]) -> bytes:
    parts = [u(len(clauses))]
    for clause in clauses:
        parts.append(bytes((_catch_code(clause),)))
        if clause.tag is not None:
            parts.append(u(clause.tag))
        parts.append(u(clause.label))
    return b"".join(parts)


def _print_catches(clauses: Sequence[Catch]) -> str:
    return " ".join([
        f"({_CATCHES[_catch_code(c)]} {c.label if c.tag is None else f'{c.tag} {c.label}'})" for c in clauses
    ])  # fmt: skip


def _parse_catches(t: Text) -> tuple[Catch, ...]:
    """Spec: text-catch."""
    out = []
    while t.opens(*_CATCHES):
        code = _CATCHES.index(t.enter())
        tag = None if code & 2 else t.index("tag")
        out.append(Catch(tag, code & 1 == 1, t.index("label")))
        t.leave()
    return tuple(out)


def _map_catches(change: Callable[[str, Any], Any], clauses: Sequence[Catch]) -> tuple[Catch, ...]:
    return tuple([
        Catch(None if tag is None else change("tagidx", tag), with_ref, change("labelidx", label))
        for tag, with_ref, label in clauses
    ])  # fmt: skip


CATCHES = Imm("catches", _read_catches, _write_catches, _print_catches, parse=_parse_catches,
              holds=("tagidx", "labelidx"), parts=_map_catches)  # fmt: skip
