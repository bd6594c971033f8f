"""Memory instances against a plain model, in both kinds of buffer."""

from __future__ import annotations

import mmap
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import ExhaustionError, Resource, Trap, TrapKind
from engine.runtime import memory
from engine.runtime.memory import MemInst
from engine.types import I64, Limits, MemType

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = 65536
SMALL_PAGES = 0  # pages of one byte make a whole memory easy to compare
NEAR = st.integers(0, 50)
OPERATIONS = st.one_of(
    st.tuples(st.just("write"), NEAR, st.binary(max_size=9)),
    st.tuples(st.just("fill"), NEAR, st.integers(0, 255), NEAR),
    st.tuples(st.just("copy"), NEAR, NEAR, NEAR),
    st.tuples(st.just("init"), st.binary(max_size=9), NEAR, st.integers(0, 10), st.integers(0, 10)),
    st.tuples(st.just("grow"), st.integers(0, 12)),
)


@pytest.fixture(params=[bytearray, mmap.mmap])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[type]:
    """Every memory that is not empty gets this kind of buffer."""
    monkeypatch.setattr(memory, "MAPPED_FROM_BYTES", 1 if request.param is mmap.mmap else 1 << 60)
    yield request.param


def make(minimum: int, maximum: int | None = None, *, limit: int = 1 << 16, page_bits: int = 16) -> MemInst:
    return MemInst(0, MemType(Limits(minimum, maximum), page_bits=page_bits), limit)


def model_apply(model: bytearray, operation: tuple[Any, ...], maximum: int) -> Any:
    """Do the operation on the model: what it returns, or "trap" where the specification says so."""
    match operation:
        case ("write", ea, data):
            d, source, s, n = ea, data, 0, len(data)
        case ("fill", ea, val, n):
            d, source, s = ea, bytes([val]) * n, 0
        case ("copy", d, s, n):
            source = bytes(model)
        case ("init", source, d, s, n):
            pass
        case ("grow", delta):
            if len(model) + delta > maximum:
                return -1
            model.extend(bytes(delta))
            return len(model) - delta
    if s + n > len(source) or d + n > len(model):
        return "trap"
    for i in range(n):
        model[d + i] = source[s + i]
    return None


def engine_apply(mem: MemInst, operation: tuple[Any, ...]) -> Any:
    name, *args = operation
    try:
        return mem.copy(mem, *args) if name == "copy" else getattr(mem, name)(*args)
    except Trap as trap:
        assert trap.kind is TrapKind.MEMORY_OUT_OF_BOUNDS
        return "trap"


@pytest.mark.parametrize("minimum", [0, 24])
@pytest.mark.parametrize("mapped_from", [1, 1 << 60])
@given(operations=st.lists(OPERATIONS, max_size=12))
def test_operations_agree_with_a_model_and_keep_the_buffer(minimum, mapped_from, operations):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "MAPPED_FROM_BYTES", mapped_from)
        mem = make(minimum, 40, page_bits=SMALL_PAGES)
    data, model = mem.data, bytearray(minimum)
    for operation in operations:
        assert engine_apply(mem, operation) == model_apply(model, operation, 40)
        assert mem.data is data
        assert mem.read(0, len(data)) == model
        assert mem.size_pages == mem.type.limits.min == len(model)


def test_a_buffer_is_of_the_expected_kind(kind):
    assert type(make(1, 2).data) is (kind if sys.platform == "linux" else bytearray)


def test_a_memory_is_mapped_only_if_it_may_become_big():
    assert type(make(1, 16).data) is bytearray
    if sys.platform == "linux":
        assert type(make(1, 65536).data) is mmap.mmap
        assert type(make(1).data) is mmap.mmap
    assert type(make(1, limit=16).data) is bytearray


def test_a_big_maximum_allocates_only_the_minimum():
    assert [len(make(n, 65536).data) for n in (0, 1, 3)] == [0, PAGE, 3 * PAGE]


def test_a_memory_without_pages_has_no_bytes_and_can_grow(kind):
    mem = make(0)
    data = mem.data
    assert mem.read(0, 0) == b""
    mem.fill(0, 1, 0)
    mem.copy(mem, 0, 0, 0)
    mem.init(b"", 0, 0, 0)
    for ea, n in ((0, 1), (1, 0)):
        with pytest.raises(Trap):
            mem.read(ea, n)
    assert mem.grow(0) == 0
    assert mem.grow(2) == 0
    assert mem.data is data
    assert mem.read(0, 2 * PAGE) == bytes(2 * PAGE)


def test_growth_keeps_contents_and_appends_zeros(kind):
    mem = make(1)
    mem.fill(0, 0xAA, PAGE)
    assert mem.grow(3) == 1
    assert mem.read(0, 4 * PAGE) == b"\xaa" * PAGE + bytes(3 * PAGE)


@pytest.mark.parametrize(
    ("minimum", "maximum", "limit", "delta"),
    [
        (1, 2, 65536, 2),
        (1, None, 2, 2),
        (1, 9, 2, 2),
        (0, 0, 65536, 1),
        (1, None, 65536, 65536),
        (0, None, 9, 2**32 - 1),
    ],
)
def test_refused_growth_changes_nothing(kind, minimum, maximum, limit, delta):
    mem = make(minimum, maximum, limit=limit)
    before = (bytes(mem.data), mem.type)
    assert mem.grow(delta) == -1
    assert (bytes(mem.data), mem.type) == before


def test_the_address_type_bounds_growth_whatever_the_limit():
    assert make(0, limit=1 << 40).grow(65537) == -1
    assert MemInst(0, MemType(Limits(0), I64), 1 << 60).limit_pages == 1 << 48


def test_growth_that_the_machine_refuses_is_refused(monkeypatch):
    class Full(bytearray):
        def __iadd__(self, other: object) -> Full:
            raise MemoryError

    mem = make(0)
    mem.data = Full()
    assert (mem.grow(1), mem.size_pages, mem.type.limits.min) == (-1, 0, 0)


def test_a_minimum_beyond_the_limit_is_exhaustion():
    with pytest.raises(ExhaustionError) as caught:
        make(3, limit=2)
    assert caught.value.resource is Resource.HEAP


def test_copy_between_memories_checks_each_against_its_own_size(kind):
    small, big = make(1), make(2)
    big.write(PAGE, b"xyz")
    small.copy(big, PAGE - 3, PAGE, 3)
    assert small.read(PAGE - 3, 3) == b"xyz"
    for to, of, d, s in ((small, big, PAGE - 2, 0), (small, big, 0, 2 * PAGE - 2), (big, small, 0, PAGE - 2)):
        with pytest.raises(Trap):
            to.copy(of, d, s, 3)


def test_a_fill_of_many_chunks_is_whole():
    mem = make(40)
    mem.fill(5, 7, 40 * PAGE - 6)
    assert mem.read(0, 40 * PAGE) == bytes(5) + b"\x07" * (40 * PAGE - 6) + b"\0"
