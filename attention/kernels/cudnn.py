"""cuDNN's fused attention, through ``jax.nn.dot_product_attention``, for what it can express."""

from typing import Any

import jax
import jax.numpy as jnp

from attention.biases import Bias
from attention.kernels.dropped import Dropped
from attention.kernels.request import Request, as_band
from attention.masks import Mask

_MOST_FEATURES, _UNIT = 128, 8


def unsupported_reason(request: Request) -> str | None:
    """Why cuDNN cannot serve the request, or None."""
    (_, q_len, _, size), k_len = request.q_shape, request.k_shape[1]
    band = as_band(request.mask)
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
    if band is None:
        return "its masks are causal, windows to the left of a causal query, and lengths"
    if band.right not in (None, 0) or (band.left is not None and band.right is None):
        return "its windows reach to the left of a causal query only"
    if q_len != k_len and band.right is not None:
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
    """Attention by cuDNN; zeroes the queries that see nothing, whose output is a mean there."""
    band = as_band(mask)
    assert band is not None, "the chooser calls unsupported_reason() first"
    assert bias is None, "the chooser calls unsupported_reason() first"
    assert dropped is None, "the chooser calls unsupported_reason() first"
    lengths, options = band.lengths, dict[str, Any]()
    if lengths is not None:
        # At least one key, so that cuDNN never divides by zero.
        rows_B = jnp.zeros(len(q_BQHD), jnp.int32)
        options["key_value_seq_lengths"] = (
            jnp.maximum(lengths.k_lengths_B, 1).astype(jnp.int32) + rows_B
        )
        if lengths.q_lengths_B is not None:
            options["query_seq_lengths"] = (
                jnp.maximum(lengths.q_lengths_B, 1).astype(jnp.int32) + rows_B
            )
    out_BQHE = jax.nn.dot_product_attention(
        q_BQHD,
        k_BKGD,
        v_BKGE,
        scale=scale,
        is_causal=band.right == 0,
        local_window_size=None if band.left is None else (band.left, 0),
        implementation=implementation,
        **options,
    )
    sees_BQ = band.sees(q_BQHD.shape[1])
    return out_BQHE if sees_BQ is None else jnp.where(sees_BQ[:, :, None, None], out_BQHE, 0)
