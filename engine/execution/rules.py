"""How one instruction is lowered: a small function per shape; here are those of values and effects.

A rule is ``rule(low, plan, imms, offset)``: it pops and pushes on the symbolic stack of ``low``, appends effects and
closes blocks.  Those of control, of calls and of exceptions have files of their own; a Build may replace any, which is
how a bug in the control flow is planted.  Which rule serves a row is decided once per build, by :func:`plan`, from what
the row says of itself.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from engine.errors import Trap, TrapKind
from engine.execution import closures
from engine.execution.closures import VALUE
from engine.execution.frame import BULK, JUMP, UNREACHABLE
from engine.execution.fuel import Bulk, Check, Refund, Start
from engine.execution.sight import never_in_bounds
from engine.instructions import numeric
from engine.instructions.memory import load_n, store_n
from engine.instructions.model import Control, Effect, Region
from engine.instructions.variable import global_get, global_set, local_get, local_set, local_tee
from engine.types import Arrow, NumType

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from engine.execution.frame import Registers
    from engine.execution.fuel import FuelModel
    from engine.execution.lower import Lowering
    from engine.instructions.model import Instr

__all__ = [
    "ALL_REGISTERS", "ANYTHING", "BITS", "TRAPS", "VALUE_RULES", "Plan", "Rule", "bulk_effect", "general", "plan",
    "run_of",
]  # fmt: skip

Rule = Callable[["Lowering", "Plan", tuple[Any, ...], int], None]

# What an entry may depend on and an effect may disturb; see lower.py.
BITS = tuple(1 << n for n in range(32))
ALL_REGISTERS = (1 << 32) - 1
TRAPS = 1 << 32
REGIONS = {region: 1 << 33 + n for n, region in enumerate(Region)} | {Region.LOCAL: ALL_REGISTERS}
ANYTHING = TRAPS | sum(bit for region, bit in REGIONS.items() if region is not Region.LOCAL)


def _bits(regions: Iterable[Region]) -> int:
    out = 0
    for region in regions:
        out |= REGIONS[region]
    return out


class Plan:
    """What a build made of one row: the rule, its cost, factories by operand kinds, what it depends on and disturbs.

    ``x`` is the last argument of a shaped factory, None for an inlined one; ``make_run`` is the row's ``make`` where it
    may stand for ``run``; ``folds`` says that the value for constant operands may be computed while lowering.
    """

    __slots__ = (
        "control", "cost", "disturbs", "folds", "is_state", "make", "make_run", "mask", "row", "rule", "run",
        "touches_locals", "x",
    )  # fmt: skip

    def __init__(self, row: Instr, rule: Rule, cost: int) -> None:
        self.row = row
        self.rule = rule
        self.cost = cost
        self.control = row.control
        self.run: Any = row.run
        self.mask = _bits(row.reads) | (TRAPS if row.traps else 0)
        self.disturbs = _bits(row.writes) | TRAPS
        self.is_state = row.effect is Effect.STATE
        self.touches_locals = Region.LOCAL in row.reads | row.writes
        self.make: tuple[Any, ...] = ()
        self.make_run: Callable[..., Any] | None = None
        self.x: Any = None
        self.folds = False


def plan(row: Instr, rules: Mapping[str, Rule], inline: bool, fuel_model: FuelModel) -> Plan | None:
    """Return how ``row`` is lowered, None where no rule can; ``inline`` allows what knows its semantics."""
    name = _rule_name(row, inline)
    if name == "bulk":
        name = _BULK[fuel_model.bulk]
    if name not in rules:
        return None
    rule = rules[name]
    if row.access and fuel_model.refund is not Refund.NOTHING:
        rule = partial(access, rule)
    out = Plan(row, rule, fuel_model.flat(row))
    out.make_run = row.make if inline else None
    out.folds = inline and row.effect is Effect.PURE and not row.traps
    if name in ("unary", "binary", "ternary", "load", "store"):
        found = closures.inlined(row) if inline else None
        if found is None:
            arity = ("unary", "binary", "ternary").index(name) + 1
            found, out.x = closures.shaped(arity, bool(row.traps)), row.run
        out.make = found
    return out


_BULK = {Bulk.FLAT: "general", Bulk.AFTER: "bulk", Bulk.BEFORE: "weighed"}
_BY_RUN = {
    local_get: "local.get", local_set: "local.set", local_tee: "local.tee", global_get: "global.get",
    global_set: "global.set",
}  # fmt: skip
_CALLS = {("funcidx",): "call", ("typeidx", "tableidx"): "call_indirect", ("typeidx",): "call_ref"}
_BY_ARITY = {1: "unary", 2: "binary", 3: "ternary"}


def _rule_name(row: Instr, inline: bool) -> str:
    if row.control is not None:
        if row.control in (Control.CALL, Control.TAIL_CALL):
            name = _CALLS.get(tuple(imm.name for imm in row.imms), "")
            return name if row.control is Control.CALL else f"return_{name}"
        return str(row.control.value)
    if row.bulk is not None:
        return "bulk"
    function = getattr(row.run, "func", row.run)
    if function in _BY_RUN and (inline or row.family == "variable"):
        return _BY_RUN[function]
    if inline and function is load_n:
        return "load"
    if inline and function is store_n:
        return "store"
    if row.effect is Effect.PURE and isinstance(row.type, Arrow):
        pops, pushes, _ = row.type
        if not pops and len(pushes) == 1:
            return "integer" if inline and row.run is numeric.integer else "const"
        if len(pops) == 1 and not pushes and not row.traps:
            return "drop"
        if not row.imms and len(pushes) == 1 and len(pops) in _BY_ARITY:
            return _BY_ARITY[len(pops)]
    return "general"


# -- values


# The first rules are most of what lowering does: what they share with each other stands in each of them.


def integer(low: Lowering, p: Plan, imms: tuple[Any, ...], offset: int) -> None:
    """A constant that is its immediate."""
    low.stack.append([imms[0]])


def const(low: Lowering, p: Plan, imms: tuple[Any, ...], offset: int) -> None:
    """A constant, computed now."""
    low.stack.append([p.run(*imms)])


def unary(low: Lowering, p: Plan, imms: tuple[Any, ...], offset: int) -> None:
    """A pending expression of one operand."""
    st = low.stack
    e = st.pop()
    t = type(e)
    if t is int:
        st.append((p.make[0], e, None, offset, p.x, p.mask | BITS[e & 31], 1))
        depth = 1
    elif t is list:
        if p.folds:
            st.append([p.run(e[0])])
            return
        st.append((p.make[1], e[0], None, offset, p.x, p.mask, 1))
        depth = 1
    else:
        depth = e[6] + 1
        st.append((p.make[2], e[0](VALUE, e[1], e[2], e[3], e[4]), None, offset, p.x, p.mask | e[5], depth))
    if len(st) <= low.floor:
        low.floor = len(st) - 1
    if depth > low.max_nesting:
        low.settle()


def binary(low: Lowering, p: Plan, imms: tuple[Any, ...], offset: int) -> None:
    """A pending expression of two operands."""
    st = low.stack
    e2 = st.pop()
    e1 = st.pop()
    mask, depth = p.mask, 1
    t = type(e1)
    if t is int:
        kinds = 0
        a = e1
        mask |= BITS[e1 & 31]
    elif t is list:
        kinds = 3
        a = e1[0]
    else:
        kinds = 6
        a = e1[0](VALUE, e1[1], e1[2], e1[3], e1[4])
        mask |= e1[5]
        depth = e1[6] + 1
    t = type(e2)
    if t is int:
        b = e2
        mask |= BITS[e2 & 31]
    elif t is list:
        kinds += 1
        b = e2[0]
        if kinds == 4 and p.folds:
            st.append([p.run(a, b)])
            return
    else:
        kinds += 2
        b = e2[0](VALUE, e2[1], e2[2], e2[3], e2[4])
        mask |= e2[5]
        if e2[6] >= depth:
            depth = e2[6] + 1
    st.append((p.make[kinds], a, b, offset, p.x, mask, depth))
    if len(st) <= low.floor:
        low.floor = len(st) - 1
    if depth > low.max_nesting:
        low.settle()


def ternary(low: Lowering, p: Plan, imms: tuple[Any, ...], offset: int) -> None:
    """A pending expression of three operands."""
    st = low.stack
    entries = st[-3:]
    del st[-3:]
    if p.folds and all(type(e) is list for e in entries):
        st.append([p.run(*[e[0] for e in entries])])
        return
    (ka, a), (kb, b), (kc, c) = map(low.operand, entries)
    low.push((p.make[ka * 9 + kb * 3 + kc], a, b, offset, c if p.x is None else (p.x, c), *_depends(low, p, entries)))


def _depends(low: Lowering, p: Plan, entries: list[Any]) -> tuple[int, int]:
    """Return mask and depth of an expression over these entries."""
    mask, depth = p.mask, 0
    for e in entries:
        mask |= low.mask(e)
        if type(e) is tuple and e[6] > depth:
            depth = e[6]
    return mask, depth + 1


def drop(low: Lowering, p: Plan, imms: tuple[Any, ...], offset: int) -> None:
    """Forget an operand, but not its traps."""
    st = low.stack
    if type(st[-1]) is tuple and st[-1][5] & TRAPS:
        low.spill(TRAPS)
    st.pop()


def local_get_rule(low: Lowering, p: Plan, imms: tuple[Any, ...], offset: int) -> None:
    """The register itself."""
    st = low.stack
    st.append(imms[0])
    if len(st) <= low.floor:
        low.floor = len(st) - 1


def local_set_rule(low: Lowering, p: Plan, imms: tuple[Any, ...], offset: int) -> None:
    """Set the register."""
    x = imms[0]
    v = low.stack.pop()
    if type(v) is tuple:
        if low.stack:
            low.spill(BITS[x & 31] | v[5] & TRAPS)
        low.body.append(v[0](x, v[1], v[2], v[3], v[4]))
        return
    if low.stack:
        low.spill(BITS[x & 31])
    low.put(x, v)


def local_tee_rule(low: Lowering, p: Plan, imms: tuple[Any, ...], offset: int) -> None:
    """Set the register and go on with it."""
    local_set_rule(low, p, imms, offset)
    low.push(imms[0])


def global_get_rule(low: Lowering, p: Plan, imms: tuple[Any, ...], offset: int) -> None:
    """A pending read."""
    low.push((closures.get_global, None, None, offset, low.module.globals[imms[0]], p.mask, 1))


def global_set_rule(low: Lowering, p: Plan, imms: tuple[Any, ...], offset: int) -> None:
    """An effect."""
    v = low.stack.pop()
    low.spill(p.disturbs)
    kind, a = low.operand(v)
    low.body.append(closures.set_global(kind, a, low.module.globals[imms[0]]))


def load(low: Lowering, p: Plan, imms: tuple[Any, ...], offset: int) -> None:
    """A pending read at an address."""
    m = imms[0]
    e = low.stack.pop()
    kind, a = low.operand(e)
    x = (low.module.mems[m.mem].data, m.offset)
    low.push((p.make[kind], a, None, offset, x, p.mask | low.mask(e), e[6] + 1 if type(e) is tuple else 1))


def store(low: Lowering, p: Plan, imms: tuple[Any, ...], offset: int) -> None:
    """An effect on memory."""
    m = imms[0]
    st = low.stack
    v = st.pop()
    i = st.pop()
    if st:
        low.spill(p.disturbs)
    ka, a = low.operand(i)
    kb, b = low.operand(v)
    x = (low.module.mems[m.mem].data, m.offset)
    low.body.append(p.make[ka * 3 + kb](VALUE, a, b, offset, x))


def general(low: Lowering, p: Plan, imms: tuple[Any, ...], offset: int) -> None:
    """Any row by its ``run``: a pending expression if it gives one value and changes nothing, else an effect."""
    row = p.row
    locals_ = p.touches_locals
    pops, pushes, _ = row.arrow(low.function_context() if locals_ else low.context, imms)
    n, m = len(pops), len(pushes)
    st = low.stack
    entries = st[len(st) - n :]
    del st[len(st) - n :]
    made = _call(low, p, imms, offset, entries)
    if m == 1 and not row.writes and made is not None and not locals_:
        low.push((*made, *_depends(low, p, entries)))
        return
    d = low.nl + len(st)
    low.spill(p.disturbs | (ALL_REGISTERS if m > 1 else BITS[d & 31] if m else 0))
    if made is None or locals_:
        effect = closures.many(run_of(low, p, imms), [low.closure(e) for e in entries])
        effect = closures.located(effect, offset)
        if locals_:
            effect = closures.with_locals(effect, low.frame)
    else:
        effect = made[0](VALUE, *made[1:])
    low.body.append(closures.scatter(d, m, effect) if m else effect)
    low.results(m)


def run_of(low: Lowering, p: Plan, imms: tuple[Any, ...]) -> Any:
    """Return the function of the operands alone."""
    if p.make_run is not None:
        return p.make_run(low.frame, *imms)
    if p.is_state or p.row.effect is Effect.CONTROL:
        return partial(p.run, low.frame, *imms)
    return partial(p.run, *imms) if imms else p.run


def _call(low: Lowering, p: Plan, imms: tuple[Any, ...], offset: int, entries: list[Any]) -> tuple[Any, ...] | None:
    """Return the shaped factory for these operands with its arguments, None where they are too many."""
    n = len(entries)
    if n > 3:
        return None
    pairs = [low.operand(e) for e in entries]
    index = 0
    for kind, _ in pairs:
        index = index * 3 + kind
    a, b, c = ([v for _, v in pairs] + [None] * 3)[:3]
    run = run_of(low, p, imms)
    return closures.shaped(n, bool(p.row.traps))[index], a, b, offset, (run, c) if n == 3 else run


def access(rule: Rule, low: Lowering, p: Plan, imms: tuple[Any, ...], offset: int) -> None:
    """An access to memory where a model refunds traps: one that can never be in bounds is a save point."""
    if not never_in_bounds(low.context, p.row, imms):
        rule(low, p, imms, offset)
        return
    low.spill(TRAPS)
    m = next(imm for imm in imms if hasattr(imm, "offset"))
    if TrapKind.UNALIGNED_ATOMIC in p.row.traps:  # which comes first, and is no save point
        pops, _, _ = p.row.arrow(low.context, imms)
        address = low.closure(low.stack[len(low.stack) - len(pops)])
        low.body.append(closures.aligned(address, m.offset, p.row.access, offset))
    message = f"{p.row.access} bytes at offset {m.offset:#x}"
    low.finish(UNREACHABLE, offset).test = partial(Trap, TrapKind.MEMORY_OUT_OF_BOUNDS, message)


def bulk(low: Lowering, p: Plan, imms: tuple[Any, ...], offset: int) -> None:
    """An operator whose work is in proportion to an operand: it ends its block."""
    row, model = p.row, low.build.fuel_model
    assert row.bulk is not None
    pops, pushes, _ = row.arrow(low.context, imms)
    n = len(pops)
    st = low.stack
    low.settle(len(st) - n)
    entries = st[len(st) - n :]
    del st[len(st) - n :]
    d = low.nl + len(st)
    effect = bulk_effect(low, p, imms, offset, entries, d if pushes else None)
    static = model.uncounted(row, low.length)
    grows = bool(pushes) and isinstance(pushes[0], NumType)
    refused = (1 << pushes[0].bits) - 1 if grows and not static else None
    unpaid = -1 if model.check is Check.REMAINS else 0  # what refused growth costs: -1 is nothing, and no check
    test = closures.counted(entries[row.bulk.length], partial(model.pieces, row), effect, d, refused, unpaid)
    if refused is None or not unpaid:
        low.comes_back(BULK, offset, len(pushes), Start.PLAIN if static else Start.BULK).test = test
        return
    here = low.finish(BULK, offset)
    here.test = test
    here.next = low.block(low.pc)
    low.begin(here.next, Start.BULK)
    here.other = low.finish(JUMP, offset).next = low.block(low.pc)
    low.begin(here.other)
    low.results(len(pushes))


def bulk_effect(
    low: Lowering, p: Plan, imms: tuple[Any, ...], offset: int, entries: list[Any], d: int | None
) -> Callable[[Registers], Any]:
    """Return the closure that runs a bulk operator on operands in registers; its result, if any, goes to ``d``."""
    made = _call(low, p, imms, offset, entries)
    if made is not None:
        effect: Callable[[Registers], Any] = made[0](VALUE if d is None else d, *made[1:])
        return effect
    effect = closures.located(closures.many(run_of(low, p, imms), [low.closure(e) for e in entries]), offset)
    return effect if d is None else closures.scatter(d, 1, effect)


# fmt: off
VALUE_RULES: dict[str, Rule] = {
    "integer": integer, "const": const, "unary": unary, "binary": binary, "ternary": ternary, "drop": drop,
    "local.get": local_get_rule, "local.set": local_set_rule, "local.tee": local_tee_rule,
    "global.get": global_get_rule, "global.set": global_set_rule, "load": load, "store": store, "general": general,
    "bulk": bulk,
}
# fmt: on
