"""Scaled dot-product attention: Vaswani et al. 2017, "Attention Is All You Need"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax

from attention.kernels import softmax_attention
from attention.kernels.decode import cache as cache_of_heads
from attention.protocols import Attention, Capabilities
from attention.shapes import Sizes, Tree


@dataclass(frozen=True)
class Softmax(Attention):
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

    capabilities: ClassVar[Capabilities] = Capabilities(
        causal="exact",
        cross=True,
        bias=True,
        decoding="cached",
        grouped=True,
        normalised=True,
        time="n²·d",
        memory="n·d",
        attends_globally="all",
    )

    def attend(
        self,
        params: Tree,
        state: Tree,
        q_BQHD: jax.Array,
        k_BKHD: jax.Array,
        v_BKHE: jax.Array,
        mask: Any,
        *,
        bias: Any = None,
        x_BTM: jax.Array | None = None,
        rng: jax.Array | None = None,
    ) -> tuple[jax.Array, Tree]:
        """Gathers values; ``rng`` given means training (dropout)."""
        out_BQHE = softmax_attention(
            q_BQHD,
            k_BKHD,
            v_BKHE,
            mask,
            bias=bias,
            dropout_rate=self.dropout_rate,
            rng=rng,
            kernel=self.kernel,
        )
        return out_BQHE, state

    def start(
        self, params: Tree, state: Tree, sizes: Sizes, batch: int, length: int, dtype: Any
    ) -> Tree:
        """An empty cache for ``length`` positions; every leaf has the batch axis first."""
        return cache_of_heads.empty(sizes, batch, length, dtype)

    def extend(
        self,
        params: Tree,
        state: Tree,
        cache: Tree,
        q_BQHD: jax.Array,
        k_BQHD: jax.Array,
        v_BQHE: jax.Array,
        mask: Any,
        *,
        bias: Any = None,
        x_BTM: jax.Array | None = None,
    ) -> tuple[jax.Array, Tree]:
        """Appends Q positions to the cache and attends from them, causally."""
        return cache_of_heads.extend(cache, q_BQHD, k_BQHD, v_BQHE, mask, bias=bias)
