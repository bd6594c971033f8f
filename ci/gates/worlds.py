"""Generated programs played call by call, pausing wherever they can: what the gate of snapshots saves and restores.

A *scene* is a generated module with the calls of its plan, a fuel model, an interval and a budget.  A *player* plays
it, instantiation and calls, with hosts that record, answer, write to memory, throw and fail; a failure is answered and
what it stopped goes on.  Everything that happens is in ``log``, so two plays are the same if their logs and last
snapshots are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from engine import decode, encode, instantiate_resumable, resolve, validate
from engine.errors import Trap, UncaughtException, WasmError
from engine.execution.fuel_models import MODELS
from engine.features import EXECUTED
from engine.instructions import TABLE
from engine.module import Active, In, Passive
from engine.resume import Finished, HostTrap, OutOfFuel, Suspended, call_resumable
from engine.runtime.fits import fits
from engine.runtime.instance import ModuleInst
from engine.runtime.store import Config, Store
from engine.snapshot import Host, dumps, loads, restore, save
from engine.types import EXTERN, FUNC, RefType
from engine.values import default, from_bits, to_bits
from generators.module import generate
from generators.profile import PRESETS, Profile
from generators.source import Source
from generators.values import choose_bits

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from engine.execution.fuel import FuelModel
    from engine.module import Expr, Module
    from engine.runtime.instance import Caller
    from engine.types import ValType
    from oracles.plan import Step

__all__ = ["Player", "Scene", "scene"]

EXTERNS = 3
MAX_PAUSES = 400  # of one play
_PROFILES = [PRESETS["standard"], PRESETS["small"], Profile(
    name="objects", heap_percent=100, tag_percent=100, present_percent=60, hosts=(1, 3), functions=(3, 6), work=30,
)]  # fmt: skip
_MODELS: list[FuelModel] = sorted(MODELS.values(), key=str)


@dataclass(frozen=True)
class Scene:
    """A generated module, its plan's steps, and how fuel is given."""

    index: int
    wasm: bytes
    steps: tuple[Step, ...]
    model: FuelModel
    interval: int
    budget: int

    @property
    def config(self) -> Config:
        return Config(
            max_memory_pages=16, max_table_elements=1000, max_depth=300, max_heap_bytes=1 << 20, fuel_model=self.model
        )


@cache
def scene(seed: int, index: int) -> Scene:
    """Return the scene that the choices of seed and index describe."""
    source = Source.fresh("snapshots", seed, index)
    generated = generate(source, _PROFILES[index % len(_PROFILES)])
    interval = 1 if source.chance(40) else source.between(2, 200)
    budget = source.between(5, 400) if source.chance(40) else 1 << 30
    wasm = disguised(generated.wasm) if source.chance(50) else generated.wasm
    return Scene(index, wasm, generated.plan.steps, source.choose(_MODELS), interval, budget)


def disguised(wasm: bytes) -> bytes:
    """Return a module whose data segments have computed places: then a startup function copies and checks them all."""
    module = decode(wasm, EXECUTED)
    datas = [replace(data, mode=_unknown(data.mode)) for data in module.datas]
    return encode(replace(module, datas=type(module.datas)(datas)))


def _unknown(mode: Active | Passive) -> Active | Passive:
    """Return the mode of a segment with a place that has to be computed."""
    if isinstance(mode, Passive) or mode.offset[0].row.name not in ("i32.const", "i64.const"):
        return mode
    return replace(mode, offset=_computed(mode.offset))


def _computed(expr: Expr) -> Expr:
    """Return a literal as a sum."""
    literal, end = expr
    add = TABLE.by_name[literal.row.name.replace("const", "add")]
    return (In(literal.row, (0,), -1), literal, In(add, (), -1), end)


@cache
def module_of(wasm: bytes) -> Module:
    """Return the valid module of these bytes."""
    module = decode(wasm, EXECUTED)
    validate(module, EXECUTED)
    return module


class HostFailure(Exception):
    """What a host function of a player raises for its call to be suspended."""


class Player:
    """Plays a scene.  ``log`` tells all that happened, ``at`` is the step to come, ``call`` what stands still.

    ``instance`` is None until the instantiation is over.
    """

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.module = module_of(scene.wasm)
        self.log: list[str] = []
        self.told = 0
        self.extra = scene.budget  # beyond what a call that is out of fuel requires
        self.pauses = 0
        self.at = 0
        self.call: Suspended | None = None
        self.store: Store
        self.instance: ModuleInst | None = None

    def begin(self) -> bool:
        """Begin to instantiate, and tell whether there is anything to play."""
        self.store = store = Store(self.scene.config)
        for n in range(EXTERNS):
            store.alloc_extern(f"e{n}")
        hosts = self.hosts()
        imports = resolve(self.module, lambda _, name: store.alloc_host_func(*hosts[name]))
        store.set_fuel(self.scene.budget)
        store.set_fuel_interval(self.scene.interval)
        self._settle(lambda: instantiate_resumable(store, self.module, imports))
        return self.call is not None or self.instance is not None

    # -- the host

    def hosts(self) -> dict[str, Host]:
        """Return the host functions by name."""
        functypes = {i.name: self.context.functype(i.desc.typeidx) for i in self.module.imports}  # type: ignore[union-attr]

        def host(name: str) -> Host:
            return Host(functypes[name], lambda caller, args: self.answer(name, caller, args))

        return {name: host(name) for name in functypes}

    @property
    def context(self) -> Any:
        return self.module.context

    def answer(self, name: str, caller: Caller, args: Sequence[Any]) -> list[Any]:
        """Return what a host function does: it depends on how many calls of the host there were."""
        functype = self.hosts()[name].functype
        self.told += 1
        self.log.append(f"{name} {[show(v, t) for v, t in zip(args, functype.params, strict=True)]}")
        store, n = caller.store, self.told
        if n % 3 == 1:
            raise HostFailure(f"{name} {n}")
        if n % 7 == 5 and store.mems and len(store.mems[0].data) > n:
            store.mems[0].data[n] = n & 255
        if n % 3 == 0 and store.tags:
            tag: Any = store.tags[n % len(store.tags)]
            values = [_some(t, n) for t in tag.type.type.comp.params]
            if all(map(fits, values, tag.type.type.comp.params)):
                raise UncaughtException(tag, values)
        return [_some(t, n) for t in functype.results]

    # -- playing

    def play(self) -> Iterator[int]:
        """Play to the end; yield the number of each pause before going on from it."""
        while self.call is not None or (self.instance is not None and self.at < len(self.scene.steps)):
            if self.call is None:
                step = self.scene.steps[self.at]
                self.at += 1
                self._attempt(step)
            else:
                yield self.pauses + 1
                self.pauses += 1
                self.go_on()

    def _attempt(self, step: Step) -> None:
        if step.kind not in ("set", "call"):
            return
        assert self.instance is not None
        target: Any = self.instance.exports[step["export"]]
        if step.kind == "set":
            target.value = self._value(step["value"], target.type.valtype)
            return
        self.attempt(
            step["export"], [self._value(v, t) for v, t in zip(step["args"], target.functype.params, strict=True)]
        )

    def attempt(self, export: str, args: list[Any]) -> None:
        """Call an exported function if the arguments fit it."""
        assert self.instance is not None
        target: Any = self.instance.exports[export]
        if all(map(fits, args, target.functype.params)):
            self.log.append(f"call {export}")
            self._settle(lambda: call_resumable(self.store, target, *args))

    def go_on(self) -> None:
        """Answer what stands still, and let it go on."""
        call, store = self.call, self.store
        assert call is not None
        values: list[Any] = []
        if isinstance(call, HostTrap):
            values = [_some(t, self.told) for t in call.host_func.functype.results]
        elif isinstance(call, OutOfFuel):
            store.add_fuel(call.required_fuel + self.extra)
        if self.pauses == MAX_PAUSES:
            store.set_fuel_interval(None)
        self._settle(lambda: call.resume(store, *values))

    def _settle(self, action: Any) -> None:
        """Do it, and log how it ended."""
        self.call = None
        try:
            ended = action()
        except Trap as e:
            self.log.append(f"trap {e.kind.name} {e.where}")
        except UncaughtException as e:
            ts = e.tag.type.type.comp.params
            self.log.append(f"thrown {e.tag.addr} {[show(v, t) for v, t in zip(e.values, ts, strict=True)]}")
        except (WasmError, HostFailure) as e:
            self.log.append(f"{type(e).__name__} {e}")
        else:
            if isinstance(ended, Suspended):
                self.call = ended
                self.log.append(f"{type(ended).__name__} {len(ended.under_way.frames)}")
                if isinstance(ended, HostTrap):
                    self.log[-1] += f" {ended.host_func.addr}"
                if isinstance(ended, OutOfFuel):
                    self.log[-1] += f" {ended.required_fuel}"
            elif isinstance(ended, Finished):
                self.log.append(f"returned {len(ended.results)}")
                if self.instance is None and ended.results and isinstance(ended.results[0], ModuleInst):
                    self.instance = ended.results[0]
        self.log.append(f"fuel {self.store.fuel_left} of it {self.store.fuel_reserve}")

    def _value(self, value: Any, t: ValType) -> Any:
        """Return the value of a plan; of references, what there is of it here."""
        payload = value[1]
        if not isinstance(t, RefType):
            return from_bits(t, int(payload, 16))
        if payload is None or isinstance(payload, dict):
            return payload and payload["i31"]
        if fits(self.store.externs[0], t) and t.heap is EXTERN:
            return self.store.externs[payload % EXTERNS]
        assert self.instance is not None
        exported = [f for f in self.instance.exports.values() if f in self.store.funcs]
        return exported[payload % len(exported)]

    # -- saving

    def saved(self) -> dict[str, Any]:
        """Return where the play stands, for any process."""
        calls = {} if self.call is None else {"call": self.call}
        snapshot = save(self.store, self.names(), calls)
        return {
            "snapshot": dumps(snapshot),
            "log": self.log[:],
            "told": self.told,
            "pauses": self.pauses,
            "at": self.at,
            "ready": self.instance is not None,
        }

    def names(self) -> dict[Any, str]:
        """Return the names of what is the host's."""
        imported = zip(self.module.imports, self.store.funcs, strict=False)
        return {f: i.name for i, f in imported} | {e: e.value for e in self.store.externs}

    def end(self) -> tuple[list[str], str]:
        """Return the log and the last snapshot."""
        return self.log, dumps(save(self.store, self.names()))

    @classmethod
    def restored(cls, scene: Scene, saved: dict[str, Any]) -> Player:
        """Return the player that goes on with a play, or raise SnapshotError."""
        player = cls(scene)
        player.log, player.told, player.pauses, player.at = (saved[k] for k in ("log", "told", "pauses", "at"))
        player.log = player.log[:]
        externs = {f"e{n}": f"e{n}" for n in range(EXTERNS)}
        player.store, calls, _ = restore(
            loads(saved["snapshot"]), [player.module], player.hosts(), externs, scene.config
        )
        player.instance = player.store.instances[0] if saved["ready"] and player.store.instances else None
        player.call = calls.get("call")
        return player


def _some(t: ValType, n: int) -> Any:
    """Return a value that depends on a number."""
    if isinstance(t, RefType):
        return None if t.null else n if t.heap is not FUNC else None
    return from_bits(t, choose_bits(Source.fresh("host", n), t)) if n % 3 else default(t)


def show(v: Any, t: ValType) -> str:
    """Return a value without its identity."""
    if isinstance(t, RefType):
        return "null" if v is None else str(v) if isinstance(v, int) else type(v).__name__
    return f"{to_bits(t, v):x}"
