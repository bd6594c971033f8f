"""What to run, as plain data: the one language between case, engine and oracle.

A :class:`Plan` has named modules (binary, valid or not), texts for the engine's own assembler, host functions as
data, and ordered steps on *named* instances.  A worker answers one record per step (``oracles.outcome``).  A step kind
or host action that a worker lacks is ``Unsupported`` for that step, never a failure of the case.  Standard library
only, syntax of CPython 3.10: this file is copied into side environments.  The JSON form is described in
``docs/oracle-protocol.md`` and ``docs/schemas/plan.schema.json``.

Values cross as ``(type, payload)``.  Numbers and vectors: the bits as lower-case hex digits of fixed width, most
significant first (``("f32", "7fc00000")``, a v128 is the integer whose little-endian bytes are the vector).
References: ``(reftype, None)`` for null, else ``(reftype, n)``.  An externref ``n`` is numbered by the plan itself.
A funcref ``n`` is numbered by first sight within the plan: the exported functions of each instance in export order when
its instantiation ends, then any other function when it is first shown.  An argument may name a funcref seen before.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Tuple

__all__ = [
    "FORMAT", "FRAMES_NOTE", "FUEL_NOTE", "HOST", "SHADOW_NOTE", "WIDTHS", "HostFunc", "Limits", "Plan", "PlanError",
    "STEP_KINDS", "Step", "Value", "host_mix", "step_fields",
]  # fmt: skip

FORMAT = 1
HOST = "@host"  # the import provider that stands for the plan's host functions, looked up by field name

# What is told in a host call, in the host trace: names no host function has.
FUEL_NOTE, FRAMES_NOTE, SHADOW_NOTE = "@fuel", "@frames", "@shadow"

Value = Tuple[str, Any]
WIDTHS = {"i32": 32, "i64": 64, "f32": 32, "f64": 64, "v128": 128}


class PlanError(ValueError):
    """The plain data does not describe a plan; the message is one sentence."""


# Step kinds and their fields; a trailing "?" marks an optional one.  New capabilities are new entries.
#   assemble     texts[text] to a binary stored as module ``module``; ``want`` asks for the bytes in ``data.wasm``
#   validate     decode and validate a module
#   instantiate  imports: {import module name: [provider, ...]}, a provider an instance name or HOST; first match wins
#   call         args: [Value...]
#   get set      an exported global
#   read write   bytes of an exported memory at ``address``; ``length``; ``data`` hex
#   grow         an exported memory (pages) or table (elements, filled with null) by ``delta``
#   observe      the whole visible state of ``instances`` (all where absent) and the host trace since the last observe
#   set_fuel     the fuel that is left from here on; after the first, ``limits.fuel`` refills nothing, and each call and
#                instantiation answers what is left, in ``data.fuel``
#   get_fuel     what is left, in ``data.fuel``
#   yield_schedule  calls and instantiations run in slices from here on: ``intervals[i]`` is the fuel between pauses
#                until the i-th pause, the last one from there on, and an empty list ends it.  Each answers its first
#                ``pauses`` (64) pauses in ``data.pauses``
#   debug        from here on a trap answers where each frame stood, innermost first, at most ``frames``, in
#                ``data.frames``; 0 ends it.  With ``values`` so does an uncaught exception, each frame has its locals
#                and operands too, and a host call appends ``@frames`` and the frames to the host trace
#   shadow       from here on calls tell the frames of which the module of ``instance`` keeps account itself: the bytes
#                of an exported memory up to the i32 in the global ``end``, at a trap or an uncaught exception in
#                ``data.shadow``, at a host call as ``@shadow`` in the host trace.  ``end`` and ``base`` are 0 where the
#                plan's call begins, and after a host function what they were before it
STEP_KINDS: Dict[str, Tuple[str, ...]] = {
    "assemble": ("module", "text", "want?"),
    "validate": ("module",),
    "instantiate": ("instance", "module", "imports"),
    "call": ("instance", "export", "args"),
    "get": ("instance", "export"),
    "set": ("instance", "export", "value"),
    "read": ("instance", "export", "address", "length"),
    "write": ("instance", "export", "address", "data"),
    "grow": ("instance", "export", "delta"),
    "observe": ("instances?",),
    "set_fuel": ("fuel",),
    "get_fuel": (),
    "yield_schedule": ("intervals", "pauses?"),
    "debug": ("frames", "values?"),
    "shadow": ("instance", "memory", "end", "base"),
}


def step_fields(kind: str) -> Tuple[str, ...]:
    """Return the field names of a step kind without the marks of optionality, or raise PlanError."""
    if kind not in STEP_KINDS:
        raise PlanError(f"unknown step kind {kind!r}")
    return tuple(f.rstrip("?") for f in STEP_KINDS[kind])


@dataclass(frozen=True)
class Step:
    """``kind`` is a key of STEP_KINDS, ``args`` has that kind's fields."""

    kind: str
    args: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.args[name]

    def get(self, name: str, default: Any = None) -> Any:
        return self.args.get(name, default)


@dataclass(frozen=True)
class HostFunc:
    """A host function as data: its type and the actions of one call, in order.

    Actions (each a list, its name first); an instance is one whose instantiation has ended, else the action is skipped:
    ``["record"]`` append name and arguments to the host trace; ``["mix", seed]`` the results are :func:`host_mix`
    (default: zeros and nulls); ``["mem.write", instance, export, address, hex]``; ``["mem.grow", instance, export,
    pages]``; ``["global.set", instance, export, value]``; ``["table.set", instance, export, index, value]``;
    ``["call", instance, export, args]`` re-enter, an outcome other than returned propagates, an exception so that the
    caller may catch it; ``["trap", id, nth]`` end with ``HostError(id)`` on the nth call of this function (1-based; 0
    means on every call); ``["throw", instance, export, args, nth]`` end by an exception of an exported tag likewise;
    ``["fuel"]`` append ``@fuel`` and what is left, an i64, to the host trace; ``["suspend", times]`` pause that many
    times before the results are given, in calls that run in slices.
    """

    params: Tuple[str, ...]
    results: Tuple[str, ...]
    actions: Tuple[Tuple[Any, ...], ...] = (("record",),)


@dataclass(frozen=True)
class Limits:
    """Bounds that every engine is asked to keep; reaching one is a ``limit``, not a finding.

    ``memory_pages`` and ``table_elements`` bound each memory and table (growth beyond gives -1), ``step_ms`` one step's
    wall time, ``fuel`` one call's budget where the engine meters (None: unmetered), ``depth`` nested Wasm calls in
    engines that let it be set.
    """

    memory_pages: int = 1024
    table_elements: int = 1_000_000
    step_ms: int = 5_000
    fuel: Optional[int] = None
    depth: int = 10_000


@dataclass(frozen=True)
class Plan:
    """``nan`` is the profile: ``engine`` canonicalises by an option, ``module`` and ``none`` need nothing."""

    steps: Tuple[Step, ...]
    modules: Mapping[str, bytes] = field(default_factory=dict)
    texts: Mapping[str, bytes] = field(default_factory=dict)
    hosts: Mapping[str, HostFunc] = field(default_factory=dict)
    features: Tuple[str, ...] = ()
    nan: str = "engine"
    limits: Limits = Limits()

    def to_json(self) -> Dict[str, Any]:
        """Return the wire form: bytes as base64."""
        return {
            "format": FORMAT,
            "modules": {k: base64.b64encode(v).decode() for k, v in self.modules.items()},
            "texts": {k: base64.b64encode(v).decode() for k, v in self.texts.items()},
            "hosts": {
                k: {"params": list(h.params), "results": list(h.results), "actions": [list(a) for a in h.actions]}
                for k, h in self.hosts.items()
            },
            "features": list(self.features),
            "nan": self.nan,
            "limits": dict(vars(self.limits)),
            "steps": [{"kind": s.kind, **s.args} for s in self.steps],
        }

    @staticmethod
    def from_json(data: Any) -> "Plan":
        """Return the plan described by untrusted plain data, or raise PlanError."""
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise PlanError(f"not a plan of format {FORMAT}")
        try:
            return Plan(
                steps=tuple(_step(s) for s in data["steps"]),
                modules={str(k): base64.b64decode(v, validate=True) for k, v in data["modules"].items()},
                texts={str(k): base64.b64decode(v, validate=True) for k, v in data.get("texts", {}).items()},
                hosts=_hosts(data["hosts"]),
                features=tuple(str(f) for f in data["features"]),
                nan=_one_of(data["nan"], ("engine", "module", "none")),
                limits=_limits(data["limits"]),
            )
        except PlanError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError) as e:
            raise PlanError(f"malformed plan: {type(e).__name__}: {str(e)[:200]}") from e

    def digest(self) -> str:
        """Return the hex SHA-256 of the canonical JSON form."""
        import json

        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _one_of(value: Any, allowed: Tuple[str, ...]) -> str:
    if value not in allowed:
        raise PlanError(f"{value!r} is none of {', '.join(allowed)}")
    return str(value)


def _limits(data: Any) -> Limits:
    names = set(vars(Limits()))
    if not isinstance(data, dict) or not set(data) <= names:
        raise PlanError("limits has an unknown field")
    for name, value in data.items():
        optional = name == "fuel" and value is None
        if not optional and (not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63):
            raise PlanError(f"limit {name} is not a count")
    return Limits(**data)


_FIELDS = {
    kind: (frozenset(step_fields(kind)), frozenset(f for f in fields if not f.endswith("?")))
    for kind, fields in STEP_KINDS.items()
}


_NAMES = frozenset({"module", "text", "instance", "export", "memory", "end", "base"})  # fields that are names


def _step(data: Any) -> Step:
    if not isinstance(data, dict) or not isinstance(data.get("kind"), str):
        raise PlanError("a step is an object with a kind")
    args = dict(data)
    kind = args.pop("kind")
    if kind not in _FIELDS:
        raise PlanError(f"unknown step kind {kind!r}")
    allowed, required = _FIELDS[kind]
    if not required <= args.keys() <= allowed:
        raise PlanError(f"a step of kind {kind} has the fields {', '.join(STEP_KINDS[kind])}")
    for name in _NAMES & args.keys():
        if not isinstance(args[name], str):
            raise PlanError(f"{name} of a step of kind {kind} is no name")
    return Step(kind, args)


def _hosts(data: Any) -> Dict[str, HostFunc]:
    hosts = {str(k): _host(h) for k, h in data.items()}
    for name in (FUEL_NOTE, FRAMES_NOTE, SHADOW_NOTE):
        if name in hosts:
            raise PlanError(f"no host function can be called {name}: the host trace has something else by that name")
    return hosts


def _host(data: Any) -> HostFunc:
    actions = tuple(tuple(a) for a in data["actions"])
    if not all(action and isinstance(action[0], str) for action in actions):
        raise PlanError("an action begins with its name")
    return HostFunc(tuple(str(t) for t in data["params"]), tuple(str(t) for t in data["results"]), actions)


_M64 = (1 << 64) - 1


def host_mix(seed: int, args: List[Value], results: Tuple[str, ...]) -> List[Value]:
    """Return the results of a ``mix`` action: a function of ``seed`` and the argument bits alone.

    Every engine's worker computes the same: ``h`` starts at ``seed``; each 64-bit word of each argument (low word
    first, a null reference is 0, reference ``n`` is ``n + 1``, any other ``2**32``) does
    ``h = (h ^ word) * 0x9E3779B97F4A7C15 + 1`` modulo ``2**64``, then ``h ^= h >> 29``.  Result ``i`` takes the low
    bits of ``h`` after ``i + 1`` further rounds with word ``i``.  A result that would be a NaN is the canonical
    positive NaN; a v128 takes two rounds; a reference result is null.
    """

    def turn(h: int, word: int) -> int:
        h = ((h ^ word) * 0x9E3779B97F4A7C15 + 1) & _M64
        return h ^ h >> 29

    h = seed & _M64
    for kind, payload in args:
        if kind in WIDTHS:
            bits = int(payload, 16)
            words = [bits & _M64, bits >> 64] if kind == "v128" else [bits]
        else:
            words = [0 if payload is None else payload + 1 if isinstance(payload, int) else 1 << 32]
        for word in words:
            h = turn(h, word)
    out: List[Value] = []
    for i, kind in enumerate(results):
        h = turn(h, i)
        if kind not in WIDTHS:
            out.append((kind, None))
            continue
        bits = h
        if kind == "v128":
            h = turn(h, i)
            bits |= h << 64
        width = WIDTHS[kind]
        bits &= (1 << width) - 1
        if kind == "f32" and bits & 0x7FFFFFFF > 0x7F800000:
            bits = 0x7FC00000
        if kind == "f64" and bits & (_M64 >> 1) > 0x7FF0000000000000:
            bits = 0x7FF8000000000000
        out.append((kind, format(bits, f"0{width // 4}x")))
    return out
