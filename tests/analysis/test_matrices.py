"""Influence matrices of mixers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention.analysis.matrices import influence_matrix
from attention.masks import Causal, Lengths, Valid
from attention.protocols import WithAxes
from attention.shapes import Sizes
from attention.variants import Conv

MIXER = Conv(left=1, right=1)
X_BTM = jnp.asarray(np.random.default_rng(0).normal(size=(2, 5, 4)), jnp.float32)
MASKS = [
    None,
    Causal() & Lengths(jnp.array([5, 3])),
    Lengths(jnp.array([4])),  # one row for the whole batch
    Valid(jnp.array([[1, 0, 1, 1, 1]], bool)),
]


def params():
    boxed, _ = MIXER.init(jax.random.key(0), Sizes(1, 4, 4, 4))
    return jax.tree.map(lambda x: x.value, boxed, is_leaf=lambda x: isinstance(x, WithAxes))


@pytest.mark.parametrize("mask", MASKS, ids=str)
def test_an_influence_is_the_norm_of_the_derivative(mask):
    own = params()
    derivative = jax.jacrev(lambda x: MIXER.mix(own, {}, x, mask)[0])(X_BTM)
    rows = jnp.arange(2)
    theirs = jnp.linalg.norm(derivative[rows, :, :, rows], axis=(2, 4))
    ours = influence_matrix(MIXER, own, {}, X_BTM, mask)
    np.testing.assert_allclose(ours[:, 0], theirs, atol=1e-6)
