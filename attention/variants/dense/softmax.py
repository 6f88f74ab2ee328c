"""Scaled dot-product attention: Vaswani et al. 2017, "Attention Is All You Need"."""

from dataclasses import dataclass
from typing import ClassVar

from attention.variants.dense.base import DotProductAttention


@dataclass(frozen=True)
class Softmax(DotProductAttention):
    """softmax(q kᵀ / sqrt(D)) v (equation 1).

    Attributes:
      dropout_rate: share of attention weights dropped in training.
      kernel: how it is computed, see ``attention.kernels.softmax_attention``.

    Cost: Q·K·(D + E) multiply-adds a head; a cached step is linear in the prefix.

        >>> import jax.numpy as jnp
        >>> from attention.masks import Causal
        >>> x_BTHD = jnp.ones((1, 3, 2, 4))
        >>> out_BTHE, _ = Softmax().attend({}, {}, x_BTHD, x_BTHD, x_BTHD, Causal())
        >>> out_BTHE.shape
        (1, 3, 2, 4)
    """

    name: ClassVar[str] = "softmax"

    dropout_rate: float = 0.0
    kernel: str = "auto"
