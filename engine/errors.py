"""Every exception of the engine, and the kinds of trap.

One class per assertion of the test scripts, so that a runner maps classes and never strings.  Messages start
with the phrase that the official suite uses and then help: ``type mismatch: i32.add expects i32, found i64``.
Raise at the point of knowledge; the boundary that knows the place adds it with :meth:`WasmError.at`.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "CallError",
    "EngineBug",
    "ExhaustionError",
    "InvalidError",
    "InvocationConsumed",
    "LinkError",
    "MalformedError",
    "MismatchingParameterLen",
    "MismatchingParameterType",
    "MismatchingResultLen",
    "MismatchingResultType",
    "Resource",
    "StoreMismatch",
    "TextError",
    "Trap",
    "TrapKind",
    "UncaughtException",
    "UnsupportedError",
    "WasmError",
    "Where",
]


class TrapKind(Enum):
    """Why an execution trapped; the value is the phrase of the official suite."""

    UNREACHABLE = "unreachable"
    DIVIDE_BY_ZERO = "integer divide by zero"
    INTEGER_OVERFLOW = "integer overflow"
    BAD_CONVERSION = "invalid conversion to integer"
    MEMORY_OUT_OF_BOUNDS = "out of bounds memory access"
    TABLE_OUT_OF_BOUNDS = "out of bounds table access"
    ARRAY_OUT_OF_BOUNDS = "out of bounds array access"
    UNDEFINED_ELEMENT = "undefined element"
    UNINITIALIZED_ELEMENT = "uninitialized element"
    INDIRECT_CALL_MISMATCH = "indirect call type mismatch"
    NULL_FUNCTION = "null function reference"
    NULL_STRUCTURE = "null structure reference"
    NULL_ARRAY = "null array reference"
    NULL_I31 = "null i31 reference"
    NULL_EXCEPTION = "null exception reference"
    NULL_DESCRIPTOR = "null descriptor reference"
    NULL_REFERENCE = "null reference"
    CAST_FAILURE = "cast failure"
    UNALIGNED_ATOMIC = "unaligned atomic"
    EXPECTED_SHARED_MEMORY = "expected shared memory"
    HOST = "host trap"


class Where:
    """A place in a module: function index and byte offset, each None where unknown."""

    __slots__ = ("funcidx", "offset")

    def __init__(self, funcidx: int | None = None, offset: int | None = None) -> None:
        self.funcidx = funcidx
        self.offset = offset

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Where) and (self.funcidx, self.offset) == (other.funcidx, other.offset)

    def __hash__(self) -> int:
        return hash((self.funcidx, self.offset))

    def __repr__(self) -> str:
        return f"Where({self.funcidx}, {self.offset})"

    def __str__(self) -> str:
        parts = [] if self.funcidx is None else [f"func {self.funcidx}"]
        if self.offset is not None:
            parts.append(f"offset {self.offset:#x}")
        return ", ".join(parts)


class WasmError(Exception):
    """Base of everything that a module, a host or a budget can make the engine raise."""

    def __init__(self, message: str, where: Where | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.where = where

    def at(self, where: Where) -> Self:
        """Set the place unless one is known already, and return self."""
        if self.where is None:
            self.where = where
        return self

    def __str__(self) -> str:
        return f"{self.message} ({self.where})" if self.where is not None and str(self.where) else self.message

    def __reduce__(self) -> Any:
        """Copy and pickle by what an error says, since what makes one is not what it is made of."""
        return _remade, (type(self), self.args, self.__dict__)


def _remade(cls: type[WasmError], args: tuple[Any, ...], fields: dict[str, Any]) -> WasmError:
    error = cls.__new__(cls, *args)
    error.__dict__.update(fields)
    return error


class MalformedError(WasmError):
    """The bytes or the text break the grammar (spec: binary, text)."""

    def __init__(self, message: str, offset: int | None = None) -> None:
        super().__init__(message, None if offset is None else Where(None, offset))

    @property
    def offset(self) -> int | None:
        """Byte offset in the input."""
        return None if self.where is None else self.where.offset


class TextError(MalformedError):
    """Text that breaks the grammar: ``line`` and ``column`` from 1, and ``excerpt``, the line with a caret below it."""

    def __init__(self, message: str, offset: int, line: int, column: int, excerpt: str) -> None:
        super().__init__(message, offset)
        self.line = line
        self.column = column
        self.excerpt = excerpt

    def __str__(self) -> str:
        return f"{self.message}\n{self.excerpt}"


class InvalidError(WasmError):
    """Well-formed but ill-typed (spec: valid)."""


class UnsupportedError(WasmError):
    """A known construct of a feature that this engine does not execute yet; says nothing about validity."""

    def __init__(self, feature: str, where: Where | None = None) -> None:
        super().__init__(f"unsupported feature: {feature}", where)
        self.feature = feature


class LinkError(WasmError):
    """An import is missing or of the wrong type (spec: exec-instantiation)."""


class Trap(WasmError):
    """Execution aborted by a rule of the specification (spec: syntax-trap).

    ``activations`` are those that it has left, innermost first; their frames (of Wasm, and of the host in place of one
    that called it in the end) are, from the last to the first, those that waited for what trapped.
    """

    def __init__(self, kind: TrapKind, detail: str = "", where: Where | None = None) -> None:
        super().__init__(f"{kind.value}: {detail}" if detail else kind.value, where)
        self.kind = kind
        self.activations: list[Any] = []

    def __reduce__(self) -> Any:
        return _remade, (type(self), self.args, {**self.__dict__, "activations": []})  # which belong to a store


class UncaughtException(WasmError):
    """A thrown exception reached the host (spec: exec-invocation)."""

    def __init__(self, tag: Any, values: Sequence[Any]) -> None:
        super().__init__("unhandled exception")
        self.tag = tag
        self.values = tuple(values)


class Resource(Enum):
    """What ran out; the value is the phrase used on the wire."""

    STACK = "call stack exhausted"
    FUEL = "all fuel consumed"
    HEAP = "heap exhausted"
    TIME = "wait without end"


class ExhaustionError(WasmError):
    """An explicit limit of the store was reached; the store stays usable."""

    def __init__(self, resource: Resource, where: Where | None = None) -> None:
        super().__init__(resource.value, where)
        self.resource = resource


class CallError(WasmError):
    """A call was made or resumed against the rules; nothing of it ran, and the store is as it was."""


class MismatchingParameterLen(CallError):
    """As many arguments, or parameter types of a typed function, as the function does not take."""

    def __init__(self, wanted: int, given: int) -> None:
        super().__init__(f"mismatching number of parameters: expected {wanted}, found {given}")


class MismatchingParameterType(CallError):
    """An argument is not of the type of its parameter, or a typed function was to take another type."""

    def __init__(self, index: int, wanted: Any, given: Any) -> None:
        super().__init__(f"mismatching type of parameter {index}: expected {wanted}, found {given}")


class MismatchingResultLen(CallError):
    """As many values to resume with, or result types of a typed function, as there are not wanted."""

    def __init__(self, wanted: int, given: int) -> None:
        super().__init__(f"mismatching number of results: expected {wanted}, found {given}")


class MismatchingResultType(CallError):
    """A value to resume with is not of the result type, or a typed function was to give another type."""

    def __init__(self, index: int, wanted: Any, given: Any) -> None:
        super().__init__(f"mismatching type of result {index}: expected {wanted}, found {given}")


class StoreMismatch(CallError):
    """A function, a suspended call or a reference that is an argument or a value to resume with is of another store."""

    def __init__(self) -> None:
        super().__init__("used with another store than its own")


class InvocationConsumed(CallError):
    """A suspended call that was resumed, closed or turned into its error is used again."""

    def __init__(self) -> None:
        super().__init__("the suspended call is over or goes on elsewhere")


class EngineBug(AssertionError):
    """Impossible in validated code: always our fault, never a finding about another engine."""
