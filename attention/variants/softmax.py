"""Scaled dot-product attention: Vaswani et al. 2017, "Attention Is All You Need"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from attention.kernels import softmax_attention
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
        return {
            "k_BKHD": jnp.zeros((batch, length, sizes.heads, sizes.size), dtype),
            "v_BKHE": jnp.zeros((batch, length, sizes.heads, sizes.value_size), dtype),
            "index_B": jnp.zeros((batch,), jnp.int32),
        }

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

        ``mask`` speaks of absolute positions; each row stands at its own ``index_B``.
        """
        new = q_BQHD.shape[1]
        rows_B1 = jnp.arange(q_BQHD.shape[0])[:, None]
        at_BQ = cache["index_B"][:, None] + jnp.arange(new)[None, :]
        k_BKHD = cache["k_BKHD"].at[rows_B1, at_BQ].set(k_BQHD.astype(cache["k_BKHD"].dtype))
        v_BKHE = cache["v_BKHE"].at[rows_B1, at_BQ].set(v_BQHE.astype(cache["v_BKHE"].dtype))
        k_pos = jnp.arange(k_BKHD.shape[1], dtype=jnp.int32)[None, None, None, :]
        see_BHQK = (Causal() & as_mask(mask)).at(at_BQ[:, None, :, None], k_pos)
        out_BQHE = softmax_attention(
            q_BQHD, k_BKHD, v_BKHE, see_BHQK, bias=bias, kernel=self.kernel
        )
        return out_BQHE, {"k_BKHD": k_BKHD, "v_BKHE": v_BKHE, "index_B": cache["index_B"] + new}
