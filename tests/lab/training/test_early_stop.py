"""When to give up."""

import math

import pytest

from attention.lab.training.early_stop import EarlyStop


@pytest.mark.parametrize(("mode", "sign"), [("max", 1), ("min", -1)])
def test_patience(mode, sign):
    stop = EarlyStop(patience=2, metric_mode=mode)
    seen = []
    for score in (1.0, 3.0, 2.0, 4.0, 4.0, math.nan):
        assert not stop.exhausted
        stop.see(sign * score)
        seen.append(stop.since)
    assert seen == [0, 0, 1, 0, 1, 2]
    assert stop.exhausted
    assert stop.best == sign * 4.0


def test_without_patience_it_never_stops():
    stop = EarlyStop()
    for _ in range(100):
        stop.see(0.0)
    assert not stop.exhausted


def test_a_first_score_that_is_not_finite_is_not_the_best():
    stop = EarlyStop(patience=2)
    stop.see(math.nan)
    assert (stop.best, stop.since) == (None, 1)
    stop.see(1.0)
    assert (stop.best, stop.since) == (1.0, 0)
