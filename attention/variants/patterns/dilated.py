"""Dilated attention: a window with gaps, as in Beltagy et al. 2020, "Longformer", section 3.1."""

from dataclasses import dataclass, replace
from typing import ClassVar

from attention import masks
from attention.protocols import Capabilities
from attention.variants.patterns.base import CAUSAL, PatternAttention


@dataclass(frozen=True)
class Dilated(PatternAttention):
    """Softmax attention from i to the keys i + step·m for -left <= m <= right.

    It reaches ``step`` times as far as a window that costs the same. Under a causal mask only the
    left half is left.

    Attributes:
      left, right: how many keys before and after its own position a query sees.
      step: positions from one of them to the next.
      dropout_rate: share of attention weights dropped in training.
      kernel: how it is computed, see ``attention.kernels.softmax_attention``.

    Cost: Q·(left + right + 1)·(D + E) multiply-adds a head; a cached step keeps left·step keys.

    Raises:
      ValueError: left or right is negative, or step below 1.

        >>> import jax.numpy as jnp
        >>> x_BTHD = jnp.ones((1, 9, 2, 4))
        >>> out_BTHE, _ = Dilated(2, 2, step=3).attend({}, {}, x_BTHD, x_BTHD, x_BTHD, None)
        >>> out_BTHE.shape
        (1, 9, 2, 4)
    """

    name: ClassVar[str] = "dilated"

    left: int = 64
    right: int = 64
    step: int = 2
    dropout_rate: float = 0.0
    kernel: str = "auto"

    capabilities: ClassVar[Capabilities] = replace(CAUSAL, segments=True, time="n·w·d")

    def __post_init__(self) -> None:
        self.pattern(1)

    def pattern(self, heads: int) -> masks.Mask:
        """Every step-th key around the query."""
        return masks.Dilated(self.left, self.right, self.step)

    def reach(self) -> int:
        """As far as the farthest key."""
        return self.left * self.step
