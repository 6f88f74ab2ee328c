"""Adam as the Transformer uses it, from optax's parts."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax


class RateState(NamedTuple):
    """Updates made so far, and the learning rate of the last one."""

    made: jax.Array
    learning_rate: jax.Array


def adam(
    schedule: optax.Schedule,
    *,
    eps: float = 1e-9,
    clip: float | None = None,
    weight_decay: float = 0.0,
) -> optax.GradientTransformation:
    """Adam with the Transformer's constants (Vaswani et al. 2017, section 5.3).

    Args:
      schedule: learning rate by the update's number, from 0.
      eps: added to the root of the second moment.
      clip: greatest global norm of the gradient; None for no clipping.
      weight_decay: decoupled, times the learning rate (Loshchilov & Hutter 2019); for matrices
        only, not for biases and norms.

    Returns:
      An optax transformation whose state holds ``learning_rate``.
    """
    parts = [] if clip is None else [optax.clip_by_global_norm(clip)]
    parts.append(optax.scale_by_adam(b1=0.9, b2=0.98, eps=eps))
    if weight_decay:
        matrices = partial(jax.tree.map, lambda p: p.ndim > 1)
        parts.append(optax.add_decayed_weights(weight_decay, mask=matrices))
    return optax.chain(*parts, scale_by_schedule(schedule))


def scale_by_schedule(schedule: optax.Schedule) -> optax.GradientTransformation:
    """Multiplies updates by minus the learning rate, and keeps the rate in its state for logs."""

    def init(params: optax.Params) -> RateState:
        return RateState(jnp.zeros((), jnp.int32), jnp.zeros((), jnp.float32))

    def update(
        updates: optax.Updates, state: RateState, params: optax.Params | None = None
    ) -> tuple[optax.Updates, RateState]:
        rate = jnp.asarray(schedule(state.made), jnp.float32)
        updates = jax.tree.map(lambda u: -rate.astype(u.dtype) * u, updates)
        return updates, RateState(state.made + 1, rate)

    return optax.GradientTransformation(init, update)
