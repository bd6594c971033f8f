"""Modules from bytes, section by section, so that a test shows exactly the byte that is wrong."""

from __future__ import annotations

from engine.instructions.leb import u

__all__ = ["HEADER", "func", "module", "section"]

HEADER = b"\0asm\1\0\0\0"
TYPE, IMPORT, FUNC, TABLE, MEM, GLOBAL, EXPORT, START, ELEM, CODE, DATA, DATA_COUNT, TAG = range(1, 14)


def section(id: int, *contents: bytes) -> bytes:
    """Return a section whose size is right."""
    body = b"".join(contents)
    return bytes((id,)) + u(len(body)) + body


def module(*sections: bytes) -> bytes:
    """Return the header and these sections."""
    return HEADER + b"".join(sections)


def func(body: bytes, locals_: bytes = b"\0", type: bytes = b"\x60\0\0") -> bytes:
    """Return a module with one function, whose body lacks only its size."""
    code = locals_ + body
    return module(section(1, b"\1", type), section(3, b"\1\0"), section(10, b"\1", u(len(code)), code))
