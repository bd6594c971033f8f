"""Generated modules run straight and in pieces: what came of each call, what it cost, and the state it left.

A *driver* makes one call of an exported function, however often that stops on the way.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from engine import (
    Config,
    Finished,
    HostTrap,
    OutOfFuel,
    Store,
    WasmError,
    call_resumable,
    decode,
    instantiate,
    invoke,
    validate,
)
from engine.errors import Trap
from engine.runtime.instance import FuncInst, HostFunc
from engine.types import RefType
from engine.values import from_bits, to_bits
from generators.module import generate
from generators.profile import PRESETS
from generators.source import Source

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from engine.execution.fuel import FuelModel
    from engine.runtime.instance import ModuleInst

__all__ = ["Call", "Played", "Stop", "play", "sliced", "straight", "topped_up"]

PLENTY = 1 << 40
LARGE = 500  # fuel that is not wanted bit by bit: some models charge for growth that is refused


class Stop(Exception):
    """What a host function raises to be resumed with ``values``, its results if it had not raised."""

    def __init__(self, values: list[Any]) -> None:
        self.values = values


@dataclass
class Call:
    """One call under way: what it may draw on, the fuel ``given`` to it, and how often it stopped."""

    store: Store
    func: FuncInst
    args: list[Any]
    rng: random.Random
    given: int = 0
    stops: int = 0

    def give(self, fuel: int) -> None:
        self.store.add_fuel(fuel)
        self.given += fuel

    @property
    def spent(self) -> int:
        return self.given - (self.store.fuel_left or 0)


@dataclass
class Played:
    """``calls`` has, per call, its name, outcome, whether it trapped, fuel, and state; ``hosts`` what the host saw."""

    calls: list[tuple[str, Any, bool, int, Any]] = field(default_factory=list)
    hosts: list[tuple[Any, int, Any]] = field(default_factory=list)
    stops: int = 0


# -- drivers


def straight(call: Call) -> Sequence[Any]:
    """Call in the ordinary way."""
    call.give(PLENTY)
    return invoke(call.store, call.func, call.args)


def sliced(call: Call) -> Sequence[Any]:
    """Pause at intervals of any length."""
    call.give(PLENTY)
    return _drive(call, lambda: call.store.set_fuel_interval(call.rng.choice((1, 1, 2, 7, 50))))


def topped_up(call: Call) -> Sequence[Any]:
    """Start with no fuel and add a little, often less than is wanted."""
    return _drive(call, lambda: call.give(call.rng.randrange(1, 30)))


def _drive(call: Call, prepare: Callable[[], None]) -> Sequence[Any]:
    prepare()
    try:
        out = call_resumable(call.store, call.func, *call.args)
        while not isinstance(out, Finished):
            call.stops += 1
            values: list[Any] = []
            if isinstance(out, HostTrap):
                error = out.host_error
                if not isinstance(error, Stop):
                    raise out.into_error()
                values = error.values
            elif isinstance(out, OutOfFuel):
                assert out.required_fuel > 0
                if out.required_fuel > LARGE:
                    call.give(out.required_fuel - LARGE)
            prepare()
            out = out.resume(call.store, *values)
    except Stop as stop:  # the outermost frame was replaced by a call of the host, whose results are those of all
        return stop.values
    return out.results


# -- playing


def _bits(v: Any, t: Any) -> Any:
    """Return what can be compared between stores."""
    if not isinstance(t, RefType):
        return to_bits(t, v)
    if isinstance(v, FuncInst | HostFunc):
        return "func", v.addr
    return v if v is None or isinstance(v, int) else type(v).__name__


def _state(instance: ModuleInst | None) -> Any:
    """Return all that calls may change."""
    if instance is None:
        return None
    return (
        tuple((len(m.data), hash(bytes(m.data))) for m in instance.mems),
        tuple(_bits(g.value, g.type.valtype) for g in instance.globals),
        tuple(tuple(_bits(r, t.type.reftype) for r in t.elems) for t in instance.tables),
        tuple(len(e.elems) for e in instance.elems),
        tuple(len(d.data) for d in instance.datas),
    )


def _choose(rng: random.Random, t: Any) -> Any:
    if isinstance(t, RefType):
        return None
    return from_bits(t, rng.getrandbits(t.bits) if rng.random() < 0.5 else rng.randrange(5))


def play(seed: int, model: FuelModel, driver: Callable[[Call], Sequence[Any]], stops: float = 0) -> Played:
    """Run a generated module under a driver, host functions raising Stop with probability ``stops``.

    What is called, with which arguments, and what the host answers depends on the seed alone.
    """
    played = Played()
    module = decode(generate(Source.fresh("stops", seed), PRESETS["standard"]).wasm)
    validate(module)
    context: Any = module.context
    store = Store(Config(fuel_model=model, checks=True))
    rng, when = random.Random(seed), random.Random(seed + 1)
    instance: ModuleInst | None = None
    call = Call(store, None, [], rng)  # type: ignore[arg-type]  # the start function's

    def host(functype: Any) -> HostFunc:
        def answer(caller: Any, args: tuple[Any, ...]) -> list[Any]:
            played.hosts.append((tuple(map(_bits, args, functype.params)), call.spent, _state(instance)))
            results = [_choose(rng, t) for t in functype.results]
            if instance is not None and when.random() < stops:
                raise Stop(results)
            return results

        return store.alloc_host_func(functype, answer)

    imports = [host(context.functype(imported.desc.typeidx)) for imported in module.imports]  # type: ignore[union-attr]
    try:
        instance = instantiate(store, module, imports)
    except WasmError:
        return played
    for name, func in instance.exports.items():
        if not isinstance(func, FuncInst) or any(isinstance(t, RefType) and not t.null for t in func.functype.params):
            continue
        for _ in range(2):
            store.set_fuel_interval(None)
            store.set_fuel(0)
            args = [_choose(rng, t) for t in func.functype.params]
            call = Call(store, func, args, random.Random(seed))
            trapped, outcome = False, None
            try:
                outcome = tuple(map(_bits, driver(call), func.functype.results))
            except WasmError as error:
                trapped = isinstance(error, Trap)
                outcome = type(error).__name__, str(error)
            played.stops += call.stops
            played.calls.append((name, outcome, trapped, call.spent, _state(instance)))
    return played
