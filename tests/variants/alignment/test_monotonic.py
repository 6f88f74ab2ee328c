"""Monotonic attention beyond the laws: hard stops, noise in training, long sequences."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention.masks import Lengths
from attention.shapes import Sizes
from attention.variants import Monotonic
from tests.reference.alignments import hard_monotonic, monotonic_energy

SIZES = Sizes(3, 4, 5, 12)
HARD = Monotonic(offset=0.0, evaluation="hard")


def random(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), "float32")


Q, K, V = random(2, 8, 3, 4), random(2, 9, 3, 4, seed=1), random(2, 9, 3, 5, seed=2)
K_LENGTHS_B = np.array([9, 6])
MASK = Lengths(None, jnp.asarray(K_LENGTHS_B))


@functools.partial(jax.jit, static_argnums=0)
def attended(attend, *inputs, **options):
    return attend.attend(*inputs, **options)


def params_of(attend):
    params, _ = attend.init(jax.random.key(0), SIZES)
    gain = 4 * jnp.ones(3)  # so that some stop and some go on
    return {name: leaf.value for name, leaf in params.items()} | {"gain": gain}


def algorithm(params):
    """What the paper's process gives, [B, Q, H, E], and the keys where it stops."""
    out_BQHE, stops = np.zeros((2, 8, 3, 5)), []
    for b, h in np.ndindex(2, 3):
        length = K_LENGTHS_B[b]
        energies_QK = np.array(
            [[monotonic_energy(params, q, k, h) for k in K[b, :length, h]] for q in Q[b, :, h]]
        )
        out_BQHE[b, :, h], found = hard_monotonic(energies_QK, np.asarray(V[b, :length, h]))
        stops.append(found)
    return out_BQHE, stops


def test_hard_is_the_papers_process():
    params = params_of(HARD)
    out_BQHE, _ = attended(HARD, params, {}, Q, K, V, MASK)
    expected, stops = algorithm(params)
    np.testing.assert_allclose(out_BQHE, expected, atol=1e-6)
    # It moves on, stays where it is, and leaves the end behind.
    assert any(None in found for found in stops)
    assert any(len(set(found) - {None}) > 1 for found in stops)
    assert any(a == b is not None for found in stops for a, b in itertools.pairwise(found))


def test_hard_step_by_step_is_all_at_once():
    params = params_of(HARD)
    full, _ = attended(HARD, params, {}, Q, K, V, MASK)
    carry = HARD.start_cross(params, {}, SIZES, 2, 9, jnp.float32)
    extend = jax.jit(HARD.extend_cross)
    for t in range(8):
        ours, carry = extend(params, {}, carry, Q[:, t : t + 1], K, V, MASK)
        np.testing.assert_allclose(ours, full[:, t : t + 1], atol=1e-6)


def test_training_is_by_the_expected_alignment_with_noise():
    params, rng = params_of(HARD), jax.random.key(0)

    def out(attend, rng=None):
        return attended(attend, params, {}, Q, K, V, MASK, rng=rng)[0]

    quiet, soft = Monotonic(noise=0.0, evaluation="hard"), Monotonic()
    np.testing.assert_array_equal(out(quiet, rng), out(soft))
    np.testing.assert_array_equal(out(HARD, rng), out(HARD, rng))
    assert np.any(out(HARD, rng) != out(soft))
    assert np.any(out(HARD, rng) != out(HARD, jax.random.key(1)))
    assert np.any(out(HARD) != out(soft))


def test_hard_has_no_gradient_to_its_energies():
    def loss(q, v):
        return (attended(HARD, params_of(HARD), {}, q, K, v, MASK)[0] ** 2).sum()

    to_q, to_v = jax.jit(jax.grad(loss, argnums=(0, 1)))(Q, V)
    assert not np.any(to_q)
    assert np.any(to_v)


@pytest.mark.parametrize("offset", [-30.0, -4.0, 0.0, 4.0, 30.0])
def test_nothing_vanishes_or_bursts_over_many_keys(offset):
    """A division by cumulative products would be by 0 from some hundred keys on."""
    attend = Monotonic(offset=offset)
    q, k, v = random(1, 40, 3, 4), random(1, 600, 3, 4, seed=1), random(1, 600, 3, 5, seed=2)

    def loss(params, q, k, v):
        out_BQHE, _ = attended(attend, params, {}, q, k, v, None)
        return out_BQHE.sum(), out_BQHE

    params = params_of(attend)
    both = jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2, 3), has_aux=True))
    (_, out_BQHE), grads = both(params, q, k, v)
    for leaf in jax.tree.leaves((out_BQHE, grads)):
        assert np.isfinite(leaf).all()
    eye = jnp.eye(600)[None, :, None].repeat(3, 2)
    w_BQHK, _ = attended(attend, params, {}, q, k, eye, None)
    mass_BQH = np.asarray(w_BQHK.sum(-1))
    assert np.all(mass_BQH <= 1 + 1e-5)
    assert np.all(np.diff(mass_BQH, axis=1) <= 1e-5)  # what is lost does not come back
    if offset == 0.0:
        np.testing.assert_allclose(mass_BQH[:, :5], 1, atol=1e-5)


def test_it_never_goes_back():
    """The mean place that is gathered from only grows, where nothing is lost."""
    attend, far = Monotonic(offset=1.0), jnp.arange(600.0)[None, :, None, None]
    q, k = random(1, 40, 3, 4), random(1, 600, 3, 4, seed=1)
    v = jnp.broadcast_to(far, (1, 600, 3, 1))
    place_BQH1, _ = attended(attend, params_of(attend), {}, q, k, v, None)
    assert np.all(np.diff(place_BQH1, axis=1) >= -1e-3)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"hidden": -1}, "needs a whole number, 0 or more"),
        ({"noise": -0.1}, "needs a number, 0 or more"),
        ({"noise": float("nan")}, "needs a number, 0 or more"),
        ({"offset": float("inf")}, "needs a number, such as"),
        ({"evaluation": "sampled"}, "needs 'expected' or 'hard'"),
    ],
)
def test_what_cannot_be_is_told(fields, message):
    with pytest.raises(ValueError, match=message):
        Monotonic(**fields)
