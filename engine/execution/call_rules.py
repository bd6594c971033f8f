"""How calls and tail calls are lowered; see ``rules.py``.

The function is found before the arguments are evaluated, so these are settled as far as they may trap.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from engine.errors import Trap, TrapKind
from engine.execution import closures
from engine.execution.frame import (
    CALL,
    CALL_INDIRECT,
    HOST,
    KEEP,
    NOTHING,
    TAIL_CALL,
    TAIL_INDIRECT,
    Registers,
    lowered,
)
from engine.execution.fuel import Start
from engine.execution.rules import ALL_REGISTERS, ANYTHING, BITS, TRAPS
from engine.matching import matches_heap
from engine.runtime.instance import HostFunc

if TYPE_CHECKING:
    from engine.execution.lower import Lowering
    from engine.execution.rules import Plan, Rule
    from engine.runtime.table import TableInst
    from engine.types import DefType

__all__ = ["CALL_RULES", "call_indirect", "resolve"]

PLAIN = Start.PLAIN


def call(low: Lowering, p: Plan, imms: tuple[Any, ...], offset: int) -> None:
    """Call a function known now."""
    _keep(low, offset, by_reference=False)
    func = low.module.funcs[imms[0]]
    n, m = len(func.functype.params), len(func.functype.results)
    _leave_behind(low, n, m)
    kinds, operands = low.operands(n)
    del low.stack[len(low.stack) - n :]
    if isinstance(func, HostFunc):
        args = closures.registers(NOTHING, kinds, operands)
        here = low.comes_back(HOST, offset, m, PLAIN)
        here.callee = func
    else:
        code = lowered(func)
        args = closures.registers(code, kinds, operands)
        here = low.comes_back(CALL, offset, m, PLAIN)
        here.callee = code
    here.args = args


def _keep(low: Lowering, offset: int, *, by_reference: bool) -> None:
    """Have the frame keep its counter over the call at hand, if the fuel model does."""
    is_caught = low.labels[-1].handlers is not None
    if low.build.fuel_model.keeps(by_reference, is_caught):
        low.settle()
        here = low.finish(KEEP, offset)
        here.test = by_reference
        here.next = low.block(low.pc - 1)
        low.begin(here.next)


def _leave_behind(low: Lowering, n: int, m: int) -> None:
    """See to it that nothing below the ``n`` arguments of a call with ``m`` results depends on what it may do."""
    below = len(low.stack) - n
    if below:
        low.spill(ANYTHING | (ALL_REGISTERS if m > 1 else BITS[low.nl + below & 31] if m else 0), n)


def resolve(table: TableInst, i: int, expected: DefType) -> Any:
    """Return the function in a table slot, or trap.  Spec: exec-call_indirect."""
    elems = table.elems
    if i >= len(elems):
        raise Trap(TrapKind.UNDEFINED_ELEMENT, f"element {i} of {len(elems)}")
    func = elems[i]
    if func is None:
        raise Trap(TrapKind.UNINITIALIZED_ELEMENT, f"element {i}")
    if func.type is not expected and not matches_heap(func.type, expected):
        raise Trap(TrapKind.INDIRECT_CALL_MISMATCH, f"expected {expected}, found {func.type}")
    return func


Resolve = Callable[["TableInst", int, "DefType"], Any]


def call_indirect(
    low: Lowering, p: Plan, imms: tuple[Any, ...], offset: int, resolve: Resolve = resolve
) -> None:  # fmt: skip
    """Call the function that ``resolve`` finds in a table."""
    _keep(low, offset, by_reference=False)
    test = _found_in_table(low, imms, resolve)
    functype = low.context.functype(imms[0])
    _call_found(low, test, len(functype.params), len(functype.results), offset)


def _found_in_table(low: Lowering, imms: tuple[Any, ...], resolve: Resolve) -> Callable[[Registers], Any]:
    """Return the closure of the function that the popped index means."""
    y, x = imms
    table, expected = low.module.tables[x], low.module.types[y]
    i = low.closure(_certain(low, low.stack.pop()))
    return lambda R: resolve(table, i(R), expected)


def _certain(low: Lowering, entry: Any) -> Any:
    """Return a popped entry whose evaluation cannot trap, because fuel is saved before."""
    return low.slot(entry) if low.mask(entry) & TRAPS else entry


def call_ref(low: Lowering, p: Plan, imms: tuple[Any, ...], offset: int) -> None:
    """Call the function that a reference points to."""
    owed = low.cost if low.build.fuel_model.owes else 0
    low.cost -= owed
    _keep(low, offset, by_reference=True)
    test = _referred_to(low)
    functype = low.context.functype(imms[0])
    _call_found(low, test, len(functype.params), len(functype.results), offset)
    low.cost += owed


def _referred_to(low: Lowering) -> Callable[[Registers], Any]:
    """Return the closure of the function that the popped reference points to."""
    r = low.closure(_certain(low, low.stack.pop()))

    def test(R: Registers) -> Any:
        func = r(R)
        if func is None:
            raise Trap(TrapKind.NULL_FUNCTION)
        return func

    return test


def _call_found(low: Lowering, test: Callable[[Registers], Any], n: int, m: int, offset: int) -> None:
    low.spill(TRAPS)  # the arguments are evaluated after the function, so they must not trap any more
    _leave_behind(low, n, m)
    args = closures.registers(NOTHING, *low.operands(n))
    del low.stack[len(low.stack) - n :]
    here = low.comes_back(CALL_INDIRECT, offset, m, PLAIN)
    here.args = args
    here.test = test


# -- tail calls


def return_call(low: Lowering, p: Plan, imms: tuple[Any, ...], offset: int) -> None:
    """Call a function known now in place of this one."""
    func = low.module.funcs[imms[0]]
    n = len(func.functype.params)
    if isinstance(func, HostFunc):
        _tail_call_found(low, closures.constant(func), n, offset)
        return
    low.spill(TRAPS, n)
    code = lowered(func)
    here = low.finish(TAIL_CALL, offset)
    here.args = closures.registers(code, *low.operands(n))
    here.callee = code


def return_call_indirect(
    low: Lowering, p: Plan, imms: tuple[Any, ...], offset: int, resolve: Resolve = resolve
) -> None:  # fmt: skip
    """Call the function that ``resolve`` finds in a table in place of this one."""
    _tail_call_found(low, _found_in_table(low, imms, resolve), len(low.context.functype(imms[0]).params), offset)


def return_call_ref(low: Lowering, p: Plan, imms: tuple[Any, ...], offset: int) -> None:
    """Call the function that a reference points to in place of this one."""
    _tail_call_found(low, _referred_to(low), len(low.context.functype(imms[0]).params), offset)


def _tail_call_found(low: Lowering, test: Callable[[Registers], Any], n: int, offset: int) -> None:
    low.spill(TRAPS)  # as for a call
    here = low.finish(TAIL_INDIRECT, offset)
    here.args = closures.registers(NOTHING, *low.operands(n))
    here.test = test


CALL_RULES: dict[str, Rule] = {
    "call": call, "call_indirect": call_indirect, "call_ref": call_ref, "return_call": return_call,
    "return_call_indirect": return_call_indirect, "return_call_ref": return_call_ref,
}  # fmt: skip
