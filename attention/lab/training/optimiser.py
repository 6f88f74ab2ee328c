"""Adam as the Transformer uses it, from optax's parts."""

import math
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
    b1: float = 0.9,
    b2: float = 0.98,
    eps: float = 1e-9,
    clip: float | None = None,
    weight_decay: float = 0.0,
) -> optax.GradientTransformation:
    """Adam with the Transformer's constants (Vaswani et al. 2017, section 5.3).

    Args:
      schedule: learning rate by the update's number, from 0.
      b1: decay of the first moment.
      b2: decay of the second moment.
      eps: added to the root of the second moment.
      clip: greatest global norm of the gradient; None for no clipping.
      weight_decay: decoupled, times the learning rate (Loshchilov & Hutter 2019); for matrices
        only, not for biases and norms.

    Returns:
      An optax transformation whose state holds ``learning_rate``.

    Raises:
      ValueError: if a value is out of range.
    """
    for name, value in (("b1", b1), ("b2", b2)):
        if not 0.0 <= value < 1.0:
            raise ValueError(f"{name} must be in [0, 1), got {value}")
    if not 0.0 < eps < math.inf:
        raise ValueError(f"eps must be a finite number > 0, got {eps}")
    if clip is not None and not clip > 0.0:
        raise ValueError(f"clip must be above 0, got {clip}; leave clipping out with None")
    if not 0.0 <= weight_decay < math.inf:
        raise ValueError(f"weight_decay must be a finite number >= 0, got {weight_decay}")
    parts = [] if clip is None else [optax.clip_by_global_norm(clip)]
    parts.append(optax.scale_by_adam(b1=b1, b2=b2, eps=eps))
    if weight_decay:
        parts.append(optax.add_decayed_weights(weight_decay, mask=_matrices))
    return optax.chain(*parts, scale_by_schedule(schedule))


def scale_by_schedule(schedule: optax.Schedule) -> optax.GradientTransformation:
    """Multiplies updates by minus the learning rate, and keeps the rate in its state for logs."""

    def init(params: optax.Params) -> RateState:
        del params
        return RateState(jnp.zeros((), jnp.int32), jnp.zeros((), jnp.float32))

    def update(
        updates: optax.Updates, state: RateState, params: optax.Params | None = None
    ) -> tuple[optax.Updates, RateState]:
        del params
        rate = jnp.asarray(schedule(state.made), jnp.float32)
        updates = jax.tree.map(lambda u: -rate.astype(u.dtype) * u, updates)
        return updates, RateState(state.made + 1, rate)

    return optax.GradientTransformation(init, update)


def _matrices(params: optax.Params) -> optax.Params:
    return jax.tree.map(lambda p: p.ndim > 1, params)
