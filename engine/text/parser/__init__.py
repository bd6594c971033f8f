"""Text to modules (spec: text).

``cursor`` takes tokens, ``types`` and ``operands`` what stands in types and instructions, ``instructions`` sequences of
these, ``segments`` and ``fields`` the rest of a module; each is the class before it with more grammar.  ``names`` says
what identifiers mean, ``annotations`` what becomes a custom section.  No part recurses on the nesting of the text, and
the time taken is in proportion to its length.

Instructions come from the instruction table: a row and its immediate kinds are all that a new one needs here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.binary import decode
from engine.features import COMPATIBLE
from engine.text.lexer import Kind, Source

from .fields import ModuleReader

if TYPE_CHECKING:
    from engine.features import FeatureSet
    from engine.module import Module

__all__ = ["parse"]


def parse(text: str | bytes, features: FeatureSet = COMPATIBLE, *, names: bool = True) -> Module:
    """Return the module that a text is: ``(module ...)``, its fields alone, or its binary or quoted form.

    Raises ``MalformedError``, nearly always as ``TextError`` with line and column, or ``UnsupportedError``.  Offsets
    of instructions count bytes of the text.  ``names`` makes a name section of identifiers.

    Spec: text-module.
    """
    while True:
        found = _parse(text.encode() if isinstance(text, str) else bytes(text), features, names)
        if not isinstance(found, bytes):
            return found
        text = found


def _parse(text: bytes, features: FeatureSet, names: bool) -> Module | bytes:
    """Return the module, or the text that a quoted module holds."""
    reader = ModuleReader(Source(text), features)
    form = reader.pos if reader.head() == "module" else None
    if form is not None:
        reader.pos += 2
        reader.keyword_if("definition")
        reader.scope.module = reader.identifier_if()
        for keyword in ("binary", "quote"):
            if reader.keyword_if(keyword):
                data = reader.strings()
                reader.leave()
                _check_end(reader)
                return data if keyword == "quote" else decode(data, features)
    module = reader.module(names)
    if form is not None:
        reader.leave()
    _check_end(reader)
    if reader.annotations:
        token = next(iter(reader.annotations.values()))[0]
        id = reader.source.annotation(token)[0]
        inside = "@metadata.code.branch_hint annotation: not in a function"
        phrase = inside if id.startswith("metadata.") else f"misplaced @{id} annotation"
        raise reader.source.error(phrase, token.start)
    return module


def _check_end(reader: ModuleReader) -> None:
    if not reader.at_end() or reader.at(Kind.RPAR):
        reader.refuse("the end of the text")
