"""Pallas's splash attention on a TPU, for every mask of which nothing but lengths is an array.

Causal masks and windows are its own, other masks are worked out block by block while a program is
traced, and blocks that are hidden whole are never visited. Heads may have masks of their own.
Padding becomes segments. Lengths are filled up to its blocks.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from attention.biases import Bias
from attention.kernels.dropped import Dropped
from attention.kernels.request import Request, Static, pattern, static
from attention.kernels.rows import zero_padding
from attention.masks import MIXED, Lengths, Mask, Tiling, as_mask

_SIDE = 512  # of splash attention's blocks, at most
_COPIES = 3  # forward, and two in the backward pass
_MOST_CONSTANTS = 2**28  # bytes; a program holds 2 GiB


def unsupported_reason(request: Request) -> str | None:
    """Why splash attention cannot serve the request, or None."""
    if request.platform != "tpu":
        return f"it needs a TPU, and the platform is {request.platform}"
    if jnp.dtype(request.dtype).itemsize > 4:
        return f"it takes float32 and bfloat16, not {jnp.dtype(request.dtype).name}"
    if request.bias is not None:
        return "it cannot add a bias"
    if request.dropout:
        return "it has no dropout"
    seen = static(request.mask, request.q_shape[2])
    if seen is None:
        return "its masks are those without arrays, and lengths"
    if _constants(seen, request.q_shape[1], request.k_shape[1]) > _MOST_CONSTANTS:
        return "too many of its blocks are shown in part, each a constant of the program"
    return None


def _constants(seen: Static, q_len: int, k_len: int) -> int:
    """Bytes of the blocks that are shown in part, at most, of distinct masks that it has not."""
    side = min(_SIDE, q_len, k_len)
    tiling = Tiling(q_len, k_len, side, side)
    strange = [mask for mask in set(seen.masks) if pattern(mask) is None]
    return _COPIES * side**2 * sum(int((m.blocks(tiling) == MIXED).sum()) for m in strange)


def splash(
    q_BQHD: jax.Array,
    k_BKGD: jax.Array,
    v_BKGE: jax.Array,
    mask: Mask | None,
    *,
    bias: Bias | None,
    scale: float,
    dropped: Dropped | None,
    interpret: bool = False,
) -> jax.Array:
    """Attention by the Pallas kernel; queries that see nothing are zeroed."""
    # Here, since they bring Pallas for TPUs, which few need.
    from jax.experimental.pallas.ops.tpu.splash_attention import SegmentIds

    from attention.kernels.splash import masks as splash_masks

    (batch, q_len, heads, _), k_len = q_BQHD.shape, k_BKGD.shape[1]
    seen, q_fill, k_fill = static(mask, heads), *map(splash_masks.filled, (q_len, k_len))
    assert seen is not None, "the chooser calls unsupported_reason() first"
    assert bias is None, "the chooser calls unsupported_reason() first"
    assert dropped is None, "the chooser calls unsupported_reason() first"
    q_BQHD, k_BKGD, v_BKGE = zero_padding(q_BQHD, k_BKGD, v_BKGE, as_mask(mask))
    q_BHQD = _filled(q_BQHD * scale, q_fill).astype(k_BKGD.dtype)
    k_BGKD, v_BGKE = _filled(k_BKGD, k_fill), _filled(v_BKGE, k_fill)
    segments = None
    if seen.lengths is not None or k_fill != k_len:
        segments = SegmentIds(
            jnp.ones((batch, q_fill), jnp.int32), _real_keys(seen.lengths, batch, k_len, k_fill)
        )
    kernel = splash_masks.kernel(seen.masks, q_len, k_len, interpret)
    out_BHQE = jax.vmap(kernel)(q_BHQD, k_BGKD, v_BGKE, segments)
    out_BQHE = out_BHQE.swapaxes(1, 2)[:, :q_len]
    sees_BQH = _sees(splash_masks.first_keys(seen.masks, q_len, k_len), seen.lengths, k_len)
    return out_BQHE if sees_BQH is None else jnp.where(sees_BQH[..., None], out_BQHE, 0)


def _sees(first_QH: np.ndarray, lengths: Lengths | None, k_len: int) -> jax.Array | None:
    """Which queries see any key, bool [B or 1, Q, H or 1]; None for all of them.

    Args:
      first_QH: the first key that each query sees but for the lengths, K for none; Q by H or 1.
      lengths: of queries and keys.
      k_len: K.
    """
    if lengths is None:
        return None if (first_QH < k_len).all() else jnp.asarray(first_QH < k_len)[None]
    sees_BQH = jnp.asarray(first_QH)[None] < jnp.minimum(lengths.k_lengths_B, k_len)[:, None, None]
    real_BQ = lengths.padding(len(first_QH), None)[0]
    return sees_BQH if real_BQ is None else sees_BQH & real_BQ[:, :, None]


def _real_keys(lengths: Lengths | None, batch: int, k_len: int, padded: int) -> jax.Array:
    """Segment 1 for real keys and 0 for the others; never none, so that nothing divides by zero."""
    most_B = jnp.full((batch,), k_len)
    if lengths is not None:
        most_B = jnp.clip(jnp.asarray(lengths.k_lengths_B), 1, k_len) + jnp.zeros_like(most_B)
    return (jnp.arange(padded)[None, :] < most_B[:, None]).astype(jnp.int32)


def _filled(x_BTHD: jax.Array, length: int) -> jax.Array:
    """[B, H, length, D], filled up with zeros."""
    missing = length - x_BTHD.shape[1]
    return jnp.pad(x_BTHD, ((0, 0), (0, missing), (0, 0), (0, 0))).swapaxes(1, 2)
