"""Values as plain data, and back: numbers by their bits, references by the place of what they point to.

A number, vector or packed field is its bits in hex digits, as many as its type has: a place says which type that is.  A
reference is null or a letter and a number: ``f`` a function and ``x`` an external value by address, ``i`` an i31 by its
bits, ``o`` an object of the heap by its place in the snapshot.  Objects are numbered as they are found, never entered
while another is written, so that neither cycles nor long chains take any depth.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from engine.runtime.fits import fits
from engine.runtime.heap import FIELD_BYTES, OBJECT_BYTES, ArrayInst, ExnInst, ExternRef, StructInst
from engine.runtime.instance import FuncInst, HostFunc
from engine.snapshot.plain import SnapshotError, at, each, fields, items, shown, string, whole
from engine.types import ArrayType, DefType, PackType, RefType, StructType
from engine.values import from_bits, to_bits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from engine.runtime.store import Store
    from engine.snapshot.naming import TypeNames
    from engine.types import StorageType

__all__ = ["ObjectReader", "ObjectWriter", "write_number"]

_REFERENCE = re.compile(r"([fxio])(0|[1-9][0-9]{0,9})", re.ASCII)
_HEX = re.compile(r"[0-9a-f]*", re.ASCII)
_I31 = (1 << 31) - 1


def write_number(t: Any, v: Any) -> str:
    """Return the bits of a number, vector or packed field in hex digits."""
    return format(v if isinstance(t, PackType) else to_bits(t, v), f"0{t.bits // 4}x")


def _read_number(t: Any, digits: str) -> Any:
    bits = int(digits, 16)
    return bits if isinstance(t, PackType) else from_bits(t, bits)


class ObjectWriter:
    """Numbers the objects of the heap as values are written."""

    def __init__(self, store: Store, names: TypeNames) -> None:
        self.store = store
        self.names = names
        self.objects: list[Any] = []
        self.numbers: dict[int, int] = {}  # by identity, which the list keeps alive

    def reference(self, r: Any) -> str | None:
        """Return a reference as plain data."""
        if r is None:
            return None
        kind = type(r)
        if kind is int:
            return f"i{r}"
        if kind is FuncInst or kind is HostFunc:
            return f"f{_address(self.store.funcs, r)}"
        if kind is ExternRef:
            return f"x{_address(self.store.externs, r)}"
        number = self.numbers.get(id(r))
        if number is None:
            number = self.numbers[id(r)] = len(self.objects)
            self.objects.append(r)
        return f"o{number}"

    def value(self, v: Any, t: StorageType) -> Any:
        """Return a value of a type as plain data."""
        return self.reference(v) if isinstance(t, RefType) else write_number(t, v)

    def values(self, vs: Iterable[Any], ts: Iterable[StorageType]) -> list[Any]:
        """Return values of as many types as plain data."""
        return [self.value(v, t) for v, t in zip(vs, ts, strict=True)]

    def drain(self) -> list[Any]:
        """Return all objects that were met, and those that they lead to, as plain data."""
        out: list[Any] = []
        while len(out) < len(self.objects):
            out.append(at(f".objects[{len(out)}]", self._object, self.objects[len(out)]))
        return out

    def _object(self, r: Any) -> Any:
        if isinstance(r, ExnInst):
            tag: Any = r.tag.type.type
            return {"tag": _address(self.store.tags, r.tag), "values": self.values(r.values, tag.comp.params)}
        deftype = self.names.write_defined(r.type)
        if isinstance(r, StructInst):
            ts = [field.storage for field in r.type.comp.fields]  # type: ignore[union-attr]
            descriptor = getattr(r, "descriptor", None)
            return {"struct": deftype, "fields": self.values(r.fields, ts), "descriptor": self.reference(descriptor)}
        storage = r.type.comp.field.storage
        if isinstance(storage, RefType):
            return {"array": deftype, "elems": [self.reference(e) for e in r.elems]}
        return {"array": deftype, "elems": "".join([write_number(storage, e) for e in r.elems])}


def _address(known: Sequence[Any], what: Any) -> int:
    address: int = what.addr
    if not 0 <= address < len(known) or known[address] is not what:
        raise SnapshotError(f"{what!r} is of another store")
    return address


class ObjectReader:
    """Makes the objects of the heap, first empty and then filled, and checks every value against the type of its place.

    ``room`` is how many bytes they may take.
    """

    def __init__(self, store: Store, names: TypeNames, room: int) -> None:
        self.store = store
        self.names = names
        self.room = room
        self.objects: list[Any] = []
        self.fillers: list[Callable[[], None]] = []

    # -- objects

    def make(self, data: Any) -> None:
        """Make the objects of a list, without what is in them."""
        at(".objects", each, items(data), self._make)

    def fill(self) -> None:
        """Put into the objects what is in them."""
        for n, filler in enumerate(self.fillers):
            at(f".objects[{n}]", filler)

    def _make(self, data: Any) -> None:
        if type(data) is dict and "tag" in data:
            fields(data, "tag", "values")
            self._make_exception(data)
        elif type(data) is dict and "array" in data:
            fields(data, "array", "elems")
            self._make_array(data)
        else:
            fields(data, "struct", "fields", "descriptor")
            self._make_structure(data)

    def _add(self, r: Any, n: int, filler: Callable[[], None]) -> None:
        self.room -= OBJECT_BYTES + FIELD_BYTES * n
        if self.room < 0:
            raise SnapshotError("the objects are larger than the heap may be")
        self.objects.append(r)
        self.fillers.append(filler)

    def _make_exception(self, data: Any) -> None:
        tag = self.store.tags[at(".tag", whole, data["tag"], 0, len(self.store.tags) - 1)]
        deftype: Any = tag.type.type
        values = at(".values", items, data["values"])
        exn = ExnInst(tag, ())

        def fill() -> None:
            exn.values = tuple(at(".values", self.values, values, deftype.comp.params))

        self._add(exn, len(values), fill)

    def _make_structure(self, data: Any) -> None:
        deftype = at(".struct", self.names.defined, data["struct"])
        comp = deftype.comp
        if not isinstance(comp, StructType):
            raise SnapshotError("expected a structure type").inside(".struct")
        given = at(".fields", items, data["fields"])
        struct = StructInst(deftype, [])

        def fill() -> None:
            struct.fields = at(".fields", self.values, given, [field.storage for field in comp.fields])
            at(".descriptor", self._describe, struct, data["descriptor"])

        self._add(struct, len(given), fill)

    def _describe(self, struct: StructInst, data: Any) -> None:
        """Set the descriptor of a structure if its type has one."""
        wanted = struct.type.sub.descriptor
        descriptor = self.reference(data)
        if not isinstance(wanted, DefType):
            if descriptor is not None:
                raise SnapshotError("the type has no descriptor")
        elif type(descriptor) is not StructInst or descriptor.type is not wanted:
            raise SnapshotError("the descriptor is of another type")
        else:
            struct.descriptor = descriptor

    def _make_array(self, data: Any) -> None:
        deftype = at(".array", self.names.defined, data["array"])
        comp = deftype.comp
        if not isinstance(comp, ArrayType):
            raise SnapshotError("expected an array type").inside(".array")
        storage = comp.field.storage
        given = data["elems"]
        array = ArrayInst(deftype, [])
        if isinstance(storage, RefType):
            n = len(at(".elems", items, given))

            def fill() -> None:
                array.elems = at(".elems", each, given, lambda item: self.value(item, storage))
        else:
            digits = storage.bits // 4
            n = at(".elems", _count, given, digits)

            def fill() -> None:
                array.elems = [_read_number(storage, given[i : i + digits]) for i in range(0, len(given), digits)]

        self._add(array, n, fill)

    # -- values

    def reference(self, data: Any) -> Any:
        """Return what a reference points to, whatever its type."""
        if data is None:
            return None
        found = _REFERENCE.fullmatch(data) if type(data) is str else None
        if found is None:
            raise SnapshotError(f"expected a reference, found {shown(data)}")
        kind, n = found[1], int(found[2])
        if kind == "i":
            return whole(n, 0, _I31)
        known: Sequence[Any] = self.store.funcs if kind == "f" else self.objects if kind == "o" else self.store.externs
        if n >= len(known):
            raise SnapshotError(f"{data} where there are {len(known)}")
        return known[n]

    def value(self, data: Any, t: StorageType) -> Any:
        """Return a value of a type."""
        if isinstance(t, RefType):
            r = self.reference(data)
            if not fits(r, t):
                raise SnapshotError(f"{data} is no {t}")
            return r
        if _count(data, t.bits // 4) != 1:
            raise SnapshotError(f"expected {t.bits // 4} hex digits, found {shown(data)}")
        return _read_number(t, data)

    def values(self, data: Any, ts: Sequence[StorageType]) -> list[Any]:
        """Return as many values as there are types."""
        if len(items(data)) != len(ts):
            raise SnapshotError(f"{len(data)} values where there are {len(ts)}")
        types = iter(ts)
        return each(data, lambda item: self.value(item, next(types)))


def _count(data: Any, digits: int) -> int:
    """Return how many numbers of so many hex digits a string has."""
    if not _HEX.fullmatch(string(data)) or len(data) % digits:
        raise SnapshotError(f"expected hex digits, {digits} a number, found {shown(data)}")
    return len(data) // digits
