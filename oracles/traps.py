"""What engines report when they trap, as the phrases of the official suite, and which phrases are one class.

On the wire a trap is a phrase of :data:`PHRASES`.  Where an engine says less than the suite distinguishes, its phrases
are merged *for comparison* by an entry of :data:`MERGES`: data with an engine, a version range and a reason, never an
``if`` in a comparer.  Standard library only, syntax of CPython 3.10; a test asserts that the phrases are those of
``engine.errors.TrapKind``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = [
    "HOST_TRAP", "MERGES", "PHRASES", "STACK", "WASMER_TEXTS", "WASMTIME_CODES", "Merge", "merged", "wasmer_trap",
]  # fmt: skip

PHRASES: tuple[str, ...] = (
    "unreachable", "integer divide by zero", "integer overflow", "invalid conversion to integer",
    "out of bounds memory access", "out of bounds table access", "out of bounds array access", "undefined element",
    "uninitialized element", "indirect call type mismatch", "null function reference", "null structure reference",
    "null array reference", "null i31 reference", "null exception reference", "null descriptor reference",
    "null reference", "cast failure", "unaligned atomic", "expected shared memory", "host trap",
)  # fmt: skip
HOST_TRAP = "host trap"
STACK = "call stack exhausted"

# the trap codes of wasmtime's C interface by name (``wasmtime_trap_code_enum``), those that core modules can cause
WASMTIME_CODES: dict[str, str] = {
    "STACK_OVERFLOW": STACK,
    "MEMORY_OUT_OF_BOUNDS": "out of bounds memory access",
    "HEAP_MISALIGNED": "unaligned atomic",
    "TABLE_OUT_OF_BOUNDS": "out of bounds table access",
    "INDIRECT_CALL_TO_NULL": "uninitialized element",
    "BAD_SIGNATURE": "indirect call type mismatch",
    "INTEGER_OVERFLOW": "integer overflow",
    "INTEGER_DIVISION_BY_ZERO": "integer divide by zero",
    "BAD_CONVERSION_TO_INTEGER": "invalid conversion to integer",
    "UNREACHABLE_CODE_REACHED": "unreachable",
    "ATOMIC_WAIT_NON_SHARED_MEMORY": "expected shared memory",
    "NULL_REFERENCE": "null reference",
    "ARRAY_OUT_OF_BOUNDS": "out of bounds array access",
    "CAST_FAILURE": "cast failure",
}

# what wasmer prints after "RuntimeError: ", 1.1 and current alike
WASMER_TEXTS: tuple[tuple[str, str], ...] = (
    (r"call stack exhausted|stack overflow", STACK),
    (r"out of bounds table access|undefined element", "out of bounds table access"),
    (r"out of bounds memory access", "out of bounds memory access"),
    (r"uninitialized element", "uninitialized element"),
    (r"indirect call type mismatch", "indirect call type mismatch"),
    (r"integer divide by zero", "integer divide by zero"),
    (r"integer overflow", "integer overflow"),
    (r"invalid conversion to integer", "invalid conversion to integer"),
    (r"unaligned", "unaligned atomic"),
    (r"uninitialized exnref", "null exception reference"),
    (r"unreachable", "unreachable"),
)


@dataclass(frozen=True)
class Merge:
    """In ``engine`` of ``since <= version < until`` (None: no bound) the ``phrases`` are one class, for ``reason``."""

    engine: str
    phrases: frozenset[str]
    reason: str
    since: str | None = None
    until: str | None = None

    def applies(self, engine: str, version: str) -> bool:
        """Return whether the entry speaks about this engine."""
        v = _version(version)
        after = self.since is None or _version(self.since) <= v
        return engine == self.engine and after and (self.until is None or v < _version(self.until))


_ELEMENTS = frozenset({"out of bounds table access", "undefined element"})
_NULLS = frozenset({
    "null reference", "null function reference", "null structure reference", "null array reference",
    "null i31 reference", "null exception reference", "null descriptor reference",
})  # fmt: skip

MERGES: tuple[Merge, ...] = (
    Merge("wasmtime", _ELEMENTS, "one trap code for every table index, call_indirect included"),
    Merge("wasmtime", _NULLS, "one trap code for every null reference"),
    Merge("wasmer", _ELEMENTS, "one trap code for every table index, call_indirect included"),
    Merge("wasmer", _NULLS, "one trap code for every null reference"),
)


def merged(trap: str, engine: str, version: str) -> frozenset[str]:
    """Return the phrases that this engine cannot tell from ``trap``, itself included."""
    out = {trap}
    for merge in MERGES:
        if trap in merge.phrases and merge.applies(engine, version):
            out |= merge.phrases
    return frozenset(out)


def wasmer_trap(text: str) -> str | None:
    """Return the phrase (or STACK) of a message of wasmer, None if it is no known trap."""
    for pattern, phrase in WASMER_TEXTS:
        if re.search(pattern, text):
            return phrase
    return None


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d+", text))
