"""Annotations that become custom sections: ``@custom``, and branch hints (spec: appendix, custom sections).

A place such as ``(before func)`` names a section that the module may not have.  A :class:`Custom` stands behind a
section that is there, so places are settled when the module is complete.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from engine.binary.code import write_code
from engine.binary.sections import CUSTOM, SECTIONS
from engine.instructions.leb import u
from engine.module import Custom
from engine.text.lexer import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from engine.module import Code, Module
    from engine.text.lexer import Source, Token

__all__ = ["BRANCH_HINTS", "FIRST", "LAST", "Placed", "branch_hints", "read_custom", "settle"]

BRANCH_HINTS = "metadata.code.branch_hint"
_ORDER = {section.field: place for place, section in enumerate(SECTIONS)}
_WORDS = {
    "type": "types", "import": "imports", "func": "funcs", "table": "tables", "memory": "mems", "tag": "tags",
    "global": "globals", "export": "exports", "start": "start", "elem": "elems", "datacount": "data_count",
    "code": "codes", "data": "datas",
}  # fmt: skip
FIRST, LAST = -1, 2 * len(SECTIONS)
_BEFORE_CODE = 2 * _ORDER["codes"]


class Placed(NamedTuple):
    """A custom section to be: ``place`` is twice the place of a section, plus 1 for behind it."""

    name: str
    data: bytes
    place: int


def read_custom(source: Source, token: Token) -> Placed:
    """Return what ``(@custom "name" place? "..."*)`` means, or raise MalformedError."""
    _, start, end = source.annotation(token)
    contents = list(source.tokens(start, end, inside=True))
    if not contents or contents[0].kind is not Kind.STRING:
        raise source.error("@custom annotation: missing section name", token.start)
    try:
        name = source.string(contents[0]).decode()
    except UnicodeDecodeError:
        raise source.error("@custom annotation: malformed UTF-8 encoding", contents[0].start) from None
    rest = contents[1:]
    place = LAST
    if rest and rest[0].kind is Kind.LPAR:
        place = _place(source, rest)
        rest = rest[4:]
    for other in rest:
        if other.kind is not Kind.STRING:
            raise source.error("@custom annotation: unexpected token", other.start, "a string expected")
    return Placed(name, b"".join([source.string(s) for s in rest]), place)


def _place(source: Source, form: Sequence[Token]) -> int:
    """Return the place that ``(before first)``, ``(before func)``, ``(after func)`` or ``(after last)`` means."""
    side = source[form[1]] if len(form) > 1 else b""
    if side not in (b"before", b"after"):
        raise source.error("@custom annotation: malformed placement", form[0].start, "before or after expected")
    word = source[form[2]].decode() if len(form) > 2 else ""
    extreme = {b"before": ("first", FIRST), b"after": ("last", LAST)}[side]
    if word != extreme[0] and word not in _WORDS:
        raise source.error("@custom annotation: malformed section kind", form[0].start, word[:40])
    if len(form) < 4 or form[3].kind is not Kind.RPAR:
        raise source.error("@custom annotation: unexpected token", form[0].start, "one section expected")
    return extreme[1] if word == extreme[0] else 2 * _ORDER[_WORDS[word]] + (side == b"after")


def settle(module: Module, placed: Iterable[Placed]) -> Module:
    """Return the module with these custom sections, each behind the last section before its place that is there."""
    ordered = sorted(placed, key=lambda p: p.place)
    if not ordered:
        return module
    present = [(2 * place, s.id) for place, s in enumerate(SECTIONS) if getattr(module, s.field) not in ((), None)]
    customs = []
    for name, data, place in ordered:
        after = [id for at, id in present if at < place]
        customs.append(Custom(name, data, after[-1] if after else CUSTOM))
    return replace(module, customs=tuple(customs))


def branch_hints(hints: Iterable[tuple[int, Code, Sequence[tuple[int, bytes]]]]) -> Placed:
    """Return the section for functions: index, code, and contents by the number of the instruction."""
    entries = []
    for funcidx, code, found in hints:
        entry = u(funcidx) + u(len(found))
        end = len(write_code(replace(code, body=()))) - 1  # of the locals; the size of an empty body is one byte
        done = 0
        for number, data in found:
            end += len(write_code(replace(code, locals=(), body=code.body[done:number]))) - 2
            done = number
            entry += u(end) + u(len(data)) + data
        entries.append(entry)
    return Placed(BRANCH_HINTS, u(len(entries)) + b"".join(entries), _BEFORE_CODE)
