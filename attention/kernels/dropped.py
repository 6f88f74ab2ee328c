"""Which attention weights dropout keeps: a function of the row and of two positions alone.

So every kernel, with any tiles and on any number of devices, drops the same weights, and the
backward pass repeats the choice instead of storing it.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from attention.randomness import mixed


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["q_bits_BHQ1", "k_bits_BH1K"],
    meta_fields=["rate"],
)
@dataclass(frozen=True)
class Dropped:
    """Random words of every query and of every key, and the share of weights dropped.

    Attributes:
      q_bits_BHQ1, k_bits_BH1K: uint32.
      rate: in (0, 1).
    """

    q_bits_BHQ1: jax.Array
    k_bits_BH1K: jax.Array
    rate: float

    def tile(self, q_first: Any, k_first: Any, q_size: int, k_size: int) -> jax.Array:
        """Factors of the weights of a tile, 0 or 1 / (1 - rate): float32 [B, H, q_size, k_size]."""
        q_bits = jax.lax.dynamic_slice_in_dim(self.q_bits_BHQ1, q_first, q_size, axis=2)
        k_bits = jax.lax.dynamic_slice_in_dim(self.k_bits_BH1K, k_first, k_size, axis=3)
        return self.factors(q_bits, k_bits)

    def factors(self, q_bits: jax.Array, k_bits: jax.Array) -> jax.Array:
        """Factors of weights whose queries and keys have these words, which broadcast: float32."""
        bits = mixed(q_bits ^ k_bits)
        threshold = min(round(self.rate * 2**32), 2**32 - 1)
        kept = jnp.float32(2**32 / (2**32 - threshold))
        return jnp.where(bits >= jnp.uint32(threshold), kept, jnp.float32(0))


def check_rate(rate: float) -> None:
    """Raises ValueError where it is no share of weights to drop."""
    if not 0.0 <= rate < 1.0:
        raise ValueError(f"dropout_rate is {rate}; it needs to be in [0, 1)")


def draw(rng: jax.Array, rate: float, shape: tuple[int, int, int, int]) -> Dropped:
    """The words for scores of ``shape``, [B, H, Q, K]."""
    batch, heads, q_len, k_len = shape
    q_rng, k_rng = jax.random.split(rng)
    return Dropped(
        jax.random.bits(q_rng, (batch, heads, q_len, 1), jnp.uint32),
        jax.random.bits(k_rng, (batch, heads, 1, k_len), jnp.uint32),
        rate,
    )
