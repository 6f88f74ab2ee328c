"""Beam search with the length penalty of GNMT (Wu et al. 2016, "Google's Neural MT System")."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from attention.decoding.greedy import greedy
from attention.decoding.hypotheses import Beams, best_of, in_order, pick
from attention.decoding.ranking import log_normaliser, top_k
from attention.decoding.steps import (
    Cache,
    Grow,
    Narrow,
    Step,
    check_step,
    limits,
    repeat_rows,
    run,
    where_rows,
)


class _Rows(NamedTuple):
    """What a row has found: unfinished sequences, best first, and finished ones, best first."""

    tokens_BNT: jax.Array
    log_probs_BN: jax.Array
    finished: Beams
    limit_B: jax.Array


def beam_search(
    step: Step,
    cache: Cache,
    *,
    batch: int,
    beams: int,
    bos: int,
    eos: int,
    pad: int,
    max_length: int,
    limit_B: Any = None,
    length_penalty: Any = 0.6,
    nbest: int | None = None,
    grow: Grow | None = None,
    narrow: Narrow | None = None,
) -> Beams:
    """Keeps the ``beams`` most probable unfinished sequences, and the best finished ones apart.

    A sequence Y is ranked by log P(Y) / ((5 + |Y|) / 6)**length_penalty (Wu et al. 2016,
    equation 14, without the coverage term), |Y| counting eos. Of the 2·beams best continuations of
    a step those with eos are finished, and the best ``beams`` others go on. A row stops when its
    worst kept sequence is at least as good as any that an unfinished one can still become: this
    never changes the result. At a row's limit unfinished sequences end as they are, and stand
    after the finished ones where those are fewer than ``nbest``. A single beam is greedy search,
    whatever the penalty. A row's result never depends on the other rows.

    Args:
      step: reads a token a row, gives the next one's logits and the cache (see ``Step``); its
        rows are the beams of the first row, then those of the second.
      cache: what the step starts from, for ``batch`` rows; every leaf has the batch first. It is
        repeated for the beams and gathered after every step, so what no step changes (such as the
        encoder's output) is better kept in the step's closure.
      batch: number of rows, B.
      beams: sequences followed in each row.
      bos: the token read first.
      eos: the token that ends a sequence.
      pad: what stands after the end.
      max_length: most tokens of a sequence, eos included, T.
      limit_B: integers, each row's own maximum in [0, T].
      length_penalty: the exponent; 0 ranks by probability, more favours long, below 0 short ones.
      nbest: sequences returned for each row, N, at most ``beams``, which is the default. Fewer
        are the first of more, found in fewer steps.
      grow: gives a cache more room, if ``cache`` has not room for all T tokens yet; it is asked
        again as rows get longer, so that a cache is never much larger than what it holds.
      narrow: gives the step for some rows alone, by their indices, where the step closes over what
        differs by row; few rows that are left then run on without those that have ended.

    Returns:
      Beams, with T = max_length.

    Raises:
      ValueError: a size, a shape or a special token is out of range; the text says which.

    Cost: at most T steps of B·beams rows.
    """
    nbest = beams if nbest is None else nbest
    tokens: dict[str, int] = {"bos": bos, "eos": eos, "pad": pad}
    sizes = {"batch": batch, "max_length": max_length}
    dtype = check_step(step, cache, beams=beams, grow=grow, **sizes, **tokens)
    if not 1 <= nbest <= beams:
        raise ValueError(f"nbest is {nbest}; it needs to be from 1 to beams, which is {beams}")
    limit_B = limits(limit_B, batch, max_length)
    penalty_T = _penalties(length_penalty, max_length, dtype)
    if beams == 1:
        best = greedy(step, cache, limit_B=limit_B, grow=grow, narrow=narrow, **sizes, **tokens)
        score_B = best.scores_B / penalty_T[best.lengths_B]
        return Beams(
            *(x[:, None] for x in (best.tokens_BT, best.lengths_B, score_B, best.scores_B))
        )

    def open_rows(t: jax.Array, rows: _Rows) -> jax.Array:
        # An unfinished log-probability only falls from here, and being negative it looks best over
        # the largest penalty ahead, which is monotone: that of the next length or of the limit.
        best_B = rows.log_probs_BN[:, 0]
        attainable_B = best_B / jnp.maximum(penalty_T[t + 1], penalty_T[rows.limit_B])
        unbeaten_B = rows.finished.scores_BN[:, -1] < attainable_B
        return (t < rows.limit_B) & (best_B > -jnp.inf) & unbeaten_B

    def advance(step: Step, t: jax.Array, cache: Cache, rows: _Rows) -> tuple[Cache, _Rows]:
        cache, after = _advance(step, t, cache, rows, penalty_T[t + 1], bos=bos, eos=eos)
        return cache, where_rows(open_rows(t, rows), after, rows)

    start = _start(limit_B, beams, nbest, max_length, pad, dtype)
    rows = run(
        advance,
        open_rows,
        step,
        repeat_rows(cache, beams),
        start,
        max_length=max_length,
        grow=grow,
        narrow=narrow,
    )
    unfinished = Beams(
        rows.tokens_BNT[:, :nbest],
        jnp.broadcast_to(limit_B[:, None], (batch, nbest)),
        rows.log_probs_BN[:, :nbest] / penalty_T[limit_B][:, None],
        rows.log_probs_BN[:, :nbest],
    )
    return in_order(rows.finished, unfinished, pad)


def _start(limit_B: jax.Array, beams: int, nbest: int, length: int, pad: int, dtype: Any) -> _Rows:
    """One empty sequence in every row, the other beams being impossible."""
    batch = limit_B.shape[0]
    return _Rows(
        jnp.full((batch, beams, length), pad, jnp.int32),
        jnp.full((batch, beams), -jnp.inf, dtype).at[:, 0].set(0.0),
        Beams(
            jnp.full((batch, nbest, length), pad, jnp.int32),
            jnp.zeros((batch, nbest), jnp.int32),
            jnp.full((batch, nbest), -jnp.inf, dtype),
            jnp.full((batch, nbest), -jnp.inf, dtype),
        ),
        limit_B,
    )


def _advance(
    step: Step,
    t: jax.Array,
    cache: Cache,
    rows: _Rows,
    penalty: jax.Array,
    *,
    bos: int,
    eos: int,
) -> tuple[Cache, _Rows]:
    """Continues every sequence by one token: C = 2·N candidates, of which at most N end."""
    batch, beams, _ = rows.tokens_BNT.shape
    last_BN = lax.dynamic_index_in_dim(rows.tokens_BNT, jnp.maximum(t - 1, 0), 2, keepdims=False)
    logits_RV, cache = step(cache, jnp.where(t == 0, bos, last_BN).reshape(-1))
    logits_RV = logits_RV.astype(rows.log_probs_BN.dtype)
    vocabulary = logits_RV.shape[1]
    # Never above 0, not even by rounding: the bound of the early exit rests on it.
    gain_RV = jnp.minimum(logits_RV - log_normaliser(logits_RV)[:, None], 0)
    total_BX = (rows.log_probs_BN.reshape(-1, 1) + gain_RV).reshape(batch, beams * vocabulary)
    log_probs_BC, index_BC = top_k(total_BX, 2 * beams)
    parent_BC, token_BC = index_BC // vocabulary, index_BC % vocabulary
    tokens_BCT = lax.dynamic_update_index_in_dim(
        pick(rows.tokens_BNT, parent_BC), token_BC, t, axis=2
    )
    ends_BC = token_BC == eos
    ended_BC = jnp.where(ends_BC, log_probs_BC, -jnp.inf)
    ended = Beams(tokens_BCT, jnp.full_like(token_BC, t + 1), ended_BC / penalty, ended_BC)
    log_probs_BN, order_BN = lax.top_k(jnp.where(ends_BC, -jnp.inf, log_probs_BC), beams)
    row_B1 = jnp.arange(batch)[:, None]
    parent_R = (row_B1 * beams + pick(parent_BC, order_BN)).reshape(-1)
    # Indices are in range: "clip" saves the filling of those that are not.
    cache = jax.tree.map(lambda leaf: jnp.take(leaf, parent_R, axis=0, mode="clip"), cache)
    finished = best_of(rows.finished, ended)
    return cache, _Rows(pick(tokens_BCT, order_BN), log_probs_BN, finished, rows.limit_B)


def _penalties(alpha: Any, max_length: int, dtype: Any) -> jax.Array:
    """The length penalty of every length from 0 to just beyond the longest."""
    longest = math.log((6 + max_length) / 6)
    if isinstance(alpha, int | float) and not abs(alpha) * longest < 60:
        raise ValueError(
            f"length_penalty is {alpha}; it needs to be a number near 0, such as 0.6: its power of"
            " the length has to stay within range"
        )
    return ((5 + jnp.arange(max_length + 2, dtype=dtype)) / 6) ** jnp.asarray(alpha, dtype)
