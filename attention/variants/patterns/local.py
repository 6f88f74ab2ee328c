"""Local attention: a window around each query, as truncated self-attention has it.

Povey et al. 2018, "A Time-Restricted Self-Attention Layer for ASR".
"""

from dataclasses import dataclass, replace
from typing import ClassVar

from attention import masks
from attention.protocols import Capabilities
from attention.variants.patterns.base import CAUSAL, PatternAttention


@dataclass(frozen=True)
class Local(PatternAttention):
    """Softmax attention from i to the keys i - left .. i + right.

    Under a causal mask only the left half is left. A few keys of look-ahead (``right``) serve
    streaming; the path between two positions is their distance divided by the window.

    Attributes:
      left, right: how many keys before and after its own position a query sees.
      dropout_rate: share of attention weights dropped in training.
      kernel: how it is computed, see ``attention.kernels.softmax_attention``.

    Cost: Q·(left + right + 1)·(D + E) multiply-adds a head; a cached step keeps ``left`` keys.

    Raises:
      ValueError: left or right is negative.

        >>> import jax.numpy as jnp
        >>> from attention.masks import Causal
        >>> x_BTHD = jnp.ones((1, 9, 2, 4))
        >>> out_BTHE, _ = Local(left=2).attend({}, {}, x_BTHD, x_BTHD, x_BTHD, Causal())
        >>> out_BTHE.shape
        (1, 9, 2, 4)
    """

    name: ClassVar[str] = "local"

    left: int = 64
    right: int = 64
    dropout_rate: float = 0.0
    kernel: str = "auto"

    capabilities: ClassVar[Capabilities] = replace(CAUSAL, segments=True, time="n·w·d")

    def __post_init__(self) -> None:
        self.pattern(1)

    def pattern(self, heads: int) -> masks.Mask:
        """The window."""
        return masks.Window(self.left, self.right)

    def reach(self) -> int:
        """To the first key of the window."""
        return self.left
