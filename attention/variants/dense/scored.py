"""Attention of any score and any normaliser, some queries at a time.

For scores that are not products, and weights that are no softmax: a block of queries is scored
against all keys, and the backward pass makes the scores again, so that memory is linear in Q. Where
all rows (a batch element and a head) together leave room for few queries, each has its turn.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from attention.kernels import Inputs
from attention.kernels.decode.cache import write, zero_unseen
from attention.kernels.dropped import check_rate, draw
from attention.kernels.limits import limits
from attention.kernels.rows import Extras, pad_extras, take_rows, unflatten_heads
from attention.kernels.sharded import over_mesh
from attention.masks import Causal
from attention.shapes import Tree, accumulator

# score(q_BHQX, k_BHKX, score_params) -> s_BHQK, at least float32; arrays of ``score_params`` have
# four axes, the heads second. weights(s_BHQK, see_BHQK) -> w_BHQK, zero where nothing is seen.
Score = Callable[[jax.Array, jax.Array, Tree], jax.Array]
Weights = Callable[[jax.Array, jax.Array], jax.Array]

_QUERIES = 64  # in a block, at least, unless a row alone leaves room for fewer


def scored_attention(
    score: Score,
    weights: Weights,
    inputs: Inputs,
    *,
    score_params: Tree = None,
    dropout_rate: float = 0.0,
    rng: jax.Array | None = None,
) -> jax.Array:
    """weights(score(q, k) + bias) v under a mask.

    Args:
      score, weights: see ``Score`` and ``Weights``.
      inputs: queries and keys of any features, values, mask and bias.
      score_params: what the score needs beside them.
      dropout_rate: share of weights dropped where there is an rng, in [0, 1).
      rng: a typed key; given means training.

    Returns:
      out_BQHE in v's dtype; a query that sees nothing gets zeros.
    """
    q_BQHX, k_BKHX, v_BKHE, mask, bias, _ = inputs
    check_rate(dropout_rate)
    (batch, q_len, heads, _), k_len = q_BQHX.shape, k_BKHX.shape[1]
    if 0 in (batch, q_len, k_len):  # nothing to see, or to see it
        return jnp.zeros((batch, q_len, heads, v_BKHE.shape[3]), v_BKHE.dtype)
    dropped = None
    if rng is not None and dropout_rate > 0.0:
        dropped = draw(rng, dropout_rate, (batch, heads, q_len, k_len))
    block = limits().scores // (batch * heads * k_len)
    in_turn = block < min(_QUERIES, q_len)
    block = max(1, min(q_len, limits().scores // k_len if in_turn else block))
    padded = -(-q_len // block) * block
    extras = pad_extras(Extras(mask, bias, dropped), padded, k_len), score_params
    q_BQHX = jnp.pad(q_BQHX, ((0, 0), (0, padded - q_len), (0, 0), (0, 0)))

    def compute(q: jax.Array, k: jax.Array, v: jax.Array, extras: Any) -> jax.Array:
        # Each head's together, once for all blocks.
        q_BHQX, k_BHKX, v_BHKE = (x.swapaxes(1, 2) for x in (q, k, v))
        if not in_turn:
            out_BHQE = _by_blocks(score, weights, block, q_BHQX, k_BHKX, v_BHKE, extras)
            return out_BHQE.swapaxes(1, 2)

        def of_row(arguments: tuple[jax.Array, ...]) -> jax.Array:
            row_b, row_h, *row = arguments
            theirs = take_rows(extras, row_b[None], row_h[None])
            q_11QX, k_11KX, v_11KE = (x[None, None] for x in row)
            return _by_blocks(score, weights, block, q_11QX, k_11KX, v_11KE, theirs)[0, 0]

        row_R = jnp.arange(q.shape[0] * q.shape[2])
        rows = (x.reshape(-1, *x.shape[2:]) for x in (q_BHQX, k_BHKX, v_BHKE))
        out_RQE = lax.map(of_row, (row_R // q.shape[2], row_R % q.shape[2], *rows))
        return unflatten_heads(out_RQE, q.shape[2], padded)

    return over_mesh(compute, q_BQHX, k_BKHX, v_BKHE, extras)[:, :q_len]


def _by_blocks(
    score: Score,
    weights: Weights,
    block: int,
    q_BHQX: jax.Array,
    k_BHKX: jax.Array,
    v_BHKE: jax.Array,
    extras: tuple[Extras, Tree],
) -> jax.Array:
    """The output [B, H, Q, E], a block of queries at a time, of which there are whole blocks."""
    (mask, bias, dropped), score_params = extras
    k_len, dtype = k_BHKX.shape[2], accumulator(jnp.result_type(q_BHQX, k_BHKX, v_BHKE))

    @jax.checkpoint
    def of_block(q_BHCX: jax.Array, k_BHKX: jax.Array, v_BHKE: jax.Array, first: Any) -> Any:
        s_BHCK = score(q_BHCX, k_BHKX, score_params).astype(dtype)
        if bias is not None:
            s_BHCK += bias.tile(first, 0, block, k_len).astype(dtype)
        see = jnp.broadcast_to(mask.tile(first, 0, block, k_len), s_BHCK.shape)
        w_BHCK = weights(s_BHCK, see)
        if dropped is not None:
            w_BHCK *= dropped.tile(first, 0, block, k_len).astype(dtype)
        w_BHCK = w_BHCK.astype(v_BHKE.dtype)
        out_BHCE = jnp.einsum("BHCK,BHKE->BHCE", w_BHCK, v_BHKE, preferred_element_type=dtype)
        return out_BHCE.astype(v_BHKE.dtype)

    q_len = q_BHQX.shape[2]
    if block == q_len:
        return of_block(q_BHQX, k_BHKX, v_BHKE, 0)
    q_BHNCX = q_BHQX.reshape(*q_BHQX.shape[:2], -1, block, q_BHQX.shape[3])
    blocks = jnp.moveaxis(q_BHNCX, 2, 0), jnp.arange(0, q_len, block)
    out_NBHCE = lax.map(lambda x: of_block(x[0], k_BHKX, v_BHKE, x[1]), blocks)
    out_BHNCE = jnp.moveaxis(out_NBHCE, 0, 2)
    return out_BHNCE.reshape(*out_BHNCE.shape[:2], q_len, -1)


def extend(
    score: Score,
    weights: Weights,
    cache: Tree,
    inputs: Inputs,
    *,
    score_params: Tree = None,
) -> tuple[jax.Array, Tree]:
    """Appends Q positions to a cache of all, and attends from them causally, under a mask."""
    q_BQHX, k_BQHX, v_BQHE, mask, bias, _ = inputs
    new, length = q_BQHX.shape[1], cache["k_BHKD"].shape[2]
    at_BQ = cache["index_B"][:, None] + jnp.arange(new)[None, :]
    k_BHKX = write(cache["k_BHKD"], k_BQHX, at_BQ)
    v_BHKE = write(cache["v_BHKE"], v_BQHE, at_BQ)
    kept = {"k_BHKD": k_BHKX, "v_BHKE": v_BHKE, "index_B": cache["index_B"] + new}
    q_pos, k_pos = at_BQ[:, None, :, None], jnp.arange(length)[None, None, None, :]
    s_BHQK = score(q_BQHX.swapaxes(1, 2), k_BHKX, score_params)
    if bias is not None:
        s_BHQK += bias.at(q_pos, k_pos).astype(s_BHQK.dtype)
    see_BHQK = (Causal() & mask).at(q_pos, k_pos)
    w_BHQK = weights(s_BHQK, jnp.broadcast_to(see_BHQK, s_BHQK.shape))
    v_BHKE = zero_unseen(v_BHKE, see_BHQK)
    out_BQHE = jnp.einsum(
        "BHQK,BHKE->BQHE", w_BHQK.astype(v_BHKE.dtype), v_BHKE, preferred_element_type=s_BHQK.dtype
    )
    return out_BQHE.astype(v_BQHE.dtype), kept
