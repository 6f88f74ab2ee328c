"""Arrays put into the order of a part of a mask, and brought back from it, by gathers alone."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def ordered(x: Any, order: np.ndarray | None, length: int, axis: int, fill: Any = 0) -> jax.Array:
    """x with the positions of ``order`` along an axis, filled up to ``length``."""
    if order is None:
        missing = length - x.shape[axis]
        pads = [(0, missing if a == axis else 0) for a in range(x.ndim)]
        return jnp.pad(x, pads, constant_values=fill) if missing else jnp.asarray(x)
    places = np.full(length, x.shape[axis])
    places[: len(order)] = np.where(order < 0, x.shape[axis], order)
    return jnp.take(x, places, axis=axis, mode="fill", fill_value=fill)


def restored(x: jax.Array, order: np.ndarray | None, length: int, axis: int) -> jax.Array:
    """What ``ordered`` put into order, back in place: a position's several copies are added."""
    if order is None:
        return jax.lax.slice_in_dim(x, 0, length, axis=axis)
    columns = copies(order, length, x.shape[axis]).T
    return sum(jnp.take(x, place, axis=axis, mode="fill", fill_value=0) for place in columns)


def copies(order: np.ndarray, length: int, none: int) -> np.ndarray:
    """Where in the order each position stands, [length, most copies]; ``none`` fills it up."""
    places = np.flatnonzero(order >= 0)
    sort = np.argsort(order[places], kind="stable")
    position, place = order[places][sort], places[sort]
    first = np.searchsorted(position, np.arange(length))
    nth = np.arange(len(position)) - first[position]
    found = np.full((length, int(nth.max(initial=0)) + 1), none)
    found[position, nth] = place
    return found
