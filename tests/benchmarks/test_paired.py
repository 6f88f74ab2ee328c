"""Alternated timing: which way the ratio points, the order, the row."""

import types

import pytest

from benchmarks import paired as module
from benchmarks.paired import HEADER, Ratio, paired


def test_the_ratio_says_how_many_times_as_fast_the_first_is(monkeypatch):
    now = [0.0]

    def lasting(*seconds):
        left = list(seconds)
        return lambda: now.append(now[-1] + left.pop(0))

    clock = types.SimpleNamespace(perf_counter=lambda: now[-1], sleep=lambda seconds: None)
    monkeypatch.setattr(module, "time", clock)
    ratio = paired(lasting(1, 1, 2), lasting(2, 4, 6), pairs=3, warm_up=0)
    assert ratio == Ratio(median=3, low=2.5, high=3.5, seconds_a=1, seconds_b=4)


def test_each_goes_first_in_every_second_pair_after_the_warm_up():
    calls = []
    paired(lambda: calls.append("a"), lambda: calls.append("b"), pairs=4, warm_up=1)
    assert "".join(calls) == "ab" + "abba" * 2


def test_the_row_fits_the_header():
    row = Ratio(1.5, 1.25, 1.75, 0.5, 0.75).row("step")
    assert row == "| step | 1.50 | 1.25 to 1.75 | 0.5 | 0.75 |"
    assert {line.count("|") for line in (*HEADER.splitlines(), row)} == {6}


def test_too_few_pairs_are_told():
    with pytest.raises(ValueError, match="pairs is 1"):
        paired(lambda: None, lambda: None, pairs=1)
