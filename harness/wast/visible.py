"""A module whose whole state can be seen from outside: its memories, tables and globals exported under unused names.

Scripts export little of what they change, and an observation shows exports only.  The bytes of every other section stay
as they are, and so do all indices, so that what runs, what it costs and what it is called do not change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.binary import decode
from engine.binary.reader import Reader
from engine.errors import WasmError
from engine.features import COMPATIBLE
from engine.instructions.leb import u
from engine.types import GlobalType, MemType, TableType

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.module import Module

__all__ = ["decoded", "with_state_exported"]

_PREFIX = "@"  # and more of them, as long as a name is taken
_EXPORTS = 7
_BEFORE = (1, 2, 3, 4, 5, 13, 6)  # ids of sections before that of exports
_SPACES = ((TableType, "tables", "table", 1), (MemType, "mems", "mem", 2), (GlobalType, "globals", "global", 3))


def decoded(wasm: bytes) -> Module | None:
    """Return the module that bytes are, or None."""
    try:
        return decode(wasm, COMPATIBLE)
    except WasmError:
        return None


def with_state_exported(wasm: bytes, module: Module | None = None) -> bytes:
    """Return the module with exports for all that it defines but functions and tags; the same bytes if it is none."""
    module = decoded(wasm) if module is None else module
    if module is None:
        return wasm
    new = list(_hidden(module))
    if not new:
        return wasm
    entries = b"".join(_name(name) + bytes((kind,)) + u(x) for name, kind, x in new)
    return _spliced(wasm, len(new), entries)


def _hidden(module: Module) -> Iterator[tuple[str, int, int]]:
    """Yield name, kind and index of the export of each memory, table and global that has none."""
    names = {e.name for e in module.exports}
    seen = {(e.kind, e.index) for e in module.exports}
    prefix = _PREFIX
    while any(name.startswith(prefix) for name in names):
        prefix += _PREFIX
    for cls, field, kind, code in _SPACES:
        first = sum(isinstance(i.desc, cls) for i in module.imports)
        for x in range(first, first + len(getattr(module, field))):
            if (kind, x) not in seen:
                yield f"{prefix}{kind}{x}", code, x


def _name(text: str) -> bytes:
    data = text.encode()
    return u(len(data)) + data


def _spliced(wasm: bytes, count: int, entries: bytes) -> bytes:
    """Return the module with ``count`` more exports; their section is made where there is none."""
    r = Reader(wasm, 8)
    place = 8
    while r.pos < r.end:
        start, id_ = r.pos, r.byte()
        end = r.u32() + r.pos
        if id_ == _EXPORTS:
            count += r.u32()
            return wasm[:start] + _section(u(count) + wasm[r.pos : end] + entries) + wasm[end:]
        if id_ in _BEFORE:
            place = end
        r.pos = end
    return wasm[:place] + _section(u(count) + entries) + wasm[place:]


def _section(contents: bytes) -> bytes:
    return bytes((_EXPORTS,)) + u(len(contents)) + contents
