"""The decoder of the Transformer (Vaswani et al. 2017, section 3.1), which also stands alone."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from attention.masks import Causal, Lengths
from attention.modules.attention.variables import Shared
from attention.modules.copying import check_copies
from attention.modules.layers import DecoderLayer, Stack
from attention.protocols import Attention, TokenMixer
from attention.shapes import Tree
from attention.variants.dense.softmax import Softmax


class Decoder(Stack):
    """Vectors of a sequence to as many vectors, each of which depends on none after it.

    What it reads are vectors with their positions. Without a cross-attention, and with an embedding
    before and logits after it, it is a language model. Its parameters have the same names alone as
    in a ``Transformer``.

    Attributes:
      attention: the self-attention, a value from ``attention.variants``; or a mixer.
      cross: the attention to the memories, or None, where there are none.
      causal: whether no position sees a later one; without, it cannot go step by step.
      points: whether it gives how much each key of the last layer's memory weighs.

        >>> decoder = Decoder(size=8, heads=2, layers=1, cross=None)
        >>> y_BTM, lengths_B = jnp.ones((1, 5, 8)), jnp.array([5])
        >>> variables = decoder.init(jax.random.key(0), y_BTM, lengths_B)
        >>> decoder.apply(variables, y_BTM, lengths_B)[0].shape
        (1, 5, 8)
    """

    attention: Attention | TokenMixer = Softmax()
    cross: Attention | None = Softmax()
    causal: bool = True
    points: bool = False

    def setup(self) -> None:
        if self.points:
            check_copies(self.cross)
        if self.position_bias is not None:
            self.decoder_bias = self.position_bias(heads=self.heads, bidirectional=not self.causal)
        if self.cross is not None:
            self.cross_shared = Shared(self.cross)
        self.decoder_layers = [
            self.make_layer(
                DecoderLayer,
                self.attention,
                self.cross,
                points=self.points and number == self.layers - 1,
            )
            for number in range(self.layers)
        ]
        if self.pre_norm:
            self.decoder_norm = self.norm(dtype=self.dtype)

    def __call__(
        self,
        y_BTM: jax.Array,
        lengths_B: jax.Array,
        memories: Sequence[jax.Array] = (),
        memory_lengths_B: jax.Array | None = None,
    ) -> tuple[jax.Array, jax.Array | None]:
        """All positions at once.

        Args:
          y_BTM: the vectors.
          lengths_B: how many of each row are real.
          memories: of each layer, [B, S, M] each; none without a cross-attention.
          memory_lengths_B: how many of each row of the memories are real.

        Returns:
          The last layer's output [B, T, M], normalised; and weights_BTS where it ``points``.
        """
        padding = Lengths(lengths_B)
        mask = Causal() & padding if self.causal else padding
        cross_mask = self._cross_mask(lengths_B, memory_lengths_B)
        bias, shared = self._bias_and_shared()
        weights_BTS = None
        for layer, memory_BSM in zip(self.decoder_layers, self._checked(memories), strict=True):
            y_BTM, weights_BTS = layer(y_BTM, memory_BSM, mask, cross_mask, bias, shared)
        return self._normalised(y_BTM), weights_BTS

    def start(
        self,
        batch: int,
        length: int,
        memories: Sequence[jax.Array] = (),
        memory_lengths_B: jax.Array | None = None,
    ) -> tuple[Tree, Tree]:
        """What decoding needs: the memory, projected once, and an empty cache.

        Args:
          batch: rows B.
          length: the most positions that will be decoded.
          memories: as in ``__call__``.
          memory_lengths_B: as in ``__call__``.

        Returns:
          (memory, cache): the memory is constant; every leaf of the cache has the batch first,
          and may be repeated row by row (beams) while the memory is not.

        Raises:
          ValueError: the decoder is not ``causal``.
        """
        if not self.causal:
            raise ValueError("a decoder that sees later tokens has no steps; ask it as a whole")
        mask = self._cross_mask(None, memory_lengths_B)
        projected = [
            layer.project_memory(memory_BSM, mask)
            for layer, memory_BSM in zip(self.decoder_layers, self._checked(memories), strict=True)
        ]
        layers = [
            layer.start(batch, length, self.size, of_layer)
            for layer, of_layer in zip(self.decoder_layers, projected, strict=True)
        ]
        memory = {"lengths_B": memory_lengths_B, "layers": projected}
        return memory, {"pos_B": jnp.zeros((batch,), jnp.int32), "layers": layers}

    def grow(self, cache: Tree, length: int) -> Tree:
        """The same cache with room for ``length`` positions, more than it has."""
        layers = [
            layer.grow(kept, len(cache["pos_B"]), length, self.size)
            for layer, kept in zip(self.decoder_layers, cache["layers"], strict=True)
        ]
        return cache | {"layers": layers}

    def extend(
        self, memory: Tree, cache: Tree, y_BQM: jax.Array
    ) -> tuple[jax.Array, jax.Array | None, Tree]:
        """The next Q positions, the first of them at ``cache["pos_B"]``: as ``__call__``.

        Returns:
          The last layer's output [B, Q, M]; weights_BQS where it ``points``; and the cache.
        """
        pos_BQ = cache["pos_B"][:, None] + jnp.arange(y_BQM.shape[1])[None]
        cross_mask = self._cross_mask(None, memory["lengths_B"])
        bias, shared = self._bias_and_shared()
        caches, weights_BQS = [], None
        layers = zip(self.decoder_layers, cache["layers"], memory["layers"], strict=True)
        for layer, kept, of_layer in layers:
            y_BQM, weights_BQS, kept = layer.extend(
                kept, y_BQM, pos_BQ, of_layer, cross_mask, bias, shared
            )
            caches.append(kept)
        cache = {"pos_B": cache["pos_B"] + y_BQM.shape[1], "layers": caches}
        return self._normalised(y_BQM), weights_BQS, cache

    def _bias_and_shared(self) -> tuple[Any, Tree]:
        bias = None if self.position_bias is None else self.decoder_bias()
        return bias, {} if self.cross is None else self.cross_shared(self.sizes)

    def _cross_mask(self, *lengths_B: jax.Array | None) -> Lengths | None:
        return None if self.cross is None else Lengths(*lengths_B)

    def _checked(self, memories: Sequence[jax.Array]) -> Sequence[jax.Array | None]:
        """A memory for each layer: None where there is no cross-attention."""
        wanted = 0 if self.cross is None else self.layers
        if len(memories) != wanted:
            raise ValueError(
                f"Decoder(layers={self.layers}, cross={self.cross}) needs {wanted} memories, and "
                f"has {len(memories)}; give each layer with a cross-attention one"
            )
        return memories or [None] * self.layers

    def _normalised(self, y_BTM: jax.Array) -> jax.Array:
        return self.decoder_norm(y_BTM) if self.pre_norm else y_BTM
