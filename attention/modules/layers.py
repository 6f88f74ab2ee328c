"""Layers of encoders and decoders, and the hyperparameters that their stacks share."""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from attention.masks import Mask
from attention.modules.attention.memory import Memory
from attention.modules.attention.multi_head import MultiHead
from attention.modules.dropout import Dropout
from attention.modules.feed_forward import FeedForward
from attention.modules.mixing import TokenMixing
from attention.modules.normalisation import BatchNorm
from attention.positions import Rotary
from attention.protocols import TokenMixer
from attention.shapes import Sizes, Tree

Make = Callable[..., nn.Module]  # makes a fresh module, so that no two layers share parameters


class Residual(nn.Module):
    """x + dropout(f(x)), normalised after (Vaswani et al. 2017) or before f (pre-norm).

    Attributes:
      norm: makes the normalisation.
      pre: normalise f's input rather than the sum.
      dropout: rate on f's output.
    """

    norm: Make
    pre: bool
    dropout: float

    def setup(self) -> None:
        self.normalise = self.norm()
        self.drop = Dropout(self.dropout)

    def before(self, x_BTM: jax.Array, real_BT: jax.Array | None = None) -> jax.Array:
        """The input of f."""
        return normalised(self.normalise, x_BTM, real_BT) if self.pre else x_BTM

    def after(
        self, x_BTM: jax.Array, out_BTM: jax.Array, real_BT: jax.Array | None = None
    ) -> jax.Array:
        """The sublayer's output, from its input and the output of f."""
        x_BTM = x_BTM + self.drop(out_BTM)
        return x_BTM if self.pre else normalised(self.normalise, x_BTM, real_BT)


def normalised(norm: nn.Module, x_BTM: jax.Array, real_BT: jax.Array | None) -> jax.Array:
    """By a norm of each token's own, or of all that are real."""
    if not isinstance(norm, BatchNorm):
        return norm(x_BTM)
    if real_BT is None:
        raise NotImplementedError(
            "BatchNorm cannot stand in a causal decoder, whose tokens would see later ones; "
            "use nn.LayerNorm there"
        )
    return norm(x_BTM, real_BT)


def real_tokens(x_BTM: jax.Array, mask: Mask) -> jax.Array:
    """Which tokens of a self-attention's input are not padding, bool [B, T]."""
    real_BT, _ = mask.padding(x_BTM.shape[1], None)
    return jnp.broadcast_to(True if real_BT is None else real_BT, x_BTM.shape[:2])


class EncoderLayer(nn.Module):
    """Self-attention, then feed-forward.

    Attributes:
      attention: makes the self-attention.
      feed_forward: makes the feed-forward layer.
      residual: makes the wrapping of each.
    """

    attention: Make
    feed_forward: Make
    residual: Make

    def setup(self) -> None:
        self.self_attention, self.self_residual = self.attention(), self.residual()
        self.ff, self.ff_residual = self.feed_forward(), self.residual()

    def __call__(
        self, x_BTM: jax.Array, mask: Mask, bias: Any = None, shared: Tree = None
    ) -> jax.Array:
        real_BT = real_tokens(x_BTM, mask)
        out_BTM = self.self_attention(
            self.self_residual.before(x_BTM, real_BT), mask=mask, bias=bias, shared=shared
        )
        x_BTM = self.self_residual.after(x_BTM, out_BTM, real_BT)
        out_BTM = self.ff(self.ff_residual.before(x_BTM, real_BT))
        return self.ff_residual.after(x_BTM, out_BTM, real_BT)


class DecoderLayer(nn.Module):
    """Self-attention, cross-attention to a memory, then feed-forward.

    Attributes:
      attention: makes the self-attention.
      cross: makes the cross-attention; without one there is no memory, and None stands for it.
      feed_forward: makes the feed-forward layer.
      residual: makes the wrapping of each.
      points: whether it tells how much each source token weighs for each of the target's, as the
        mean of the heads.
    """

    attention: Make
    cross: Make | None
    feed_forward: Make
    residual: Make
    points: bool = False

    def setup(self) -> None:
        self.self_attention, self.self_residual = self.attention(), self.residual()
        if self.cross is not None:
            self.cross_attention, self.cross_residual = self.cross(), self.residual()
        self.ff, self.ff_residual = self.feed_forward(), self.residual()

    def __call__(
        self,
        y_BTM: jax.Array,
        memory_BSM: jax.Array | None,
        self_mask: Any,
        cross_mask: Any,
        bias: Any = None,
        cross_shared: Tree = None,
    ) -> tuple[jax.Array, jax.Array | None]:
        """The output, and weights_BTS where it points, else None."""
        memory = self.project_memory(memory_BSM, cross_mask)
        y = self.self_residual.before(y_BTM)
        out_BTM = self.self_attention(y, mask=self_mask, bias=bias)
        y_BTM = self.self_residual.after(y_BTM, out_BTM)
        y_BTM, weights_BTS, _ = self._cross(y_BTM, memory, cross_mask, cross_shared)
        return self._feed_forward(y_BTM), weights_BTS

    def project_memory(self, memory_BSM: jax.Array | None, mask: Any) -> Memory | None:
        """The memory's keys and values, computed once for all steps."""
        if memory_BSM is None:
            return None
        return self.cross_attention.project_memory(memory_BSM, mask)

    def start(self, batch: int, length: int, model_size: int, memory: Memory | None) -> Tree:
        """A cache for ``length`` positions, and the first state of an alignment."""
        cross = {} if memory is None else self.cross_attention.start_cross(memory, model_size)
        return {"self": self.self_attention.start(batch, length, model_size), "cross": cross}

    def grow(self, cache: Tree, batch: int, length: int, model_size: int) -> Tree:
        """The same cache with room for ``length`` positions, more than it has."""

        def put(empty: jax.Array, kept: jax.Array) -> jax.Array:
            return jax.lax.dynamic_update_slice(empty, kept, (0,) * kept.ndim)

        empty = self.self_attention.start(batch, length, model_size)
        return cache | {"self": jax.tree.map(put, empty, cache["self"])}

    def extend(
        self,
        cache: Tree,
        y_BQM: jax.Array,
        pos_BQ: jax.Array,
        memory: Memory | None,
        cross_mask: Any,
        bias: Any = None,
        cross_shared: Tree = None,
    ) -> tuple[jax.Array, jax.Array | None, Tree]:
        """Further positions of each row: as ``__call__``, and the cache after them.

        Rows may be a multiple of the memory's batch (the beams of one sentence stand together):
        they ask the memory as so many queries of one row, so that it is never copied.
        """
        y = self.self_residual.before(y_BQM)
        out_BQM, of_self = self.self_attention.extend(cache["self"], y, pos_BQ, bias=bias)
        y_BQM = self.self_residual.after(y_BQM, out_BQM)
        y_BQM, weights_BQS, of_cross = self._cross(
            y_BQM, memory, cross_mask, cross_shared, cache["cross"]
        )
        return self._feed_forward(y_BQM), weights_BQS, {"self": of_self, "cross": of_cross}

    def _cross(
        self, y_BTM: jax.Array, memory: Memory | None, mask: Any, shared: Tree, state: Tree = None
    ) -> tuple[jax.Array, jax.Array | None, Tree]:
        """The sublayer of cross-attention: output, weights, and the alignment's state."""
        if memory is None:
            return y_BTM, None, state
        y, weights_BTS = self.cross_residual.before(y_BTM), None
        rows = y.reshape(memory[0].shape[0], -1, y.shape[-1])
        if self.points:
            out_BQM, weights_BQS, state = self.cross_attention.cross_with_weights(
                rows, memory, mask, shared=shared, alignment_state=state
            )
            weights_BTS = weights_BQS.reshape(*y.shape[:2], weights_BQS.shape[-1])
        else:
            out_BQM, state = self.cross_attention.cross_with_state(
                rows, memory, mask, shared=shared, alignment_state=state
            )
        return self.cross_residual.after(y_BTM, out_BQM.reshape(y.shape)), weights_BTS, state

    def _feed_forward(self, y_BTM: jax.Array) -> jax.Array:
        return self.ff_residual.after(y_BTM, self.ff(self.ff_residual.before(y_BTM)))


class Stack(nn.Module):
    """What an encoder and a decoder have in common: the hyperparameters of their layers.

    Attributes:
      size: features M.
      heads: heads H of each attention; must divide M.
      layers: how many there are.
      feed_forward: makes a feed-forward layer, given ``dtype``.
      norm: makes a normalisation, given ``dtype``.
      pre_norm: normalise before each sublayer, and once at the end, rather than after.
      rotary: rotary positions of the self-attention, or None.
      position_bias: makes the module that gives the self-attention's bias of positions, given
        ``heads`` and ``bidirectional``; or None.
      kv_heads: heads of keys and values; must divide the heads; as many if None.
      dropout: rate on each sublayer's output.
      remat: recompute each layer in the backward pass rather than store it.
      dtype: compute dtype; parameters are float32.
    """

    size: int = 512
    heads: int = 8
    layers: int = 6
    feed_forward: Make = partial(FeedForward, hidden=2048)
    norm: Make = nn.LayerNorm
    pre_norm: bool = False
    rotary: Rotary | None = None
    position_bias: Make | None = None
    kv_heads: int | None = None
    dropout: float = 0.0
    remat: bool = False
    dtype: Any = jnp.float32

    @nn.nowrap
    def make_layer(self, layer: type[nn.Module], *attentions: Any, **options: Any) -> nn.Module:
        """One layer, of ``EncoderLayer`` or ``DecoderLayer``, around these attentions."""
        makers = [
            attention and multi_head(self.heads, attention, self.kv_heads, self.rotary, self.dtype)
            for attention in attentions
        ]
        norm = partial(self.norm, dtype=self.dtype)
        residual = partial(Residual, norm, self.pre_norm, self.dropout)
        feed_forward = partial(self.feed_forward, dtype=self.dtype)
        layer = nn.remat(layer) if self.remat else layer
        return layer(*makers, feed_forward, residual, **options)

    @property
    def sizes(self) -> Sizes:
        """The sizes of one attention."""
        return Sizes(self.heads, self.size // self.heads, self.size // self.heads, self.size)


def multi_head(
    heads: int,
    attention: Any,
    kv_heads: int | None = None,
    rotary: Any = None,
    dtype: Any = jnp.float32,
) -> Make:
    """A maker of layers of these hyperparameters: ``MultiHead``, or ``TokenMixing`` for a mixer.

    Raises:
      NotImplementedError: a mixer is to have what only queries and keys can.
    """
    if isinstance(attention, TokenMixer):
        for what, value in (("rotary positions", rotary), (f"{kv_heads} kv_heads", kv_heads)):
            if value is not None and value != heads:
                raise NotImplementedError(
                    f"{type(attention).__name__} cannot take {what}, since it has no queries and "
                    "keys; use None, or Softmax"
                )
        return lambda: TokenMixing(heads, attention, dtype)
    return lambda: MultiHead(heads, attention, rotary=rotary, dtype=dtype, kv_heads=kv_heads)
