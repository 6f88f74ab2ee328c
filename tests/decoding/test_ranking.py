"""The quick top_k against jax.lax's own, ties and impossible scores included."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention.decoding.ranking import log_normaliser, top_k


@pytest.mark.parametrize(("size", "k"), [(1, 1), (7, 7), (16, 1), (50, 3), (997, 8), (1024, 5)])
@pytest.mark.parametrize("values", [3, 10**6])
def test_top_k_is_lax_top_k(size, k, values):
    generator = np.random.default_rng(size + k)
    x_BX = generator.integers(values, size=(40, size)).astype(np.float32)
    x_BX[generator.random(x_BX.shape) < 0.3] = -np.inf
    x_BX[0] = -np.inf
    x_BX[1, : size - 1] = -np.inf
    got, want = jax.jit(top_k, static_argnums=1)(x_BX, k), jax.lax.top_k(x_BX, k)
    np.testing.assert_array_equal(got[0], want[0])
    np.testing.assert_array_equal(got[1], want[1])


def test_normaliser_of_a_row_where_all_is_forbidden_is_finite():
    logits_BV = jnp.array([[-jnp.inf, -jnp.inf], [0.0, 0.0], [-jnp.inf, 5.0]])
    np.testing.assert_allclose(log_normaliser(logits_BV), [0.0, np.log(2.0), 5.0], rtol=1e-6)
