"""The parts of a store but its objects and calls, as plain data, and back.

Functions that modules define are named by instance and index and stand in the order of their addresses; what else an
instance has is listed by address, and everything is checked against what its module declares.  Segments go with their
instance.  Of a memory those chunks are kept that are not zero.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.matching import matches_extern
from engine.runtime.instance import FuncInst, HostFunc
from engine.runtime.store import MAX_FUEL
from engine.snapshot.naming import addrtype
from engine.snapshot.plain import SnapshotError, at, boolean, each, fields, items, string, whole
from engine.types import FuncType, GlobalType, Limits, MemType, TableType, TagType, exact, func_deftype

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from engine.module import Module
    from engine.runtime.instance import ExternVal, ModuleInst
    from engine.runtime.memory import MemInst
    from engine.runtime.store import Store
    from engine.runtime.table import TableInst
    from engine.snapshot.naming import TypeNames
    from engine.snapshot.values import ObjectReader, ObjectWriter
    from engine.types import ExternType

__all__ = ["Host", "StoreReader", "write_store"]

CHUNK = 4096  # bytes of a memory that are written together
_SCAN = 1 << 20
_SPACES = ("tables", "mems", "globals", "tags")
_MAX_PAGE_BITS = 16


class Host(NamedTuple):
    """A function of the host to restore a store with: its type, and what a ``HostFunc`` calls."""

    functype: FuncType
    call: Callable[..., Any]


# -- to plain data


def write_store(
    store: Store, objects: ObjectWriter, modules: Mapping[int, int], name_of: Callable[[Any], str]
) -> dict[str, Any]:
    """Return everything but the objects; ``modules`` gives the number of a module in the snapshot by its identity."""
    names = objects.names

    def func(f: FuncInst | HostFunc) -> Any:
        if isinstance(f, FuncInst):
            return {"instance": numbers[id(f.module)], "index": f.funcidx}
        return {"host": name_of(f), "type": names.write_defined(f.type)}

    def table(t: TableInst) -> Any:
        return {
            "addr": t.type.addrtype.name, "type": names.write(t.type.reftype), "max": t.type.limits.max,
            "elems": _runs([objects.reference(r) for r in t.elems]),
        }  # fmt: skip

    def mem(m: MemInst) -> Any:
        limits = m.type.limits
        return {
            "addr": m.type.addrtype.name, "shared": m.type.shared, "page_bits": m.type.page_bits,
            "pages": limits.min, "max": limits.max, "data": _chunks(m),
        }  # fmt: skip

    def global_(g: Any) -> Any:
        return {
            "mutable": g.type.mutable, "type": names.write(g.type.valtype),
            "value": objects.value(g.value, g.type.valtype),
        }  # fmt: skip

    def instance(i: ModuleInst) -> Any:
        spaces = {space: [v.addr for v in getattr(i, space)] for space in _SPACES}
        return {
            **spaces,
            "module": modules[id(i.module)],
            "funcs": [f.addr for f in i.funcs[: i.context.imported["func"]]],
            "elems": [[objects.reference(r) for r in e.elems] for e in i.elems],
            "datas": [len(d.data) > 0 for d in i.datas],
        }

    numbers = {id(i): n for n, i in enumerate(store.instances)}
    parts: dict[str, tuple[Sequence[Any], Callable[[Any], Any]]] = {
        "externs": (store.externs, name_of),
        "tags": (store.tags, lambda t: names.write_defined(t.type.type)),
        "funcs": (store.funcs, func),
        "tables": (store.tables, table),
        "mems": (store.mems, mem),
        "globals": (store.globals, global_),
        "instances": (store.instances, instance),
    }
    return {part: at(f".{part}", each, list(found), write) for part, (found, write) in parts.items()}


def _runs(refs: list[Any]) -> list[list[Any]]:
    """Return ``[count, reference]`` for each run of equal references."""
    out: list[list[Any]] = []
    for r in refs:
        if out and out[-1][1] == r:
            out[-1][0] += 1
        else:
            out.append([1, r])
    return out


def _chunks(mem: MemInst) -> list[list[Any]]:
    """Return ``[index, base64]`` for each chunk of a memory that is not zero, without the zeros at its end."""
    out: list[list[Any]] = []
    zeros = bytes(_SCAN)
    for start in range(0, len(mem.data), _SCAN):
        part = bytes(mem.data[start : start + _SCAN])
        if part == zeros[: len(part)]:
            continue
        for begin in range(0, len(part), CHUNK):
            chunk = part[begin : begin + CHUNK].rstrip(b"\0")
            if chunk:
                out.append([(start + begin) // CHUNK, base64.b64encode(chunk).decode("ascii")])
    return out


# -- from plain data


class StoreReader:
    """Fills an empty store.  ``room`` bounds the elements of all tables together."""

    def __init__(
        self, store: Store, names: TypeNames, objects: ObjectReader, modules: Sequence[tuple[Module, Any]],
        hosts: Mapping[str, Host], externs: Mapping[str, Any], room: int,
    ) -> None:  # fmt: skip
        self.store = store
        self.names = names
        self.objects = objects
        self.modules = modules
        self.hosts = hosts
        self.externs = externs
        self.room = room
        self.filled = 0  # of tables and globals
        self.expected: tuple[int, int] = (0, 0)  # the function that the next one of a module must be

    def read(self, data: Any) -> None:
        """Make everything, and check it against the modules."""
        fields(data, "externs", "tags", "funcs", "tables", "mems", "globals", "instances", "objects")

        def part(name: str, check: Callable[[Any], Any]) -> None:
            at(f".{name}", lambda: each(items(data[name]), check))

        part("externs", self._extern)
        part("tags", self._tag)
        part("instances", self._instance)
        part("funcs", self._func)
        at(".funcs", self._check_all_funcs)
        part("mems", self._mem)
        self.objects.make(data["objects"])
        part("tables", self._table)
        part("globals", self._global)
        self.objects.fill()
        links = iter(self.store.instances)
        part("instances", lambda item: self._link(next(links), item))

    def _extern(self, data: Any) -> None:
        name = string(data)
        if name not in self.externs:
            raise SnapshotError(f"no external value is named {name[:40]!r}")
        self.store.alloc_extern(self.externs[name])

    def _tag(self, data: Any) -> None:
        self.store.alloc_tag(TagType(self.names.function(data)))

    def _instance(self, data: Any) -> None:
        fields(data, "module", "funcs", *_SPACES, "elems", "datas")
        module, context = self.modules[at(".module", whole, data["module"], 0, len(self.modules) - 1)]
        self.store.alloc_module(module, context).types = context.types

    def _func(self, data: Any) -> None:
        if type(data) is dict and "host" in data:
            self._host(fields(data, "host", "type"))
            return
        fields(data, "instance", "index")
        self._skip_empty()
        i, k = self.expected
        found = at(".instance", whole, data["instance"], 0, MAX_FUEL), at(".index", whole, data["index"], 0, MAX_FUEL)
        if found != (i, k) or i >= len(self.store.instances):
            raise SnapshotError(f"the next function is number {k} of instance {i}")
        instance = self.store.instances[i]
        code = instance.module.codes[k - instance.context.imported["func"]]
        self.store.alloc_func(instance.context.funcs[k], instance, k, code)
        self.expected = i, k + 1

    def _skip_empty(self) -> None:
        """Go on to the first function that an instance defines and that is not made yet."""
        i, k = self.expected
        while i < len(self.store.instances):
            context = self.store.instances[i].context
            k = max(k, context.imported["func"])
            if k < len(context.funcs):
                break
            i, k = i + 1, 0
        self.expected = i, k

    def _check_all_funcs(self) -> None:
        self._skip_empty()
        if self.expected[0] < len(self.store.instances):
            raise SnapshotError(f"function {self.expected[1]} of instance {self.expected[0]} is missing")

    def _host(self, data: Any) -> None:
        name = at(".host", string, data["host"])
        deftype = at(".type", self.names.function, data["type"])
        if name not in self.hosts:
            raise SnapshotError(f"no host function is named {name[:40]!r}").inside(".host")
        functype, call = self.hosts[name]
        if func_deftype(functype) is not deftype:
            raise SnapshotError(f"host function {name[:40]!r} has another type").inside(".type")
        self.store.alloc_host_func(functype, call)

    def _mem(self, data: Any) -> None:
        fields(data, "addr", "shared", "page_bits", "pages", "max", "data")
        t = at(".addr", addrtype, data["addr"])
        page_bits = at(".page_bits", whole, data["page_bits"], 0, _MAX_PAGE_BITS)
        limits = _limits(data, "pages", MemType(Limits(0), t, False, page_bits).max_pages)
        mem = self.store.alloc_mem(MemType(limits, t, at(".shared", boolean, data["shared"]), page_bits))
        last = -1

        def chunk(item: Any) -> None:
            nonlocal last
            if len(items(item)) != 2:
                raise SnapshotError("a chunk is a number and bytes")
            last = at("[0]", whole, item[0], last + 1, max(len(mem.data) - 1, 0) // CHUNK)
            found = at("[1]", _decoded, item[1])
            if last * CHUNK + len(found) > len(mem.data):
                raise SnapshotError("bytes beyond the end of the memory").inside("[1]")
            mem.data[last * CHUNK : last * CHUNK + len(found)] = found

        at(".data", lambda: each(items(data["data"]), chunk))

    def _table(self, data: Any) -> None:
        fields(data, "addr", "type", "max", "elems")
        t = at(".addr", addrtype, data["addr"])
        reftype = at(".type", self.names.reference, data["type"])
        config = self.store.config
        elems: list[Any] = []

        def run(item: Any) -> None:
            if len(items(item)) != 2:
                raise SnapshotError("a run is a number and a reference")
            n = at("[0]", whole, item[0], 1, config.max_table_elements - len(elems))
            self.room -= n
            if self.room < 0:
                raise SnapshotError("the tables are too large")
            elems.extend([at("[1]", self.objects.value, item[1], reftype)] * n)

        at(".elems", lambda: each(items(data["elems"]), run))
        most = (1 << t.bits) - 1
        max_ = None if data["max"] is None else at(".max", whole, data["max"], len(elems), most)
        table = self.store.alloc_table(TableType(reftype, Limits(0, max_), t))
        table.elems += elems
        table.type = TableType(reftype, Limits(len(elems), max_), t)

    def _global(self, data: Any) -> None:
        fields(data, "mutable", "type", "value")
        t = GlobalType(at(".mutable", boolean, data["mutable"]), at(".type", self.names.value_type, data["type"]))
        self.store.alloc_global(t, at(".value", self.objects.value, data["value"], t.valtype))

    def _link(self, instance: ModuleInst, data: Any) -> None:
        """Fill the index spaces of an instance."""
        context, module = instance.context, instance.module
        imported = context.imported["func"]
        types = [t if x in context.inexact else exact(t) for x, t in enumerate(context.funcs[:imported])]
        instance.funcs = at(".funcs", _found, data["funcs"], self.store.funcs, types)
        own = (f for f in self.store.funcs if isinstance(f, FuncInst) and f.module is instance)
        instance.funcs += own
        for space, kind in zip(_SPACES, ("table", "mem", "global", "tag"), strict=True):
            wanted = getattr(context, space)
            found: list[Any] = at(f".{space}", _found, data[space], getattr(self.store, space), wanted)
            for x in range(context.imported[kind], len(wanted)):
                if not _is_own(found[x].type, wanted[x]):
                    raise SnapshotError("not what the module defines").inside(f".{space}[{x}]")
            setattr(instance, space, found)
        at(".elems", self._elems, instance, data["elems"])
        at(".datas", self._datas, instance, data["datas"])
        spaces: dict[str, list[Any]] = {
            "func": instance.funcs, "table": instance.tables, "mem": instance.mems, "global": instance.globals,
            "tag": instance.tags,
        }  # fmt: skip
        for export in module.exports:
            instance.exports[export.name] = spaces[export.kind][export.index]

    def _elems(self, instance: ModuleInst, data: Any) -> None:
        segments = zip(instance.module.elems, instance.context.elems, strict=True)
        if len(items(data)) != len(instance.module.elems):
            raise SnapshotError(f"{len(data)} segments where there are {len(instance.module.elems)}")

        def segment(item: Any) -> None:
            elem, reftype = next(segments)
            refs = each(items(item), lambda r: self.objects.value(r, reftype))
            if refs and len(refs) != len(elem.init):
                raise SnapshotError(f"{len(refs)} references of {len(elem.init)}")
            instance.elems.append(self.store.alloc_elem(reftype, tuple(refs)))

        each(data, segment)

    def _datas(self, instance: ModuleInst, data: Any) -> None:
        if len(items(data)) != len(instance.module.datas):
            raise SnapshotError(f"{len(data)} segments where there are {len(instance.module.datas)}")
        for kept, segment in zip(each(data, boolean), instance.module.datas, strict=True):
            instance.datas.append(self.store.alloc_data(segment.init if kept else b""))


def _limits(data: dict[str, Any], name: str, most: int) -> Limits:
    n = at(f".{name}", whole, data[name], 0, most)
    return Limits(n, None if data["max"] is None else at(".max", whole, data["max"], n, MAX_FUEL))


def _decoded(data: Any) -> bytes:
    """Return the bytes of a chunk, which end with one that is not zero."""
    try:
        found = base64.b64decode(string(data), validate=True)
    except (binascii.Error, ValueError):
        raise SnapshotError("expected base64") from None
    if not 0 < len(found) <= CHUNK or not found[-1]:
        raise SnapshotError(f"expected 1 to {CHUNK} bytes, the last not zero")
    return found


def _found(data: Any, known: Sequence[ExternVal], types: Sequence[ExternType]) -> list[Any]:
    """Return what addresses mean; each must be of the type of its place."""
    if len(items(data)) != len(types):
        raise SnapshotError(f"{len(data)} addresses where there are {len(types)}")
    wanted: Iterator[Any] = iter(types)

    def one(item: Any) -> ExternVal:
        externval, t = known[whole(item, 0, len(known) - 1)], next(wanted)
        if not matches_extern(externval.type, t):
            raise SnapshotError(f"{externval.type} is not {t}")
        return externval

    return each(data, one)


def _is_own(found: Any, declared: Any) -> bool:
    """Tell whether something that fits a declaration can be what was made for it: it can only have grown."""
    if isinstance(declared, (MemType, TableType)):
        return bool(found.limits.max == declared.limits.max)
    return bool(found == declared)
