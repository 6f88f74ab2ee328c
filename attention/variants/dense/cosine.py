"""Attention by cosines: Henry et al. 2020, "Query-Key Normalization for Transformers"."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from attention.kernels import checked, softmax_attention
from attention.kernels.decode import cache as cache_of_heads
from attention.kernels.rows import zero_padding
from attention.masks import as_mask
from attention.protocols import Attention, Capabilities, WithAxes
from attention.shapes import Sizes, Tree, accumulator, unit


@dataclass(frozen=True)
class Cosine(Attention):
    """softmax(g q̂ k̂ᵀ) v, q̂ = q / |q| and k̂ = k / |k| (section 2, QKNorm), with a learned g.

    The paper has one g a layer, which begins at log2(L² - L) for sentences of L tokens; here every
    head has one, [H]. A query or key that is zero stays so.

    Attributes:
      scale: what g begins at; 0 is the paper's for L = 64, about 12.
      dropout_rate: share of attention weights dropped in training.
      kernel: how it is computed, see ``attention.kernels.softmax_attention``.

    Cost: Q·K·(D + E) multiply-adds a head; a cached step is linear in the prefix.

        >>> x_BTHD, params = jnp.ones((1, 3, 2, 4)), {"scale": jnp.ones(2)}
        >>> Cosine().attend(params, {}, x_BTHD, x_BTHD, x_BTHD, None)[0].shape
        (1, 3, 2, 4)
    """

    name: ClassVar[str] = "cosine"

    scale: float = 0.0
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

    def __post_init__(self) -> None:
        if not 0.0 <= self.scale < math.inf:
            raise ValueError(f"Cosine(scale={self.scale!r}): needs a number of at least 0")

    def init(self, rng: jax.Array, sizes: Sizes) -> tuple[Tree, Tree]:
        """g of each head, [H]; no state."""
        scale = self.scale or math.log2(64**2 - 64)
        return {"scale": WithAxes(jnp.full((sizes.heads,), scale), ("heads",))}, {}

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
            _scaled(q_BQHD, params["scale"]),
            unit(k_BKHD),
            v_BKHE,
            mask,
            bias=bias,
            scale=1.0,
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
        """Appends Q positions to the cache, keys as k̂, and attends from them, causally."""
        # A cached step divides by sqrt(D).
        q_BQHD = _scaled(q_BQHD, params["scale"] * math.sqrt(q_BQHD.shape[-1]))
        return cache_of_heads.extend(cache, q_BQHD, unit(k_BQHD), v_BQHE, mask, bias=bias)


def _scaled(x_BTHD: jax.Array, scale_H: jax.Array) -> jax.Array:
    """x / |x| times the scale, in x's dtype."""
    x = unit(x_BTHD.astype(accumulator(x_BTHD.dtype)))
    return (x * scale_H.astype(x.dtype)[None, None, :, None]).astype(x_BTHD.dtype)
