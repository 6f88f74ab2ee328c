"""The base of attentions by kernelised products: each is how it gathers what was read."""

from __future__ import annotations

import abc
from typing import Any

import jax

from attention.protocols import Attention
from attention.shapes import Tree
from attention.variants.linear import kernelised as reordered
from attention.variants.refusals import check_no_bias, check_own_heads


class ProductAttention(Attention):
    """Attention whose weights are products of features of queries and of keys."""

    @abc.abstractmethod
    def gathered(
        self, params: Tree, state: Tree, asked: reordered.Read, x_BTM: jax.Array | None
    ) -> tuple[jax.Array, Tree]:
        """The output in the dtype of what was read, and the cache, if there is one."""

    def attend(
        self,
        params: Tree,
        state: Tree,
        q_BQHD: jax.Array,
        k_BKHD: jax.Array,
        v_BKHE: jax.Array,
        mask: Any,
        *,
        bias: Any = None,
        x_BTM: jax.Array | None = None,
        rng: jax.Array | None = None,
    ) -> tuple[jax.Array, Tree]:
        """Gathers values; the mask is one that ``masks.plainly`` reads."""
        check_no_bias(self, bias)
        check_own_heads(self, q_BQHD, k_BKHD, v_BKHE)
        asked = reordered.read(self, q_BQHD, k_BKHD, v_BKHE, mask)
        out_BQHE, _ = self.gathered(params, state, asked, x_BTM)
        return out_BQHE.astype(v_BKHE.dtype), state

    def extend(
        self,
        params: Tree,
        state: Tree,
        cache: Tree,
        q_BQHD: jax.Array,
        k_BQHD: jax.Array,
        v_BQHE: jax.Array,
        mask: Any,
        *,
        bias: Any = None,
        x_BTM: jax.Array | None = None,
    ) -> tuple[jax.Array, Tree]:
        """Adds Q positions to the sums that are kept, and attends from them, causally."""
        check_no_bias(self, bias)
        asked = reordered.read(self, q_BQHD, k_BQHD, v_BQHE, mask, cache)
        out_BQHE, cache = self.gathered(params, state, asked, x_BTM)
        return out_BQHE.astype(v_BQHE.dtype), cache
