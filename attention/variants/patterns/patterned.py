"""Softmax attention under any pattern that is a mask."""

from dataclasses import dataclass, replace
from typing import ClassVar

import jax

from attention import masks
from attention.protocols import Capabilities
from attention.variants.patterns.base import CAUSAL, PatternAttention


@dataclass(frozen=True)
class Patterned(PatternAttention):
    """Softmax attention under a mask of one's own: ``Patterned(masks.Window(8, 0) | ...)``.

    Attributes:
      mask: who may look at whom; with ``masks.PerHead`` for each head. It holds no arrays.
      dropout_rate: share of attention weights dropped in training.
      kernel: how it is computed, see ``attention.kernels.softmax_attention``.

    Cost: (D + E) multiply-adds a head for each pair that is seen, and for what shares a block with
    one; a cached step keeps all keys.

    Raises:
      TypeError: it is no mask.
      ValueError: the mask holds arrays, which go with the call.

        >>> import jax.numpy as jnp
        >>> x_BTHD = jnp.ones((1, 9, 2, 4))
        >>> two = masks.PerHead((masks.Window(1, 1), masks.Strided(3)))
        >>> Patterned(two).attend({}, {}, x_BTHD, x_BTHD, x_BTHD, None)[0].shape
        (1, 9, 2, 4)
    """

    name: ClassVar[str] = "patterned"

    mask: masks.Mask
    dropout_rate: float = 0.0
    kernel: str = "auto"

    capabilities: ClassVar[Capabilities] = replace(CAUSAL, time="n²·d, or what the mask shows")

    def __post_init__(self) -> None:
        if not isinstance(self.mask, masks.Mask):
            raise TypeError(
                f"Patterned: needs a mask from attention.masks, got {type(self.mask).__name__}"
            )
        parts = [
            part.masks if isinstance(part, masks.PerHead) else part
            for part in masks.conjuncts(self.mask)
        ]
        leaves = jax.tree.leaves(parts)
        for leaf in leaves:
            if isinstance(leaf, masks.Mask):
                raise TypeError(
                    f"Patterned: {type(leaf).__name__} is no pytree; register the class by "
                    "jax.tree_util.register_static"
                )
        if leaves:
            raise ValueError(
                "Patterned: its mask holds arrays; give those with the call, joined by &, and here "
                "what is the same for every batch"
            )

    def pattern(self, heads: int) -> masks.Mask:
        """The mask."""
        return self.mask
