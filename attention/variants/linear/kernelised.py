"""What attentions by reordered products share: reading what is asked, normalising, and the cache.

Weights are φ(q)·φ(k), for features φ that are a variant's own, divided by their sum over the keys
that a query sees. ``by_sums`` takes features as they are, ``by_logs`` the logarithms of the keys'.
A cache is of constant size: sums over all keys so far, at least float32.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from attention.kernels import Inputs
from attention.kernels.inputs import real_at
from attention.shapes import Sizes, Tree, accumulator
from attention.variants.linear import recurrence

_UNSEEN = -1e30  # the logarithm of a sum of nothing; finite, as differences are taken


@dataclass(frozen=True)
class Products:
    """Queries, keys and values that are float32 at least, and zero at padding.

    Attributes:
      q_BQHD, k_BKHD, v_BKHE: what is multiplied.
      q_real_BQ, k_real_BK: which queries and keys are no padding, bool.
      causal: whether a query sees no later key.
      cache: what is known of earlier positions, which all queries see; None where there are none.
    """

    q_BQHD: jax.Array
    k_BKHD: jax.Array
    v_BKHE: jax.Array
    q_real_BQ: jax.Array
    k_real_BK: jax.Array
    causal: bool
    cache: Tree = None

    def shown(self, x_BKHX: jax.Array) -> jax.Array:
        """What belongs to keys, zero at padding."""
        return jnp.where(self.k_real_BK[:, :, None, None], x_BKHX, 0)

    def gather(
        self,
        name: str,
        q_BQHR: jax.Array,
        k_BKHR: jax.Array,
        v_BKHE: jax.Array,
        log_gate_BKHX: jax.Array | None = None,
    ) -> tuple[jax.Array, Tree]:
        """By ``recurrence.gather``; after a cache by ``recurrence.extend``, with the new sums."""
        if self.cache is None:
            return recurrence.gather(q_BQHR, k_BKHR, v_BKHE, self.causal, log_gate_BKHX), {}
        s_BHRE = self.cache[name].astype(v_BKHE.dtype)
        out_BQHE, s_BHRE = recurrence.extend(s_BHRE, q_BQHR, k_BKHR, v_BKHE, log_gate_BKHX)
        return out_BQHE, {name: s_BHRE}

    def finish(self, out_BQHE: jax.Array, kept: Tree) -> tuple[jax.Array, Tree]:
        """The output, zero at padding, and the cache, if any, with what is now ``kept``."""
        out_BQHE = jnp.where(self.q_real_BQ[:, :, None, None], out_BQHE, 0)
        if self.cache is None:
            return out_BQHE, None
        kept = {name: x.astype(self.cache[name].dtype) for name, x in kept.items()}
        return out_BQHE, kept | {"index_B": self.cache["index_B"] + out_BQHE.shape[1]}


def products(inputs: Inputs) -> Products:
    """The products of whole sequences."""
    q_real_BQ, k_real_BK = inputs.q_real_BQ, inputs.k_real_BK
    q, k, v = (x.astype(_dtype(inputs)) for x in inputs[:3])
    return Products(q, k, v, q_real_BQ, k_real_BK, inputs.causal)


def products_after(cache: Tree, inputs: Inputs) -> Products:
    """The products of new positions, after those in a cache."""
    at_BQ = cache["index_B"][:, None] + jnp.arange(inputs.q_BQHD.shape[1])[None]
    real_BQ = real_at(inputs.mask, at_BQ)
    q, k, v = (
        jnp.where(real_BQ[:, :, None, None], x, 0).astype(_dtype(inputs)) for x in inputs[:3]
    )
    return Products(q, k, v, real_BQ, real_BQ, causal=True, cache=cache)


def _dtype(inputs: Inputs) -> Any:
    return accumulator(jnp.result_type(*inputs[:3]))


def by_sums(
    qkv: Products,
    q_BQHR: jax.Array,
    k_BKHR: jax.Array,
    *,
    weight_BKH1: jax.Array | None = None,
    log_gate_BKH1: jax.Array | None = None,
    least: float = 0.0,
) -> tuple[jax.Array, Tree]:
    """Σ w v / Σ w over the keys seen, w = φ(q)·φ(k) weight, faded by gates; zero where Σ w is.

    Args:
      qkv: see ``Products``.
      q_BQHR, k_BKHR: features, which may be anything finite at padding.
      weight_BKH1: of each key; one by default.
      log_gate_BKH1: logarithms of gates, see ``recurrence.gather``.
      least: Σ w, which may be small or negative, is kept at least this share of what weights and
        gates alone add up to, with its sign.

    Returns:
      out_BQHE, and the cache.
    """
    one_BQH1, one_BKH1 = (jnp.ones_like(x[..., :1]) for x in (q_BQHR, k_BKHR))
    weight_BKH1 = qkv.shown(one_BKH1 if weight_BKH1 is None else weight_BKH1)
    log_gate_BKH1 = None if log_gate_BKH1 is None else qkv.shown(log_gate_BKH1)
    k_BKHR = k_BKHR * weight_BKH1
    if qkv.cache is None and not qkv.causal and log_gate_BKH1 is None:
        out_BQHE, kept = qkv.gather("sums_BHRE", q_BQHR, k_BKHR, qkv.v_BKHE)
        total_BQH1 = jnp.einsum("BQHR,BHR->BQH", q_BQHR, k_BKHR.sum(axis=1))[..., None]
    else:  # a recurrence adds up w as one more column of v
        v_BKHE = jnp.concatenate([qkv.v_BKHE, one_BKH1], axis=-1)
        out_BQHE, kept = qkv.gather("sums_BHRE", q_BQHR, k_BKHR, v_BKHE, log_gate_BKH1)
        out_BQHE, total_BQH1 = out_BQHE[..., :-1], out_BQHE[..., -1:]
    if least > 0.0:
        of_keys_BQH1, also = qkv.gather(
            "weight_BH11", one_BQH1, weight_BKH1, one_BKH1, log_gate_BKH1
        )
        floor_BQH1 = least * of_keys_BQH1 * jnp.where(total_BQH1 < 0, -1, 1)
        total_BQH1 = jnp.where(abs(total_BQH1) < abs(floor_BQH1), floor_BQH1, total_BQH1)
        kept |= also
    return qkv.finish(_ratio(out_BQHE, total_BQH1), kept)


def by_logs(
    qkv: Products, query: Callable[[jax.Array], jax.Array], log_k_BKHR: jax.Array
) -> tuple[jax.Array, Tree]:
    """The means of values, weighed by φ(k) over the keys seen, of which a query mixes the R.

    Each feature is measured by its own sum so far: no logarithm is too large or too small.

    Args:
      qkv: see ``Products``.
      query: from log Σ φ(k) over the keys seen, [B, 1 or Q, H, R], to how much of each feature's
        mean a query takes, q_BQHR.
      log_k_BKHR: log φ(k), which may be anything finite at padding.

    Returns:
      out_BQHE, and the cache.
    """
    log_k_BKHR = jnp.where(qkv.k_real_BK[:, :, None, None], log_k_BKHR, _UNSEEN)
    if not qkv.causal:
        log_B1HR = jax.nn.logsumexp(log_k_BKHR, axis=1, keepdims=True)
        k_BKHR = qkv.shown(jnp.exp(log_k_BKHR - log_B1HR))
        return qkv.finish(*qkv.gather("sums_BHRE", query(log_B1HR), k_BKHR, qkv.v_BKHE))
    if qkv.cache is None:
        before_BHR = jnp.full_like(log_k_BKHR[:, 0], _UNSEEN)
    else:
        before_BHR = qkv.cache["log_BHR"].astype(log_k_BKHR.dtype)
    log_BTHR = recurrence.log_sums(
        before_BHR, log_k_BKHR
    )  # before the first position, and after each
    before_BKHR, log_BKHR = log_BTHR[:, :-1], log_BTHR[:, 1:]
    k_BKHR = qkv.shown(jnp.exp(log_k_BKHR - log_BKHR))
    log_gate_BKHR = jnp.where(before_BKHR > _UNSEEN / 2, before_BKHR - log_BKHR, 0)
    out_BQHE, kept = qkv.gather("sums_BHRE", query(log_BKHR), k_BKHR, qkv.v_BKHE, log_gate_BKHR)
    return qkv.finish(out_BQHE, kept | {"log_BHR": log_BTHR[:, -1]})


def start_sums(sizes: Sizes, batch: int, features: int, dtype: Any, *, least: float = 0.0) -> Tree:
    """An empty cache for ``by_sums``: of each head S, its last column the keys' own sum."""
    cache = _empty(batch, dtype, sums_BHRE=(sizes.heads, features, sizes.value_size + 1))
    return cache | (_empty(batch, dtype, weight_BH11=(sizes.heads, 1, 1)) if least > 0.0 else {})


def start_logs(sizes: Sizes, batch: int, features: int, dtype: Any) -> Tree:
    """An empty cache for ``by_logs``: of each head the means, and the sums by which they are."""
    cache = _empty(batch, dtype, sums_BHRE=(sizes.heads, features, sizes.value_size))
    log_BHR = jnp.full((batch, sizes.heads, features), _UNSEEN, accumulator(dtype))
    return cache | {"log_BHR": log_BHR}


def _empty(batch: int, dtype: Any, **shapes: tuple[int, ...]) -> Tree:
    """Zeros of these shapes beside the batch, and the position at which each row stands."""
    cache = {name: jnp.zeros((batch, *shape), accumulator(dtype)) for name, shape in shapes.items()}
    return cache | {"index_B": jnp.zeros((batch,), jnp.int32)}


def _ratio(x: jax.Array, total: jax.Array) -> jax.Array:
    """x / total, zero where the total is; no square of the total stands in the gradient."""
    total = jnp.where(total == 0, 1, total)
    scale = jax.lax.stop_gradient(1 / total)
    return (x * scale) / (total * scale)
