"""Instruction sequences in text, flat and folded, to the flat form of a module (spec: text-instr).

One loop reads a sequence, with a list of what is open around it instead of recursion, so nesting costs no stack.  A
folded instruction waits on that list until its operands are out.  A construct is known by the ``control`` of its row;
only the words of clauses that are no instructions (``then``, ``do``) are spelled here.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.errors import UnsupportedError, Where
from engine.features import EXECUTED
from engine.instructions import TABLE
from engine.instructions.model import Control
from engine.module import In
from engine.text.lexer import Kind

from .operands import Operands, keywords

if TYPE_CHECKING:
    from engine.errors import WasmError
    from engine.features import FeatureSet
    from engine.instructions.model import Instr
    from engine.module import Expr
    from engine.text.lexer import Source

    from .operands import Entry

__all__ = ["InstructionReader"]

_OPENERS = frozenset({Control.BLOCK, Control.LOOP, Control.IF, Control.TRY_TABLE, Control.TRY})
_CLAUSES = frozenset({Control.ELSE, Control.CATCH})
_INNER = frozenset({*_CLAUSES, Control.END, Control.DELEGATE})
_HINTED = frozenset({Control.IF, Control.BR_IF})
_THEN, _DO = "then", "do"
# Words that start forms of other places: where an instruction is expected they are out of order, not unknown.
_ELSEWHERE = frozenset({
    b"type", b"param", b"result", b"local", b"import", b"export", b"func", b"table", b"memory", b"global", b"tag",
    b"elem", b"data", b"start", b"offset", b"item", b"module", b"rec", b"sub", b"mut", b"field", b"ref", b"declare",
    b"then", b"do", b"catch", b"catch_all", b"catch_ref", b"catch_all_ref", b"struct", b"array", b"i32", b"i64", b"f32",
    b"f64", b"v128", b"funcref", b"externref", b"anyref",
})  # fmt: skip
_END = next(row for row in TABLE if row.control is Control.END)
_ELSE = next(row for row in TABLE if row.control is Control.ELSE)

_new = tuple.__new__
_NONE: tuple[Any, ...] = ()


class _Shape(Enum):
    """What is open: a flat construct up to its ``end``, a folded instruction, a folded construct, one of its clauses.

    HEAD is a folded ``if`` before its ``then``, TRY a folded ``try`` between its clauses.
    """

    FLAT = auto()
    FOLD = auto()
    BLOCK = auto()
    HEAD = auto()
    ARMS = auto()
    CLAUSE = auto()
    TRY = auto()
    CLOSED = auto()


class _Open(NamedTuple):
    """``ins`` is the instruction that waits or that opened, ``hint`` its branch hint, ``label`` its identifier."""

    shape: _Shape
    ins: In
    hint: bytes | None = None
    label: str | None = None
    name: str | None = None


_SEQUENCES = frozenset({_Shape.FLAT, _Shape.BLOCK, _Shape.CLAUSE})


class InstructionReader(Operands):
    """Reads instruction sequences; ``hints`` holds the branch hints of the sequence: instruction number, contents."""

    def __init__(self, source: Source, features: FeatureSet) -> None:
        super().__init__(source)
        self.features = features
        self.entries = keywords(features)
        self.hints: list[tuple[int, bytes]] = []

    def expression(self) -> Expr:
        """Take instructions up to the end of the form that holds them and return them with an ``end``."""
        return (*self._sequence(False), In(_END, (), self.starts[self.pos]))

    def folded(self) -> Expr:
        """Take one folded instruction and return it with an ``end``."""
        if not self.at(Kind.LPAR):
            self.refuse("a folded instruction")
        return (*self._sequence(True), In(_END, (), self.starts[self.pos]))

    def offset(self) -> Expr:
        """Take ``(offset expr)`` or a folded instruction."""
        if not self.enter_if("offset"):
            return self.folded()
        expr = self.expression()
        self.leave()
        return expr

    # -- the loop

    def _sequence(self, one: bool) -> list[In]:
        kinds, starts, ends, text, entries = self.kinds, self.starts, self.ends, self.text, self.entries
        out: list[In] = []
        open_: list[_Open] = []
        self.hints = []
        annotated = bool(self.annotations)
        labels = self.scope.labels
        while True:
            pos = self.pos
            kind = kinds[pos]
            if kind is Kind.KEYWORD:
                if open_ and open_[-1].shape not in _SEQUENCES:
                    self.refuse("a folded instruction or the end of the form")
                entry = entries.get(text[starts[pos] : ends[pos]])
                hint = self._hint(pos) if annotated else None
                if entry is None or not entry.choices:
                    raise self._no_instruction(pos, entry)
                self.pos = pos + 1
                control = entry.control
                if control in _OPENERS:
                    opened = self._open_construct(entry, _Shape.FLAT, pos, hint)
                    labels.enter(opened.label, opened.name)
                    self._emit(out, opened.ins, hint)
                    open_.append(opened)
                elif control in _INNER:
                    self._flat_clause(entry, open_, out, pos)
                else:
                    self._emit(out, self._plain(entry, pos), hint)
            elif kind is Kind.LPAR:
                hint = self._hint(pos) if annotated else None
                self._open_form(pos, hint, open_, out)
            elif kind is Kind.RPAR:
                if not open_:
                    return out
                self._close_form(open_, out)
                if one and not open_:
                    return out
            else:
                self.refuse("an instruction")

    def _emit(self, out: list[In], ins: In, hint: bytes | None) -> None:
        if hint is not None:
            if ins.row.control not in _HINTED:
                raise self.source.error("@metadata.code.branch_hint annotation: invalid target", ins.offset)
            self.hints.append((len(out), hint))
        out.append(ins)

    def _plain(self, entry: Entry, pos: int) -> In:
        """Take the immediates of an instruction whose keyword, at ``pos``, is taken."""
        row, take = (entry.row, entry.take) if entry.row is not None else entry.choose(self)
        imms = _NONE if take is None else take(self)
        ins: In = _new(In, (row, imms, self.starts[pos]))
        return ins

    def _no_instruction(self, pos: int, entry: Entry | None) -> WasmError:
        word = self.word(pos)
        if entry is not None and entry.missing is not None:
            feature = entry.missing.feature
            if feature not in EXECUTED:
                return UnsupportedError(feature.name, Where(None, self.starts[pos]))
            return self.error_at(pos, "unknown operator", f"{entry.missing.keyword} needs {feature.name}")
        phrase = "unexpected token" if word in _ELSEWHERE else "unknown operator"
        return self.error_at(pos, phrase, word[:40].decode("utf-8", "ignore"))

    # -- constructs

    def _open_construct(self, entry: Entry, shape: _Shape, pos: int, hint: bytes | None) -> _Open:
        """Take the label and the immediates of a construct whose keyword, at ``pos``, is taken."""
        label = self.identifier_if()
        name = self.name_annotation()
        return _Open(shape, self._plain(entry, pos), hint, label, name)  # immediates are outside of the label

    def _flat_clause(self, entry: Entry, open_: list[_Open], out: list[In], pos: int) -> None:
        """Take what continues or ends a flat construct; its keyword, at ``pos``, is taken."""
        control = entry.control
        construct = open_[-1] if open_ and open_[-1].shape is _Shape.FLAT else None
        if construct is None or not _continues(construct.ins.row, control):
            raise self.error_at(pos, "unexpected token", f"{self.word(pos).decode()} outside of its construct")
        if control is Control.DELEGATE:
            self.scope.labels.leave()
            open_.pop()
            out.append(self._plain(entry, pos))
            return
        ins = self._plain(entry, pos)
        if control is not Control.CATCH and self.at(Kind.ID):
            at = self.pos
            label = self.identifier_if()
            if label != construct.label:
                raise self.error_at(at, "mismatching label", f"${label}")
        out.append(ins)
        if control is Control.END:
            self.scope.labels.leave()
            open_.pop()
        else:
            open_[-1] = construct._replace(ins=ins)

    # -- folded forms

    def _open_form(self, pos: int, hint: bytes | None, open_: list[_Open], out: list[In]) -> None:
        """Take ``(`` and what opens there: a folded instruction or a clause of a folded construct."""
        if self.kinds[pos + 1] is not Kind.KEYWORD:
            self.pos = pos + 1
            self.refuse("an instruction")
        word = self.word(pos + 1)
        entry = self.entries.get(word)
        around = open_[-1] if open_ else None
        self.pos = pos + 2
        if around is not None and self._open_clause(word, entry, around, open_, out, pos + 1):
            return
        if around is not None and around.shape in (_Shape.ARMS, _Shape.TRY, _Shape.CLOSED):
            self.pos = pos + 1
            self.refuse("a clause or the end of the form")
        if entry is None or not entry.choices:
            raise self._no_instruction(pos + 1, entry)
        if entry.control in _INNER:
            raise self.error_at(pos + 1, "unexpected token", f"{word.decode()} outside of its construct")
        if entry.control not in _OPENERS:
            open_.append(_Open(_Shape.FOLD, self._plain(entry, pos + 1), hint))
            return
        if entry.control is Control.IF:
            open_.append(self._open_construct(entry, _Shape.HEAD, pos + 1, hint))
            return
        opened = self._open_construct(entry, _Shape.BLOCK, pos + 1, hint)
        self.scope.labels.enter(opened.label, opened.name)
        self._emit(out, opened.ins, hint)
        if entry.control is Control.TRY:
            if not self.enter_if(_DO):
                self.refuse("do")
            open_.append(opened._replace(shape=_Shape.TRY))
            open_.append(_Open(_Shape.CLAUSE, opened.ins))
            return
        open_.append(opened)

    def _open_clause(
        self, word: bytes, entry: Entry | None, around: _Open, open_: list[_Open], out: list[In], pos: int
    ) -> bool:
        """Open ``then``, ``else``, ``catch`` or ``delegate`` if it is that and stands in its place."""
        if around.shape is _Shape.HEAD and word == _THEN.encode():
            self.scope.labels.enter(around.label, around.name)
            self._emit(out, around.ins, around.hint)
            open_[-1] = around._replace(shape=_Shape.ARMS)
            open_.append(_Open(_Shape.CLAUSE, around.ins))
            return True
        control = entry.control if entry is not None else None
        if entry is None or control not in _INNER or control is Control.END:
            return False
        if around.shape is _Shape.ARMS and control is Control.ELSE:
            open_[-1] = around._replace(shape=_Shape.CLOSED)
        elif around.shape is not _Shape.TRY or not _continues(around.ins.row, control):
            return False
        if control is Control.DELEGATE:
            if around.ins.row.control is not Control.TRY:
                return False
            self.scope.labels.leave()
            out.append(self._plain(entry, pos))
            open_[-1] = around._replace(shape=_Shape.FOLD, ins=_DELEGATED)
            self.leave()
            return True
        ins = self._plain(entry, pos)
        out.append(ins)
        if around.shape is _Shape.TRY:
            open_[-1] = around._replace(ins=ins)
        open_.append(_Open(_Shape.CLAUSE, ins))
        return True

    def _close_form(self, open_: list[_Open], out: list[In]) -> None:
        """Take the ``)`` of the innermost form."""
        form = open_.pop()
        shape = form.shape
        if shape is _Shape.FLAT:
            self.refuse("end")
        if shape is _Shape.HEAD:
            self.refuse("then")
        offset = self.starts[self.pos]
        self.pos += 1
        if shape is _Shape.FOLD:
            if form.ins is not _DELEGATED:
                self._emit(out, form.ins, form.hint)
        elif shape is not _Shape.CLAUSE:
            self.scope.labels.leave()
            out.append(In(_END, (), offset))

    # -- branch hints

    def _hint(self, pos: int) -> bytes | None:
        """Take the branch hint that stands before the token ``pos``, if there is one."""
        if pos not in self.annotations:
            return None
        taken = self.annotations_at("metadata.code.branch_hint", pos)
        if not taken:
            return None
        if len(taken) > 1:
            raise self.source.error("@metadata.code.branch_hint annotation: duplicate annotation", taken[1].start)
        _, start, end = self.source.annotation(taken[0])
        contents = list(self.source.tokens(start, end, inside=True))
        if len(contents) != 1 or contents[0].kind is not Kind.STRING:
            phrase = "@metadata.code.branch_hint annotation: unexpected token"
            raise self.source.error(phrase, taken[0].start, "one string expected")
        data = self.source.string(contents[0])
        if data not in (b"\0", b"\1"):
            raise self.source.error("@metadata.code.branch_hint annotation: invalid value", taken[0].start)
        return data


_DELEGATED = In(_END)  # stands for a folded try that its delegate has ended


def _continues(row: Instr, control: Control | None) -> bool:
    """Tell whether a clause may follow what ``row`` opened: the construct or its latest clause."""
    if control is Control.END:
        return row.control is not Control.DELEGATE
    if control is Control.ELSE:
        return row.control is Control.IF
    if control is Control.CATCH:  # one without immediates catches everything and is the last
        return row.control is Control.TRY or (row.control is Control.CATCH and bool(row.imms))
    return row.control is Control.TRY
