"""Dot-product attention with a learned temperature.

Lee et al. 2021, "Vision Transformer for Small-Size Datasets", section 3.2.
"""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

from attention.kernels import Inputs
from attention.protocols import WithAxes
from attention.shapes import Sizes, Tree, accumulator
from attention.variants.dense.base import DotProductAttention


@dataclass(frozen=True)
class LearnedTemperature(DotProductAttention):
    """softmax(q kᵀ / τ) v, each head with a temperature of its own.

    τ begins at sqrt(D), as in softmax attention; it is learned as its logarithm, ``temperature``
    [H] being log(τ / sqrt(D)), so that it stays positive. The paper learns τ itself, one a layer,
    and hides each query from itself, which a mask can do.

    Attributes:
      dropout_rate: share of attention weights dropped in training.
      kernel: how it is computed, see ``attention.kernels.softmax_attention``.

    Cost: Q·K·(D + E) multiply-adds a head; a cached step is linear in the prefix.

        >>> x_BTHD, params = jnp.ones((1, 3, 2, 4)), {"temperature": jnp.zeros(2)}
        >>> LearnedTemperature().attend(params, {}, x_BTHD, x_BTHD, x_BTHD, None)[0].shape
        (1, 3, 2, 4)
    """

    name: ClassVar[str] = "learned_temperature"

    dropout_rate: float = 0.0
    kernel: str = "auto"

    def init(self, rng: jax.Array, sizes: Sizes) -> tuple[Tree, Tree]:
        """The temperatures' logarithms, [H]; no state."""
        return {"temperature": WithAxes(jnp.zeros((sizes.heads,)), ("heads",))}, {}

    def transformed(self, params: Tree, inputs: Inputs) -> Inputs:
        """Queries times sqrt(D) / τ; what follows divides by sqrt(D)."""
        q_BQHD = inputs.q_BQHD
        dtype = accumulator(q_BQHD.dtype)
        factor_H1 = jnp.exp(-params["temperature"].astype(dtype))[:, None]
        q_BQHD = (q_BQHD.astype(dtype) * factor_H1[None, None]).astype(q_BQHD.dtype)
        return inputs._replace(q_BQHD=q_BQHD)
