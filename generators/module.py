"""A whole case: module and plan from one choice tape.

The plan instantiates the module with host functions as data, then calls exported functions with boundary arguments
on that one long-lived instance, observing all visible state after every step.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from engine.matching import matches, top
from engine.module import Code
from engine.types import EXTERN, EXTERNREF, FUNC, I31, RefType, ref
from generators.body import Body
from generators.form import write
from generators.present import choose_unused
from generators.probes import choose_probes, probe_steps, with_probes
from generators.signature import HOST_MODULE, Signatures
from generators.values import choose_bits, choose_sharp
from oracles.plan import HOST, HostFunc, Limits, Plan, Step, Value

if TYPE_CHECKING:
    from engine.module import Module
    from engine.types import ValType
    from generators.profile import Profile
    from generators.source import Source

__all__ = ["Generated", "generate"]

INSTANCE = "m"


@dataclass(frozen=True, slots=True)
class Generated:
    """A generated case: the abstract module, bytes of it, and the plan that runs it."""

    module: Module
    wasm: bytes
    plan: Plan


def generate(source: Source, profile: Profile) -> Generated:
    """Return the case that the choices of ``source`` describe."""
    probes = choose_probes(source, profile)
    signatures = Signatures(source, profile)
    module, guards = _with_bodies(source, signatures)
    module = with_probes(module, probes)
    steps = (*_steps(source, signatures, guards), *probe_steps(probes, INSTANCE))
    hosts = {i.name: _host(source, signatures, x) for x, i in enumerate(signatures.imports)}
    wasm = write(source, profile, module)
    plan = Plan(
        steps=steps,
        modules={INSTANCE: wasm},
        hosts=hosts,
        features=tuple(sorted(f.name for f in profile.features)),
        nan=profile.nan,
        limits=Limits(memory_pages=16, table_elements=1000),
    )
    return Generated(module, wasm, plan)


def _with_bodies(source: Source, signatures: Signatures) -> tuple[Module, bool]:
    """Return the module with its bodies, and whether any takes from ``work``."""
    codes = []
    guards = False
    for x in range(signatures.imported, len(signatures.funcs)):
        with source.span("function"):
            count = source.between(1, 4)
            declared = [signatures.choose_type() for _ in range(count)]
            body = Body(source, signatures, x, declared)
            if signatures.present and source.chance(15):
                body.new_local(choose_unused(source, signatures.profile))
            instructions = body.generate()
        guards = guards or body.uses_work
        runs = tuple((1, signatures.heap.open(t)) for t in body.locals[len(body.functype.params) :])
        codes.append(Code(runs, instructions))
    return replace_codes(signatures.module, codes), guards


def replace_codes(module: Module, codes: list[Code]) -> Module:
    """Return the module with these bodies."""
    return replace(module, codes=tuple(codes))


def _argument(source: Source, signatures: Signatures, t: ValType) -> Value:
    if isinstance(t, RefType) and not t.null:
        return (top(t.heap).short, _present(source, signatures, t))
    if isinstance(t, RefType):
        number: Any = source.choose((None, 0, 1, 2)) if t is EXTERNREF else None
        if matches(ref(False, I31), t):
            number = source.choose((None, {"i31": 0}, {"i31": 0x7FFF_FFFF}, {"i31": 0x4000_0000}))
        return (top(t.heap).short, number)
    choose = choose_sharp if source.chance(50) else choose_bits
    bits: int = choose(source, t)
    return (str(t), format(bits, f"0{t.bits // 4}x"))


def _present(source: Source, signatures: Signatures, t: RefType) -> Any:
    """Return the payload of a reference that is not null; a function has the number of its export."""
    if top(t.heap) is FUNC:
        return signatures.exported().index(source.choose(signatures.escaping(t)))
    number = source.choose((0, 1, 2))
    return number if top(t.heap) is EXTERN else {"i31": (0, 0x7FFF_FFFF, 0x4000_0000)[number]}


def _host(source: Source, signatures: Signatures, x: int) -> HostFunc:
    """Record the call, mix the results, and now and then write, set, grow, call back, trap or throw."""
    t = signatures.functype(x)
    actions: list[tuple[Any, ...]] = [("record",), ("mix", source.below(1 << 16))]
    with source.span("host"):
        how = source.below(11)
        if how == 5 and signatures.mems:
            written = source.below(64), format(source.bits(32), "08x")
            actions.append(("mem.write", INSTANCE, _memory(source, signatures), *written))
        elif how == 6:
            numeric = [k for k, g in enumerate(signatures.globals[: signatures.work]) if _settable(g)]
            if numeric:
                k = source.choose(numeric)
                value = _argument(source, signatures, signatures.globals[k].type.valtype)
                actions.append(("global.set", INSTANCE, f"g{k}", value))
        elif how == 7 and signatures.mems:
            actions.append(("mem.grow", INSTANCE, _memory(source, signatures), source.below(2)))
        elif how == 8:
            guarded = [f for f in signatures.callable() if signatures.is_guarded(f)]
            if guarded:
                f = source.choose(guarded)
                args = [_argument(source, signatures, p) for p in signatures.functype(f).params]
                actions.append(("call", INSTANCE, f"f{f}", args))
        elif how == 9:
            actions.append(("trap", f"host{x}", source.between(1, 3)))
        elif how == 10 and signatures.tags:
            k = source.below(len(signatures.tags))
            args = [_argument(source, signatures, t) for t in signatures.tags[k]]
            actions.append(("throw", INSTANCE, f"x{k}", args, source.below(4)))
    return HostFunc(tuple(map(str, t.params)), tuple(map(str, t.results)), tuple(actions))


def _memory(source: Source, signatures: Signatures) -> str:
    return f"m{source.below(len(signatures.mems))}"


def _settable(g: Any) -> bool:
    return bool(g.type.mutable) and not isinstance(g.type.valtype, RefType)


def _steps(source: Source, signatures: Signatures, guards: bool) -> list[Step]:
    work = ("i32", format(signatures.profile.work, "08x"))
    steps = [
        Step("instantiate", {"instance": INSTANCE, "module": INSTANCE, "imports": {HOST_MODULE: [HOST]}}),
        Step("observe", {}),
    ]
    callable_ = signatures.callable()
    for _ in range(source.between(*signatures.profile.calls)):
        with source.span("call"):
            x = source.choose(callable_)
            args = [_argument(source, signatures, p) for p in signatures.functype(x).params]
            if guards:
                steps.append(Step("set", {"instance": INSTANCE, "export": "work", "value": work}))
            steps.append(Step("call", {"instance": INSTANCE, "export": f"f{x}", "args": args}))
            steps.append(Step("observe", {}))
    return steps
