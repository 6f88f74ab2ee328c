"""Strided attention: Child et al. 2019, "Generating Long Sequences with Sparse Transformers"."""

from dataclasses import dataclass, replace
from typing import ClassVar

from attention import masks
from attention.protocols import Capabilities
from attention.variants.patterns.base import CAUSAL, PatternAttention, halves


@dataclass(frozen=True)
class Strided(PatternAttention):
    """The near keys, and every stride-th one (section 4.2, "strided").

    With a stride near the root of the length two layers connect any two positions.

    Attributes:
      stride: l.
      split: half of the heads (one more of an odd number) see i - j <= l alone, the others
        i - j = 0 modulo l; otherwise all see the union, i - j < l or i - j = 0 modulo l. Both ways,
        unless a mask is causal.
      dropout_rate: share of attention weights dropped in training.
      kernel: how it is computed, see ``attention.kernels.softmax_attention``.

    Cost: Q·(l + K/l)·(D + E) multiply-adds a head under a causal mask, twice that without. A cached
    step keeps all keys: each of them is seen again, l positions later.

    Raises:
      ValueError: stride is below 1; in use, split is asked of one head.

        >>> import jax.numpy as jnp
        >>> x_BTHD = jnp.ones((1, 9, 2, 4))
        >>> Strided(stride=3).attend({}, {}, x_BTHD, x_BTHD, x_BTHD, masks.Causal())[0].shape
        (1, 9, 2, 4)
    """

    name: ClassVar[str] = "strided"

    stride: int = 16
    split: bool = False
    dropout_rate: float = 0.0
    kernel: str = "auto"

    capabilities: ClassVar[Capabilities] = replace(CAUSAL, time="n·√n·d")

    def __post_init__(self) -> None:
        self.pattern(2)

    def pattern(self, heads: int) -> masks.Mask:
        """The union, or the two by head."""
        if not self.split:
            return masks.Strided(self.stride)
        near = masks.Window(self.stride, self.stride)
        columns = masks.Strided(self.stride, local=False)
        return halves(self, near, columns, heads)
