"""The name section: what the author called things, for messages and reports (spec: appendix, custom sections).

Names mean nothing to execution, so a section that is broken is no reason to refuse a module: :func:`names_of` answers
with what could be read before the fault.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from engine.errors import MalformedError
from engine.instructions.leb import u

from .reader import Reader

if TYPE_CHECKING:
    from engine.module import Module

__all__ = ["SECTION", "Names", "names_of", "write_names"]

SECTION = "name"
MODULE = 0
# Subsections by id: the field of Names, and whether it has names within each member (of locals, say).
_MAPS = {
    1: ("funcs", False), 2: ("locals", True), 3: ("labels", True), 4: ("types", False), 5: ("tables", False),
    6: ("mems", False), 7: ("globals", False), 8: ("elems", False), 9: ("datas", False), 10: ("fields", True),
    11: ("tags", False), 12: ("params", True),
}  # fmt: skip

NameMap = dict[int, str]
IndirectNameMap = dict[int, NameMap]


@dataclass(slots=True)
class Names:
    """Names by index; ``locals`` and ``labels`` by function, ``fields`` and ``params`` by type, then by own index."""

    module: str | None = None
    funcs: NameMap = field(default_factory=dict)
    locals: IndirectNameMap = field(default_factory=dict)
    labels: IndirectNameMap = field(default_factory=dict)
    types: NameMap = field(default_factory=dict)
    tables: NameMap = field(default_factory=dict)
    mems: NameMap = field(default_factory=dict)
    globals: NameMap = field(default_factory=dict)
    elems: NameMap = field(default_factory=dict)
    datas: NameMap = field(default_factory=dict)
    fields: IndirectNameMap = field(default_factory=dict)
    tags: NameMap = field(default_factory=dict)
    params: IndirectNameMap = field(default_factory=dict)


def names_of(module: Module) -> Names:
    """Return the names in the first name section."""
    names = Names()
    for custom in module.customs:
        if custom.name == SECTION:
            try:
                _read(Reader(custom.data), names)
            except MalformedError:
                return names  # broken: what came before counts
            return names
    return names


def _read(r: Reader, names: Names) -> None:
    while r.pos < r.end:
        id = r.byte()
        size = r.count()
        part = r.part(size)
        if id == MODULE:
            names.module = part.name()
            continue
        name, indirect = _MAPS.get(id, ("", False))
        if indirect:
            for _ in range(part.count()):
                _read_map(part, getattr(names, name).setdefault(part.u32(), {}))
        elif name:
            _read_map(part, getattr(names, name))


def _read_map(r: Reader, into: NameMap) -> None:
    """Spec: binary-namemap."""
    for _ in range(r.count()):
        x = r.u32()
        into[x] = r.name()


def write_names(names: Names) -> bytes:
    """Return the contents of a name section, without its name."""
    parts = []
    if names.module is not None:
        parts.append((MODULE, _name(names.module)))
    for id, (name, indirect) in _MAPS.items():
        known: dict[int, Any] = getattr(names, name)
        if known:
            maps = [u(x) + (_map(known[x]) if indirect else _name(known[x])) for x in sorted(known)]
            parts.append((id, u(len(maps)) + b"".join(maps)))
    return b"".join([bytes((id,)) + u(len(body)) + body for id, body in parts])


def _map(names: NameMap) -> bytes:
    return u(len(names)) + b"".join([u(x) + _name(names[x]) for x in sorted(names)])


def _name(name: str) -> bytes:
    data = name.encode("utf-8")
    return u(len(data)) + data
