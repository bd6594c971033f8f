"""Our own engine as an oracle: the one adapter that imports ``engine``.

An exception that is not one of the engine's own says that the engine is broken, so nothing here catches it: it ends the
worker and becomes ``Crashed``.  The variant ``plant=NAME`` runs a build with a planted bug out of ``PLANTS``,
``fuel=wasmtime-50`` counts by that model instead of by the instruction; ``plant=NAME+fuel=MODEL`` is both.  With
``restored`` among them stores are saved and restored all the time (``reference_restored.py``).
"""

from __future__ import annotations

import base64
import platform
from functools import partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from engine import errors
from engine.binary import decode, encode
from engine.errors import EngineBug, Resource, Trap, UncaughtException, WasmError
from engine.execution.fuel_models import MODELS, unit_model
from engine.execution.instantiate import resolve
from engine.features import COMPATIBLE, EXECUTED, FEATURES, MVP
from engine.runtime.instance import FuncInst, HostFunc
from engine.runtime.store import Config, Store
from engine.runtime.tag import TagInst
from engine.text.parser import parse
from engine.validation import validate
from oracles.adapter import (
    ACTIONS,
    ALL,
    Description,
    Numbering,
    RefusingSession,
    Session,
    Stop,
    Unavailable,
    blocked,
    refusal,
)
from oracles.adapters.reference_calls import placed
from oracles.adapters.reference_frames import FrameSession, shows_values
from oracles.adapters.reference_state import TYPES
from oracles.kept import Kept
from oracles.metered import UNMETERED
from oracles.outcome import Exhausted, Rejected, Returned, Threw, Trapped, Unsupported
from oracles.plan import HOST, STEP_KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from engine.execution.build import Build
    from engine.execution.fuel import FuelModel
    from engine.module import Module
    from engine.runtime.instance import ExternVal
    from engine.types import ValType
    from oracles.adapter import Answer
    from oracles.outcome import Outcome
    from oracles.plan import Plan, Step, Value

__all__ = [
    "FUEL_PLANTS", "PLANTS", "RESTORED", "RESTORE_PLANTS", "SESSION_PLANTS", "ReferenceAdapter", "ReferenceSession",
    "adapter", "outcome_of",
]  # fmt: skip

COUNT = unit_model(None)  # fuel spent is instructions executed
PLANTS: dict[str, Callable[[], Build]] = {}  # filled by importing PLANTED_BY, on the first use of a plant
FUEL_PLANTS: dict[str, Callable[[FuelModel], FuelModel]] = {}  # mistakes of counting, likewise
SESSION_PLANTS: dict[str, type[ReferenceSession]] = {}  # mistakes of resuming, likewise
RESTORE_PLANTS: dict[str, Callable[[dict[str, Any]], None]] = {}  # of restoring: what is done to a snapshot before
RESTORED = "restored"  # the part of a variant that says so
_KEPT: Kept[Module] = Kept()
PLANTED_BY = "harness.planted"  # by name only: oracles do not depend on the harness

_RESOURCES = {
    Resource.STACK: "stack", Resource.FUEL: "fuel", Resource.HEAP: "memory", Resource.TIME: "time",
}  # fmt: skip
_STAGES: tuple[tuple[type[WasmError], str], ...] = (
    (errors.MalformedError, "malformed"), (errors.InvalidError, "invalid"), (errors.LinkError, "unlinkable"),
)  # fmt: skip


def outcome_of(error: WasmError, values: Callable[[UncaughtException], Threw]) -> Outcome:
    """Return what an engine error is on the wire; ``values`` shows the payload of an exception."""
    if isinstance(error, Trap):
        return Trapped(error.kind.value, placed(error.where), str(error))
    if isinstance(error, errors.ExhaustionError):
        return Exhausted(_RESOURCES[error.resource], str(error))
    if isinstance(error, errors.UnsupportedError):
        return Unsupported(f"feature {error.feature}")
    if isinstance(error, UncaughtException):
        return values(error)
    for cls, stage in _STAGES:
        if isinstance(error, cls):
            return Rejected(stage, str(error))
    raise error


def _payload(tag: Any) -> Sequence[ValType]:
    """Return the types of the values that exceptions of a tag carry."""
    types: Sequence[ValType] = tag.type.type.comp.params
    return types


class ReferenceSession(FrameSession):
    """One store; modules are decoded and validated once."""

    actions = ACTIONS

    def __init__(self, plan: Plan, build: Build | None, fuel_model: FuelModel) -> None:
        limits = plan.limits
        pages, elements = limits.memory_pages, limits.table_elements
        config = Config(
            max_memory_pages=pages, max_table_elements=elements, max_depth=limits.depth, build=build,
            fuel_model=fuel_model, checks=True, guest_debug=shows_values(plan),
        )  # fmt: skip
        super().__init__(plan, Store(config))
        self.metered = True
        self.set_fuel(UNMETERED)
        everything = not plan.features or ALL in plan.features
        named = frozenset({MVP, *(FEATURES[f] for f in plan.features if f != ALL)})
        self.features = COMPATIBLE | named if everything else named
        self.text_features = EXECUTED if everything else named
        self.modules: dict[bytes, Module] = {}
        self.tags = Numbering()
        self.thrown: UncaughtException | None = None  # what the latest call to end with an exception threw
        self.before = 0  # the fuel that there was when the step began

    def dispatch(self, step: Step) -> Answer:
        """Answer a step; what calls and instantiations spent is ``executed`` in the data: by default, instructions."""
        if self.nesting or step.kind not in ("call", "instantiate"):
            return self._dispatch(step)
        if self.rest is None:
            self.before = self.store.fuel_left or 0
        outcome, data = self._dispatch(step)
        return outcome, {**(data or {}), "executed": self.before - (self.store.fuel_left or 0)}

    def _dispatch(self, step: Step) -> Answer:
        try:
            return super().dispatch(step)
        except WasmError as e:
            return outcome_of(e, self._threw), None
        except (IndexError, TypeError, ValueError) as e:  # a host function around us would take it for its own
            raise EngineBug(f"{type(e).__name__} in step {step.kind}: {e}") from e

    def _threw(self, e: UncaughtException) -> Threw:
        self.thrown = e if self.nesting else None
        return Threw(self.tags.number(e.tag, e.tag), tuple(map(self.show, _payload(e.tag), e.values)))

    # modules and instances

    def module(self, wasm: bytes) -> Module:
        """Return the valid module with these bytes, or raise the engine's error."""
        module = self.modules.get(wasm)
        if module is None:
            module = _KEPT.get(self.features, wasm, self.plan, partial(self._new_module, wasm))
            self.modules[wasm] = module
        return module

    def _new_module(self, wasm: bytes) -> Module:
        module = decode(wasm, self.features)
        validate(module, self.features)
        return module

    def step_assemble(self, step: Step) -> Answer:
        text = self.plan.texts.get(step["text"])
        if text is None:
            raise blocked(f"text {step['text']}")
        self.binaries.pop(step["module"], None)
        try:
            wasm = encode(parse(text, self.text_features))
        except errors.MalformedError as e:
            return Rejected("text", e.message), None
        self.binaries[step["module"]] = wasm
        return Returned(), {"wasm": base64.b64encode(wasm).decode()} if step.get("want") else None

    def step_validate(self, step: Step) -> Answer:
        self.module(self.binary(step["module"]))
        return Returned(), None

    def step_instantiate(self, step: Step) -> Answer:
        self.instances.pop(step["instance"], None)
        module = self.module(self.binary(step["module"]))
        imports = resolve(module, lambda space, name: self._provided(self.providers(step, space), name))
        instance = self.instantiated(module, imports)
        for externval in instance.exports.values():
            if isinstance(externval, (FuncInst, HostFunc)):
                self.functions.number(externval, externval)
            elif isinstance(externval, TagInst):
                self.tags.number(externval, externval)
        self.instances[step["instance"]] = instance
        return Returned(), None

    def _provided(self, providers: Iterable[str], name: str) -> ExternVal | None:
        for provider in providers:
            if provider != HOST:
                externval = self.instances[provider].exports.get(name)
                if externval is not None:
                    return externval
            elif name in self.plan.hosts:
                return self.host_function(name)
        return None

    # exceptions

    def throw(self, instance: str, export: str, args: Sequence[Value]) -> None:
        tag = self.instance(instance).exports.get(export)
        if isinstance(tag, TagInst):
            try:
                values = self.values(args, _payload(tag))
            except Stop:
                return  # ill-typed: no effect
            raise UncaughtException(tag, values)

    def propagate(self, outcome: Outcome) -> None:
        if self.thrown is not None and isinstance(outcome, Threw):
            raise self.thrown
        super().propagate(outcome)


class ReferenceAdapter:
    """The reference engine with one build and one way to count; ``restores`` says that its stores are restored."""

    restores = False

    def __init__(self, variant: str = "") -> None:
        """Take the default build, or what ``plant=NAME`` and ``fuel=MODEL`` say, joined by ``+``.

        Raises Unavailable for any other variant.
        """
        self.build: Build | None = None
        self.fuel_model = COUNT
        self.session = ReferenceSession
        self.wrong_restore: Callable[[dict[str, Any]], None] | None = None
        recount = None
        for part in variant.split("+") if variant else ():
            kind, _, name = part.partition("=")
            if kind == "fuel":
                self.fuel_model = _fuel_model(name)
            elif kind in ("plant", "bug"):
                _find_plant(name)
                self.build = PLANTS[name]() if name in PLANTS else None
                self.session = SESSION_PLANTS.get(name, ReferenceSession)
                recount = FUEL_PLANTS.get(name)
                self.wrong_restore = RESTORE_PLANTS.get(name)
                if self.wrong_restore is not None and not self.restores:
                    raise Unavailable(f"{name!r} is a mistake of restoring: reference:{RESTORED}+plant={name}")
            elif part != RESTORED or not self.restores:
                raise Unavailable(f"the reference engine has no variant {variant!r}")
        if recount is not None:
            self.fuel_model = recount(self.fuel_model)
        self._description = Description(
            name="reference",
            version=_release(),
            variant=variant,
            features=tuple(sorted(f.name for f in EXECUTED)),
            steps=tuple(STEP_KINDS),
            actions=ReferenceSession.actions,
            text=True,
            types=tuple(TYPES),
            nan=("engine", "module", "none"),
            fuel=True,
            can=(*Description.can, "frames"),
            fuel_model=str(self.fuel_model),
            python=platform.python_version(),
        )

    def describe(self) -> Description:
        return self._description

    def open(self, plan: Plan) -> Session:
        lacking = refusal(plan, self._description)
        if lacking is not None:
            return RefusingSession(plan, lacking)
        return self.session(plan, self.build, self.fuel_model)


def _release() -> str:
    """Return the version of the installed distribution: of a checkout that is not installed, nothing is known."""
    try:
        return version("wasm-wfuzz")
    except PackageNotFoundError:
        return "0"


def _fuel_model(name: str) -> FuelModel:
    """Return the model of a name such as ``unit`` or ``wasmtime-50-winch``."""
    names = {"-".join(filter(None, (of, str(at or ""), variant))): m for (of, at, variant), m in MODELS.items()}
    if name not in names:
        raise Unavailable(f"no fuel model {name!r}; known: {', '.join(sorted(names))}")
    return names[name]


def _find_plant(name: str) -> None:
    """Make sure that a mistake of this name is known, or raise Unavailable."""

    def known() -> set[str]:
        return {*PLANTS, *FUEL_PLANTS, *SESSION_PLANTS, *RESTORE_PLANTS}

    if name not in known():
        try:
            import_module(PLANTED_BY)
        except ModuleNotFoundError as e:
            raise Unavailable(f"planted bugs are not installed: {e}") from e
    if name not in known():
        raise Unavailable(f"no planted bug {name!r}; known: {', '.join(sorted(known()))}")


def adapter(variant: str) -> ReferenceAdapter:
    """Return the adapter of ``reference`` or ``reference:VARIANT``."""
    if RESTORED in variant.split("+"):
        from oracles.adapters.reference_restored import RestoredAdapter

        return RestoredAdapter(variant)
    return ReferenceAdapter(variant)
