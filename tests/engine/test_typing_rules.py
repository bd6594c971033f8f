"""The typing rule of every row, broken at each of its premises; wasmtime has the same opinion of each module.

A row is put into a function whose parameters are its operands and whose locals take its results.  The module is valid.
Then one thing is wrong: an operand has another type or is missing, a result has another type or is wanted twice, an
immediate is out of range, names a definition of another sort, or breaks what the rule says about it.
"""

from __future__ import annotations

import pytest

from ci.gates.agreement import theirs
from engine import InvalidError, decode, validate
from engine.types import (
    variable,
)
from tests.support.uses import ROWS, Around, Use, another, uses

UNBREAKABLE = {"nop", "unreachable", "atomic.fence"}  # nothing in, nothing out


def broken(around: Around, use: Use) -> list[bytes]:
    """Return modules in which one operand or result is wrong."""
    pops, pushes = use.pops, use.pushes
    made = []
    declared = use.row.type.pops if not callable(use.row.type) else use.pops
    for i, t in enumerate(pops):
        bound = variable(declared[i])
        if bound is None or bound.bound != "any":
            made.append(around.wasm(use, (*pops[:i], another(t), *pops[i + 1 :]), pushes, len(pops)))
    if pops:
        made.append(around.wasm(use, pops, pushes, len(pops) - 1))
    if not use.diverges:
        for i, t in enumerate(pushes):
            made.append(around.wasm(use, pops, (*pushes[:i], another(t), *pushes[i + 1 :]), len(pops)))
        if pushes:
            made.append(around.wasm(use, pops, pushes, len(pops), extra=1))
    return made


def refused(around: Around, wasm: bytes) -> InvalidError | None:
    module = decode(wasm, around.features)
    try:
        validate(module, around.features)
    except InvalidError as e:
        return e
    return None


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_what_the_rule_admits_is_valid(row):
    around, _, right, _ = uses(row)
    for wasm in right:
        assert refused(around, wasm) is None
        if around.shared:
            assert theirs(wasm, around.features) is None


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_each_premise_of_the_rule_is_checked(row):
    around, use, _, wrong = uses(row)
    made = wrong + broken(around, use)
    assert bool(made) == (row.name not in UNBREAKABLE)
    for wasm in made:
        error = refused(around, wasm)
        assert error is not None, wasm.hex()
        assert error.where is not None
        assert error.where.funcidx == 2
        assert error.where.offset is not None
        if around.shared:
            assert theirs(wasm, around.features) is not None, (wasm.hex(), str(error))


def test_every_immediate_that_names_something_can_be_out_of_range():
    for row in ROWS:
        named = [kind for kind in row.imms if kind.name.endswith("idx") or kind.holds]
        if named:
            assert len(uses(row)[3]) >= len(named), row
