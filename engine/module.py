"""The abstract syntax of a module: what decoding returns, what validation and instantiation read.

A body is a flat sequence of instructions in the order of the binary format; ``block``, ``else`` and ``end`` are
instructions of their own.  Indices are ints, types are as written (concrete heap types are type indices).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.errors import WasmError, Where

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.instructions.model import Instr
    from engine.types import GlobalType, MemType, RecType, RefType, TableType, TagType, ValType

__all__ = [
    "Active", "Code", "Custom", "Data", "Declare", "Elem", "Export", "Expr", "FuncImport", "Global", "Import", "In",
    "Module", "Passive", "Table",
]  # fmt: skip


class In(NamedTuple):
    """One instruction of a body: its row, its immediates, and its byte offset in the module (-1 where built)."""

    row: Instr
    imms: tuple[Any, ...] = ()
    offset: int = -1


Expr = tuple[In, ...]  # ends with ``end``


class FuncImport(NamedTuple):
    """The description of an imported function: its type index, and whether it must have exactly this type."""

    typeidx: int
    exact: bool = False


class Import(NamedTuple):
    """Spec: syntax-import."""

    module: str
    name: str
    desc: FuncImport | TableType | MemType | GlobalType | TagType


class Export(NamedTuple):
    """``kind`` is func, table, mem, global or tag; ``index`` is in that space."""

    name: str
    kind: str
    index: int  # type: ignore[assignment]  # hides tuple.index


@dataclass(frozen=True, slots=True)
class Code:
    """A function body: declared locals as runs ``(count, type)``, instructions, and the offset of the body."""

    locals: tuple[tuple[int, ValType], ...]
    body: Expr
    offset: int = field(default=-1, compare=False)


@dataclass(frozen=True, slots=True)
class Table:
    """``init`` is None for the form without an initialiser (all slots null)."""

    type: TableType
    init: Expr | None = None


@dataclass(frozen=True, slots=True)
class Global:
    type: GlobalType
    init: Expr


@dataclass(frozen=True, slots=True)
class Active:
    """Segment mode: copied at instantiation to ``offset`` in the memory or table ``index``."""

    index: int
    offset: Expr


@dataclass(frozen=True, slots=True)
class Passive:
    """Segment mode: kept for ``memory.init`` or ``table.init``."""


@dataclass(frozen=True, slots=True)
class Declare:
    """Element segment mode: only declares its functions for ``ref.func``."""


@dataclass(frozen=True, slots=True)
class Elem:
    """``init`` holds one constant expression per element; ``flag`` is the binary form it was read from."""

    type: RefType
    init: tuple[Expr, ...]
    mode: Active | Passive | Declare
    flag: int = field(default=-1, compare=False)


@dataclass(frozen=True, slots=True)
class Data:
    init: bytes
    mode: Active | Passive


class Custom(NamedTuple):
    """A custom section and the id of the last non-custom section before it (0 at the start)."""

    name: str
    data: bytes
    after: int


@dataclass(slots=True)
class Module:
    """Spec: syntax-module.  Treat as immutable once decoded.

    ``places`` has, by field, the byte offset of the section and then of each of its items; it is empty for a module
    that was built.  ``context`` is left by validation for instantiation (an ``engine.validation.context.Context``),
    ``digest`` by decoding: the SHA-256 of the bytes, in hex digits, empty for a module that was built.
    """

    types: tuple[RecType, ...] = ()
    imports: tuple[Import, ...] = ()
    funcs: tuple[int, ...] = ()  # type index of each defined function
    tables: tuple[Table, ...] = ()
    mems: tuple[MemType, ...] = ()
    tags: tuple[TagType, ...] = ()
    globals: tuple[Global, ...] = ()
    exports: tuple[Export, ...] = ()
    start: int | None = None
    elems: tuple[Elem, ...] = ()
    datas: tuple[Data, ...] = ()
    data_count: int | None = None
    codes: tuple[Code, ...] = ()
    customs: tuple[Custom, ...] = ()
    places: dict[str, list[int]] = field(default_factory=dict, compare=False, repr=False)
    context: Any = field(default=None, init=False, compare=False, repr=False)
    digest: str = field(default="", init=False, compare=False, repr=False)

    def each(self, name: str, check: Callable[[Any], object]) -> None:
        """Apply ``check`` to every item of a field in order; what it raises says where the item stands."""
        x = -1
        try:
            for x, item in enumerate(getattr(self, name)):  # noqa: B007  # the handler below wants the index
                check(item)
        except WasmError as e:
            raise e.at(self.place(name, x)) from None

    def place(self, name: str, x: int = -1) -> Where:
        """Return where item ``x`` of a field stands, or its section for -1."""
        offsets = self.places.get(name, [])
        return Where(None, offsets[x + 1]) if x + 1 < len(offsets) else Where()
