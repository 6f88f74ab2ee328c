"""Softmax attention under a pattern: the base of attentions that are a mask and nothing else."""

from __future__ import annotations

import abc
from typing import Any

import jax

from attention.kernels import check_heads, softmax_attention
from attention.kernels.decode import cache as cache_of_heads
from attention.masks import Causal, Mask, PerHead, as_mask, conjuncts
from attention.protocols import Attention, refusal_of_cache
from attention.shapes import Sizes, Tree, check_one_sequence


class PatternAttention(Attention):
    """Softmax attention under a pattern.

    A variant is its fields, its ``pattern`` and, for decoding from a cache, its ``reach``.

    Attributes:
      dropout_rate: share of attention weights dropped in training.
      kernel: how it is computed, see ``attention.kernels.softmax_attention``.
    """

    dropout_rate: float
    kernel: str

    @abc.abstractmethod
    def pattern(self, heads: int) -> Mask:
        """Who may look at whom, for so many heads."""

    def reach(self) -> int | None:
        """How many positions before its own a query may see; None for all of them."""
        return None

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
        """Gathers values; ``rng`` given means training (dropout)."""
        own = self.pattern(q_BQHD.shape[2])
        return self.attend_under(own, q_BQHD, k_BKHD, v_BKHE, mask, bias, rng), state

    def start(
        self, params: Tree, state: Tree, sizes: Sizes, batch: int, length: int, dtype: Any
    ) -> Tree:
        """A ring for as many positions as a query may look back, or room for all."""
        self._check_cached()
        reach = self.reach()
        room = length if reach is None else max(1, min(reach, length))
        return cache_of_heads.empty(sizes, batch, room, dtype)

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
        """Attends causally from Q new positions to what is kept and to themselves; keeps them."""
        self._check_cached()
        near = as_mask(mask) & self.pattern(q_BQHD.shape[2])
        check_heads(near, q_BQHD.shape[2])
        step = cache_of_heads.extend if self.reach() is None else cache_of_heads.extend_ring
        return step(cache, q_BQHD, k_BQHD, v_BQHE, near, bias=bias)

    def attend_under(
        self,
        own: Mask,
        q_BQHD: jax.Array,
        k_BKHD: jax.Array,
        v_BKHE: jax.Array,
        mask: Any,
        bias: Any,
        rng: jax.Array | None,
    ) -> jax.Array:
        """Softmax attention of one sequence under a mask and a variant's own."""
        check_one_sequence(self, q_BQHD, k_BKHD)
        if self.capabilities.causal == "no":
            check_both_ways(self, mask)
        return softmax_attention(
            q_BQHD,
            k_BKHD,
            v_BKHE,
            as_mask(mask) & own,
            bias=bias,
            dropout_rate=self.dropout_rate,
            rng=rng,
            kernel=self.kernel,
        )

    def _check_cached(self) -> None:
        if self.capabilities.decoding != "cached":
            raise refusal_of_cache(self)


def halves(attend: Any, first: Mask, second: Mask, heads: int) -> PerHead:
    """One mask for the first half of the heads, one more of an odd number, another for the rest.

    Raises:
      ValueError: there is one head only.
    """
    if heads < 2:
        raise ValueError(
            f"{type(attend).__name__}(split=True): needs two heads or more, got {heads}; "
            "use split=False, which lets every head see both"
        )
    return PerHead((first,) * (heads - heads // 2) + (second,) * (heads // 2))


def check_both_ways(attend: Any, mask: Any, since: str = "chosen tokens see all others") -> None:
    """Raises NotImplementedError where a causal mask is asked of what sees both ways."""
    if mask is not None and any(isinstance(part, Causal) for part in conjuncts(as_mask(mask))):
        raise NotImplementedError(
            f"{type(attend).__name__} cannot attend causally, since {since}; use Local or "
            f"Strided{attend.capabilities.remedy}"
        )
