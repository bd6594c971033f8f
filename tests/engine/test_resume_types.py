"""Values and types of resumable calls: which are taken, which are refused."""

from __future__ import annotations

import struct

import pytest

import engine
from engine import (
    CallError,
    Finished,
    InvocationConsumed,
    MismatchingParameterLen,
    MismatchingParameterType,
    MismatchingResultLen,
    MismatchingResultType,
    Store,
    StoreMismatch,
    typed,
)
from engine.types import ANYREF, EXTERNREF, F32, F64, FUNCREF, I32, I64, V128, FuncType
from engine.values import f32_from_bits
from tests.support.resumable import is_over, setup, start

NAN_BEYOND_F32 = struct.unpack("<d", struct.pack("<Q", 0x7FF8000000000001))[0]
ILL_TYPED = [
    (I32, -1), (I32, 1 << 32), (I32, True), (I32, 1.0), (I32, None), (I64, -1), (I64, 1 << 64), (I64, "1"),
    (F32, 1), (F32, 0.1), (F32, 1e39), (F32, NAN_BEYOND_F32), (F64, 1), (F64, None), (V128, bytes(15)),
    (V128, bytearray(16)), (V128, 0), (FUNCREF, 0), (FUNCREF, object()), (EXTERNREF, "host"), (ANYREF, -1),
    (ANYREF, 1 << 31), (ANYREF, lambda: 0),
]  # fmt: skip
WELL_TYPED = [
    (I32, 0), (I32, (1 << 32) - 1), (I64, (1 << 64) - 1), (F32, 0.5), (F32, float("inf")), (F32, -0.0),
    (F32, f32_from_bits(0x7FA00001)), (F64, 0.1), (F64, NAN_BEYOND_F32), (V128, bytes(16)), (FUNCREF, None),
    (EXTERNREF, None), (ANYREF, (1 << 31) - 1), (ANYREF, None),
]  # fmt: skip


def identity(t):
    """Return an instance whose ``take`` takes a value of a type and whose ``give`` gets it from the host."""
    text = f"""(module (import "" "h" (func $h (result {t}))) (func (export "give") (result {t}) (call $h))
      (func (export "take") (param {t}) (result {t}) (local.get 0)))"""
    return setup(text, functype=FuncType((), (t,)))


@pytest.mark.parametrize(("t", "v"), ILL_TYPED)
def test_values_of_another_type_are_refused(t, v):
    i = identity(t)
    with pytest.raises(MismatchingParameterType):
        start(i, "take", v)
    call = start(i, "give")
    with pytest.raises(MismatchingResultType):
        call.resume(i.store, v)
    is_over(i, call)


@pytest.mark.parametrize(("t", "v"), WELL_TYPED)
def test_values_of_the_type_are_taken(t, v):
    i = identity(t)
    assert start(i, "take", v).results[0] is v
    assert start(i, "give").resume(i.store, v).results[0] is v


def test_references_have_the_type_or_are_refused():
    i = identity(FUNCREF)
    extern = i.store.alloc_extern("x")
    assert start(i, "take", i.exports["take"]) == Finished((i.exports["take"],))
    with pytest.raises(MismatchingParameterType):
        start(i, "take", extern)
    j = identity(EXTERNREF)
    extern = j.store.alloc_extern("x")
    assert start(j, "take", extern) == Finished((extern,))
    with pytest.raises(MismatchingParameterType):
        start(j, "take", j.exports["take"])


def test_references_of_another_store_are_refused_and_end_the_call():
    i, j = identity(FUNCREF), identity(FUNCREF)
    for func in (j.exports["take"], j.funcs[0], Store().alloc_host_func(FuncType((), ()), print)):
        call = start(i, "give")
        with pytest.raises(StoreMismatch):
            call.resume(i.store, func)
        is_over(i, call)
        with pytest.raises(StoreMismatch):
            start(i, "take", func)
    i = identity(EXTERNREF)
    for extern in (j.store.alloc_extern("one"), j.store.alloc_extern("two")):
        with pytest.raises(StoreMismatch):
            start(i, "take", extern)
        i.store.alloc_extern("of the same address")


@pytest.mark.parametrize("args", [(), (1, 2)])
def test_a_wrong_number_of_arguments_is_refused(args):
    i = identity(I32)
    with pytest.raises(MismatchingParameterLen):
        start(i, "take", *args)
    with pytest.raises(MismatchingParameterLen):
        typed(i.exports["take"], [I32], [I32]).call(i.store, *args)


def test_functions_of_another_store_are_refused():
    i, j = identity(I32), identity(I32)
    for func in (i.exports["take"], i.funcs[0]):
        with pytest.raises(StoreMismatch):
            func.call_resumable(j.store, *[1] * len(func.functype.params))
        with pytest.raises(StoreMismatch):
            func.call_resumable(Store(), *[1] * len(func.functype.params))


def test_a_typed_function_calls_as_the_untyped_one_does():
    i = identity(I32)
    take = typed(i.exports["take"], [I32], [I32])
    assert take.call(i.store, 3) == (3,)
    assert take.call_resumable(i.store, 3) == Finished((3,))


@pytest.mark.parametrize(
    ("params", "results", "error"),
    [
        ((), (I32,), MismatchingParameterLen),
        ((I32, I32), (I32,), MismatchingParameterLen),
        ((I64,), (I32,), MismatchingParameterType),
        ((I32,), (), MismatchingResultLen),
        ((I32,), (F32,), MismatchingResultType),
    ],
)
def test_a_typed_function_is_compared_when_it_is_made(params, results, error):
    i = identity(I32)
    with pytest.raises(error):
        i.exports["take"].typed(params, results)


def test_all_errors_of_use_have_one_base_and_are_public():
    errors = {MismatchingParameterLen, MismatchingParameterType, MismatchingResultLen, MismatchingResultType,
              StoreMismatch, InvocationConsumed}  # fmt: skip
    assert errors == set(CallError.__subclasses__())
    assert {e.__name__ for e in errors} <= set(engine.__all__)
