"""Texts for wasmtime's assembler, which refuses sources with "confusing" characters.

The rewrite is lexical: a character outside ASCII becomes ``\\hh`` escapes of its UTF-8 bytes inside a string (the same
bytes to any assembler) and ``?`` inside a comment; elsewhere it stays, as the text is malformed anyway.
"""

from __future__ import annotations

import re

__all__ = ["ascii_text"]

_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|;;[^\n\r]*|\(;|;\)', re.DOTALL)
_HIGH = re.compile(rb"[\x80-\xff]")


def ascii_text(text: bytes) -> bytes:
    """Return the same text with strings and comments in ASCII."""
    out: list[bytes] = []
    at = depth = 0  # depth of nested block comments
    for token in _tokens(text):
        start, end = token
        piece = text[start:end]
        between = text[at:start]
        out.append(_HIGH.sub(b"?", between) if depth else between)
        at = end
        if piece == b"(;":
            depth += 1
        elif piece == b";)":
            depth = max(0, depth - 1)
        elif depth or piece.startswith(b";;"):
            piece = _HIGH.sub(b"?", piece)
        else:
            piece = _HIGH.sub(lambda m: b"\\%02x" % m.group()[0], piece)
        out.append(piece)
    out.append(text[at:])
    return b"".join(out)


def _tokens(text: bytes) -> list[tuple[int, int]]:
    """Return the spans of strings, line comments and block comment marks; inside a block comment only the marks."""
    spans: list[tuple[int, int]] = []
    marks = re.compile(rb"\(;|;\)")
    at = depth = 0
    while True:
        found = (marks if depth else _TOKEN).search(text, at)
        if found is None:
            return spans
        at = found.end()
        spans.append(found.span())
        if found.group() == b"(;":
            depth += 1
        elif found.group() == b";)":
            depth = max(0, depth - 1)
