"""The mask itself: what all share, composition, and a mask given as an array."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from attention.masks.arrays import TRUTH, any_of, check_length, is_whole, set_array
from attention.masks.parts import Part
from attention.masks.tiling import FULL, MIXED, Tiling
from attention.masks.trees import dense_positions, pytree

Positions = Any  # an integer array: q [B or 1, 1, Q, 1], k [B or 1, 1, 1, K]
Padding = tuple[jax.Array | None, jax.Array | None]


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

    def tile(self, q_first: Any, k_first: Any, q_size: int, k_size: int) -> jax.Array:
        """The mask of a tile whose corner may be traced: [B or 1, H or 1, q_size, k_size]."""
        q_pos, k_pos = dense_positions(q_size, k_size)
        return self.at(q_pos + q_first, k_pos + k_first)

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

    def blocks(self, tiling: Tiling) -> np.ndarray:
        """What is known of each tile without arrays: EMPTY, MIXED or FULL, int8 [N_q, N_k].

        EMPTY and FULL are never wrong; what depends on an array is MIXED.
        """
        return np.full(tiling.shape, MIXED, np.int8)

    def parts(self, q_len: int, k_len: int) -> tuple[Part, ...]:
        """The mask cut into disjoint parts that are blocks each; it alone where it is cheap so."""
        return (Part(self),)

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


def as_mask(mask: Any) -> Mask:
    """A mask from a mask, a boolean array ([Q, K], [B, Q, K] or [B, H, Q, K]) or None (all)."""
    if mask is None:
        return Everything()
    if isinstance(mask, Mask):
        return mask
    return Array(mask)


@pytree()
@dataclass(frozen=True)
class Everything(Mask):
    """Every query sees every key."""

    def at(self, q_pos: Positions, k_pos: Positions) -> jax.Array:
        return jnp.ones((1, 1, q_pos.shape[2], k_pos.shape[3]), bool)

    def blocks(self, tiling: Tiling) -> np.ndarray:
        return np.full(tiling.shape, FULL, np.int8)


@pytree("see")
@dataclass(frozen=True, eq=False)
class Array(Mask):
    """A mask given as a boolean array: [Q, K], [B, Q, K] or [B, H, Q, K]."""

    see: Any

    def __post_init__(self):
        set_array(self, "see", (2, 3, 4), TRUTH)

    def at(self, q_pos: Positions, k_pos: Positions) -> jax.Array:
        see, see_BHQK = jnp.asarray(self.see), self.four_axes()
        if is_whole(q_pos, see.shape[-2]) and is_whole(k_pos, see.shape[-1]):
            return see_BHQK
        rows = max(see_BHQK.shape[0], q_pos.shape[0], k_pos.shape[0])
        see_BHQK = jnp.broadcast_to(see_BHQK, (rows, *see_BHQK.shape[1:]))
        q_BQ = jnp.broadcast_to(q_pos[:, 0, :, 0], (rows, q_pos.shape[2]))
        k_BK = jnp.broadcast_to(k_pos[:, 0, 0, :], (rows, k_pos.shape[3]))

        def pick(see_HQK, q_Q, k_K):
            picked = see_HQK.at[:, q_Q, :].get(mode="fill", fill_value=False)
            return picked.at[:, :, k_K].get(mode="fill", fill_value=False)

        return jax.vmap(pick)(see_BHQK, q_BQ, k_BK)

    def tile(self, q_first: Any, k_first: Any, q_size: int, k_size: int) -> jax.Array:
        """A slice, and no gather; the tile lies within the array."""
        see_BHQK = self.four_axes()
        start = [jnp.asarray(first, jnp.int32) for first in (0, 0, q_first, k_first)]
        return jax.lax.dynamic_slice(see_BHQK, start, (*see_BHQK.shape[:2], q_size, k_size))

    def check(self, q_len: int | None, k_len: int | None) -> None:
        check_length("Array(see)", self.see, -2, q_len, "queries")
        check_length("Array(see)", self.see, -1, k_len, "keys")

    def padding(self, q_len: int | None, k_len: int | None) -> Padding:
        see_BHQK = self.four_axes()
        return see_BHQK.any(axis=(1, 3)), see_BHQK.any(axis=(1, 2))

    def four_axes(self) -> jax.Array:
        """The array as [B or 1, H or 1, Q, K]."""
        see = jnp.asarray(self.see)
        batch, heads = {2: (1, 1), 3: (see.shape[0], 1), 4: see.shape[:2]}[see.ndim]
        return see.reshape(batch, heads, *see.shape[-2:])


@pytree("left", "right")
@dataclass(frozen=True)
class And(Mask):
    """Both masks allow it."""

    left: Any
    right: Any

    def at(self, q_pos: Positions, k_pos: Positions) -> jax.Array:
        return _both(jnp.logical_and, self.left.at(q_pos, k_pos), self.right.at(q_pos, k_pos))

    def tile(self, q_first: Any, k_first: Any, q_size: int, k_size: int) -> jax.Array:
        left, right = (m.tile(q_first, k_first, q_size, k_size) for m in (self.left, self.right))
        return _both(jnp.logical_and, left, right)

    def padding(self, q_len: int | None, k_len: int | None) -> Padding:
        sides = zip(self.left.padding(q_len, k_len), self.right.padding(q_len, k_len), strict=True)
        q_BQ, k_BK = (b if a is None else a if b is None else a & b for a, b in sides)
        return q_BQ, k_BK

    def blocks(self, tiling: Tiling) -> np.ndarray:
        return np.minimum(self.left.blocks(tiling), self.right.blocks(tiling))

    def parts(self, q_len: int, k_len: int) -> tuple[Part, ...]:
        for cut, other in ((self.left, self.right), (self.right, self.left)):
            parts = cut.parts(q_len, k_len)
            if not _whole(parts):
                return tuple(replace(part, mask=part.mask & other) for part in parts)
        return (Part(self),)


@pytree("left", "right")
@dataclass(frozen=True)
class Or(Mask):
    """Either mask allows it."""

    left: Any
    right: Any

    def at(self, q_pos: Positions, k_pos: Positions) -> jax.Array:
        return _both(jnp.logical_or, self.left.at(q_pos, k_pos), self.right.at(q_pos, k_pos))

    def tile(self, q_first: Any, k_first: Any, q_size: int, k_size: int) -> jax.Array:
        left, right = (m.tile(q_first, k_first, q_size, k_size) for m in (self.left, self.right))
        return _both(jnp.logical_or, left, right)

    def padding(self, q_len: int | None, k_len: int | None) -> Padding:
        return any_of([self.left.padding(q_len, k_len), self.right.padding(q_len, k_len)])

    def blocks(self, tiling: Tiling) -> np.ndarray:
        return np.maximum(self.left.blocks(tiling), self.right.blocks(tiling))

    def parts(self, q_len: int, k_len: int) -> tuple[Part, ...]:
        """First all that need no cutting, together; then the others, each less what was before."""
        cut = [(mask, mask.parts(q_len, k_len)) for mask in _alternatives(self)]
        if all(_whole(parts) for _, parts in cut):
            return (Part(self),)
        whole = [mask for mask, parts in cut if _whole(parts)]
        before = functools.reduce(Or, whole) if whole else None
        found = [Part(before)] if whole else []
        for mask, parts in cut:
            if not _whole(parts):
                new = (p if before is None else replace(p, mask=p.mask & ~before) for p in parts)
                found += new
                before = mask if before is None else before | mask
        return tuple(found)


@pytree("mask")
@dataclass(frozen=True)
class Not(Mask):
    """What the mask forbids. Note that ``~Lengths(n)`` shows padding: combine it with care."""

    mask: Any

    def at(self, q_pos: Positions, k_pos: Positions) -> jax.Array:
        return ~self.mask.at(q_pos, k_pos)

    def tile(self, q_first: Any, k_first: Any, q_size: int, k_size: int) -> jax.Array:
        return ~self.mask.tile(q_first, k_first, q_size, k_size)

    def blocks(self, tiling: Tiling) -> np.ndarray:
        return FULL - self.mask.blocks(tiling)


def _whole(parts: tuple[Part, ...]) -> bool:
    return len(parts) == 1 and parts[0].plain


def _alternatives(mask: Mask) -> list[Mask]:
    deeper = (mask.left, mask.right) if isinstance(mask, Or) else ()
    return [part for one in deeper for part in _alternatives(one)] or [mask]


def _both(combine: Callable, a: jax.Array, b: jax.Array) -> jax.Array:
    try:
        return combine(a, b)
    except (TypeError, ValueError):
        raise ValueError(
            f"masks of shapes {a.shape} and {b.shape} do not broadcast to one [B, H, Q, K]"
        ) from None
