"""Instantiations under way as plain data, and back: the instance, how far its startup came, the start function.

``check`` is how many checks of fuel the startup function has come to, None where it is done or there is none; then
``required`` is what it lacks at the last of them, or None where it has passed it.  ``lengths`` are those of the bulk
operators in its constant expressions: all that it needs to know of what was done before.  ``call`` is the activation of
the start function, once there is one.  The instance itself is in the store like any other.

What comes back needs a module that has a startup function by the fuel model, a check that there is, a start function
that is called, frames that return nothing.  One instance is under way once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.execution.build import build_of
from engine.execution.instantiate import Instantiation
from engine.execution.meter import Meter
from engine.runtime.instance import FuncInst
from engine.snapshot.plain import SnapshotError, at, each, fields, items, whole

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.execution.driver import Activation
    from engine.module import Module
    from engine.runtime.instance import ModuleInst
    from engine.runtime.store import Store
    from engine.snapshot.frames import CallReader

__all__ = ["InstantiationReader", "is_instantiation", "write_instantiation"]

_MAX_LENGTH = (1 << 32) - 1
_MAX_FUEL = 1 << 80


def write_instantiation(store: Store, going: Instantiation, call: Callable[[Activation], Any]) -> Any:
    """Return an instantiation as plain data; ``call`` writes the activation of its start function."""
    number = next((n for n, i in enumerate(store.instances) if i is going.instance), None)
    if number is None:
        raise SnapshotError("an instantiation in another store")
    meter = going.meter
    return {
        "instance": number,
        "check": None if meter is None else meter.check,
        "required": None if meter is None else meter.required_fuel,
        "lengths": [] if meter is None else [*meter.lengths],
        "call": None if going.activation is None else at(".call", call, going.activation),
    }


def is_instantiation(data: Any) -> bool:
    """Tell whether data that should be a suspended call wants to be an instantiation."""
    return type(data) is dict and "instance" in data


class InstantiationReader:
    """Makes instantiations; ``calls`` makes their activations, and bounds the work."""

    def __init__(self, store: Store, calls: CallReader) -> None:
        self.store = store
        self.calls = calls
        self.seen: set[int] = set()  # numbers of instances

    def read(self, data: Any) -> Instantiation:
        """Return an instantiation under way."""
        fields(data, "instance", "check", "required", "lengths", "call")
        instance = self.store.instances[at(".instance", self._number, data["instance"])]
        if data["check"] is not None:
            if data["call"] is not None:
                raise SnapshotError("the start function is not called yet").inside(".call")
            return Instantiation.standing(instance, self._meter(instance, data), None)
        if data["required"] is not None:
            raise SnapshotError("no fuel is wanted there").inside(".required")
        if at(".lengths", items, data["lengths"]):
            raise SnapshotError("no length is wanted there").inside(".lengths")
        call = None if data["call"] is None else at(".call", self._call, instance, data["call"])
        return Instantiation.standing(instance, None, call)

    def _number(self, data: Any) -> int:
        number = whole(data, 0, len(self.store.instances) - 1)
        if number in self.seen:
            raise SnapshotError("this instance is under way already")
        self.seen.add(number)
        return number

    def _meter(self, instance: ModuleInst, data: Any) -> Meter:
        """Return the startup function of an instance as it stands."""
        self.calls.take(_size(instance.module))
        charges = build_of(self.store.config).fuel_model.startup
        startup = None if charges is None else charges(instance.module, instance.context)
        if startup is None:
            raise SnapshotError("there is no startup function").inside(".check")
        wanted = sum(ins.row.bulk is not None for expr in startup.expressions() for ins in expr)
        meter = Meter(instance, startup, at(".lengths", _lengths, data["lengths"], wanted), True)
        check = at(".check", whole, data["check"], 0, meter.checks)
        required = data["required"]
        if required is not None:
            at(".required", whole, required, 1, _MAX_FUEL)
            if not check:
                raise SnapshotError("nothing is checked yet").inside(".required")
        meter.stand(check, required)
        return meter

    def _call(self, instance: ModuleInst, data: Any) -> Activation:
        """Return the activation of a start function; after tail calls it may be in any other."""
        start = instance.module.start
        if start is None or type(instance.funcs[start]) is not FuncInst:
            raise SnapshotError("the module has no start function of its own to call")
        call = self.calls.read(data, ())
        if not call.resumable:
            raise SnapshotError("an instantiation can pause").inside(".resumable")
        return call


def _lengths(data: Any, wanted: int) -> list[int]:
    if len(items(data)) != wanted:
        raise SnapshotError(f"{len(data)} lengths where there are {wanted}")
    return each(data, lambda item: whole(item, 0, _MAX_LENGTH))


def _size(module: Module) -> int:
    """Return how much there is in a module that its startup function may be about."""
    inits = [global_.init for global_ in module.globals] + [table.init for table in module.tables if table.init]
    exprs = [expr for elem in module.elems for expr in elem.init]
    return sum(map(len, inits)) + sum(map(len, exprs)) + len(module.elems) + len(module.datas)
