"""Position-wise feed-forward layers, values to choose from: plain or gated."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from attention.modules.attention.projections import dense
from attention.modules.dropout import Dropout


class FeedForward(nn.Module):
    """W2 activation(W1 x) (Vaswani et al. 2017, equation 2, with ReLU).

    Attributes:
      hidden: inner size F.
      activation: ``nn.relu``, ``nn.gelu`` or any elementwise function.
      dropout: rate on the inner layer.
      dtype: compute dtype.
    """

    hidden: int
    activation: Callable[[jax.Array], jax.Array] = nn.relu
    dropout: float = 0.0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x_BTM: jax.Array) -> jax.Array:
        h_BTF = dense(self.hidden, ("model", "hidden"), self.dtype, "in")(x_BTM)
        h_BTF = Dropout(self.dropout)(self.activation(h_BTF))
        return dense(x_BTM.shape[-1], ("hidden", "model"), self.dtype, "out")(h_BTF)


class GatedFeedForward(nn.Module):
    """W2 (activation(W1 x) * V x) (Shazeer 2020, "GLU Variants"; SwiGLU with ``nn.silu``)."""

    hidden: int
    activation: Callable[[jax.Array], jax.Array] = nn.silu
    dropout: float = 0.0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x_BTM: jax.Array) -> jax.Array:
        gate_BTF = dense(self.hidden, ("model", "hidden"), self.dtype, "gate")(x_BTM)
        h_BTF = dense(self.hidden, ("model", "hidden"), self.dtype, "in")(x_BTM)
        h_BTF = Dropout(self.dropout)(self.activation(gate_BTF) * h_BTF)
        return dense(x_BTM.shape[-1], ("hidden", "model"), self.dtype, "out")(h_BTF)
