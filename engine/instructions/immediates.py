"""Immediate kinds: how one operand of an instruction is read, written, printed and parsed (spec: binary-instr).

A row lists its kinds in the order of the binary format.  The text format agrees, with one exception: an index that may
be left out there stands first (``call_indirect 1 (type 0)``, ``memory.init 1 5``).  Such a kind has ``leads``, and
:func:`print_operands` puts it in front, so no printer names an instruction.  ``name`` is the kind for whoever chooses
values: ``TABLEIDX`` and ``LEADING_TABLEIDX`` share it, and ``TYPEUSE`` is a ``typeidx`` that prints as ``(type 0)``.

``parse`` gets a :class:`Text` and returns the value; a new kind needs one.  A kind that is one index or number in text
has ``words`` 1.  One that may be left out has a ``default``; it is left out where the row has fewer words than kinds
that take one.  Where rows share a keyword (``select``, ``select t``), ``fits`` looks at what follows and takes nothing:
the row of the most kinds that all fit is meant.

What a value is: an index is an int; a constant is its bits as an unsigned int; the rest says its function.
Kinds for vectors, fields, casts and handlers are further entries of this file.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isfinite, isnan
from operator import methodcaller
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from engine.errors import MalformedError
from engine.instructions.leb import s, u
from engine.numerics.ints import signed
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
    NumType,
    RefType,
    VecType,
    ref,
)  # fmt: skip
from engine.values import f32_from_bits, f64_from_bits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from engine.types import HeapType, ValType

__all__ = [
    "BLOCKTYPE", "BRTABLE", "DATAIDX", "ELEMIDX", "F32_BITS", "F64_BITS", "FUNCIDX", "GLOBALIDX", "HEAPTYPE",
    "I32_BITS", "I64_BITS", "LABELIDX", "LEADING_MEMIDX", "LEADING_TABLEIDX", "LOCALIDX", "MEMARG", "MEMIDX",
    "TABLEIDX", "TYPEIDX", "TYPEUSE", "VALTYPES", "BlockType", "Imm", "MemArg", "Text", "print_float", "print_operands",
    "read_heaptype", "read_reftype", "read_valtype", "write_heaptype", "write_valtype",
]  # fmt: skip


class Reader(Protocol):
    """What a kind needs of ``engine.binary.reader.Reader``, which stands to the right."""

    pos: int

    def byte(self) -> int: ...
    def u32(self) -> int: ...
    def u64(self) -> int: ...
    def s32(self) -> int: ...
    def s33(self) -> int: ...
    def s64(self) -> int: ...
    def bytes(self, n: int, /) -> bytes: ...


class Text(Protocol):
    """What a kind needs of ``engine.text.parser.operands.Operands``, which stands to the right.

    Everything raises MalformedError with its place, and takes the tokens that it returns.
    """

    reserved: int  # words that the kinds behind this one need
    natural: int  # exponent of the natural alignment of the instruction

    def index(self, space: str, /) -> int:
        """Return a number or the meaning of an identifier; of a ``field``, in the type named last."""
        ...

    def words_ahead(self, limit: int, /) -> int:
        """Return how many indices or numbers follow in a row, at most ``limit``; take none."""
        ...

    def setting_at(self, distance: int, /) -> bool:
        """Tell whether a token ``NAME=N`` comes after so many others."""
        ...

    def setting(self, name: str, n: int, /) -> int | None:
        """Return the uN of ``name=N`` if that is the next token, else None."""
        ...

    def opens(self, *keywords: str) -> bool:
        """Tell whether ``(`` and one of these keywords follow; take neither."""
        ...

    def enter(self) -> str:
        """Take ``(`` and a keyword, and return the keyword."""
        ...

    def leave(self) -> None:
        """Take the ``)``."""
        ...

    def keyword(self) -> str: ...
    def unsigned(self, n: int, /) -> int: ...
    def integer(self, n: int, /) -> int: ...
    def float_(self, n: int, /) -> int: ...
    def valtype(self) -> ValType: ...
    def reftype(self) -> RefType: ...
    def heaptype(self) -> HeapType: ...
    def results(self) -> tuple[ValType, ...]: ...
    def typeuse(self) -> int: ...
    def blocktype(self) -> BlockType: ...
    def error(self, phrase: str, detail: str = "") -> MalformedError: ...


def _no_text(t: Any) -> Any:
    raise t.error("unexpected token", "this immediate has no text form")


def _always(t: Any) -> bool:
    return True


@dataclass(frozen=True, slots=True, eq=False)
class Imm:
    """One kind; ``name`` is the specification's word for it."""

    name: str
    read: Callable[[Any], Any]
    write: Callable[[Any], bytes]
    print_: Callable[[Any], str] = str
    leads: bool = False
    parse: Callable[[Any], Any] = _no_text
    words: int = 0
    default: Any = None
    fits: Callable[[Any], bool] = _always

    def __repr__(self) -> str:
        return f"<{self.name}>"


def print_operands(kinds: Sequence[Imm], values: Sequence[Any]) -> str:
    """Return the immediates of one instruction in the order of the text format, without empty ones."""
    pairs = sorted(zip(kinds, values, strict=True), key=lambda pair: not pair[0].leads)
    return " ".join(text for kind, value in pairs if (text := kind.print_(value)))


# Indices.

_u32 = methodcaller("u32")


def _index(space: str, default: int | None = None) -> Imm:
    """Return the kind of an index into ``space``; one with a default may be left out in text."""
    return Imm(f"{space}idx", _u32, u, parse=methodcaller("index", space), words=1, default=default)


LOCALIDX = _index("local")
GLOBALIDX = _index("global")
FUNCIDX = _index("func")
TYPEIDX = _index("type")
TABLEIDX = _index("table", 0)
MEMIDX = _index("mem", 0)
ELEMIDX = _index("elem")
DATAIDX = _index("data")
LABELIDX = _index("label")

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


# The labels, then the default label.
BRTABLE = Imm("br_table", _read_br_table, _write_br_table, _print_br_table, parse=_parse_br_table)


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
    return MemArg(flags & HAS_MEMIDX - 1, r.u64(), mem)


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
        raise t.error("alignment must be a power of 2", f"not {align}")
    return MemArg(align.bit_length() - 1, offset or 0, mem)


MEMARG = Imm("memarg", _read_memarg, _write_memarg, _print_memarg, parse=_parse_memarg)


# Types.  A concrete heap type is its type index.  Reading knows every type of the standard; which of them are on is
# asked where the whole module is known.

EMPTY, REF_NULL, REF = 0x40, 0x63, 0x64
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
    if x < 0:
        raise MalformedError("malformed heap type", at)
    return x


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
BLOCKTYPE = Imm("blocktype", _read_blocktype, _write_blocktype, _print_blocktype, parse=methodcaller("blocktype"))
VALTYPES = Imm(
    "valtypes", _read_valtypes, _write_valtypes, _print_valtypes, parse=methodcaller("results"),
    fits=methodcaller("opens", "result"),
)  # fmt: skip


# Constants.


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
