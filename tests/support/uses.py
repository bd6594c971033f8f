"""A valid use of every row: a module with a function whose parameters are the operands of the row and whose locals take
its results; with it uses of all immediates that the rule of the row admits, and some that it does not.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import groupby, product
from typing import Any, NamedTuple

from ci.gates.agreement import SETS
from engine import InvalidError, encode, parse
from engine.features import ALL, CUSTOM_DESCRIPTORS
from engine.instructions import TABLE
from engine.instructions.immediates import CastBranch, Catch, MemArg
from engine.instructions.model import Control, Instr
from engine.matching import matches
from engine.module import Code, In
from engine.types import (
    ANYREF,
    EXNREF,
    EXTERN,
    EXTERNREF,
    F32,
    FUNC,
    FUNCREF,
    I32,
    I64,
    STRUCT,
    DefType,
    ExactType,
    FuncType,
    RecType,
    RefType,
    SubType,
    exact,
    ref,
    substitute,
    variable,
)
from engine.validation.context import Context

FIELDS = "(field (mut i32)) (field i64) (field (mut i8))"
BASE = f"""(type (func)) (type (func (param i32) (result i32))) (type (func (param i64)))
(type (sub (struct {FIELDS}))) (type (sub final 3 (struct {FIELDS} (field (ref func)))))
(type (array (mut i32))) (type (array i8)) (type (array (mut funcref))) (type (array (mut i8)))
(table 1 funcref) (table 1 externref) (table i64 1 funcref) (table 1 anyref)
(memory 1) (memory i64 1) (memory 1 1 shared)
(global i32 (i32.const 0)) (global (mut i32) (i32.const 0)) (global (mut i64) (i64.const 0))
(global funcref (ref.func 0))
(tag) (tag (type 2)) (elem funcref) (elem externref) (data "")
(func (export "f")) (func (type 1) (local.get 0))"""
DESCRIBED = "(rec (type (descriptor 10) (struct)) (type (describes 9) (struct)))"

NOWHERE = 1000
STRUCTREF = ref(False, 3)
CANDIDATES: dict[str, tuple[Any, ...]] = {
    "localidx": (0, NOWHERE),
    "globalidx": (1, 0, 2, 3, NOWHERE),
    "funcidx": (0, 1, NOWHERE),
    "typeidx": (*range(9), NOWHERE),
    "tableidx": (0, 1, 2, 3, NOWHERE),
    "memidx": (0, 1, 2, NOWHERE),
    "elemidx": (0, 1, NOWHERE),
    "dataidx": (0, 1, NOWHERE),
    "tagidx": (0, 1, NOWHERE),
    "fieldidx": (0, 1, 2, 3, NOWHERE),
    "labelidx": (0, 1, NOWHERE),
    "memarg": (
        *(MemArg(align, 0, mem) for mem in (0, 1, 2) for align in range(6)),
        MemArg(0, 2**32 - 1, 0), MemArg(0, 2**32, 0), MemArg(0, 2**64 - 1, 1), MemArg(0, 0, NOWHERE), MemArg(63, 0, 0),
    ),
    "heaptype": (FUNC, EXTERN, STRUCT, 1, 3, NOWHERE),
    "valtypes": ((I32,), (), (I32, I32), (FUNCREF,), (ref(True, NOWHERE),)),
    "blocktype": (None, I32, 1, 3, ref(True, 3), NOWHERE, ref(True, NOWHERE)),
    "br_table": (((0,), 0), ((), 0), ((0,), NOWHERE)),
    "catches": (
        (), (Catch(None, False, 0),), (Catch(0, False, 0),), (Catch(1, False, 0),), (Catch(1, True, 0),),
        (Catch(0, True, 0),), (Catch(NOWHERE, False, 0),), (Catch(None, False, NOWHERE),),
    ),
    "cast": (
        CastBranch(0, ANYREF, ref(False, STRUCT)), CastBranch(0, ANYREF, STRUCTREF), CastBranch(0, ANYREF, FUNCREF),
        CastBranch(0, STRUCTREF, ANYREF), CastBranch(NOWHERE, ANYREF, STRUCTREF), CastBranch(1, ANYREF, STRUCTREF),
        CastBranch(0, ref(True, NOWHERE), STRUCTREF), CastBranch(0, ANYREF, ref(True, NOWHERE)),
    ),
    "u32": (0, 1, 3), "laneidx": (0, 1, 2, 3, 4, 7, 8, 15, 16, 255),
    "lanes": (bytes(16), bytes([31] * 16), bytes([32] * 16)),
    "i32": (0,), "i64": (0,), "f32": (0,), "f64": (0,), "v128": (0,), "zero": (0,),
}  # fmt: skip
OF_DESCRIPTORS: dict[str, tuple[Any, ...]] = {  # these besides
    "typeidx": (9, 10),
    "heaptype": (9, 10, exact(9), exact(NOWHERE)),
    "cast": (CastBranch(0, ANYREF, ref(False, 9)), CastBranch(0, ANYREF, ref(False, exact(9)))),
}  # fmt: skip
LABELS = ((I32,), (I64,), (FUNCREF,), (ref(False, FUNC),), (ANYREF,), (EXNREF,), (I64, EXNREF), (STRUCTREF,), ())
INSTANCE = {"any": I32, "numvec": I32, "ref": FUNCREF, "heap": FUNC, "null": True, "exact": True}
OTHERS = (I32, I64, F32, FUNCREF, EXTERNREF)

# These only go on with what others began, which `test_a_clause_is_where_it_may_be` and test_validate.py break.
CLAUSES = {Control.ELSE, Control.END, Control.CATCH, Control.DELEGATE, Control.RETHROW}
OPENERS = {Control.BLOCK, Control.LOOP, Control.IF, Control.TRY_TABLE, Control.TRY}
LEAVERS = {Control.RETURN, Control.TAIL_CALL}  # what they take or give is what the function gives
ROWS = [row for row in TABLE if row.control not in CLAUSES]


def ins(name: str, *imms: Any) -> In:
    return In(TABLE.by_name[name], imms)


class Use(NamedTuple):
    """One use of a row: the results of the function around it, its immediates, and its closed types by its rule."""

    row: Instr
    results: tuple[Any, ...]
    imms: tuple[Any, ...]
    pops: tuple[Any, ...] = ()
    pushes: tuple[Any, ...] = ()
    diverges: bool = False


class Around:
    """The module around a row under a set of features."""

    def __init__(self, row: Instr) -> None:
        described = row.feature is CUSTOM_DESCRIPTORS
        self.shared = row.feature in SETS["all"]
        self.features = SETS["all"] if self.shared else ALL if described else ALL - {CUSTOM_DESCRIPTORS}
        self.module = parse(BASE + (DESCRIBED if described else ""), self.features)
        self.context = Context.of_module(self.module, self.features)

    def use(self, row: Instr, results: tuple[Any, ...], imms: tuple[Any, ...]) -> Use:
        """Return a use of a row that its rule admits, or raise its error."""
        c = self.context.function(FuncType((I32,), tuple(map(self.context.close_valtype, results))))
        c.gate.check_written(row, imms)
        arrow = row.arrow(c, imms)
        bound = next((v for t in arrow.pops if (v := variable(t))), None)
        if bound is not None:
            value = INSTANCE[bound.bound]
            arrow = arrow._replace(
                pops=tuple(substitute(t, value) for t in arrow.pops),
                pushes=tuple(substitute(t, value) for t in arrow.pushes),
            )
        return Use(row, results, imms, arrow.pops, arrow.pushes, arrow.polymorphic)

    def opened(self, t: Any) -> Any:
        """Return a closed type as it is written in the module."""
        if isinstance(t, RefType):
            return ref(t.null, self.opened(t.heap))
        if isinstance(t, ExactType):
            return exact(self.opened(t.heap))
        return self.context.types.index(t) if isinstance(t, DefType) else t

    def wasm(self, use: Use, params: tuple[Any, ...], locals_: tuple[Any, ...], n: int, extra: int = 0) -> bytes:
        """Return the module of a function that pushes ``n`` of its parameters and stores what the row pushes."""
        first = 1 + len(params) - n
        body = [ins("local.get", first + i) for i in range(n)]
        body.append(In(use.row, use.imms))
        if use.row.control in OPENERS:
            body += [ins("unreachable")]
            body += [ins("else"), ins("unreachable")] if use.row.control is Control.IF else []
            body += [ins("end")]
        if not use.diverges:
            body += [ins("local.set", 1 + len(params) + i) for i in reversed(range(len(locals_)))]
            body += [ins("drop")] * extra
            body += [ins("unreachable")]
        functype = FuncType((I32, *map(self.opened, params)), use.results)
        runs = tuple((len(list(run)), self.opened(t)) for t, run in groupby(locals_))
        code = Code(runs, (*body, ins("end")))
        m = self.module
        index = sum(len(group.subtypes) for group in m.types)
        return encode(
            replace(m, types=(*m.types, RecType((SubType(True, (), functype),))), funcs=(*m.funcs, index),
                    codes=(*m.codes, code))
        )  # fmt: skip

    def right(self, use: Use) -> bytes:
        """Return the module in which nothing is wrong."""
        return self.wasm(use, use.pops, use.pushes, len(use.pops))


def another(t: Any) -> Any:
    """Return a type that is no subtype and no supertype of ``t``."""
    return next(other for other in OTHERS if not matches(other, t) and not matches(t, other))


@cache
def uses(row: Instr) -> tuple[Around, Use, list[bytes], list[bytes]]:
    """Return the first use that the rule admits, and the modules of all whose immediates are right, and are not.

    Those that are not differ from the first use in one immediate, and have its operands.
    """
    around = Around(row)
    besides = OF_DESCRIPTORS if row.feature is CUSTOM_DESCRIPTORS else {}
    kinds = [CANDIDATES[kind.name] + besides.get(kind.name, ()) for kind in row.imms]
    leaves = row.control in LEAVERS or any("labelidx" in (k.name, *k.holds) for k in row.imms)
    right, first = [], None
    for results, imms in product(LABELS if leaves else ((),), product(*kinds)):
        try:
            use = around.use(row, results, imms)
        except InvalidError:
            continue
        first = first or use
        right.append(around.right(use))
    assert first is not None, f"no candidates make a valid use of {row}"
    wrong = []
    for i, kind in enumerate(kinds):
        for value in kind:
            imms = (*first.imms[:i], value, *first.imms[i + 1 :])
            try:
                around.use(row, first.results, imms)
            except InvalidError:
                wrong.append(around.right(first._replace(imms=imms)))
    return around, first, right, wrong
