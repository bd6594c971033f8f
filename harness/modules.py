"""Module files as the command line takes them: bytes or text, read, judged and explained in the words of an error.

A file is binary if it starts as a binary module does or is called ``.wasm``; everything else is text.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from engine.binary import MAGIC, decode
from engine.errors import InvalidError, MalformedError, TextError, UnsupportedError, WasmError
from engine.text.lexer import Source
from engine.text.parser import parse
from engine.validation import validate

if TYPE_CHECKING:
    from engine.features import FeatureSet
    from engine.module import Module

__all__ = ["MAX_BYTES", "Verdict", "explain", "is_text", "judge", "load", "read_input"]

MAX_BYTES = 64 << 20


class Verdict(NamedTuple):
    """``word`` is valid, malformed, invalid or unsupported; ``explanation`` empty or lines that say why."""

    word: str
    explanation: str = ""


def read_input(file: str) -> bytes:
    """Return the bytes of a file, of standard input for ``-``, or raise UsageError."""
    try:
        with sys.stdin.buffer if file == "-" else Path(file).open("rb") as f:
            data = f.read(MAX_BYTES + 1)
    except IsADirectoryError:
        raise click.UsageError(f"{file} is a directory") from None
    except FileNotFoundError:
        raise click.UsageError(f"{file} does not exist") from None
    except PermissionError:
        raise click.UsageError(f"{file} may not be read") from None
    if len(data) > MAX_BYTES:
        raise click.UsageError(f"{file} is larger than {MAX_BYTES >> 20} MiB")
    return data


def is_text(file: str, data: bytes) -> bool:
    """Tell whether a module is in the text format."""
    return not data.startswith(MAGIC) and not file.endswith(".wasm")


def load(file: str, data: bytes, features: FeatureSet) -> Module:
    """Return the module that a file holds, or raise the engine's error."""
    return parse(data, features) if is_text(file, data) else decode(data, features)


def judge(file: str, data: bytes, features: FeatureSet) -> Verdict:
    """Say whether a file holds a valid module under ``features``."""
    try:
        validate(load(file, data, features), features)
    except WasmError as e:
        words = {MalformedError: "malformed", InvalidError: "invalid", UnsupportedError: "unsupported"}
        word = next((w for cls, w in words.items() if isinstance(e, cls)), "")
        if not word:
            raise
        return Verdict(word, explain(e, file, data))
    return Verdict("valid")


def explain(error: WasmError, file: str, data: bytes) -> str:
    """Return an error as lines: the message, and of text the line with a caret below the place."""
    if isinstance(error, TextError):
        return f"{error.message}\n{error.excerpt}"
    where = error.where
    if where is None or where.offset is None or not is_text(file, data):
        return str(error)
    source = Source(data)
    line, column = source.line_column(where.offset)
    func = "" if where.funcidx is None else f" (func {where.funcidx})"
    return f"{error.message}{func} at line {line}, column {column}\n{source.excerpt(where.offset)}"
