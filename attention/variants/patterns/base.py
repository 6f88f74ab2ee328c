"""Softmax attention under a pattern: the base of attentions that are a mask and nothing else."""

import abc
from typing import Any

import jax

from attention.kernels import Inputs, attend_by_softmax
from attention.kernels.decode import cache as cache_of_heads
from attention.masks import Mask, PerHead
from attention.protocols import Attention, Capabilities, Needs, require
from attention.shapes import Sizes, Tree

CAUSAL = Capabilities(causal="exact", bias=True, decoding="cached", grouped=True, memory="n·d")


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
        """Who may attend to whom, for so many heads."""

    def reach(self) -> int | None:
        """How many positions before its own a query may see; None for all of them."""
        return None

    def _attend(
        self, params: Tree, state: Tree, inputs: Inputs, rng: jax.Array | None
    ) -> tuple[jax.Array, Tree]:
        pattern = self._pattern(inputs)
        pattern.check(inputs.q_BQHD.shape[1], inputs.k_BKHD.shape[1])
        inputs = inputs.under(pattern)
        out_BQHE = attend_by_softmax(
            inputs, dropout_rate=self.dropout_rate, rng=rng, kernel=self.kernel
        )
        return out_BQHE, state

    def init_cache(
        self, params: Tree, state: Tree, sizes: Sizes, batch: int, length: int, dtype: Any
    ) -> Tree:
        """A ring for as many positions as a query may look back, or room for all."""
        require(self, Needs(cached=True))
        reach = self.reach()
        room = length if reach is None else max(1, min(reach, length))
        return cache_of_heads.empty(sizes, batch, room, dtype)

    def _extend(
        self, params: Tree, state: Tree, cache: Tree, inputs: Inputs
    ) -> tuple[jax.Array, Tree]:
        require(self, Needs(cached=True))
        inputs = inputs.under(self._pattern(inputs))
        step = cache_of_heads.extend if self.reach() is None else cache_of_heads.extend_ring
        return step(cache, inputs)

    def _pattern(self, inputs: Inputs) -> Mask:
        return self.pattern(inputs.q_BQHD.shape[2])


def halves(attention: Any, first: Mask, second: Mask, heads: int) -> PerHead:
    """One mask for the first half of the heads, one more of an odd number, another for the rest.

    Raises:
      ValueError: there is one head only.
    """
    if heads < 2:
        raise ValueError(
            f"{type(attention).__name__}(split=True): needs two heads or more, got {heads}; "
            "use split=False, which lets every head see both"
        )
    return PerHead((first,) * (heads - heads // 2) + (second,) * (heads // 2))
