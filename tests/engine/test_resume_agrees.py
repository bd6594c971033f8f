"""Generated modules: stopping a call in any way and going on is as if it had not stopped."""

from __future__ import annotations

import pytest

from engine.execution.driver import Activation
from engine.execution.fuel import Refund
from engine.execution.fuel_models import MODELS, UNIT
from tests.support.stops import play, sliced, straight, topped_up

REFUNDS = {model: model.refund is not Refund.NOTHING for model in MODELS.values()}


def agree(seed, model, driver, stops):
    """Compare with the straight run, and return how often the other one stopped.

    A stop is where an engine writes its counter back, so what a trap gives back depends on where the stops were: where
    a model gives back anything, the fuel of calls that trap is not compared.
    """
    expected, found = play(seed, model, straight), play(seed, model, driver, stops)
    if REFUNDS[model]:
        for played in (expected, found):
            played.calls = [(n, o, t, 0 if t else fuel, s) for n, o, t, fuel, s in played.calls]
    assert found.calls == expected.calls, seed
    assert found.hosts == expected.hosts, seed
    return found.stops


@pytest.mark.parametrize("model", MODELS.values(), ids=str)
@pytest.mark.parametrize("driver", [sliced, topped_up])
def test_any_slicing_of_fuel_is_the_straight_run(model, driver):
    assert sum(agree(seed, model, driver, 0) for seed in range(60)) > 300


@pytest.mark.parametrize("stops", [0.5, 1])
def test_a_host_call_suspended_and_resumed_is_one_that_returned(stops):
    assert sum(agree(seed, UNIT, sliced, stops) for seed in range(60, 120)) > 100


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS.values(), ids=str)
@pytest.mark.parametrize("driver", [sliced, topped_up])
def test_all_kinds_of_stop_together_many_times(model, driver):
    assert sum(agree(seed, model, driver, 0.4) for seed in range(1000, 1300)) > 1000


# -- a check is tried on planted errors


def lost_local(self, block, R):
    self.frames.append((block, [*R[:-1], R[-1]] if len(R) < 2 else [0, *R[1:]]))
    self.paid = block.paid


def test_a_lost_local_is_found(monkeypatch):
    monkeypatch.setattr(Activation, "_pause", lost_local)
    with pytest.raises((AssertionError, TypeError)):
        for seed in range(60):
            agree(seed, UNIT, sliced, 0)


def test_a_charge_that_is_made_twice_is_found(monkeypatch):
    pause = Activation._pause

    def twice(self, block, R):
        pause(self, block, R)
        self.paid = -1

    monkeypatch.setattr(Activation, "_pause", twice)
    with pytest.raises(AssertionError):
        for seed in range(60):
            agree(seed, UNIT, sliced, 0)


def test_a_repeated_host_call_is_found(monkeypatch):
    answer = Activation.answer

    def again(self, results):
        if not getattr(again, "once", False):
            again.once = True
            self.failed = None  # and the block of the call goes on where it was
            return
        answer(self, results)

    monkeypatch.setattr(Activation, "answer", again)
    with pytest.raises(AssertionError):
        for seed in range(60, 120):
            agree(seed, UNIT, sliced, 0.5)
