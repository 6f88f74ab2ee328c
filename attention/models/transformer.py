"""The encoder-decoder Transformer (Vaswani et al. 2017, "Attention Is All You Need")."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from attention.masks import Causal, Lengths
from attention.models.stacks import decoder_layers, encoder_layers
from attention.modules.attention.variables import Shared
from attention.modules.copying import Source, source_of
from attention.modules.dropout import Dropout
from attention.modules.embeddings import ExternalTokens, SinusoidalPositions, TokenEmbedding
from attention.modules.encoder_memory import LastLayer, each_normalised
from attention.modules.feed_forward import FeedForward
from attention.positions import Rotary
from attention.protocols import Attention, TokenMixer
from attention.shapes import Sizes, Tree
from attention.variants.dense.softmax import Softmax


class Transformer(nn.Module):
    """Maps source tokens and the target so far to logits of the next target token.

    Sequences are padded at the end with ``pad``. Training (dropout) is on when an rng named
    "dropout" is given to ``apply``.

    Attributes:
      vocab_size: tokens V of the vocabulary that both sides share.
      size: features M.
      heads: heads of each attention; must divide M.
      layers: layers of the encoder and of the decoder.
      encoder, decoder, cross: the three attentions, values from ``attention.variants``; a mixer may
        stand for the first two.
      encoder_memory: makes the module that gives each decoder layer its memory, given ``layers``.
      copying: makes the module that copies source tokens to the output by the last layer's
        cross-attention, given ``dtype``; its log-probabilities stand for logits. Or None.
      feed_forward: makes a feed-forward layer.
      norm: makes a normalisation, given ``dtype``.
      source_norm: the encoder's, where it is another; ``BatchNorm`` stands only there.
      pre_norm: normalise before each sublayer, and once at the end, rather than after.
      positions: makes the module that adds positions, or None.
      rotary: rotary positions of the self-attentions, or None.
      position_bias: makes the module that gives the self-attentions' bias of positions, one for
        each stack, given ``heads`` and ``both_ways``; or None.
      kv_heads: heads of keys and values; must divide the heads; as many if None.
      dropout: rate on embeddings and on each sublayer's output.
      external_tokens: learned vectors that go before the source through the encoder, no part of
        the memory, for one that makes its first tokens global (Ainslie et al. 2020, "ETC").
      tied: one table for source, target and output (section 3.4); else three.
      remat: recompute each layer in the backward pass rather than store it.
      causal: whether the decoder sees no later token; without, it cannot go step by step.
      pad: the padding token.
      dtype: compute dtype; parameters are float32.

        >>> model = Transformer(vocab_size=11, size=8, heads=2, layers=1)
        >>> source_BS, target_BT = jnp.array([[4, 5, 1]]), jnp.array([[3, 6]])
        >>> variables = model.init(jax.random.key(0), source_BS, target_BT)
        >>> model.apply(variables, source_BS, target_BT).shape
        (1, 2, 11)
    """

    vocab_size: int
    size: int = 512
    heads: int = 8
    layers: int = 6
    encoder: Attention | TokenMixer = Softmax()
    decoder: Attention | TokenMixer = Softmax()
    cross: Attention = Softmax()
    encoder_memory: Callable[..., nn.Module] = LastLayer
    copying: Callable[..., nn.Module] | None = None
    feed_forward: Callable[..., nn.Module] = partial(FeedForward, hidden=2048)
    norm: Callable[..., nn.Module] = nn.LayerNorm
    source_norm: Callable[..., nn.Module] | None = None
    pre_norm: bool = False
    positions: Callable[[], nn.Module] | None = SinusoidalPositions
    rotary: Rotary | None = None
    position_bias: Callable[..., nn.Module] | None = None
    kv_heads: int | None = None
    dropout: float = 0.0
    external_tokens: int = 0
    tied: bool = True
    remat: bool = False
    causal: bool = True
    pad: int = 0
    dtype: Any = jnp.float32

    def setup(self) -> None:
        embedding = partial(TokenEmbedding, self.vocab_size, self.size, self.dtype)
        self.source_embedding = embedding()
        self.target_embedding = self.source_embedding if self.tied else embedding()
        self.output_embedding = self.source_embedding if self.tied else embedding()
        if self.external_tokens:
            self.external = ExternalTokens(self.external_tokens)
        if self.positions is not None:
            self.source_positions, self.target_positions = self.positions(), self.positions()
        self.source_dropout, self.target_dropout = Dropout(self.dropout), Dropout(self.dropout)
        norm = partial(self.norm, dtype=self.dtype)
        source_norm = partial(self.source_norm or self.norm, dtype=self.dtype)
        if self.position_bias is not None:
            self.encoder_bias = self.position_bias(heads=self.heads, both_ways=True)
            self.decoder_bias = self.position_bias(heads=self.heads, both_ways=not self.causal)
        self.encoder_shared, self.cross_shared = Shared(self.encoder), Shared(self.cross)
        self.encoder_layers = encoder_layers(self, source_norm)
        self.decoder_layers = decoder_layers(self, norm)
        self.levels = self.encoder_memory(layers=self.layers)
        if self.pre_norm:
            self.encoder_norm, self.decoder_norm = source_norm(), norm()
        if self.copying is not None:
            self.copies = self.copying(dtype=self.dtype)

    def __call__(self, source_BS: jax.Array, target_BT: jax.Array) -> jax.Array:
        """Logits for the token after each of ``target_BT`` (teacher forcing).

        Args:
          source_BS: int source tokens.
          target_BT: int decoder inputs, beginning with the start token.

        Returns:
          logits_BTV, at least float32.
        """
        y_BTM, memories = self.embed_target(target_BT), self.memories(source_BS)
        lengths = self.lengths(source_BS), self.lengths(target_BT)
        return self.decode(y_BTM, memories, *lengths, source_BS)

    def lengths(self, tokens_BT: jax.Array) -> jax.Array:
        """Tokens before the padding, a row."""
        return (tokens_BT != self.pad).sum(axis=1)

    def encode(self, source_BS: jax.Array) -> jax.Array:
        """The last layer's: source tokens [B, S] to vectors [B, S, M]."""
        return self._normalised(self._states(source_BS)[-1:], source_BS)[0]

    def memories(self, source_BS: jax.Array) -> list[jax.Array]:
        """The memory of each decoder layer: source tokens [B, S] to vectors [B, S, M] each."""
        made = self._normalised(self.levels(self._states(source_BS)), source_BS)
        return made * (self.layers // len(made))

    def _normalised(self, memories: list[jax.Array], source_BS: jax.Array) -> list[jax.Array]:
        real_BS = source_BS != self.pad
        return each_normalised(self.encoder_norm, memories, real_BS) if self.pre_norm else memories

    def _states(self, source_BS: jax.Array) -> list[jax.Array]:
        """The embedded source, and what each layer puts out."""
        lengths_B, x_BSM = self.lengths(source_BS), self.source_embedding(source_BS)
        if self.positions is not None:
            x_BSM = self.source_positions(x_BSM, jnp.arange(source_BS.shape[1])[None])
        if self.external_tokens:
            x_BSM, lengths_B = self.external(x_BSM, lengths_B)
        x_BSM, mask = self.source_dropout(x_BSM), Lengths(lengths_B)
        bias = None if self.position_bias is None else self.encoder_bias()
        shared = self.encoder_shared(self._sizes)
        states = [x_BSM]
        for layer in self.encoder_layers:
            states.append(layer(states[-1], mask, bias, shared))
        return [x_BSM[:, self.external_tokens :] for x_BSM in states]

    def embed_target(self, tokens: jax.Array) -> jax.Array:
        """Target vectors, before positions: of ids [B, T] or of weights over tokens [B, T, V]."""
        return self.target_embedding(tokens)

    def decode(
        self,
        y_BTM: jax.Array,
        memories: Sequence[jax.Array],
        source_lengths_B: jax.Array,
        target_lengths_B: jax.Array,
        source_BS: jax.Array | None = None,  # for a model that copies
    ) -> jax.Array:
        """Logits of a whole target at once, from ``embed_target``'s vectors; padding is ignored."""
        padding = Lengths(target_lengths_B)
        self_mask = Causal() & padding if self.causal else padding
        cross_mask = Lengths(target_lengths_B, source_lengths_B)
        real_BT = jnp.arange(y_BTM.shape[1])[None] < target_lengths_B[:, None]
        y_BTM = jnp.where(real_BT[..., None], y_BTM, 0)
        x_BTM = y_BTM = self._place(y_BTM, jnp.arange(y_BTM.shape[1])[None])
        bias = None if self.position_bias is None else self.decoder_bias()
        shared, weights_BTS = self.cross_shared(self._sizes), y_BTM[..., :0]
        for layer, memory_BSM in zip(self.decoder_layers, memories, strict=True):
            y_BTM, weights_BTS = layer(y_BTM, memory_BSM, self_mask, cross_mask, bias, shared)
        source = self._source(source_BS, memories, source_lengths_B)
        return self._logits(y_BTM, x_BTM, weights_BTS, source)

    def start(self, source_BS: jax.Array, *, length: int) -> tuple[Tree, Tree]:
        """What decoding needs: the memory, projected once, and an empty cache.

        Args:
          source_BS: int source tokens.
          length: the most target positions that will be decoded.

        Returns:
          (memory, cache): the memory is constant; every leaf of the cache has the batch first,
          and may be repeated row by row (beams) while the memory is not.

        Raises ValueError where the decoder is not ``causal``.
        """
        if not self.causal:
            raise ValueError("a decoder that sees later tokens has no steps; ask it as a whole")
        memories, lengths_B = self.memories(source_BS), self.lengths(source_BS)
        asked = [
            layer.project_memory(memory_BSM, Lengths(None, lengths_B))
            for layer, memory_BSM in zip(self.decoder_layers, memories, strict=True)
        ]
        source = self._source(source_BS, memories, lengths_B)
        memory = {"lengths_B": lengths_B, "layers": asked, "source": source}
        layers = [
            layer.start(len(source_BS), length, self.size, of_layer)
            for layer, of_layer in zip(self.decoder_layers, asked, strict=True)
        ]
        return memory, {"pos_B": jnp.zeros((len(source_BS),), jnp.int32), "layers": layers}

    def grow(self, cache: Tree, length: int) -> Tree:
        """The same cache with room for ``length`` target positions, more than it has."""
        layers = [
            layer.grow(kept, len(cache["pos_B"]), length, self.size)
            for layer, kept in zip(self.decoder_layers, cache["layers"], strict=True)
        ]
        return cache | {"layers": layers}

    def extend(self, memory: Tree, cache: Tree, token_B: jax.Array) -> tuple[jax.Array, Tree]:
        """Logits [B, V] of the token after ``token_B``, and the cache one position on."""
        cross_mask = Lengths(None, memory["lengths_B"])
        pos_B1 = cache["pos_B"][:, None]
        x_B1M = y_B1M = self._place(self.embed_target(token_B[:, None]), pos_B1)
        bias = None if self.position_bias is None else self.decoder_bias()
        shared, caches, weights_B1S = self.cross_shared(self._sizes), [], y_B1M[..., :0]
        layers = zip(self.decoder_layers, cache["layers"], memory["layers"], strict=True)
        for layer, kept, asked in layers:
            y_B1M, weights_B1S, kept = layer.extend(
                kept, y_B1M, pos_B1, asked, cross_mask, bias, shared
            )
            caches.append(kept)
        logits_B1V = self._logits(y_B1M, x_B1M, weights_B1S, memory["source"])
        return logits_B1V[:, 0], {"pos_B": cache["pos_B"] + 1, "layers": caches}

    @property
    def _sizes(self) -> Sizes:
        return Sizes(self.heads, self.size // self.heads, self.size // self.heads, self.size)

    def _place(self, y_BTM: jax.Array, pos_BT: jax.Array) -> jax.Array:
        if self.positions is not None:
            y_BTM = self.target_positions(y_BTM, pos_BT)
        return self.target_dropout(y_BTM)

    def _source(self, *known: Any) -> Source | None:
        return None if self.copying is None else source_of(*known)

    def _logits(
        self, y_BTM: jax.Array, x_BTM: jax.Array, weights_BTS: jax.Array, source: Source | None
    ) -> jax.Array:
        y_BTM = self.decoder_norm(y_BTM) if self.pre_norm else y_BTM
        logits_BTV = self.output_embedding.logits(y_BTM)
        if source is None:
            return logits_BTV
        return self.copies(logits_BTV, y_BTM, x_BTM, weights_BTS, source)
