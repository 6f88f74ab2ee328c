"""Feed-forward layers against their equations."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention.modules.feed_forward import FeedForward, GatedFeedForward
from tests.reference.transformer import feed_forward, to_float64

X_BTM = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 4)), jnp.float32)
LAYERS = [FeedForward, GatedFeedForward]


@functools.cache
def params_of(layer):
    random = np.random.default_rng(1)
    abstract = nn.meta.unbox(jax.eval_shape(layer.init, jax.random.key(0), X_BTM))["params"]
    return jax.tree.map(lambda a: jnp.asarray(random.normal(size=a.shape), a.dtype), abstract)


def apply(layer, **rngs):
    return jax.jit(layer.apply)({"params": params_of(layer)}, X_BTM, rngs=rngs)


@pytest.mark.parametrize("make", LAYERS)
def test_equal_to_the_papers_equation(make):
    layer = make(hidden=7)
    theirs = [feed_forward(to_float64(params_of(layer)), x) for x in np.asarray(X_BTM, np.float64)]
    np.testing.assert_allclose(apply(layer), theirs, atol=5e-6, rtol=5e-6)


@pytest.mark.parametrize("make", LAYERS)
def test_the_activation_can_be_chosen(make):
    layer = make(hidden=7, activation=nn.gelu)
    p = params_of(layer)
    h = X_BTM @ p["in"]["kernel"] + p["in"]["bias"][None, None]
    if make is GatedFeedForward:
        h *= nn.gelu(X_BTM @ p["gate"]["kernel"] + p["gate"]["bias"][None, None])
    else:
        h = nn.gelu(h)
    theirs = h @ p["out"]["kernel"] + p["out"]["bias"][None, None]
    np.testing.assert_allclose(apply(layer), theirs, atol=1e-5)


@pytest.mark.parametrize("make", LAYERS)
def test_dropout_stands_on_the_inner_layer(make):
    layer = make(hidden=64, dropout=0.5)
    plain = np.asarray(apply(layer))
    np.testing.assert_array_equal(plain, apply(make(hidden=64)))
    one, other = (np.asarray(apply(layer, dropout=jax.random.key(s))) for s in (0, 1))
    assert np.any(one != plain)
    assert np.any(one != other)
    # A zero in the output would mean dropout on the outer layer.
    assert np.all(one != 0)


@pytest.mark.parametrize("make", LAYERS)
def test_bfloat16_computes_and_float32_stores(make):
    layer = make(hidden=7, dtype=jnp.bfloat16)
    assert {a.dtype for a in jax.tree.leaves(params_of(layer))} == {jnp.dtype("float32")}
    ours, plain = apply(layer), apply(make(hidden=7))
    assert ours.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.asarray(ours, np.float32), plain, atol=0.1, rtol=0.05)


@pytest.mark.parametrize(("make", "names"), [(FeedForward, "in"), (GatedFeedForward, "gate in")])
def test_parameters_carry_the_names_of_their_axes(make, names):
    variables = jax.eval_shape(make(hidden=7).init, jax.random.key(0), X_BTM)
    spec = nn.get_partition_spec(variables)["params"]
    assert set(spec) == {*names.split(), "out"}
    for name in names.split():
        assert tuple(spec[name]["kernel"]) == ("model", "hidden")
        assert tuple(spec[name]["bias"]) == ("hidden",)
    assert tuple(spec["out"]["kernel"]) == ("hidden", "model")
    assert tuple(spec["out"]["bias"]) == ("model",)
