"""Rows: a batch element and a head together, R = B·H of them, which kernels compute one by one.

Every array of a mask, a bias or a dropout that went through ``pad_extras`` has the batch first
(B or 1), and the heads second (H or 1) if it has four axes: so one rule selects those of a row.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from attention.biases import Bias, Given
from attention.kernels.dropped import Dropped
from attention.masks import Array, Mask


class Extras(NamedTuple):
    """Mask, bias and dropout: values that give their numbers for any tile of the scores."""

    mask: Mask
    bias: Bias | None
    dropped: Dropped | None


def pad_extras(tree: Any, q_len: int, k_len: int) -> Any:
    """Masks, biases and dropout with plain arrays in four axes, padded to these lengths."""

    def pad(x_BHQK: jax.Array) -> jax.Array:
        sizes = zip(x_BHQK.shape[2:], (q_len, k_len), strict=True)
        missing = [0 if size == 1 else length - size for size, length in sizes]
        return jnp.pad(x_BHQK, [(0, 0), (0, 0), *((0, n) for n in missing)])

    def pad_value(value: Any) -> Any:
        if isinstance(value, Array):
            return Array(pad(value.four_axes()))
        return jax.tree.map(pad, value) if isinstance(value, Given | Dropped) else value

    return jax.tree.map(pad_value, tree, is_leaf=lambda x: isinstance(x, Array | Given | Dropped))


def take_rows(tree: Any, row_b_G: jax.Array, row_h_G: jax.Array) -> Any:
    """The arrays of G rows: a batch axis of G, and a head axis of 1 where there is one."""

    def take(leaf: Any) -> jax.Array:
        leaf = jnp.asarray(leaf)
        b_G = row_b_G if leaf.shape[0] > 1 else jnp.zeros_like(row_b_G)
        if leaf.ndim != 4:
            return leaf[b_G]
        h_G = row_h_G if leaf.shape[1] > 1 else jnp.zeros_like(row_h_G)
        return leaf[b_G, h_G][:, None]

    return jax.tree.map(take, tree)


def broadcast_rows(tree: Any, batch: int, heads: int) -> Any:
    """The arrays of all rows, as ``take_rows`` would return them, without a gather.

    For a gather XLA would move all of an array that is split over devices.
    """

    def broadcast(leaf: Any) -> jax.Array:
        leaf = jnp.asarray(leaf)
        x_BHX = leaf if leaf.ndim == 4 else leaf[:, None]
        x_RX = jnp.broadcast_to(x_BHX, (batch, heads, *x_BHX.shape[2:]))
        x_RX = x_RX.reshape(-1, *x_BHX.shape[2:])
        return x_RX[:, None] if leaf.ndim == 4 else x_RX

    return jax.tree.map(broadcast, tree)


def flatten_heads(x_BTHD: jax.Array, length: int) -> jax.Array:
    """[B, T, H, D] to [R, length, D], padded with zeros."""
    batch, given, heads, size = x_BTHD.shape
    x_RTD = x_BTHD.transpose(0, 2, 1, 3).reshape(batch * heads, given, size)
    return x_RTD if given == length else jnp.pad(x_RTD, ((0, 0), (0, length - given), (0, 0)))


def unflatten_heads(x_RTD: jax.Array, heads: int, length: int) -> jax.Array:
    """[R, T, D] to [B, length, H, D], without the padding at the end."""
    rows, _, size = x_RTD.shape
    x_BHTD = x_RTD[:, :length].reshape(rows // heads, heads, length, size)
    return x_BHTD.transpose(0, 2, 1, 3)


def zero_padding(
    q_BQHD: jax.Array, k_BKHD: jax.Array, v_BKHE: jax.Array, mask: Mask
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Zeroes padding before the first product: a NaN there would reach valid rows as 0 · NaN."""
    q_real_BQ, k_real_BK = mask.padding(q_BQHD.shape[1], k_BKHD.shape[1])

    def zeroed(x_BTHD: jax.Array, real_BT: Any) -> jax.Array:
        return x_BTHD if real_BT is None else jnp.where(real_BT[:, :, None, None], x_BTHD, 0)

    return zeroed(q_BQHD, q_real_BQ), zeroed(k_BKHD, k_real_BK), zeroed(v_BKHE, k_real_BK)
