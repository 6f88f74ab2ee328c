"""The base of attentions: ways for queries to gather values."""

import abc
from typing import Any, final

import jax

from attention.biases import Bias
from attention.errors import UnsupportedError
from attention.kernels.inputs import Inputs, RowsOfBias, is_causal, read_inputs
from attention.masks import as_mask
from attention.protocols.capabilities import Needs, require, unsupported
from attention.protocols.variant import Variant
from attention.shapes import Sizes, Tree


class Attention(Variant):
    """A way for queries to gather values: a frozen, hashable dataclass of hyperparameters.

    A variant defines ``capabilities`` and ``_attend``, which is pure, and linear in the values; and
    ``init_cache`` and ``_extend`` where it declares cached decoding.
    """

    @final
    def attend(
        self,
        params: Tree,
        state: Tree,
        q_BQHD: jax.Array,
        k_BKHD: jax.Array,
        v_BKHE: jax.Array,
        mask: Any = None,
        *,
        bias: Any = None,
        x_BTM: jax.Array | None = None,
        rng: jax.Array | None = None,
    ) -> tuple[jax.Array, Tree]:
        """Gathers values.

        Args:
          params, state: what ``init`` made, without the names of axes.
          q_BQHD, k_BKHD, v_BKHE: queries, keys and values, floating; padding in them may be
            anything. Where ``capabilities.grouped``, H may be a multiple of the others' heads.
          mask: a Mask, a boolean array (True means "may attend"), or None for all.
          bias: added to the scores: a Bias, or an array broadcastable to [B, H, Q, K].
          x_BTM: the layer's input, where ``capabilities.needs_x``.
          rng: a typed key; given means training.

        Returns:
          out_BQHE in v's dtype, zero where a query sees nothing; and the state.

        Raises:
          ValueError, TypeError: shapes or dtypes do not fit.
          NotImplementedError: the attention does not declare what is needed.
        """
        inputs = self._read(q_BQHD, k_BKHD, v_BKHE, mask, bias, x_BTM)
        return self._attend(params, state, inputs, rng)

    @final
    def gather(
        self,
        params: Tree,
        state: Tree,
        q_BQHD: jax.Array,
        k_BKHD: jax.Array,
        v_BKHE: jax.Array,
        mask: Any = None,
        *,
        bias: Any = None,
        x_BTM: jax.Array | None = None,
    ) -> tuple[jax.Array, Tree]:
        """As ``attend``, without training; where values take two ways, both take these."""
        inputs = self._read(q_BQHD, k_BKHD, v_BKHE, mask, bias, x_BTM)
        return self._gather(params, state, inputs)

    @final
    def extend(
        self,
        params: Tree,
        state: Tree,
        cache: Tree,
        q_BQHD: jax.Array,
        k_BQHD: jax.Array,
        v_BQHE: jax.Array,
        mask: Any = None,
        *,
        bias: Any = None,
        x_BTM: jax.Array | None = None,
    ) -> tuple[jax.Array, Tree]:
        """Attends causally from Q new positions to those cached and to themselves.

        Args:
          params, state, mask, bias, x_BTM: as for ``attend``; masks and biases speak of positions
            from the first one cached on, but an array's rows are the new queries.
          cache: from ``init_cache``, or from the last call.
          q_BQHD, k_BQHD, v_BQHE: queries, keys and values of the new positions.

        Returns:
          out_BQHE, and the cache with the new positions.
        """
        if bias is not None:
            require(self, Needs(bias=True))
        added = bias if bias is None or isinstance(bias, Bias) else RowsOfBias(bias)
        inputs = Inputs(q_BQHD, k_BQHD, v_BQHE, as_mask(mask), added, x_BTM)
        self._check(inputs.mask, q_BQHD.shape[1])
        return self._extend(params, state, cache, inputs)

    @abc.abstractmethod
    def _attend(
        self, params: Tree, state: Tree, inputs: Inputs, rng: jax.Array | None
    ) -> tuple[jax.Array, Tree]:
        """``attend`` of inputs that are checked and zero at padding."""

    def _gather(self, params: Tree, state: Tree, inputs: Inputs) -> tuple[jax.Array, Tree]:
        return self._attend(params, state, inputs, None)

    def _extend(
        self, params: Tree, state: Tree, cache: Tree, inputs: Inputs
    ) -> tuple[jax.Array, Tree]:
        """``extend``; padding in the inputs may be anything."""
        raise self._no_cache()

    def _read(self, q: Any, k: Any, v: Any, mask: Any, bias: Any, x: Any) -> Inputs:
        """The inputs, if the attention can serve them."""
        can, name, mask = self.capabilities, type(self).__name__, as_mask(mask)
        cross = can.cross or q.shape[1:2] != k.shape[1:2]
        require(self, Needs(causal=is_causal(mask), cross=cross, bias=bias is not None))
        self._check(mask, k.shape[1])
        inputs = read_inputs(q, k, v, mask, bias, x)
        (_, q_len, heads, _), (_, k_len, kv_heads, _) = q.shape, k.shape
        if inputs.causal and can.masks != "any" and q_len != k_len:
            sides = f"{q_len} queries to {k_len} keys"
            raise unsupported(self, f"attend causally across two sequences, {sides}")
        if heads != kv_heads and not can.grouped:
            raise UnsupportedError(
                f"{name} cannot share {kv_heads} heads of keys among {heads} of queries; use "
                "Softmax, or repeat them as MultiHead does"
            )
        if can.needs_x and x is None:
            raise ValueError(f"{name}: x_BTM is missing; give it the layer's input")
        return inputs


class StatefulCrossAttention(Attention):
    """A cross attention whose queries go in order, each with the state that the last one left.

    ``start_cross`` is the state before the first query, every leaf with the batch first;
    ``extend_cross`` gives the outputs of the next Q queries, and the state after them. ``attend``
    is both, of all queries.
    """

    @abc.abstractmethod
    def start_cross(
        self, params: Tree, state: Tree, sizes: Sizes, batch: int, k_len: int, dtype: Any
    ) -> Tree:
        """The state before the first query."""

    @abc.abstractmethod
    def extend_cross(
        self,
        params: Tree,
        state: Tree,
        alignment: Tree,
        q_BQHD: jax.Array,
        k_BKHD: jax.Array,
        v_BKHE: jax.Array,
        mask: Any = None,
    ) -> tuple[jax.Array, Tree]:
        """The outputs of the next Q queries to all keys, and the state after them."""
