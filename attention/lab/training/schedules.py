"""Learning rates: functions of the update's number, counted from 0 as optax counts."""

import math

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
    if model_size < 1:
        raise ValueError(f"model_size must be at least 1, got {model_size}")
    if warmup < 1:
        raise ValueError(f"warmup must be at least 1 step for inverse_sqrt, got {warmup}")
    _check_rate("scale", scale)
    factor = scale * model_size**-0.5

    def schedule(count: jax.typing.ArrayLike) -> jax.Array:
        s = jnp.asarray(count, jnp.float32) + 1
        return factor * jnp.minimum(s**-0.5, s * warmup**-1.5)

    return schedule


def constant(*, peak: float, warmup: int = 0) -> optax.Schedule:
    """Rises linearly over ``warmup`` updates to ``peak``, and stays there."""
    return _after_warmup(optax.constant_schedule(peak), peak, warmup)


def linear(*, peak: float, warmup: int, steps: int, end: float = 0.0) -> optax.Schedule:
    """Rises linearly to ``peak``, then falls linearly to ``end`` at update ``steps``."""
    _check_rate("end", end)
    fall = optax.linear_schedule(peak, end, _fall_steps(warmup, steps))
    return _after_warmup(fall, peak, warmup)


def cosine(*, peak: float, warmup: int, steps: int, end: float = 0.0) -> optax.Schedule:
    """Rises linearly to ``peak``, then falls along half a cosine to ``end`` at update ``steps``.

    Loshchilov & Hutter 2017, eq. 5, without restarts.
    """
    _check_rate("end", end)
    if end > peak:
        raise ValueError(f"end must be at most peak={peak}, got {end}")
    alpha = end / peak if peak else 0.0
    fall = optax.cosine_decay_schedule(peak, _fall_steps(warmup, steps), alpha=alpha)
    return _after_warmup(fall, peak, warmup)


def _after_warmup(schedule: optax.Schedule, peak: float, warmup: int) -> optax.Schedule:
    """Update ``warmup - 1`` is the first at the peak, so that no update has a rate of 0."""
    _check_rate("peak", peak)
    if warmup < 0:
        raise ValueError(f"warmup must be 0 steps or more, got {warmup}")
    if not warmup:
        return schedule
    rise = optax.linear_schedule(peak / warmup, peak, max(warmup - 1, 1))
    return optax.join_schedules([rise, schedule], [warmup])


def _fall_steps(warmup: int, steps: int) -> int:
    if steps <= warmup:
        raise ValueError(f"steps must be above warmup={warmup}, got {steps}")
    return steps - warmup


def _check_rate(name: str, value: float) -> None:
    if not 0.0 <= value < math.inf:
        raise ValueError(f"{name} must be a finite number >= 0, got {value}")
