"""Lists of the best sequences of every row: chosen, merged and put in order."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax


class Beams(NamedTuple):
    """The N best sequences of a row: finished ones first, either kind from best to worst.

    Where a row has fewer than N sequences the rest is empty: all pad, length 0, score -inf.

    Attributes:
      tokens_BNT: int32, without bos; eos included if it came, pad after it.
      lengths_BN: int32, tokens including eos.
      scores_BN: log-probability over the length penalty; what is ranked.
      log_probs_BN: summed log-probability of the tokens, in nats.
    """

    tokens_BNT: jax.Array
    lengths_BN: jax.Array
    scores_BN: jax.Array
    log_probs_BN: jax.Array


def best_of(kept: Beams, new: Beams) -> Beams:
    """The best of both; among equals what was kept stays."""
    both = jax.tree.map(lambda k, n: jnp.concatenate([k, n], axis=1), kept, new)
    return ranked(both, kept.scores_BN.shape[1])


def ranked(found: Beams, nbest: int) -> Beams:
    """The ``nbest`` sequences of each row by their scores, from best to worst; at most all."""
    _, order_BN = lax.top_k(found.scores_BN, min(nbest, found.scores_BN.shape[1]))
    return jax.tree.map(lambda x: pick(x, order_BN), found)


def in_order(finished: Beams, unfinished: Beams, pad: int) -> Beams:
    """Finished sequences, then unfinished ones in the places left; what is impossible is empty."""
    nbest = finished.scores_BN.shape[1]
    count_B1 = jnp.sum(finished.scores_BN > -jnp.inf, axis=1, keepdims=True)
    place_1N = jnp.arange(nbest)[None]
    order_BN = jnp.where(place_1N < count_B1, place_1N, nbest + place_1N - count_B1)
    both = jax.tree.map(lambda f, u: jnp.concatenate([f, u], axis=1), finished, unfinished)
    found = jax.tree.map(lambda x: pick(x, order_BN), both)
    possible_BN = found.scores_BN > -jnp.inf
    return Beams(
        jnp.where(possible_BN[:, :, None], found.tokens_BNT, pad),
        jnp.where(possible_BN, found.lengths_BN, 0),
        jnp.where(possible_BN, found.scores_BN, -jnp.inf),
        jnp.where(possible_BN, found.log_probs_BN, -jnp.inf),
    )


def pick(x: jax.Array, order_BN: jax.Array) -> jax.Array:
    """Takes x[b, order[b, n]] for an x of two axes or more."""
    order = order_BN.reshape(order_BN.shape + (1,) * (x.ndim - 2))
    return jnp.take_along_axis(x, order, axis=1, mode="clip")
