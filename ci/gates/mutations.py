"""Ways to break a valid module, byte by byte, by its structure and by its meaning; ``mutant`` and ``neighbour`` choose.

A mutant has several changes, or changes of bytes, and seldom gets far.  A neighbour has one change that knows what it
changes, so that it gets past decoding and one rule of validation has to notice, or none.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from ci.gates.material import bases
from engine.binary import Form, decode, encode
from engine.binary.padding import pad
from engine.binary.sections import KINDS
from engine.features import EXECUTED
from engine.instructions import TABLE
from engine.instructions.leb import u
from engine.instructions.model import Instr
from engine.module import In
from engine.types import (
    EXTERN,
    EXTERNREF,
    F64,
    FUNC,
    FUNCREF,
    I31,
    I32,
    I64,
    NONE,
    STRUCT,
    V128,
    AbsHeapType,
    NumType,
    PackType,
    RefType,
    VecType,
    exact,
    ref,
)
from generators.source import Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from engine.features import FeatureSet
    from engine.module import Module

__all__ = ["join", "mutant", "neighbour", "split"]

TYPE_BYTES = (
    0x7F, 0x7E, 0x7D, 0x7C, 0x7B, 0x70, 0x6F, 0x6E, 0x69, 0x64, 0x63, 0x62, 0x60, 0x5F, 0x5E, 0x50, 0x4F, 0x4E, 0x4D,
    0x4C, 0x40, 0x00,
)  # fmt: skip
INTEGERS = (0, 1, 2, 127, 128, 0x7FFF_FFFF, 0xFFFF_FFFF, 1 << 32, 1 << 35, (1 << 64) - 1, 1 << 64)
OVERLONG = (b"\x80\x00", b"\x80\x80\x80\x80\x00", b"\xff\xff\xff\xff\x7f", b"\x80" * 10 + b"\x00", b"\xff" * 12)

Sections = list[tuple[int, bytes]]


def read_u(data: bytes, pos: int) -> tuple[int, int]:
    """Return the unsigned LEB128 integer at ``pos`` and where it ends, which may be the end of the data."""
    value = shift = 0
    while pos < len(data):
        byte = data[pos]
        pos += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    return value, pos


def split(wasm: bytes) -> Sections:
    """Return the sections of a valid module, by id and contents."""
    sections, pos = [], 8
    while pos < len(wasm):
        size, start = read_u(wasm, pos + 1)
        sections.append((wasm[pos], wasm[start : start + size]))
        pos = start + size
    return sections


def join(sections: Iterable[tuple[int, bytes]]) -> bytes:
    return b"\0asm\x01\0\0\0" + b"".join(bytes([n]) + u(len(body)) + body for n, body in sections)


# byte by byte


def replace_byte(source: Source, data: bytes, other: bytes) -> bytes:
    i = source.below(len(data))
    return data[:i] + bytes([source.bits(8)]) + data[i + 1 :]


def flip_bit(source: Source, data: bytes, other: bytes) -> bytes:
    i = source.below(len(data))
    return data[:i] + bytes([data[i] ^ 1 << source.below(8)]) + data[i + 1 :]


def insert_bytes(source: Source, data: bytes, other: bytes) -> bytes:
    i = source.below(len(data) + 1)
    return data[:i] + bytes(source.bits(8) for _ in range(source.between(1, 8))) + data[i:]


def delete_bytes(source: Source, data: bytes, other: bytes) -> bytes:
    i = source.below(len(data))
    return data[:i] + data[i + source.between(1, 16) :]


def truncate(source: Source, data: bytes, other: bytes) -> bytes:
    return data[: source.between(1, len(data))]


def repeat_bytes(source: Source, data: bytes, other: bytes) -> bytes:
    i = source.below(len(data))
    return data[:i] + data[i : i + source.between(1, 64)] * source.between(2, 40) + data[i:]


def splice(source: Source, data: bytes, other: bytes) -> bytes:
    i, j = source.below(len(data)), source.below(len(other))
    return data[:i] + other[j : j + source.between(1, 128)] + data[i:]


BYTEWISE: tuple[Callable[[Source, bytes, bytes], bytes], ...]
BYTEWISE = (replace_byte, flip_bit, insert_bytes, delete_bytes, truncate, repeat_bytes, splice)


# by the structure


def change_sections(source: Source, sections: Sections, other: Sections) -> Sections:
    """Drop, repeat, exchange, rename, empty or import a section."""
    i = source.below(len(sections))
    n, body = sections[i]
    changed = source.choose(([], [(n, body)] * 2, [(source.below(16), body)], [(n, b"")], other[i : i + 1]))
    if source.chance(15):
        j = source.below(len(sections))
        sections[i], sections[j] = sections[j], sections[i]
        return sections
    return [*sections[:i], *changed, *sections[i + 1 :]]


def _within(source: Source, sections: Sections, change: Callable[[bytes], bytes], ids: Sequence[int] = ()) -> Sections:
    """Change the contents of one section, of these ids where the module has any, and keep its size right."""
    candidates = [i for i, (n, body) in enumerate(sections) if body and (not ids or n in ids)]
    if candidates:
        i = source.choose(candidates)
        sections[i] = sections[i][0], change(sections[i][1])
    return sections


def change_integer(source: Source, sections: Sections, other: Sections) -> Sections:
    """Read some place as an integer and write another, or the same in too many bytes."""

    def change(body: bytes) -> bytes:
        i = source.below(len(body))
        value, end = read_u(body, i)
        if source.chance(25):
            return body[:i] + source.choose(OVERLONG) + body[end:]
        near = (value + 1, max(value - 1, 0), value * 2, value ^ 1 << source.below(32))
        return body[:i] + u(source.choose(near if source.chance(50) else INTEGERS)) + body[end:]

    return _within(source, sections, change)


def change_opcode(source: Source, sections: Sections, other: Sections) -> Sections:
    """Put an instruction of the table over some byte of the code."""

    def change(body: bytes) -> bytes:
        opcode = source.choose(OPCODES)
        i = source.below(len(body))
        return body[:i] + opcode + body[i + (1 if source.chance(70) else len(opcode)) :]

    return _within(source, sections, change, ids=(10,))


def change_type(source: Source, sections: Sections, other: Sections) -> Sections:
    """Put another type over a byte that looks like one."""

    def change(body: bytes) -> bytes:
        places = [i for i, byte in enumerate(body) if byte in TYPE_BYTES[:-1]] or [0]
        i = source.choose(places)
        return body[:i] + bytes([source.choose(TYPE_BYTES)]) + body[i + 1 :]

    return _within(source, sections, change, ids=(1, 2, 4, 5, 6, 9, 10))


def _opcode(opcode: int | tuple[int, int]) -> bytes:
    return bytes([opcode]) if isinstance(opcode, int) else bytes([opcode[0]]) + u(opcode[1])


# by the meaning: bodies


@cache
def decoded(wasm: bytes, features: FeatureSet) -> Module:
    return decode(wasm, features)


def _another_row(source: Source, body: list[In], i: int) -> None:
    """Put a row with the same kinds of immediates in the place of one."""
    body[i] = In(source.choose(ALIKE[body[i].row.imms]), body[i].imms)


def _another_index(source: Source, body: list[In], i: int) -> None:
    """Change an index that is an immediate or a part of one."""
    row, imms, _ = body[i]
    step = source.choose((1, -1, 2, 100))

    def change(_: str, part: object) -> object:
        return max(0, part + step) if isinstance(part, int) else part

    if row.imms:
        at = source.below(len(row.imms))
        kind = row.imms[at]
        if (kind.name.endswith("idx") and kind.name != "laneidx") or kind.holds:
            body[i] = In(row, (*imms[:at], kind.map(change, imms[at]), *imms[at + 1 :]))


def _another_order(source: Source, body: list[In], i: int) -> None:
    """Exchange two neighbours."""
    body[i : i + 2] = body[i : i + 2][::-1]


def _once_more(source: Source, body: list[In], i: int) -> None:
    """Repeat an instruction, or put one from elsewhere before it."""
    body.insert(i, body[source.below(len(body))] if source.chance(50) else body[i])


def _no_more(source: Source, body: list[In], i: int) -> None:
    """Leave out an instruction."""
    del body[i]


CHANGES: tuple[Callable[[Source, list[In], int], None], ...]
CHANGES = (_another_row, _another_index, _another_order, _once_more, _no_more)


def change_instruction(source: Source, module: Module) -> Module:
    """Change one instruction."""
    codes = list(module.codes)
    if codes:
        x = source.below(len(codes))
        body = list(codes[x].body)
        if body:
            source.choose(CHANGES)(source, body, source.below(len(body)))
        codes[x] = replace(codes[x], body=tuple(body))
    return replace(module, codes=tuple(codes))


# by the meaning


TYPES = (I32, I64, F64, V128, FUNCREF, EXTERNREF, ref(False, FUNC), ref(True, STRUCT), ref(False, I31), ref(True, 0),
         ref(False, 1), ref(True, exact(0)))  # fmt: skip
HEAPS = (FUNC, EXTERN, STRUCT, NONE, 0, 1)
Path = tuple[Any, ...]


def _leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Give the parts of a definition that have no parts, and the tuples, with the way to each."""
    if is_dataclass(value) and not isinstance(value, Instr | NumType | VecType | PackType | AbsHeapType | RefType):
        for field in fields(value):
            yield from _leaves(getattr(value, field.name), (*path, field.name))
        return
    if isinstance(value, tuple):
        yield path, value
        for i, part in enumerate(value):
            yield from _leaves(part, (*path, i))
        return
    yield path, value


def _changed(value: Any, path: Path, new: Any) -> Any:
    """Return a definition with another part at the end of the way."""
    if not path:
        return new
    step, rest = path[0], path[1:]
    if isinstance(step, str):
        return replace(value, **{step: _changed(getattr(value, step), rest, new)})
    parts = [*value[:step], _changed(value[step], rest, new), *value[step + 1 :]]
    return type(value)._make(parts) if hasattr(value, "_make") else tuple(parts)


def _other(source: Source, value: Any) -> Any:
    """Return another value of the same sort, or the same where nothing is known to be."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return max(0, value + source.choose((1, -1, 2, 1 << 16, 1 << 32)))
    if isinstance(value, Instr):
        return source.choose(ALIKE[value.imms])
    if isinstance(value, NumType | VecType | PackType | RefType):
        return source.choose(TYPES)
    if isinstance(value, AbsHeapType):
        return source.choose(HEAPS)
    if isinstance(value, str):
        return source.choose(KINDS) if value in KINDS else ""
    if type(value) is tuple and value:
        i = source.below(len(value))
        return source.choose((value[:i] + value[i + 1 :], (*value[:i], value[i], *value[i:])))
    return value


DEFINITIONS = ("types", "imports", "funcs", "tables", "mems", "tags", "globals", "exports", "start", "elems", "datas")


def change_definition(source: Source, module: Module) -> Module:
    """Change one part of one definition."""
    present = [name for name in DEFINITIONS if getattr(module, name)]
    if not present:
        return module
    name = source.choose(present)
    items = getattr(module, name)
    places = list(_leaves(items))
    path, value = source.choose(places)
    return replace(module, **{name: _changed(items, path, _other(source, value))})


ALIKE = {row.imms: [other for other in TABLE if other.imms == row.imms] for row in TABLE}
OPCODES = tuple(_opcode(row.opcode) for row in TABLE)
STRUCTURAL: tuple[Callable[[Source, Sections, Sections], Sections], ...]
STRUCTURAL = (change_integer, change_opcode, change_type, change_sections)


def mutant(seed: int, i: int, features: FeatureSet = EXECUTED) -> bytes:
    """Return mutant ``i`` of the modules that are valid with these features."""
    source = Source.fresh("mutant", seed, i)
    data, other = source.choose(bases(seed, features)), source.choose(bases(seed, features))
    if i % 2:
        for _ in range(source.between(1, 4)):
            data = source.choose(BYTEWISE)(source, data, other) or data[:1]
        return data
    if source.chance(40):
        module = decoded(data, features)
        for _ in range(source.between(1, 3)):
            module = source.choose((change_instruction, change_definition))(source, module)
        return _written(source, module, data)
    sections, others = split(data), split(other)
    for _ in range(source.between(1, 3)):
        sections = source.choose(STRUCTURAL)(source, sections, others) or split(data)
    return join(sections)


def _written(source: Source, module: Module, data: bytes) -> bytes:
    """Return the bytes of a changed module in some form, or ``data`` where the change is none that bytes can say."""
    try:
        return encode(module, Form(*[source.chance(30) for _ in Form._fields]))
    except (IndexError, OverflowError, TypeError, ValueError):
        return data


def neighbour(seed: int, i: int, features: FeatureSet) -> bytes:
    """Return the ``i``-th module near one that is valid with these features."""
    source = Source.fresh("neighbour", seed, i)
    data, other = source.choose(bases(seed, features)), source.choose(bases(seed, features))
    how = source.below(10)
    if how < 4:
        return _written(source, change_instruction(source, decoded(data, features)), data)
    if how < 7:
        return _written(source, change_definition(source, decoded(data, features)), data)
    if how == 7:
        sections = source.choose(STRUCTURAL)(source, split(data), split(other))
        return join(sections)
    if how == 8:
        return source.choose(BYTEWISE)(source, data, other)
    data = _written(source, decoded(data, features), data)
    return pad(data, lambda most: source.below(most + 1) if source.chance(20) else 0)
