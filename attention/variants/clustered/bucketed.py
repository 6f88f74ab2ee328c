"""Softmax attention among tokens of one bucket, over several rounds of sorting into buckets.

In each round tokens are sorted by bucket, cut into chunks, and see those of their own bucket in
their own chunk and in the one before it (Kitaev et al. 2020, section 2, "LSH attention").
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from attention.kernels.limits import limits
from attention.shapes import accumulator

_UNSEEN = -2  # the place of a key that no query sees: next to none


def bucketed_attention(
    q_RTD: jax.Array,
    k_RTD: jax.Array,
    v_RTE: jax.Array,
    bucket_NRT: jax.Array,
    key_RT: jax.Array,
    *,
    buckets: int,
    chunk: int,
    scale: float,
    causal: bool,
) -> jax.Array:
    """Every token gathers the values of the others that are near it in any of N rounds.

    A key that is near in N_ij rounds counts once: its weight is divided by that (appendix A, where
    log N_ij is subtracted from the score). A token sees itself where it sees no other in any round.
    Memory is linear in T.

    Args:
      q_RTD, k_RTD, v_RTE: queries, keys and values of R rows; all finite.
      bucket_NRT: int32, from 0 on; padding's is the last.
      key_RT: bool, whether a token may be seen.
      buckets: how many there are, with padding's.
      chunk: tokens of a chunk.
      scale: factor on the scores.
      causal: whether what comes later is hidden.

    Returns:
      out_RTE in at least float32; a token that may not even see itself gets zeros.
    """
    length = q_RTD.shape[1]
    chunk = min(chunk, length)
    chunks, more = -(-length // chunk), -length % chunk
    q_RTD, k_RTD, v_RTE = (jnp.pad(x, ((0, 0), (0, more), (0, 0))) for x in (q_RTD, k_RTD, v_RTE))
    bucket_NRT = jnp.pad(bucket_NRT, ((0, 0), (0, 0), (0, more)), constant_values=buckets - 1)
    key_RT = jnp.pad(key_RT, ((0, 0), (0, more)))
    order_NRT, rank_NRT = _sorted(bucket_NRT, buckets)
    # One number says bucket and chunk: a query sees keys of its own place, and of the one before.
    place_NRT = bucket_NRT * (chunks + 1) + rank_NRT // chunk
    k_place_NRT = jnp.where(key_RT[None], place_NRT, _UNSEEN)
    places_RTN, k_places_RTN = (jnp.moveaxis(x, 0, 2) for x in (place_NRT, k_place_NRT))

    @jax.checkpoint
    def of_round(of_tokens: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        order_RT, rank_RT, place_RT, k_place_RT = of_tokens
        q, k, v = (_permuted(x, order_RT, rank_RT) for x in (q_RTD, k_RTD, v_RTE))
        q_at, k_at = (
            _taken(jnp.concatenate([own_RT[..., None], all_RTN], axis=2), order_RT)
            for own_RT, all_RTN in ((place_RT, places_RTN), (k_place_RT, k_places_RTN))
        )
        queries = [_chunks(x, chunk) for x in (q, q_at, order_RT)]
        keys = [_with_previous(_chunks(x, chunk)) for x in (k, k_at, order_RT, v)]
        queries[1], keys[1] = queries[1].mT, keys[1].mT
        of_chunks = tuple(x.reshape(-1, *x.shape[2:]) for x in (*queries, *keys))
        most = max(1, limits().scores // (2 * chunk**2))
        of_chunk = jax.checkpoint(partial(_of_chunk, scale=scale, causal=causal))
        results = lax.map(lambda arrays: of_chunk(*arrays), of_chunks, batch_size=most)
        return tuple(_permuted(x.reshape(*order_RT.shape, -1), rank_RT, order_RT) for x in results)

    by_round = order_NRT, rank_NRT, place_NRT, k_place_NRT
    acc_NRTE, total_NRT1, top_NRT1 = lax.map(of_round, by_round)
    best_RT1 = top_NRT1.max(axis=0)
    fade_NRT1 = jnp.exp(top_NRT1 - jnp.where(best_RT1 == -jnp.inf, 0, best_RT1)[None])
    acc_RTE, total_RT1 = (fade_NRT1 * acc_NRTE).sum(axis=0), (fade_NRT1 * total_NRT1).sum(axis=0)
    tiny = jnp.finfo(total_RT1.dtype).tiny
    alone_RTE = jnp.where(key_RT[..., None], v_RTE, 0).astype(acc_RTE.dtype)
    out_RTE = jnp.where(total_RT1 > 0, acc_RTE / jnp.maximum(total_RT1, tiny), alone_RTE)
    return out_RTE[:, :length]


def _of_chunk(
    q_CD: jax.Array,
    q_at_NC: jax.Array,
    q_pos_C: jax.Array,
    k_LD: jax.Array,
    k_at_NL: jax.Array,
    k_pos_L: jax.Array,
    v_LE: jax.Array,
    *,
    scale: float,
    causal: bool,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """A chunk's sums of weighted values and of weights, and the top scores that these are less.

    Of places, the first is that of the round, the others those of all rounds.
    """
    near_N = [
        (q_at_C[:, None] - k_at_L[None, :]).astype(jnp.uint32) <= 1
        for q_at_C, k_at_L in zip(q_at_NC, k_at_NL, strict=True)
    ]
    after_CL = q_pos_C[:, None] - k_pos_L[None, :]
    see_CL = near_N[0] & (after_CL > 0 if causal else after_CL != 0)
    times_CL = sum(near_CL.astype(jnp.int32) for near_CL in near_N[1:])
    dtype = accumulator(jnp.result_type(q_CD, k_LD, v_LE))
    s_CL = scale * jnp.einsum("CD,LD->CL", q_CD, k_LD, preferred_element_type=dtype)
    s_CL = jnp.where(see_CL, s_CL, -jnp.inf)
    top_C1 = lax.stop_gradient(s_CL.max(axis=1, keepdims=True))
    w_CL = jnp.exp(s_CL - jnp.where(top_C1 == -jnp.inf, 0, top_C1))
    w_CL /= jnp.maximum(times_CL, 1).astype(dtype)
    acc_CE = jnp.einsum("CL,LE->CE", w_CL.astype(v_LE.dtype), v_LE, preferred_element_type=dtype)
    return acc_CE, w_CL.sum(axis=1, keepdims=True), top_C1


def _sorted(bucket_NRT: jax.Array, buckets: int) -> tuple[jax.Array, jax.Array]:
    """The tokens by bucket and position, and where in that order each stands."""
    length = bucket_NRT.shape[2]
    pos_NRT = jnp.broadcast_to(jnp.arange(length, dtype=jnp.int32)[None, None], bucket_NRT.shape)
    if buckets * length < 2**31:  # sorting single numbers is several times as quick
        order_NRT = lax.sort(bucket_NRT * length + pos_NRT, is_stable=False) % length
    else:
        order_NRT = lax.sort((bucket_NRT, pos_NRT), num_keys=1)[1]
    order_XT, pos_XT = (x.reshape(-1, length) for x in (order_NRT, pos_NRT))
    rows_X1 = jnp.arange(len(order_XT))[:, None]
    rank_XT = (
        jnp.zeros_like(order_XT)
        .at[rows_X1, order_XT]
        .set(pos_XT, mode="promise_in_bounds", unique_indices=True)
    )
    return order_NRT, rank_XT.reshape(order_NRT.shape)


def _chunks(x_RTY: jax.Array, chunk: int) -> jax.Array:
    """[R, T, ...] as [R, T/C, C, ...]."""
    return x_RTY.reshape(len(x_RTY), -1, chunk, *x_RTY.shape[2:])


def _with_previous(x_RXCY: jax.Array) -> jax.Array:
    """Each chunk after the one before it, the first after the last; a lone one is left as it is."""
    if x_RXCY.shape[1] == 1:
        return x_RXCY
    return jnp.concatenate([jnp.roll(x_RXCY, 1, axis=1), x_RXCY], axis=2)


def _taken(x_RTY: jax.Array, at_RT: jax.Array) -> jax.Array:
    return jnp.take_along_axis(x_RTY, at_RT[:, :, None], axis=1, mode="promise_in_bounds")


@jax.custom_vjp
def _permuted(x_RTY: jax.Array, order_RT: jax.Array, rank_RT: jax.Array) -> jax.Array:
    """Rows in an order whose inverse is ``rank_RT``, so that the gradient is a gather too."""
    return _taken(x_RTY, order_RT)


def _permuted_forward(
    x_RTY: jax.Array, order_RT: jax.Array, rank_RT: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _taken(x_RTY, order_RT), (order_RT, rank_RT)


def _permuted_backward(
    orders: tuple[jax.Array, jax.Array], g_RTY: jax.Array
) -> tuple[jax.Array, None, None]:
    order_RT, rank_RT = orders
    return _permuted(g_RTY, rank_RT, order_RT), None, None


_permuted.defvjp(_permuted_forward, _permuted_backward)
