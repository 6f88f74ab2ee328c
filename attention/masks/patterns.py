"""Patterns over positions alone: values, with no array in them."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from attention.masks.arrays import check_whole
from attention.masks.base import Mask, Positions
from attention.masks.tiling import Tiling, by_difference
from attention.masks.trees import pytree


@pytree()
@dataclass(frozen=True)
class Causal(Mask):
    """A query sees its own position and those before it."""

    def at(self, q_pos: Positions, k_pos: Positions) -> jax.Array:
        return jnp.asarray(k_pos <= q_pos)

    def blocks(self, tiling: Tiling) -> np.ndarray:
        return by_difference(tiling.bounds(), -np.inf, 0)


@pytree()
@dataclass(frozen=True)
class Window(Mask):
    """A query at i sees keys from i - left to i + right, both included.

    Raises:
      ValueError: left or right is negative.
    """

    left: int
    right: int

    def __post_init__(self):
        check_whole(self, 0, "left", "right")

    def at(self, q_pos: Positions, k_pos: Positions) -> jax.Array:
        return jnp.asarray((k_pos >= q_pos - self.left) & (k_pos <= q_pos + self.right))

    def blocks(self, tiling: Tiling) -> np.ndarray:
        return by_difference(tiling.bounds(), -self.left, self.right)
