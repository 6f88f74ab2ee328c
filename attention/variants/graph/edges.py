"""Softmax attention over listed pairs of a query and a key: cost and memory are in pairs.

Every list has the batch first, B, or 1 where all of a batch have the same. What is no pair points
to the node after the last, of which a gather gives zero and a sum nothing.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from attention.masks import Mask


class Pairs(NamedTuple):
    """Pairs in the order of their queries, then of their keys.

    Attributes:
      q_BP, k_BP: the nodes of each pair, int; the number of nodes where there is no pair.
      once_BP: False where there is no pair, or the same as just before.
    """

    q_BP: jax.Array
    k_BP: jax.Array
    once_BP: jax.Array


def listed(edges_BP2: Any, nodes: int, *, loops: bool) -> Pairs:
    """The pairs of a list in any order, with repetitions.

    Args:
      edges_BP2: (query, key) of each, int32 at least; below zero or not below ``nodes`` is no
        pair.
      nodes: how many nodes there are.
      loops: whether every node is paired with itself too.
    """
    edges_BP2 = jnp.asarray(edges_BP2)
    there_BP1 = ((edges_BP2 >= 0) & (edges_BP2 < nodes)).all(axis=-1, keepdims=True)
    edges_BP2 = jnp.where(there_BP1, edges_BP2, nodes)
    if loops:
        itself_12 = jnp.broadcast_to(
            jnp.arange(nodes, dtype=edges_BP2.dtype)[None, :, None], (len(edges_BP2), nodes, 2)
        )
        edges_BP2 = jnp.concatenate([edges_BP2, itself_12], axis=1)
    q_BP, k_BP = jax.lax.sort((edges_BP2[..., 0], edges_BP2[..., 1]), dimension=1, num_keys=2)
    new_BP = (q_BP[:, 1:] != q_BP[:, :-1]) | (k_BP[:, 1:] != k_BP[:, :-1])
    new_BP = jnp.pad(new_BP, ((0, 0), (q_BP.shape[1] - new_BP.shape[1], 0)), constant_values=True)
    return Pairs(q_BP, k_BP, new_BP & (q_BP < nodes))


def visible(mask: Mask, pairs: Pairs) -> jax.Array:
    """Which pairs count and are not hidden: bool [B or 1, P, H or 1]."""

    def at(q_B: jax.Array, k_B: jax.Array) -> jax.Array:
        return mask.at(q_B[:, None, None, None], k_B[:, None, None, None])[:, :, 0, 0]

    see_BPH = jax.vmap(at, in_axes=1, out_axes=1)(pairs.q_BP, pairs.k_BP)
    return see_BPH & pairs.once_BP[..., None]


def gathered(x_BTX: jax.Array, at_BP: jax.Array, *, in_order: bool = False) -> jax.Array:
    """x at the nodes, [B, P, ...]; zero where there is no node."""

    def of_row(x_TX: jax.Array, at_P: jax.Array) -> jax.Array:
        return x_TX.at[at_P].get(mode="fill", fill_value=0, indices_are_sorted=in_order)

    return _by_row(of_row, x_BTX, at_BP)


def attention(
    s_BPH: jax.Array,
    v_BPHE: jax.Array,
    q_BP: jax.Array,
    see_BPH: jax.Array,
    nodes: int,
    *,
    factors_BPH: jax.Array | None = None,
) -> jax.Array:
    """Sums of values, weighted by a softmax of the scores over each query's pairs.

    Args:
      s_BPH: the score of each pair, at least float32.
      v_BPHE: the value of each pair's key.
      q_BP: each pair's query, in order.
      see_BPH: which pairs count.
      nodes: how many queries there are.
      factors_BPH: dropout's factors of the weights, or None.

    Returns:
      out_BTHE in the scores' dtype; a query of which no pair counts gets zeros.
    """
    s_BPH = jnp.where(see_BPH, s_BPH, -jnp.inf)
    top_BTH = jax.lax.stop_gradient(_over_pairs(jax.ops.segment_max, s_BPH, q_BP, nodes))
    top_BTH = jnp.where(jnp.isfinite(top_BTH), top_BTH, 0.0)
    e_BPH = jnp.exp(s_BPH - gathered(top_BTH, q_BP, in_order=True))
    total_BTH = _over_pairs(jax.ops.segment_sum, e_BPH, q_BP, nodes)
    if factors_BPH is not None:
        e_BPH = e_BPH * factors_BPH.astype(e_BPH.dtype)
    v_BPHE = jnp.einsum("BPH,BPHE->BPHE", e_BPH, v_BPHE, preferred_element_type=e_BPH.dtype)
    sum_BTHE = _over_pairs(jax.ops.segment_sum, v_BPHE, q_BP, nodes)
    return sum_BTHE / jnp.where(total_BTH > 0.0, total_BTH, 1.0)[..., None]


def _over_pairs(reduce: Callable, x_BPX: jax.Array, q_BP: jax.Array, nodes: int) -> jax.Array:
    """What ``reduce`` makes of the pairs of each query, [B, T, ...]."""

    def of_row(x_PX: jax.Array, q_P: jax.Array) -> jax.Array:
        return reduce(x_PX, q_P, num_segments=nodes, indices_are_sorted=True)

    return _by_row(of_row, x_BPX, q_BP)


def _by_row(of_row: Callable, x_BX: jax.Array, at_BP: jax.Array) -> jax.Array:
    """Row by row; nodes that are the same for all rows stay one list."""
    if len(at_BP) == 1:
        return jax.vmap(of_row, in_axes=(0, None))(x_BX, at_BP[0])
    return jax.vmap(of_row)(x_BX, at_BP)
