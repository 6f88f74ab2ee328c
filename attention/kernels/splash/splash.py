"""Pallas's splash attention on a TPU, for every mask without arrays but for the lengths.

It has causal masks and windows; other masks are computed block by block while a program is traced.
Hidden blocks are never computed. Masks may differ by head. Padding becomes segments. Lengths are
padded to whole blocks.
"""

import jax
import jax.numpy as jnp
import numpy as np

from attention.biases import Bias
from attention.kernels.dropped import Dropped
from attention.kernels.request import HeadMasks, Request, as_band, head_masks
from attention.masks import MIXED, Lengths, Mask, Tiling

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
    by_head = head_masks(request.mask, request.q_shape[2])
    if by_head is None:
        return "its masks are those without arrays, and lengths"
    if _constant_bytes(by_head, request.q_shape[1], request.k_shape[1]) > _MOST_CONSTANTS:
        return "too many of its blocks are shown in part, each a constant of the program"
    return None


def _constant_bytes(by_head: HeadMasks, q_len: int, k_len: int) -> int:
    """Bytes at most of the blocks shown in part, of the distinct masks that splash lacks."""
    side = min(_SIDE, q_len, k_len)
    tiling = Tiling(q_len, k_len, side, side)
    lacking = [mask for mask in set(by_head.masks) if as_band(mask) is None]
    return _COPIES * side**2 * sum(int((m.blocks(tiling) == MIXED).sum()) for m in lacking)


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
    """Attention by the Pallas kernel; zeroes the queries that see nothing."""
    # Imported here, since they import Pallas for TPUs, which few need.
    from jax.experimental.pallas.ops.tpu.splash_attention import SegmentIds

    from attention.kernels.splash import masks as splash_masks

    (batch, q_len, heads, _), k_len = q_BQHD.shape, k_BKGD.shape[1]
    by_head, q_padded, k_padded = head_masks(mask, heads), *map(splash_masks.padded, (q_len, k_len))
    assert by_head is not None, "the chooser calls unsupported_reason() first"
    assert bias is None, "the chooser calls unsupported_reason() first"
    assert dropped is None, "the chooser calls unsupported_reason() first"
    q_BHQD = _padded(q_BQHD * scale, q_padded).astype(k_BKGD.dtype)
    k_BGKD, v_BGKE = _padded(k_BKGD, k_padded), _padded(v_BKGE, k_padded)
    segments = None
    if by_head.lengths is not None or k_padded != k_len:
        segments = SegmentIds(
            jnp.ones((batch, q_padded), jnp.int32),
            _real_keys(by_head.lengths, batch, k_len, k_padded),
        )
    kernel = splash_masks.make_kernel(by_head.masks, q_len, k_len, interpret)
    out_BHQE = jax.vmap(kernel)(q_BHQD, k_BGKD, v_BGKE, segments)
    out_BQHE = out_BHQE.swapaxes(1, 2)[:, :q_len]
    sees_BQH = _sees(splash_masks.first_keys(by_head.masks, q_len, k_len), by_head.lengths, k_len)
    return out_BQHE if sees_BQH is None else jnp.where(sees_BQH[..., None], out_BQHE, 0)


def _sees(first_QH: np.ndarray, lengths: Lengths | None, k_len: int) -> jax.Array | None:
    """Which queries see any key, bool [B or 1, Q, H or 1]; None for all of them.

    Args:
      first_QH: the first key that each query sees without the lengths, K for none; Q by H or 1.
      lengths: of queries and keys.
      k_len: K.
    """
    if lengths is None:
        return None if (first_QH < k_len).all() else jnp.asarray(first_QH < k_len)[None]
    sees_BQH = jnp.asarray(first_QH)[None] < jnp.minimum(lengths.k_lengths_B, k_len)[:, None, None]
    real_BQ = lengths.padding(len(first_QH), None)[0]
    return sees_BQH if real_BQ is None else sees_BQH & real_BQ[:, :, None]


def _real_keys(lengths: Lengths | None, batch: int, k_len: int, padded: int) -> jax.Array:
    """Segment 1 for real keys, of which there is one at least, and 0 for the others."""
    most_B = jnp.full((batch,), k_len)
    if lengths is not None:
        most_B = jnp.clip(jnp.asarray(lengths.k_lengths_B), 1, k_len) + jnp.zeros_like(most_B)
    return (jnp.arange(padded)[None, :] < most_B[:, None]).astype(jnp.int32)


def _padded(x_BTHD: jax.Array, length: int) -> jax.Array:
    """[B, H, length, D], padded with zeros."""
    missing = length - x_BTHD.shape[1]
    return jnp.pad(x_BTHD, ((0, 0), (0, missing), (0, 0), (0, 0))).swapaxes(1, 2)
