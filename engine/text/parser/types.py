"""Types and type uses in text (spec: text-types, text-typeuse).

A function type may be written out where an index of a type is wanted.  It means the first type of the module that is
just this function type, alone in its group; if there is none, one is added behind the others.  So definitions of types
are read before everything else, and the list of types grows while the rest is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.text.lexer import Kind
from engine.types import (
    ANY,
    ARRAY,
    EQ,
    EXN,
    EXTERN,
    F32,
    F64,
    FUNC,
    I8,
    I16,
    I31,
    I32,
    I64,
    NOEXN,
    NOEXTERN,
    NOFUNC,
    NONE,
    STRUCT,
    V128,
    AbsHeapType,
    ArrayType,
    FieldType,
    FuncType,
    GlobalType,
    Limits,
    MemType,
    NumType,
    RecType,
    StructType,
    SubType,
    TableType,
    VecType,
    exact,
    ref,
)  # fmt: skip

from .cursor import Cursor
from .names import NOUNS, FreeSpace, Scope, Space

if TYPE_CHECKING:
    from engine.text.lexer import Source
    from engine.types import AddrType, CompType, HeapType, PackType, RefType, ResultType, StorageType, ValType

__all__ = ["TypeReader"]

_ABSTRACT = (FUNC, EXTERN, ANY, EQ, I31, STRUCT, ARRAY, EXN, NONE, NOFUNC, NOEXTERN, NOEXN)
_HEAPTYPES: dict[bytes, AbsHeapType] = {h.name.encode(): h for h in _ABSTRACT}
_REFTYPES: dict[bytes, RefType] = {h.short.encode(): ref(True, h) for h in _ABSTRACT}
_NUMBERS: dict[bytes, NumType | VecType] = {t.name.encode(): t for t in (I32, I64, F32, F64, V128)}
_VALTYPES: dict[bytes, ValType] = {**_NUMBERS, **_REFTYPES}
_PACKED: dict[bytes, PackType] = {t.name.encode(): t for t in (I8, I16)}
_ADDRESSES: dict[bytes, AddrType] = {b"i32": I32, b"i64": I64}


class TypeReader(Cursor):
    """Reads types; knows the module's types so far, one per index in ``subtypes``, and what identifiers mean."""

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self.scope = Scope()
        self.rectypes: list[RecType] = []
        self.subtypes: list[SubType] = []
        self.functypes: dict[FuncType, int] = {}  # the first index of a function type that is alone in its group
        self.last_type = -1  # the type index that was read last: fields are looked up in it

    # -- indices

    def index(self, space: str) -> int:
        """Take a number or an identifier and return the index that it means; of a ``field``, in the last type."""
        pos = self.pos
        kind = self.kinds[pos]
        if kind is Kind.INTEGER:
            x = self.unsigned(32)
        elif kind is Kind.ID:
            id = self.identifier_if() or ""
            found = self._lookup(space, id)
            if found is None:
                raise self.error_at(pos, f"unknown {NOUNS[space]}", f"${id}")
            x = found
        else:
            self.refuse("an index or an identifier")
        if space == "type":
            self.last_type = x
        return x

    def _lookup(self, space: str, id: str) -> int | None:
        if space == "label":
            return self.scope.labels.index(id)
        if space == "field":
            fields = self.scope.fields.get(self.last_type)
            return fields.ids.get(id) if fields is not None else None
        return self.scope.spaces[space].ids.get(id)

    def declare(self, space: str) -> None:
        """Take the identifier and the name of a new member of a space, both of which it may lack."""
        self.bind(self.scope.spaces[space], space.replace("mem", "memory"))

    def bind(self, space: Space, noun: str) -> None:
        """Take an identifier and a name, if there are any, for the next member of ``space``."""
        pos = self.pos
        id = self.identifier_if()
        if not space.add(id, self.name_annotation()):
            raise self.error_at(pos, f"duplicate {noun}", f"${id}")

    def name_annotation(self) -> str | None:
        """Take the ``(@name "...")`` that stands here, if there is one."""
        if not self.annotations:
            return None
        taken = self.annotations_at("name", self.pos)
        if len(taken) > 1:
            raise self.source.error("@name annotation: multiple names", taken[1].start)
        return self._read_name(taken[0].start, taken[0].end) if taken else None

    def _read_name(self, start: int, end: int) -> str:
        contents = list(self.source.tokens(start + len("(@name"), end - 1, inside=True))
        if len(contents) != 1 or contents[0].kind is not Kind.STRING:
            raise self.source.error("@name annotation: unexpected token", start, "one string expected")
        return self.source.name(contents[0])

    # -- value types

    def valtype(self) -> ValType:
        """Spec: text-valtype."""
        if self.kinds[self.pos] is Kind.KEYWORD:
            t = _VALTYPES.get(self.word(self.pos))
            if t is not None:
                self.pos += 1
                return t
        elif self.head() == "ref":
            return self.reftype()
        raise self.unexpected("a value type")

    def at_valtype(self) -> bool:
        """Tell whether a value type follows."""
        if self.kinds[self.pos] is Kind.KEYWORD:
            return self.word(self.pos) in _VALTYPES
        return self.head() == "ref"

    def reftype(self) -> RefType:
        """Spec: text-reftype."""
        if self.kinds[self.pos] is Kind.KEYWORD:
            t = _REFTYPES.get(self.word(self.pos))
            if t is not None:
                self.pos += 1
                return t
        if not self.enter_if("ref"):
            self.refuse("a reference type")
        null = self.keyword_if("null")
        heap = self.heaptype()
        self.leave()
        return ref(null, heap)

    def at_reftype(self) -> bool:
        """Tell whether a reference type follows."""
        if self.kinds[self.pos] is Kind.KEYWORD:
            return self.word(self.pos) in _REFTYPES
        return self.head() == "ref"

    def at_nullable(self) -> bool:
        """Tell whether the reference type that follows has null among its values."""
        if self.head() != "ref":
            return True
        pos = self.pos + 2
        return self.kinds[pos] is Kind.KEYWORD and self.word(pos) == b"null"

    def heaptype(self) -> HeapType:
        """Spec: text-heaptype."""
        if self.kinds[self.pos] is Kind.KEYWORD:
            heap = _HEAPTYPES.get(self.word(self.pos))
            if heap is None:
                self.refuse("a heap type")
            self.pos += 1
            return heap
        if not self.enter_if("exact"):
            return self.index("type")
        x = self.index("type")
        self.leave()
        return exact(x)

    # -- definitions

    def results(self) -> ResultType:
        """Take ``(result t*)*``."""
        ts: list[ValType] = []
        while self.enter_if("result"):
            while not self.at(Kind.RPAR):
                ts.append(self.valtype())
            self.leave()
        return tuple(ts)

    def params(self, names: Space | None) -> ResultType:
        """Take ``(param t*)*`` and ``(param $x t)*``; None allows no identifiers."""
        return tuple(self.named("param", names))

    def named(self, keyword: str, names: Space | None) -> list[ValType]:
        """Take forms of this keyword, each of one named type or of types without names."""
        ts: list[ValType] = []
        while self.enter_if(keyword):
            if names is None:
                if self.at(Kind.ID):
                    self.refuse("a type: parameters have no names here")
            elif self.at(Kind.ID) or self.annotations.get(self.pos):
                self.bind(names, "local")
                ts.append(self.valtype())
                self.leave()
                continue
            while not self.at(Kind.RPAR):
                ts.append(self.valtype())
                if names is not None:
                    names.add(None)
            self.leave()
        return ts

    def functype(self, x: int) -> FuncType:
        """Take the parameters and results of the definition of type ``x``; nothing can refer to its names."""
        names = self.scope.params[x] = FreeSpace()
        return FuncType(self.params(names), self.results())

    def comptype(self, x: int) -> CompType:
        """Take the composite type of the definition of type ``x`` (spec: text-comptype)."""
        t: CompType
        keyword = self.enter()
        if keyword == "func":
            t = self.functype(x)
        elif keyword == "struct":
            t = StructType(tuple(self._fields(x)))
        elif keyword == "array":
            t = ArrayType(self._field())
        else:
            self.pos -= 1
            self.refuse("func, struct or array")
        self.leave()
        return t

    def _fields(self, x: int) -> list[FieldType]:
        names = self.scope.fields[x] = Space()
        fields: list[FieldType] = []
        while self.enter_if("field"):
            if self.at(Kind.ID) or self.annotations.get(self.pos):
                self.bind(names, "field")
                fields.append(self._field())
            else:
                while not self.at(Kind.RPAR):
                    names.add(None)
                    fields.append(self._field())
            self.leave()
        return fields

    def _field(self) -> FieldType:
        """Spec: text-fieldtype."""
        mutable = self.enter_if("mut")
        storage: StorageType
        packed = _PACKED.get(self.word(self.pos)) if self.at(Kind.KEYWORD) else None
        if packed is None:
            storage = self.valtype()
        else:
            storage = packed
            self.pos += 1
        if mutable:
            self.leave()
        return FieldType(storage, mutable)

    def subtype(self, x: int) -> SubType:
        """Spec: text-subtype."""
        if not self.enter_if("sub"):
            return self._described(x, True, ())
        final = self.keyword_if("final")
        supers: list[HeapType] = []
        while self.words_ahead(1):
            supers.append(self.index("type"))
        sub = self._described(x, final, tuple(supers))
        self.leave()
        return sub

    def _described(self, x: int, final: bool, supers: tuple[HeapType, ...]) -> SubType:
        describes, descriptor = (self._clause(keyword) for keyword in ("describes", "descriptor"))
        return SubType(final, supers, self.comptype(x), describes, descriptor)

    def _clause(self, keyword: str) -> HeapType | None:
        if not self.enter_if(keyword):
            return None
        x = self.index("type")
        self.leave()
        return x

    def add_rectype(self, subtypes: tuple[SubType, ...]) -> None:
        """Add a group of types to the module."""
        if len(subtypes) == 1:
            (sub,) = subtypes
            plain = sub.final and not sub.supers and sub.describes is None and sub.descriptor is None
            if plain and isinstance(sub.comp, FuncType):
                self.functypes.setdefault(sub.comp, len(self.subtypes))
        self.rectypes.append(RecType(subtypes))
        self.subtypes += subtypes

    # -- uses

    def function_index(self, t: FuncType) -> int:
        """Return the index of a function type that is written out, after adding it if the module has none."""
        x = self.functypes.get(t)
        if x is None:
            x = len(self.subtypes)
            self.add_rectype((SubType(True, (), t),))
        return x

    def typeuse(self, names: Space | None = None) -> int:
        """Take a use of a function type and return its index (spec: text-typeuse).

        ``names`` takes the parameters of a function that is being defined.
        """
        pos = self.pos
        x = None
        if self.enter_if("type"):
            x = self.index("type")
            self.leave()
        written = self.opens("param", "result")
        t = FuncType(self.params(names), self.results())
        if x is None:
            return self.function_index(t)
        known = self._function(x)
        if written and (t.params or t.results):
            if known is None:
                raise self.error_at(pos, "unknown type", f"{x} is no function type")
            if known != t:
                raise self.error_at(pos, "inline function type", f"type {x} is {known}, not {t}")
        elif names is not None and known is not None:
            for _ in known.params:
                names.add(None)
        return x

    def _function(self, x: int) -> FuncType | None:
        comp = self.subtypes[x].comp if x < len(self.subtypes) else None
        return comp if isinstance(comp, FuncType) else None

    def blocktype(self) -> ValType | int | None:
        """Take the type of a block (spec: text-blocktype)."""
        head = self.head()
        if head not in ("type", "param", "result"):
            return None
        if head == "result":
            pos = self.pos
            ts = self.results()
            if len(ts) <= 1 and not self.opens("param"):
                return ts[0] if ts else None
            self.pos = pos
        x = self.typeuse()
        if head != "type":
            t = self.subtypes[x].comp
            assert isinstance(t, FuncType)
            if not t.params and len(t.results) <= 1:
                return t.results[0] if t.results else None
        return x

    # -- external types

    def addrtype(self) -> AddrType:
        """Take an address type, by default i32."""
        found = _ADDRESSES.get(self.word(self.pos)) if self.at(Kind.KEYWORD) else None
        if found is None:
            return I32
        self.pos += 1
        return found

    def limits(self) -> Limits:
        """Spec: text-limits."""
        low = self.unsigned(64)
        return Limits(low, self.unsigned(64) if self.at(Kind.INTEGER) else None)

    def tabletype(self) -> TableType:
        """Spec: text-tabletype."""
        addrtype = self.addrtype()
        limits = self.limits()
        return TableType(self.reftype(), limits, addrtype)

    def memtype(self) -> MemType:
        """Spec: text-memtype, with the proposals for shared memories and page sizes."""
        addrtype = self.addrtype()
        limits = self.limits()
        shared = self.keyword_if("shared")
        return MemType(limits, addrtype, shared, self.page_bits())

    def page_bits(self) -> int:
        """Take ``(pagesize N)`` and return the exponent, by default that of 64 KiB."""
        if not self.enter_if("pagesize"):
            return 16
        size = self.unsigned(32)
        if not size or size & (size - 1):
            raise self.error("invalid custom page size", f"{size} is no power of two", 1)
        self.leave()
        return size.bit_length() - 1

    def globaltype(self) -> GlobalType:
        """Spec: text-globaltype."""
        mutable = self.enter_if("mut")
        t = self.valtype()
        if mutable:
            self.leave()
        return GlobalType(mutable, t)
