"""Modules as flat text that a text parser turns back into the same module (spec: text).

Instructions print themselves through their rows and immediate kinds, so a new proposal needs nothing here.  Indices are
numbers with the index of each definition in a comment; names are escaped to ASCII, because parsers refuse some Unicode.
Indentation stops growing at some depth: text stays linear in the size of the module, whatever its nesting.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.errors import UnsupportedError
from engine.instructions import TABLE
from engine.instructions.immediates import print_operands
from engine.instructions.model import Control
from engine.module import Active, Declare, FuncImport
from engine.types import (
    FUNC,
    I32,
    ArrayType,
    FuncType,
    GlobalType,
    MemType,
    TableType,
    TagType,
    ref,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from engine.module import Code, Custom, Data, Elem, Expr, Global, Import, In, Module, Table
    from engine.types import AddrType, CompType, FieldType, Limits, RecType, SubType

__all__ = ["print_expr", "print_instr", "print_module", "print_string"]

MAX_LOCALS = 50_000
_MAX_INDENT = 16
_OPENERS = frozenset({Control.BLOCK, Control.LOOP, Control.IF, Control.TRY_TABLE, Control.TRY})
_FUNCTIONS = ref(False, FUNC)
_REF_FUNC = TABLE.by_name["ref.func"]
_ESCAPES = {b: f"\\{b:02x}" for b in range(256)} | {b: chr(b) for b in range(32, 127) if chr(b) not in '"\\'}
_KIND = {"func": "func", "table": "table", "mem": "memory", "global": "global", "tag": "tag"}
_PLACE = {
    1: "type", 2: "import", 3: "func", 4: "table", 5: "memory", 13: "tag", 6: "global", 7: "export", 8: "start",
    9: "elem", 10: "code", 11: "data",
}  # fmt: skip


def print_module(module: Module) -> str:
    """Return the text of a module.

    Raises ``UnsupportedError`` for a function with more than 50,000 locals, which text can only list one by one.
    """
    return "\n".join(["(module", *(f"  {line}" for line in _lines(module)), ")", ""])


def _lines(m: Module) -> Iterator[str]:
    counts = dict.fromkeys(_KIND, 0)

    def number(kind: str) -> str:
        counts[kind] += 1
        return f"(;{counts[kind] - 1};)"

    first = 0
    for rectype in m.types:
        yield _rectype(rectype, first)
        first += len(rectype.subtypes)
    for i in m.imports:
        yield f"(import {print_string(i.module)} {print_string(i.name)} {_desc(i, number(_space(i)))})"
    for x, code in zip(m.funcs, m.codes, strict=True):
        yield from _func(x, code, number("func"))
    for table in m.tables:
        yield f"(table {number('table')} {_table(table)})"
    for mem in m.mems:
        yield f"(memory {number('mem')} {_memtype(mem)})"
    for tag in m.tags:
        yield f"(tag {number('tag')} (type {tag.type}))"
    for global_ in m.globals:
        yield f"(global {number('global')} {_global(global_)})"
    for name, kind, x in m.exports:
        yield f"(export {print_string(name)} ({_KIND[kind]} {x}))"
    if m.start is not None:
        yield f"(start {m.start})"
    for n, elem in enumerate(m.elems):
        yield f"(elem (;{n};) {_elem(elem)})"
    for n, data in enumerate(m.datas):
        yield f"(data (;{n};) {_data(data)})"
    for custom in m.customs:
        yield _custom(custom)


def print_string(name: str | bytes) -> str:
    """Return a string literal in ASCII."""
    data = name.encode("utf-8") if isinstance(name, str) else name
    return '"' + "".join([_ESCAPES[b] for b in data]) + '"'


# -- instructions


def print_instr(ins: In) -> str:
    """Return one instruction in flat form."""
    keyword = ins.row.name.split(" ", 1)[0]  # the rest of a name tells rows of one keyword apart
    operands = print_operands(ins.row.imms, ins.imms)
    return f"{keyword} {operands}" if operands else keyword


def print_expr(expr: Expr) -> str:
    """Return an expression without its last ``end``, on one line."""
    return " ".join([print_instr(ins) for ins in expr[:-1]])


def _body(expr: Expr) -> Iterator[str]:
    depth = 1
    for ins in expr[:-1]:
        control = ins.row.control
        if control is Control.END:
            depth -= 1
        shown = depth - 1 if control is Control.ELSE else depth
        yield "  " * min(shown, _MAX_INDENT) + print_instr(ins)
        if control in _OPENERS:
            depth += 1


# -- types


def _rectype(t: RecType, first: int) -> str:
    parts = [f"(type (;{x};) {_subtype(sub)})" for x, sub in enumerate(t.subtypes, first)]
    return parts[0] if len(parts) == 1 else f"(rec {' '.join(parts)})"


def _subtype(t: SubType) -> str:
    comp = _words(
        "" if t.describes is None else f"(describes {t.describes})",
        "" if t.descriptor is None else f"(descriptor {t.descriptor})",
        _comptype(t.comp),
    )
    if t.final and not t.supers:
        return comp
    return _words("(sub", "final" if t.final else "", *map(str, t.supers), comp) + ")"


def _comptype(t: CompType) -> str:
    if isinstance(t, FuncType):
        return "(func" + _some(" (param {})", t.params) + _some(" (result {})", t.results) + ")"
    if isinstance(t, ArrayType):
        return f"(array {_field(t.field)})"
    return "(struct" + "".join([f" (field {_field(f)})" for f in t.fields]) + ")"


def _some(form: str, ts: Iterable[object]) -> str:
    text = " ".join(map(str, ts))
    return form.format(text) if text else ""


def _field(f: FieldType) -> str:
    return f"(mut {f.storage})" if f.mutable else str(f.storage)


def _words(*words: str) -> str:
    return " ".join([word for word in words if word])


def _limits(limits: Limits, addrtype: AddrType) -> str:
    return _words(
        "" if addrtype is I32 else str(addrtype), str(limits.min), "" if limits.max is None else str(limits.max)
    )


def _tabletype(t: TableType) -> str:
    return f"{_limits(t.limits, t.addrtype)} {t.reftype}"


def _memtype(t: MemType) -> str:
    page = "" if t.page_bits == 16 else f"(pagesize {2**t.page_bits})"
    return _words(_limits(t.limits, t.addrtype), "shared" if t.shared else "", page)


def _globaltype(t: GlobalType) -> str:
    return f"(mut {t.valtype})" if t.mutable else str(t.valtype)


# -- fields of the module


def _space(i: Import) -> str:
    kinds: dict[type, str] = {
        FuncImport: "func",
        TableType: "table",
        MemType: "mem",
        GlobalType: "global",
        TagType: "tag",
    }
    return kinds[type(i.desc)]


def _desc(i: Import, number: str) -> str:
    desc = i.desc
    if isinstance(desc, FuncImport):
        text = f"(exact (type {desc.typeidx}))" if desc.exact else f"(type {desc.typeidx})"
    elif isinstance(desc, TableType):
        text = _tabletype(desc)
    elif isinstance(desc, MemType):
        text = _memtype(desc)
    elif isinstance(desc, GlobalType):
        text = _globaltype(desc)
    else:
        text = f"(type {desc.type})"
    return f"({_KIND[_space(i)]} {number} {text})"


def _func(x: int, code: Code, number: str) -> Iterator[str]:
    if sum(n for n, _ in code.locals) > MAX_LOCALS:
        raise UnsupportedError(f"more than {MAX_LOCALS} locals in text")
    yield f"(func {number} (type {x})"
    locals_ = [str(t) for n, t in code.locals for _ in range(n)]
    if locals_:
        yield f"  (local {' '.join(locals_)})"
    yield from _body(code.body)
    yield ")"


def _table(table: Table) -> str:
    return _words(_tabletype(table.type), "" if table.init is None else print_expr(table.init))


def _global(global_: Global) -> str:
    return _words(_globaltype(global_.type), print_expr(global_.init))


def _elem(elem: Elem) -> str:
    mode = elem.mode
    where = "declare" if isinstance(mode, Declare) else ""
    if isinstance(mode, Active):
        where = f"(table {mode.index}) (offset {print_expr(mode.offset)})"
    if elem.type is _FUNCTIONS and all(_is_function(e) for e in elem.init):
        return _words(where, "func", *(str(e[0].imms[0]) for e in elem.init))
    return _words(where, str(elem.type), *(f"(item {print_expr(e)})" for e in elem.init))


def _is_function(expr: Expr) -> bool:
    return len(expr) == 2 and expr[0].row is _REF_FUNC


def _data(data: Data) -> str:
    mode = data.mode
    where = f"(memory {mode.index}) (offset {print_expr(mode.offset)})" if isinstance(mode, Active) else ""
    return _words(where, print_string(data.init))


def _custom(custom: Custom) -> str:
    place = f"(after {_PLACE[custom.after]})" if custom.after in _PLACE else "(before code)"  # after the data count
    place = place if custom.after else "(before first)"
    return f"(@custom {print_string(custom.name)} {place} {print_string(custom.data)})"
