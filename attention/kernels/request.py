"""A request to compute attention, in the terms by which a kernel is chosen."""

import functools
import operator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from attention.biases import Bias
from attention.masks import Causal, Everything, Lengths, Mask, PerHead, Window, conjuncts


@dataclass(frozen=True, eq=False)
class Request:
    """One attention: sizes, kinds and the platform it is to run on.

    Attributes:
      q_shape, k_shape, v_shape: [B, Q, H, D], [B, K, G, D], [B, K, G, E].
      dtype: the widest of the three.
      mask, bias: values, or None; only the shapes of their arrays matter here.
      dropout: whether weights are dropped.
      platform: "cpu", "gpu" or "tpu".
    """

    q_shape: tuple[int, int, int, int]
    k_shape: tuple[int, int, int, int]
    v_shape: tuple[int, int, int, int]
    dtype: Any
    mask: Mask | None
    bias: Bias | None
    dropout: bool
    platform: str


@dataclass(frozen=True, eq=False)
class Band:
    """A mask that is a band around the diagonal, and padding at the end.

    Attributes:
      left, right: a query at i sees keys from i - left to i + right; None is unbounded.
      lengths: padding at the end, or None.
    """

    left: int | None
    right: int | None
    lengths: Lengths | None

    def sees(self, q_len: int) -> jax.Array | None:
        """Which queries see any key, bool [B, Q]; None for all of them."""
        if self.lengths is None:
            return None
        q_pos, lengths_B1 = jnp.arange(q_len)[None, :], self.lengths.k_lengths_B[:, None]
        nearest = q_pos - q_pos if self.left is None else jnp.maximum(q_pos - self.left, 0)
        real_BQ = self.lengths.padding(q_len, None)[0]
        sees_BQ = nearest < lengths_B1
        return sees_BQ if real_BQ is None else sees_BQ & real_BQ


def as_band(mask: Mask | None) -> Band | None:
    """The mask as a Band, or None where it is something else."""
    left: int | None = None
    right: int | None = None
    lengths = None
    for one in conjuncts(mask):
        if isinstance(one, Causal):
            right = 0 if right is None else min(right, 0)
        elif isinstance(one, Window):
            left = one.left if left is None else min(left, one.left)
            right = one.right if right is None else min(right, one.right)
        elif isinstance(one, Lengths) and lengths is None:
            lengths = one
        else:
            return None
    return Band(left, right, lengths)


@dataclass(frozen=True, eq=False)
class HeadMasks:
    """A mask without arrays but for the lengths, by head.

    Attributes:
      masks: the mask of each head, without arrays and without the lengths.
      lengths: padding at the end, or None.
    """

    masks: tuple[Mask, ...]
    lengths: Lengths | None


def head_masks(mask: Mask | None, heads: int) -> HeadMasks | None:
    """The mask as HeadMasks, or None where it holds other arrays."""
    lengths = None
    masks_NH: list[tuple[Mask, ...]] = []
    for one in conjuncts(mask):
        if isinstance(one, Lengths) and lengths is None:
            lengths = one
        elif isinstance(one, PerHead) and one.head_1H11.shape[1] == len(one.masks) == heads:
            masks_NH.append(one.masks)
        else:  # also a PerHead that a mesh has split: its heads are then an array
            masks_NH.append((one,) * heads)
    of_heads = zip(*masks_NH, strict=True) if masks_NH else [(Everything(),)] * heads
    masks = tuple(functools.reduce(operator.and_, found) for found in of_heads)
    return None if jax.tree.leaves(masks) else HeadMasks(masks, lengths)
