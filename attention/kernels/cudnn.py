"""cuDNN's fused attention, through ``jax.nn.dot_product_attention``, for what it can express."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from attention.biases import Bias
from attention.kernels.dropped import Dropped
from attention.kernels.request import Request, pattern
from attention.kernels.rows import zero_padding
from attention.masks import Mask, as_mask

_MOST_FEATURES, _UNIT = 128, 8


def unsupported_reason(request: Request) -> str | None:
    """Why cuDNN cannot serve the request, or None."""
    (_, q_len, _, size), k_len = request.q_shape, request.k_shape[1]
    seen = pattern(request.mask)
    if request.platform != "gpu":
        return f"it needs a GPU, and the platform is {request.platform}"
    if request.dtype not in (jnp.bfloat16, jnp.float16):
        return f"it takes bfloat16 and float16, not {jnp.dtype(request.dtype).name}"
    if request.v_shape[3] != size or size % _UNIT or size > _MOST_FEATURES:
        return f"it needs heads of one size, a multiple of {_UNIT} up to {_MOST_FEATURES}"
    if q_len % 2 or k_len % 2:
        return "it needs even lengths"
    if request.bias is not None:
        return "it is not asked to add a bias"
    if request.dropout:
        return "its dropout draws other weights than ours"
    if seen is None:
        return "its masks are causal, windows to the left of a causal query, and lengths"
    if seen.right not in (None, 0) or (seen.left is not None and seen.right is None):
        return "its windows reach to the left of a causal query only"
    if q_len != k_len and seen.right is not None:
        return "it aligns a causal mask of unequal lengths at their ends"
    return None


def cudnn(
    q_BQHD: jax.Array,
    k_BKGD: jax.Array,
    v_BKGE: jax.Array,
    mask: Mask | None,
    *,
    bias: Bias | None,
    scale: float,
    dropped: Dropped | None,
    implementation: Any = "cudnn",
) -> jax.Array:
    """Attention by cuDNN; queries that see nothing, of which it makes a mean, are zeroed."""
    seen, (_, q_len, _, _), k_len = pattern(mask), q_BQHD.shape, k_BKGD.shape[1]
    assert seen is not None, "the chooser calls unsupported_reason() first"
    assert bias is None, "the chooser calls unsupported_reason() first"
    assert dropped is None, "the chooser calls unsupported_reason() first"
    q_BQHD, k_BKGD, v_BKGE = zero_padding(q_BQHD, k_BKGD, v_BKGE, as_mask(mask))
    lengths, most = seen.lengths, dict[str, Any]()
    if lengths is not None:
        # At least one key, so that cuDNN never divides by nothing.
        rows_B = jnp.zeros(len(q_BQHD), jnp.int32)
        most["key_value_seq_lengths"] = (
            jnp.maximum(lengths.k_lengths_B, 1).astype(jnp.int32) + rows_B
        )
        if lengths.q_lengths_B is not None:
            most["query_seq_lengths"] = (
                jnp.maximum(lengths.q_lengths_B, 1).astype(jnp.int32) + rows_B
            )
    out_BQHE = jax.nn.dot_product_attention(
        q_BQHD,
        k_BKGD,
        v_BKGE,
        scale=scale,
        is_causal=seen.right == 0,
        local_window_size=None if seen.left is None else (seen.left, 0),
        implementation=implementation,
        **most,
    )
    sees_BQ = seen.sees(q_len, k_len)
    return out_BQHE if sees_BQ is None else jnp.where(sees_BQ[:, :, None, None], out_BQHE, 0)
