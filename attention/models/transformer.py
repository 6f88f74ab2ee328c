"""The encoder-decoder Transformer (Vaswani et al. 2017, "Attention Is All You Need")."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from attention.masks import Lengths
from attention.models.decoder import Decoder
from attention.models.encoder import Encoder
from attention.modules.copying import Source, source_of
from attention.modules.dropout import Dropout
from attention.modules.embeddings import ExternalTokens, SinusoidalPositions, TokenEmbedding
from attention.modules.encoder_memory import LastLayer
from attention.modules.feed_forward import FeedForward
from attention.positions import Rotary
from attention.protocols import Attention, TokenMixer
from attention.shapes import Tree
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
        each stack, given ``heads`` and ``bidirectional``; or None.
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
        both: dict[str, Any] = dict(
            size=self.size,
            heads=self.heads,
            layers=self.layers,
            feed_forward=self.feed_forward,
            norm=self.norm,
            pre_norm=self.pre_norm,
            rotary=self.rotary,
            position_bias=self.position_bias,
            kv_heads=self.kv_heads,
            dropout=self.dropout,
            remat=self.remat,
            dtype=self.dtype,
        )
        self.source_side = Encoder(
            attention=self.encoder,
            encoder_memory=self.encoder_memory,
            **both | {"norm": self.source_norm or self.norm},
        )
        self.target_side = Decoder(
            attention=self.decoder,
            cross=self.cross,
            causal=self.causal,
            points=self.copying is not None,
            **both,
        )
        # Their parameters stand beside the embeddings', as in checkpoints that are older than they.
        nn.share_scope(self, self.source_side)
        nn.share_scope(self, self.target_side)
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
        return self.source_side.normalise(self._states(source_BS)[-1:], self._mask(source_BS))[0]

    def memories(self, source_BS: jax.Array) -> list[jax.Array]:
        """The memory of each decoder layer: source tokens [B, S] to vectors [B, S, M] each."""
        return self.source_side.memories(self._states(source_BS), self._mask(source_BS))

    def _mask(self, source_BS: jax.Array) -> Lengths:
        return Lengths(self.lengths(source_BS))

    def _states(self, source_BS: jax.Array) -> list[jax.Array]:
        """The embedded source, and what each layer puts out."""
        lengths_B, x_BSM = self.lengths(source_BS), self.source_embedding(source_BS)
        if self.positions is not None:
            x_BSM = self.source_positions(x_BSM, jnp.arange(source_BS.shape[1])[None])
        if self.external_tokens:
            x_BSM, lengths_B = self.external(x_BSM, lengths_B)
        states = self.source_side.states(self.source_dropout(x_BSM), Lengths(lengths_B))
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
        real_BT = jnp.arange(y_BTM.shape[1])[None] < target_lengths_B[:, None]
        y_BTM = jnp.where(real_BT[..., None], y_BTM, 0)
        x_BTM = self._place(y_BTM, jnp.arange(y_BTM.shape[1])[None])
        y_BTM, weights_BTS = self.target_side(x_BTM, target_lengths_B, memories, source_lengths_B)
        return self._logits(
            y_BTM, x_BTM, weights_BTS, self._source(source_BS, memories, source_lengths_B)
        )

    def start(self, source_BS: jax.Array, *, length: int) -> tuple[Tree, Tree]:
        """What decoding needs, of source tokens: see ``Decoder.start``."""
        memories, lengths_B = self.memories(source_BS), self.lengths(source_BS)
        memory, cache = self.target_side.start(len(source_BS), length, memories, lengths_B)
        return memory | {"source": self._source(source_BS, memories, lengths_B)}, cache

    def grow(self, cache: Tree, length: int) -> Tree:
        """The same cache with room for ``length`` target positions, more than it has."""
        return self.target_side.grow(cache, length)

    def extend(self, memory: Tree, cache: Tree, token_B: jax.Array) -> tuple[jax.Array, Tree]:
        """Logits [B, V] of the token after ``token_B``, and the cache one position on."""
        x_B1M = self._place(self.embed_target(token_B[:, None]), cache["pos_B"][:, None])
        y_B1M, weights_B1S, cache = self.target_side.extend(memory, cache, x_B1M)
        return self._logits(y_B1M, x_B1M, weights_B1S, memory["source"])[:, 0], cache

    def _place(self, y_BTM: jax.Array, pos_BT: jax.Array) -> jax.Array:
        if self.positions is not None:
            y_BTM = self.target_positions(y_BTM, pos_BT)
        return self.target_dropout(y_BTM)

    def _source(self, *known: Any) -> Source | None:
        return None if self.copying is None else source_of(*known)

    def _logits(
        self, y_BTM: jax.Array, x_BTM: jax.Array, weights_BTS: Any, source: Source | None
    ) -> jax.Array:
        logits_BTV = self.output_embedding.logits(y_BTM)
        if source is None:
            return logits_BTV
        return self.copies(logits_BTV, y_BTM, x_BTM, weights_BTS, source)
