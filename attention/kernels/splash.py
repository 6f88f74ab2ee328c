"""Pallas's splash attention on a TPU, for the masks that it can express.

Causal masks and windows are its own; padding becomes segments. Lengths are filled up to its blocks.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from attention.biases import Bias
from attention.kernels.dropped import Dropped
from attention.kernels.request import Pattern, Request, pattern
from attention.kernels.rows import zero_padding
from attention.masks import Mask, as_mask

_BLOCK = 128  # the lanes of a TPU; lengths are filled up to a multiple
_MOST_BLOCK = 512


def refuses(request: Request) -> str | None:
    """Why splash attention cannot serve the request, or None."""
    if request.platform != "tpu":
        return f"it needs a TPU, and the platform is {request.platform}"
    if jnp.dtype(request.dtype).itemsize > 4:
        return f"it takes float32 and bfloat16, not {jnp.dtype(request.dtype).name}"
    if request.bias is not None:
        return "it cannot add a bias"
    if request.dropout:
        return "it has no dropout"
    if pattern(request.mask) is None:
        return "its masks are causal, windows and lengths"
    return None


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
    from jax.experimental.pallas.ops.tpu import splash_attention as pallas

    seen, (_, q_len, heads, _), k_len = pattern(mask), q_BQHD.shape, k_BKGD.shape[1]
    assert seen is not None, "the chooser asks refuses() first"
    assert bias is None, "the chooser asks refuses() first"
    assert dropped is None, "the chooser asks refuses() first"
    q_BQHD, k_BKGD, v_BKGE = zero_padding(q_BQHD, k_BKGD, v_BKGE, as_mask(mask))
    q_BHQD, k_BGKD, v_BGKE = (_filled(x) for x in (q_BQHD * scale, k_BKGD, v_BKGE))
    shape = q_BHQD.shape[2], k_BGKD.shape[2]
    kernel = pallas.make_splash_mha(
        pallas.MultiHeadMask([_mask(seen, shape)] * heads),
        head_shards=1,
        q_seq_shards=1,
        block_sizes=_blocks(*shape),
        interpret=interpret,
    )
    segments = None
    if seen.lengths is not None or shape[1] != k_len:
        segments = pallas.SegmentIds(
            jnp.ones((len(q_BHQD), shape[0]), jnp.int32),
            _real_keys(seen, len(q_BHQD), k_len, shape[1]),
        )
    out_BHQE = jax.vmap(kernel)(q_BHQD.astype(k_BGKD.dtype), k_BGKD, v_BGKE, segments)
    out_BQHE = out_BHQE.swapaxes(1, 2)[:, :q_len]
    sees_BQ = seen.sees(q_len, k_len)
    return out_BQHE if sees_BQ is None else jnp.where(sees_BQ[:, :, None, None], out_BQHE, 0)


def _mask(seen: Pattern, shape: tuple[int, int]) -> Any:
    """Pallas's mask of a pattern."""
    from jax.experimental.pallas.ops.tpu import splash_attention as pallas

    if seen.left is None and seen.right is None:
        return pallas.FullMask(shape)
    if seen.left is None and seen.right == 0:
        return pallas.CausalMask(shape)
    return pallas.LocalMask(shape, (seen.left, seen.right), offset=0)


def _real_keys(seen: Pattern, batch: int, k_len: int, padded: int) -> jax.Array:
    """Segment 1 for real keys and 0 for the others; never none, so that nothing divides by zero."""
    most_B = jnp.full((batch,), k_len)
    if seen.lengths is not None:
        most_B = jnp.clip(jnp.asarray(seen.lengths.k_lengths_B), 1, k_len) + jnp.zeros_like(most_B)
    return (jnp.arange(padded)[None, :] < most_B[:, None]).astype(jnp.int32)


def _filled(x_BTHD: jax.Array) -> jax.Array:
    """[B, H, T, D], T filled up with zeros to whole blocks."""
    missing = -x_BTHD.shape[1] % _BLOCK
    return jnp.pad(x_BTHD, ((0, 0), (0, missing), (0, 0), (0, 0))).swapaxes(1, 2)


def _blocks(q_len: int, k_len: int) -> Any:
    """The largest blocks that divide the lengths."""
    from jax.experimental.pallas.ops.tpu import splash_attention as pallas

    q_block, k_block = (
        max(size for size in range(_BLOCK, _MOST_BLOCK + 1, _BLOCK) if n % size == 0)
        for n in (q_len, k_len)
    )
    return pallas.BlockSizes(
        block_q=q_block,
        block_kv=k_block,
        block_kv_compute=k_block,
        block_q_dkv=q_block,
        block_kv_dkv=k_block,
        block_kv_dkv_compute=k_block,
        block_q_dq=q_block,
        block_kv_dq=k_block,
    )
