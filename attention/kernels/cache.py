"""Keys and values of earlier positions, kept by head: what cached steps of attention share.

Each head's lie together, so that no step of a search copies them; every leaf has the batch first.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from attention.shapes import Sizes, Tree


def empty(sizes: Sizes, batch: int, room: int, dtype: Any) -> Tree:
    """A cache with room for keys and values, and the position at which each row stands."""
    heads = sizes.kv_heads or sizes.heads
    return {
        "k_BHKD": jnp.zeros((batch, heads, room, sizes.size), dtype),
        "v_BHKE": jnp.zeros((batch, heads, room, sizes.value_size), dtype),
        "index_B": jnp.zeros((batch,), jnp.int32),
    }


def written(cache_BHKD: jax.Array, new_BQHD: jax.Array, at_BQ: jax.Array) -> jax.Array:
    """The cache with each row's new keys or values put where the row says."""
    rows_B1 = jnp.arange(at_BQ.shape[0])[:, None]
    return cache_BHKD.at[rows_B1, :, at_BQ].set(new_BQHD.astype(cache_BHKD.dtype))


def finite(v_BHKE: jax.Array, see_BHQK: jax.Array) -> jax.Array:
    """Zeroes the values that no query sees: what stands in padding may not even be finite."""
    seen_BHK, (heads, length) = see_BHQK.any(axis=2), v_BHKE.shape[1:3]
    if seen_BHK.shape[1] > heads:  # by any of the heads that share a value
        seen_BHK = seen_BHK.reshape(len(seen_BHK), heads, -1, length).any(axis=2)
    return jnp.where(seen_BHK[..., None], v_BHKE, 0)
