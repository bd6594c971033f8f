"""A bounded cursor over the bytes of a module: LEB128, names, and the type codes (spec: binary-values, binary-types).

A reader sees ``data[pos:end]`` and never a byte beyond; offsets in errors count from the start of the module.  It
carries the features that are on, because they decide which codes exist.  Every refusal is a :class:`MalformedError`
with the suite's phrase, except that a code of a feature that this engine does not execute and that is off is an
:class:`UnsupportedError`: such a module may well be good, we only cannot say.
"""

from __future__ import annotations

from functools import cache

from engine.errors import MalformedError, UnsupportedError, WasmError, Where
from engine.features import (
    EXCEPTIONS,
    EXECUTED,
    FUNCTION_REFERENCES,
    GC,
    MVP,
    REFERENCE_TYPES,
    SIMD,
    Feature,
    FeatureSet,
)
from engine.types import (
    ANY,
    ARRAY,
    EQ,
    EXN,
    EXTERN,
    F32,
    F64,
    FUNC,
    I31,
    I32,
    I64,
    NOEXN,
    NOEXTERN,
    NOFUNC,
    NONE,
    STRUCT,
    V128,
    AbsHeapType,
    HeapType,
    RefType,
    ValType,
    ref,
)

__all__ = ["REF_CODE", "REF_NULL_CODE", "HEAPTYPES", "Reader", "absent", "heaptype_feature", "valtype_feature"]

REF_CODE, REF_NULL_CODE = 0x64, 0x63

_HEAPTYPE_FEATURES = {
    FUNC: REFERENCE_TYPES, EXTERN: REFERENCE_TYPES, EXN: EXCEPTIONS, NOEXN: EXCEPTIONS,
    NOFUNC: GC, NOEXTERN: GC, NONE: GC, ANY: GC, EQ: GC, I31: GC, STRUCT: GC, ARRAY: GC,
}  # fmt: skip
HEAPTYPES: dict[int, AbsHeapType] = {h.code: h for h in _HEAPTYPE_FEATURES}


def heaptype_feature(heaptype: HeapType) -> Feature:
    """Return the feature that introduced a heap type."""
    return _HEAPTYPE_FEATURES.get(heaptype, FUNCTION_REFERENCES)  # type: ignore[arg-type]


def valtype_feature(valtype: ValType) -> Feature:
    """Return the feature that introduced a value type."""
    if isinstance(valtype, RefType):
        return heaptype_feature(valtype.heap) if valtype.null else FUNCTION_REFERENCES
    return SIMD if valtype is V128 else MVP


def absent(feature: Feature, message: str, offset: int) -> WasmError:
    """Return the error for a construct of a feature that is off: malformed if we could execute it, else unsupported."""
    if feature in EXECUTED:
        return MalformedError(f"{message} (needs {feature.name})", offset)
    return UnsupportedError(feature.name, Where(None, offset))


@cache
def _one_byte_valtypes(features: FeatureSet) -> dict[int, ValType]:
    """Return the value types whose whole encoding is one byte, by code, among ``features``."""
    codes: dict[int, ValType] = {t.code: t for t in (I32, I64, F32, F64, V128)}
    codes |= {h.code: ref(True, h) for h in HEAPTYPES.values()}
    return {code: t for code, t in codes.items() if valtype_feature(t) in features}


_KNOWN = _one_byte_valtypes(frozenset({MVP, SIMD, REFERENCE_TYPES, EXCEPTIONS, GC}))


Bytes = bytes  # the name inside the class is a method


class Reader:
    """``data[pos:end]`` still to be read, under ``features``."""

    __slots__ = ("_valtypes", "data", "end", "features", "pos")

    def __init__(self, data: Bytes, pos: int = 0, end: int | None = None, features: FeatureSet = EXECUTED) -> None:
        self.data = data
        self.pos = pos
        self.end = len(data) if end is None else end
        self.features = features
        self._valtypes = _one_byte_valtypes(features)

    def require(self, feature: Feature, message: str, offset: int | None = None) -> None:
        """Raise unless ``feature`` is on; ``message`` says what was met at ``offset`` (default: here)."""
        if feature not in self.features:
            raise absent(feature, message, self.pos if offset is None else offset)

    # -- bytes and integers

    def byte(self) -> int:
        """Read one byte."""
        pos = self.pos
        if pos >= self.end:
            raise MalformedError("unexpected end", pos)
        self.pos = pos + 1
        return self.data[pos]

    def bytes(self, n: int) -> Bytes:
        """Read ``n`` bytes."""
        pos = self.pos
        if n > self.end - pos:
            raise MalformedError("unexpected end", self.end)
        self.pos = pos + n
        return self.data[pos : pos + n]

    def u32(self) -> int:
        """Spec: binary-uint."""
        pos = self.pos
        if pos < self.end:
            b = self.data[pos]
            if b < 0x80:
                self.pos = pos + 1
                return b
        return self._leb(32, False)

    def u64(self) -> int:
        """Spec: binary-uint."""
        return self._leb(64, False)

    def s32(self) -> int:
        """Read a signed integer (spec: binary-sint)."""
        return self._leb(32, True)

    def s33(self) -> int:
        """Read a signed integer (spec: binary-sint)."""
        return self._leb(33, True)

    def s64(self) -> int:
        """Read a signed integer (spec: binary-sint)."""
        return self._leb(64, True)

    def _leb(self, n: int, is_signed: bool) -> int:
        """Read at most ``ceil(n / 7)`` bytes; bits of the last byte beyond ``n`` must repeat the sign or be zero."""
        start = pos = self.pos
        data, end = self.data, self.end
        value = shift = 0
        while True:
            if pos >= end:
                raise MalformedError("unexpected end", pos)
            b = data[pos]
            pos += 1
            value |= (b & 0x7F) << shift
            shift += 7
            if b < 0x80:
                break
            if shift >= n:
                raise MalformedError("integer representation too long", start)
        if is_signed and b & 0x40:
            value -= 1 << shift
        low, high = (-1 << n - 1, 1 << n - 1) if is_signed else (0, 1 << n)
        if not low <= value < high:
            raise MalformedError("integer too large", start)
        self.pos = pos
        return value

    # -- lengths and names

    def count(self) -> int:
        """Read the length of a list whose elements take at least a byte each, so that nothing can be huge unread."""
        start = self.pos
        n = self.u32()
        if n > self.end - self.pos:
            raise MalformedError("length out of bounds", start)
        return n

    def blob(self) -> Bytes:
        """Read a length and that many bytes."""
        return self.bytes(self.count())

    def name(self) -> str:
        """Spec: binary-name."""
        n = self.count()
        start = self.pos
        try:
            return self.bytes(n).decode("utf-8")
        except UnicodeDecodeError as e:
            raise MalformedError("malformed UTF-8 encoding", start + e.start) from None

    def part(self, size: int) -> Reader:
        """Return a reader of the next ``size`` bytes and step over them."""
        inner = Reader(self.data, self.pos, self.pos + size, self.features)
        self.pos += size
        return inner

    # -- types

    def valtype(self) -> ValType:
        """Spec: binary-valtype."""
        code = self.byte()
        found = self._valtypes.get(code)
        if found is not None:
            return found
        self.pos -= 1
        if code in _KNOWN and not isinstance(_KNOWN[code], RefType):
            raise absent(valtype_feature(_KNOWN[code]), "malformed value type", self.pos)
        return self.reftype("malformed value type")

    def reftype(self, phrase: str = "malformed reference type") -> RefType:
        """Spec: binary-reftype."""
        start = self.pos
        code = self.byte()
        if code in (REF_CODE, REF_NULL_CODE):
            self.require(FUNCTION_REFERENCES, phrase, start)
            return ref(code == REF_NULL_CODE, self.heaptype())
        heaptype = HEAPTYPES.get(code)
        if heaptype is None:
            raise MalformedError(phrase, start)
        self.require(heaptype_feature(heaptype), phrase, start)
        return ref(True, heaptype)

    def heaptype(self) -> HeapType:
        """Read an abstract heap type or a type index (spec: binary-heaptype)."""
        start = self.pos
        heaptype = HEAPTYPES.get(self.byte())
        if heaptype is not None:
            self.require(heaptype_feature(heaptype), "malformed heap type", start)
            return heaptype
        self.pos = start
        x = self.s33()
        if x < 0:
            raise MalformedError("malformed heap type", start)
        self.require(FUNCTION_REFERENCES, "malformed heap type", start)
        return x
