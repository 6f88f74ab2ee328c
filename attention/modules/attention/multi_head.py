"""Multi-head attention around any Attention (Vaswani et al. 2017, section 3.2.2)."""

import warnings
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from attention.biases import Bias, as_bias
from attention.masks import Causal, Lengths, as_mask
from attention.modules.attention import prefix_cache
from attention.modules.attention.memory import CrossAttentionOutput, Memory, by_beams
from attention.modules.attention.padding import zero_padding
from attention.modules.attention.projections import FromHeads, ToHeads
from attention.modules.attention.variables import AttentionVariables
from attention.modules.dropout import dropout_rng
from attention.positions import Rotary
from attention.protocols import Attention, Needs, StatefulCrossAttention, require
from attention.shapes import Sizes, Tree, accumulator
from attention.variants.dense.softmax import Softmax


class MultiHead(nn.Module):
    """Projects to heads, lets each attend, and projects back.

    The parameters have the names and shapes of flax's ``MultiHeadDotProductAttention``; where the
    attention shares projections, ``query`` makes the keys too, or also the values, and there is no
    ``key``, or ``value``; one that has values alone has no ``query``. Training (dropout) is on when
    an rng named "dropout" is given to ``apply``.

    Attributes:
      heads: number of heads H; must divide ``features``.
      attention: a value from ``attention.variants``.
      features: size of all queries together (H·D); the input's M by default.
      rotary: rotary positions for self-attention, or None.
      dtype: compute dtype; parameters are float32.
      kv_heads: heads of keys and values, G, each of which H/G query heads in a row share (Ainslie
        et al. 2023, "GQA"; 1 is Shazeer 2019's multi-query); ``heads`` by default, and always where
        the queries' projection makes the keys.

        >>> import jax, jax.numpy as jnp
        >>> layer = MultiHead(heads=2)
        >>> x_BTM = jnp.ones((1, 5, 8))
        >>> variables = layer.init(jax.random.key(0), x_BTM)
        >>> layer.apply(variables, x_BTM).shape
        (1, 5, 8)
    """

    heads: int
    attention: Attention = Softmax()
    features: int | None = None
    rotary: Rotary | None = None
    dtype: Any = jnp.float32
    kv_heads: int | None = None

    def setup(self) -> None:
        projections = self.attention.capabilities.projections
        if projections != "values":
            self.query = ToHeads(self.heads, self.features, self.dtype)
        if projections == "apart":
            self.key = ToHeads(self.heads, self.features, self.dtype, self.kv_heads)
        if projections != "one":
            self.value = ToHeads(self.heads, self.features, self.dtype, self.kv_heads)
        self.out = FromHeads(self.dtype)
        self.attention_variables = AttentionVariables(self.attention, name="own")

    def __call__(
        self,
        x_BQM: jax.Array,
        memory_BKM: jax.Array | None = None,
        mask: Any = None,
        *,
        bias: Any = None,
        shared: Tree = None,
    ) -> jax.Array:
        """Self-attention over x, or cross-attention from x to a memory.

        Args:
          x_BQM: what asks.
          memory_BKM: what is asked; x itself if None.
          mask: who may look at whom (a Mask, a boolean array, or None for all).
          bias: added to the scores: a Bias, or an array broadcastable to [B, H, Q, K].
          shared: the attention's parameters that a stack shares; the layer's own if None.

        Returns:
          out_BQM; a query that sees nothing gets the output projection's bias alone.

        Raises:
          NotImplementedError: the attention cannot do what is asked.
          ValueError: the heads do not divide the features, or shapes do not fit.
        """
        for name, x in (("x_BQM", x_BQM), ("memory_BKM", memory_BKM)):
            if x is not None and x.ndim != 3:
                raise ValueError(
                    f"{name} has shape {x.shape}; it needs three axes: batch, length, features"
                )
        if memory_BKM is not None:
            memory = self.project_memory(memory_BKM, mask)
            return self.cross(x_BQM, memory, mask, bias=bias, shared=shared)
        self._require(bias=bias is not None)
        x_BTM = zero_padding(x_BQM, mask, queries=True, keys=True)
        pos_BT = jnp.arange(x_BTM.shape[1])[None, :]
        q_BTHD, k_BTHD, v_BTHE = self._project(x_BTM, pos_BT)
        out_BTHE = self._gather(q_BTHD, k_BTHD, v_BTHE, mask, bias, x_BTM, shared)
        return self.out(out_BTHE, x_BTM.shape[-1])

    def project_memory(self, memory_BKM: jax.Array, mask: Any = None) -> Memory:
        """Keys and values of a memory, to be projected once and asked many times by ``cross``."""
        self._require(cross=True)
        memory_BKM = zero_padding(memory_BKM, mask, keys=True)
        return self._keys_and_values(memory_BKM)

    def cross(
        self,
        x_BQM: jax.Array,
        memory: Memory,
        mask: Any = None,
        *,
        bias: Any = None,
        shared: Tree = None,
    ) -> jax.Array:
        """Cross-attention from x to what ``project_memory`` made."""
        return self.cross_with_state(x_BQM, memory, mask, bias=bias, shared=shared)[0]

    def cross_with_state(
        self,
        x_BQM: jax.Array,
        memory: Memory,
        mask: Any = None,
        *,
        bias: Any = None,
        shared: Tree = None,
        alignment_state: Tree = None,
    ) -> tuple[jax.Array, Tree]:
        """Cross-attention of the next queries, by an attention that may keep an alignment.

        Args:
          x_BQM: the next queries of one or more beams of each row, which stand one after another;
            all queries where there is no ``alignment_state``.
          memory: from ``project_memory``.
          mask: as in ``__call__``.
          bias: as in ``__call__``.
          shared: as in ``__call__``.
          alignment_state: from ``start_cross`` or the last queries, or None.

        Returns:
          out_BQM, and the alignment's state after these queries.
        """
        out_BQHE, alignment_state = self._cross(x_BQM, memory, mask, bias, shared, alignment_state)
        return self.out(out_BQHE, x_BQM.shape[-1]), alignment_state

    def cross_with_weights(
        self,
        x_BQM: jax.Array,
        memory: Memory,
        mask: Any = None,
        *,
        bias: Any = None,
        shared: Tree = None,
        alignment_state: Tree = None,
    ) -> CrossAttentionOutput:
        """As ``cross_with_state``, and the weight of each key, which copying needs.

        All attentions are linear in the values, so the weights are the output for the identity. It
        goes through the same sums as the values, beside them; cost: K more features a head.
        """
        k_BKHD, v_BKHE = memory
        batch, length, heads, size = v_BKHE.shape
        eye_1K1K = jnp.eye(length, dtype=v_BKHE.dtype)[None, :, None]
        eye_BKHK = jnp.broadcast_to(eye_1K1K, (batch, length, heads, length))
        v_BKHX = jnp.concatenate([v_BKHE, eye_BKHK], axis=-1)
        out_BQHX, alignment_state = self._cross(
            x_BQM, (k_BKHD, v_BKHX), mask, bias, shared, alignment_state
        )
        out_BQHE, weights_BQHK = jnp.split(out_BQHX, [size], axis=-1)
        weights_BQK = weights_BQHK.astype(accumulator(self.dtype)).mean(axis=2)
        out_BQM = self.out(out_BQHE, x_BQM.shape[-1])
        return CrossAttentionOutput(out_BQM, weights_BQK, alignment_state)

    def _cross(
        self,
        x_BQM: jax.Array,
        memory: Memory,
        mask: Any,
        bias: Any,
        shared: Tree,
        alignment_state: Tree,
    ) -> tuple[jax.Array, Tree]:
        """The heads' outputs, and the alignment's state."""
        self._require(cross=True, bias=bias is not None)
        x_BQM = zero_padding(x_BQM, mask, queries=True)
        q_BQHD = self.query(x_BQM)
        if not (alignment_state and isinstance(self.attention, StatefulCrossAttention)):
            out_BQHE = self._gather(q_BQHD, *memory, mask, bias, x_BQM, shared)
            return out_BQHE, alignment_state
        params, state = self.attention_variables(self._sizes(x_BQM.shape[-1]), shared)
        step = partial(self.attention.extend_cross, params, state)
        return by_beams(step, alignment_state, self._repeat_heads(q_BQHD, *memory), mask)

    def start_cross(self, memory: Memory, model_size: int) -> Tree:
        """The state before the first query; nothing, unless the attention keeps an alignment."""
        if not isinstance(self.attention, StatefulCrossAttention):
            return {}
        sizes, (batch, length, *_) = self._sizes(model_size), memory[0].shape
        params, state = self.attention_variables(sizes)
        return self.attention.start_cross(params, state, sizes, batch, length, self.dtype)

    def start(self, batch: int, length: int, model_size: int) -> Tree:
        """An empty cache of ``length`` positions for ``extend``."""
        self._require(cached=True)
        if self.attention.capabilities.decoding == "recompute":
            if self.attention.capabilities.causal == "values only":
                warnings.warn(
                    f"{type(self.attention).__name__} works out the prefix again at each step of "
                    "decoding; what it selects can differ from training, which saw later tokens",
                    stacklevel=2,
                )
            return prefix_cache.empty(batch, length, model_size, self.dtype)
        sizes = self._sizes(model_size)
        params, state = self.attention_variables(sizes)
        return self.attention.init_cache(params, state, sizes, batch, length, self.dtype)

    def extend(
        self,
        cache: Tree,
        x_BQM: jax.Array,
        pos_BQ: jax.Array,
        mask: Any = None,
        *,
        bias: Bias | None = None,
    ) -> tuple[jax.Array, Tree]:
        """Causal self-attention of the next Q positions, at ``pos_BQ``, after those cached.

        Where the prefix is worked out again, its positions count from 0.
        """
        self._require(cached=True, bias=bias is not None)
        if self.attention.capabilities.decoding == "recompute":
            cache, at_BQ = prefix_cache.appended(cache, x_BQM)
            so_far = Causal() & Lengths(cache["index_B"]) & as_mask(mask)
            out_BTM = self(cache["x_BTM"], mask=so_far, bias=bias)
            return jnp.take_along_axis(out_BTM, at_BQ[..., None], axis=1), cache
        q_BQHD, k_BQHD, v_BQHE = self._repeat_heads(*self._project(x_BQM, pos_BQ))
        params, state = self.attention_variables(self._sizes(x_BQM.shape[-1]))
        out_BQHE, cache = self.attention.extend(
            params, state, cache, q_BQHD, k_BQHD, v_BQHE, mask, bias=bias, x_BTM=x_BQM
        )
        return self.out(out_BQHE, x_BQM.shape[-1]), cache

    def _project(self, x_BTM: jax.Array, pos_BT: jax.Array) -> tuple[jax.Array, ...]:
        if self.attention.capabilities.projections == "values":
            return (self.value(x_BTM),) * 3
        q_BTHD = self.query(x_BTM)
        k_BTHD, v_BTHE = self._keys_and_values(x_BTM, q_BTHD)
        if self.rotary is not None:
            q_BTHD, k_BTHD = (self.rotary.rotate(y, pos_BT) for y in (q_BTHD, k_BTHD))
        return q_BTHD, k_BTHD, v_BTHE

    def _keys_and_values(
        self, memory_BKM: jax.Array, q_BKHD: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array]:
        """Keys and values; ``q_BKHD`` are the memory's own queries, if they are at hand."""
        projections = self.attention.capabilities.projections
        if projections == "apart":
            return self.key(memory_BKM), self.value(memory_BKM)
        k_BKHD = self.query(memory_BKM) if q_BKHD is None else q_BKHD
        return k_BKHD, k_BKHD if projections == "one" else self.value(memory_BKM)

    def _gather(
        self,
        q_BQHD: jax.Array,
        k_BKHD: jax.Array,
        v_BKHE: jax.Array,
        mask: Any,
        bias: Any,
        x_BQM: jax.Array,
        shared: Tree,
    ) -> jax.Array:
        q_BQHD, k_BKHD, v_BKHE = self._repeat_heads(q_BQHD, k_BKHD, v_BKHE)
        rng = dropout_rng(self)
        params, state = self.attention_variables(self._sizes(x_BQM.shape[-1]), shared)
        inputs = (params, state, q_BQHD, k_BKHD, mask, as_bias(bias), x_BQM)
        self.sow("intermediates", "attended", inputs)
        out_BQHE, state = self.attention.attend(
            params, state, q_BQHD, k_BKHD, v_BKHE, mask, bias=bias, x_BTM=x_BQM, rng=rng
        )
        self.attention_variables.keep(state)
        return out_BQHE

    def _require(self, **needs: bool) -> None:
        shared_heads = self.kv_heads not in (None, self.heads)
        rotary = self.rotary is not None and not needs.get("cross")
        require(self.attention, Needs(shared_heads=shared_heads, rotary=rotary, **needs))

    def _sizes(self, model_size: int) -> Sizes:
        size = (self.features or model_size) // self.heads
        kv_heads = self.kv_heads if self.attention.capabilities.grouped else None
        return Sizes(self.heads, size, size, model_size, kv_heads)

    def _repeat_heads(
        self, q_BQHD: jax.Array, k_BKGD: jax.Array, v_BKGE: jax.Array
    ) -> tuple[jax.Array, ...]:
        """Keys and values for as many heads as the attention wants."""
        if self.attention.capabilities.grouped or k_BKGD.shape[2] == self.heads:
            return q_BQHD, k_BKGD, v_BKGE
        times = self.heads // k_BKGD.shape[2]
        return q_BQHD, *(jnp.repeat(x, times, axis=2) for x in (k_BKGD, v_BKGE))
