"""Attention by cosines: Henry et al. 2020, "Query-Key Normalization for Transformers"."""

import math
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

from attention.kernels import Inputs
from attention.protocols import WithAxes
from attention.shapes import Sizes, Tree, accumulator, unit
from attention.variants.dense.base import DotProductAttention


@dataclass(frozen=True)
class Cosine(DotProductAttention):
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

    def __post_init__(self) -> None:
        if not 0.0 <= self.scale < math.inf:
            raise ValueError(f"Cosine(scale={self.scale!r}): needs a number of at least 0")

    def init(self, rng: jax.Array, sizes: Sizes) -> tuple[Tree, Tree]:
        """g of each head, [H]; no state."""
        scale = self.scale or math.log2(64**2 - 64)
        return {"scale": WithAxes(jnp.full((sizes.heads,), scale), ("heads",))}, {}

    def transformed(self, params: Tree, inputs: Inputs) -> Inputs:
        """g q̂ sqrt(D), as what follows divides by sqrt(D), and k̂."""
        q_BQHD, k_BKHD = inputs.q_BQHD, inputs.k_BKHD
        q = unit(q_BQHD.astype(accumulator(q_BQHD.dtype)))
        scale_H1 = (params["scale"] * math.sqrt(q.shape[-1])).astype(q.dtype)[:, None]
        q_BQHD = (q * scale_H1[None, None]).astype(q_BQHD.dtype)
        return inputs._replace(q_BQHD=q_BQHD, k_BKHD=unit(k_BKHD))
