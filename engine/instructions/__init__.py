"""The instruction table: every other part of the project is derived from it.

``ROW_MODULES`` is the one list of the files of rows; a proposal adds its file there.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any

from engine.errors import EngineBug
from engine.instructions import (
    arrays,
    control,
    custom_descriptors,
    exceptions,
    legacy,
    memory,
    numeric,
    parametric,
    reference,
    relaxed,
    structures,
    table,
    tail_call,
    threads,
    variable,
    vector,
    wide_arithmetic,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from engine.instructions.model import Instr, Opcode

__all__ = ["ROW_MODULES", "TABLE", "InstructionTable"]


def _order(row: Instr) -> tuple[int, int]:
    return row.opcode if isinstance(row.opcode, tuple) else (row.opcode, -1)


class InstructionTable:
    """Rows by opcode and by name; iteration is in opcode order.  Treat as immutable."""

    __slots__ = ("by_name", "by_opcode")

    def __init__(self, rows: Iterable[Instr]) -> None:
        ordered = sorted(rows, key=_order)
        self.by_opcode: dict[Opcode, Instr] = {row.opcode: row for row in ordered}
        self.by_name: dict[str, Instr] = {row.name: row for row in ordered}
        if not len(self.by_opcode) == len(self.by_name) == len(ordered):
            count = Counter(chain.from_iterable((row.opcode, row.name) for row in ordered))
            raise EngineBug(f"rows stand twice: {[key for key, n in count.items() if n > 1]}")

    def __iter__(self) -> Iterator[Instr]:
        return iter(self.by_opcode.values())

    def __len__(self) -> int:
        return len(self.by_opcode)

    def replace(self, name: str, **changes: Any) -> InstructionTable:
        """Return a table in which the row ``name`` has these attributes; the other rows are the same objects."""
        return self.with_rows([replace(self.by_name[name], **changes)])

    def with_rows(self, rows: Iterable[Instr]) -> InstructionTable:
        """Return a table with ``rows``, each in place of the row of its name if there is one."""
        return InstructionTable((self.by_name | {row.name: row for row in rows}).values())


ROW_MODULES = (
    control,
    parametric,
    variable,
    table,
    memory,
    numeric,
    reference,
    vector,
    relaxed,
    threads,
    wide_arithmetic,
    structures,
    arrays,
    exceptions,
    tail_call,
    legacy,
    custom_descriptors,
)
TABLE = InstructionTable(chain.from_iterable(module.ROWS for module in ROW_MODULES))
