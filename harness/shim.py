"""Plans for engines that cannot host them: the plan becomes a program, its output the records.

``connect(oracle_id)`` gives something to run plans on, for every oracle.  For engines whose description says
``driver`` it is a :class:`Shimmed` oracle: the plan's one instance and all its steps are compiled into one module
(``harness.shim_module``), the engine runs that, and the words it tells are turned into the records of the original
plan.  What cannot be said this way is ``Unsupported`` step by step:

- one instance, imports only from the plan's host functions, no vectors, no external references but null;
- a function reference shows as ``"?"``: it is not null, and which it is cannot be seen from inside;
- frames of a trap are those that the engine tells of the driver module, looked up in the plan's module;
- where the engine runs a whole program at a time (WASI), what follows a trap is lost with the program.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from engine.binary import decode, encode
from engine.errors import WasmError
from engine.features import EXECUTED
from engine.module import FuncImport
from engine.types import FuncType
from engine.validation import validate
from engine.validation.context import Context
from harness.shim_hosts import host_function
from harness.shim_module import DONE, IMPORT, WASI, Driver, Refused, asm
from harness.shim_places import Places
from harness.shim_records import Telling, memory_from, signed, slots_from, value_from
from oracles.adapter import MAX_FRAMES, REENTRY_LIMIT, count_of, refusal
from oracles.outcome import (
    Blocked,
    Exhausted,
    Outcome,
    Record,
    Returned,
    Unsupported,
)
from oracles.plan import HOST, Plan, PlanError, Step
from oracles.process import Oracle

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from engine.module import Module
    from engine.types import ValType
    from harness.shim_hosts import Host
    from oracles.adapter import Description

__all__ = ["Program", "Shimmed", "connect", "described"]

STEPS = ("instantiate", "call", "get", "set", "grow", "observe")
ACTIONS = ("record", "mix", "mem.write", "mem.grow", "global.set", "table.set", "call", "trap")
TYPES = ("i32", "i64", "f32", "f64", "v128")

Words = deque[int]


def connect(oracle_id: str, **options: Any) -> Oracle | Shimmed:
    """Return the oracle of an id, wrapped where its engine needs it; starts its worker to find out for wasmer only."""
    oracle = Oracle(oracle_id, **options)
    return Shimmed(oracle) if oracle_id.partition(":")[0].partition("@")[0] == "wasmer" else oracle


def described(inner: Description) -> Description:
    """Return what an engine can do through the shim."""
    flavour = WASI if WASI in inner.can else IMPORT
    can = ("limits",) if flavour == WASI else ("limits", "after-trap")
    sees = ("memories", "tables", "globals")
    steps = (*STEPS, *(kind for kind in inner.steps if kind == "debug"))
    frames = (ability for ability in inner.can if ability == "frames")
    return replace(inner, steps=steps, actions=ACTIONS, types=TYPES, sees=sees, can=(*can, flavour, *frames))


@dataclass
class Compiled:
    """A step: what it is without running, or the exported function that runs it and how its words are read.

    From a step with ``frames`` on, traps show so many.
    """

    outcome: Outcome | None = None
    func: int = -1
    read: Any = None
    frames: int | None = None


@dataclass
class Program:
    """A plan compiled for an engine of a flavour; raises Refused if none of it can be said this way."""

    plan: Plan
    flavour: str
    steps: list[Compiled] = field(default_factory=list)
    wasm: bytes = b""

    def __post_init__(self) -> None:
        first = next((i for i, s in enumerate(self.plan.steps) if s.kind == "instantiate"), None)
        if first is None:
            raise Refused("a plan without an instance")
        self.first = first
        self.instance = str(self.plan.steps[first]["instance"])
        self.module = self._decoded(self.plan.steps[first])
        self.exports = {e.name: e for e in self.module.exports}
        self.context = Context.of_module(self.module, EXECUTED)
        self.functions = self._numbered()
        self.driver = Driver(self.module, self.plan.limits, self.flavour)
        self.hosts = self._hosts(self.plan.steps[first])
        for i, host in enumerate(self.hosts):
            self.driver.add_host(*host_function(self, host, i))
        self.steps = [self._compile(i, step) for i, step in enumerate(self.plan.steps)]
        if self.flavour == WASI:
            calls = [f"call {s.func}; call {self.driver.flush}" for s in self.steps if s.outcome is None]
            self.driver.export("_start", self.driver.add_func((), (), (), asm("\n".join(calls))))
        try:
            self.wasm = encode(self.driver.build())
        except WasmError as e:
            raise Refused(str(e)) from e

    @cached_property
    def places(self) -> Places:
        """Where the instructions of the program are in the plan's module."""
        return Places(self.module, self.wasm)

    @property
    def tells_frames(self) -> bool:
        return any(step.frames is not None for step in self.steps)

    def _decoded(self, step: Step) -> Module:
        wasm = self.plan.modules.get(step["module"])
        if wasm is None:
            raise Refused("a module that is not in the plan")
        try:
            module = decode(wasm, EXECUTED)
            validate(module, EXECUTED)
        except WasmError as e:
            raise Refused(f"a module that cannot be wrapped: {e}") from e
        return module

    def _numbered(self) -> list[int]:
        """Return the function index of each number that the exports of the instance have."""
        seen: dict[int, None] = {}
        for export in self.module.exports:
            if export.kind == "func":
                seen[export.index] = None
        return list(seen)

    def _hosts(self, step: Step) -> list[Host]:
        """Return name and type of each imported function, in order."""
        out: list[Host] = []
        for i in self.module.imports:
            providers = step["imports"].get(i.module, ())
            if not isinstance(i.desc, FuncImport) or any(p != HOST for p in providers):
                raise Refused("imports from instances")
            host = self.plan.hosts.get(i.name) if providers else None
            t = self.context.functype(i.desc.typeidx)
            if host is None or (host.params, host.results) != (tuple(map(str, t.params)), tuple(map(str, t.results))):
                raise Refused("an import that does not match")
            out.append((i.name, host, t))
        return out

    # steps

    def _compile(self, i: int, step: Step) -> Compiled:
        if step.kind == "instantiate" and i != self.first:
            return Compiled(Unsupported("a second instance"))
        if step.kind == "debug":
            return self._debug(step)
        if step.kind not in STEPS:
            return Compiled(Unsupported(f"step {step.kind}"))
        names = step.get("instances") if step.kind == "observe" else [step["instance"]]
        if any(n != self.instance for n in names or ()) or (i < self.first and names is not None):
            return Compiled(Blocked(f"instance {names}"))
        try:
            declared, body, read = getattr(self, "_step_" + step.kind)(step)
        except Refused as e:
            return Compiled(Unsupported(str(e)))
        except PlanError as e:
            return Compiled(Blocked(str(e)))
        start = asm(f"i32.const 0; global.set {self.driver.nesting}")
        func = self.driver.add_func((), (), declared, [*start, *body])
        if self.flavour == IMPORT:
            self.driver.export(f"s{i}", func)
        return Compiled(None, func, read)

    @staticmethod
    def _debug(step: Step) -> Compiled:
        if step.get("values"):
            return Compiled(Unsupported("values of frames"))
        try:
            return Compiled(Returned(), frames=min(count_of(step["frames"]), MAX_FRAMES))
        except PlanError as e:
            return Compiled(Blocked(str(e)))

    def done(self) -> list[Any]:
        return self.driver.emit_word(DONE << 56)

    def exported(self, name: str, kind: str) -> int:
        """Return the index of an export, or raise PlanError."""
        export = self.exports.get(name)
        if export is None or export.kind != kind:
            raise PlanError(f"no exported {kind} {name}")
        return int(export.index)

    def functype(self, x: int) -> FuncType:
        """Return the type of function ``x`` of the module."""
        t = self.context.func(x).comp
        assert isinstance(t, FuncType)
        return t

    def pushed(self, values: Any, types: Sequence[ValType]) -> list[Any]:
        """Return what pushes the values, which must have these types, or raise PlanError or Refused."""
        if [str(v[0]) for v in values] != [str(t) for t in types]:
            raise PlanError("values that do not fit")
        return [instr for v in values for instr in self.driver.constant((v[0], v[1]), self.functions)]

    def _step_instantiate(self, _: Step) -> Any:
        start = [] if self.module.start is None else asm(f"call {self.module.start + 1}")
        body = [*start, *asm(f"i32.const 1; global.set {self.driver.ready}"), *self.done()]
        return (), body, lambda _: (Returned(), None)

    def _step_call(self, step: Step) -> Any:
        x = self.exported(step["export"], "func")
        t = self.functype(x)
        body = self.pushed(step["args"], t.params) + asm(f"call {x + 1}")
        n = len(t.results)
        body += asm("; ".join(f"local.set {i}" for i in reversed(range(n)))) + self.done()
        for i, r in enumerate(t.results):
            body += self.driver.emit_value(f"local.get {i}", r)
        return t.results, body, lambda words: (Returned(tuple(value_from(r, words) for r in t.results)), None)

    def _step_get(self, step: Step) -> Any:
        x = self.exported(step["export"], "global")
        t = self.context.global_(x).valtype
        body = [*self.done(), *self._global_word(x, t)]
        return (), body, lambda words: (Returned(), {"value": list(value_from(t, words))})

    def _global_word(self, x: int, t: ValType) -> list[Any]:
        return self.driver.emit_value(f"global.get {x}", t)

    def _step_set(self, step: Step) -> Any:
        x = self.exported(step["export"], "global")
        g = self.context.global_(x)
        if not g.mutable:
            raise PlanError("the global is immutable")
        body = [*self.pushed([step["value"]], [g.valtype]), *asm(f"global.set {x}"), *self.done()]
        return (), body, lambda _: (Returned(), None)

    def _step_grow(self, step: Step) -> Any:
        export = self.exports.get(step["export"])
        delta = min(int(step["delta"]), 2**32 - 1)
        if export is None or export.kind not in ("mem", "table"):
            raise PlanError(f"no exported memory {step['export']}")
        if export.kind == "mem":
            body = asm(f"i32.const {delta}; memory.grow {export.index}")
        else:
            t = self.context.table(export.index).reftype
            body = [*self.driver.constant((str(t), None), ()), *asm(f"i32.const {delta}; table.grow {export.index}")]
        body += [*asm(f"i64.extend_i32_s; call {self.driver.emit}")]
        return (), [*self.done(), *body], lambda words: (Returned(), {"size": signed(words.popleft())})

    def _step_observe(self, step: Step) -> Any:
        shown = step.get("instances") is None or self.instance in step["instances"]
        body = self.done()
        readers: list[tuple[str, str, Any]] = []
        for name, export in self.exports.items() if shown else ():
            if export.kind == "mem":
                body += asm(f"call {self.driver.digest(export.index)}")
                readers.append(("memories", name, memory_from))
            elif export.kind == "table":
                r = self.context.table(export.index).reftype
                body += asm(f"call {self.driver.slots(export.index)}")
                readers.append(("tables", name, lambda words, r=r: slots_from(r, words)))
            elif export.kind == "global":
                t = self.context.global_(export.index).valtype
                body += self._global_word(export.index, t)
                readers.append(("globals", name, lambda words, t=t: list(value_from(t, words))))

        def read(words: Words) -> tuple[Outcome, dict[str, Any] | None]:
            state: dict[str, dict[str, Any]] = {"memories": {}, "tables": {}, "globals": {}}
            try:
                for part, name, reader in readers:
                    state[part][name] = reader(words)
            except Refused as e:
                return Exhausted("memory", str(e)), None
            return Returned(), {"instances": {self.instance: state} if shown else {}, "trace": []}

        return (), body, read

    # answers

    def uses(self, names: Iterable[str]) -> set[str]:
        """Return which of these instructions the plan's module has."""
        wanted = set(names)
        return (
            {i.row.name for code in self.module.codes for i in code.body if i.row.name in wanted} if wanted else wanted
        )

    def inner(self) -> Plan:
        """Return the plan that runs the program.

        The frames of host functions, which are not shown, are as many as can be nested.
        """
        steps = [Step("debug", {"frames": MAX_FRAMES + REENTRY_LIMIT})] if self.tells_frames else []
        steps.append(Step("instantiate", {"instance": "driver", "module": "driver", "imports": {}}))
        names = ["_start"]
        if self.flavour == IMPORT:
            names = [f"s{i}" for i, s in enumerate(self.steps) if s.outcome is None]
        steps += [Step("call", {"instance": "driver", "export": name, "args": []}) for name in names]
        plan = self.plan
        limits = replace(plan.limits, fuel=None, depth=10_000)
        return Plan(tuple(steps), {"driver": self.wasm}, {}, {}, plan.features, plan.nan, limits)

    def records(self, answers: Sequence[Record]) -> list[Record]:
        """Return the records of the plan that the engine's answers to ``inner`` amount to."""
        is_set = self.tells_frames and answers and isinstance(answers[0].outcome, (Returned, Unsupported))
        return list(Telling(self, deque(answers[1:] if is_set else answers)).records())


class Shimmed:
    """An oracle whose engine gets programs; has the face of ``oracles.process.Oracle``."""

    def __init__(self, oracle: Oracle) -> None:
        self.oracle = oracle
        self.id = oracle.id
        self._description: Description | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def description(self) -> Description:
        if self._description is None:
            self._description = described(self.oracle.description)
        return self._description

    @property
    def pid(self) -> int | None:
        return self.oracle.pid

    @property
    def starts(self) -> int:
        return self.oracle.starts

    def start(self) -> None:
        self.oracle.start()

    def close(self) -> None:
        self.oracle.close()

    def run(self, plan: Plan, *, deadline_s: float | None = None) -> list[Record]:
        """Return one record per step, as ``Oracle.run`` does."""
        description = self.description
        lacking = refusal(plan, description)
        try:
            if lacking is not None:
                raise Refused(lacking)
            program = Program(plan, WASI if WASI in description.can else IMPORT)
            if missing := sorted(program.uses(description.without)):
                raise Refused(f"instruction {missing[0]}")
        except Refused as e:
            return [Record(i, Unsupported(str(e))) for i in range(len(plan.steps))]
        return program.records(self.oracle.run(program.inner(), deadline_s=deadline_s))
