"""The effective attention matrix of any Attend, read off through its linearity in the values."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from attention.shapes import Attend, Tree


def effective_matrix(
    attend: Attend,
    params: Tree,
    state: Tree,
    q_BQHD: jax.Array,
    k_BKHD: jax.Array,
    mask: Any,
    *,
    bias: Any = None,
    x_BTM: jax.Array | None = None,
) -> jax.Array:
    """A_BHQK with out = A v: what ``attend`` returns where the values are the identity.

    Where values take two ways, as in Longformer, it is what the attention's ``gather`` returns.

    Args:
      attend: an attention that does not mix channels; all are linear in the values.
      params: its parameters.
      state: its state.
      q_BQHD: queries.
      k_BKHD: keys.
      mask: who may look at whom.
      bias: added to the scores, where the attention takes one.
      x_BTM: the layer's input, where the attention needs it.

    Returns:
      The weight of key k in the output of query q, [B, H, Q, K].
    """
    batch, length, heads, _ = k_BKHD.shape
    eye_1K1K = jnp.eye(length, dtype=k_BKHD.dtype)[None, :, None, :]
    v_BKHK = jnp.broadcast_to(eye_1K1K, (batch, length, heads, length))
    gather = getattr(attend, "gather", attend.attend)
    out_BQHK, _ = gather(params, state, q_BQHD, k_BKHD, v_BKHK, mask, bias=bias, x_BTM=x_BTM)
    return jnp.swapaxes(out_BQHK, 1, 2)
