"""Arrays of masks: checks, and lookup by position."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

INTEGER = (jnp.integer, "an integer dtype")
BOOLEAN = (jnp.bool_, "bool, where True means 'may look'")


def set_array(mask: Any, name: str, ndim: tuple[int, ...], kind: tuple[Any, str]) -> None:
    """Checks the array in a field; a list there becomes an array."""
    x, field = getattr(mask, name), f"{type(mask).__name__}({name})"
    x = x if hasattr(x, "dtype") else np.asarray(x)
    if not jnp.issubdtype(x.dtype, kind[0]):
        raise TypeError(f"{field} has dtype {x.dtype}; it needs {kind[1]}")
    if x.ndim not in ndim:
        axes = " or ".join(map(str, ndim))
        raise ValueError(f"{field} has shape {x.shape}; it needs {axes} axes")
    object.__setattr__(mask, name, x)


def set_sides(mask: Any, q_name: str, k_name: str, ndim: int, kind: tuple[Any, str]) -> None:
    """Checks both sides; keys default to the queries' array, and queries of None are all real."""
    if getattr(mask, q_name) is not None:
        set_array(mask, q_name, (ndim,), kind)
    if getattr(mask, k_name) is None:
        object.__setattr__(mask, k_name, getattr(mask, q_name))
    set_array(mask, k_name, (ndim,), kind)


def check_length(name: str, x: Any, axis: int, length: int | None, what: str) -> None:
    """Raises ValueError where an axis of x is not ``length``; None is any."""
    shape = jnp.shape(x)
    if length not in (None, shape[axis]):
        raise ValueError(
            f"{name} has shape {shape}, made for {shape[axis]} {what}; attention has {length}"
        )


def is_full_range(pos: Any, length: int) -> bool:
    """Whether positions are known to be 0..length-1, so that no gather is needed."""
    return (
        isinstance(pos, np.ndarray)
        and pos.size == length
        and bool((pos.reshape(-1) == np.arange(length)).all())
    )


def gather(x_BT: Any, pos: Any, *, axis: int, fill: Any) -> jax.Array:
    """x at the positions, along ``axis`` of four; positions beyond its end give ``fill``."""
    x_BT = jnp.asarray(x_BT)
    if not is_full_range(pos, x_BT.shape[1]):
        pos_BT = jnp.asarray(pos).reshape(pos.shape[0], pos.shape[axis])
        rows = max(x_BT.shape[0], pos_BT.shape[0])
        pos_BT = jnp.broadcast_to(pos_BT, (rows, pos_BT.shape[1]))
        x_BT = jnp.broadcast_to(x_BT, (rows, x_BT.shape[1]))
        x_BT = jax.vmap(lambda x, p: x.at[p].get(mode="fill", fill_value=fill))(x_BT, pos_BT)
    shape = [x_BT.shape[0], 1, 1, 1]
    shape[axis] = x_BT.shape[1]
    return x_BT.reshape(shape)


def check_whole(mask: Any, least: int, *names: str) -> None:
    """Raises ValueError unless the fields are whole numbers of at least ``least``."""
    for name in names:
        value = getattr(mask, name)
        if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < least:
            kind = type(mask).__name__
            raise ValueError(f"{kind}({name}={value!r}): needs a whole number, {least} or more")


def any_of(paddings: Sequence[tuple[Any, Any]]) -> tuple[Any, Any]:
    """The ``Mask.padding`` of the union of several masks."""
    q_BQ, k_BK = (
        None if any(x is None for x in side) else functools.reduce(jnp.logical_or, side)
        for side in zip(*paddings, strict=True)
    )
    return q_BQ, k_BK
