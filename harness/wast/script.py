"""The abstract syntax of a test script: its commands in order, each with its line.

Module texts stay verbatim bytes; what a module means is decided by an assembler and an engine, never here.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.wast.values import Pattern
    from oracles.plan import Value

__all__ = ["ASSERTIONS", "Action", "Command", "InstanceOf", "ModuleSource", "Register", "Script", "Subject"]

ASSERTIONS = (
    "assert_return",
    "assert_trap",
    "assert_exhaustion",
    "assert_exception",
    "assert_malformed",
    "assert_invalid",
    "assert_unlinkable",
    "assert_malformed_custom",
    "assert_invalid_custom",
)


@dataclass(frozen=True, slots=True)
class ModuleSource:
    """``form`` is text, binary or quote; ``data`` the text verbatim, or the bytes that the strings denote.

    A ``definition`` is validated and named but not instantiated.
    """

    form: str
    data: bytes
    id: str | None = None
    definition: bool = False


@dataclass(frozen=True, slots=True)
class InstanceOf:
    """``(module instance $id $module)``: a new instance of an earlier definition, the latest where unnamed."""

    id: str | None
    module: str | None


@dataclass(frozen=True, slots=True)
class Register:
    """Make an instance, the current one where unnamed, importable as ``name``."""

    name: str
    id: str | None


@dataclass(frozen=True, slots=True)
class Action:
    """``kind`` is invoke or get; ``instance`` an id, or None for the current instance."""

    kind: str
    instance: str | None
    export: str
    args: tuple[Value, ...] = ()


Subject = ModuleSource | InstanceOf | Register | Action


@dataclass(frozen=True, slots=True)
class Command:
    """``kind`` is module, register, invoke, get or an assertion; ``phrase`` the failure that an assertion expects."""

    kind: str
    line: int
    subject: Subject
    patterns: tuple[Pattern, ...] = ()
    phrase: str = ""

    @property
    def is_assertion(self) -> bool:
        return self.kind.startswith("assert_")

    @property
    def form(self) -> str:
        """The kind and, of a module, its form: the key under which a manifest counts this command."""
        match self.subject:
            case ModuleSource(form=form, definition=definition):
                return f"{self.kind} {'definition ' * definition}{form}"
            case InstanceOf():
                return f"{self.kind} instance"
            case _:
                return self.kind


@dataclass(frozen=True, slots=True)
class Script:
    commands: tuple[Command, ...]

    def counts(self) -> dict[str, int]:
        """Return how many commands there are of each form, in the order of their names."""
        return dict(sorted(Counter(c.form for c in self.commands).items()))
