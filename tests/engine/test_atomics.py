"""Atomic instructions: against integers alone, order among other accesses, and waits that nobody ends."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import ExhaustionError, Store, instantiate, invoke
from engine.errors import Resource, Trap, TrapKind
from engine.features import THREADS
from engine.instructions import TABLE
from engine.instructions.immediates import MemArg
from engine.runtime.memory import MemInst
from engine.types import I32, I64, Limits, MemType
from tests.support.wasm import call, run, wat

ROWS = {row.name: row for row in TABLE if row.feature is THREADS and row.traps}
u64 = st.integers(0, 2**64 - 1)
OPERATORS = {
    "add": lambda i, j: i + j, "sub": lambda i, j: i - j, "and": lambda i, j: i & j, "or": lambda i, j: i | j,
    "xor": lambda i, j: i ^ j, "xchg": lambda i, j: j,
}  # fmt: skip


def bits(name: str) -> int:
    """Return the width of an access by its name: ``i64.atomic.rmw16.add_u`` has 16."""
    digits = name.split(".")[2].removeprefix("rmw").removeprefix("load").removeprefix("store").removesuffix("_u")
    return int(digits) if digits else int(name[1:3])


def named(*parts: str) -> list[str]:
    return [name for name in ROWS if any(part in name for part in parts)]


def frame(content: int, shared: bool = False):
    mem = MemInst(0, MemType(Limits(1, 1), shared=shared), 10)
    mem.write(8, content.to_bytes(8, "little"))
    return SimpleNamespace(module=SimpleNamespace(mems=[mem]), locals=[])


def held(f) -> int:
    return int.from_bytes(f.module.mems[0].read(8, 8), "little")


def test_every_row_is_named_by_its_width():
    assert {name: bits(name) // 8 for name in named("load", "store", "rmw")} == {
        name: ROWS[name].run.args[0] for name in named("load", "store", "rmw")
    }


@pytest.mark.parametrize("name", named("atomic.load"))
@given(content=u64)
def test_a_load_gives_the_low_bits(name, content):
    assert ROWS[name].run(frame(content), MemArg(0, 8), 0) == content % 2 ** bits(name)


@pytest.mark.parametrize("name", named("atomic.store"))
@given(content=u64, v=u64)
def test_a_store_replaces_the_low_bits(name, content, v):
    f, n = frame(content), bits(name)
    ROWS[name].run(f, MemArg(0, 0), 8, v % 2 ** int(name[1:3]))
    assert held(f) == content >> n << n | v % 2**n


@pytest.mark.parametrize("name", [name for name in named("rmw") if "cmpxchg" not in name])
@given(content=u64, v=u64)
def test_an_operator_gives_the_old_value_and_stores_the_new_one(name, content, v):
    f, n = frame(content), bits(name)
    operator = OPERATORS[name.split(".")[3].removesuffix("_u")]
    assert ROWS[name].run(f, MemArg(0, 4), 4, v % 2 ** int(name[1:3])) == content % 2**n
    assert held(f) == content >> n << n | operator(content % 2**n, v) % 2**n


@pytest.mark.parametrize("name", named("cmpxchg"))
@given(content=u64, v=u64, other=u64, high=u64)
def test_an_exchange_needs_the_low_bits_to_be_equal(name, content, v, other, high):
    n, width = bits(name), int(name[1:3])
    for expected in (other % 2**width, (high << n | content % 2**n) % 2**width):
        f = frame(content)
        assert ROWS[name].run(f, MemArg(0, 0), 8, expected, v % 2**width) == content % 2**n
        equal = expected % 2**n == content % 2**n
        assert held(f) == (content >> n << n | v % 2**n if equal else content)


def traps(run, *args) -> TrapKind:
    with pytest.raises(Trap) as caught:
        run(*args)
    return caught.value.kind


@pytest.mark.parametrize("name", ROWS)
def test_alignment_is_asked_before_bounds_and_nothing_has_changed(name):
    row = ROWS[name]
    c = SimpleNamespace(mem=lambda x: MemType(Limits(1)))
    align = next(a for a in range(4) if _valid(row, c, a))
    zeros = [0] * (len(row.arrow(c, (MemArg(align, 0),)).pops) - 1)
    f = frame(0x1122334455667788, shared=True)
    at = partial(row.run, f)
    for ea in (65536, 2**32 - 8, 2**64 - 8):
        assert traps(at, MemArg(align, 0), ea, *zeros) is TrapKind.MEMORY_OUT_OF_BOUNDS
        assert traps(at, MemArg(align, ea), 8, *zeros) is TrapKind.MEMORY_OUT_OF_BOUNDS
        if align:
            assert traps(at, MemArg(align, 0), ea + 1, *zeros) is TrapKind.UNALIGNED_ATOMIC
            assert traps(at, MemArg(align, 1), ea, *zeros) is TrapKind.UNALIGNED_ATOMIC
    assert held(f) == 0x1122334455667788


def _valid(row, c, align) -> bool:
    try:
        row.arrow(c, (MemArg(align, 0),))
    except Exception as e:  # noqa: BLE001
        assert "alignment" in str(e)
        return False
    return True


# -- lowered


def test_what_was_read_before_an_atomic_access_stays_what_it_was():
    text = """(memory 1 1 shared)
      (func (export "f") (result i32 i32 i32)
        (i32.load (i32.const 0))
        (i32.atomic.rmw.add (i32.const 0) (i32.const 5))
        (i32.atomic.load (i32.const 0))
        (i32.atomic.store (i32.const 0) (i32.const 9)))"""
    assert run(text, "f") == [0, 0, 5]


def test_a_trap_before_an_atomic_access_is_the_one_that_happens():
    text = """(memory (export "m") 1)
      (func (export "f") (param i32) (result i32)
        (i32.div_u (i32.const 1) (local.get 0))
        (i32.atomic.rmw.xchg (i32.const 2) (i32.const 5))
        (i32.add))"""
    i = instantiate(Store(), wat(text))
    assert traps(call, i, "f", 0) is TrapKind.DIVIDE_BY_ZERO
    assert traps(call, i, "f", 1) is TrapKind.UNALIGNED_ATOMIC


WAITS = """(memory (export "m") 1 1 shared)
  (func (export "wait32") (param i32 i32 i64) (result i32)
    (memory.atomic.wait32 (local.get 0) (local.get 1) (local.get 2)))
  (func (export "wait64") (param i32 i64 i64) (result i32)
    (memory.atomic.wait64 (local.get 0) (local.get 1) (local.get 2)))
  (func (export "fence") (i32.store (i32.const 0) (i32.const 1)) atomic.fence)"""


@pytest.mark.parametrize("export", ["wait32", "wait64"])
@pytest.mark.parametrize("timeout", [2**64 - 1, 2**63])
def test_a_wait_for_ever_is_a_limit_with_a_place_and_the_store_stays_usable(export, timeout):
    i = instantiate(Store(), wat(WAITS))
    with pytest.raises(ExhaustionError, match="wait without end") as caught:
        call(i, export, 0, 0, timeout)
    assert caught.value.resource is Resource.TIME
    assert caught.value.where is not None
    assert call(i, export, 0, 1, timeout) == 1
    assert call(i, "fence") is None
    assert call(i, export, 0, 0, timeout) == 1


@pytest.mark.parametrize("timeout", [0, 1, 2**63 - 1])
def test_a_wait_with_a_timeout_is_over_at_once(timeout):
    assert run(WAITS, "wait32", 0, 0, timeout) == 2
    assert run(WAITS, "wait64", 8, 0, timeout) == 2


@pytest.mark.parametrize("addrtype", [I32, I64])
def test_a_shared_memory_grows_in_place(addrtype):
    store = Store()
    t = f"{addrtype} " if addrtype is I64 else ""
    i = instantiate(store, wat(f'(memory (export "m") {t}1 3 shared)'))
    mem = i.exports["m"]
    data = mem.data
    assert mem.grow(2) == 1
    assert mem.grow(1) == -1
    assert mem.data is data
    assert mem.type == MemType(Limits(3, 3), addrtype, shared=True)


def test_calls_see_a_shared_memory_of_another_instance():
    store = Store()
    one = instantiate(store, wat(WAITS))
    other = wat("""(import "a" "m" (memory 1 1 shared))
      (func (export "f") (result i32) (i32.atomic.rmw.add (i32.const 0) (i32.const 1)))""")
    two = instantiate(store, other, [one.exports["m"]])
    invoke(store, one.exports["fence"], ())
    assert [call(two, "f"), call(two, "f")] == [1, 2]
    assert call(one, "wait32", 0, 2, 0) == 1
    assert call(one, "wait32", 0, 3, 0) == 2
