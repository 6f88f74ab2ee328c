"""Batch normalisation (Ioffe & Szegedy 2015) of sequences with padding."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from attention.modules.parameters import parameter


class BatchNorm(nn.Module):
    """(x - mean) / sqrt(variance + ε) · scale + bias, of each feature over all real tokens.

    In training (with an rng named "dropout") mean and variance are those of the tokens given: all
    sentences and positions but padding, on however many devices; of accumulated microbatches, each
    its own. Running means of both, kept as state ("batch_stats"), serve in evaluation. In training
    a token's output depends on all others, later ones too: not for a causal decoder.

    Attributes:
      momentum: share of the running means that stays, a call.
      epsilon: ε.
      dtype: of the output; statistics are float32.
    """

    momentum: float = 0.9
    epsilon: float = 1e-5
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x_BTM: jax.Array, real_BT: jax.Array) -> jax.Array:
        """Normalises; padding comes out as anything finite.

        Args:
          x_BTM: what is normalised; padding in it may be anything.
          real_BT: False at padding.
        """
        shape, ones, zeros = x_BTM.shape[-1:], nn.initializers.ones, nn.initializers.zeros
        scale_M, bias_M = (
            parameter(self, name, init, ("model",), shape)
            for name, init in (("scale", ones), ("bias", zeros))
        )
        mean = self.variable("batch_stats", "mean_M", jnp.zeros, shape)
        variance = self.variable("batch_stats", "variance_M", jnp.ones, shape)
        x_BTM = jnp.where(real_BT[..., None], x_BTM, 0).astype(jnp.float32)
        mean_M, variance_M = mean.value, variance.value
        if self.has_rng("dropout"):
            count = real_BT.sum()
            mean_M = x_BTM.sum(axis=(0, 1)) / jnp.maximum(count, 1)
            apart_BTM = jnp.where(real_BT[..., None], x_BTM - mean_M[None, None], 0)
            variance_M = (apart_BTM**2).sum(axis=(0, 1)) / jnp.maximum(count, 1)
            if self.is_mutable_collection("batch_stats"):
                share = jnp.where(count > 0, 1 - self.momentum, 0)
                mean.value += share * (mean_M - mean.value)
                variance.value += share * (variance_M - variance.value)
        factor_M = scale_M * jax.lax.rsqrt(variance_M + self.epsilon)
        x_BTM = (x_BTM - mean_M[None, None]) * factor_M[None, None] + bias_M[None, None]
        return x_BTM.astype(self.dtype)
