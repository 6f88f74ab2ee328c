"""MLP-Mixer's fixed length."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention.masks import Causal
from attention.modules.mixing import TokenMixing
from attention.variants.mixers.mlp_mixer import Mixer

LAYER = TokenMixing(heads=1, mixer=Mixer(length=6, hidden=3))
x_BTM = jnp.asarray(np.random.default_rng(0).normal(size=(2, 6, 4)), jnp.float32)
VARIABLES = nn.meta.unbox(LAYER.init(jax.random.key(0), x_BTM))


def test_features_do_not_mix():
    grad = jax.jacobian(lambda x: LAYER.apply(VARIABLES, x)[0, :, 1].sum())(x_BTM)
    assert np.all(grad[0, :, 1] != 0)
    assert not np.any(grad[0, :, jnp.array([0, 2, 3])])
    assert not np.any(grad[1])


def test_parameters_are_the_same_whatever_length_they_are_made_with():
    other = nn.meta.unbox(LAYER.init(jax.random.key(0), x_BTM[:, :2]))
    for ours, theirs in zip(jax.tree.leaves(other), jax.tree.leaves(VARIABLES), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_longer_sequence_is_refused():
    with pytest.raises(ValueError, match=r"Mixer\(length=6\): got 7 positions; set length=7"):
        LAYER.apply(VARIABLES, jnp.ones((1, 7, 4)))


def test_a_causal_mask_and_wrong_fields_are_refused():
    with pytest.raises(NotImplementedError, match="Mixer cannot attend causally; use"):
        LAYER.apply(VARIABLES, x_BTM, mask=Causal())
    with pytest.raises(ValueError, match=r"Mixer\(hidden=0\): needs a whole number, 1 or more"):
        Mixer(hidden=0)
