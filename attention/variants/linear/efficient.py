"""Efficient attention (Shen et al. 2018).

"Efficient Attention: Attention with Linear Complexities".
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax

from attention.protocols import Capabilities
from attention.shapes import Sizes, Tree
from attention.variants.linear import kernelised
from attention.variants.linear.base import LINEAR, LinearAttention


@dataclass(frozen=True)
class Efficient(LinearAttention):
    """ρ_q(q) (ρ_k(k)ᵀ v): softmax over a query's features, and over each feature's keys (eq. 4).

    A feature's softmax over the keys weighs the values to a mean, a "global context"; a query mixes
    the D means. There is no 1/sqrt(D). The paper has no causal form: here a query's softmax over
    keys then is over those up to its own position, exactly, each feature with its own sum so far.

    Cost: (Q + K)·D·E multiply-adds a head, causally also Q·16·E, and Q·16·D exponentials; a cached
    step costs 2·D·E, whatever the prefix, of which it keeps D·(E + 1) numbers.

        >>> import jax.numpy as jnp
        >>> x_BTHD = jnp.ones((1, 3, 2, 4))
        >>> Efficient().attend({}, {}, x_BTHD, x_BTHD, x_BTHD, None)[0].shape
        (1, 3, 2, 4)
    """

    name: ClassVar[str] = "efficient"

    capabilities: ClassVar[Capabilities] = LINEAR

    def init_cache(
        self, params: Tree, state: Tree, sizes: Sizes, batch: int, length: int, dtype: Any
    ) -> Tree:
        """A cache of constant size, whatever the ``length``."""
        return kernelised.start_logs(sizes, batch, sizes.size, dtype)

    def gathered(
        self, params: Tree, state: Tree, qkv: kernelised.Products, x_BTM: Any
    ) -> tuple[jax.Array, Tree]:
        """By each feature's mean."""
        q_BQHD = jax.nn.softmax(qkv.q_BQHD, axis=-1)
        return kernelised.by_logs(qkv, lambda log_BKHD: q_BQHD, qkv.k_BKHD)
