"""Dropout that is on when, and only when, a "dropout" rng is given (Srivastava et al. 2014)."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp


class Dropout(nn.Module):
    """Zeroes a share ``rate`` of the entries and scales the rest by 1 / (1 - rate).

    Random bits are dear on CPUs, so each entry takes 16 of them: the rate is met to 1 / 65,536.
    """

    rate: float

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        if not 0.0 <= self.rate < 1.0:
            raise ValueError(f"dropout rate is {self.rate}; it needs to be in [0, 1)")
        if self.rate == 0.0 or not self.has_rng("dropout"):
            return x
        bits = jax.random.bits(self.make_rng("dropout"), x.shape, jnp.uint16)
        threshold = min(round(self.rate * 65_536), 65_535)
        scale = 65_536 / (65_536 - threshold)
        return jnp.where(bits >= threshold, x * scale, 0).astype(x.dtype)
