"""Softmax attention of few queries over keys that are kept by head, as a cached step has them.

Vaswani et al. 2017, "Attention Is All You Need", equation 1.
"""

import math

import jax
import jax.numpy as jnp

from attention.kernels.reference import masked_softmax
from attention.shapes import accumulator


def step_attention(
    q_BQHD: jax.Array,
    k_BGKD: jax.Array,
    v_BGKE: jax.Array,
    see_BHQK: jax.Array | None = None,
    *,
    bias: jax.Array | None = None,
) -> jax.Array:
    """softmax(q kᵀ / sqrt(D) + bias) v, by two products that read keys and values where they lie.

    Args:
      q_BQHD: queries.
      k_BGKD: keys, each head's together: no step of a search then copies them; G divides H.
      v_BGKE: values; they have to be finite even where no query sees them.
      see_BHQK: True where a query may look at a key, broadcastable; None for everywhere.
      bias: added to the scaled scores, broadcastable to [B, H, Q, K].

    Returns:
      out_BQHE in v's dtype; a query that sees nothing gets zeros.

    Cost: Q·K·(D + E) multiply-adds a head.
    """
    dtype = accumulator(jnp.result_type(q_BQHD, k_BGKD, v_BGKE))
    (batch, q_len, heads, size), (groups, k_len) = q_BQHD.shape, k_BGKD.shape[1:3]
    shared = heads // groups  # heads that share keys are further queries to them
    q_BXGD = q_BQHD.reshape(batch, q_len, groups, shared, size).swapaxes(2, 3)
    q_BXGD = q_BXGD.reshape(batch, q_len * shared, groups, size)
    s_BGXK = jnp.einsum("BXGD,BGKD->BGXK", q_BXGD, k_BGKD, preferred_element_type=dtype)
    s_BGQJK = s_BGXK.reshape(batch, groups, q_len, shared, k_len) / math.sqrt(size)
    s_BHQK = s_BGQJK.swapaxes(2, 3).reshape(batch, heads, q_len, k_len)
    if bias is not None:
        s_BHQK = s_BHQK + bias.astype(dtype)
    w_BHQK = masked_softmax(s_BHQK, see_BHQK)
    w_BGXK = w_BHQK.astype(v_BGKE.dtype).reshape(batch, groups, shared * q_len, k_len)
    out_BXGE = jnp.einsum("BGXK,BGKE->BXGE", w_BGXK, v_BGKE, preferred_element_type=dtype)
    out_BJQGE = out_BXGE.reshape(batch, shared, q_len, groups, -1)
    out_BQHE = out_BJQGE.transpose(0, 2, 3, 1, 4).reshape(batch, q_len, heads, -1)
    return out_BQHE.astype(v_BGKE.dtype)
