"""Where two assemblers disagree about the texts of a script, and which of them is right.

The script itself decides about acceptance: a text that it uses must assemble, one that it calls malformed must not.
Two binaries of one text are both right if they are the same module written differently; how they differ is said.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from engine.binary import decode, encode
from engine.binary.names import SECTION
from engine.errors import WasmError
from engine.features import EXECUTED
from harness.wast.script import ModuleSource
from oracles.outcome import Rejected, Unsupported

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.module import Module
    from engine.types import CompType
    from harness.wast.script import Script
    from oracles.outcome import Outcome

__all__ = ["Disagreement", "disagreements"]

_MALFORMED = ("assert_malformed", "assert_malformed_custom", "assert_invalid_custom")


class Disagreement(NamedTuple):
    """``right`` is own, the other's name, both, or nobody where it is not explained; ``why`` is one sentence."""

    line: int
    right: str
    why: str


def disagreements(
    script: Script, own: dict[int, bytes | Outcome], other: dict[int, bytes | Outcome], name: str
) -> Iterator[Disagreement]:
    """Yield where what our assembler and ``name`` made of the texts, by command, is not the same."""
    for i, command in enumerate(script.commands):
        if not isinstance(command.subject, ModuleSource) or command.subject.form == "binary":
            continue
        ours, theirs = own[i], other[i]
        malformed = command.kind in _MALFORMED
        if isinstance(ours, bytes) and isinstance(theirs, bytes):
            if ours != theirs:
                yield Disagreement(command.line, *_difference(ours, theirs))
        elif isinstance(ours, bytes):
            right, verdict = (name, "is malformed") if malformed else ("own", "assembles")
            yield Disagreement(command.line, right, f"the script says that it {verdict}; {name}: {_said(theirs)}")
        elif isinstance(theirs, bytes):
            right, verdict = ("own", "is malformed") if malformed else (name, "assembles")
            yield Disagreement(command.line, right, f"the script says that it {verdict}; own: {_said(ours)}")


def _said(outcome: Outcome) -> str:
    if isinstance(outcome, Unsupported):
        return f"unsupported: {outcome.what}"
    text = outcome.text if isinstance(outcome, Rejected) else repr(outcome)
    return text.partition("\n")[0][:120]


def _difference(ours: bytes, theirs: bytes) -> tuple[str, str]:
    """Return who is right about two binaries of one text, and how they differ."""
    try:
        one, two = decode(ours, EXECUTED), decode(theirs, EXECUTED)
    except WasmError as e:
        return "nobody", f"{len(ours)} and {len(theirs)} bytes, and one cannot be decoded: {e}"
    if encode(two) == ours:
        return "both", "the same module; theirs is not the shortest form"
    if encode(_without_names(one)) == encode(_without_names(two)):
        return "both", "the same module; it names other things in the name section"
    more = two.types[len(one.types) :]
    if more and two.types == one.types + more and set(more) <= set(one.types):
        return "own", "a function type that is written out is the first alone in its group, however that is written"
    if _takes_open_types(one, two):
        return "own", "a function type that is written out is final; theirs takes one that is open"
    return "nobody", f"other modules, of {len(ours)} and {len(theirs)} bytes"


def _takes_open_types(one: Module, two: Module) -> bool:
    """Tell whether two modules differ only in that the second takes earlier, open types of the same shape."""
    open_ = [sub.comp for rec in two.types for sub in rec.subtypes if not sub.final]
    added = [sub for rec in one.types if rec not in two.types for sub in rec.subtypes]
    return (
        set(two.types) <= set(one.types)
        and all(sub.final and not sub.supers and sub.comp in open_ for sub in added)
        and _shapes(one) == _shapes(two)
        and encode(_without_types(one)) == encode(_without_types(two))
    )


def _shapes(module: Module) -> list[CompType]:
    """Return the parameters and results of each function."""
    comps = [sub.comp for rec in module.types for sub in rec.subtypes]
    return [comps[x] for x in module.funcs]


def _without_types(module: Module) -> Module:
    return replace(module, types=(), funcs=(), elems=())


def _without_names(module: Module) -> Module:
    return replace(module, customs=tuple(c for c in module.customs if c.name != SECTION))
