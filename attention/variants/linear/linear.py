"""Linear attention (Katharopoulos et al. 2020).

"Transformers are RNNs: Fast Autoregressive Transformers with Linear Attention".
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from attention.protocols import Capabilities
from attention.shapes import Sizes, Tree
from attention.variants.linear import kernelised
from attention.variants.linear.base import LINEAR, LinearAttention


@dataclass(frozen=True)
class Linear(LinearAttention):
    """φ(q)ᵀ Σ φ(k) vᵀ / φ(q)ᵀ Σ φ(k), with φ(x) = elu(x) + 1 (equations 5 and 7).

    The sums are over all keys, or, causally, over those up to the query (equations 10 to 12).

    Cost: (Q + K)·D·E multiply-adds a head, causally also Q·64·(D + E); a cached step costs 2·D·E,
    whatever the prefix, of which it keeps D·(E + 1) numbers.

        >>> x_BTHD = jnp.ones((1, 3, 2, 4))
        >>> Linear().attend({}, {}, x_BTHD, x_BTHD, x_BTHD, None)[0].shape
        (1, 3, 2, 4)
    """

    name: ClassVar[str] = "linear"

    capabilities: ClassVar[Capabilities] = LINEAR

    def init_cache(
        self, params: Tree, state: Tree, sizes: Sizes, batch: int, length: int, dtype: Any
    ) -> Tree:
        """A cache of constant size, whatever the ``length``."""
        return kernelised.start_sums(sizes, batch, sizes.size, dtype)

    def gathered(
        self, params: Tree, state: Tree, qkv: kernelised.Products, x_BTM: Any
    ) -> tuple[jax.Array, Tree]:
        """By sums of features."""
        return kernelised.by_sums(qkv, _features(qkv.q_BQHD), _features(qkv.k_BKHD))


def _features(x: jax.Array) -> jax.Array:
    """elu(x) + 1 = exp(x) for negative x, of which ``elu`` would round away the small ones."""
    return jnp.where(x > 0, x + 1, jnp.exp(jnp.minimum(x, 0)))
