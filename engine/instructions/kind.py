"""What an immediate kind is: how one operand of an instruction is read, written, printed and parsed.

The kinds themselves are in ``immediates.py``, whose docstring says what each part is for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from engine.errors import MalformedError
    from engine.features import FeatureSet
    from engine.types import HeapType, RefType, ValType

__all__ = ["Imm", "Reader", "Text", "print_operands"]


class Reader(Protocol):
    """What a kind needs of ``engine.binary.reader.Reader``, which stands to the right."""

    pos: int
    features: FeatureSet

    def byte(self) -> int: ...
    def u32(self) -> int: ...
    def u64(self) -> int: ...
    def address(self) -> int: ...
    def memidx(self) -> int: ...
    def tableidx(self) -> int: ...
    def zero(self) -> int: ...
    def s32(self) -> int: ...
    def s33(self) -> int: ...
    def s64(self) -> int: ...
    def bytes(self, n: int, /) -> bytes: ...


class Text(Protocol):
    """What a kind needs of ``engine.text.parser.operands.Operands``, which stands to the right.

    Everything raises MalformedError with its place, and takes the tokens that it returns.
    """

    reserved: int  # words that the kinds behind this one need
    natural: int  # exponent of the natural alignment of the instruction

    def index(self, space: str, /) -> int:
        """Return a number or the meaning of an identifier; of a ``field``, in the type named last."""
        ...

    def words_ahead(self, limit: int, /) -> int:
        """Return how many indices or numbers follow in a row, at most ``limit``; take none."""
        ...

    def setting_at(self, distance: int, /) -> bool:
        """Tell whether a token ``NAME=N`` comes after so many others."""
        ...

    def setting(self, name: str, n: int, /) -> int | None:
        """Return the uN of ``name=N`` if that is the next token, else None."""
        ...

    def opens(self, *keywords: str) -> bool:
        """Tell whether ``(`` and one of these keywords follow; take neither."""
        ...

    def enter(self) -> str:
        """Take ``(`` and a keyword, and return the keyword."""
        ...

    def leave(self) -> None:
        """Take the ``)``."""
        ...

    def keyword(self) -> str: ...
    def unsigned(self, n: int, /) -> int: ...
    def integer(self, n: int, /) -> int: ...
    def float_(self, n: int, /) -> int: ...
    def valtype(self) -> ValType: ...
    def reftype(self) -> RefType: ...
    def at_nullable(self) -> bool: ...
    def heaptype(self) -> HeapType: ...
    def results(self) -> tuple[ValType, ...]: ...
    def typeuse(self) -> int: ...
    def blocktype(self) -> ValType | int | None: ...
    def numbers_ahead(self, limit: int, /) -> int:
        """Return how many numbers of any kind follow in a row, at most ``limit``; take none."""
        ...

    def error(self, phrase: str, detail: str = "", back: int = 0) -> MalformedError:
        """Return the error of the next token, or of one before it; building it is no cheap thing."""
        ...


def _no_text(t: Any) -> Any:
    raise t.error("unexpected token", "this immediate has no text form")


def _always(t: Any) -> bool:
    return True


@dataclass(frozen=True, slots=True, eq=False)
class Imm:
    """One kind; ``name`` is the specification's word for it."""

    name: str
    read: Callable[[Any], Any]
    write: Callable[[Any], bytes]
    print_: Callable[[Any], str] = str
    leads: bool = False
    parse: Callable[[Any], Any] = _no_text
    words: int = 0
    default: Any = None
    fits: Callable[[Any], bool] = _always
    holds: tuple[str, ...] = ()
    parts: Callable[[Callable[[str, Any], Any], Any], Any] | None = None

    def map(self, change: Callable[[str, Any], Any], value: Any) -> Any:
        """Return ``value`` with ``change(kind, part)`` in place of each part, or of itself where it has none."""
        return change(self.name, value) if self.parts is None else self.parts(change, value)

    def __repr__(self) -> str:
        return f"<{self.name}>"


def print_operands(kinds: Sequence[Imm], values: Sequence[Any]) -> str:
    """Return the immediates of one instruction in the order of the text format, without empty ones."""
    pairs = sorted(zip(kinds, values, strict=True), key=lambda pair: not pair[0].leads)
    return " ".join(text for kind, value in pairs if (text := kind.print_(value)))
