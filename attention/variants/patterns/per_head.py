"""A pattern of its own for each head."""

from dataclasses import dataclass, replace
from typing import ClassVar

from attention import masks
from attention.protocols import Capabilities
from attention.variants.patterns import windows
from attention.variants.patterns.base import CAUSAL, PatternAttention


@dataclass(frozen=True)
class PerHead(PatternAttention):
    """Each head has a window of its own, perhaps with gaps.

    So some heads look near and others far (Beltagy et al. 2020, "Longformer", section 3.1).

    Attributes:
      left, right: how many keys before and after its own position a query sees, a number for each
        head, or one for all.
      step: positions from one of them to the next, likewise.
      dropout_rate: share of attention weights dropped in training.
      kernel: how it is computed, see ``attention.kernels.softmax_attention``.

    Cost: Q·(left + right + 1)·(D + E) multiply-adds for each head; a cached step keeps as many keys
    as the head that looks farthest needs.

    Raises:
      ValueError: a number is out of range, or there are several for unlike numbers of heads; in
        use, for another number of heads than the attention has.

        >>> import jax.numpy as jnp
        >>> x_BTHD = jnp.ones((1, 9, 2, 4))
        >>> attend = PerHead(left=(2, 2), right=(2, 2), step=(1, 3))
        >>> attend.attend({}, {}, x_BTHD, x_BTHD, x_BTHD, None)[0].shape
        (1, 9, 2, 4)
    """

    name: ClassVar[str] = "per_head"

    left: int | tuple[int, ...] = (64,)
    right: int | tuple[int, ...] = (64,)
    step: int | tuple[int, ...] = (1,)
    dropout_rate: float = 0.0
    kernel: str = "auto"

    capabilities: ClassVar[Capabilities] = replace(CAUSAL, segments=True, time="n·w·d")

    def __post_init__(self) -> None:
        windows.check(self)

    def pattern(self, heads: int) -> masks.Mask:
        """The windows of all heads."""
        return windows.pattern(self)

    def reach(self) -> int:
        """As far as the farthest key of any head."""
        return windows.reach(self)
