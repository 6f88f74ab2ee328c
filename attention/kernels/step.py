"""Softmax attention of few queries over keys that are kept by head, as a cached step has them.

Vaswani et al. 2017, "Attention Is All You Need", equation 1.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from attention.kernels.reference import masked_softmax
from attention.shapes import accumulator


def step_attention(
    q_BQHD: jax.Array,
    k_BHKD: jax.Array,
    v_BHKE: jax.Array,
    see_BHQK: jax.Array | None = None,
    *,
    bias: jax.Array | None = None,
) -> jax.Array:
    """softmax(q kᵀ / sqrt(D) + bias) v, by two products that read keys and values where they lie.

    Args:
      q_BQHD: queries.
      k_BHKD: keys, each head's together: no step of a search then copies them.
      v_BHKE: values; they have to be finite even where no query sees them.
      see_BHQK: True where a query may look at a key, broadcastable; None for everywhere.
      bias: added to the scaled scores, broadcastable to [B, H, Q, K].

    Returns:
      out_BQHE in v's dtype; a query that sees nothing gets zeros.

    Cost: Q·K·(D + E) multiply-adds a head.
    """
    dtype = accumulator(jnp.result_type(q_BQHD, k_BHKD, v_BHKE))
    scale = 1.0 / math.sqrt(q_BQHD.shape[-1])
    s_BHQK = scale * jnp.einsum("BQHD,BHKD->BHQK", q_BQHD, k_BHKD, preferred_element_type=dtype)
    if bias is not None:
        s_BHQK = s_BHQK + bias.astype(dtype)
    w_BHQK = masked_softmax(s_BHQK, see_BHQK)
    out_BQHE = jnp.einsum(
        "BHQK,BHKE->BQHE", w_BHQK.astype(v_BHKE.dtype), v_BHKE, preferred_element_type=dtype
    )
    return out_BQHE.astype(v_BHKE.dtype)
