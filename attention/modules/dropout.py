"""Dropout that is on when, and only when, a "dropout" rng is given (Srivastava et al. 2014)."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from attention.randomness import kept


class Dropout(nn.Module):
    """Zeroes a share ``rate`` of the entries and scales the rest by 1 / (1 - rate)."""

    rate: float

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        if not 0.0 <= self.rate < 1.0:
            raise ValueError(f"dropout rate is {self.rate}; it needs to be in [0, 1)")
        rng = None if self.rate == 0.0 else dropout_rng(self)
        if rng is None:
            return x
        keep = kept(rng, self.rate, x.shape)
        return jnp.where(keep, x / (1.0 - self.rate), 0).astype(x.dtype)


def dropout_rng(module: nn.Module) -> jax.Array | None:
    """The next key of a module, or None outside of training."""
    return module.make_rng("dropout") if module.has_rng("dropout") else None
