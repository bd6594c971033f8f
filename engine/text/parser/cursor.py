"""A place in the tokens of a module, and what can be taken there: parentheses, words, numbers, strings.

The tokens are read once into flat arrays, so that nothing is read twice and long text costs little memory.  Parentheses
are matched while reading: whoever wants to come back to a form later steps over it at once.

Annotations that mean something are set aside under the index of the token that they stand before.  Who stands at a
place where they belong takes them; what nobody took is misplaced.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, NoReturn

from engine.errors import MalformedError
from engine.text.lexer import Kind, Token, unescape
from engine.text.literals import float_bits, integer, unsigned

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.errors import TextError
    from engine.text.lexer import Source

__all__ = ["Cursor"]

_MEANINGFUL = ("custom", "name", "metadata.code.branch_hint")
_SHOWN = 40


class Cursor:
    """``pos`` is the index of the next token; ``close[i]`` that of the parenthesis that closes the one at ``i``.

    Behind the last token stands one of kind RESERVED and no length, which nothing takes.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.text = source.text
        self.kinds: list[Kind] = []
        self.starts = array("Q")
        self.ends = array("Q")
        self.close = array("Q")
        self.annotations: dict[int, list[Token]] = {}
        self.pos = 0
        self._read()

    def _read(self) -> None:
        open_: list[int] = []
        for token in self.source.tokens(annotations=True):
            kind, start, end = token
            n = len(self.kinds)
            if kind is Kind.ANNOTATION:
                if self.source.annotation(token)[0] in _MEANINGFUL:
                    self.annotations.setdefault(n, []).append(token)
                continue
            if kind is Kind.LPAR:
                open_.append(n)
            elif kind is Kind.RPAR:
                if not open_:
                    raise self.source.error("unexpected token", start, "no parenthesis is open")
                self.close[open_.pop()] = n
            self.kinds.append(kind)
            self.starts.append(start)
            self.ends.append(end)
            self.close.append(n)
        if open_:
            raise self.source.error("unexpected end", self.starts[open_[-1]], "unclosed parenthesis")
        size = len(self.text)
        self.kinds.append(Kind.RESERVED)
        for place in (self.starts, self.ends, self.close):
            place.append(size)

    # -- looking

    def word(self, pos: int) -> bytes:
        """Return the text of a token."""
        return self.text[self.starts[pos] : self.ends[pos]]

    def at_end(self) -> bool:
        return self.pos == len(self.kinds) - 1

    def at(self, kind: Kind) -> bool:
        return self.kinds[self.pos] is kind

    def head(self) -> str:
        """Return the keyword behind the ``(`` that stands here, or nothing if there is none."""
        pos = self.pos
        if self.kinds[pos] is not Kind.LPAR or self.kinds[pos + 1] is not Kind.KEYWORD:
            return ""
        return self.word(pos + 1).decode()

    def opens(self, *keywords: str) -> bool:
        """Tell whether ``(`` and one of these keywords follow; take neither."""
        head = self.head()
        return head != "" and head in keywords

    def setting_at(self, distance: int) -> bool:
        """Tell whether a token ``NAME=N`` comes after so many others."""
        pos = self.pos + distance
        return pos < len(self.kinds) and self.kinds[pos] is Kind.KEYWORD and b"=" in self.word(pos)

    def words_ahead(self, limit: int) -> int:
        """Return how many indices or numbers follow in a row, at most ``limit``; take none."""
        return self._ahead(limit, Kind.INTEGER, Kind.ID)

    def numbers_ahead(self, limit: int) -> int:
        """Return how many numbers of any kind follow in a row, at most ``limit``; take none."""
        return self._ahead(limit, Kind.INTEGER, Kind.FLOAT)

    def _ahead(self, limit: int, one: Kind, other: Kind) -> int:
        kinds, pos = self.kinds, self.pos
        n = 0
        while n < limit and (kinds[pos + n] is one or kinds[pos + n] is other):
            n += 1
        return n

    # -- refusing

    def error(self, phrase: str, detail: str = "", back: int = 0) -> TextError:
        """Return the error of the next token, or of one before it."""
        return self.error_at(self.pos - back, phrase, detail)

    def error_at(self, pos: int, phrase: str, detail: str = "") -> TextError:
        return self.source.error(phrase, self.starts[pos], detail)

    def unexpected(self, wanted: str) -> TextError:
        """Return the error that the next token is not what is wanted."""
        if self.at_end():
            return self.error("unexpected end", f"{wanted} expected")
        found = self.word(self.pos)[:_SHOWN].decode("utf-8", "ignore")
        # A token that is no word of the grammar at all has the suite's phrase for words that are no instruction.
        phrase = "unknown operator" if self.at(Kind.RESERVED) else "unexpected token"
        return self.error(phrase, f"{wanted} expected, found {found}")

    def refuse(self, wanted: str) -> NoReturn:
        raise self.unexpected(wanted)

    # -- taking

    def enter(self) -> str:
        """Take ``(`` and a keyword, and return the keyword."""
        head = self.head()
        if not head:
            if self.at(Kind.LPAR):
                self.pos += 1
                self.refuse("a keyword")
            self.refuse("a parenthesised form")
        self.pos += 2
        return head

    def enter_if(self, keyword: str) -> bool:
        """Take ``(`` and this keyword if they follow."""
        if self.head() != keyword:
            return False
        self.pos += 2
        return True

    def leave(self) -> None:
        """Take the ``)``."""
        if self.kinds[self.pos] is not Kind.RPAR:
            self.refuse("the end of the form")
        self.pos += 1

    def keyword(self) -> str:
        """Take a keyword."""
        if self.kinds[self.pos] is not Kind.KEYWORD:
            self.refuse("a keyword")
        self.pos += 1
        return self.word(self.pos - 1).decode()

    def keyword_if(self, keyword: str) -> bool:
        """Take this keyword if it is the next token."""
        if self.kinds[self.pos] is not Kind.KEYWORD or self.word(self.pos) != keyword.encode():
            return False
        self.pos += 1
        return True

    def identifier_if(self) -> str | None:
        """Take an identifier if there is one, and return its name."""
        pos = self.pos
        if self.kinds[pos] is not Kind.ID:
            return None
        self.pos = pos + 1
        return self.source.identifier(Token(Kind.ID, self.starts[pos], self.ends[pos]))

    def string(self) -> bytes:
        """Take a string and return its bytes."""
        if self.kinds[self.pos] is not Kind.STRING:
            self.refuse("a string")
        self.pos += 1
        return unescape(self.word(self.pos - 1))

    def strings(self) -> bytes:
        """Take strings up to something else and return their bytes together."""
        parts = []
        while self.kinds[self.pos] is Kind.STRING:
            parts.append(self.string())
        return b"".join(parts)

    def name(self) -> str:
        """Take a string that is UTF-8."""
        pos = self.pos
        data = self.string()
        try:
            return data.decode()
        except UnicodeDecodeError:
            raise self.error_at(pos, "malformed UTF-8 encoding") from None

    def setting(self, name: str, n: int) -> int | None:
        """Take ``name=N`` if it is the next token and return the uN."""
        pos = self.pos
        prefix = name.encode() + b"="
        if self.kinds[pos] is not Kind.KEYWORD or not self.word(pos).startswith(prefix):
            return None
        digits = self.word(pos)[len(prefix) :]
        if not _is_number(digits):
            raise self.error("unknown operator", f"{name} is a number")
        return self._number(unsigned, digits, n)

    def unsigned(self, n: int) -> int:
        """Take a uN."""
        if self.kinds[self.pos] is not Kind.INTEGER:
            self.refuse("a number")
        return self._number(unsigned, self.word(self.pos), n)

    def integer(self, n: int) -> int:
        """Take an iN, written signed or not."""
        if self.kinds[self.pos] is not Kind.INTEGER:
            self.refuse("an integer")
        return self._number(integer, self.word(self.pos), n)

    def float_(self, n: int) -> int:
        """Take an fN and return its bits."""
        if self.kinds[self.pos] not in (Kind.FLOAT, Kind.INTEGER):
            self.refuse("a number")
        return self._number(float_bits, self.word(self.pos), n)

    def _number(self, value: Callable[[bytes, int], int], word: bytes, n: int) -> int:
        try:
            number = value(word, n)
        except MalformedError as e:
            phrase, _, detail = e.message.partition(": ")
            raise self.error(phrase, detail) from None
        self.pos += 1
        return number

    # -- annotations

    def annotations_at(self, id: str, pos: int) -> list[Token]:
        """Take the annotations of this id that stand before the token ``pos``."""
        here = self.annotations.get(pos)
        if here is None:
            return []
        taken: list[Token] = []
        rest: list[Token] = []
        for token in here:
            (taken if self.source.annotation(token)[0] == id else rest).append(token)
        if rest:
            self.annotations[pos] = rest
        else:
            del self.annotations[pos]
        return taken


def _is_number(digits: bytes) -> bool:
    bare = digits.removeprefix(b"0x")
    allowed = b"0123456789abcdefABCDEF_" if bare is not digits else b"0123456789_"
    return bool(bare) and not bare.strip(allowed) and not (bare[:1] == b"_" or bare[-1:] == b"_" or b"__" in bare)
