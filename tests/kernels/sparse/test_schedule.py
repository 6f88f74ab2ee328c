"""The blocks of a mask: every visible pair is in exactly one of them, in any order."""

from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attention.kernels.sparse.schedule import make_schedule
from attention.masks import (
    Causal,
    Dilated,
    Everything,
    Fixed,
    Global,
    GlobalKeys,
    GlobalQueries,
    Grid,
    NearBlocks,
    RandomBlocks,
    Strided,
    Window,
)

MASKS = [
    *(Everything(), Causal(), Window(3, 40), Window(0, 0), Dilated(3, 1, 4), Dilated(0, 2, 7)),
    *(Strided(7), Strided(5, local=False), Fixed(8, 2), Fixed(8, 3, local=False), Fixed(1)),
    *(Global(2), Global(0, (3, 1)), RandomBlocks(4, 2, 30), Grid(10, 2, 1), Grid(7, 1, 2)),
    *(GlobalKeys(2), GlobalQueries(1, (3,)), NearBlocks(5, 1)),
]
masks = st.recursive(
    st.sampled_from(MASKS),
    lambda inner: st.one_of(
        st.builds(lambda a, b: a & b, inner, inner),
        st.builds(lambda a, b: a | b, inner, inner),
        st.builds(lambda a: ~a, inner),
    ),
    max_leaves=4,
)
lengths = st.one_of(
    st.integers(4, 90).map(lambda n: (n, n)), st.tuples(st.integers(4, 40), st.integers(4, 90))
)


def positions(order, length, first, size):
    """The positions at some indices of an order; -1 for none."""
    order = np.arange(length) if order is None else order
    index = first + np.arange(size)
    inside = index < len(order)
    return np.where(inside, order[np.minimum(index, len(order) - 1)], -1)


def visible(component, group, q_first, k_firsts, q_len, k_len):
    """The queries and keys of a block, and which pairs of them are visible."""
    q_pos = positions(component.q_order, q_len, q_first, group.q_size)
    k_pos = [positions(component.k_order, k_len, k, group.k_size) for k in k_firsts]
    k_pos = np.concatenate(k_pos)
    q_index = (q_first + np.arange(group.q_size))[:, None]
    k_index = np.concatenate([k + np.arange(group.k_size) for k in k_firsts])[None]
    see = np.asarray(component.mask.at(q_pos[None, None, :, None], k_pos[None, None, None]))
    see = np.broadcast_to(see, (1, 1, len(q_pos), len(k_pos)))[0, 0]
    if component.permuted_mask is not None:
        see = see & np.asarray(component.permuted_mask.at(q_index, k_index))
    if component.diagonal_block is not None:
        q_block, k_block = component.diagonal_block
        see = see & (q_index // q_block == k_index // k_block)
    real = (q_pos >= 0)[:, None] & (k_pos >= 0)[None]
    if not group.masked:  # the mask is not applied then
        assert (see | ~(q_pos >= 0)[:, None]).all()
    return q_pos, k_pos, see & real


@pytest.mark.slow
@settings(max_examples=50, deadline=None, derandomize=True)
@given(masks, lengths, st.sampled_from([4, 8, 32]))
def test_all_that_is_seen_is_in_exactly_one_block(mask, lengths, side):
    check_blocks_of(side, mask, lengths)


@pytest.mark.long
@settings(max_examples=300, deadline=None, derandomize=True)
@given(masks, lengths, st.sampled_from([4, 8, 32]))
def test_all_that_is_seen_is_in_exactly_one_block_of_many(mask, lengths, side):
    check_blocks_of(side, mask, lengths)


def check_blocks_of(side, mask, lengths):
    sides = {"_TILE_SIDES": (side,), "_MIN_TILE_SIDE": side}
    with mock.patch.multiple("attention.kernels.sparse.schedule", **sides):
        check_blocks(mask, lengths)


def check_blocks(mask, lengths):
    q_len, k_len = lengths
    times = np.zeros(lengths, int)
    for component in mask.decompose(q_len, k_len):
        visits = np.zeros(q_len, int)
        for group in make_schedule(component, 6, q_len, k_len).groups:
            for q_first, k_firsts in zip(group.q_first_P, group.k_first_PN, strict=True):
                q_pos, k_pos, see = visible(component, group, q_first, k_firsts, q_len, k_len)
                visits[q_pos[q_pos >= 0]] += 1
                rows, columns = np.nonzero(see)
                np.add.at(times, (q_pos[rows], k_pos[columns]), 1)
        assert visits.max() <= 1
    see = np.broadcast_to(mask.dense(q_len, k_len), (1, 1, q_len, k_len))[0, 0]
    np.testing.assert_array_equal(times, see)


def scores(mask, length):
    components = mask.decompose(length, length)
    return sum(make_schedule(one, 8, length, length).num_scores for one in components)


@pytest.mark.parametrize(
    ("mask", "visible"),
    [
        (Window(128, 128), 257),
        (Window(128, 0), 129),
        (Dilated(64, 64, 4), 129),
        (Strided(128) & Causal(), 128 + 64),
        (Strided(128), 255 + 128),
        (Fixed(128, 8) & Causal(), 64 + 512),
        (Global(16), 32),
        (Window(256, 256) | Global(1), 515),
        (Grid(128, 3, 3), 49),
        (Fixed(128, columns=False) | Strided(128, local=False), 255),
        (RandomBlocks(64, 3, 256) | Global(64) | Window(64, 64), 192 + 128 + 129),
    ],
    ids=str,
)
def test_no_more_than_about_twice_the_visible_pairs_at_16k(mask, visible):
    assert scores(mask, 2**14) <= 2.2 * visible * 2**14


@pytest.mark.slow
def test_what_grows_with_the_length_and_what_with_its_root():
    assert scores(Window(64, 64), 2**15) <= 2.05 * scores(Window(64, 64), 2**14)
    grown = scores(Strided(256) & Causal(), 2**16) / scores(Strided(128) & Causal(), 2**14)
    assert grown <= 8.2  # n to the power 1.5
