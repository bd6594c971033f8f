"""Which feature a type belongs to, and what happens to a construct whose feature is off.

A construct of a feature that this engine executes is invalid when the feature is off.  One of a feature that the engine
does not execute yet is noted, and checking goes on: a module that is invalid anyway is reported as that, and only one
that has no other fault ends in ``UnsupportedError``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.errors import InvalidError
from engine.features import (
    CUSTOM_DESCRIPTORS,
    EXCEPTIONS,
    EXECUTED,
    FUNCTION_REFERENCES,
    GC,
    MULTI_VALUE,
    MVP,
    REFERENCE_TYPES,
    SIMD,
)
from engine.types import EXN, EXTERN, FUNC, NOEXN, V128, AbsHeapType, ExactType, RefType, VecType

if TYPE_CHECKING:
    from engine.features import Feature, FeatureSet
    from engine.instructions.model import Instr

__all__ = ["Gate", "type_feature"]


_FEATURES: dict[Any, Feature] = {
    FUNC: REFERENCE_TYPES, EXTERN: REFERENCE_TYPES, EXN: EXCEPTIONS, NOEXN: EXCEPTIONS, V128: SIMD,
}  # fmt: skip


def type_feature(t: Any) -> Feature:
    """Return the feature that introduced a value type or heap type."""
    if isinstance(t, RefType):
        if not t.null:
            return FUNCTION_REFERENCES
        t = t.heap
    if isinstance(t, ExactType):
        return CUSTOM_DESCRIPTORS
    if isinstance(t, int):
        return FUNCTION_REFERENCES
    return _FEATURES.get(t, GC if isinstance(t, AbsHeapType) else MVP)


class Gate:
    """The features that are on, and the first one that was met without being on or executed."""

    __slots__ = ("features", "missing")

    def __init__(self, features: FeatureSet) -> None:
        self.features = features
        self.missing: Feature | None = None

    def require(self, feature: Feature, message: str) -> None:
        """Raise, or note, unless ``feature`` is on; ``message`` says what was met."""
        if feature in self.features:
            return
        if feature in EXECUTED:
            raise InvalidError(f"{message} (needs {feature.name})")
        if self.missing is None:
            self.missing = feature

    def check_type(self, t: Any) -> None:
        """Check that a value type or heap type, as written, may be used."""
        feature = type_feature(t)
        if feature is not MVP and feature not in self.features:
            self.require(feature, f"type mismatch: type {t}")
        if isinstance(t, RefType) and not t.null:
            self.check_type(t.heap)

    def check_written(self, row: Instr, imms: tuple[Any, ...]) -> None:
        """Check the types among the immediates of an instruction."""
        for kind, value in zip(row.imms, imms, strict=True):
            if kind.name == "blocktype" and isinstance(value, int):
                self.require(MULTI_VALUE, "type mismatch: block type with a type index")
            for t in value if isinstance(value, tuple) else (value,):
                if kind.name == "heaptype" or isinstance(t, RefType | VecType):
                    self.check_type(t)
