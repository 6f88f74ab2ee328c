"""The inputs of earlier positions, kept for an attention that works out the prefix at each step."""

from typing import Any

import jax
import jax.numpy as jnp

from attention.shapes import Tree


def empty(batch: int, length: int, model_size: int, dtype: Any) -> Tree:
    """Room for ``length`` inputs, and the position at which each row stands."""
    return {
        "x_BTM": jnp.zeros((batch, length, model_size), dtype),
        "index_B": jnp.zeros((batch,), jnp.int32),
    }


def appended(cache: Tree, x_BQM: jax.Array) -> tuple[Tree, jax.Array]:
    """The cache with Q further inputs of each row, and the positions [B, Q] that they have."""
    at_BQ = cache["index_B"][:, None] + jnp.arange(x_BQM.shape[1])[None]
    rows_B1 = jnp.arange(len(at_BQ))[:, None]
    x_BTM = cache["x_BTM"].at[rows_B1, at_BQ].set(x_BQM.astype(cache["x_BTM"].dtype))
    return {"x_BTM": x_BTM, "index_B": cache["index_B"] + x_BQM.shape[1]}, at_BQ
