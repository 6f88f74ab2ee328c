"""How softmax attention under a mask is computed.

>>> import jax.numpy as jnp
>>> from attention.kernels import softmax_attention
>>> from attention.masks import Causal
>>> x_BTHD = jnp.ones((1, 4, 2, 8))
>>> softmax_attention(x_BTHD, x_BTHD, x_BTHD, Causal()).shape
(1, 4, 2, 8)
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp

from attention.kernels.reference import reference
from attention.masks import as_mask
from attention.shapes import check_qkv, check_scores

KERNELS = {"reference": reference}


def softmax_attention(
    q_BQHD: jax.Array,
    k_BKHD: jax.Array,
    v_BKHE: jax.Array,
    mask: Any = None,
    *,
    bias: jax.Array | None = None,
    scale: float | None = None,
    dropout_rate: float = 0.0,
    rng: jax.Array | None = None,
    kernel: str = "auto",
) -> jax.Array:
    """Scaled dot-product attention (Vaswani et al. 2017, equation 1).

    Args:
      q_BQHD: queries, floating.
      k_BKHD: keys.
      v_BKHE: values.
      mask: a Mask, a boolean array (True means "may look") or None.
      bias: added to the scaled scores, broadcastable to [B, H, Q, K].
      scale: factor on the scores; 1/sqrt(D) by default.
      dropout_rate: share of attention weights dropped, in [0, 1); needs ``rng`` to take effect.
      rng: a typed key; given means training.
      kernel: "auto", or the name of a kernel to force.

    Returns:
      out_BQHE in v's dtype; a query that sees nothing gets zeros.

    Raises:
      ValueError: shapes do not fit, the rate is out of range, or the kernel is unknown.
      TypeError: an argument or the bias is not floating, or a mask not boolean.

    Cost: Q·K·(D + E) multiply-adds a head.
    """
    check_qkv(q_BQHD, k_BKHD, v_BKHE)
    if not 0.0 <= dropout_rate < 1.0:
        raise ValueError(f"dropout_rate is {dropout_rate}; it needs to be in [0, 1)")
    if kernel != "auto" and kernel not in KERNELS:
        raise ValueError(f"kernel {kernel!r} is unknown; choose 'auto' or one of {list(KERNELS)}")
    (batch, q_len, heads, size), k_len = q_BQHD.shape, k_BKHD.shape[1]
    scores = (batch, heads, q_len, k_len)
    if mask is not None:
        mask = as_mask(mask)
        see_BHQK = jax.eval_shape(lambda: mask.dense(q_len, k_len))
        check_scores("mask", see_BHQK.shape, scores)
    if bias is not None:
        if not jnp.issubdtype(bias.dtype, jnp.floating):
            raise TypeError(f"bias has dtype {bias.dtype}; it needs a floating dtype")
        check_scores("bias", bias.shape, scores)
        bias = jnp.broadcast_to(bias, scores)
    compute = KERNELS["reference" if kernel == "auto" else kernel]
    return compute(
        q_BQHD,
        k_BKHD,
        v_BKHE,
        mask,
        bias=bias,
        scale=1.0 / math.sqrt(size) if scale is None else scale,
        dropout_rate=dropout_rate,
        rng=rng,
    )
