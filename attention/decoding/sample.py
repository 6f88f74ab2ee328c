"""Sampling: temperature, top-k (Fan et al. 2018) and top-p, the nucleus (Holtzman et al. 2020)."""

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from attention.decoding.greedy import Decoded, follow
from attention.decoding.ranking import top_k
from attention.decoding.steps import Cache, Grow, Narrow, Step

_draw = jax.vmap(jax.random.categorical)


@dataclass(frozen=True)
class Sampler:
    """Draws the next token: the temperature first, then top-k, then top-p of what is left.

    Attributes:
      temperature: logits are divided by it; 0 takes the most probable token.
      top_k: tokens kept, the most probable ones; 0 keeps all.
      top_p: keeps the fewest most probable tokens whose probabilities sum to it, in (0, 1].

    Raises:
      ValueError: a field is out of range.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.temperature < math.inf:
            raise ValueError(f"temperature is {self.temperature}; it needs to be 0 or above")
        if self.top_k < 0:
            raise ValueError(f"top_k is {self.top_k}; it needs to be 0 (all tokens) or above")
        if not 0.0 < self.top_p <= 1.0:
            raise ValueError(f"top_p is {self.top_p}; it needs to be above 0 and at most 1")

    def choose(self, logits_BV: jax.Array, rng_B: jax.Array) -> jax.Array:
        """Draws one token a row, each with its own key."""
        if self.temperature == 0:
            return top_k(logits_BV, 1)[1][:, 0]
        vocabulary = logits_BV.shape[1]
        kept = min(self.top_k or vocabulary, vocabulary)
        if kept == vocabulary and self.top_p == 1:
            return _draw(rng_B, self._scaled(logits_BV))
        # Sorted, best first: a nucleus is then a prefix, and the draw is among few.
        logits_BK, token_BK = top_k(logits_BV, kept)
        scaled_BK = self._scaled(logits_BK)
        if self.top_p < 1:
            prob_BK = jax.nn.softmax(scaled_BK, axis=-1)
            before_BK = jnp.cumsum(prob_BK, axis=-1) - prob_BK
            scaled_BK = jnp.where(before_BK < self.top_p, scaled_BK, -jnp.inf)
        drawn_B = _draw(rng_B, scaled_BK)
        return jnp.take_along_axis(token_BK, drawn_B[:, None], axis=1, mode="clip")[:, 0]

    def _scaled(self, logits_BV: jax.Array) -> jax.Array:
        """Logits below their maximum, over the temperature: no overflow however cold it is."""
        top_B1 = logits_BV.max(-1, keepdims=True)
        return (logits_BV - jnp.where(jnp.isneginf(top_B1), 0, top_B1)) / self.temperature


def sample(
    step: Step,
    cache: Cache,
    *,
    rng: jax.Array,
    sampler: Sampler = Sampler(),
    batch: int,
    bos: int,
    eos: int,
    pad: int,
    max_length: int,
    limit_B: Any = None,
    index_B: Any = None,
    grow: Grow | None = None,
    narrow: Narrow | None = None,
) -> Decoded:
    """Draws every next token from the model's distribution as the sampler reshapes it.

    A row draws from ``rng`` folded with its index, then with the step, so that its sample does not
    depend on the batch it is in, if it has the same index and the same logits there.

    Args:
      step: reads a token a row, gives the next one's logits and the cache (see ``Step``).
      cache: what the step starts from; every leaf has the batch first.
      rng: a typed key.
      sampler: how the distribution is reshaped.
      batch: number of rows, B.
      bos: the token read first.
      eos: the token that ends a row.
      pad: what stands after the end.
      max_length: most tokens of a row, eos included, T.
      limit_B: integers, each row's own maximum in [0, T]; it ends there, with or without eos.
      index_B: integers that name the rows, as an example's number does; 0 to B - 1 by default.
      grow: gives a cache more room, if ``cache`` has not room for all T tokens yet; it is asked
        again as rows get longer, so that a cache is never much larger than what it holds.
      narrow: gives the step for some rows alone, by their indices, where the step closes over what
        differs by row; few rows that are left then run on without those that have ended.

    Returns:
      Decoded; its scores are log-probabilities under the model, before any reshaping.

    Raises:
      ValueError: a size, a shape or a special token is out of range; the text says which.
    """
    index_B = jnp.arange(batch) if index_B is None else jnp.asarray(index_B)
    if index_B.shape != (batch,):
        raise ValueError(
            f"index_B has shape {index_B.shape}; it needs one number for each of {batch} rows"
        )
    rng_B = jax.vmap(jax.random.fold_in, (None, 0))(rng, index_B)
    fold_step = jax.vmap(jax.random.fold_in, (0, None))
    return follow(
        step,
        cache,
        lambda logits_BV, t, rng_B: sampler.choose(logits_BV, fold_step(rng_B, t)),
        rng_B,
        batch=batch,
        bos=bos,
        eos=eos,
        pad=pad,
        max_length=max_length,
        limit_B=limit_B,
        grow=grow,
        narrow=narrow,
    )
