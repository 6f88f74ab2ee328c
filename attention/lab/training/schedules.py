"""Learning rates: functions of the update's number, counted from 0 as optax counts."""

import jax
import jax.numpy as jnp
import optax


def inverse_sqrt(*, model_size: int, warmup: int, scale: float = 1.0) -> optax.Schedule:
    """Rises linearly, then falls with the square root (Vaswani et al. 2017, eq. 3).

    ``scale * model_size**-0.5 * min(s**-0.5, s * warmup**-1.5)``, where s, the paper's step, is 1
    at the first update. The peak, at s = warmup, is ``scale * (model_size * warmup)**-0.5``.

    Args:
      model_size: width of the model, M.
      warmup: updates until the peak, at least 1.
      scale: a factor, 1 in the paper.

    >>> f"{inverse_sqrt(model_size=512, warmup=4000)(3999):.6f}"
    '0.000699'
    """
    factor = scale * model_size**-0.5

    def schedule(count: jax.typing.ArrayLike) -> jax.Array:
        s = jnp.asarray(count, jnp.float32) + 1
        return factor * jnp.minimum(s**-0.5, s * warmup**-1.5)

    return schedule


def constant(*, peak: float, warmup: int = 0) -> optax.Schedule:
    """Rises linearly over ``warmup`` updates to ``peak``, and stays there."""
    return _after_warmup(optax.constant_schedule(peak), peak, warmup)


def linear(*, peak: float, warmup: int, steps: int) -> optax.Schedule:
    """Rises linearly to ``peak``, then falls linearly to 0 at update ``steps``."""
    return _after_warmup(optax.linear_schedule(peak, 0.0, steps - warmup), peak, warmup)


def cosine(*, peak: float, warmup: int, steps: int) -> optax.Schedule:
    """Rises linearly to ``peak``, then falls along half a cosine to 0 at update ``steps``.

    Loshchilov & Hutter 2017, eq. 5, without restarts.
    """
    return _after_warmup(optax.cosine_decay_schedule(peak, steps - warmup), peak, warmup)


def _after_warmup(schedule: optax.Schedule, peak: float, warmup: int) -> optax.Schedule:
    """Update ``warmup - 1`` is the first at the peak, so that no update has a rate of 0."""
    if not warmup:
        return schedule
    rise = optax.linear_schedule(peak / warmup, peak, max(warmup - 1, 1))
    return optax.join_schedules([rise, schedule], [warmup])
