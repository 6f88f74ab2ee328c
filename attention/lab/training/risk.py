"""Minimum risk: the expected cost of a few candidates, as a loss (Shen et al. 2016)."""

import jax
import jax.numpy as jnp


def expected_cost(
    log_p_BN: jax.Array, cost_BN: jax.Array, there_BN: jax.Array, *, alpha: float
) -> tuple[jax.Array, jax.Array]:
    """Sums each row's expected cost under Q (Shen et al. 2016, "Minimum Risk Training for Neural
    Machine Translation", equations 11 and 12).

    ``Q(y) = p(y)^alpha / sum over the row's candidates of p^alpha``, and a row's risk is
    ``sum_y Q(y) cost(y)``. Gradients flow to ``log_p_BN`` only, and sum to zero over a row: what
    costs less than the row's mean is made more probable.

    Args:
      log_p_BN: the model's log-probability of each candidate, in nats.
      cost_BN: what each costs, as 1 - BLEU.
      there_BN: False where a row has fewer candidates than N; log_p and cost may be anything there.
      alpha: the sharpness of Q, 0 or above; 0 weighs all candidates alike.

    Returns:
      The summed risk, and the number of rows that have a candidate; both scalars.

    >>> log_p = jnp.log(jnp.array([[0.1, 0.3]]))
    >>> total, rows = expected_cost(log_p, jnp.array([[1.0, 0.0]]), log_p < 0, alpha=1.0)
    >>> round(float(total), 3), float(rows)
    (0.25, 1.0)
    """
    dtype = jnp.promote_types(log_p_BN.dtype, jnp.float32)
    score_BN = alpha * jnp.where(there_BN, log_p_BN, 0).astype(dtype)
    top_B1 = jnp.max(jnp.where(there_BN, score_BN, -jnp.inf), axis=1, keepdims=True)
    some_B1 = jnp.any(there_BN, axis=1, keepdims=True)
    below_BN = score_BN - jax.lax.stop_gradient(jnp.where(some_B1, top_B1, 0))
    share_BN = jnp.where(there_BN, jnp.exp(jnp.where(there_BN, below_BN, 0)), 0)
    q_BN = share_BN / jnp.where(some_B1, jnp.sum(share_BN, axis=1, keepdims=True), 1)
    cost_BN = jax.lax.stop_gradient(jnp.where(there_BN, cost_BN, 0)).astype(dtype)
    return jnp.sum(q_BN * cost_BN), jnp.sum(some_B1).astype(dtype)


def distinct(tokens_BNT: jax.Array, *, pad: int) -> jax.Array:
    """The candidates of each row, those that stood before in it being all ``pad``."""
    same_BNN = jnp.all(tokens_BNT[:, :, None] == tokens_BNT[:, None], axis=-1)
    before_NN = jnp.tri(tokens_BNT.shape[1], k=-1, dtype=bool)
    again_BN = jnp.any(same_BNN & before_NN[None], axis=2)
    return jnp.where(again_BN[..., None], pad, tokens_BNT)
