"""A mask for each head."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from attention.masks.arrays import any_of
from attention.masks.base import Mask, Padding, Positions, as_mask
from attention.masks.tiling import EMPTY, FULL, Tiling, kinds
from attention.masks.trees import pytree


@pytree("masks", "head_1H11")
@dataclass(frozen=True, eq=False)
class PerHead(Mask):
    """Each head its own mask: ``PerHead((Window(4, 0), Causal()))`` for two heads.

    Raises:
      ValueError: there is no mask, or one of them differs by head itself.
    """

    masks: tuple[Any, ...]
    head_1H11: Any = None

    def __post_init__(self):
        masks = tuple(as_mask(mask) for mask in self.masks)
        if not masks:
            raise ValueError("PerHead: needs a mask for each head, got none")
        for mask in masks:
            if isinstance(mask, PerHead):
                raise ValueError("PerHead: a head's own mask cannot differ by head")
        object.__setattr__(self, "masks", masks)
        heads = np.arange(len(masks), dtype=np.int32)[None, :, None, None]
        object.__setattr__(self, "head_1H11", heads)

    def check(self, q_len: int | None, k_len: int | None) -> None:
        for mask in self.masks:
            mask.check(q_len, k_len)

    def at(self, q_pos: Positions, k_pos: Positions) -> jax.Array:
        return self._choose([mask.at(q_pos, k_pos) for mask in self.masks])

    def tile(self, q_first: Any, k_first: Any, q_size: int, k_size: int) -> jax.Array:
        return self._choose([mask.tile(q_first, k_first, q_size, k_size) for mask in self.masks])

    def _choose(self, see_of_heads: list[jax.Array]) -> jax.Array:
        """Each head's own mask, of the masks of all heads."""
        chosen = jnp.zeros((), bool)
        for head, see in enumerate(see_of_heads):
            chosen = chosen | (see & (jnp.asarray(self.head_1H11) == head))
        return chosen

    def padding(self, q_len: int | None, k_len: int | None) -> Padding:
        return any_of([mask.padding(q_len, k_len) for mask in self.masks])

    def blocks(self, tiling: Tiling) -> np.ndarray:
        of_heads = np.stack([mask.blocks(tiling) for mask in self.masks])
        return kinds((of_heads != EMPTY).any(0), (of_heads == FULL).all(0))
