"""Biases against their papers, their gradients by tile, and what is refused."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention.biases import ALiBi, Given, Relative, as_bias
from attention.kernels import softmax_attention
from attention.masks import Causal
from attention.modules.position_biases import ALiBiPositions, RelativePositions


def t5_bucket(difference, *, bidirectional, buckets, max_distance):
    """Raffel et al. 2020, as its appendix tells it in words; one distance at a time."""
    first = 0
    if bidirectional:
        buckets //= 2
        first = buckets if difference > 0 else 0
        distance = abs(difference)
    else:
        distance = max(-difference, 0)
    exact = buckets // 2
    if distance < exact:
        return first + distance
    steps = math.log(distance / exact) / math.log(max_distance / exact) * (buckets - exact)
    return first + min(exact + int(steps + 1e-6), buckets - 1)


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize(("buckets", "max_distance"), [(32, 128), (8, 20)])
def test_t5_buckets(bidirectional, buckets, max_distance):
    bias = Relative(jnp.zeros((1, 1, buckets, 1)), max_distance, bidirectional)
    differences = np.arange(-300, 301)
    # Exactly on an edge float32 may fall to either side; those distances are left out.
    share = np.log(np.maximum(abs(differences), 1) / (buckets // (4 if bidirectional else 2)))
    steps = share / np.log(max_distance / (buckets // (4 if bidirectional else 2)))
    steps *= buckets // (4 if bidirectional else 2)
    inside = abs(steps - np.round(steps)) > 1e-5
    options = {"bidirectional": bidirectional, "buckets": buckets, "max_distance": max_distance}
    theirs = [t5_bucket(int(d), **options) for d in differences]
    np.testing.assert_array_equal(bias.bucket(differences)[inside], np.array(theirs)[inside])
    assert set(theirs) <= set(range(buckets))


def test_alibi_slopes():
    np.testing.assert_allclose(ALiBi.of(8).slope_1H11.ravel(), [2.0**-i for i in range(1, 9)])
    ours = ALiBi.of(12).slope_1H11.ravel()
    np.testing.assert_allclose(ours[:8], [2.0**-i for i in range(1, 9)])
    np.testing.assert_allclose(ours[8:], [2.0 ** -(i + 0.5) for i in range(4)], rtol=1e-6)
    dense = ALiBi.of(1).dense(3, 3)[0, 0]
    np.testing.assert_allclose(dense[2], np.array([-2, -1, 0]) * 2.0**-8)
    with pytest.raises(ValueError, match="heads is 0"):
        ALiBi.of(0)


def given(random, *shape):
    return as_bias(jnp.asarray(random.normal(size=shape), "float32"))


BIASES = {
    "given": lambda random: given(random, 2, 3, 600, 600),
    "given by head": lambda random: given(random, 1, 3, 600, 600),
    "given by query": lambda random: given(random, 1, 1, 600, 1),
    "given by key": lambda random: given(random, 3, 1, 600),
    "relative": lambda random: Relative(jnp.asarray(random.normal(size=(1, 3, 32, 1)), "float32")),
    "alibi": lambda random: ALiBi.of(3),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(
            make,
            marks=pytest.mark.long if name in ("given by head", "given by key") else (),
            id=name,
        )
        for name, make in BIASES.items()
    ],
)
def test_the_gradient_by_tile_is_that_of_the_whole(make):
    random = np.random.default_rng(0)
    q, k, v = (jnp.asarray(random.normal(size=(2, 600, 3, 4)), "float32") for _ in range(3))
    bias = make(random)

    def grad(kernel):
        def loss(bias):
            return (softmax_attention(q, k, v, Causal(), bias=bias, kernel=kernel) ** 2).sum()

        return jax.tree.leaves(jax.jit(jax.grad(loss))(bias))[0]

    tiled, whole = grad("tiled"), grad("reference")
    assert tiled.shape == whole.shape
    assert np.any(whole) == (not isinstance(bias, ALiBi))
    np.testing.assert_allclose(tiled, whole, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("make", [BIASES["given"], BIASES["relative"], BIASES["alibi"]])
def test_a_bias_speaks_of_absolute_positions(make):
    bias = make(np.random.default_rng(0))
    dense = bias.dense(600, 600)
    q_pos, k_pos = jnp.array([[7, 9]]), jnp.arange(600)[None]
    ours = bias.at(q_pos[:, None, :, None], k_pos[:, None, None, :])
    np.testing.assert_allclose(ours, dense[:, :, jnp.array([7, 9])], atol=1e-6)
    np.testing.assert_allclose(bias.tile(5, 3, 4, 2), dense[:, :, 5:9, 3:5], atol=1e-6)


def test_modules_give_them():
    relative = RelativePositions(heads=2, bidirectional=False)
    variables = relative.init(jax.random.key(0))
    assert relative.apply(variables).dense(4, 4).shape == (1, 2, 4, 4)
    assert not ALiBiPositions(heads=2, bidirectional=True).init(jax.random.key(0))


def test_wrong_input():
    assert as_bias(None) is None
    assert isinstance(as_bias(jnp.zeros((2, 2))), Given)
    with pytest.raises(TypeError, match="needs a floating dtype"):
        as_bias(jnp.zeros((2, 2), int))
    with pytest.raises(ValueError, match="broadcast"):
        as_bias(jnp.zeros((1,) * 5))
    x = jnp.ones((1, 4, 2, 8))
    with pytest.raises(ValueError, match="bias has shape"):
        softmax_attention(x, x, x, bias=ALiBi.of(3))
