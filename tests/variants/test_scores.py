"""Attentions whose scores have parameters of their own, beside the laws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention.masks import Lengths
from attention.shapes import Named, Sizes
from attention.variants import Additive, Cosine, Tempered


@pytest.mark.parametrize("attend", [Additive(), Cosine(), Tempered()], ids=str)
def test_a_nan_in_padding_does_not_reach_the_gradients_of_parameters(attend):
    boxed, _ = attend.init(jax.random.key(0), Sizes(2, 4, 4, 8))
    params = jax.tree.map(lambda x: x.value, boxed, is_leaf=lambda x: isinstance(x, Named))
    x_BTHD = jnp.asarray(np.random.default_rng(0).normal(size=(1, 6, 2, 4)), jnp.float32)
    spoilt_BTHD = x_BTHD.at[:, 4:].set(jnp.nan)

    def loss(params):
        given = (params, {}, spoilt_BTHD, spoilt_BTHD, x_BTHD, Lengths(jnp.array([4])))
        return (attend.attend(*given)[0] ** 2).sum()

    for grad in jax.tree.leaves(jax.grad(loss)(params)):
        assert np.isfinite(grad).all()
        assert np.any(grad)
