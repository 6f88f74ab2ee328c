"""Reformer beside the laws: its hashes, what several rounds add, and what they must not."""

import functools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention import MultiHead, masks
from attention.shapes import Sizes
from attention.variants.clustered.reformer import Reformer
from tests.reference.clustered import reformer

RANDOM = np.random.default_rng(0)
SIZES = Sizes(heads=2, size=4, value_size=3, model_size=8)


def normal(*shape):
    return np.asarray(RANDOM.normal(size=shape), "float32")


@functools.cache
def state_of(attend):
    init = jax.jit(lambda rng: attend.init(rng, SIZES)[1]["rotations"].value)
    return {"rotations": np.asarray(init(jax.random.key(1)))}


@functools.cache
def compiled(attend):
    return jax.jit(partial(attend.attend, {}))


def out_of(attend, q, v, mask=None, state=None, **options):
    state = state_of(attend) if state is None else state
    return np.asarray(compiled(attend)(state, q, q, v, mask, **options)[0])


@pytest.mark.parametrize(
    "fields",
    [
        *({"buckets": 3}, {"buckets": -2}, {"buckets": 2.0}, {"chunk": 0}, {"chunk": 2.5}),
        *({"rounds": 0}, {"rounds": True}, {"scale": -1.0}),
    ],
)
def test_fields_are_checked(fields):
    (name, value) = next(iter(fields.items()))
    with pytest.raises(ValueError, match=rf"^Reformer\({name}={value}\): needs"):
        Reformer(**fields)


def test_a_row_in_a_batch_has_the_buckets_that_it_has_alone():
    """By its true length: 21 tokens have 20 buckets, 149 have pairs of 14, where 3 have 2."""
    attend, lengths = Reformer(chunk=2, rounds=2), (21, 149, 3)
    q, v = normal(3, 150, 2, 4), normal(3, 150, 2, 3)
    assert [attend._hashes(n // 2) for n in lengths] == [(20, 1), (14, 14), (2, 1)]
    together = out_of(attend, q, v, masks.Lengths(jnp.array(lengths)))
    for row, length in enumerate(lengths):
        here = (slice(row, row + 1), slice(length))
        np.testing.assert_allclose(together[here], out_of(attend, q[here], v[here]), atol=1e-6)
    see = np.broadcast_to(masks.Lengths(jnp.array(lengths)).dense(150, 150), (3, 2, 150, 150))
    theirs = reformer(q, q, v, see, state=state_of(attend), buckets=0, chunk=2)
    np.testing.assert_allclose(together, theirs, atol=5e-6)


def test_rounds_that_agree_are_one_round():
    """Without -log N_ij, pairs that meet in every round would outweigh those that meet in one."""
    attend, q, v = Reformer(buckets=4, chunk=4, rounds=1), normal(2, 20, 2, 4), normal(2, 20, 2, 3)
    state = state_of(attend)
    thrice = {"rotations": np.repeat(state["rotations"], 3, axis=1)}
    once = out_of(attend, q, v, state=state)
    ours = out_of(Reformer(buckets=4, chunk=4, rounds=3), q, v, state=thrice)
    np.testing.assert_allclose(ours, once, atol=1e-6)


@pytest.mark.parametrize("mask", [None, masks.Causal()])
def test_a_row_shorter_than_a_chunk_sees_all_others_and_not_itself(mask):
    q, v = normal(2, 9, 2, 4), normal(2, 9, 2, 3)
    unit = q / np.linalg.norm(q, axis=-1, keepdims=True)
    s_BHQK = np.einsum("BQHD,BKHD->BHQK", q, unit) / 2
    see = np.array(masks.as_mask(mask).dense(9, 9))[0, 0] & ~np.eye(9, dtype=bool)
    see[~see.any(axis=1)] = np.eye(9, dtype=bool)[~see.any(axis=1)]  # the first, if causal
    weights = np.asarray(jax.nn.softmax(np.where(see[None, None], s_BHQK, -np.inf), axis=-1))
    theirs = np.einsum("BHQK,BKHE->BQHE", weights, v)
    np.testing.assert_allclose(out_of(Reformer(), q, v, mask), theirs, atol=2e-6)


def test_a_long_key_weighs_no_more_than_a_short_one():
    attend, q, v = Reformer(buckets=4, chunk=6), normal(1, 18, 2, 4), normal(1, 18, 2, 3)
    longer = q.copy()
    longer[:, 5] *= 7
    before, after = out_of(attend, q, v), out_of(attend, longer, v)
    np.testing.assert_allclose(np.delete(after, 5, axis=1), np.delete(before, 5, axis=1), atol=1e-6)
    assert np.abs(after[:, 5] - before[:, 5]).max() > 1e-3


def test_rotations_are_drawn_afresh_in_training_alone():
    attend, q, v = Reformer(buckets=4, chunk=4, rounds=1), normal(1, 20, 2, 4), normal(1, 20, 2, 3)
    state = state_of(attend)
    plain, again = (out_of(attend, q, v, state=state) for _ in range(2))
    one, same, two = (
        out_of(attend, q, v, state=state, rng=jax.random.key(seed)) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(plain, again)
    np.testing.assert_array_equal(one, same)
    assert np.any(one != plain)
    assert np.any(one != two)
    _, kept = compiled(attend)(state, q, q, v, None, rng=jax.random.key(0))
    np.testing.assert_array_equal(kept["rotations"], state["rotations"])


def test_each_head_has_rotations_of_its_own():
    rotations = state_of(Reformer())["rotations"]
    assert rotations.shape == (2, 4, 4, 64)
    assert len({np.asarray(r).tobytes() for r in rotations.reshape(-1, 4, 64)}) == 8


def test_decoding_works_out_the_prefix_again():
    layer = MultiHead(heads=2, attention=Reformer(buckets=2, chunk=2, rounds=2))
    x_BTM = normal(2, 6, 8)
    variables = jax.jit(partial(layer.init, mask=masks.Causal()))(jax.random.key(0), x_BTM)
    with pytest.warns(UserWarning, match="Reformer works out the prefix again"):
        cache = layer.apply(variables, 2, 8, 8, method="start")
    extend = jax.jit(partial(layer.apply, method="extend"))
    attend = jax.jit(partial(layer.apply, mask=masks.Causal()))
    x_BTM = np.asarray(x_BTM)
    for i in range(6):
        now, cache = extend(variables, cache, x_BTM[:, i : i + 1], np.full((2, 1), i))
        full = attend(variables, x_BTM[:, : i + 1])
        np.testing.assert_allclose(now[:, 0], full[:, i], atol=1e-5)
