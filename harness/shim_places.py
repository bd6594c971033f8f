"""Places in a driver module, told as places in the module that it wraps.

Wrapping touches no code (``harness.shim_module``): instruction n of a body is instruction n of the same body wrapped,
only that both the function and the bytes have moved.  So a place is looked up, never computed.  Frames of the driver's
own functions are those of the host: they are left out, which is what engines with a host do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.binary import decode
from engine.features import EXECUTED

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from engine.module import Module

__all__ = ["NOWHERE", "Places"]

NOWHERE = 0  # the offset of no instruction: in a module it is that of the first byte


class Places:
    """``module`` is the one that was wrapped, as decoded; ``wasm`` is the driver module."""

    def __init__(self, module: Module, wasm: bytes) -> None:
        hosts = len(module.imports)
        self.functions = range(1 + hosts, 1 + hosts + len(module.codes))
        self._offsets: dict[tuple[int, int], int] = {}
        for x, old, new in zip(self.functions, module.codes, decode(wasm, EXECUTED).codes[hosts:], strict=False):
            for was, now in zip(old.body, new.body, strict=True):
                self._offsets[x, now.offset] = was.offset

    def original(self, frames: Iterable[Sequence[int]]) -> list[list[int]]:
        """Return the frames of the wrapped module's own functions among those of the driver module.

        A place where it has no instruction becomes NOWHERE in its function, which nothing else is equal to.
        """
        return [[x - 1, self._offsets.get((x, at), NOWHERE)] for x, at in frames if x in self.functions]
