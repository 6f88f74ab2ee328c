"""Learning rates, at values worked out by hand."""

import math

import numpy as np
import pytest

from attention.lab.training import schedules


def test_the_papers_rates():
    rate = schedules.inverse_sqrt(model_size=512, warmup=4000)
    # 512**-0.5 = 0.044194174; the paper's step is the count plus one.
    np.testing.assert_allclose(rate(0), 0.044194174 * 4000**-1.5, rtol=1e-6)  # 1.746928e-07
    np.testing.assert_allclose(rate(0), 1.746928e-07, rtol=1e-6)
    np.testing.assert_allclose(rate(1999), 3.493856e-04, rtol=1e-6)
    np.testing.assert_allclose(rate(3999), 6.987712e-04, rtol=1e-6)
    np.testing.assert_allclose(rate(15999), 3.493856e-04, rtol=1e-6)
    np.testing.assert_allclose(rate(99999), 1.397542e-04, rtol=1e-6)


def test_scale_and_peak():
    rate = schedules.inverse_sqrt(model_size=256, warmup=100, scale=2.0)
    assert max(range(300), key=lambda i: float(rate(i))) == 99
    np.testing.assert_allclose(rate(99), 2 / math.sqrt(256 * 100), rtol=1e-6)


def test_linear():
    rate = schedules.linear(peak=1.0, warmup=4, steps=10, end=0.4)
    expected = [0.25, 0.5, 0.75, 1, 1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.4]
    np.testing.assert_allclose([rate(i) for i in range(12)], expected, rtol=1e-6)


def test_cosine():
    rate = schedules.cosine(peak=2.0, warmup=2, steps=6, end=0.5)
    fall = [0.5 + 1.5 * (1 + math.cos(math.pi * i / 4)) / 2 for i in range(5)]
    np.testing.assert_allclose([rate(i) for i in range(8)], [1, 2, *fall, 0.5], rtol=1e-6)


def test_constant():
    assert [float(schedules.constant(peak=0.5)(i)) for i in (0, 9)] == [0.5, 0.5]
    rate = schedules.constant(peak=1.0, warmup=1)
    assert [float(rate(i)) for i in range(3)] == [1, 1, 1]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: schedules.inverse_sqrt(model_size=8, warmup=0), "warmup must be at least 1"),
        (lambda: schedules.inverse_sqrt(model_size=0, warmup=1), "model_size must be"),
        (lambda: schedules.inverse_sqrt(model_size=8, warmup=1, scale=math.nan), "scale must be"),
        (lambda: schedules.constant(peak=-1.0), "peak must be a finite number >= 0, got -1.0"),
        (lambda: schedules.constant(peak=1.0, warmup=-1), "warmup must be 0"),
        (lambda: schedules.linear(peak=1.0, warmup=5, steps=5), "steps must be above warmup=5"),
        (lambda: schedules.cosine(peak=1.0, warmup=0, steps=5, end=2.0), "end must be at most"),
    ],
)
def test_out_of_range(make, message):
    with pytest.raises(ValueError, match=message):
        make()
