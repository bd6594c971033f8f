"""A whole store as plain data, and the way back in another process: nothing has happened in between.

:func:`save` gives versioned data of lists, objects, strings and integers, which :func:`dumps` writes as one canonical
text; :func:`restore` makes a store of it, given modules, functions of the host and external values, which a snapshot
only names.  Modules are known by the SHA-256 of their bytes.  What is saved: instances, memories, tables, globals,
tags, segments, the objects of the heap with their identity, fuel, limits, and suspended calls and instantiations.
``docs/snapshots.md`` has the format.

The data may be anybody's: every part of it is checked before it is used (:class:`SnapshotError`), so that a restored
store is one that some program of these modules could be in as far as types go.  That the program was ever there, it
cannot say: who signs snapshots is the host's to decide.

============== ===============================================================================
plain          checks of plain data, and errors with a path
text           the canonical text
naming         types                       values   numbers, references, objects of the heap
stores         what lives in a store       graphs   places in bodies      frames   suspended calls
instantiations those under way
============== ===============================================================================
"""

from __future__ import annotations

from dataclasses import fields as fields_of
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.binary import encode
from engine.errors import ExhaustionError, UnsupportedError
from engine.execution.build import build_of
from engine.execution.fuel_models import MODELS
from engine.execution.instantiate import Instantiation
from engine.features import EXECUTED
from engine.resume import HostTrap, OutOfFuel, Suspended, Yielded
from engine.runtime.store import MAX_FUEL, MAX_PART, Config, Store
from engine.snapshot.frames import CallReader, CallWriter, SavedError
from engine.snapshot.instantiations import InstantiationReader, is_instantiation, write_instantiation
from engine.snapshot.naming import TypeNames
from engine.snapshot.plain import SnapshotError, at, each, fields, items, named, shown, string, whole
from engine.snapshot.stores import Host, StoreReader, write_store
from engine.snapshot.text import dumps, loads
from engine.snapshot.values import ObjectReader, ObjectWriter
from engine.validation.context import Context

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from engine.execution.driver import Activation
    from engine.execution.fuel import FuelModel
    from engine.module import Module
    from engine.runtime.heap import ExternRef
    from engine.runtime.instance import HostFunc
    from engine.types import DefType

__all__ = [
    "FORMAT", "VERSION", "Host", "Restored", "SavedError", "SnapshotError", "digest_of", "dumps", "loads", "restore",
    "save",
]  # fmt: skip

FORMAT, VERSION = "wasm-store", 1
MAX_ITEMS = 1 << 25  # elements of all tables, and registers of all frames

_LIMITS = tuple(field.name for field in fields_of(Config) if field.name.startswith("max_"))
_LEAST_FUEL = -(1 << 80)  # what straight-line code may have overspent is far above


class Restored(NamedTuple):
    """A store, its suspended calls and the values that were saved with it, by name."""

    store: Store
    calls: dict[str, Suspended]
    values: dict[str, Any]


def digest_of(module: Module) -> str:
    """Return the SHA-256 of a module's bytes in hex digits; of the canonical ones for a module that was built."""
    return module.digest or sha256(encode(module)).hexdigest()


# -- saving


def save(
    store: Store,
    names: Mapping[HostFunc | ExternRef, str] | None = None,
    calls: Mapping[str, Suspended] | None = None,
    values: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return a store as plain data, with suspended calls and instantiations of it and references into it.

    ``names`` has those of its host functions and external values.  The store and the calls stay as they are.  Raises
    SnapshotError where something has no name, or a call from the host is under way.
    """
    known = names or {}

    def name_of(value: Any) -> str:
        if value not in known:
            raise SnapshotError(f"{value!r} has no name")
        return known[value]

    if store.activations:
        raise SnapshotError("a call from the host is under way")
    suspended = {name: call.under_way for name, call in sorted((calls or {}).items())}
    numbers: dict[int, int] = {}  # of modules, by identity; those with the same bytes have one
    digests: dict[str, int] = {}
    types: list[list[DefType]] = []
    for instance in store.instances:
        digest = digest_of(instance.module)
        if digest not in digests:
            digests[digest] = len(types)
            types.append(instance.types)
        numbers[id(instance.module)] = digests[digest]
    type_names = TypeNames(types)
    objects = ObjectWriter(store, type_names)
    room = store.heap_room
    try:
        parts = at(".store", write_store, store, objects, numbers, name_of)
        activations = (call.activation if isinstance(call, Instantiation) else call for call in suspended.values())
        writer = CallWriter(store, objects, [activation for activation in activations if activation is not None])

        def write(call: Activation | Instantiation) -> Any:
            if isinstance(call, Instantiation):
                return write_instantiation(store, call, writer.write)
            return writer.write(call)

        written = {name: at(f".calls[{name!r}]", write, call) for name, call in suspended.items()}
        kept = {name: at(f".values[{name!r}]", objects.reference, r) for name, r in sorted((values or {}).items())}
        parts["objects"] = at(".store", objects.drain)
    except (ExhaustionError, UnsupportedError) as e:
        raise SnapshotError(f"it cannot be written down: {e}") from None
    finally:
        store.heap_room = room  # what a pending operand makes is not the store's
    return {
        "format": FORMAT, "version": VERSION, "modules": [*digests], "calls": written, "values": kept, "store": parts,
        "limits": {name: getattr(store.config, name) for name in _LIMITS},
        "fuel": {
            "model": _name_of_model(build_of(store.config).fuel_model), "left": store.fuel_left,
            "reserve": store.fuel_reserve, "interval": store.fuel_interval,
        },
    }  # fmt: skip


def _name_of_model(model: FuelModel) -> str:
    if model not in MODELS.values():
        raise SnapshotError(f"fuel model {model} is not one of this engine's").inside(".fuel.model")
    return str(model)


# -- restoring


def restore(
    data: Any,
    modules: Iterable[Module],
    hosts: Mapping[str, Host] | None = None,
    externs: Mapping[str, Any] | None = None,
    config: Config | None = None,
    max_items: int = MAX_ITEMS,
) -> Restored:
    """Return the store that plain data describes, with its calls and values, or raise SnapshotError.

    ``modules`` are valid ones, more than needed do no harm; ``hosts`` and ``externs`` are what the names in the data
    mean.  The store gets the limits and the fuel model of the data, which may not be beyond those of ``config`` (the
    default ones if None), and everything else from ``config``.  ``max_items`` bounds what data of a few bytes may ask
    for: elements of all tables, registers of all frames and instructions of their functions.
    """
    try:
        return _restore(data, modules, hosts or {}, externs or {}, config or Config(), max_items)
    except (ExhaustionError, UnsupportedError) as e:
        raise SnapshotError(f"it does not fit: {e}") from None


def _restore(
    data: Any, modules: Iterable[Module], hosts: Mapping[str, Host], externs: Mapping[str, Any], config: Config,
    max_items: int,
) -> Restored:  # fmt: skip
    _check_version(data)
    fields(data, "format", "version", "modules", "limits", "fuel", "store", "calls", "values")
    found = at(".modules", _modules, data["modules"], modules)
    limits = at(".limits", _limits, data["limits"], config)
    model = at(".fuel.model", _model, data["fuel"], config)
    store = Store(replace(config, fuel_model=model, **limits))  # type: ignore[arg-type]  # each is an integer
    names = TypeNames([context.types for _, context in found])
    objects = ObjectReader(store, names, store.config.max_heap_bytes)
    at(".store", StoreReader(store, names, objects, found, hosts, externs, max_items).read, data["store"])
    store.heap_room = objects.room
    at(".fuel", _set_fuel, store, data["fuel"])
    reader = CallReader(store, objects, max_items)
    instantiations = InstantiationReader(store, reader)

    def read(item: Any) -> Suspended:
        return _handle(instantiations.read(item) if is_instantiation(item) else reader.read(item))

    calls = at(".calls", named, data["calls"], read)
    return Restored(store, calls, at(".values", named, data["values"], objects.reference))


def _check_version(data: Any) -> None:
    if type(data) is not dict or data.get("format") != FORMAT:
        raise SnapshotError("not a snapshot of a store")
    if data.get("version") != VERSION or type(data["version"]) is not int:
        raise SnapshotError(f"version {shown(data.get('version'))} is not {VERSION}").inside(".version")


def _modules(data: Any, modules: Iterable[Module]) -> list[tuple[Module, Any]]:
    known = {digest_of(module): module for module in modules}

    def find(item: Any) -> tuple[Module, Any]:
        module = known.get(string(item))
        if module is None:
            raise SnapshotError(f"no module with SHA-256 {shown(item)} is here")
        return module, module.context or Context.of_module(module, EXECUTED)

    if len(set(each(items(data), string))) != len(data):
        raise SnapshotError("a module is there twice")
    return each(data, find)


def _limits(data: Any, config: Config) -> dict[str, int]:
    """Return limits that are not beyond those of a configuration."""
    fields(data, *_LIMITS)
    return {name: at(f".{name}", whole, data[name], 0, getattr(config, name)) for name in _LIMITS}


def _model(data: Any, config: Config) -> FuelModel:
    name = fields(data, "model", "left", "reserve", "interval")["model"]
    for model in (build_of(config).fuel_model, *MODELS.values()):
        if str(model) == name:
            break
    else:
        raise SnapshotError(f"unknown fuel model {shown(name)}")
    if config.fuel_model is not None and model is not config.fuel_model:
        raise SnapshotError(f"fuel model {name} is not {config.fuel_model}")
    return model


def _set_fuel(store: Store, data: Any) -> None:
    left, interval = data["left"], data["interval"]
    store.fuel_left = None if left is None else at(".left", whole, left, _LEAST_FUEL, MAX_FUEL)
    store.fuel_interval = None if interval is None else at(".interval", whole, interval, 1, MAX_PART)
    store.fuel_reserve = at(".reserve", whole, data["reserve"], 0, MAX_FUEL)


def _handle(call: Activation | Instantiation) -> Suspended:
    """Return a handle on a suspended call or instantiation."""
    if call.failed is not None:
        return HostTrap(call, *call.failed)
    if call.required_fuel is not None:
        return OutOfFuel(call, call.required_fuel)
    return Yielded(call)
