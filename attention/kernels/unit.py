"""Vectors of length one."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from attention.shapes import accumulator

_LEAST = 1e-24  # of x·x, under which nothing of a direction is left


def unit(x: jax.Array) -> jax.Array:
    """x / |x| along the last axis, found at least in float32, in x's dtype.

    Of what is too short to have a direction it is 0, and so is the gradient.

    >>> unit(jnp.array([[3.0, 4.0], [0.0, 0.0]]))
    Array([[0.6, 0.8],
           [0. , 0. ]], dtype=float32)
    """
    dtype, x = x.dtype, x.astype(accumulator(x.dtype))
    square = jnp.square(x).sum(axis=-1, keepdims=True)
    some = square > _LEAST  # asked twice: else the gradient is 0 times one that is not finite
    return jnp.where(some, x * lax.rsqrt(jnp.where(some, square, 1)), 0).astype(dtype)
