"""The fields of a module, in two passes (spec: text-module).

The first pass gives every definition its index, so that identifiers may be used before they are bound; the second reads
types, and then everything else in the order of the text, because written-out function types are added in that order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from engine.binary.code import names_data
from engine.binary.names import SECTION, Names, write_names
from engine.module import (
    Code,
    Custom,
    Data,
    Elem,
    Export,
    FuncImport,
    Global,
    Import,
    Module,
    Table,
)
from engine.text.lexer import Kind
from engine.types import Limits, MemType, TableType, TagType

from .annotations import LAST, Placed, branch_hints, read_custom, settle
from .names import Space
from .segments import SegmentReader

if TYPE_CHECKING:
    from engine.features import FeatureSet
    from engine.text.lexer import Source
    from engine.types import SubType, ValType

__all__ = ["ModuleReader", "runs"]

_SPACES = {"func": "func", "table": "table", "memory": "mem", "global": "global", "tag": "tag"}
_NOUNS = {"func": "function", "table": "table", "memory": "memory", "global": "global", "tag": "tag"}
_FIELDS = frozenset({*_SPACES, "type", "rec", "import", "export", "start", "elem", "data"})


class _Field(NamedTuple):
    """A field whose names are bound, and its index ``x``: it is ``open`` to ``close``, and taken up to ``pos``."""

    keyword: str
    open: int
    pos: int
    close: int
    x: int = -1
    exports: tuple[str, ...] = ()
    origin: tuple[str, str] | None = None  # module and name, of an import


class ModuleReader(SegmentReader):
    """Reads the fields of one module."""

    def __init__(self, source: Source, features: FeatureSet) -> None:
        super().__init__(source, features)
        self.parts: dict[str, list[Any]] = {}
        self.places: dict[str, list[int]] = {}  # as in a module: where a part starts, then where each item does
        self.start: int | None = None
        self.placed: list[Placed] = []
        self.hinted: list[tuple[int, Code, list[tuple[int, bytes]]]] = []
        self._at = 0  # where the field starts that is being read
        self._defined = ""  # the kind of the first definition: imports stand before it
        self._starts = 0

    def module(self, with_names: bool) -> Module:
        """Take fields up to the parenthesis or the text that closes the module."""
        types, others = self._bind_all()
        end = self.pos
        first = 0
        for field in types:
            first += self._types(field, first)
        for field in others:
            self.pos = field.pos
            self._at = self.starts[field.open]
            getattr(self, f"_read_{field.keyword}")(field)
            if self.pos != field.close:
                self.refuse("the end of the form")
        self.pos = end
        return self._finish(with_names)

    # -- first pass

    def _bind_all(self) -> tuple[list[_Field], list[_Field]]:
        types: list[_Field] = []
        others: list[_Field] = []
        if self.annotations:
            self._module_name()
        while True:
            if self.annotations:
                self.placed += [read_custom(self.source, t) for t in self.annotations_at("custom", self.pos)]
            if self.at(Kind.RPAR) or self.at_end():
                return types, others
            pos = self.pos
            keyword = self.head()
            if keyword not in _FIELDS:
                self.pos += bool(keyword)
                self.refuse("a field of a module")
            self.pos += 2
            close = self.close[pos]
            if keyword in ("type", "rec"):
                types.append(_Field(keyword, pos, self.pos, close))
                self._bind_types(keyword)
            else:
                others.append(self._bind(keyword, pos, close))
            self.pos = close + 1

    def _module_name(self) -> None:
        taken = self.annotations_at("name", self.pos)
        if len(taken) > 1:
            raise self.source.error("@name annotation: multiple module names", taken[1].start)
        if taken:
            self.scope.module = self._read_name(taken[0].start, taken[0].end)

    def _bind_types(self, keyword: str) -> None:
        if keyword == "type":
            self.declare("type")
            return
        while self.at(Kind.LPAR):
            pos = self.pos
            if not self.enter_if("type"):
                self.pos += 1
                self.refuse("type")
            self.declare("type")
            self.pos = self.close[pos] + 1

    def _bind(self, keyword: str, open: int, close: int) -> _Field:
        if keyword == "import":
            origin = (self.name(), self.name())
            self._check_order(open + 1)
            form = self.pos
            kind = self.enter()
            if kind not in _SPACES:
                self.pos = form + 1
                self.refuse("func, table, memory, global or tag")
            x = self.scope.spaces[_SPACES[kind]].size
            self.declare(_SPACES[kind])
            return _Field(keyword, open, form, close, x, origin=origin)
        if keyword in ("elem", "data"):
            x = self.scope.spaces[keyword].size
            self.declare(keyword)
            return _Field(keyword, open, self.pos, close, x)
        if keyword == "start":
            self._starts += 1
            if self._starts > 1:
                raise self.error_at(open + 1, "multiple start sections")
        if keyword not in _SPACES:
            return _Field(keyword, open, self.pos, close)
        return self._bind_definition(keyword, open, close)

    def _bind_definition(self, keyword: str, open: int, close: int) -> _Field:
        space = _SPACES[keyword]
        x = self.scope.spaces[space].size
        self.declare(space)
        exports = []
        while self.enter_if("export"):
            exports.append(self.name())
            self.leave()
        origin = None
        if self.enter_if("import"):
            origin = (self.name(), self.name())
            self.leave()
            self._check_order(open + 1)
        else:
            self._defined = self._defined or _NOUNS[keyword]
        pos = self.pos
        if origin is None and keyword in ("table", "memory") and self._brings_segment():
            self.scope.spaces["elem" if keyword == "table" else "data"].add(None)
        return _Field(keyword, open, pos, close, x, tuple(exports), origin)

    def _check_order(self, pos: int) -> None:
        if self._defined:
            raise self.error_at(pos, f"import after {self._defined}")

    def _brings_segment(self) -> bool:
        """Tell whether a table or memory has a segment of its own: then its limits are left out."""
        self.addrtype()
        return not self.at(Kind.INTEGER)

    # -- second pass

    def _types(self, field: _Field, first: int) -> int:
        """Read a definition of types and return how many."""
        self.pos = field.pos
        self._at = self.starts[field.open]
        if field.keyword == "type":
            subtypes = [self._type(first)]
        else:
            subtypes = []
            while self.enter_if("type"):
                subtypes.append(self._type(first + len(subtypes)))
                self.leave()
        if self.pos != field.close:
            self.refuse("the end of the form")
        self.add_rectype(tuple(subtypes))
        return len(subtypes)

    def _type(self, x: int) -> Any:
        self.identifier_if()
        return self.subtype(x)

    def add_rectype(self, subtypes: tuple[SubType, ...]) -> None:
        """Add a group of types to the module, at the place of the field that is being read."""
        self.places.setdefault("types", [self._at]).append(self._at)
        super().add_rectype(subtypes)

    def _exports(self, field: _Field) -> None:
        kind = _SPACES[field.keyword]
        for name in field.exports:
            self._add("exports", Export(name, kind, field.x))

    def _add(self, part: str, item: Any) -> None:
        """Add an item to a part of the module, at the place of the field that is being read."""
        self.parts.setdefault(part, []).append(item)
        self.places.setdefault(part, [self._at]).append(self._at)

    def _import(self, field: _Field, desc: Any) -> None:
        assert field.origin is not None
        self._add("imports", Import(*field.origin, desc))

    def _read_import(self, field: _Field) -> None:
        keyword = self.enter()
        self.identifier_if()
        self._import(field, self._externtype(keyword, field.x))
        self.leave()

    def _externtype(self, keyword: str, x: int) -> Any:
        """Take what an import of index ``x`` asks for (spec: text-externtype)."""
        if keyword == "func":
            self.scope.enter_function()
            desc = self._funcimport()
            self.scope.leave_function(x)
            return desc
        if keyword == "table":
            return self.tabletype()
        if keyword == "memory":
            return self.memtype()
        if keyword == "global":
            return self.globaltype()
        return TagType(self.typeuse(Space()))

    def _funcimport(self) -> FuncImport:
        """Take the type of an imported function."""
        is_exact = self.enter_if("exact")
        typeidx = self.typeuse(self.scope.locals)
        if is_exact:
            self.leave()
        return FuncImport(typeidx, is_exact)

    def _read_func(self, field: _Field) -> None:
        """Spec: text-func."""
        self._exports(field)
        self.scope.enter_function()
        if field.origin is not None:
            self._import(field, self._funcimport())
        else:
            self._add("funcs", self.typeuse(self.scope.locals))
            locals_ = runs(self.named("local", self.scope.locals))
            offset = self.starts[self.pos]
            body = self.expression()
            code = Code(locals_, body, offset)
            self._add("codes", code)
            if self.hints:
                self.hinted.append((field.x, code, self.hints))
        self.scope.leave_function(field.x)

    def _read_table(self, field: _Field) -> None:
        """Spec: text-table."""
        self._exports(field)
        if field.origin is not None:
            self._import(field, self.tabletype())
            return
        at = self.starts[self.pos]
        addrtype = self.addrtype()
        if self.at(Kind.INTEGER):
            limits = self.limits()
            t = TableType(self.reftype(), limits, addrtype)
            init = None if self.pos == field.close else self.expression()
            self._add("tables", Table(t, init))
            return
        reftype = self.reftype()
        elemtype, elements = self.inline_elements(reftype)
        n = len(elements)
        self._add("tables", Table(TableType(reftype, Limits(n, n), addrtype)))
        self._add("elems", Elem(elemtype, elements, self.origin(field.x, addrtype, at)))

    def _read_memory(self, field: _Field) -> None:
        """Spec: text-mem."""
        self._exports(field)
        if field.origin is not None:
            self._import(field, self.memtype())
            return
        at = self.pos
        addrtype = self.addrtype()
        if self.at(Kind.INTEGER):
            self.pos = at
            self._add("mems", self.memtype())
            return
        page_bits = self.page_bits()
        if not self.enter_if("data"):
            self.refuse("limits or data")
        data = self.strings()
        self.leave()
        pages = (len(data) + (1 << page_bits) - 1) >> page_bits
        self._add("mems", MemType(Limits(pages, pages), addrtype, False, page_bits))
        self._add("datas", Data(data, self.origin(field.x, addrtype, self.starts[at])))

    def _read_global(self, field: _Field) -> None:
        """Spec: text-global."""
        self._exports(field)
        t = self.globaltype()
        if field.origin is not None:
            self._import(field, t)
        else:
            self._add("globals", Global(t, self.expression()))

    def _read_tag(self, field: _Field) -> None:
        """Spec: text-tag."""
        self._exports(field)
        t = TagType(self.typeuse(Space()))
        if field.origin is not None:
            self._import(field, t)
        else:
            self._add("tags", t)

    def _read_export(self, field: _Field) -> None:
        """Spec: text-export."""
        name = self.name()
        at = self.pos
        keyword = self.enter()
        if keyword not in _SPACES:
            self.pos = at + 1
            self.refuse("func, table, memory, global or tag")
        self._add("exports", Export(name, _SPACES[keyword], self.index(_SPACES[keyword])))
        self.leave()

    def _read_start(self, field: _Field) -> None:
        """Spec: text-start."""
        self.places["start"] = [self._at]
        self.start = self.index("func")

    def _read_elem(self, field: _Field) -> None:
        self._add("elems", self.elem())

    def _read_data(self, field: _Field) -> None:
        self._add("datas", self.data())

    # -- the module

    def _finish(self, with_names: bool) -> Module:
        parts: dict[str, Any] = {part: tuple(found) for part, found in self.parts.items()}
        module = Module(types=tuple(self.rectypes), start=self.start, places=self.places, **parts)
        if any(names_data(row) for row in {ins.row for code in module.codes for ins in code.body}):
            module.data_count = len(module.datas)
        if self.hinted:
            self.placed.append(branch_hints(self.hinted))
        module = settle(module, self.placed)
        names = self.scope.names()
        if with_names and names != Names():
            module.customs += (Custom(SECTION, write_names(names), settle_last(module)),)
        return module


def settle_last(module: Module) -> int:
    """Return the id of the last section of a module, custom ones aside."""
    return settle(module, [Placed("", b"", LAST)]).customs[0].after


def runs(ts: list[ValType]) -> tuple[tuple[int, ValType], ...]:
    """Return locals as runs of equal types."""
    runs: list[tuple[int, ValType]] = []
    for t in ts:
        if runs and runs[-1][1] is t:
            runs[-1] = (runs[-1][0] + 1, t)
        else:
            runs.append((1, t))
    return tuple(runs)
