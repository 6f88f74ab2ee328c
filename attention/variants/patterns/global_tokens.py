"""Global tokens: a few that see all and are seen by all.

Ainslie et al. 2020, "ETC", and Beltagy et al. 2020, "Longformer", section 3.1: here they are
tokens of the sequence itself.
"""

from dataclasses import dataclass
from typing import ClassVar

from attention import masks
from attention.protocols import Capabilities
from attention.variants.patterns.base import PatternAttention


@dataclass(frozen=True)
class Global(PatternAttention):
    """Every token sees the global ones and itself, and those see every token.

    Attributes:
      first: how many tokens from the start are global.
      positions: further ones, by position; each sequence has to reach the last.
      dropout_rate: share of attention weights dropped in training.
      kernel: how it is computed, see ``attention.kernels.softmax_attention``.

    Cost: 2·g·Q·(D + E) multiply-adds a head for g global tokens.

    Raises:
      ValueError: a number is negative, or no token is global; in use, a position lies beyond the
        length.

        >>> import jax.numpy as jnp
        >>> x_BTHD = jnp.ones((1, 9, 2, 4))
        >>> Global(first=2).attend({}, {}, x_BTHD, x_BTHD, x_BTHD, None)[0].shape
        (1, 9, 2, 4)
    """

    name: ClassVar[str] = "global"

    first: int = 1
    positions: tuple[int, ...] = ()
    dropout_rate: float = 0.0
    kernel: str = "auto"

    capabilities: ClassVar[Capabilities] = Capabilities(
        bias=True,
        grouped=True,
        time="n·g·d",
        memory="n·d",
        attends_globally="first",
    )

    def __post_init__(self) -> None:
        chosen = masks.Global(self.first, self.positions)
        object.__setattr__(self, "positions", chosen.positions)
        if not self.first and not self.positions:
            raise ValueError("Global: no token is global; give first, 1 or more, or positions")

    def pattern(self, heads: int) -> masks.Mask:
        """The global tokens, and a token itself."""
        return masks.Global(self.first, self.positions) | masks.Window(0, 0)
