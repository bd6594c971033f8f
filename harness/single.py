"""Plans for one module or script that somebody wants to see on two engines: ``wfuzz diff``."""

from __future__ import annotations

import base64
import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.binary import decode
from engine.errors import MalformedError, WasmError
from engine.features import EXECUTED
from engine.matching import top
from engine.module import FuncImport
from engine.types import FuncType, NumType, RefType
from engine.validation.context import Context
from generators.values import SHARP
from harness.wast.reader import read_script
from harness.wast.schedule import assembly, schedule
from harness.wast.spectest import parts_for
from oracles.adapter import ALL
from oracles.outcome import Rejected
from oracles.plan import HOST, WIDTHS, HostFunc, Limits, Plan, Step, Value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from engine.module import Module
    from harness.runner import OracleLike

__all__ = ["SingleError", "assemble", "parse_value", "plan_of_module", "plan_of_script"]

MODULE = INSTANCE = "m"
ROUNDS = 6  # calls of each exported function with parameters, each with other edges
MANY = 200  # calls: of functions that are more, each is called with fewer edges, and once at least
_HOST_SEED = 7
_LIMITS = Limits(memory_pages=1024, table_elements=100_000)


class SingleError(ValueError):
    """What was asked for makes no plan; the message is one sentence."""


@dataclass(frozen=True, slots=True)
class _Shape:
    """What we know of a module: types of exported functions and of imported ones; None where we cannot read it."""

    exports: Mapping[str, FuncType]
    imports: Sequence[tuple[str, str, FuncType]]


def plan_of_module(
    wasm: bytes, features: tuple[str, ...], invoke: str | None, args: Sequence[str], nan: str = "none"
) -> Plan:
    """Return the plan that runs a module: one call, or every exported function with edge values.

    Imported functions become host functions that record their call and mix their arguments.
    """
    shape = _shape(wasm)
    hosts = {name: _host(t) for _, name, t in (shape.imports if shape else ())}
    imports = {module: [HOST] for module, _, _ in (shape.imports if shape else ())}
    steps = [
        Step("validate", {"module": MODULE}),
        Step("instantiate", {"instance": INSTANCE, "module": MODULE, "imports": imports}),
        Step("observe", {}),
    ]
    calls = [(invoke, _arguments(shape, invoke, args))] if invoke is not None else _every_call(shape)
    for name, values in calls:
        steps.append(Step("call", {"instance": INSTANCE, "export": name, "args": values}))
        steps.append(Step("observe", {}))
    return Plan(tuple(steps), {MODULE: wasm}, hosts=hosts, features=features, nan=nan, limits=_LIMITS)


def _shape(wasm: bytes) -> _Shape | None:
    try:
        module = decode(wasm, EXECUTED)
        context = Context.of_module(module, EXECUTED)
        exports = {e.name: _functype(context, e.index) for e in module.exports if e.kind == "func"}
        return _Shape(exports, _imports(module, context))
    except (WasmError, IndexError):
        return None  # an engine may still know what to do with it


def _functype(context: Context, x: int) -> FuncType:
    comp = context.funcs[x].comp
    assert isinstance(comp, FuncType)
    return comp


def _imports(module: Module, context: Context) -> list[tuple[str, str, FuncType]]:
    functions = [i for i in module.imports if isinstance(i.desc, FuncImport)]
    return [(i.module, i.name, _functype(context, x)) for x, i in enumerate(functions)]


def _host(t: FuncType) -> HostFunc:
    return HostFunc(tuple(map(_name, t.params)), tuple(map(_name, t.results)), (("record",), ("mix", _HOST_SEED)))


def _every_call(shape: _Shape | None) -> list[tuple[str, list[Value]]]:
    calls: list[tuple[str, list[Value]]] = []
    exports = shape.exports if shape else {}
    most = max(1, min(ROUNDS, MANY // max(1, len(exports))))
    for name, t in exports.items():
        rounds = most if t.params else 1
        calls += [(name, [_edge(p, n - k if n % 2 else n + k) for k, p in enumerate(t.params)]) for n in range(rounds)]
    return calls


def _edge(t: Any, n: int) -> Value:
    if isinstance(t, NumType):
        return str(t), f"{SHARP[t][n % len(SHARP[t])]:0{t.bits // 4}x}"
    return _name(t), None if isinstance(t, RefType) else "0" * 32


def _name(t: Any) -> str:
    """Return what a plan calls a type: a reference by its hierarchy."""
    return top(t.heap).short if isinstance(t, RefType) else str(t)


def _arguments(shape: _Shape | None, name: str, args: Sequence[str]) -> list[Value]:
    """Return the arguments of a call; a type written before each (``i32:1``) is needed only where we cannot know."""
    if shape is None:
        return [parse_value(a) for a in args]
    if name not in shape.exports:
        known = ", ".join(shape.exports) or "none"
        raise SingleError(f"the module exports no function {name!r}; its functions: {known[:500]}")
    params = shape.exports[name].params
    if len(params) != len(args):
        raise SingleError(f"{name} takes {len(params)} arguments ({' '.join(map(str, params))}), not {len(args)}")
    return [parse_value(a, _name(t)) for a, t in zip(args, params, strict=True)]


def parse_value(text: str, kind: str = "") -> Value:
    """Return the value that a user wrote: ``-1``, ``0x7fffffff``, ``nan``, ``bits:7fa00000``, ``null``, ``f32:1.5``;
    a number is an i31 where an ``anyref`` is expected."""
    head, colon, rest = text.partition(":")
    if colon and head != "bits":
        if kind and head != kind:
            raise SingleError(f"{text!r} is a {head} where {kind} is expected")
        kind, text = head, rest
    if not kind:
        raise SingleError(f"write the type before the value, for instance i32:{text}")
    try:
        return kind, _payload(text, kind)
    except (ValueError, OverflowError, struct.error):
        raise SingleError(f"{text!r} is no {kind}") from None


def _payload(text: str, kind: str) -> Any:
    width = WIDTHS.get(kind)
    if width is None:
        if text == "null":
            return None
        if not text.isdecimal():
            raise ValueError
        return {"i31": int(text) % 2**31} if kind == "anyref" else int(text)
    if text.startswith("bits:"):
        bits = int(text[5:], 16)
    elif kind in ("f32", "f64"):
        bits = _float_bits(text, width)
    else:
        bits = int(text, 0)
    if not -(1 << width - 1) <= bits < 1 << width:
        raise ValueError
    return f"{bits % (1 << width):0{width // 4}x}"


def _float_bits(text: str, width: int) -> int:
    sign = 1 << width - 1 if text.startswith("-") else 0
    if text.lstrip("+-") == "nan":
        return sign | (0x7FC00000 if width == 32 else 0x7FF8 << 48)
    z = float.fromhex(text) if "0x" in text else float(text)
    if math.isnan(z):
        raise ValueError
    packed = struct.pack("<f" if width == 32 else "<d", z)
    return int.from_bytes(packed, "little")


def assemble(assembler: OracleLike, text: bytes) -> bytes:
    """Return the binary of a text in the text format, by an engine's own assembler."""
    step = Step("assemble", {"module": MODULE, "text": MODULE, "want": True})
    plan = Plan((step,), texts={MODULE: text}, features=(ALL,), nan="none")
    (record, *_) = assembler.run(plan)
    if record.data is not None and "wasm" in record.data:
        return base64.b64decode(record.data["wasm"])
    said = record.outcome.text if isinstance(record.outcome, Rejected) else repr(record.outcome)
    raise SingleError(f"{assembler.id} does not assemble it: {' '.join(said.split())[:300]}")


def plan_of_script(text: bytes, assembler: OracleLike, features: tuple[str, ...]) -> Plan:
    """Return the plan of a ``.wast`` script, its assertions being whatever the two engines then agree on."""
    try:
        script = read_script(text)
    except MalformedError as e:
        raise SingleError(f"not a script: {' '.join(str(e).split())[:300]}") from None
    plan = assembly(script)
    binaries = {}
    for step, record in zip(plan.steps, assembler.run(plan), strict=False):
        if record.data is not None and "wasm" in record.data:
            binaries[step["module"]] = base64.b64decode(record.data["wasm"])
    return schedule(script, binaries, parts_for(features, (ALL,)), features).plan
