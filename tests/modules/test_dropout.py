"""Dropout: its rate, its scale, its randomness."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention.modules.dropout import Dropout
from attention.modules.layers import Residual


def drop(rate, x, seed=None):
    rngs = {} if seed is None else {"dropout": jax.random.key(seed)}
    return np.asarray(Dropout(rate).apply({}, x, rngs=rngs))


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_the_share_and_the_scale(rate):
    out = drop(rate, jnp.ones((100, 200)), seed=0)
    kept = out != 0
    assert abs(kept.mean() - (1 - rate)) < 4 * np.sqrt(rate * (1 - rate) / out.size)
    np.testing.assert_allclose(out[kept], 1 / (1 - rate), rtol=2e-4)


def test_the_rng_decides():
    x = jnp.ones((4, 50))
    np.testing.assert_array_equal(drop(0.5, x, seed=0), drop(0.5, x, seed=0))
    assert np.any(drop(0.5, x, seed=0) != drop(0.5, x, seed=1))
    rows = drop(0.5, x, seed=0)
    assert len({row.tobytes() for row in rows}) == 4


def test_it_is_off_without_an_rng_or_a_rate():
    x = jnp.arange(6.0)
    np.testing.assert_array_equal(drop(0.5, x), x)
    np.testing.assert_array_equal(drop(0.0, x, seed=0), x)
    other = Dropout(0.5).apply({}, x, rngs={"params": jax.random.key(0)})
    np.testing.assert_array_equal(other, x)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_the_dtype_is_kept(dtype):
    assert drop(0.3, jnp.ones(8, dtype), seed=0).dtype == jnp.dtype(dtype)


def test_what_is_dropped_has_no_gradient():
    def loss(x):
        return Dropout(0.5).apply({}, x, rngs={"dropout": jax.random.key(0)}).sum()

    np.testing.assert_array_equal(jax.grad(loss)(jnp.ones(64)), drop(0.5, jnp.ones(64), seed=0))


def test_a_rate_next_to_one_drops_nearly_all():
    out = drop(1 - 1e-7, jnp.ones(1_000), seed=0)
    assert np.isfinite(out).all()
    assert (out == 0).mean() > 0.99


@pytest.mark.parametrize("rate", [1.0, -0.1, 1.5, float("nan")])
def test_a_rate_out_of_range_is_told(rate):
    with pytest.raises(ValueError, match=rf"dropout rate is {rate}; .*\[0, 1\)"):
        drop(rate, jnp.ones(3))


class Unchanged(nn.Module):
    def __call__(self, x):
        return x


@pytest.mark.parametrize("pre", [False, True])
def test_a_sublayers_output_is_dropped_and_the_residual_is_not(pre):
    residual = Residual(norm=Unchanged, pre=pre, dropout=0.5)
    x = jnp.full((10, 50), 7.0)
    np.testing.assert_array_equal(residual.apply({}, x, method="before"), x)
    after = partial(residual.apply, {}, x, jnp.ones_like(x), method="after")
    out = after(rngs={"dropout": jax.random.key(0)})
    np.testing.assert_array_equal(np.unique(out), [7.0, 9.0])
    np.testing.assert_array_equal(after(), x + 1)
