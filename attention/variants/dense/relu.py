"""ReLU attention: Wortsman et al. 2023, "Replacing softmax with ReLU in Vision Transformers"."""

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from attention.kernels import Inputs
from attention.kernels.decode import cache as cache_of_heads
from attention.protocols import Attention, Capabilities
from attention.shapes import Sizes, Tree, accumulator
from attention.variants.dense import scored
from attention.variants.dense.base import DOT_PRODUCT


@dataclass(frozen=True)
class ReLU(Attention):
    """relu(q kᵀ / sqrt(D)) / L · v (section 3), L the number of keys that a query may see.

    The paper divides by the sequence's length; under a mask we take the visible keys for it, so
    that padding changes nothing.

    Attributes:
      dropout_rate: share of attention weights dropped in training.

    Cost: Q·K·(D + E) multiply-adds a head; a cached step is linear in the prefix.

        >>> x_BTHD = jnp.ones((1, 3, 2, 4))
        >>> ReLU().attend({}, {}, x_BTHD, x_BTHD, x_BTHD, None)[0].shape
        (1, 3, 2, 4)
    """

    name: ClassVar[str] = "relu"

    dropout_rate: float = 0.0

    capabilities: ClassVar[Capabilities] = replace(DOT_PRODUCT, grouped=False, normalised=False)

    def _attend(
        self, params: Tree, state: Tree, inputs: Inputs, rng: jax.Array | None
    ) -> tuple[jax.Array, Tree]:
        out_BQHE = scored.scored_attention(
            _score, _weights, inputs, dropout_rate=self.dropout_rate, rng=rng
        )
        return out_BQHE, state

    def init_cache(
        self, params: Tree, state: Tree, sizes: Sizes, batch: int, length: int, dtype: Any
    ) -> Tree:
        """Room for ``length`` keys and values."""
        return cache_of_heads.empty(sizes, batch, length, dtype)

    def _extend(
        self, params: Tree, state: Tree, cache: Tree, inputs: Inputs
    ) -> tuple[jax.Array, Tree]:
        return scored.extend(_score, _weights, cache, inputs)


def _score(q_BHQD: jax.Array, k_BHKD: jax.Array, score_params: Tree) -> jax.Array:
    dtype = accumulator(jnp.result_type(q_BHQD, k_BHKD))
    s_BHQK = jnp.einsum("BHQD,BHKD->BHQK", q_BHQD, k_BHKD, preferred_element_type=dtype)
    return s_BHQK / math.sqrt(q_BHQD.shape[-1])


def _weights(s_BHQK: jax.Array, see_BHQK: jax.Array) -> jax.Array:
    visible_BHQ1 = see_BHQK.sum(axis=-1, keepdims=True)
    return jnp.where(see_BHQK, jax.nn.relu(s_BHQK), 0) / jnp.maximum(visible_BHQ1, 1)
