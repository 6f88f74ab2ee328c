"""Caches of keys and values, by head, and softmax attention to them step by step.

The keys of a head are contiguous, so that no step of a search copies them; every leaf has the batch
first. Masks and biases take absolute positions; each row is at its ``index_B``.
"""

from typing import Any

import jax
import jax.numpy as jnp

from attention.biases import Bias
from attention.kernels.decode.step import step_attention
from attention.kernels.inputs import Inputs
from attention.masks import Causal, Everything, Mask
from attention.shapes import Sizes, Tree


def empty(sizes: Sizes, batch: int, room: int, dtype: Any) -> Tree:
    """A cache with room for keys and values, and the position of each row."""
    heads = sizes.kv_heads or sizes.heads
    return {
        "k_BHKD": jnp.zeros((batch, heads, room, sizes.size), dtype),
        "v_BHKE": jnp.zeros((batch, heads, room, sizes.value_size), dtype),
        "index_B": jnp.zeros((batch,), jnp.int32),
    }


def write(cache_BHKD: jax.Array, new_BQHD: jax.Array, at_BQ: jax.Array) -> jax.Array:
    """The cache with new keys or values at the positions of each row."""
    rows_B1 = jnp.arange(at_BQ.shape[0])[:, None]
    return cache_BHKD.at[rows_B1, :, at_BQ].set(new_BQHD.astype(cache_BHKD.dtype))


def zero_unseen(v_BHKE: jax.Array, see_BHQK: jax.Array) -> jax.Array:
    """Zeroes the values that no query sees: padding may not be finite."""
    seen_BHK, (heads, length) = see_BHQK.any(axis=2), v_BHKE.shape[1:3]
    if seen_BHK.shape[1] > heads:  # by any of the heads that share a value
        seen_BHK = seen_BHK.reshape(len(seen_BHK), heads, -1, length).any(axis=2)
    return jnp.where(seen_BHK[..., None], v_BHKE, 0)


def extend(cache: Tree, inputs: Inputs) -> tuple[jax.Array, Tree]:
    """Appends Q positions to a cache, and attends from them causally, under a mask."""
    q_BQHD, k_BQHD, v_BQHE, mask, bias, _ = inputs
    new, length = q_BQHD.shape[1], cache["k_BHKD"].shape[2]
    at_BQ = cache["index_B"][:, None] + jnp.arange(new)[None, :]
    k_BHKD = write(cache["k_BHKD"], k_BQHD, at_BQ)
    v_BHKE = write(cache["v_BHKE"], v_BQHE, at_BQ)
    k_pos = jnp.arange(length, dtype=jnp.int32)[None, None, None, :]
    see_BHQK = (Causal() & mask).at(at_BQ[:, None, :, None], k_pos)
    kept = {"k_BHKD": k_BHKD, "v_BHKE": v_BHKE, "index_B": cache["index_B"] + new}
    if not isinstance(mask, Everything):  # padding may not be finite
        v_BHKE = zero_unseen(v_BHKE, see_BHQK)
    added = None if bias is None else bias.at(at_BQ[:, None, :, None], k_pos)
    return step_attention(q_BQHD, k_BHKD, v_BHKE, see_BHQK, bias=added), kept


def extend_ring(cache: Tree, inputs: Inputs) -> tuple[jax.Array, Tree]:
    """``extend`` of a ring of the latest positions; the mask must hide all earlier ones."""
    q_BQHD, k_BQHD, v_BQHE, mask, bias, _ = inputs
    new, width = q_BQHD.shape[1], cache["k_BHKD"].shape[2]
    q_pos_BQ = cache["index_B"][:, None] + jnp.arange(new)[None]
    pos_BK = jnp.concatenate([ring_positions(cache["index_B"], width), q_pos_BQ], axis=1)
    k_BHKD, v_BHKE = (
        jnp.concatenate([cache[name], x.swapaxes(1, 2).astype(cache[name].dtype)], axis=2)
        for name, x in (("k_BHKD", k_BQHD), ("v_BHKE", v_BQHE))
    )
    out_BQHE = attend_to_positions(q_BQHD, q_pos_BQ, k_BHKD, v_BHKE, pos_BK, mask, bias)
    return out_BQHE, write_ring(cache, k_BQHD, v_BQHE)


def write_ring(cache: Tree, k_BQHD: jax.Array, v_BQHE: jax.Array) -> Tree:
    """The ring with Q new positions in place of the oldest."""
    new, width = k_BQHD.shape[1], cache["k_BHKD"].shape[2]
    last = min(new, width)
    slots_BL = (cache["index_B"][:, None] + jnp.arange(new - last, new)[None]) % width
    return {
        "k_BHKD": write(cache["k_BHKD"], k_BQHD[:, -last:], slots_BL),
        "v_BHKE": write(cache["v_BHKE"], v_BQHE[:, -last:], slots_BL),
        "index_B": cache["index_B"] + new,
    }


def attend_to_positions(
    q_BQHD: jax.Array,
    q_pos_BQ: jax.Array,
    k_BHKD: jax.Array,
    v_BHKE: jax.Array,
    pos_BK: jax.Array,
    mask: Mask,
    bias: Bias | None,
) -> jax.Array:
    """Causal attention to keys in any order, with positions ``pos_BK``; -1 is none."""
    q_pos, k_pos = q_pos_BQ[:, None, :, None], jnp.maximum(pos_BK, 0)[:, None, None, :]
    see_BHQK = (Causal() & mask).at(q_pos, k_pos) & (pos_BK >= 0)[:, None, None, :]
    v_BHKE = zero_unseen(v_BHKE, see_BHQK)
    added = None if bias is None else bias.at(q_pos, k_pos)
    return step_attention(q_BQHD, k_BHKD, v_BHKE, see_BHQK, bias=added)


def ring_positions(index_B: jax.Array, width: int) -> jax.Array:
    """The position in each slot of the ring, negative where the slot is empty."""
    slot_1W = jnp.arange(width)[None]
    last_B1 = index_B[:, None] - 1
    return last_B1 - (last_B1 - slot_1W) % width
