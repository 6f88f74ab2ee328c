"""Dot-product attention with a learned temperature.

Lee et al. 2021, "Vision Transformer for Small-Size Datasets", section 3.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from attention.kernels import checked, softmax_attention
from attention.kernels.decode import cache as cache_of_heads
from attention.kernels.rows import zero_padding
from attention.masks import as_mask
from attention.protocols import Attention, Capabilities, WithAxes
from attention.shapes import Sizes, Tree, accumulator


@dataclass(frozen=True)
class Tempered(Attention):
    """softmax(q kᵀ / τ) v, each head with a temperature of its own.

    τ begins at sqrt(D), as in softmax attention; it is learned as its logarithm, ``temperature``
    [H] being log(τ / sqrt(D)), so that it stays positive. The paper learns τ itself, one a layer,
    and hides each query from itself, which a mask can do.

    Attributes:
      dropout_rate: share of attention weights dropped in training.
      kernel: how it is computed, see ``attention.kernels.softmax_attention``.

    Cost: Q·K·(D + E) multiply-adds a head; a cached step is linear in the prefix.

        >>> x_BTHD, params = jnp.ones((1, 3, 2, 4)), {"temperature": jnp.zeros(2)}
        >>> Tempered().attend(params, {}, x_BTHD, x_BTHD, x_BTHD, None)[0].shape
        (1, 3, 2, 4)
    """

    name: ClassVar[str] = "tempered"

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

    def init(self, rng: jax.Array, sizes: Sizes) -> tuple[Tree, Tree]:
        """The temperatures' logarithms, [H]; no state."""
        return {"temperature": WithAxes(jnp.zeros((sizes.heads,)), ("heads",))}, {}

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
        mask, bias = checked(q_BQHD, k_BKHD, v_BKHE, mask, bias)
        q_BQHD, k_BKHD, v_BKHE = zero_padding(q_BQHD, k_BKHD, v_BKHE, as_mask(mask))
        out_BQHE = softmax_attention(
            _heated(params, q_BQHD),
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
        q_BQHD = _heated(params, q_BQHD)
        return cache_of_heads.extend(cache, q_BQHD, k_BQHD, v_BQHE, mask, bias=bias)


def _heated(params: Tree, q_BQHD: jax.Array) -> jax.Array:
    """Queries times sqrt(D) / τ; what follows divides by sqrt(D)."""
    dtype = accumulator(q_BQHD.dtype)
    factor_H1 = jnp.exp(-params["temperature"].astype(dtype))[:, None]
    return (q_BQHD.astype(dtype) * factor_H1[None, None]).astype(q_BQHD.dtype)
