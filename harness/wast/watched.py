"""From the schedule of a script to plans that two engines run in lock step: what runs is as before, more is seen.

Between the script's own steps come others.  ``set_fuel`` before each action and instantiation, so that one wrong figure
is one finding and not all that follow; ``observe`` after it, of those instances whose state it can reach.  Modules are
instantiated with all their state exported (``harness.wast.visible``), and the functions of ``spectest`` are host
functions that record their calls, so that state and host trace mean something in scripts that export next to nothing.

Which instances can an action reach?  Functions, memories, tables and globals pass from one instance to another by
imports alone, so the instances that imports connect, in either direction, are one *group*, and no step on one group
changes another.  Numbers in immutable globals and tags carry nothing, so they connect nothing.  The last step observes
everything: what a group is too small for shows there.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from engine.module import FuncImport
from engine.types import GlobalType, RefType, TagType
from harness.wast.spectest import HOSTS
from harness.wast.visible import decoded, with_state_exported
from oracles.plan import HOST, Plan, Step

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Set

    from engine.module import Import, Module
    from harness.wast.schedule import Schedule
    from harness.wast.script import Command

__all__ = ["FUEL", "INTERVALS", "Watched", "watched"]

FUEL = 10**12  # for one action, more than any can spend
INTERVALS = (1, 1, 1, 1, 1, 1, 1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 1000, 10_000, 1_000_000)
PAUSES = len(INTERVALS)  # shown of one action
MAX_PACK = 8  # instances of a part
MAX_SLOTS = 4096  # of the tables of an instance that is observed after each action, and not at the end alone


@dataclass(frozen=True, slots=True)
class Watched:
    """A plan, and of each step its command and its group.

    ``commands`` has None for the steps of ``spectest`` and for the last one; ``groups`` has the instances that the step
    can reach, ``providers`` those that an instance imports anything from.  ``decides`` counts the commands that a step
    of the script itself decides about.
    """

    plan: Plan
    commands: tuple[Command | None, ...]
    groups: tuple[frozenset[str], ...]
    decides: Mapping[int, int]
    providers: Mapping[str, set[str]]

    def sliced(self) -> Watched:
        """Return the same in slices: one step more before all others, and host functions that suspend once."""
        first = Step("yield_schedule", {"intervals": list(INTERVALS), "pauses": PAUSES})
        hosts = {name: replace(host, actions=(*host.actions, ("suspend", 1))) for name, host in self.plan.hosts.items()}
        plan = replace(self.plan, steps=(first, *self.plan.steps), hosts=hosts)
        decides = {i + 1: n for i, n in self.decides.items()}
        return Watched(plan, (None, *self.commands), (frozenset(), *self.groups), decides, self.providers)

    def parts(self) -> list[tuple[Watched, tuple[int, ...]]]:
        """Return the plan as several, each with the numbers that its steps have here.

        A pause shows the state of all instances there are, most of which may have nothing to do with what runs.  So
        groups are put together to a few instances only.  Steps of no group are in the first part, but for the last,
        which is in all.  An instance of another part that is there to be linked with is in no group.
        """
        last = len(self.plan.steps) - 1
        found = []
        for n, pack in enumerate(_packs(self.groups)):
            needed = self._needed(pack)
            kept = tuple(
                i
                for i, (step, group) in enumerate(zip(self.plan.steps, self.groups, strict=True))
                if group & pack
                or (step.kind == "instantiate" and step["instance"] in needed)
                or (not group and (n == 0 or (i == last and step.kind == "observe")))
            )
            commands = tuple(self.commands[i] for i in kept)
            groups = tuple(self.groups[i] if self.groups[i] & pack else frozenset() for i in kept)
            decides = {at: self.decides.get(i, 0) for at, i in enumerate(kept) if not self.groups[i] - pack}
            found.append((Watched(self._only(kept, needed), commands, groups, decides, self.providers), kept))
        return found

    def excerpt(self, i: int) -> Plan:
        """Return what of the plan leads to step ``i`` and what it shows: the steps of its group, the modules of these.

        A group only grows, so the steps that ever touched one of its instances are all there; of instances that it only
        reads numbers from, there is the instantiation.
        """
        group = self.groups[i]
        if not group:
            return replace(self.plan, steps=self.plan.steps[: i + 1])
        steps = self.plan.steps
        shows = i + 1 < len(steps) and steps[i + 1].kind == "observe" and self.groups[i + 1] == group
        needed = self._needed(group)
        kept = [
            at
            for at, (step, touched) in enumerate(zip(steps[: i + 1 + shows], self.groups, strict=False))
            if touched & group
            or step.kind == "yield_schedule"
            or (step.kind == "instantiate" and step["instance"] in needed)
        ]
        return self._only(kept, needed)

    def _needed(self, group: Set[str]) -> set[str]:
        """Return a group and the instances without which it cannot be linked."""
        needed = set(group)
        while more := {p for name in needed for p in self.providers.get(name, ())} - needed:
            needed |= more
        return needed

    def _only(self, kept: Iterable[int], there: set[str]) -> Plan:
        """Return the plan with these steps alone, linked with the instances that are there."""
        steps = tuple(_linked(self.plan.steps[i], there) for i in kept)
        names = {s["module"] for s in steps if s.kind in ("instantiate", "validate")}
        modules = {name: wasm for name, wasm in self.plan.modules.items() if name in names}
        return replace(self.plan, steps=steps, modules=modules)


def _packs(groups: Iterable[frozenset[str]]) -> list[set[str]]:
    """Return all instances in sets of whole groups, in the order of their steps, ``MAX_PACK`` or a few more each."""
    final: dict[str, set[str]] = {}
    for group in groups:  # what comes later is a union of what came before
        united: set[str] = set(group).union(*(final.get(name, ()) for name in group))
        for name in united:
            final[name] = united
    packs: list[set[str]] = [set()]
    for name, united in final.items():
        if name not in packs[-1] and not any(name in pack for pack in packs):
            if len(packs[-1]) >= MAX_PACK:
                packs.append(set())
            packs[-1] |= united
    return packs


def _linked(step: Step, there: set[str]) -> Step:
    """Return the step without providers that are not there."""
    if step.kind != "instantiate":
        return step
    imports = {m: [p for p in providers if p == HOST or p in there] for m, providers in step["imports"].items()}
    return Step(step.kind, {**step.args, "imports": {m: providers for m, providers in imports.items() if providers}})


def watched(schedule: Schedule, *, state: bool, fuel: bool, nan: str) -> Watched:
    """Return the plan of a schedule with what is to be compared made visible."""
    builder = _Builder(schedule, state=state, fuel=fuel)
    builder.build()
    plan = replace(schedule.plan, steps=tuple(builder.steps), modules=builder.modules, nan=nan)
    return Watched(plan, tuple(builder.commands), tuple(builder.groups), builder.decides, builder.providers)


@dataclass
class _Builder:
    schedule: Schedule
    state: bool
    fuel: bool
    steps: list[Step] = field(default_factory=list)
    commands: list[Command | None] = field(default_factory=list)
    groups: list[frozenset[str]] = field(default_factory=list)
    decides: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        plan = self.schedule.plan
        self.modules = dict(plan.modules)
        self.decoded: dict[str, Module | None] = {}
        self.group: dict[str, set[str]] = {}  # of each instance, shared by its members
        self.seen: dict[str, bool] = {}  # instances to observe after each action: has it state, and little enough
        self.providers: dict[str, set[str]] = {}
        self.hosted: set[str] = set()  # instances that import host functions

    def build(self) -> None:
        first: dict[int | None, Command] = {}
        deciding = Counter(check.step for check in self.schedule.checks)
        for check in reversed(self.schedule.checks):  # a registration is decided by its module's step, which is older
            first[check.step] = check.command
        for i, step in enumerate(self.schedule.plan.steps):
            self._step(step, first.get(i), deciding[i])
        if self.state:
            self._add(Step("observe", {}), None, frozenset())

    def _add(self, step: Step, command: Command | None, group: frozenset[str]) -> None:
        self.steps.append(step)
        self.commands.append(command)
        self.groups.append(group)

    def _step(self, step: Step, command: Command | None, decides: int) -> None:
        name = step.get("instance", "")
        if step.kind == "instantiate":
            self._link(step)
        group = frozenset(self.group.get(name, ()))
        acts = step.kind in ("instantiate", "call")
        if self.fuel and acts:
            self._add(Step("set_fuel", {"fuel": FUEL}), command, group)
        self.decides[len(self.steps)] = decides
        self._add(step, command, group)
        if not acts:
            return
        fails = step.kind == "instantiate" and command is not None and command.is_assertion
        seen = [other for other in sorted(group) if self.seen[other] and not (fails and other == name)]
        shown = seen if self.state else []  # and host calls, which are results, whatever is asked for
        if shown or any(other in self.hosted for other in group):
            self._add(Step("observe", {"instances": shown}), command, group)

    def _module(self, name: str) -> Module | None:
        if name not in self.decoded:
            wasm = self.modules.get(name, b"")
            self.decoded[name] = module = decoded(wasm)
            if self.state and module is not None:
                self.modules[name] = with_state_exported(wasm, module)
        return self.decoded[name]

    def _link(self, step: Step) -> None:
        """Put the instance that a step makes into the group of those that it imports from."""
        name = step["instance"]
        group = self.group[name] = {name}
        self.providers[name] = set()
        module = self._module(step["module"])
        self.seen[name] = module is not None and _is_observed(module)
        for import_ in () if module is None else module.imports:
            providers = step["imports"].get(import_.module, ())
            if HOST in providers and isinstance(import_.desc, FuncImport) and import_.name in HOSTS:
                self.hosted.add(name)
                continue
            for provider in set(providers) & self.group.keys():
                self.providers[name].add(provider)
                if _connects(import_):
                    group |= self.group[provider]
        for member in group:
            self.group[member] = group


def _is_observed(module: Module) -> bool:
    """Return whether an instance has state that can change, and is small enough to be looked at again and again."""
    slots = sum(table.type.limits.min for table in module.tables)
    mutable = any(g.type.mutable for g in module.globals)
    return slots <= MAX_SLOTS and bool(module.tables or module.mems or mutable)


def _connects(import_: Import) -> bool:
    """Return whether an import lets one instance change, or be changed by, another."""
    desc = import_.desc
    if isinstance(desc, GlobalType):
        return desc.mutable or isinstance(desc.valtype, RefType)
    return not isinstance(desc, TagType)
