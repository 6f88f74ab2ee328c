"""Reordered products: what q (kᵀ v) is, all that a query may see being added up before it asks.

    S_t = g_t ⊙ S_{t-1} + k_t v_tᵀ
    out_t = S_tᵀ q_t

S has a row for each of the R features of a query or key. The gates g, between 0 and 1, are none, or
one for a head, or one for each feature; they come as logarithms. Causal attention of whatever
features is this recurrence, C positions at a time: within such a chunk scores are made, [C, C], and
between chunks S is handed on, so that time and memory are linear in the length. Each exponent is of
a number that is not above zero, and no sum is made and then taken apart: nothing overflows, and
nothing later than t has any part in out_t.
"""

import jax
import jax.numpy as jnp
from jax import lax

from attention.kernels.sharded import over_mesh

_SIDE = 64  # positions of a chunk
_SMALL = 16  # of one with gates by feature, for which there are [C, C, R] numbers
_NOTHING = -104.0  # whose exponential float32 cannot tell from zero


def gather(
    q_BQHR: jax.Array,
    k_BKHR: jax.Array,
    v_BKHE: jax.Array,
    causal: bool,
    log_gate_BKHX: jax.Array | None = None,
) -> jax.Array:
    """What each query gathers from all keys, or, causally, from those up to its own position.

    Args:
      q_BQHR, k_BKHR: features of queries and keys, zero at padding.
      v_BKHE: values.
      causal: whether queries, then in the keys' sequence, see no later key.
      log_gate_BKHX: logarithms of gates, for a head (X = 1) or each feature (X = R), zero at
        padding; queries are then in the keys' sequence. Without ``causal`` a later key fades on its
        way back as an earlier one does on its way there.

    Returns:
      out_BQHE.

    Cost: K·R·E + Q·R·E multiply-adds a head; causally also Q·C·(R + E).
    """

    def compute(q: jax.Array, k: jax.Array, v: jax.Array, log_gate: jax.Array | None) -> jax.Array:
        if causal:
            return _recurrent(None, q, k, v, log_gate)[0]
        if log_gate is None:
            s_BHRE = jnp.einsum("BKHR,BKHE->BHRE", k, v)
            return jnp.einsum("BQHR,BHRE->BQHE", q, s_BHRE)
        there, _ = _recurrent(None, q, k, v, log_gate)
        q_back, k_back, v_back = (jnp.flip(x, axis=1) for x in (q, k, v))
        back, _ = _recurrent(None, q_back, k_back, v_back, jnp.flip(log_gate, axis=2))
        own = (q * k).sum(axis=-1, keepdims=True) * v  # which both ways have met
        return there + jnp.flip(back, axis=1) - own

    log_gate_BHKX = None if log_gate_BKHX is None else log_gate_BKHX.swapaxes(1, 2)
    return over_mesh(compute, q_BQHR, k_BKHR, v_BKHE, log_gate_BHKX)


def extend(
    s_BHRE: jax.Array,
    q_BQHR: jax.Array,
    k_BQHR: jax.Array,
    v_BQHE: jax.Array,
    log_gate_BQHX: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
    """What Q further positions gather causally, and S after them."""
    log_gate_BHQX = None if log_gate_BQHX is None else log_gate_BQHX.swapaxes(1, 2)
    return _recurrent(s_BHRE, q_BQHR, k_BQHR, v_BQHE, log_gate_BHQX)


def log_sums(before_BHR: jax.Array, x_BTHR: jax.Array) -> jax.Array:
    """log(exp(before) + exp(x_1) + ... + exp(x_t)) for t from 0 on, [B, 1 + T, H, R]."""
    x_BTHR = jnp.concatenate([before_BHR[:, None], x_BTHR], axis=1)
    return lax.associative_scan(jnp.logaddexp, x_BTHR, axis=1)


def _recurrent(
    s_BHRE: jax.Array | None,
    q_BTHR: jax.Array,
    k_BTHR: jax.Array,
    v_BTHE: jax.Array,
    log_gate_BHTX: jax.Array | None,
) -> tuple[jax.Array, jax.Array]:
    """The recurrence from S on, chunk by chunk; of the chunks' insides nothing is kept."""
    (batch, length, heads, features), size = q_BTHR.shape, v_BTHE.shape[-1]
    if s_BHRE is None:
        s_BHRE = jnp.zeros((batch, heads, features, size), v_BTHE.dtype)
    if log_gate_BHTX is None:
        log_gate_BHTX = jnp.zeros((batch, heads, length, 1), v_BTHE.dtype)
    side = min(length, _SIDE if log_gate_BHTX.shape[-1] == 1 else _SMALL)

    def chunks(x_BHTX: jax.Array) -> jax.Array:  # zeros at the end change nothing
        x_BHTX = jnp.pad(x_BHTX, ((0, 0), (0, 0), (0, -length % side), (0, 0)))
        return jnp.moveaxis(x_BHTX.reshape(batch * heads, -1, side, x_BHTX.shape[-1]), 1, 0)

    s_GRE = s_BHRE.reshape(-1, features, size)
    inputs = (*(chunks(x.swapaxes(1, 2)) for x in (q_BTHR, k_BTHR, v_BTHE)), chunks(log_gate_BHTX))
    s_GRE, out_NGCE = lax.scan(jax.checkpoint(_chunk, prevent_cse=False), s_GRE, inputs)
    out_BHTE = jnp.moveaxis(out_NGCE, 0, 1).reshape(batch, heads, -1, size)[:, :, :length]
    return out_BHTE.swapaxes(1, 2), s_GRE.reshape(s_BHRE.shape)


def _chunk(s_GRE: jax.Array, inputs: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
    """One chunk of G rows of a batch and a head; the K positions of keys are the C of queries."""
    q_GCR, k_GKR, v_GKE, log_gate_GCX = inputs
    log_gate_GCX = jnp.maximum(log_gate_GCX, _NOTHING)  # else others would drown in it
    level_GCX = jnp.cumsum(log_gate_GCX, axis=1)
    sees_CK = jnp.tri(q_GCR.shape[1], dtype=bool)
    if log_gate_GCX.shape[-1] == 1:  # only the gates between a key and a query are added up
        between_GCK = jnp.where(jnp.tri(len(sees_CK), k=-1, dtype=bool)[None], log_gate_GCX, 0)
        drop_GCK = jnp.where(sees_CK[None], jnp.cumsum(between_GCK, axis=1), -jnp.inf)
        w_GCK = jnp.einsum("GCR,GKR->GCK", q_GCR, k_GKR) * jnp.exp(drop_GCK)
    else:  # cheaper, and as good where gates are differences of logarithms
        drop_GCKR = level_GCX[:, :, None] - level_GCX[:, None]
        drop_GCKR = jnp.where(sees_CK[None, :, :, None], drop_GCKR, -jnp.inf)
        w_GCK = (q_GCR[:, :, None] * k_GKR[:, None] * jnp.exp(drop_GCKR)).sum(axis=-1)
    out_GCE = jnp.einsum("GCK,GKE->GCE", w_GCK, v_GKE)
    out_GCE += jnp.einsum("GCR,GRE->GCE", q_GCR * jnp.exp(level_GCX), s_GRE)
    last_G1X = level_GCX[:, -1:]
    k_GKR = k_GKR * jnp.exp(last_G1X - level_GCX)
    s_GRE = jnp.exp(last_G1X).swapaxes(1, 2) * s_GRE + jnp.einsum("GKR,GKE->GRE", k_GKR, v_GKE)
    return s_GRE, out_GCE
