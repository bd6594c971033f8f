"""The name section: what the author called things, for messages and reports (spec: appendix, custom sections).

Names mean nothing to execution, so a section that is broken is no reason to refuse a module: :func:`names_of` answers
with what could be read before the fault.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from engine.errors import MalformedError
from engine.instructions.leb import u

from .reader import Reader

if TYPE_CHECKING:
    from engine.module import Module

__all__ = ["SECTION", "Names", "names_of", "write_names"]

SECTION = "name"
MODULE, FUNCS, LOCALS = 0, 1, 2


@dataclass(slots=True)
class Names:
    """Names by index; ``locals`` by function and local index."""

    module: str | None = None
    funcs: dict[int, str] = field(default_factory=dict)
    locals: dict[int, dict[int, str]] = field(default_factory=dict)


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
        elif id == FUNCS:
            _read_map(part, names.funcs)
        elif id == LOCALS:
            for _ in range(part.count()):
                _read_map(part, names.locals.setdefault(part.u32(), {}))


def _read_map(r: Reader, into: dict[int, str]) -> None:
    """Spec: binary-namemap."""
    for _ in range(r.count()):
        x = r.u32()
        into[x] = r.name()


def write_names(names: Names) -> bytes:
    """Return the contents of a name section, without its name."""
    parts = []
    if names.module is not None:
        parts.append((MODULE, _name(names.module)))
    if names.funcs:
        parts.append((FUNCS, _map(names.funcs)))
    if names.locals:
        maps = [u(x) + _map(names.locals[x]) for x in sorted(names.locals)]
        parts.append((LOCALS, u(len(maps)) + b"".join(maps)))
    return b"".join([bytes((id,)) + u(len(body)) + body for id, body in parts])


def _map(names: dict[int, str]) -> bytes:
    return u(len(names)) + b"".join([u(x) + _name(names[x]) for x in sorted(names)])


def _name(name: str) -> bytes:
    data = name.encode("utf-8")
    return u(len(data)) + data
