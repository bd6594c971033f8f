"""Errors as values: each is copied and goes to another process as it is."""

from __future__ import annotations

import copy
import pickle

import pytest

from engine import Store, errors, instantiate
from engine.errors import (
    CallError,
    ExhaustionError,
    InvalidError,
    InvocationConsumed,
    LinkError,
    MalformedError,
    MismatchingParameterLen,
    MismatchingParameterType,
    MismatchingResultLen,
    MismatchingResultType,
    Resource,
    StoreMismatch,
    TextError,
    Trap,
    TrapKind,
    UncaughtException,
    UnsupportedError,
    WasmError,
    Where,
)
from tests.support.wasm import call, wat

MADE = [
    MalformedError("unexpected end", 3), TextError("unknown operator", 1, 2, 3, "x"), InvalidError("m", Where(1, 2)),
    UnsupportedError("a feature"), LinkError("unknown import"), Trap(TrapKind.HOST, "why", Where(1, 2)),
    UncaughtException(None, (1, 2.5)), ExhaustionError(Resource.STACK, Where(1)), CallError("m"),
    MismatchingParameterLen(1, 2), MismatchingParameterType(0, "i32", "x"), MismatchingResultLen(1, 2),
    MismatchingResultType(0, "i32", "x"), StoreMismatch(), InvocationConsumed(), WasmError("m"),
]  # fmt: skip


def by_pickle(error):
    return pickle.loads(pickle.dumps(error))


@pytest.mark.parametrize("made", [copy.copy, copy.deepcopy, by_pickle])
@pytest.mark.parametrize("error", MADE, ids=lambda error: type(error).__name__)
def test_an_error_is_copied_with_all_that_it_says(error, made):
    again = made(error)
    assert type(again) is type(error)
    assert (str(again), again.args, again.__dict__) == (str(error), error.args, error.__dict__)


def test_all_classes_are_tried():
    classes = {c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, WasmError)}
    assert classes == {type(error) for error in MADE}


def test_a_trap_goes_to_another_process_without_its_frames():
    i = instantiate(Store(), wat('(func (export "f") unreachable)'))
    with pytest.raises(Trap) as caught:
        call(i, "f")
    assert caught.value.activations
    again = by_pickle(caught.value)
    assert (again.kind, again.where, again.activations) == (TrapKind.UNREACHABLE, caught.value.where, [])
