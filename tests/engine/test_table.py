"""Table instances against a plain list."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import ExhaustionError, Resource, Trap, TrapKind
from engine.runtime.table import TableInst
from engine.types import EXTERNREF, FUNCREF, Limits, TableType

MAXIMUM = 14
NEAR = st.integers(0, 16)
REF = st.sampled_from([None, "a", "b", "c"])  # a table never looks at its elements
OPERATIONS = st.one_of(
    st.tuples(st.just("get"), NEAR),
    st.tuples(st.just("set"), NEAR, REF),
    st.tuples(st.just("fill"), NEAR, REF, NEAR),
    st.tuples(st.just("copy"), NEAR, NEAR, NEAR),
    st.tuples(st.just("init"), st.tuples(REF, REF, REF), NEAR, st.integers(0, 4), st.integers(0, 4)),
    st.tuples(st.just("grow"), st.integers(0, 8), REF),
)


def make(minimum: int, maximum: int | None = None, *, limit: int = 1000, init: Any = None) -> TableInst:
    return TableInst(0, TableType(FUNCREF, Limits(minimum, maximum)), limit, init)


def model_apply(model: list[Any], operation: tuple[Any, ...]) -> Any:
    """Do the operation on the model: what it returns, or "trap" where the specification says so."""
    match operation:
        case ("get", i):
            return model[i] if i < len(model) else "trap"
        case ("set", i, r):
            d, source, s, n = i, [r], 0, 1
        case ("fill", d, r, n):
            source, s = [r] * n, 0
        case ("copy", d, s, n):
            source = list(model)
        case ("init", source, d, s, n):
            pass
        case ("grow", n, r):
            if len(model) + n > MAXIMUM:
                return -1
            model.extend([r] * n)
            return len(model) - n
    if s + n > len(source) or d + n > len(model):
        return "trap"
    for i in range(n):
        model[d + i] = source[s + i]
    return None


def engine_apply(table: TableInst, operation: tuple[Any, ...]) -> Any:
    name, *args = operation
    try:
        return table.copy(table, *args) if name == "copy" else getattr(table, name)(*args)
    except Trap as trap:
        assert trap.kind is TrapKind.TABLE_OUT_OF_BOUNDS
        return "trap"


@pytest.mark.parametrize("minimum", [0, 9])
@given(operations=st.lists(OPERATIONS, max_size=12))
def test_operations_agree_with_a_model_and_keep_the_list(minimum, operations):
    table = make(minimum, MAXIMUM, init="a")
    elems, model = table.elems, ["a"] * minimum
    for operation in operations:
        assert engine_apply(table, operation) == model_apply(model, operation)
        assert table.elems is elems
        assert elems == model
        assert table.size == table.type.limits.min == len(model)


@pytest.mark.parametrize(
    ("minimum", "maximum", "limit", "n"),
    [(1, 2, 9, 2), (1, None, 2, 2), (1, 9, 2, 2), (0, 0, 9, 1), (0, None, 9, 2**32 - 1)],
)
def test_refused_growth_changes_nothing(minimum, maximum, limit, n):
    table = make(minimum, maximum, limit=limit, init="a")
    before = (list(table.elems), table.type)
    assert table.grow(n, "b") == -1
    assert (table.elems, table.type) == before


def test_a_minimum_beyond_the_limit_is_exhaustion():
    with pytest.raises(ExhaustionError) as caught:
        make(3, limit=2)
    assert caught.value.resource is Resource.HEAP


def test_a_big_maximum_allocates_only_the_minimum():
    assert make(3, 2**32 - 1).elems == [None] * 3


def test_copy_between_tables_checks_each_against_its_own_size():
    small, big = make(2), TableInst(1, TableType(EXTERNREF, Limits(4)), 9)
    big.set(3, "x")
    small.copy(big, 1, 3, 1)
    assert small.elems == [None, "x"]
    for to, of, d, s in ((small, big, 1, 0), (small, big, 0, 3), (big, small, 0, 1)):
        with pytest.raises(Trap):
            to.copy(of, d, s, 2)
