"""From the bytes of a ``.wast`` file to a :class:`~harness.wast.script.Script`.

Commands are read into trees of tokens; the text of a module is skipped by its parentheses and kept verbatim by its
span.  A file without commands is the fields of one module.  Errors are MalformedError with line and column.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from engine.errors import MalformedError
from engine.text.lexer import Kind, Source, Token
from engine.text.literals import float_bits, integer, unsigned
from harness.wast.script import ASSERTIONS, Action, Command, InstanceOf, ModuleSource, Register, Script
from harness.wast.values import (
    LANES,
    TOPS,
    Either,
    Exact,
    Lanes,
    Nan,
    NullRef,
    SomeRef,
    null_type,
    number,
    vector,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.wast.values import Pattern
    from oracles.plan import Value

__all__ = ["read_script"]

_COMMANDS = {"module", "register", "invoke", "get", *ASSERTIONS}
_MODIFIERS = {b"definition", b"binary", b"quote", b"instance"}
_MAX_DEPTH = 100
_NUMBERS = {"i32.const": "i32", "i64.const": "i64", "f32.const": "f32", "f64.const": "f64"}
_NAN_CLASSES = {b"nan:canonical": "canonical", b"nan:arithmetic": "arithmetic"}
_SOME = {f"ref.{heap}": heap for heap in ("any", "array", "eq", "exn", "extern", "func", "host", "i31", "struct")}


@dataclass(slots=True)
class _Node:
    """A parenthesised form; ``items`` stops before the fields of a module in text form."""

    start: int
    end: int = -1
    items: list[Token | _Node] = field(default_factory=list)


def read_script(text: bytes) -> Script:
    """Return the script, or raise MalformedError where it is not one."""
    return _Reader(Source(text)).script()


class _Reader:
    def __init__(self, source: Source) -> None:
        self.source = source

    def script(self) -> Script:
        forms = self._forms()
        first = next(forms, None)
        if first is None:
            return Script(())
        if self._head(first) not in _COMMANDS and not self._head(first).startswith("assert_"):
            return Script((Command("module", 1, ModuleSource("text", self.source.text)),))
        return Script((self._command(first), *(self._command(form) for form in forms)))

    # forms

    def _forms(self) -> Iterator[_Node]:
        source, open_forms = self.source, list[_Node]()
        tokens = source.tokens()
        while (token := next(tokens, None)) is not None:
            if token.kind is Kind.LPAR:
                if len(open_forms) >= _MAX_DEPTH:
                    raise source.error("unexpected token", token.start, "nested too deeply")
                open_forms.append(_Node(token.start))
                continue
            if not open_forms:
                raise source.error("unexpected token", token.start, source[token].decode()[:40])
            node = open_forms[-1]
            if token.kind is not Kind.RPAR:
                node.items.append(token)
                if len(node.items) > 1 or source[token] != b"module" or not self._text_follows(node, token.end):
                    continue
                end = source.end_of_form(node.start)
                tokens = source.tokens(end)
            else:
                end = token.end
            node.end = end
            open_forms.pop()
            if open_forms:
                open_forms[-1].items.append(node)
            else:
                yield node
        if open_forms:
            raise source.error("unexpected end", open_forms[-1].start, "unclosed parenthesis")

    def _text_follows(self, node: _Node, pos: int) -> bool:
        """Say whether the module is in text form, after taking its id and modifiers into ``node``."""
        taken: list[Token | _Node] = []
        for token in self.source.tokens(pos):
            word = self.source[token]
            if token.kind is Kind.ID or (token.kind is Kind.KEYWORD and word in _MODIFIERS):
                if word in (b"binary", b"quote", b"instance"):
                    return False
                taken.append(token)
                continue
            break
        node.items.extend(taken)
        return True

    def _head(self, node: _Node) -> str:
        head = node.items[0] if node.items else None
        return self.source[head].decode() if isinstance(head, Token) and head.kind is Kind.KEYWORD else ""

    def _unexpected(self, item: Token | _Node, wanted: str) -> MalformedError:
        return self.source.error("unexpected token", item.start, f"{wanted} expected")

    # commands

    def _command(self, node: _Node) -> Command:
        kind = self._head(node)
        line = self.source.line(node.start)
        rest = node.items[1:]
        match kind:
            case "module":
                return Command(kind, line, self._module(node))
            case "register":
                name = self._string(node, rest, 0).decode()
                return Command(kind, line, Register(name, self._id(rest[1]) if len(rest) > 1 else None))
            case "invoke" | "get":
                return Command(kind, line, self._action(node))
            case "assert_return":
                patterns = tuple(self._pattern(self._node(item)) for item in rest[1:])
                return Command(kind, line, self._action(self._subject(node, rest)), patterns)
            case _ if kind in ASSERTIONS:
                subject = self._subject(node, rest)
                phrase = self._string(node, rest, 1).decode() if kind != "assert_exception" else ""
                if self._head(subject) == "module":
                    return Command(kind, line, self._module(subject), (), phrase)
                return Command(kind, line, self._action(subject), (), phrase)
            case _:
                raise self.source.error("unknown command", node.start, kind)

    def _subject(self, node: _Node, rest: list[Token | _Node]) -> _Node:
        if not rest:
            raise self._unexpected(node, "an action or a module")
        return self._node(rest[0])

    def _node(self, item: Token | _Node) -> _Node:
        if not isinstance(item, _Node):
            raise self._unexpected(item, "a parenthesised form")
        return item

    def _string(self, node: _Node, rest: list[Token | _Node], i: int) -> bytes:
        """Return the bytes of the name at ``rest[i]``, which are UTF-8."""
        item = rest[i] if i < len(rest) else node
        if not isinstance(item, Token) or item.kind is not Kind.STRING:
            raise self._unexpected(item, "a string")
        return self.source.name(item).encode()

    def _id(self, item: Token | _Node) -> str:
        if not isinstance(item, Token) or item.kind is not Kind.ID:
            raise self._unexpected(item, "an identifier")
        return self.source.identifier(item)

    def _module(self, node: _Node) -> ModuleSource | InstanceOf:
        source = self.source
        words, ids, strings = list[Token](), list[str](), list[bytes]()
        for item in node.items[1:]:
            if not isinstance(item, Token):
                raise self._unexpected(item, "a module in binary, quoted or text form")
            if item.kind is Kind.KEYWORD and source[item] in _MODIFIERS:
                words.append(item)
            elif item.kind is Kind.STRING:
                strings.append(source.string(item))
            else:
                ids.append(self._id(item))
        modifiers = {source[word].decode() for word in words}
        if "instance" in modifiers:
            named = dict(enumerate(ids))
            return InstanceOf(named.get(0), named.get(1))
        forms = modifiers - {"definition"}
        form = forms.pop() if forms else "text"
        data = b"".join(strings) if form != "text" else self._verbatim(node, words)
        return ModuleSource(form, data, ids[0] if ids else None, "definition" in modifiers)

    def _verbatim(self, node: _Node, words: list[Token]) -> bytes:
        """Return the text of the form without the word ``definition``, which an assembler does not know."""
        text, pos, pieces = self.source.text, node.start, list[bytes]()
        for word in words:
            pieces.append(text[pos : word.start])
            pos = word.end
        pieces.append(text[pos : node.end])
        return b"".join(pieces)

    def _action(self, node: _Node) -> Action:
        kind, rest = self._head(node), node.items[1:]
        if kind not in ("invoke", "get"):
            raise self._unexpected(node, "an action")
        instance = None
        if rest and isinstance(rest[0], Token) and rest[0].kind is Kind.ID:
            instance = self._id(rest[0])
            rest = rest[1:]
        export = self._string(node, rest, 0).decode()
        return Action(kind, instance, export, tuple(self._argument(self._node(item)) for item in rest[1:]))

    # values

    def _argument(self, node: _Node) -> Value:
        pattern = self._pattern(node)
        match pattern:
            case Exact(value=value):
                return value
            case NullRef() if len(node.items) == 2 and isinstance(node.items[1], Token):
                kind = null_type(self.source[node.items[1]].decode())
                if kind is not None:
                    return kind, None
        raise self._unexpected(node, "an argument")

    def _pattern(self, node: _Node) -> Pattern:
        try:
            return self._read_pattern(node)
        except MalformedError as e:
            if e.offset is not None:
                raise
            raise self.source.error(e.message, node.start) from None

    def _read_pattern(self, node: _Node) -> Pattern:
        head, rest = self._head(node), node.items[1:]
        if head in _NUMBERS and len(rest) == 1:
            kind = _NUMBERS[head]
            found = self._lane(rest[0], int(kind[1:]), kind[0] == "f")
            return Nan(kind, found) if isinstance(found, str) else Exact(number(kind, found))
        if head == "v128.const" and rest:
            return self._vector(rest)
        if head == "either" and rest:
            return Either(tuple(self._pattern(self._node(item)) for item in rest))
        if head == "ref.null" and len(rest) <= 1:
            return NullRef(self._top(rest[0]) if rest else None)
        if head == "ref" and not rest:
            return SomeRef(None)
        if head in ("ref.extern", "ref.host") and len(rest) == 1:
            n = unsigned(self._word(rest[0], Kind.INTEGER), 32)
            return Exact(("externref", n) if head == "ref.extern" else ("anyref", {"host": n}))
        if head in _SOME and not rest:
            return SomeRef(_SOME[head] if head != "ref.host" else "any")
        raise self._unexpected(node, "a value or result pattern")

    def _word(self, item: Token | _Node, *kinds: Kind) -> bytes:
        if not isinstance(item, Token) or item.kind not in kinds:
            raise self._unexpected(item, " or ".join(kind.value for kind in kinds))
        return self.source[item]

    def _lane(self, item: Token | _Node, width: int, is_float: bool) -> int | str:
        if not is_float:
            return integer(self._word(item, Kind.INTEGER), width)
        word = self._word(item, Kind.INTEGER, Kind.FLOAT, Kind.KEYWORD)
        return _NAN_CLASSES[word] if word in _NAN_CLASSES else float_bits(word, width)

    def _vector(self, rest: list[Token | _Node]) -> Pattern:
        shape = LANES.get(self._word(rest[0], Kind.KEYWORD).decode())
        if shape is None or len(rest) != shape[0] + 1:
            raise self._unexpected(rest[0], "a shape and its lanes")
        _, width, is_float = shape
        lanes = [self._lane(item, width, is_float) for item in rest[1:]]
        exact = [lane for lane in lanes if isinstance(lane, int)]
        return Exact(vector(exact, width)) if len(exact) == len(lanes) else Lanes(width, tuple(lanes))

    def _top(self, item: Token | _Node) -> str | None:
        """Return the top of a heap type's hierarchy; None for a type index, of which a script says nothing more."""
        word = self._word(item, Kind.KEYWORD, Kind.ID, Kind.INTEGER).decode()
        if item.kind is Kind.KEYWORD and word not in TOPS:  # type: ignore[union-attr]
            raise self._unexpected(item, "a heap type")
        return TOPS.get(word)
