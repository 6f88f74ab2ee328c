"""Softmax attention as its definition reads: every score in memory, float32 or better.

Vaswani et al. 2017, "Attention Is All You Need", equation 1.
"""

import jax
import jax.numpy as jnp

from attention.biases import Bias
from attention.kernels.dropped import Dropped
from attention.masks import Mask
from attention.shapes import accumulator


def reference(
    q_BQHD: jax.Array,
    k_BKHD: jax.Array,
    v_BKHE: jax.Array,
    mask: Mask | None,
    *,
    bias: Bias | None,
    scale: float,
    dropped: Dropped | None,
) -> jax.Array:
    """softmax(scale q kᵀ + bias) v under the mask, with Q·K scores a head in memory."""
    dtype = accumulator(jnp.result_type(q_BQHD, k_BKHD, v_BKHE))
    lengths = q_BQHD.shape[1], k_BKHD.shape[1]
    see_BHQK = None
    if mask is not None:
        see_BHQK = mask.dense(*lengths)
        q_BQHD, k_BKHD, v_BKHE = hide(q_BQHD, k_BKHD, v_BKHE, see_BHQK)
    s_BHQK = scale * jnp.einsum("BQHD,BKHD->BHQK", q_BQHD, k_BKHD, preferred_element_type=dtype)
    if bias is not None:
        s_BHQK = s_BHQK + bias.dense(*lengths).astype(dtype)
    w_BHQK = masked_softmax(s_BHQK, see_BHQK)
    if dropped is not None:
        w_BHQK = w_BHQK * dropped.tile(0, 0, *lengths).astype(dtype)
    out_BQHE = jnp.einsum(
        "BHQK,BKHE->BQHE", w_BHQK.astype(v_BKHE.dtype), v_BKHE, preferred_element_type=dtype
    )
    return out_BQHE.astype(v_BKHE.dtype)


def hide(
    q_BQHD: jax.Array, k_BKHD: jax.Array, v_BKHE: jax.Array, see_BHQK: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Zeroes queries that see nothing and keys and values that nobody sees.

    A NaN in padding would otherwise reach valid rows as 0 * NaN.
    """
    sees_BQH1 = jnp.swapaxes(see_BHQK.any(axis=3), 1, 2)[..., None]
    seen_BKH1 = jnp.swapaxes(see_BHQK.any(axis=2), 1, 2)[..., None]
    return (
        jnp.where(sees_BQH1, q_BQHD, 0),
        jnp.where(seen_BKH1, k_BKHD, 0),
        jnp.where(seen_BKH1, v_BKHE, 0),
    )


def masked_softmax(s_BHQK: jax.Array, see_BHQK: jax.Array | None) -> jax.Array:
    """Softmax over the visible keys of the last axis; a row that sees nothing is zero."""
    if see_BHQK is not None:
        s_BHQK = jnp.where(see_BHQK, s_BHQK, -jnp.inf)
    top_BHQ1 = jax.lax.stop_gradient(s_BHQK.max(axis=-1, keepdims=True))
    top_BHQ1 = jnp.where(jnp.isfinite(top_BHQ1), top_BHQ1, 0.0)
    e_BHQK = jnp.exp(s_BHQK - top_BHQ1)
    total_BHQ1 = e_BHQK.sum(axis=-1, keepdims=True)
    return e_BHQK / jnp.where(total_BHQ1 > 0.0, total_BHQ1, 1.0)
