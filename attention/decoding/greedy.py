"""Greedy decoding, and the loop that any choice of one next token for each row runs in."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from attention.decoding.ranking import log_normaliser, top_k
from attention.decoding.steps import Cache, Grow, Narrow, Step, check_step, limits, run


class Decoded(NamedTuple):
    """One sequence a row.

    Attributes:
      tokens_BT: int32, without bos; eos included if it came, pad after it.
      lengths_B: int32, tokens including eos.
      scores_B: summed log-probability of the tokens, in nats.
    """

    tokens_BT: jax.Array
    lengths_B: jax.Array
    scores_B: jax.Array


def greedy(
    step: Step,
    cache: Cache,
    *,
    batch: int,
    bos: int,
    eos: int,
    pad: int,
    max_length: int,
    limit_B: Any = None,
    grow: Grow | None = None,
    narrow: Narrow | None = None,
) -> Decoded:
    """Follows the most probable token of every step, until eos or the row's limit.

    A row's result never depends on the other rows. Among equals the lowest token wins.

    Args:
      step: reads a token a row, gives the next one's logits and the cache (see ``Step``).
      cache: what the step starts from; every leaf has the batch first.
      batch: number of rows, B.
      bos: the token read first.
      eos: the token that ends a row.
      pad: what stands after the end.
      max_length: most tokens of a row, eos included, T.
      limit_B: integers, each row's own maximum in [0, T]; it ends there, with or without eos.
      grow: gives a cache more room, if ``cache`` has not room for all T tokens yet; it is asked
        again as rows get longer, so that a cache is never much larger than what it holds.
      narrow: gives the step for some rows alone, by their indices, where the step closes over what
        differs by row; few rows that are left then run on without those that have ended.

    Returns:
      Decoded, with T = max_length.

    Raises:
      ValueError: a size, a shape or a special token is out of range; the text says which.

    Cost: as many steps as the longest row has tokens.
    """
    return follow(
        step,
        cache,
        lambda logits_BV, t, extra: top_k(logits_BV, 1)[1][:, 0],
        None,
        batch=batch,
        bos=bos,
        eos=eos,
        pad=pad,
        max_length=max_length,
        limit_B=limit_B,
        grow=grow,
        narrow=narrow,
    )


class _State(NamedTuple):
    last_B: jax.Array
    open_B: jax.Array
    decoded: Decoded
    limit_B: jax.Array
    extra: Any


def follow(
    step: Step,
    cache: Cache,
    choose: Callable[[jax.Array, jax.Array, Any], jax.Array],
    extra: Any,
    *,
    batch: int,
    bos: int,
    eos: int,
    pad: int,
    max_length: int,
    limit_B: Any,
    grow: Grow | None,
    narrow: Narrow | None,
) -> Decoded:
    """Appends ``choose(logits_BV, t, extra)`` to every open row until none is open.

    Every leaf of ``extra`` has the batch first; the other arguments are those of ``greedy``.
    """
    sizes: dict[str, int] = {"batch": batch, "max_length": max_length}
    dtype = check_step(step, cache, bos=bos, eos=eos, pad=pad, grow=grow, **sizes)
    limit_B = limits(limit_B, batch, max_length)

    def advance(step: Step, t: jax.Array, cache: Cache, state: _State) -> tuple[Cache, _State]:
        open_B, decoded = state.open_B, state.decoded
        logits_BV, cache = step(cache, state.last_B)
        logits_BV = logits_BV.astype(dtype)
        chosen_B = choose(logits_BV, t, state.extra).astype(jnp.int32)
        logit_B = jnp.take_along_axis(logits_BV, chosen_B[:, None], axis=1, mode="clip")[:, 0]
        log_prob_B = jnp.minimum(logit_B - log_normaliser(logits_BV), 0)
        token_B = jnp.where(open_B, chosen_B, pad)
        decoded = Decoded(
            lax.dynamic_update_index_in_dim(decoded.tokens_BT, token_B, t, axis=1),
            decoded.lengths_B + open_B,
            decoded.scores_B + jnp.where(open_B, log_prob_B, 0),
        )
        open_B = open_B & (chosen_B != eos) & (t + 1 < state.limit_B)
        return cache, state._replace(last_B=token_B, open_B=open_B, decoded=decoded)

    start = _State(
        last_B=jnp.full((batch,), bos, jnp.int32),
        open_B=limit_B > 0,
        decoded=Decoded(
            jnp.full((batch, max_length), pad, jnp.int32),
            jnp.zeros((batch,), jnp.int32),
            jnp.zeros((batch,), dtype),
        ),
        limit_B=limit_B,
        extra=extra,
    )
    end = run(
        advance,
        lambda t, state: state.open_B,
        step,
        cache,
        start,
        max_length=max_length,
        grow=grow,
        narrow=narrow,
    )
    return end.decoded
