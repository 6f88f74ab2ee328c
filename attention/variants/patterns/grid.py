"""Attention of images: the pixels of a neighbourhood, or of the same row and column."""

from dataclasses import dataclass, replace
from typing import ClassVar

from attention import masks
from attention.protocols import Capabilities
from attention.variants.patterns.base import CAUSAL, PatternAttention


@dataclass(frozen=True)
class Grid(PatternAttention):
    """Each pixel sees a rectangle around it (Parmar et al. 2018, "Image Transformer", section 3.2).

    Pixels run row by row; under a causal mask a pixel sees what was before it in that order.

    Attributes:
      width: pixels of a row of the image.
      rows, columns: how far a pixel sees up and down, and to the left and right.
      dropout_rate: share of attention weights dropped in training.
      kernel: how it is computed, see ``attention.kernels.softmax_attention``.

    Cost: Q·(2·rows + 1)·(2·columns + 1)·(D + E) multiply-adds a head; a cached step keeps the last
    rows·width + columns keys.

    Raises:
      ValueError: width is below 1, or rows or columns negative.

        >>> import jax.numpy as jnp
        >>> x_BTHD = jnp.ones((1, 12, 2, 4))  # three rows of four pixels
        >>> Grid(width=4, rows=1, columns=1).attend({}, {}, x_BTHD, x_BTHD, x_BTHD, None)[0].shape
        (1, 12, 2, 4)
    """

    name: ClassVar[str] = "grid"

    width: int = 16
    rows: int = 3
    columns: int = 3
    dropout_rate: float = 0.0
    kernel: str = "auto"

    capabilities: ClassVar[Capabilities] = replace(CAUSAL, time="n·w·d")

    def __post_init__(self) -> None:
        self.pattern(1)

    def pattern(self, heads: int) -> masks.Mask:
        """The rectangle."""
        return masks.Grid(self.width, self.rows, self.columns)

    def reach(self) -> int:
        """To the first pixel of the rectangle's first row."""
        return self.rows * self.width + min(self.columns, self.width - 1)


@dataclass(frozen=True)
class Axial(PatternAttention):
    """Each pixel sees its row and its column, in one softmax.

    Ho et al. 2019, "Axial Attention in Multidimensional Transformers", attend along one axis a
    layer; here both are seen at once. Pixels run row by row.

    Attributes:
      width: pixels of a row of the image.
      dropout_rate: share of attention weights dropped in training.
      kernel: how it is computed, see ``attention.kernels.softmax_attention``.

    Cost: Q·(width + Q/width)·(D + E) multiply-adds a head. A cached step keeps all keys: each is
    seen again one row later.

    Raises:
      ValueError: width is below 1.

        >>> import jax.numpy as jnp
        >>> x_BTHD = jnp.ones((1, 12, 2, 4))  # three rows of four pixels
        >>> Axial(width=4).attend({}, {}, x_BTHD, x_BTHD, x_BTHD, None)[0].shape
        (1, 12, 2, 4)
    """

    name: ClassVar[str] = "axial"

    width: int = 16
    dropout_rate: float = 0.0
    kernel: str = "auto"

    capabilities: ClassVar[Capabilities] = replace(CAUSAL, time="n·√n·d")

    def __post_init__(self) -> None:
        self.pattern(1)

    def pattern(self, heads: int) -> masks.Mask:
        """The same row or the same column."""
        return masks.Fixed(self.width, columns=False) | masks.Strided(self.width, local=False)
