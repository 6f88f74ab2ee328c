"""Learning rates, at values worked out by hand."""

import math

import numpy as np

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
    rate = schedules.linear(peak=1.0, warmup=4, steps=9)
    expected = [0.25, 0.5, 0.75, 1, 1, 0.8, 0.6, 0.4, 0.2, 0, 0]
    np.testing.assert_allclose([rate(i) for i in range(11)], expected, rtol=1e-6, atol=1e-7)


def test_cosine():
    rate = schedules.cosine(peak=2.0, warmup=2, steps=6)
    fall = [1 + math.cos(math.pi * i / 4) for i in range(5)]
    np.testing.assert_allclose([rate(i) for i in range(8)], [1, 2, *fall, 0], rtol=1e-6)


def test_constant():
    assert [float(schedules.constant(peak=0.5)(i)) for i in (0, 9)] == [0.5, 0.5]
    rate = schedules.constant(peak=1.0, warmup=1)
    assert [float(rate(i)) for i in range(3)] == [1, 1, 1]
