"""What is asked of a kernel, in the terms by which one is chosen."""

from __future__ import annotations

import functools
import operator
from dataclasses import dataclass
from typing import Any

import jax

from attention.biases import Bias
from attention.masks import Causal, Everything, Lengths, Mask, PerHead, Window, conjuncts


@dataclass(frozen=True, eq=False)
class Request:
    """One attention: sizes, kinds and the platform it is to run on.

    Attributes:
      q_shape, k_shape, v_shape: [B, Q, H, D], [B, K, G, D], [B, K, G, E].
      dtype: the widest of the three.
      mask, bias: values, or None; of their arrays only the shapes matter here.
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
class Pattern:
    """A mask in the few words that a foreign kernel understands.

    Attributes:
      left, right: a query at i sees keys from i - left to i + right; None is without bound.
      lengths: padding at the end, or None.
    """

    left: int | None
    right: int | None
    lengths: Lengths | None

    def sees(self, q_len: int, k_len: int) -> jax.Array | None:
        """Which queries see any key, bool [B, Q]; None for all of them."""
        if self.lengths is None:
            return None
        q_pos, lengths_B1 = jax.numpy.arange(q_len)[None, :], self.lengths.k_lengths_B[:, None]
        nearest = q_pos - q_pos if self.left is None else jax.numpy.maximum(q_pos - self.left, 0)
        real_BQ = self.lengths.padding(q_len, None)[0]
        sees_BQ = nearest < lengths_B1
        return sees_BQ if real_BQ is None else sees_BQ & real_BQ


def pattern(mask: Mask | None) -> Pattern | None:
    """The mask as a Pattern, or None where it says more than that."""
    left: int | None = None
    right: int | None = None
    lengths = None
    for part in conjuncts(mask):
        if isinstance(part, Causal):
            right = 0 if right is None else min(right, 0)
        elif isinstance(part, Window):
            left = part.left if left is None else min(left, part.left)
            right = part.right if right is None else min(right, part.right)
        elif isinstance(part, Lengths) and lengths is None:
            lengths = part
        else:
            return None
    return Pattern(left, right, lengths)


@dataclass(frozen=True, eq=False)
class Static:
    """A mask of which nothing but lengths is an array.

    Attributes:
      masks: that of each head, without arrays and without the lengths.
      lengths: padding at the end, or None.
    """

    masks: tuple[Mask, ...]
    lengths: Lengths | None


def static(mask: Mask | None, heads: int) -> Static | None:
    """The mask as a Static, or None where it holds other arrays."""
    lengths = None
    parts_NH: list[tuple[Mask, ...]] = []
    for part in conjuncts(mask):
        if isinstance(part, Lengths) and lengths is None:
            lengths = part
        elif isinstance(part, PerHead) and part.head_1H11.shape[1] == len(part.masks) == heads:
            parts_NH.append(part.masks)
        else:  # a PerHead too that a mesh has split: which heads these are is then an array
            parts_NH.append((part,) * heads)
    of_heads = zip(*parts_NH, strict=True) if parts_NH else [(Everything(),)] * heads
    masks = tuple(functools.reduce(operator.and_, parts) for parts in of_heads)
    return None if jax.tree.leaves(masks) else Static(masks, lengths)
