"""LEB128 as canonical bytes (spec: binary-int).

Reading lives in ``engine.binary.reader``, where the bounds and the error offsets are.  The writers stand here, left of
``engine.binary``, because immediate kinds write themselves.
"""

from __future__ import annotations

__all__ = ["s", "u"]

_SMALL = tuple(bytes((v,)) for v in range(128))


def u(v: int) -> bytes:
    """Return the shortest unsigned form of ``v >= 0``."""
    if 0 <= v < 128:
        return _SMALL[v]
    if v < 0:
        raise ValueError(f"unsigned LEB128 of {v}")
    out = bytearray()
    while v > 127:
        out.append(v & 127 | 128)
        v >>= 7
    out.append(v)
    return bytes(out)


def s(v: int) -> bytes:
    """Return the shortest signed form of ``v``."""
    out = bytearray()
    while not -64 <= v < 64:
        out.append(v & 127 | 128)
        v >>= 7
    out.append(v & 127)
    return bytes(out)
