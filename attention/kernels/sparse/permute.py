"""Arrays permuted into the order of a mask's component and back, by gathers alone."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from attention.masks.components import DynamicRange, Order


def permute(x: Any, order: Order, length: int, axis: int, fill: Any = 0) -> jax.Array:
    """x, the batch first, with the positions of ``order`` along an axis, padded to ``length``."""
    if isinstance(order, DynamicRange):
        index_BL = jnp.asarray(order.first_B)[:, None] + jnp.arange(length)[None]
        index_BL = jnp.where(jnp.arange(length) < order.size, index_BL, x.shape[axis])
        return _take_by_batch(x, index_BL, axis, fill)
    if order is None:
        missing = length - x.shape[axis]
        pads = [(0, missing if a == axis else 0) for a in range(x.ndim)]
        return jnp.pad(x, pads, constant_values=fill) if missing else jnp.asarray(x)
    index = np.full(length, x.shape[axis])
    index[: len(order)] = np.where(order < 0, x.shape[axis], order)
    return jnp.take(x, index, axis=axis, mode="fill", fill_value=fill)


def unpermute(x: jax.Array, order: Order, length: int, axis: int, fill: Any = 0) -> jax.Array:
    """The inverse of ``permute``; the copies of a position are added."""
    if order is None:
        return jax.lax.slice_in_dim(x, 0, length, axis=axis)
    none = x.shape[axis]
    if isinstance(order, DynamicRange):
        index_BL = jnp.arange(length)[None] - jnp.asarray(order.first_B)[:, None]
        inside = (index_BL >= 0) & (index_BL < order.size)
        return _take_by_batch(x, jnp.where(inside, index_BL, none), axis, fill)
    copies = [
        jnp.take(x, index, axis=axis, mode="fill", fill_value=fill)
        for index in _copies(order, length, none).T
    ]
    return functools.reduce(jnp.add, copies)


def _take_by_batch(x: jax.Array, index_BL: jax.Array, axis: int, fill: Any) -> jax.Array:
    """Each batch element's own indices along an axis."""
    batch = max(x.shape[0], index_BL.shape[0])
    x, index_BL = (jnp.broadcast_to(a, (batch, *a.shape[1:])) for a in (x, index_BL))

    def take(x: jax.Array, index_L: jax.Array) -> jax.Array:
        return jnp.take(x, index_L, axis=axis - 1, mode="fill", fill_value=fill)

    return jax.vmap(take)(x, index_BL)


def _copies(order: np.ndarray, length: int, none: int) -> np.ndarray:
    """The indices in the order at which each position occurs, [length, copies]; else ``none``."""
    index = np.flatnonzero(order >= 0)
    index = index[np.argsort(order[index], kind="stable")]
    position = order[index]
    nth = np.arange(len(position)) - np.searchsorted(position, np.arange(length))[position]
    found = np.full((length, int(nth.max(initial=0)) + 1), none)
    found[position, nth] = index
    return found
