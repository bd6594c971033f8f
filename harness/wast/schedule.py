"""From a script to plans: first its texts to an assembler, then its commands to the engine under test.

Control flow is static.  Every command knows in advance the name of the instance it makes or uses; if that instance
failed, the engine answers Blocked, so nothing can reach an earlier module by accident.  A :class:`Check` says which
record decides about a command.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from harness.wast.script import Action, Command, InstanceOf, ModuleSource, Register
from harness.wast.spectest import PARTS
from oracles.adapter import ALL
from oracles.plan import HOST, HostFunc, Limits, Plan, Step

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.wast.script import Script
    from harness.wast.spectest import Part

__all__ = ["LIMITS", "Check", "Schedule", "assembly", "schedule", "text_name"]

# 64 MiB a memory is what the largest script needs; a step that takes a minute hangs.
LIMITS = Limits(memory_pages=1024, step_ms=60_000)
_NO_HOSTS: Mapping[str, HostFunc] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Check:
    """``step`` is the record that decides; None where nothing could run, because of ``missing``.

    ``missing`` is "text" (no binary: the assembler did not give one) or "instance" (named by nobody).
    """

    command: Command
    step: int | None
    missing: str = ""


@dataclass(frozen=True, slots=True)
class Schedule:
    plan: Plan
    checks: tuple[Check, ...]


def text_name(i: int) -> str:
    """Return the name of the module of command ``i``, in the assembler's plan and in the engine's."""
    return f"m{i}"


def assembly(script: Script, parts: Sequence[Part] = PARTS) -> Plan:
    """Return the plan that assembles the parts of spectest and each text of the script, in order."""
    texts = {part.name: part.text for part in parts}
    for i, command in enumerate(script.commands):
        match command.subject:
            case ModuleSource(form="text" | "quote", data=data):
                texts[text_name(i)] = data
    steps = tuple(Step("assemble", {"module": name, "text": name, "want": True}) for name in texts)
    return Plan(steps, texts=texts, features=(ALL,), nan="none", limits=LIMITS)


def schedule(
    script: Script,
    binaries: Mapping[str, bytes],
    parts: Sequence[Part],
    features: tuple[str, ...] = (ALL,),
    hosts: Mapping[str, HostFunc] = _NO_HOSTS,
) -> Schedule:
    """Return the plan for the engine under test.

    ``binaries`` is what the assembler gave, by name; ``hosts`` are functions of spectest that are not in its parts.
    """
    builder = _Builder(binaries, parts, hosts)
    checks = tuple(builder.check(i, command) for i, command in enumerate(script.commands))
    steps = tuple(builder.steps)
    plan = Plan(steps, modules=builder.modules, hosts=hosts, features=features, nan="none", limits=LIMITS)
    return Schedule(plan, checks)


class _Builder:
    def __init__(self, binaries: Mapping[str, bytes], parts: Sequence[Part], hosts: Mapping[str, HostFunc]) -> None:
        self.binaries = binaries
        self.modules: dict[str, bytes] = {}
        self.steps: list[Step] = []
        self.made_by: dict[str, int] = {}  # instance to the step that instantiates it
        self.instances: dict[str, str] = {}  # script id to instance
        self.definitions: dict[str, str] = {}  # script id to module
        self.current: str | None = None
        self.latest: str | None = None  # module
        self.registry: dict[str, list[str]] = {}
        for part in parts:
            if part.name in binaries:
                self.modules[part.name] = binaries[part.name]
                self._instantiate(part.name, part.name)
        self.registry["spectest"] = [HOST] * bool(hosts) + [part.name for part in parts]

    def check(self, i: int, command: Command) -> Check:
        """Append the steps of a command."""
        subject = command.subject
        match subject:
            case ModuleSource():
                return self._module(i, command, subject)
            case InstanceOf():
                return self._instance(i, command, subject)
            case Action():
                return self._action(command, subject)
            case Register(name=name, id=id_):
                instance = self._resolve(id_)
                self.registry[name] = [] if instance is None else [instance]
                return self._decided_by(command, None if instance is None else self.made_by.get(instance))

    def _step(self, kind: str, **args: Any) -> int:
        self.steps.append(Step(kind, args))
        return len(self.steps) - 1

    def _instantiate(self, instance: str, module: str) -> int:
        imports = {name: list(providers) for name, providers in self.registry.items()}
        self.made_by[instance] = self._step("instantiate", instance=instance, module=module, imports=imports)
        return self.made_by[instance]

    def _decided_by(self, command: Command, step: int | None) -> Check:
        return Check(command, step, "" if step is not None else "instance")

    def _resolve(self, id_: str | None) -> str | None:
        return self.current if id_ is None else self.instances.get(id_)

    def _module(self, i: int, command: Command, source: ModuleSource) -> Check:
        name = text_name(i)
        binary = source.data if source.form == "binary" else self.binaries.get(name)
        if binary is not None:
            self.modules[name] = binary
        if command.kind == "module":
            self.latest = name
            if source.id is not None:
                self.definitions[source.id] = name
            if not source.definition:
                self._becomes_current(name, source.id)
        if binary is None:
            return Check(command, None, "text")
        only_validated = source.definition or command.kind not in ("module", "assert_trap", "assert_unlinkable")
        step = self._step("validate", module=name) if only_validated else self._instantiate(name, name)
        return Check(command, step)

    def _instance(self, i: int, command: Command, subject: InstanceOf) -> Check:
        module = self.latest if subject.module is None else self.definitions.get(subject.module)
        name = text_name(i)
        if command.kind == "module":
            self._becomes_current(name, subject.id)
        if module not in self.modules:
            return Check(command, None, "instance")
        return Check(command, self._instantiate(name, module))

    def _becomes_current(self, instance: str, id_: str | None) -> None:
        self.current = instance
        if id_ is not None:
            self.instances[id_] = instance

    def _action(self, command: Command, action: Action) -> Check:
        instance = self._resolve(action.instance)
        if instance is None or instance not in self.made_by:
            return Check(command, None, "instance")
        args = {"instance": instance, "export": action.export}
        if action.kind == "get":
            return Check(command, self._step("get", **args))
        return Check(command, self._step("call", **args, args=list(action.args)))
