"""Encoder and decoder layers: sublayers with residual connections, normalised before or after."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from attention.modules.attention.memory import Asked, Memory, pointing
from attention.modules.attention.multi_head import MultiHead
from attention.modules.dropout import Dropout
from attention.modules.mixing import Mixing
from attention.modules.normalisation import BatchNorm
from attention.protocols import TokenMixer
from attention.shapes import Tree

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

    def __call__(
        self,
        x_BTM: jax.Array,
        f: Callable[[jax.Array], jax.Array],
        real_BT: jax.Array | None = None,
    ) -> jax.Array:
        if self.pre:
            return x_BTM + self.drop(f(normalised(self.normalise, x_BTM, real_BT)))
        return normalised(self.normalise, x_BTM + self.drop(f(x_BTM)), real_BT)


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
        self, x_BTM: jax.Array, mask: Any, bias: Any = None, shared: Tree = None
    ) -> jax.Array:
        real_BT = mask.padding(x_BTM.shape[1], x_BTM.shape[1])[0]
        x_BTM = self.self_residual(
            x_BTM, lambda x: self.self_attention(x, mask=mask, bias=bias, shared=shared), real_BT
        )
        return self.ff_residual(x_BTM, self.ff, real_BT)


class DecoderLayer(nn.Module):
    """Causal self-attention, cross-attention to a memory, then feed-forward.

    Attributes:
      attention: makes the self-attention.
      cross: makes the cross-attention.
      feed_forward: makes the feed-forward layer.
      residual: makes the wrapping of each.
      points: whether it tells how much each source token weighs for each of the target's, as the
        mean of the heads.
    """

    attention: Make
    cross: Make
    feed_forward: Make
    residual: Make
    points: bool = False

    def setup(self) -> None:
        self.self_attention, self.self_residual = self.attention(), self.residual()
        self.cross_attention, self.cross_residual = self.cross(), self.residual()
        self.ff, self.ff_residual = self.feed_forward(), self.residual()

    def __call__(
        self,
        y_BTM: jax.Array,
        memory_BSM: jax.Array,
        self_mask: Any,
        cross_mask: Any,
        bias: Any = None,
        cross_shared: Tree = None,
    ) -> tuple[jax.Array, jax.Array]:
        """The output, and weights_BTS where it points; else nothing, [B, T, 0]."""
        memory = self.project_memory(memory_BSM, cross_mask)
        kept: dict[str, Asked] = {}

        def ask(y: jax.Array) -> jax.Array:
            kept["asked"] = self.cross_attention.ask(y, memory, cross_mask, shared=cross_shared)
            return kept["asked"].out_BQM

        y_BTM = self.self_residual(
            y_BTM, lambda y: self.self_attention(y, mask=self_mask, bias=bias)
        )
        y_BTM = self.cross_residual(y_BTM, ask)
        return self.ff_residual(y_BTM, self.ff), kept["asked"].beside_BQX

    def project_memory(self, memory_BSM: jax.Array, mask: Any) -> Memory:
        """The memory's keys and values, computed once for all steps."""
        memory = self.cross_attention.project_memory(memory_BSM, mask)
        return pointing(memory) if self.points else memory

    def start(self, batch: int, length: int, model_size: int, memory: Memory) -> Tree:
        """A cache for ``length`` positions of self-attention, and what the first step carries."""
        return {
            "self": self.self_attention.start(batch, length, model_size),
            "cross": self.cross_attention.start_cross(memory, model_size),
        }

    def grow(self, cache: Tree, batch: int, length: int, model_size: int) -> Tree:
        """The same cache with room for ``length`` positions, more than it has."""

        def put(empty: jax.Array, kept: jax.Array) -> jax.Array:
            return jax.lax.dynamic_update_slice(empty, kept, (0,) * kept.ndim)

        empty = self.self_attention.start(batch, length, model_size)
        return cache | {"self": jax.tree.map(put, empty, cache["self"])}

    def extend(
        self,
        cache: Tree,
        y_B1M: jax.Array,
        pos_B1: jax.Array,
        memory: Memory,
        cross_mask: Any,
        bias: Any = None,
        cross_shared: Tree = None,
    ) -> tuple[jax.Array, jax.Array, Tree]:
        """One more position of each row: as ``__call__``, and the cache after it.

        Rows may be a multiple of the memory's batch (the beams of one sentence stand together):
        they ask the memory as so many queries of one row, so that it is never copied.
        """
        kept: dict[str, Tree] = {}

        def attend(y: jax.Array) -> jax.Array:
            out, kept["self"] = self.self_attention.extend(cache["self"], y, pos_B1, bias=bias)
            return out

        def ask(y: jax.Array) -> jax.Array:
            grouped = y.reshape(memory[0].shape[0], -1, y.shape[-1])
            asked = self.cross_attention.ask(
                grouped, memory, cross_mask, shared=cross_shared, carry=cache["cross"]
            )
            kept["cross"], kept["beside"] = asked.carry, asked.beside_BQX
            return asked.out_BQM.reshape(y.shape)

        y_B1M = self.self_residual(y_B1M, attend)
        y_B1M = self.cross_residual(y_B1M, ask)
        beside = kept.pop("beside")
        beside_B1S = beside.reshape(*y_B1M.shape[:2], beside.shape[-1])
        return self.ff_residual(y_B1M, self.ff), beside_B1S, kept


def multi_head(
    heads: int,
    attend: Any,
    kv_heads: int | None = None,
    rotary: Any = None,
    dtype: Any = jnp.float32,
) -> Make:
    """A maker of layers of these hyperparameters: ``MultiHead``, or ``Mixing`` for a mixer.

    Raises:
      NotImplementedError: a mixer is to have what only queries and keys can.
    """
    if isinstance(attend, TokenMixer):
        for what, value in (("rotary positions", rotary), (f"{kv_heads} kv_heads", kv_heads)):
            if value is not None and value != heads:
                raise NotImplementedError(
                    f"{type(attend).__name__} cannot take {what}, since it has no queries and "
                    "keys; use None, or Softmax"
                )
        return lambda: Mixing(heads, attend, dtype)
    return lambda: MultiHead(heads, attend, rotary=rotary, dtype=dtype, kv_heads=kv_heads)
