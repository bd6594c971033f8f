"""One constant per proposal, and the named sets that versions of the standard are.

A row of the instruction table and an immediate kind name the feature that introduced them; decoding and validation
reject what is off.  ``EXECUTED`` is what this engine can run today: anything else raises ``UnsupportedError``.
``COMPATIBLE`` is the default of whatever takes a set: the standard as it is, and what only adds to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "ALL", "BULK_MEMORY", "COMPATIBLE", "CUSTOM_DESCRIPTORS", "CUSTOM_PAGE_SIZES", "EXCEPTIONS", "EXECUTED",
    "EXTENDED_CONST", "FEATURES",
    "FUNCTION_REFERENCES", "GC", "LEGACY_EXCEPTIONS", "MEMORY64", "MULTI_MEMORY", "MULTI_VALUE", "MUTABLE_GLOBALS",
    "MVP", "REFERENCE_TYPES", "RELAXED_SIMD", "SATURATING_FLOAT", "SIGN_EXTENSION", "SIMD", "TAIL_CALL", "THREADS",
    "WASM_1", "WASM_2", "WASM_3", "WIDE_ARITHMETIC", "Feature", "FeatureSet",
]  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Feature:
    """A proposal: its name in reports, what it adds, and its repository.

    Each exists once, also for a pickle: identity is equality.
    """

    name: str
    adds: str
    repository: str = ""  # where that is not the name

    @property
    def link(self) -> str:
        """Return where the proposal is, or was before the standard took it in."""
        return f"https://github.com/WebAssembly/{self.repository or self.name}"

    def __repr__(self) -> str:
        return self.name

    def __reduce__(self) -> tuple[Callable[[str], Feature], tuple[str]]:
        return _named, (self.name,)


MVP = Feature("mvp", "the first release", "spec")
MUTABLE_GLOBALS = Feature("mutable-globals", "import and export of mutable globals", "mutable-global")
SIGN_EXTENSION = Feature("sign-extension", "i32.extend8_s and its family", "sign-extension-ops")
SATURATING_FLOAT = Feature(
    "saturating-float-to-int", "trunc_sat conversions that never trap", "nontrapping-float-to-int-conversions"
)
MULTI_VALUE = Feature("multi-value", "several results, block parameters")
REFERENCE_TYPES = Feature("reference-types", "funcref and externref values, several tables, table instructions")
BULK_MEMORY = Feature("bulk-memory", "memory and table copy, fill, init; passive segments", "bulk-memory-operations")
SIMD = Feature("simd", "the 128-bit vector type and its instructions")
EXTENDED_CONST = Feature("extended-const", "add, sub and mul in constant expressions")
TAIL_CALL = Feature("tail-call", "return_call and its family")
MULTI_MEMORY = Feature("multi-memory", "several memories in a module")
MEMORY64 = Feature("memory64", "64-bit memory addresses and table indices")
FUNCTION_REFERENCES = Feature("function-references", "typed function references, call_ref, non-null types")
GC = Feature("gc", "structs, arrays, i31, recursive types and casts")
EXCEPTIONS = Feature("exceptions", "tags, throw, try_table, exnref", "exception-handling")
LEGACY_EXCEPTIONS = Feature(
    "legacy-exceptions", "try, catch, delegate, rethrow: what try_table has superseded", "exception-handling"
)
RELAXED_SIMD = Feature("relaxed-simd", "vector instructions with a set of allowed results")
THREADS = Feature("threads", "shared memories and atomic instructions")
CUSTOM_PAGE_SIZES = Feature("custom-page-sizes", "memories with pages of one byte")
WIDE_ARITHMETIC = Feature("wide-arithmetic", "128-bit add, subtract and multiply on pairs of i64")
CUSTOM_DESCRIPTORS = Feature("custom-descriptors", "structures that describe the type of others, exact types")

FeatureSet = frozenset[Feature]

# The standard by its versions: 1.0 of 2019, 2.0 of 2022, 3.0 of 2025.  Each has all of the one before.
WASM_1: FeatureSet = frozenset({MVP, MUTABLE_GLOBALS})
WASM_2: FeatureSet = WASM_1 | {SIGN_EXTENSION, SATURATING_FLOAT, MULTI_VALUE, REFERENCE_TYPES, BULK_MEMORY, SIMD}
WASM_3: FeatureSet = WASM_2 | {
    EXTENDED_CONST, TAIL_CALL, MULTI_MEMORY, MEMORY64, FUNCTION_REFERENCES, GC, EXCEPTIONS, RELAXED_SIMD,
}  # fmt: skip
# And the proposals that are not in it, or no longer.
ALL: FeatureSet = WASM_3 | {LEGACY_EXCEPTIONS, THREADS, CUSTOM_PAGE_SIZES, WIDE_ARITHMETIC, CUSTOM_DESCRIPTORS}
EXECUTED: FeatureSet = WASM_3 | {LEGACY_EXCEPTIONS, THREADS, CUSTOM_PAGE_SIZES, WIDE_ARITHMETIC, CUSTOM_DESCRIPTORS}
# Without the proposal under which instructions of the standard have other types: what it rejects stays rejected.
COMPATIBLE: FeatureSet = EXECUTED - {CUSTOM_DESCRIPTORS}
FEATURES: dict[str, Feature] = {f.name: f for f in sorted(ALL, key=lambda f: f.name)}


def _named(name: str) -> Feature:
    return FEATURES[name]
