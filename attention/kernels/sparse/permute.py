"""Arrays put into the order of a part of a mask, and brought back from it, by gathers alone."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from attention.masks.parts import Order, Run


def ordered(x: Any, order: Order, length: int, axis: int, fill: Any = 0) -> jax.Array:
    """x, the batch first, with the positions of ``order`` along an axis, filled to ``length``."""
    if isinstance(order, Run):
        places_BL = jnp.asarray(order.first_B)[:, None] + jnp.arange(length)[None]
        places_BL = jnp.where(jnp.arange(length) < order.size, places_BL, x.shape[axis])
        return _taken(x, places_BL, axis, fill)
    if order is None:
        missing = length - x.shape[axis]
        pads = [(0, missing if a == axis else 0) for a in range(x.ndim)]
        return jnp.pad(x, pads, constant_values=fill) if missing else jnp.asarray(x)
    places = np.full(length, x.shape[axis])
    places[: len(order)] = np.where(order < 0, x.shape[axis], order)
    return jnp.take(x, places, axis=axis, mode="fill", fill_value=fill)


def restored(x: jax.Array, order: Order, length: int, axis: int, fill: Any = 0) -> jax.Array:
    """What ``ordered`` put into order, back in place: a position's several copies are added."""
    if order is None:
        return jax.lax.slice_in_dim(x, 0, length, axis=axis)
    none = x.shape[axis]
    if isinstance(order, Run):
        places_BL = jnp.arange(length)[None] - jnp.asarray(order.first_B)[:, None]
        inside = (places_BL >= 0) & (places_BL < order.size)
        return _taken(x, jnp.where(inside, places_BL, none), axis, fill)
    columns = _copies(order, length, none).T
    taken = [jnp.take(x, place, axis=axis, mode="fill", fill_value=fill) for place in columns]
    return functools.reduce(jnp.add, taken)


def _taken(x: jax.Array, places_BL: jax.Array, axis: int, fill: Any) -> jax.Array:
    """Other places along an axis for each batch element."""
    batch = max(x.shape[0], places_BL.shape[0])
    x, places_BL = (jnp.broadcast_to(a, (batch, *a.shape[1:])) for a in (x, places_BL))

    def take(x: jax.Array, places_L: jax.Array) -> jax.Array:
        return jnp.take(x, places_L, axis=axis - 1, mode="fill", fill_value=fill)

    return jax.vmap(take)(x, places_BL)


def _copies(order: np.ndarray, length: int, none: int) -> np.ndarray:
    """Where in the order each position stands, [length, most copies]; ``none`` fills it up."""
    places = np.flatnonzero(order >= 0)
    sort = np.argsort(order[places], kind="stable")
    position, place = order[places][sort], places[sort]
    first = np.searchsorted(position, np.arange(length))
    nth = np.arange(len(position)) - first[position]
    found = np.full((length, int(nth.max(initial=0)) + 1), none)
    found[position, nth] = place
    return found
