"""An attention, and what is expected of it: what a law is run over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import flax.linen as nn

from attention import MultiHead
from attention.masks import Mask
from attention.modules.mixing import TokenMixing
from attention.protocols import Attention, TokenMixer
from attention.shapes import Sizes


@dataclass(frozen=True)
class Case:
    """An attention, and what is expected of it.

    Attributes:
      name: stands in the tests' names.
      attend: what is tested.
      reference: float64 NumPy, called as ``reference(q, k, v, see=see, bias=bias)``, with key and
        value heads repeated to the queries'; and with ``params=``, ``state=`` and ``x_BTM=`` where
        the attention has any. Of a case with a ``module``: ``reference(params, x, memory, see)``.
      module: makes the layer in which it is tested, given heads, attend, features and dtype; None
        tests the attention alone (law 5 puts it into a MultiHead all the same). For mixers, which
        are tested in layers only, see ``mixing``.
      sizes: to draw from; odd numbers of heads among them. Heads are of keys and values.
      lengths: to draw from, in tokens; no multiples of a block.
      groups: heads of queries for one head of keys and values.
      only: the places to test, of encoder, decoder and cross; by default all that are declared.
      masks: the kinds of mask it takes, see ``masks.MAKERS``; padding is never optional.
      padded: the one of them with padding at the end, under which costs and transforms are tested.
      loops: whether every node sees itself too, whatever edges are in the mask.
      bias: makes a bias from (random, heads, q_len, k_len); None lets the laws draw arrays.
      pattern: the attention's own mask, of which no query sees more than it shows; or made from
        what the mask given shows, bool [B, H, Q, K].
      linear: whether all values come from v, so that the output is linear in it.
      mixes: whether channels mix, so that the effective matrix holds norms of derivatives.
      sums_to_one: whether the weights of a row do.
      last_resort: whether a token sees itself only where it sees no other.
      grown: the attention for a length, where it is made for one: what costs are measured of.
      multiply_adds: the greatest exponent, in the length, that its multiply-adds may have.
      temporary_bytes: the same of temporary memory.
      compiled: the two lengths, in tokens, between which temporary memory is compared.
    """

    name: str
    attend: Attention | TokenMixer
    reference: Callable
    module: Callable[..., nn.Module] | None = None
    sizes: tuple[Sizes, ...] = (Sizes(3, 4, 5, 12), Sizes(1, 2, 3, 2), Sizes(5, 2, 1, 10))
    lengths: tuple[int, ...] = (7, 1, 10)
    groups: int = 1
    only: tuple[str, ...] = ("encoder", "decoder", "cross")
    masks: tuple[str, ...] = ("all", "lengths", "gaps", "segments", "window", "any")
    padded: str = "lengths"
    loops: bool = False
    bias: Callable[..., Any] | None = None
    pattern: Mask | Callable[[Any], Mask] | None = None
    linear: bool = True
    mixes: bool = False
    sums_to_one: bool = True
    last_resort: bool = False
    grown: Callable[[int], Attention | TokenMixer] | None = None
    multiply_adds: float = 2.0
    temporary_bytes: float = 2.0
    compiled: tuple[int, int] = (1024, 4096)

    def __str__(self) -> str:
        return self.name

    @property
    def places(self) -> tuple[str, ...]:
        """Where it may stand, by what it declares."""
        declared = {
            "encoder": self.attend.capabilities.decoding != "stateful",
            "decoder": self.attend.capabilities.causal != "no",
            "cross": self.attend.capabilities.cross,
        }
        return tuple(place for place in self.only if declared[place])

    def in_multi_head(self) -> Case:
        """The same within a MultiHead."""
        if self.module is not None:
            return self
        return replace(self, name=f"{self.name}-in-multi-head", module=MultiHead)


def mixing(heads: int, attention: TokenMixer, features: int, dtype: Any) -> TokenMixing:
    """The layer of a mixer, as ``Case.module``."""
    return TokenMixing(heads, attention, dtype)
