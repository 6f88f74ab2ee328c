"""Who may look at whom: frozen masks that compose with ``&``, ``|`` and ``~``.

A mask is a predicate over positions. True means "may look". Static fields are ints; arrays are
pytree leaves, so a mask passes through jit, vmap, scan and remat like any value.

    >>> from attention.masks import Causal, Window
    >>> (Causal() & Window(left=1, right=0)).dense(3, 3)[0, 0].astype(int)
    Array([[1, 0, 0],
           [1, 1, 0],
           [0, 1, 1]], dtype=int32)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

Positions = Any  # an integer array: q [B or 1, 1, Q, 1], k [B or 1, 1, 1, K]
Padding = tuple[jax.Array | None, jax.Array | None]
_M = TypeVar("_M", bound=type)


def _pytree(*arrays: str) -> Callable[[_M], _M]:
    """Registers a frozen dataclass as a pytree whose leaves are the fields named.

    Unflattening does not run ``__init__``, so that checks never meet a tracer or a placeholder.
    """

    def register(cls: _M) -> _M:
        static = tuple(f.name for f in dataclasses.fields(cls) if f.name not in arrays)

        def flatten(mask: Any) -> tuple[tuple, tuple]:
            return (
                tuple((jax.tree_util.GetAttrKey(name), getattr(mask, name)) for name in arrays),
                tuple(getattr(mask, name) for name in static),
            )

        def unflatten(meta: tuple, leaves: tuple) -> Any:
            mask: Any = object.__new__(cls)
            for name, value in zip((*static, *arrays), (*meta, *leaves), strict=True):
                object.__setattr__(mask, name, value)
            return mask

        jax.tree_util.register_pytree_with_keys(cls, flatten, unflatten)
        return cls

    return register


class Mask:
    """What all masks share: composition, and the dense form made from the predicate ``at``."""

    __array_ufunc__ = None  # so that numpy's & and | leave the composition to us

    def at(self, q_pos: Positions, k_pos: Positions) -> jax.Array:
        """Whether the query at ``q_pos`` may look at the key at ``k_pos``.

        Args:
          q_pos: int positions of queries, [B or 1, 1, Q, 1].
          k_pos: int positions of keys, [B or 1, 1, 1, K].

        Returns:
          bool, broadcastable to [B, H, Q, K].
        """
        raise NotImplementedError(f"{type(self).__name__} must define at(q_pos, k_pos)")

    def dense(self, q_len: int, k_len: int) -> jax.Array:
        """The mask as a boolean array [B or 1, H or 1, Q, K]."""
        self.check(q_len, k_len)
        q_pos, k_pos = dense_positions(q_len, k_len)
        see = self.at(q_pos, k_pos)
        return jnp.broadcast_to(see, (*see.shape[:2], q_len, k_len))

    def check(self, q_len: int | None, k_len: int | None) -> None:
        """Raises ValueError where the mask holds arrays of other lengths; None is any length."""
        for part in vars(self).values():
            if isinstance(part, Mask):
                part.check(q_len, k_len)

    def padding(self, q_len: int | None, k_len: int | None) -> Padding:
        """Which queries and keys are not padding: bool [B, Q] and [B, K], None for "all".

        Cheap and cautious: a position may be called real though nothing looks at it. A length of
        None says that this side is not asked for.
        """
        return None, None

    def __and__(self, other: Any) -> Mask:
        return And(self, as_mask(other))

    def __or__(self, other: Any) -> Mask:
        return Or(self, as_mask(other))

    def __rand__(self, other: Any) -> Mask:
        return And(as_mask(other), self)

    def __ror__(self, other: Any) -> Mask:
        return Or(as_mask(other), self)

    def __invert__(self) -> Mask:
        return Not(self)


def dense_positions(q_len: int, k_len: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions 0..q_len-1 and 0..k_len-1 in the shapes that ``Mask.at`` takes."""
    q_pos = np.arange(q_len, dtype=np.int32)[None, None, :, None]
    k_pos = np.arange(k_len, dtype=np.int32)[None, None, None, :]
    return q_pos, k_pos


def as_mask(mask: Any) -> Mask:
    """A mask from a mask, a boolean array ([Q, K], [B, Q, K] or [B, H, Q, K]) or None (all)."""
    if mask is None:
        return Everything()
    if isinstance(mask, Mask):
        return mask
    return Array(mask)


@_pytree()
@dataclass(frozen=True)
class Everything(Mask):
    """Every query sees every key."""

    def at(self, q_pos: Positions, k_pos: Positions) -> jax.Array:
        return jnp.ones((1, 1, q_pos.shape[2], k_pos.shape[3]), bool)


@_pytree()
@dataclass(frozen=True)
class Causal(Mask):
    """A query sees its own position and those before it."""

    def at(self, q_pos: Positions, k_pos: Positions) -> jax.Array:
        return jnp.asarray(k_pos <= q_pos)


@_pytree()
@dataclass(frozen=True)
class Window(Mask):
    """A query at i sees keys from i - left to i + right, both included.

    Raises:
      ValueError: left or right is negative.
    """

    left: int
    right: int

    def __post_init__(self):
        for name in ("left", "right"):
            value = getattr(self, name)
            if not isinstance(value, (int, np.integer)) or value < 0:
                raise ValueError(
                    f"Window({name}={value!r}): needs a whole number of positions, 0 or more"
                )

    def at(self, q_pos: Positions, k_pos: Positions) -> jax.Array:
        return jnp.asarray((k_pos >= q_pos - self.left) & (k_pos <= q_pos + self.right))


@_pytree("q_lengths_B", "k_lengths_B")
@dataclass(frozen=True, eq=False)
class Lengths(Mask):
    """Padding at the end: positions from a row's length on neither see nor are seen.

    ``Lengths(lengths)`` serves self-attention, ``Lengths(q_lengths, k_lengths)`` cross-attention;
    ``Lengths(None, k_lengths)`` says that every query is real.
    """

    q_lengths_B: Any
    k_lengths_B: Any = None

    def __post_init__(self):
        _set_sides(self, "q_lengths_B", "k_lengths_B", 1, _WHOLE)

    def at(self, q_pos: Positions, k_pos: Positions) -> jax.Array:
        see = k_pos < jnp.asarray(self.k_lengths_B)[:, None, None, None]
        if self.q_lengths_B is not None:
            see = see & (q_pos < jnp.asarray(self.q_lengths_B)[:, None, None, None])
        return see

    def padding(self, q_len: int | None, k_len: int | None) -> Padding:
        q_BQ, k_BK = (
            None
            if length is None or lengths_B is None
            else jnp.arange(length)[None, :] < jnp.asarray(lengths_B)[:, None]
            for length, lengths_B in ((q_len, self.q_lengths_B), (k_len, self.k_lengths_B))
        )
        return q_BQ, k_BK


@_pytree("q_valid_BQ", "k_valid_BK")
@dataclass(frozen=True, eq=False)
class Valid(Mask):
    """Padding anywhere: positions marked False neither see nor are seen.

    ``Valid(valid)`` serves self-attention, ``Valid(q_valid, k_valid)`` cross-attention;
    ``Valid(None, k_valid)`` says that every query is real.
    """

    q_valid_BQ: Any
    k_valid_BK: Any = None

    def __post_init__(self):
        _set_sides(self, "q_valid_BQ", "k_valid_BK", 2, _TRUTH)

    def at(self, q_pos: Positions, k_pos: Positions) -> jax.Array:
        see = _gather(self.k_valid_BK, k_pos, axis=3, fill=False)
        if self.q_valid_BQ is not None:
            see = see & _gather(self.q_valid_BQ, q_pos, axis=2, fill=False)
        return see

    def check(self, q_len: int | None, k_len: int | None) -> None:
        if self.q_valid_BQ is not None:
            _check_length("Valid(q_valid_BQ)", self.q_valid_BQ, 1, q_len, "queries")
        _check_length("Valid(k_valid_BK)", self.k_valid_BK, 1, k_len, "keys")

    def padding(self, q_len: int | None, k_len: int | None) -> Padding:
        return self.q_valid_BQ, self.k_valid_BK


@_pytree("q_segments_BQ", "k_segments_BK")
@dataclass(frozen=True, eq=False)
class Segments(Mask):
    """Packed sequences: a query sees the keys of its own segment; segment 0 is padding."""

    q_segments_BQ: Any
    k_segments_BK: Any = None

    def __post_init__(self):
        _set_array(self, "q_segments_BQ", (2,), _WHOLE)
        _set_sides(self, "q_segments_BQ", "k_segments_BK", 2, _WHOLE)

    def at(self, q_pos: Positions, k_pos: Positions) -> jax.Array:
        q_segment = _gather(self.q_segments_BQ, q_pos, axis=2, fill=0)
        k_segment = _gather(self.k_segments_BK, k_pos, axis=3, fill=0)
        return (q_segment == k_segment) & (k_segment != 0)

    def check(self, q_len: int | None, k_len: int | None) -> None:
        _check_length("Segments(q_segments_BQ)", self.q_segments_BQ, 1, q_len, "queries")
        _check_length("Segments(k_segments_BK)", self.k_segments_BK, 1, k_len, "keys")

    def padding(self, q_len: int | None, k_len: int | None) -> Padding:
        return jnp.asarray(self.q_segments_BQ) != 0, jnp.asarray(self.k_segments_BK) != 0


@_pytree("see")
@dataclass(frozen=True, eq=False)
class Array(Mask):
    """A mask given as a boolean array: [Q, K], [B, Q, K] or [B, H, Q, K]."""

    see: Any

    def __post_init__(self):
        _set_array(self, "see", (2, 3, 4), _TRUTH)

    def at(self, q_pos: Positions, k_pos: Positions) -> jax.Array:
        see, see_BHQK = jnp.asarray(self.see), self._four_axes()
        if _is_whole(q_pos, see.shape[-2]) and _is_whole(k_pos, see.shape[-1]):
            return see_BHQK
        rows = max(see_BHQK.shape[0], q_pos.shape[0], k_pos.shape[0])
        see_BHQK = jnp.broadcast_to(see_BHQK, (rows, *see_BHQK.shape[1:]))
        q_BQ = jnp.broadcast_to(q_pos[:, 0, :, 0], (rows, q_pos.shape[2]))
        k_BK = jnp.broadcast_to(k_pos[:, 0, 0, :], (rows, k_pos.shape[3]))

        def pick(see_HQK, q_Q, k_K):
            picked = see_HQK.at[:, q_Q, :].get(mode="fill", fill_value=False)
            return picked.at[:, :, k_K].get(mode="fill", fill_value=False)

        return jax.vmap(pick)(see_BHQK, q_BQ, k_BK)

    def check(self, q_len: int | None, k_len: int | None) -> None:
        _check_length("Array(see)", self.see, -2, q_len, "queries")
        _check_length("Array(see)", self.see, -1, k_len, "keys")

    def padding(self, q_len: int | None, k_len: int | None) -> Padding:
        see_BHQK = self._four_axes()
        return see_BHQK.any(axis=(1, 3)), see_BHQK.any(axis=(1, 2))

    def _four_axes(self) -> jax.Array:
        see = jnp.asarray(self.see)
        batch, heads = {2: (1, 1), 3: (see.shape[0], 1), 4: see.shape[:2]}[see.ndim]
        return see.reshape(batch, heads, *see.shape[-2:])


@_pytree("left", "right")
@dataclass(frozen=True)
class And(Mask):
    """Both masks allow it."""

    left: Any
    right: Any

    def at(self, q_pos: Positions, k_pos: Positions) -> jax.Array:
        return _both(jnp.logical_and, self.left.at(q_pos, k_pos), self.right.at(q_pos, k_pos))

    def padding(self, q_len: int | None, k_len: int | None) -> Padding:
        sides = zip(self.left.padding(q_len, k_len), self.right.padding(q_len, k_len), strict=True)
        q_BQ, k_BK = (b if a is None else a if b is None else a & b for a, b in sides)
        return q_BQ, k_BK


@_pytree("left", "right")
@dataclass(frozen=True)
class Or(Mask):
    """Either mask allows it."""

    left: Any
    right: Any

    def at(self, q_pos: Positions, k_pos: Positions) -> jax.Array:
        return _both(jnp.logical_or, self.left.at(q_pos, k_pos), self.right.at(q_pos, k_pos))

    def padding(self, q_len: int | None, k_len: int | None) -> Padding:
        sides = zip(self.left.padding(q_len, k_len), self.right.padding(q_len, k_len), strict=True)
        q_BQ, k_BK = (None if a is None or b is None else a | b for a, b in sides)
        return q_BQ, k_BK


@_pytree("mask")
@dataclass(frozen=True)
class Not(Mask):
    """What the mask forbids. Note that ``~Lengths(n)`` shows padding: combine it with care."""

    mask: Any

    def at(self, q_pos: Positions, k_pos: Positions) -> jax.Array:
        return ~self.mask.at(q_pos, k_pos)


def _both(combine: Callable, a: jax.Array, b: jax.Array) -> jax.Array:
    try:
        return combine(a, b)
    except (TypeError, ValueError):
        raise ValueError(
            f"masks of shapes {a.shape} and {b.shape} do not broadcast to one [B, H, Q, K]"
        ) from None


def _is_whole(pos: Positions, length: int) -> bool:
    """Whether static positions are exactly 0..length-1, so that no gather is needed."""
    return (
        isinstance(pos, np.ndarray)
        and pos.size == length
        and bool((pos.reshape(-1) == np.arange(length)).all())
    )


def _check_length(name: str, x: Any, axis: int, length: int | None, what: str) -> None:
    shape = jnp.shape(x)
    if length not in (None, shape[axis]):
        raise ValueError(
            f"{name} has shape {shape}, made for {shape[axis]} {what}; attention has {length}"
        )


def _gather(x_BT: Any, pos: Positions, *, axis: int, fill: Any) -> jax.Array:
    """x at the positions, laid along ``axis`` of four; positions beyond its end give ``fill``."""
    x_BT = jnp.asarray(x_BT)
    if not _is_whole(pos, x_BT.shape[1]):
        pos_BT = jnp.asarray(pos).reshape(pos.shape[0], pos.shape[axis])
        rows = max(x_BT.shape[0], pos_BT.shape[0])
        pos_BT = jnp.broadcast_to(pos_BT, (rows, pos_BT.shape[1]))
        x_BT = jnp.broadcast_to(x_BT, (rows, x_BT.shape[1]))
        x_BT = jax.vmap(lambda x, p: x.at[p].get(mode="fill", fill_value=fill))(x_BT, pos_BT)
    shape = [x_BT.shape[0], 1, 1, 1]
    shape[axis] = x_BT.shape[1]
    return x_BT.reshape(shape)


_WHOLE = (jnp.integer, "an integer dtype")
_TRUTH = (jnp.bool_, "bool, where True means 'may look'")


def _set_array(mask: Mask, name: str, ndim: tuple[int, ...], kind: tuple[Any, str]) -> None:
    """Checks the array in a field; a list there becomes an array."""
    x, field = getattr(mask, name), f"{type(mask).__name__}({name})"
    x = x if hasattr(x, "dtype") else np.asarray(x)
    if not jnp.issubdtype(x.dtype, kind[0]):
        raise TypeError(f"{field} has dtype {x.dtype}; it needs {kind[1]}")
    if x.ndim not in ndim:
        raise ValueError(f"{field} has shape {x.shape}; it needs {' or '.join(map(str, ndim))} axes")
    object.__setattr__(mask, name, x)


def _set_sides(mask: Mask, q_name: str, k_name: str, ndim: int, kind: tuple[Any, str]) -> None:
    """Checks both sides: keys are as the queries where not given, queries all real where None."""
    if getattr(mask, q_name) is not None:
        _set_array(mask, q_name, (ndim,), kind)
    if getattr(mask, k_name) is None:
        object.__setattr__(mask, k_name, getattr(mask, q_name))
    _set_array(mask, k_name, (ndim,), kind)
