"""Scaled dot-product attention: Vaswani et al. 2017, "Attention Is All You Need"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from attention.biases import Bias
from attention.kernels import cache as cache_of_heads
from attention.kernels import softmax_attention
from attention.kernels.step import step_attention
from attention.masks import Causal, as_mask
from attention.shapes import Abilities, Sizes, Tree


@dataclass(frozen=True)
class Softmax:
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

    dropout_rate: float = 0.0
    kernel: str = "auto"

    abilities: ClassVar[Abilities] = Abilities(
        causal="exact", cross=True, bias=True, decoding="cached", grouped=True
    )

    def init(self, rng: jax.Array, sizes: Sizes) -> tuple[Tree, Tree]:
        """No parameters and no state."""
        return {}, {}

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
    ) -> tuple[jax.Array, Tree]:
        """Appends Q positions to the cache and attends from them, causally.

        ``mask``, and ``bias`` if it is a Bias, speak of absolute positions; each row stands at its
        own ``index_B``.
        """
        new, length = q_BQHD.shape[1], cache["k_BHKD"].shape[2]
        at_BQ = cache["index_B"][:, None] + jnp.arange(new)[None, :]
        k_BHKD = cache_of_heads.written(cache["k_BHKD"], k_BQHD, at_BQ)
        v_BHKE = cache_of_heads.written(cache["v_BHKE"], v_BQHE, at_BQ)
        k_pos = jnp.arange(length, dtype=jnp.int32)[None, None, None, :]
        see_BHQK = (Causal() & as_mask(mask)).at(at_BQ[:, None, :, None], k_pos)
        kept = {"k_BHKD": k_BHKD, "v_BHKE": v_BHKE, "index_B": cache["index_B"] + new}
        if mask is not None:  # what stands in padding may not even be finite
            v_BHKE = cache_of_heads.finite(v_BHKE, see_BHQK)
        if isinstance(bias, Bias):
            bias = bias.at(at_BQ[:, None, :, None], k_pos)
        return step_attention(q_BQHD, k_BHKD, v_BHKE, see_BHQK, bias=bias), kept
