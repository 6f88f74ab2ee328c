"""Into which tiles the scores are cut, and which of them are visited."""

import numpy as np
import pytest

from attention.kernels.limits import Limits
from attention.kernels.tiled.plan import make_plan
from attention.masks import Causal, Fixed, Global, RandomBlocks, Window, as_mask

LIMITS = Limits(512, 2**20)


def visited(plan):
    tiles = sum(len(tiles_P2) for tiles_P2, _ in plan.kinds())
    return tiles * plan.tiling.q_size * plan.tiling.k_size


@pytest.mark.parametrize(
    ("mask", "side"), [(None, 512), (Causal(), 512), (Window(128, 128), 128), (Window(16, 0), 64)]
)
def test_tiles_are_as_large_as_the_pattern_lets_them(mask, side):
    plan = make_plan(8, 4096, 4096, as_mask(mask), LIMITS)
    assert (plan.tiling.q_size, plan.tiling.k_size) == (side, side)


@pytest.mark.parametrize("length", [512, 1024, 2048])
def test_a_causal_mask_is_not_cut_into_more_than_it_saves(length):
    """Measured: with smaller tiles it takes longer, by benchmarks/full_attention.py."""
    rows = 4096 // length * 8
    assert make_plan(rows, length, length, Causal(), LIMITS).tiling.q_size == 512


def test_a_narrow_window_costs_what_it_shows():
    for length in (4096, 16384):
        assert visited(make_plan(8, length, length, Window(128, 128), LIMITS)) < 1.6 * 257 * length


@pytest.mark.parametrize(
    "mask",
    [
        *(None, Causal(), Window(3, 40), Fixed(32, 2) & Causal()),
        Window(5, 5) | Global(2) | RandomBlocks(16, 1, 20),
    ],
)
@pytest.mark.parametrize("lengths", [(300, 300), (1, 300), (257, 90), (16, 16)])
@pytest.mark.parametrize("limits", [LIMITS, Limits(16, 512, unit=4), Limits(64, 2**12, least=16)])
def test_all_that_is_seen_is_visited_once(mask, lengths, limits):
    mask = as_mask(mask)
    plan = make_plan(6, *lengths, mask, limits)
    times = np.zeros((plan.q_padded, plan.k_padded), int)
    whole = np.zeros_like(times, bool)
    for tiles_P2, masked in plan.kinds():
        for i, j in tiles_P2:
            rows = slice(i * plan.tiling.q_size, (i + 1) * plan.tiling.q_size)
            columns = slice(j * plan.tiling.k_size, (j + 1) * plan.tiling.k_size)
            times[rows, columns] += 1
            whole[rows, columns] = not masked
    q_len, k_len = lengths
    see = np.asarray(mask.dense(q_len, k_len)[0, 0])
    assert times.max() <= 1
    assert (times[:q_len, :k_len] == 1)[see].all()
    assert see[whole[:q_len, :k_len]].all()
    assert not whole[:, k_len:].any()  # keys that are none are always asked about
    assert 6 % plan.group == 0
