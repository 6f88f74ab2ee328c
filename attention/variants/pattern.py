"""What attentions share that are softmax attention under a pattern of their own.

Such a variant is its parameters, its ``pattern``, and for decoding from a cache how far back a
query may look; the functions here are its methods:

    class Dilated:
        init, attend, start, extend = pattern.init, pattern.attend, pattern.start, pattern.extend
"""

from __future__ import annotations

from typing import Any, Protocol

import jax

from attention.kernels import cache as cache_of_heads
from attention.kernels import check_heads, softmax_attention
from attention.masks import Causal, Mask, PerHead, as_mask, conjuncts
from attention.shapes import Abilities, Sizes, Tree, check_one_sequence
from attention.variants.refusals import check_cached


class Pattern(Protocol):
    """The attention of a pattern."""

    @property
    def abilities(self) -> Abilities: ...

    @property
    def dropout_rate(self) -> float: ...

    @property
    def kernel(self) -> str: ...

    def pattern(self, heads: int) -> Mask:
        """Who may look at whom, for so many heads."""
        ...

    def reach(self) -> int | None:
        """How many positions before its own a query may see; None for all of them."""
        ...


def init(self: Pattern, rng: jax.Array, sizes: Sizes) -> tuple[Tree, Tree]:
    """No parameters and no state."""
    return {}, {}


def attend(
    self: Pattern,
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
    return attend_under(self, own, q_BQHD, k_BKHD, v_BKHE, mask, bias, rng), state


def attend_under(
    attend: Any,
    own: Mask,
    q_BQHD: jax.Array,
    k_BKHD: jax.Array,
    v_BKHE: jax.Array,
    mask: Any,
    bias: Any,
    rng: jax.Array | None,
) -> jax.Array:
    """Softmax attention of one sequence under a mask and a variant's own."""
    check_one_sequence(attend, q_BQHD, k_BKHD)
    if attend.abilities.causal == "no":
        check_both_ways(attend, mask)
    return softmax_attention(
        q_BQHD,
        k_BKHD,
        v_BKHE,
        as_mask(mask) & own,
        bias=bias,
        dropout_rate=attend.dropout_rate,
        rng=rng,
        kernel=attend.kernel,
    )


def start(
    self: Pattern, params: Tree, state: Tree, sizes: Sizes, batch: int, length: int, dtype: Any
) -> Tree:
    """A ring for as many positions as a query may look back, or room for all."""
    check_cached(self)
    reach = self.reach()
    room = length if reach is None else max(1, min(reach, length))
    return cache_of_heads.empty(sizes, batch, room, dtype)


def extend(
    self: Pattern,
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
    check_cached(self)
    near = as_mask(mask) & self.pattern(q_BQHD.shape[2])
    check_heads(near, q_BQHD.shape[2])
    step = cache_of_heads.extend if self.reach() is None else cache_of_heads.extend_ring
    return step(cache, q_BQHD, k_BQHD, v_BQHE, near, bias=bias)


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
            f"Strided{attend.abilities.remedy}"
        )
