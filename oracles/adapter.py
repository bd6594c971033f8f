"""What an engine's adapter is: a description, sessions that answer steps, and the registry of adapters by name.

An adapter says what it can do (:class:`Description`) and opens a :class:`Session` per plan.  A session answers each
step through its method ``step_KIND``; a kind without a method is ``Unsupported``.  A method returns an
:data:`Answer` or raises :class:`Stop` with the outcome.  Everything that must be the same in all engines lives here
once: names and what failed (``Blocked``), host functions as data, numbering of references, page checksums, the limit of
re-entry.

``Blocked`` means that nothing ran: the step names a module, instance or export that is not there, or values that do
not fit its type.  Standard library only, syntax of CPython 3.10: this file is copied into side environments.
"""

from __future__ import annotations

import importlib
import re
import zlib
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Mapping, Optional, Protocol, Tuple

from oracles.outcome import Blocked, Exhausted, HostError, Outcome, Returned, Unsupported
from oracles.plan import FUEL_NOTE, HOST, STEP_KINDS, WIDTHS, HostFunc, Plan, PlanError, Step, Value, host_mix

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = [
    "ACTIONS", "ADAPTERS", "ALL", "BASIC_ACTIONS", "BASIC_STEPS", "IDS", "MAX_FRAMES", "MAX_READ", "MAX_SLOTS", "PAGE",
    "REENTRY_LIMIT", "Adapter", "Answer", "Description", "Numbering", "OracleId", "RefusingSession", "Session",
    "Stop", "Unavailable", "blocked", "count_of", "crc_pages", "hex_of", "load", "refusal", "value_of",
    "values_of",
]  # fmt: skip

BASIC_STEPS = tuple(k for k in STEP_KINDS if k not in ("set_fuel", "get_fuel", "yield_schedule", "debug", "shadow"))
BASIC_ACTIONS = ("record", "mix", "mem.write", "mem.grow", "global.set", "table.set", "call", "trap", "throw")
ACTIONS = (*BASIC_ACTIONS, "fuel", "suspend")
ALL = "all"  # a plan's features may be ("all",): everything the engine has, switched on
_ACTION_SIZES = {
    "record": 1, "mix": 2, "mem.write": 5, "mem.grow": 4, "global.set": 4, "table.set": 5, "call": 4, "trap": 3,
    "throw": 5, "fuel": 1, "suspend": 2,
}  # fmt: skip
PAGE = 4096  # bytes covered by one checksum of ``observe``
MAX_FRAMES = 20  # that engines show of a trap
MAX_READ = 4 << 20  # bytes that one ``read`` step may ask for
MAX_SLOTS = 65_536  # table slots that one ``observe`` shows
REENTRY_LIMIT = 100  # nested host calls; deeper is Exhausted("stack") in every engine

Answer = Tuple[Outcome, Optional[Mapping[str, Any]]]


class Unavailable(Exception):
    """The oracle cannot run on this machine; the message is one sentence and says what would help."""


class Stop(Exception):
    """End the step with this outcome."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(repr(outcome))
        self.outcome = outcome


def blocked(what: str) -> Stop:
    """Return the exception that ends a step as Blocked."""
    return Stop(Blocked(what))


@dataclass(frozen=True)
class OracleId:
    """``NAME[@VERSION][:VARIANT]``, for instance ``wasmer@1.1:singlepass``."""

    name: str
    version: str = ""
    variant: str = ""

    @staticmethod
    def parse(text: str) -> OracleId:
        """Return the parts of an id, or raise Unavailable."""
        head, _, variant = text.partition(":")
        name, _, version = head.partition("@")
        if not all(re.fullmatch(r"[\w.=+-]+", part, re.ASCII) for part in (name, version or "x", variant or "x")):
            raise Unavailable(f"{text!r} is not an oracle id: NAME[@VERSION][:VARIANT]")
        return OracleId(name, version, variant)

    @property
    def base(self) -> str:
        """The id without its variant: a key of ADAPTERS."""
        return f"{self.name}@{self.version}" if self.version else self.name

    def __str__(self) -> str:
        return f"{self.base}:{self.variant}" if self.variant else self.base


@dataclass(frozen=True)
class Description:
    """Who answers and what it can do.

    ``features`` are names of ``engine.features.FEATURES`` or further proposals' names, ``without`` those instructions
    of them that are missing all the same, ``steps`` keys of STEP_KINDS, ``actions`` host actions, ``types`` value types
    that cross exactly, ``nan`` profiles of ``Plan.nan``, ``sees`` the parts that ``observe`` shows, ``can`` further
    abilities: ``imports`` between instances, ``limits`` of memories and tables kept, ``after-trap`` goes on after a
    trap, ``frames`` of a trap are exact; ``text`` says that it assembles text, ``fuel`` that it meters; ``fuel_model``
    names the model of ``engine.execution.fuel_models`` by which it counts, ``fuel_note`` says why that is none.
    """

    name: str
    version: str
    variant: str = ""
    features: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    steps: tuple[str, ...] = BASIC_STEPS
    actions: tuple[str, ...] = BASIC_ACTIONS
    types: tuple[str, ...] = (*WIDTHS, "funcref", "externref")
    nan: tuple[str, ...] = ("module", "none")
    sees: tuple[str, ...] = ("memories", "tables", "globals")
    can: tuple[str, ...] = ("imports", "limits", "after-trap")
    text: bool = False
    fuel: bool = False
    fuel_model: str = ""
    fuel_note: str = ""
    python: str = ""

    def to_json(self) -> dict[str, Any]:
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @staticmethod
    def from_json(data: Any) -> Description:
        """Return the description in untrusted plain data, or raise ValueError."""
        if not isinstance(data, dict):
            raise ValueError("a description is an object")
        known: dict[str, Any] = {}
        for f in fields(Description):
            if f.name not in data:
                continue
            value = data[f.name]
            kind = type(f.default) if f.name not in ("name", "version") else str
            if kind is tuple:
                if not isinstance(value, list) or not all(isinstance(x, str) for x in value):
                    raise ValueError(f"{f.name} is a list of strings")
                value = tuple(value)
            elif not isinstance(value, kind):
                raise ValueError(f"{f.name} is a {kind.__name__}")
            known[f.name] = value
        if not {"name", "version"} <= set(known):
            raise ValueError("a description has a name and a version")
        return Description(**known)


class Adapter(Protocol):
    """One engine as configured by a variant; cheap to keep, its sessions are independent."""

    def describe(self) -> Description: ...

    def open(self, plan: Plan) -> Session:
        """Return a fresh session in which nothing of the plan has run."""
        ...


class Numbering:
    """Numbers things by first sight; ``handles[n]`` is what the adapter keeps of thing ``n``."""

    def __init__(self) -> None:
        self.handles: list[Any] = []
        self._numbers: dict[Any, int] = {}

    def number(self, key: Any, handle: Any) -> int:
        """Return the number of the thing identified by ``key``, the next one if it is new."""
        n = self._numbers.get(key)
        if n is None:
            n = self._numbers[key] = len(self.handles)
            self.handles.append(handle)
        return n

    def handle(self, n: Any) -> Any:
        """Return the handle of thing ``n``, or stop the step as Blocked."""
        if not isinstance(n, int) or not 0 <= n < len(self.handles):
            raise blocked(f"no reference {n!r} has been seen")
        return self.handles[n]


class Session:
    """One plan in one engine: names, the host's state, and the dispatch of steps.

    A subclass defines ``step_KIND(step) -> Answer`` for what its engine can do, ``observe_instance`` and ``table_set``,
    ``throw`` and ``propagate`` where exceptions can pass through host functions; for fuel see ``oracles.metered``.
    ``binaries`` holds the plan's modules and those assembled, ``instances`` what the subclass keeps of each instance.
    """

    actions: tuple[str, ...] = BASIC_ACTIONS

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.binaries: dict[str, bytes] = dict(plan.modules)
        self.instances: dict[str, Any] = {}
        self.trace: list[list[Any]] = []
        self.host_calls: dict[str, int] = {}
        self.nesting = 0

    def run(self, step: Step) -> Answer:
        """Answer one step of the plan; exceptions other than Stop are bugs of the adapter and end its worker."""
        return self.dispatch(step)

    def dispatch(self, step: Step) -> Answer:
        """Answer a step of the plan or one that a host function makes."""
        method = getattr(self, "step_" + step.kind, None)
        if method is None:
            return Unsupported(f"step {step.kind}"), None
        try:
            answer: Answer = method(step)
            return answer
        except Stop as stop:
            return stop.outcome, None
        except PlanError as e:
            return Blocked(str(e)), None

    def close(self) -> None:
        """Release what the session holds in the engine."""

    # names

    def binary(self, name: Any) -> bytes:
        """Return the module's bytes, or stop the step as Blocked."""
        wasm = self.binaries.get(name)
        if wasm is None:
            raise blocked(f"module {name}")
        return wasm

    def instance(self, name: Any) -> Any:
        """Return what the subclass keeps of the instance, or stop the step as Blocked."""
        if not isinstance(name, str) or name not in self.instances:
            raise blocked(f"instance {name}")
        return self.instances[name]

    def providers(self, step: Step, module: str) -> list[str]:
        """Return the providers of an import module in order, after stopping as Blocked if an instance is missing."""
        names = step["imports"].get(module, ())
        for name in names:
            if name != HOST:
                self.instance(name)
        return list(names)

    # observation

    def observe_instance(self, name: str) -> dict[str, Any]:
        """Return ``{"memories": ..., "tables": ..., "globals": ...}`` of a live instance (see ``oracles.outcome``)."""
        raise NotImplementedError

    def step_observe(self, step: Step) -> Answer:
        names = step.get("instances")
        if names is None:
            names = list(self.instances)
        for name in names:
            self.instance(name)
        state = {name: self.observe_instance(name) for name in names}
        trace, self.trace = self.trace, []
        return Returned(), {"instances": state, "trace": trace}

    # host functions as data

    def table_set(self, instance: str, export: str, index: int, value: Value) -> None:
        """Set a slot of an exported table; out of bounds or ill-typed is no effect (the ``table.set`` action)."""
        raise Stop(Unsupported("action table.set"))

    def throw(self, instance: str, export: str, args: Sequence[Value]) -> None:
        """Leave the host function by an exception of an exported tag (the ``throw`` action); ill-typed is no effect."""
        raise Stop(Unsupported("action throw"))

    def entering(self) -> None:
        """Take note that a host function begins."""

    def calling(self) -> None:
        """Take note that the host function under way is about to call."""

    def ended(self, outcome: Outcome) -> None:
        """Take note of how a call has ended, before anything else happens; of a nested one before it is passed on."""

    def left(self) -> None:
        """Take note that a host function has ended, in whatever way."""

    def propagate(self, outcome: Outcome) -> None:
        """Leave the host function by the way in which a call that it made has ended."""
        raise Stop(outcome)

    def fuel(self) -> int:
        """Return the fuel that is left (the ``fuel`` action)."""
        raise Stop(Unsupported("action fuel"))

    def suspend(self, times: int) -> None:
        """Pause that often before the host function gives its results (the ``suspend`` action)."""
        raise Stop(Unsupported("action suspend"))

    def host_call(self, name: str, args: Sequence[Value]) -> list[Value]:
        """Run the actions of the plan's host function and return its results, or raise Stop with the outcome."""
        host = self.plan.hosts[name]
        count = self.host_calls[name] = self.host_calls.get(name, 0) + 1
        if self.nesting >= REENTRY_LIMIT:
            raise Stop(Exhausted("stack", "limit of nested host calls"))
        self.entering()
        self.nesting += 1
        try:
            return self._act(host, name, count, list(args))
        except PlanError as e:
            raise blocked(f"malformed action of {name}: {e}") from e
        finally:
            self.nesting -= 1
            self.left()

    def _act(self, host: HostFunc, name: str, count: int, args: list[Value]) -> list[Value]:
        results: list[Value] = [(t, "0" * (WIDTHS[t] // 4) if t in WIDTHS else None) for t in host.results]
        for action in host.actions:
            kind = action[0] if action else ""
            if kind not in self.actions:
                raise Stop(Unsupported(f"action {kind}"))
            if len(action) != _ACTION_SIZES.get(kind):
                raise PlanError(f"{kind} with {len(action) - 1} arguments")
            if kind == "record":
                self.trace.append([name, [list(v) for v in args]])
            elif kind == "mix":
                results = host_mix(count_of(action[1]), args, host.results)
            elif kind == "fuel":
                self.trace.append([FUEL_NOTE, [["i64", f"{self.fuel():016x}"]]])
            elif kind == "suspend":
                self.suspend(count_of(action[1]))
            elif kind == "trap":
                if action[2] in (0, count):
                    raise Stop(HostError(str(action[1])))
            elif kind == "throw":
                if action[4] in (0, count) and action[1] in self.instances:
                    self.throw(action[1], action[2], values_of(action[3]))
            elif action[1] in self.instances:
                self._act_on_instance(action)
        return results

    def _act_on_instance(self, action: Sequence[Any]) -> None:
        """Do an action that is a step on a live instance; only what a nested call did can end the host call."""
        kind, instance, export = action[:3]
        step: Step | None = None
        if kind == "mem.write":
            step = Step("write", {"instance": instance, "export": export, "address": action[3], "data": action[4]})
        elif kind == "mem.grow":
            step = Step("grow", {"instance": instance, "export": export, "delta": action[3]})
        elif kind == "global.set":
            step = Step("set", {"instance": instance, "export": export, "value": action[3]})
        elif kind == "call":
            step = Step("call", {"instance": instance, "export": export, "args": action[3]})
        if step is None:
            self.table_set(instance, export, count_of(action[3]), value_of(action[4]))
            return
        if kind == "call":
            self.calling()
        outcome, _ = self.dispatch(step)
        if kind == "call" and not isinstance(outcome, (Returned, Blocked)):
            self.ended(outcome)
            self.propagate(outcome)
        if isinstance(outcome, Unsupported):
            raise Stop(outcome)


class RefusingSession(Session):
    """Answers every step with Unsupported: the engine lacks something that the whole plan asks for."""

    def __init__(self, plan: Plan, what: str) -> None:
        super().__init__(plan)
        self.what = what

    def run(self, step: Step) -> Answer:
        return Unsupported(self.what), None


def refusal(plan: Plan, description: Description) -> str | None:
    """Return what the plan as a whole asks for and the described engine lacks, or None."""
    for feature in plan.features:
        if feature not in description.features and feature != ALL:
            return f"feature {feature}"
    if plan.nan not in description.nan:
        return f"nan profile {plan.nan}"
    if plan.limits.fuel is not None and not description.fuel:
        return "fuel"
    return None


def value_of(data: Any) -> Value:
    """Return a value of untrusted plain data: numbers as hex of their exact width; raise PlanError."""
    if not isinstance(data, (list, tuple)) or len(data) != 2 or not isinstance(data[0], str):
        raise PlanError("a value is [type, payload]")
    kind, payload = data
    width = WIDTHS.get(kind)
    if width is not None:
        try:
            int(payload, 16)
        except (TypeError, ValueError):
            raise PlanError(f"the payload of {kind} is not hexadecimal") from None
        if len(payload) != width // 4:
            raise PlanError(f"the payload of {kind} has {width // 4} digits")
    return kind, payload


def count_of(data: Any) -> int:
    """Return an address, length or number of untrusted plain data, below 2**63; raise PlanError."""
    if not isinstance(data, int) or isinstance(data, bool) or not 0 <= data < 2**63:
        raise PlanError(f"{str(data)[:40]!r} is not a count")
    return data


def hex_of(data: Any) -> bytes:
    """Return the bytes of a hexadecimal string of untrusted plain data, or raise PlanError."""
    try:
        return bytes.fromhex(data)
    except (TypeError, ValueError):
        raise PlanError("data is hexadecimal") from None


def values_of(data: Any) -> list[Value]:
    """Return the values of untrusted plain data, or raise PlanError."""
    if not isinstance(data, (list, tuple)):
        raise PlanError("values are a list")
    return [value_of(v) for v in data]


_ZERO_CHUNK = bytes(1 << 16)
_ZERO_PAGE = bytes(PAGE)


def crc_pages(read: Callable[[int, int], bytes], size: int) -> dict[str, str]:
    """Return the checksum of every 4 KiB page that is not all zero; ``read(offset, length)`` gives the bytes."""
    crc: dict[str, str] = {}
    step = len(_ZERO_CHUNK)
    for base in range(0, size, step):
        chunk = read(base, min(step, size - base))
        if chunk == _ZERO_CHUNK:
            continue
        for at in range(0, len(chunk), PAGE):
            page = chunk[at : at + PAGE]
            if page != _ZERO_PAGE[: len(page)]:
                crc[str((base + at) // PAGE)] = f"{zlib.crc32(page):08x}"
    return crc


ADAPTERS: dict[str, str] = {
    "reference": "oracles.adapters.reference",
    "wasmtime": "oracles.adapters.wasmtime",
    "wasmtime@48": "oracles.adapters.wasmtime",
    "wasmtime@36": "oracles.adapters.wasmtime",
    "wasmer": "oracles.adapters.wasmer",
    "wasmer@1.1": "oracles.adapters.wasmer1",
}
IDS: tuple[str, ...] = (
    "reference", "wasmtime", "wasmtime:none", "wasmtime:winch", "wasmtime:pulley", "wasmtime@48", "wasmtime@36",
    "wasmer", "wasmer@1.1:cranelift", "wasmer@1.1:singlepass",
)  # fmt: skip


def load(oracle_id: str) -> Adapter:
    """Return the adapter of an id in this process, or raise Unavailable with the reason."""
    parsed = OracleId.parse(oracle_id)
    if parsed.base not in ADAPTERS:
        raise Unavailable(f"no oracle {parsed.base!r}; known: {', '.join(ADAPTERS)}")
    try:
        module = importlib.import_module(ADAPTERS[parsed.base])
    except ImportError as e:
        raise Unavailable(f"{parsed.base} cannot be loaded: {e}") from e
    adapter: Adapter = module.adapter(parsed.variant)
    version = adapter.describe().version
    if parsed.version and not f"{version}.".startswith(f"{parsed.version}."):
        raise Unavailable(f"{parsed.base} is not what this process has, which is {parsed.name} {version}")
    return adapter
