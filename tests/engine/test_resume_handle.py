"""Handles on suspended calls: each is used once, and what is not allowed is refused before anything runs."""

from __future__ import annotations

import copy
import pickle

import pytest

from engine import (
    ExhaustionError,
    Finished,
    HostTrap,
    MismatchingResultLen,
    OutOfFuel,
    Store,
    StoreMismatch,
    Trap,
    TrapKind,
    Yielded,
    invoke,
)
from engine.errors import Resource
from engine.execution.driver import place
from tests.support.resumable import NESTED, Exit, is_over, setup, start, stopped

KINDS = pytest.mark.parametrize("kind", [HostTrap, OutOfFuel, Yielded])


@KINDS
def test_closing_ends_a_call(kind):
    i, call = stopped(kind)
    call.close()
    is_over(i, call)


@KINDS
def test_leaving_a_with_block_closes(kind):
    i, call = stopped(kind)
    with pytest.raises(ZeroDivisionError), call as same:
        assert same is call
        raise ZeroDivisionError
    is_over(i, call)


@KINDS
def test_a_call_resumed_inside_a_with_block_stays_resumed(kind):
    i, call = stopped(kind)
    i.store.set_fuel(1000)
    i.store.set_fuel_interval(None)
    with call:
        end = call.resume(i.store, *[1] * (kind is HostTrap))
    assert isinstance(end, Finished)
    is_over(i, call)


@KINDS
def test_the_error_is_that_of_an_ordinary_call(kind):
    i, call = stopped(kind)
    error = call.into_error()
    is_over(i, call)
    i.store.set_fuel(None if kind is HostTrap else 0)
    with pytest.raises(type(error)) as caught:
        invoke(i.store, i.exports["test"], ())
    if kind is not HostTrap:
        assert error.resource is caught.value.resource is Resource.FUEL
        assert error.where.funcidx == 1


@KINDS
def test_another_store_is_refused_and_ends_the_call(kind):
    i, call = stopped(kind)
    with pytest.raises(StoreMismatch):
        call.resume(Store(), *[1] * (kind is HostTrap))
    is_over(i, call)


@KINDS
def test_a_wrong_number_of_values_is_refused_and_ends_the_call(kind):
    i, call = stopped(kind)
    fuel = i.store.fuel_left
    with pytest.raises(MismatchingResultLen):
        call.resume(i.store, *[1] * (2 if kind is HostTrap else 1))
    is_over(i, call)
    assert i.store.fuel_left == fuel


@KINDS
@pytest.mark.parametrize("made", [copy.copy, copy.deepcopy, pickle.dumps])
def test_there_is_no_second_handle_on_a_call(kind, made):
    _, call = stopped(kind)
    with pytest.raises(TypeError, match="cannot be copied"):
        made(call)
    assert not call.is_consumed


def test_the_error_of_a_host_that_traps_knows_the_frames_that_an_ordinary_call_leaves():
    def host(caller, args):
        raise Trap(TrapKind.HOST)

    def places(trap):
        return trap.where, [place(block) for a in trap.activations for block, _ in reversed(a.frames)]

    text = """(module (import "" "h" (func $h (result i32))) (func $f (result i32) nop (call $h))
      (func (export "test") (result i32) (call $f)))"""
    i = setup(text, host)
    call = start(i)
    assert call.host_error.activations == []  # it may go on yet
    with pytest.raises(Trap) as caught:
        invoke(i.store, i.exports["test"], ())
    assert places(call.into_error()) == places(caught.value)
    is_over(i, call)
    call = start(i)
    again = call.resume(i.store, 5)
    assert again == Finished((5,))
    assert call.host_error.activations == []


def test_too_many_activations_end_a_call_that_would_go_on():
    calls = []

    def host(caller, args):
        if not calls:
            raise Exit
        return calls.pop().resume(caller.store, 1).results

    i = setup(NESTED, host, max_activations=1)
    calls.append(call := start(i))
    with pytest.raises(ExhaustionError) as caught:
        invoke(i.store, i.exports["test"], ())
    assert caught.value.resource is Resource.STACK
    is_over(i, call)


def test_out_of_activations_is_not_mistaken_for_out_of_fuel():
    calls = []

    def host(caller, args):
        return calls.pop().resume(caller.store).results

    i = setup(NESTED, host, max_activations=1)
    i.store.set_fuel(0)
    calls.append(start(i, "spin"))
    i.store.set_fuel(1000)
    with pytest.raises(ExhaustionError) as caught:
        invoke(i.store, i.exports["test"], ())
    assert caught.value.resource is Resource.STACK
