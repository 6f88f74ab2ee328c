"""The base of attentions that are softmax attention of queries and keys transformed first."""

from typing import Any, ClassVar

import jax

from attention.kernels import Inputs, attend_by_softmax
from attention.kernels.decode import cache as cache_of_heads
from attention.protocols import Attention, Capabilities
from attention.shapes import Sizes, Tree

DOT_PRODUCT = Capabilities(
    causal="exact",
    cross=True,
    bias=True,
    decoding="cached",
    grouped=True,
    normalised=True,
    segments=True,
    time="n²·d",
    memory="n·d",
    attends_globally="all",
)


class DotProductAttention(Attention):
    """softmax(q' k'ᵀ / sqrt(D)) v, where a variant says what q' and k' are.

    Attributes:
      dropout_rate: share of attention weights dropped in training.
      kernel: how it is computed, see ``attention.kernels.softmax_attention``.
    """

    dropout_rate: float
    kernel: str

    capabilities: ClassVar[Capabilities] = DOT_PRODUCT

    def transformed(self, params: Tree, inputs: Inputs) -> Inputs:
        """The inputs with q' and k'."""
        return inputs

    def _attend(
        self, params: Tree, state: Tree, inputs: Inputs, rng: jax.Array | None
    ) -> tuple[jax.Array, Tree]:
        inputs = self.transformed(params, inputs)
        out_BQHE = attend_by_softmax(
            inputs, dropout_rate=self.dropout_rate, rng=rng, kernel=self.kernel
        )
        return out_BQHE, state

    def init_cache(
        self, params: Tree, state: Tree, sizes: Sizes, batch: int, length: int, dtype: Any
    ) -> Tree:
        """Room for ``length`` keys, as k', and values."""
        return cache_of_heads.empty(sizes, batch, length, dtype)

    def _extend(
        self, params: Tree, state: Tree, cache: Tree, inputs: Inputs
    ) -> tuple[jax.Array, Tree]:
        return cache_of_heads.extend(cache, self.transformed(params, inputs))
