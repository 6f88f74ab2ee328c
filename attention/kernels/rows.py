"""Rows: a batch element and a head together, R = B·H of them, which kernels work through.

Every array of a mask, a bias or a dropout that is ``lined_up`` has the batch first (B or 1), and
one of four axes has the heads second (H or 1): so one rule picks what belongs to a row.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from attention.biases import Given
from attention.kernels.dropped import Dropped
from attention.masks import Array, Mask


def lined_up(tree: Any, q_len: int, k_len: int) -> Any:
    """Masks, biases and dropout with plain arrays in four axes, filled up to the lengths given."""

    def fill(x_BHQK: jax.Array) -> jax.Array:
        sizes = zip(x_BHQK.shape[2:], (q_len, k_len), strict=True)
        missing = [0 if size == 1 else length - size for size, length in sizes]
        return jnp.pad(x_BHQK, [(0, 0), (0, 0), *((0, n) for n in missing)])

    def line_up(part: Any) -> Any:
        if isinstance(part, Array):
            return Array(fill(part.four_axes()))
        return jax.tree.map(fill, part) if isinstance(part, Given | Dropped) else part

    return jax.tree.map(line_up, tree, is_leaf=lambda x: isinstance(x, Array | Given | Dropped))


def pick(tree: Any, row_b_G: jax.Array, row_h_G: jax.Array) -> Any:
    """What belongs to G rows: a batch axis of G, and a head axis of 1 where there is one."""

    def of_rows(leaf: Any) -> jax.Array:
        leaf = jnp.asarray(leaf)
        b_G = row_b_G if leaf.shape[0] > 1 else jnp.zeros_like(row_b_G)
        if leaf.ndim != 4:
            return leaf[b_G]
        h_G = row_h_G if leaf.shape[1] > 1 else jnp.zeros_like(row_h_G)
        return leaf[b_G, h_G][:, None]

    return jax.tree.map(of_rows, tree)


def spread(tree: Any, batch: int, heads: int) -> Any:
    """What belongs to all rows, as ``pick`` would give it, without a gather.

    XLA would move all of what is split over devices for that.
    """

    def of_rows(leaf: Any) -> jax.Array:
        leaf = jnp.asarray(leaf)
        x_BHX = leaf if leaf.ndim == 4 else leaf[:, None]
        x_RX = jnp.broadcast_to(x_BHX, (batch, heads, *x_BHX.shape[2:])).reshape(
            -1, *x_BHX.shape[2:]
        )
        return x_RX[:, None] if leaf.ndim == 4 else x_RX

    return jax.tree.map(of_rows, tree)


def to_rows(x_BTHD: jax.Array, length: int) -> jax.Array:
    """[B, T, H, D] to [R, length, D], filled up with zeros."""
    batch, here, heads, size = x_BTHD.shape
    x_RTD = x_BTHD.transpose(0, 2, 1, 3).reshape(batch * heads, here, size)
    return x_RTD if here == length else jnp.pad(x_RTD, ((0, 0), (0, length - here), (0, 0)))


def from_rows(x_RTD: jax.Array, heads: int, length: int) -> jax.Array:
    """[R, T, D] to [B, length, H, D], what was filled up being cut."""
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
