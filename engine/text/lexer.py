"""The token grammar of the text format and of test scripts, on bytes (spec: text-lexical).

A :class:`Source` checks that its bytes are UTF-8 once and then cuts them into :class:`Token` spans; nothing is copied
until a caller asks for the value of a token.  White space and comments vanish, an annotation is one token that most
callers never see.  Everything here is one left-to-right pass with possessive patterns and counters instead of
recursion: linear in time, constant in stack, whatever the input.

Numbers are only recognised here; ``engine.text.literals`` gives them values.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from engine.errors import MalformedError, TextError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Kind", "Source", "Token", "unescape"]


class Kind(Enum):
    """What a token is; INTEGER spells every uN, sN and iN, and is a float where a float is expected."""

    LPAR = "("
    RPAR = ")"
    KEYWORD = "keyword"
    INTEGER = "integer"
    FLOAT = "float"
    STRING = "string"
    ID = "identifier"
    RESERVED = "reserved token"
    ANNOTATION = "annotation"


class Token(NamedTuple):
    """A span of the source; ``start`` and ``end`` are byte offsets."""

    kind: Kind
    start: int
    end: int


_STRING = rb"""
    "(?: [^"\\\x00-\x1f\x7f]
       | \\(?: [tnr"'\\] | [0-9A-Fa-f]{2} | u\{[0-9A-Fa-f](?:_?[0-9A-Fa-f])*+\} ) )*+"
"""
_IDCHAR = rb"[0-9A-Za-z!\#$%&'*+\-./:<=>?@\\^_`|~]"

_TOKEN = re.compile(
    rb"""[ \t\n\r]*+
    (?: (?P<lpar>  \((?![;@]) )
      | (?P<rpar>  \) )
      | (?P<run>   (?: """ + _IDCHAR + rb" | " + _STRING + rb""" | [,\[\]{}] | ;(?!;) )++ )
      | (?P<line>  ;;[^\n\r]*+ )
      | (?P<block> \(; )
      | (?P<annot> \(@ )
      | (?P<end>   \Z )
    )""",
    re.VERBOSE,
)  # fmt: skip

_NUM = rb"[0-9](?:_?[0-9])*+"
_HEX = rb"[0-9A-Fa-f](?:_?[0-9A-Fa-f])*+"
_CLASS = re.compile(
    rb"""(?P<INTEGER> [+-]?(?: 0x""" + _HEX + rb" | " + _NUM + rb""" ) )
      | (?P<FLOAT> [+-]?(?: inf | nan (?: :0x""" + _HEX + rb""" )?
           | 0x""" + _HEX + rb" (?: \.(?:" + _HEX + rb")? )? (?: [pP][+-]?" + _NUM + rb""" )?
           | """ + _NUM + rb" (?: \.(?:" + _NUM + rb")? )? (?: [eE][+-]?" + _NUM + rb""" )? ) )
      | (?P<KEYWORD> [a-z]""" + _IDCHAR + rb"""*+ )
      | (?P<ID> \$(?: """ + _IDCHAR + rb"++ | " + _STRING + rb""" ) )
      | (?P<STRING> """ + _STRING + rb" )",
    re.VERBOSE,
)  # fmt: skip

_BLOCK_EDGE = re.compile(rb"\(;|;\)")
_COARSE = re.compile(rb"[^()\";]++|;(?![;)])")
_STRING_TOKEN = re.compile(_STRING, re.VERBOSE)
_ANNOTATION_ID = re.compile(rb"\(@(?:(" + _IDCHAR + rb"++)|(" + _STRING + rb"))?", re.VERBOSE)
_UNICODE = re.compile(rb"\\(?:u\{([^}]*)\}|(?:[^u]))", re.DOTALL)
_ESCAPE = re.compile(rb"\\(?:([tnr\"'\\])|([0-9A-Fa-f]{2})|u\{([0-9A-Fa-f_]+)\})")
_NEWLINE = re.compile(rb"\r\n?|\n")
_SIMPLE = {b"t": b"\t", b"n": b"\n", b"r": b"\r", b'"': b'"', b"'": b"'", b"\\": b"\\"}
_KINDS = {kind.name: kind for kind in Kind}
_EXCERPT = 60  # bytes to each side


class Source:
    """Text of a module or a script.  Raises MalformedError ("malformed UTF-8 encoding") unless it is UTF-8."""

    def __init__(self, text: bytes) -> None:
        self.text = text
        try:
            text.decode()
        except UnicodeDecodeError as e:
            raise self.error("malformed UTF-8 encoding", e.start) from None

    def __getitem__(self, token: Token) -> bytes:
        return self.text[token.start : token.end]

    @cached_property
    def _lines(self) -> list[int]:
        return [0] + [m.end() for m in _NEWLINE.finditer(self.text)]

    def line(self, offset: int) -> int:
        """Return the line of a byte offset, from 1."""
        return bisect_right(self._lines, offset)

    def line_column(self, offset: int) -> tuple[int, int]:
        """Return the line and the column, in characters, of a byte offset; both count from 1."""
        line = self.line(offset)
        return line, len(self.text[self._lines[line - 1] : offset].decode("utf-8", "replace")) + 1

    def error(self, phrase: str, offset: int, detail: str = "") -> TextError:
        """Return, not raise, the error of this place: the suite's phrase, then what helps, then line and column."""
        line, column = self.line_column(offset)
        message = f"{phrase}{f': {detail}' if detail else ''} at line {line}, column {column}"
        return TextError(message, offset, line, column, self.excerpt(offset))

    def excerpt(self, offset: int) -> str:
        """Return the line of a byte offset, or what of it is near, over a line with a caret below the place."""
        start = self._lines[self.line(offset) - 1]
        newline = _NEWLINE.search(self.text, offset)
        after = self.text[offset : min(newline.start() if newline else len(self.text), offset + _EXCERPT)]
        before = self.text[max(start, offset - _EXCERPT) : offset]
        left, right = (_visible(part.decode("utf-8", "ignore")) for part in (before, after))
        return f"{left}{right}\n{' ' * len(left)}^"

    def tokens(
        self, start: int = 0, end: int | None = None, *, annotations: bool = False, inside: bool = False
    ) -> Iterator[Token]:
        """Yield the tokens between two offsets that are token boundaries.

        ``annotations`` yields each annotation as one token.  ``inside`` is the looser grammar of what an annotation
        holds: ``(@`` need not name one, and a lone ``$`` is an ordinary reserved token.
        """
        text, pos = self.text, start
        stop = len(text) if end is None else end
        match = _TOKEN.match
        while True:
            m = match(text, pos, stop)
            if m is None:
                raise self._no_token(pos, stop)
            group = m.lastgroup
            pos = m.end()
            if group == "run":
                begin = m.start("run")
                yield Token(self._classify(begin, pos, inside), begin, pos)
            elif group == "lpar":
                yield Token(Kind.LPAR, pos - 1, pos)
            elif group == "rpar":
                yield Token(Kind.RPAR, pos - 1, pos)
            elif group == "block":
                pos = self._end_of_comment(pos - 2, stop)
            elif group == "annot":
                begin = pos - 2
                if inside:
                    pos -= 1
                    yield Token(Kind.LPAR, begin, pos)
                else:
                    pos = self._end_of_annotation(begin, stop)
                    if annotations:
                        yield Token(Kind.ANNOTATION, begin, pos)
            elif group == "end":
                return

    def annotation(self, token: Token) -> tuple[str, int, int]:
        """Return the id of an annotation and the span of its contents, to be read by ``tokens(..., inside=True)``."""
        m = _ANNOTATION_ID.match(self.text, token.start)
        if m is None or m.lastindex is None:
            raise self.error("empty annotation id", token.start)
        return self._name(m.group(m.lastindex), token.start, "empty annotation id"), m.end(), token.end - 1

    def identifier(self, token: Token) -> str:
        """Return the name of an identifier, without ``$`` and quotes: ``$a`` and ``$"a"`` are the same."""
        return self._name(self.text[token.start + 1 : token.end], token.start, "empty identifier")

    def string(self, token: Token) -> bytes:
        """Return the bytes that a string denotes."""
        return unescape(self[token])

    def name(self, token: Token) -> str:
        """Return a string as a name, or raise MalformedError unless its bytes are UTF-8."""
        return self._name(self[token], token.start, "")

    def end_of_form(self, start: int) -> int:
        """Return the offset after the parenthesis that closes the one at ``start``.

        Looks at strings, comments and parentheses only: several times faster than reading every token.
        """
        text, pos, depth = self.text, start + 1, 1
        size = len(text)
        while depth:
            m = _COARSE.match(text, pos)
            if m is not None:
                pos = m.end()
                continue
            here, following = text[pos : pos + 1], text[pos + 1 : pos + 2]
            if here == b"(" and following == b";":
                pos = self._end_of_comment(pos, size)
            elif here == b";" and following == b";":
                newline = _NEWLINE.search(text, pos)
                pos = size if newline is None else newline.end()
            elif here == b'"':
                s = _STRING_TOKEN.match(text, pos)
                if s is None:
                    raise self._bad_string(pos, size)
                pos = s.end()
            elif not here:
                raise self.error("unexpected end", start, "unclosed parenthesis")
            else:
                depth += {b"(": 1, b")": -1}.get(here, 0)
                pos += 1
        return pos

    def _name(self, written: bytes, offset: int, empty: str) -> str:
        quoted = written.startswith(b'"')
        try:
            name = (unescape(written) if quoted else written).decode()
        except UnicodeDecodeError:
            raise self.error("malformed UTF-8 encoding", offset) from None
        if empty and not name:
            raise self.error(empty, offset)
        return name

    def _classify(self, start: int, end: int, inside: bool) -> Kind:
        m = _CLASS.fullmatch(self.text, start, end)
        if m is None or m.lastgroup is None:
            if end - start == 1 and self.text[start] == 0x24 and not inside:
                raise self.error("empty identifier", start)
            kind = Kind.RESERVED
        else:
            kind = _KINDS[m.lastgroup]
        if self.text.find(b"\\u{", start, end) >= 0:
            self._check_unicode(start, end)
        if kind is Kind.ID and self.text[start + 1] == 0x22:
            self._name(self.text[start + 1 : end], start, "empty identifier")
        return kind

    def _check_unicode(self, start: int, end: int) -> None:
        for string in _STRING_TOKEN.finditer(self.text, start, end):  # what looks like an escape elsewhere is none
            for m in _UNICODE.finditer(self.text, string.start(), string.end()):
                digits = m.group(1)
                if digits is not None:
                    code = _small_hex(digits)
                    if code > 0x10FFFF or 0xD800 <= code < 0xE000:
                        raise self.error("illegal escape", m.start(), "not a Unicode scalar value")

    def _end_of_comment(self, start: int, stop: int) -> int:
        depth, pos = 1, start + 2
        while depth:
            m = _BLOCK_EDGE.search(self.text, pos, stop)
            if m is None:
                raise self.error("unclosed comment", start)
            depth += 1 if m.group() == b"(;" else -1
            pos = m.end()
        return pos

    def _end_of_annotation(self, start: int, stop: int) -> int:
        m = _ANNOTATION_ID.match(self.text, start, stop)
        if m is None or m.lastindex is None:
            raise self.error("empty annotation id", start)
        self._name(m.group(m.lastindex), start, "empty annotation id")
        depth = 1
        for token in self.tokens(m.end(), stop, inside=True):
            if token.kind is Kind.LPAR:
                depth += 1
            elif token.kind is Kind.RPAR:
                depth -= 1
                if not depth:
                    return token.end
        raise self.error("unclosed annotation", start)

    def _no_token(self, pos: int, stop: int) -> MalformedError:
        text = self.text
        while pos < stop and text[pos] in b" \t\n\r":
            pos += 1
        if text[pos] == 0x22:
            return self._bad_string(pos, stop)
        return self.error("illegal character", pos, f"U+{ord(text[pos : pos + 4].decode('utf-8', 'ignore')[0]):04X}")

    def _bad_string(self, pos: int, stop: int) -> MalformedError:
        """Return the error of the string literal at ``pos``, which is known not to match the grammar."""
        text, start = self.text, pos
        good = re.compile(_STRING.strip()[1:-1], re.VERBOSE).match(text, pos + 1, stop)
        pos = good.end() if good else pos + 1
        if pos >= stop or text[pos] in b"\n\r":
            return self.error("unclosed string", start)
        if text[pos] == 0x5C:
            return self.error("illegal escape", pos)
        return self.error("illegal character", pos, f"in string: U+{text[pos]:04X}")


def _visible(text: str) -> str:
    return "".join([c if c.isprintable() else " " for c in text])


def _small_hex(digits: bytes) -> int:
    digits = digits.replace(b"_", b"").lstrip(b"0")
    return 0x110000 if len(digits) > 6 else int(digits or b"0", 16)


def _replacement(m: re.Match[bytes]) -> bytes:
    simple, byte, code = m.groups()
    if simple is not None:
        return _SIMPLE[simple]
    if byte is not None:
        return bytes((int(byte, 16),))
    return chr(_small_hex(code)).encode()


def unescape(literal: bytes) -> bytes:
    """Return the bytes denoted by a string literal, quotes included, that the lexer accepted."""
    body = literal[1:-1]
    return _ESCAPE.sub(_replacement, body) if b"\\" in body else body
