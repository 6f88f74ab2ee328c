"""Losses as a sum and a weight, so that the one division happens after everything is added up."""

import functools

import jax
import jax.numpy as jnp

Residuals = tuple[jax.Array, jax.Array, jax.Array]


def cross_entropy(
    logits_BTV: jax.Array,
    target_BT: jax.Array,
    weight_BT: jax.Array,
    *,
    label_smoothing: float = 0.0,
) -> tuple[jax.Array, jax.Array]:
    """Sums the weighted, label-smoothed cross entropy of every token (Szegedy et al. 2016, eq. 7).

    A token's loss is ``(1 - e) * -log p[target] + e * mean_v(-log p[v])``, the smoothing ``e``
    being uniform over the whole vocabulary, and p the softmax of the logits. No one-hot target is
    made. What has weight 0 (padding) adds nothing and gets a zero gradient, even if its logits are
    not finite. Gradients flow to the logits only, and in reverse mode only.

    Args:
      logits_BTV: scores before the softmax, any float dtype; sums are made in at least float32.
      target_BT: the right tokens, integers in [0, V).
      weight_BT: the weight of each token, 0 for padding.
      label_smoothing: e in [0, 1).

    Returns:
      The summed loss in nats and the summed weight, both scalars.

    Raises:
      ValueError: if shapes disagree.

    >>> target = jnp.array([[3, 0]])
    >>> total, weight = cross_entropy(jnp.zeros((1, 2, 4)), target, target > 0)
    >>> round(float(total / weight), 4), float(weight)
    (1.3863, 1.0)
    """
    if logits_BTV.shape[:-1] != target_BT.shape or target_BT.shape != weight_BT.shape:
        raise ValueError(
            f"logits {logits_BTV.shape}, target {target_BT.shape} and weight {weight_BT.shape} must"
            " share their leading axes: pass [B, T, V], [B, T] and [B, T]"
        )
    loss_BT = _token_losses(float(label_smoothing), logits_BTV, target_BT)
    weight_BT = jax.lax.stop_gradient(weight_BT).astype(loss_BT.dtype)
    counted_BT = jnp.where(weight_BT != 0, loss_BT, 0)
    return jnp.sum(counted_BT * weight_BT), jnp.sum(weight_BT)


def log_likelihood(logits_BTV: jax.Array, target_BT: jax.Array, real_BT: jax.Array) -> jax.Array:
    """The log-probability of each whole sequence, in nats.

    Args:
      logits_BTV: as in ``cross_entropy``, whose rules for padding and gradients hold here too.
      target_BT: the sequences, integers in [0, V).
      real_BT: False at padding.

    Returns:
      log_p_B, at least float32; 0 for a sequence without tokens.
    """
    loss_BT = _token_losses(0.0, logits_BTV, target_BT)
    return -jnp.sum(jnp.where(real_BT, loss_BT, 0), axis=-1)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _token_losses(smoothing: float, logits_BTV: jax.Array, target_BT: jax.Array) -> jax.Array:
    return _forward(smoothing, logits_BTV, target_BT)[0]


def _forward(
    smoothing: float, logits_BTV: jax.Array, target_BT: jax.Array
) -> tuple[jax.Array, Residuals]:
    dtype = jnp.promote_types(logits_BTV.dtype, jnp.float32)
    x_BTV = logits_BTV.astype(dtype)
    log_z_BT = jax.nn.logsumexp(x_BTV, axis=-1)
    gold_BT = jnp.take_along_axis(x_BTV, target_BT[..., None], axis=-1)[..., 0]
    loss_BT = log_z_BT - (1 - smoothing) * gold_BT
    if smoothing:
        loss_BT -= smoothing * jnp.mean(x_BTV, axis=-1)
    return loss_BT, (logits_BTV, target_BT, log_z_BT)


def _backward(smoothing: float, residuals: Residuals, g_BT: jax.Array) -> tuple[jax.Array, None]:
    """Makes softmax minus smoothed target in one pass, with no other array as wide as V."""
    logits_BTV, target_BT, log_z_BT = residuals
    p_BTV = jnp.exp(logits_BTV.astype(log_z_BT.dtype) - log_z_BT[..., None])
    size = logits_BTV.shape[-1]
    gold_BTV = jax.lax.broadcasted_iota(target_BT.dtype, p_BTV.shape, 2) == target_BT[..., None]
    smooth_BTV = jnp.where(gold_BTV, 1 - smoothing + smoothing / size, smoothing / size)
    g_BT1 = g_BT[..., None]
    grad_BTV = jnp.where(g_BT1 != 0, (p_BTV - smooth_BTV) * g_BT1, 0)
    return grad_BTV.astype(logits_BTV.dtype), None


_token_losses.defvjp(_forward, _backward)
