"""The largest of many scores, and the normaliser of a softmax, exact and quick on CPUs."""

import math

import jax
import jax.numpy as jnp
from jax import lax


def top_k(x_BX: jax.Array, k: int) -> tuple[jax.Array, jax.Array]:
    """The k largest of each row and their indices, as ``lax.top_k`` gives them, ties included.

    The k largest lie in the k chunks with the largest maxima, so only those chunks are ranked:
    one vectorised pass for the maxima, then a search among about 2·sqrt(k·X) scores instead of X.
    """
    batch, size = x_BX.shape
    chunk = 2 ** round(math.log2(max(1.0, math.sqrt(size / k))))
    count = -(-size // chunk)
    if chunk == 1 or count <= k:
        return lax.top_k(x_BX, k)
    padding = ((0, 0), (0, count * chunk - size))
    padded_BNC = jnp.pad(x_BX, padding, constant_values=-jnp.inf).reshape(batch, count, chunk)
    _, best_BK = lax.top_k(padded_BNC.max(-1), k)
    # In ascending order, so that among equal scores the first index still wins.
    first_BK1 = jnp.sort(best_BK, -1)[:, :, None] * chunk
    index_BX = (first_BK1 + jnp.arange(chunk)[None, None]).reshape(batch, k * chunk)
    x_BX = jnp.take_along_axis(x_BX, index_BX, axis=1, mode="clip")
    value_BK, at_BK = lax.top_k(jnp.where(index_BX < size, x_BX, -jnp.inf), k)
    return value_BK, jnp.take_along_axis(index_BX, at_BK, axis=1, mode="clip")


def log_normaliser(logits_BV: jax.Array) -> jax.Array:
    """Log-sum-exp of each row, and 0 where all is forbidden: such a row's log-probs stay -inf."""
    norm_B = jax.nn.logsumexp(logits_BV, axis=-1)
    return jnp.where(jnp.isneginf(norm_B), 0.0, norm_B)
