"""Arguments and expected results of a script: values as they cross to an engine, and patterns over them.

A pattern compares bits, never numbers.  What it may leave open is exactly what scripts can leave open: the class of a
NaN, per lane in a vector; the type of a null within its hierarchy; the identity of a reference; one of several
patterns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine import types
from oracles.plan import WIDTHS

if TYPE_CHECKING:
    from oracles.plan import Value

__all__ = [
    "LANES", "TOPS", "Either", "Exact", "Lanes", "Nan", "NullRef", "Pattern", "SomeRef", "null_type", "number",
    "vector",
]  # fmt: skip

_HIERARCHIES = {
    types.FUNC: (types.FUNC, types.NOFUNC),
    types.EXTERN: (types.EXTERN, types.NOEXTERN),
    types.EXN: (types.EXN, types.NOEXN),
    types.ANY: (types.ANY, types.EQ, types.I31, types.STRUCT, types.ARRAY, types.NONE),
}
_HEAPS = {heap.name: heap for members in _HIERARCHIES.values() for heap in members}
# The top of the hierarchy of each abstract heap type, by its name and by the name of its nullable reference.
TOPS = {name: top.name for top, members in _HIERARCHIES.items() for heap in members for name in (heap.name, heap.short)}
# Shape of a vector: number of lanes, bits of one, whether floats.
LANES = {
    "i8x16": (16, 8, False),
    "i16x8": (8, 16, False),
    "i32x4": (4, 32, False),
    "i64x2": (2, 64, False),
    "f32x4": (4, 32, True),
    "f64x2": (2, 64, True),
}


def number(kind: str, bits: int) -> Value:
    """Return a number or vector as it crosses to an engine."""
    return kind, format(bits, f"0{WIDTHS[kind] // 4}x")


def vector(lanes: list[int], width: int) -> Value:
    """Return the vector of these lanes, lane 0 first."""
    return number("v128", sum(bits << width * i for i, bits in enumerate(lanes)))


def null_type(heap: str) -> str | None:
    """Return the type of ``(ref null HEAP)`` for an abstract heap type, or None."""
    found = _HEAPS.get(heap)
    return None if found is None else found.short


def _nan_class(bits: int, width: int) -> str:
    """Return canonical, arithmetic or "" (signalling, or no NaN); a canonical NaN is an arithmetic one too."""
    mantissa = 23 if width == 32 else 52
    exponent = ((1 << width - 1 - mantissa) - 1) << mantissa
    quiet = 1 << mantissa - 1
    magnitude = bits & (1 << width - 1) - 1
    if magnitude == exponent | quiet:
        return "canonical"
    return "arithmetic" if magnitude & (exponent | quiet) == exponent | quiet else ""


def _is_nan(bits: int, width: int, wanted: str) -> bool:
    found = _nan_class(bits, width)
    return found == "canonical" or (found == wanted == "arithmetic")


@dataclass(frozen=True, slots=True)
class Exact:
    """This very number, vector or numbered reference."""

    value: Value

    def matches(self, value: Value) -> bool:
        return value == self.value

    def __str__(self) -> str:
        return f"{self.value[0]}:{self.value[1]}"


@dataclass(frozen=True, slots=True)
class Nan:
    """A NaN of class canonical or arithmetic, of either sign."""

    kind: str
    wanted: str

    def matches(self, value: Value) -> bool:
        return value[0] == self.kind and _is_nan(int(value[1], 16), WIDTHS[self.kind], self.wanted)

    def __str__(self) -> str:
        return f"{self.kind}:nan:{self.wanted}"


@dataclass(frozen=True, slots=True)
class Lanes:
    """A vector whose lanes are bits or classes of NaN, lane 0 first."""

    width: int
    lanes: tuple[int | str, ...]

    def matches(self, value: Value) -> bool:
        if value[0] != "v128":
            return False
        bits, mask = int(value[1], 16), (1 << self.width) - 1
        for i, lane in enumerate(self.lanes):
            found = bits >> self.width * i & mask
            if not (_is_nan(found, self.width, lane) if isinstance(lane, str) else found == lane):
                return False
        return True

    def __str__(self) -> str:
        lanes = (f"nan:{x}" if isinstance(x, str) else format(x, f"0{self.width // 4}x") for x in self.lanes)
        return f"v128:[{' '.join(lanes)}]"


@dataclass(frozen=True, slots=True)
class NullRef:
    """A null of the hierarchy under ``top``, of any where None."""

    top: str | None

    def matches(self, value: Value) -> bool:
        kind, payload = value
        if kind in WIDTHS or payload is not None:
            return False
        return self.top is None or TOPS.get(kind) == self.top

    def __str__(self) -> str:
        return f"ref.null {self.top or ''}".rstrip()


@dataclass(frozen=True, slots=True)
class SomeRef:
    """A reference that is not null and of this heap type, of any where None.

    An engine shows an internal reference as ``anyref`` with ``{"i31": n}``, ``{"host": n}``, "struct", "array" or "eq".
    """

    heap: str | None

    def matches(self, value: Value) -> bool:
        kind, payload = value
        if kind in WIDTHS or payload is None:
            return False
        match self.heap:
            case None:
                return True
            case "any" | "func" | "extern" | "exn":
                return kind == f"{self.heap}ref"
            case "eq":
                return kind == "anyref" and not (isinstance(payload, dict) and "host" in payload)
            case "i31":
                return kind == "anyref" and isinstance(payload, dict) and "i31" in payload
            case _:
                return kind == "anyref" and payload == self.heap

    def __str__(self) -> str:
        return f"ref.{self.heap}" if self.heap else "ref"


@dataclass(frozen=True, slots=True)
class Either:
    options: tuple[Pattern, ...]

    def matches(self, value: Value) -> bool:
        return any(option.matches(value) for option in self.options)

    def __str__(self) -> str:
        return f"either({', '.join(map(str, self.options))})"


Pattern = Exact | Nan | Lanes | NullRef | SomeRef | Either
