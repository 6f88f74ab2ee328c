"""Token embeddings, which also make the logits where tied, and added positions."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from attention.modules.attention.projections import product
from attention.modules.parameters import parameter
from attention.positions import sinusoids
from attention.shapes import accumulator


class TokenEmbedding(nn.Module):
    """A table of token vectors, scaled by sqrt(M) on the way in (Vaswani et al. 2017, 3.4).

    Attributes:
      vocab_size: number of tokens V.
      size: features M.
      dtype: compute dtype.
    """

    vocab_size: int
    size: int
    dtype: Any = jnp.float32

    def setup(self) -> None:
        self.table_VM = parameter(
            self,
            "embedding",
            nn.initializers.normal(stddev=self.size**-0.5),
            ("vocab", "model"),
            (self.vocab_size, self.size),
        )

    def __call__(self, tokens: jax.Array) -> jax.Array:
        """Vectors of tokens: int ids [B, T], or floating weights over tokens [B, T, V]."""
        table_VM = jnp.asarray(self.table_VM, self.dtype)
        if jnp.issubdtype(tokens.dtype, jnp.integer):
            x_BTM = table_VM[tokens]
        else:
            x_BTM = jnp.einsum("BTV,VM->BTM", tokens.astype(self.dtype), table_VM)
        return x_BTM * jnp.asarray(self.size**0.5, self.dtype)

    def logits(self, x_BTM: jax.Array) -> jax.Array:
        """Scores of every token by the same table (Press & Wolf 2017), at least float32."""
        table_VM = jnp.asarray(self.table_VM, self.dtype)
        return product(x_BTM.astype(self.dtype), table_VM.T, accumulator(self.dtype))


class ExternalTokens(nn.Module):
    """Puts ``count`` learned vectors before a sequence (Ainslie et al. 2020, "ETC")."""

    count: int

    @nn.compact
    def __call__(self, x_BTM: jax.Array, lengths_B: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The longer sequences and their lengths; an empty one stays empty."""
        x_GM = parameter(
            self,
            "tokens",
            nn.initializers.normal(1.0),
            (None, "model"),
            (self.count, x_BTM.shape[-1]),
        )
        x_BGM = jnp.broadcast_to(x_GM, (len(x_BTM), *x_GM.shape)).astype(x_BTM.dtype)
        lengths_B = jnp.where(lengths_B > 0, lengths_B + self.count, 0)
        return jnp.concatenate([x_BGM, x_BTM], axis=1), lengths_B


class SinusoidalPositions(nn.Module):
    """Adds sinusoids (Vaswani et al. 2017, section 3.5); no parameters."""

    @nn.compact
    def __call__(self, x_BTM: jax.Array, pos_BT: jax.Array) -> jax.Array:
        return x_BTM + sinusoids(pos_BT, x_BTM.shape[-1]).astype(x_BTM.dtype)


class LearnedPositions(nn.Module):
    """Adds a trained vector for each of ``length`` positions (Gehring et al. 2017)."""

    length: int

    @nn.compact
    def __call__(self, x_BTM: jax.Array, pos_BT: jax.Array) -> jax.Array:
        table_TM = parameter(
            self,
            "embedding",
            nn.initializers.normal(stddev=0.02),
            ("position", "model"),
            (self.length, x_BTM.shape[-1]),
        )
        if x_BTM.shape[1] > self.length:
            raise ValueError(
                f"the input has {x_BTM.shape[1]} positions and LearnedPositions(length="
                f"{self.length}); make length at least the longest input"
            )
        return x_BTM + jnp.asarray(table_TM, x_BTM.dtype)[pos_BT]
