"""The encoder of the Transformer (Vaswani et al. 2017, section 3.1), which also stands alone."""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax

from attention.masks import as_mask
from attention.modules.attention.variables import Shared
from attention.modules.encoder_memory import LastLayer, each_normalised
from attention.modules.layers import EncoderLayer, Stack, real_tokens
from attention.protocols import Attention, TokenMixer
from attention.variants.dense.softmax import Softmax


class Encoder(Stack):
    """Vectors of a sequence to as many vectors, each of which may depend on all others.

    What it reads are vectors with their positions: embedded tokens, or any others. Its parameters
    have the same names alone as in a ``Transformer``, so that those of a trained Transformer serve
    its encoder alone.

    Attributes:
      attention: the self-attention, a value from ``attention.variants``; or a mixer.
      encoder_memory: makes the module that gives each decoder layer its memory, given ``layers``.

        >>> import jax.numpy as jnp
        >>> encoder = Encoder(size=8, heads=2, layers=1)
        >>> x_BTM = jnp.ones((1, 5, 8))
        >>> variables = encoder.init(jax.random.key(0), x_BTM)
        >>> encoder.apply(variables, x_BTM).shape
        (1, 5, 8)
    """

    attention: Attention | TokenMixer = Softmax()
    encoder_memory: Callable[..., nn.Module] = LastLayer

    def setup(self) -> None:
        if self.position_bias is not None:
            self.encoder_bias = self.position_bias(heads=self.heads, bidirectional=True)
        self.encoder_shared = Shared(self.attention)
        self.encoder_layers = [
            self.make_layer(EncoderLayer, self.attention) for _ in range(self.layers)
        ]
        self.levels = self.encoder_memory(layers=self.layers)
        if self.pre_norm:
            self.encoder_norm = self.norm(dtype=self.dtype)

    def __call__(self, x_BTM: jax.Array, mask: Any = None) -> jax.Array:
        """The last layer's output [B, T, M], normalised; of padding, anything finite.

        Args:
          x_BTM: the vectors.
          mask: who may look at whom (a Mask, a boolean array, or None for all).
        """
        return self.normalise(self.states(x_BTM, mask)[-1:], mask)[0]

    def states(self, x_BTM: jax.Array, mask: Any = None) -> list[jax.Array]:
        """The input, and what each layer puts out, not yet normalised where ``pre_norm``."""
        bias = None if self.position_bias is None else self.encoder_bias()
        shared, states = self.encoder_shared(self.sizes), [x_BTM]
        for layer in self.encoder_layers:
            states.append(layer(states[-1], as_mask(mask), bias, shared))
        return states

    def memories(self, states: Sequence[jax.Array], mask: Any = None) -> list[jax.Array]:
        """The memory of each decoder layer, [B, T, M] each, from ``states``."""
        memories = self.normalise(self.levels(states), mask)
        return memories * (self.layers // len(memories))

    def normalise(self, memories: Sequence[jax.Array], mask: Any) -> list[jax.Array]:
        if not self.pre_norm:
            return list(memories)
        real_BT = real_tokens(memories[0], as_mask(mask))
        return each_normalised(self.encoder_norm, memories, real_BT)
