"""Batch shapes: every length fits, and no fewer tokens are possible with equal sides."""

import itertools

import numpy as np
import pytest

from attention.lab.data.batching.buckets import Bucket, assign, choose_buckets


def padded_tokens(buckets, source, target):
    sizes = np.array([sum(bucket) for bucket in buckets])
    return sizes[assign(buckets, source, target)].sum()


def test_assign_takes_the_smallest_that_fits():
    buckets = [Bucket(30, 30), Bucket(10, 10), Bucket(10, 20)]
    source, target = np.array([10, 10, 11, 3, 31, 3]), np.array([10, 11, 5, 20, 3, 31])
    assert assign(buckets, source, target).tolist() == [1, 2, 0, 2, -1, -1]


@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize("seed", range(3))
def test_never_worse_than_the_best_equal_sides(count, seed):
    rng = np.random.default_rng(seed)
    source = rng.integers(1, 12, 60)
    target = np.maximum(1, source + rng.integers(-3, 4, 60))
    longest = int(max(source.max(), target.max()))
    best = min(
        padded_tokens([Bucket(x, x) for x in (*chosen, longest)], source, target)
        for chosen in itertools.combinations(range(1, longest), count - 1)
    )
    buckets = choose_buckets(source, target, count, multiple=1)
    assert len(buckets) <= count
    assert padded_tokens(buckets, source, target) <= best


def test_sides_differ_where_the_languages_do():
    source = np.arange(10, 100)
    buckets = choose_buckets(source, source // 2, 4)
    assert padded_tokens(buckets, source, source // 2) < 1.25 * (source + source // 2).sum()


def test_multiples_save_the_longest():
    rng = np.random.default_rng(0)
    source, target = rng.integers(2, 51, 500), rng.integers(2, 39, 500)
    source[0], target[0] = 51, 39
    buckets = choose_buckets(source, target, 6, multiple=8)
    assert buckets[-1] == Bucket(51, 39)
    for bucket in buckets:
        assert bucket.source in (8, 16, 24, 32, 40, 48, 51)
        assert bucket.target in (8, 16, 24, 32, 39)
    assert assign(buckets, source, target).min() == 0


def test_long_texts_stay_quick_and_fit():
    rng = np.random.default_rng(0)
    source = np.minimum(rng.lognormal(5, 1, 20_000).astype(int) + 2, 4096)
    target = np.minimum(rng.lognormal(5, 1, 20_000).astype(int) + 2, 4096)
    buckets = choose_buckets(source, target, 8)
    assert len(buckets) == 8
    assert all(side % 64 == 0 for bucket in buckets for side in bucket), "at most 64 levels"
    assert assign(buckets, source, target).min() == 0


def test_few_lengths_need_few_buckets():
    assert choose_buckets(np.array([5, 5]), np.array([7, 7]), 8) == (Bucket(5, 7),)
    assert choose_buckets(np.array([2]), np.array([2]), 1) == (Bucket(2, 2),)
