"""A Transformer that fills in masked target tokens, all at once, and tells the target's length.

Ghazvininejad et al. 2019, "Mask-Predict: Parallel Decoding of Conditional Masked Language Models".
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from attention.models.transformer import Transformer


class ConditionalMaskedLM(nn.Module):
    """The Transformer with a decoder that sees both ways, and a classifier of lengths.

    The classifier reads the mean of the encoder's last layer over the source's tokens; the paper,
    an additional token of the encoder's.

    Attributes:
      transformer: a Transformer with ``causal=False``.
      longest: the greatest length that is told.

        >>> transformer = Transformer(vocab_size=11, size=8, heads=2, layers=1, causal=False)
        >>> model = ConditionalMaskedLM(transformer, longest=6)
        >>> source_BS, target_BT = jnp.array([[4, 5, 1]]), jnp.array([[3, 6]])
        >>> variables = model.init(jax.random.key(0), source_BS, target_BT)
        >>> logits_BTV, lengths_BL = model.apply(variables, source_BS, target_BT)
        >>> logits_BTV.shape, lengths_BL.shape
        ((1, 2, 11), (1, 7))
    """

    transformer: Transformer
    longest: int

    def setup(self) -> None:
        self.length_classifier = nn.Dense(self.longest + 1, dtype=jnp.float32)

    def __call__(self, source_BS: jax.Array, target_BT: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Logits of all target tokens [B, T, V] given those not masked, and of lengths [B, L]."""
        memories, lengths_B = self.memories(source_BS), self.transformer.lengths(target_BT)
        logits_BTV = self.fill(target_BT, lengths_B, memories, source_BS)
        return logits_BTV, self.lengths(memories, source_BS)

    def memories(self, source_BS: jax.Array) -> list[jax.Array]:
        """What each layer of the decoder asks."""
        return self.transformer.memories(source_BS)

    def fill(
        self,
        tokens_BT: jax.Array,
        lengths_B: jax.Array,
        memories: Sequence[jax.Array],
        source_BS: jax.Array,
    ) -> jax.Array:
        """Logits of tokens, some of which are masked; what lies beyond a row's length is padding.

        Rows may be a multiple of the source's, those of one source standing together.
        """
        times = tokens_BT.shape[0] // source_BS.shape[0]
        memories = [jnp.repeat(memory_BSM, times, axis=0) for memory_BSM in memories]
        source_lengths_B = jnp.repeat(self.transformer.lengths(source_BS), times)
        y_BTM = self.transformer.embed_target(tokens_BT)
        return self.transformer.decode(y_BTM, memories, source_lengths_B, lengths_B)

    def lengths(self, memories: Sequence[jax.Array], source_BS: jax.Array) -> jax.Array:
        """Logits of each length from 0 to the longest, float32 [B, L]."""
        real_BS1 = (source_BS != self.transformer.pad)[..., None]
        total_BM = jnp.where(real_BS1, memories[-1], 0).sum(axis=1)
        return self.length_classifier(total_BM / jnp.maximum(real_BS1.sum(axis=1), 1))
