"""Generated modules: stopping a call in any way and going on is as if it had not stopped."""

from __future__ import annotations

import pytest

from engine.execution.driver import Activation
from engine.execution.fuel import Refund
from engine.execution.fuel_models import MODELS, UNIT
from tests.support.stops import play, sliced, straight, topped_up

REFUNDS = {model for model in MODELS.values() if model.refund is not Refund.NOTHING}
FORGETFUL = {model for model in MODELS.values() if getattr(model, "forgets", False)}


def agree(seed, model, driver, stops):
    """Compare with the straight run, and return how often the other one stopped.

    A stop is where an engine writes its counter back, so what a trap gives back depends on where the stops were: where
    a model gives back anything, the fuel of calls that trap is not compared, and where it forgets what callees spent,
    no fuel is.
    """
    expected, found = play(seed, model, straight), play(seed, model, driver, stops)
    for played in (expected, found):
        if model in REFUNDS:
            played.calls = [(n, o, t, 0 if t else fuel, s) for n, o, t, fuel, s in played.calls]
        if model in FORGETFUL:
            played.calls = [(n, o, t, 0, s) for n, o, t, _, s in played.calls]
            played.hosts = [(args, 0, s) for args, _, s in played.hosts]
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
    assert sum(agree(seed, model, driver, 0.4) for seed in range(1000, 1300)) > 500


# -- a check is tried on planted errors


@pytest.fixture
def spoil(monkeypatch):
    """Return what changes every activation that has paused, in a way to be found."""
    run = Activation.run

    def install(change):
        def changed(self):
            results = run(self)
            if results is None:
                change(self)
            return results

        monkeypatch.setattr(Activation, "run", changed)

    return install


def test_a_lost_local_is_found(spoil):
    def lose(activation):
        R = activation.frames[-1][1]
        if R:
            R[0] = 0

    spoil(lose)
    with pytest.raises((AssertionError, TypeError)):
        for seed in range(60):
            agree(seed, UNIT, sliced, 0)


def test_a_charge_of_one_too_much_is_found(spoil):
    def charge(activation):
        activation.paid = -1

    spoil(charge)
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
