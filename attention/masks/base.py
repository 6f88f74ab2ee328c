"""The base class of masks, their composition, and a mask given as an array."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from attention.masks.arrays import BOOLEAN, any_of, check_length, is_full_range, set_array
from attention.masks.components import MaskComponent
from attention.masks.tiling import FULL, MIXED, Tiling
from attention.masks.trees import dense_positions, pytree

Positions = Any  # an integer array: q [B or 1, 1, Q, 1], k [B or 1, 1, 1, K]
Padding = tuple[jax.Array | None, jax.Array | None]


class Mask:
    """The base class: composition, and the dense form made from the predicate ``at``."""

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
        """Raises ValueError if the mask holds arrays of other lengths; None is any length."""
        for value in vars(self).values():
            if isinstance(value, Mask):
                value.check(q_len, k_len)

    def padding(self, q_len: int | None, k_len: int | None) -> Padding:
        """Which queries and keys are not padding: bool [B, Q] and [B, K], None for "all".

        Cheap and cautious: a position may count as real though no query attends to it. A length of
        None skips its side.
        """
        return None, None

    def blocks(self, tiling: Tiling) -> np.ndarray:
        """EMPTY, MIXED or FULL for each tile, without reading arrays: int8 [N_q, N_k].

        EMPTY and FULL are never wrong; a tile that depends on an array is MIXED.
        """
        return np.full(tiling.shape, MIXED, np.int8)

    def decompose(self, q_len: int, k_len: int) -> tuple[MaskComponent, ...]:
        """Disjoint components, each of which is cheap by blocks; the mask itself by default."""
        return (MaskComponent(self),)

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
        set_array(self, "see", (2, 3, 4), BOOLEAN)

    def at(self, q_pos: Positions, k_pos: Positions) -> jax.Array:
        see, see_BHQK = jnp.asarray(self.see), self.four_axes()
        if is_full_range(q_pos, see.shape[-2]) and is_full_range(k_pos, see.shape[-1]):
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


@dataclass(frozen=True)
class _Pair(Mask):
    """Two masks of which ``_combine`` makes one."""

    left: Any
    right: Any

    _combine: ClassVar[Callable]

    def at(self, q_pos: Positions, k_pos: Positions) -> jax.Array:
        return self._combined(self.left.at(q_pos, k_pos), self.right.at(q_pos, k_pos))

    def tile(self, q_first: Any, k_first: Any, q_size: int, k_size: int) -> jax.Array:
        left, right = (m.tile(q_first, k_first, q_size, k_size) for m in (self.left, self.right))
        return self._combined(left, right)

    def _combined(self, left: jax.Array, right: jax.Array) -> jax.Array:
        try:
            return self._combine(left, right)
        except (TypeError, ValueError):
            raise ValueError(
                f"masks of shapes {left.shape} and {right.shape} do not broadcast to one "
                "[B, H, Q, K]"
            ) from None


@pytree("left", "right")
@dataclass(frozen=True)
class And(_Pair):
    """Both masks allow it."""

    _combine = staticmethod(jnp.logical_and)

    def padding(self, q_len: int | None, k_len: int | None) -> Padding:
        sides = zip(self.left.padding(q_len, k_len), self.right.padding(q_len, k_len), strict=True)
        q_BQ, k_BK = (b if a is None else a if b is None else a & b for a, b in sides)
        return q_BQ, k_BK

    def blocks(self, tiling: Tiling) -> np.ndarray:
        return np.minimum(self.left.blocks(tiling), self.right.blocks(tiling))

    def decompose(self, q_len: int, k_len: int) -> tuple[MaskComponent, ...]:
        for mask, other in ((self.left, self.right), (self.right, self.left)):
            found = mask.decompose(q_len, k_len)
            if not _is_trivial(found):
                return tuple(replace(one, mask=one.mask & other) for one in found)
        return (MaskComponent(self),)


@pytree("left", "right")
@dataclass(frozen=True)
class Or(_Pair):
    """Either mask allows it."""

    _combine = staticmethod(jnp.logical_or)

    def padding(self, q_len: int | None, k_len: int | None) -> Padding:
        return any_of([self.left.padding(q_len, k_len), self.right.padding(q_len, k_len)])

    def blocks(self, tiling: Tiling) -> np.ndarray:
        return np.maximum(self.left.blocks(tiling), self.right.blocks(tiling))

    def decompose(self, q_len: int, k_len: int) -> tuple[MaskComponent, ...]:
        """First the trivial components, as one; then the others, without the pairs before them."""
        found = [(mask, mask.decompose(q_len, k_len)) for mask in _alternatives(self)]
        trivial = [mask for mask, components in found if _is_trivial(components)]
        if len(trivial) == len(found):
            return (MaskComponent(self),)
        earlier = functools.reduce(Or, trivial) if trivial else None
        result = [MaskComponent(earlier)] if trivial else []
        for mask, components in found:
            if _is_trivial(components):
                continue
            for one in components:
                result.append(one if earlier is None else replace(one, mask=one.mask & ~earlier))
            earlier = mask if earlier is None else earlier | mask
        return tuple(result)


@pytree("mask")
@dataclass(frozen=True)
class Not(Mask):
    """The pairs that the mask hides. ``~Lengths(n)`` shows padding: combine it with care."""

    mask: Any

    def at(self, q_pos: Positions, k_pos: Positions) -> jax.Array:
        return ~self.mask.at(q_pos, k_pos)

    def tile(self, q_first: Any, k_first: Any, q_size: int, k_size: int) -> jax.Array:
        return ~self.mask.tile(q_first, k_first, q_size, k_size)

    def blocks(self, tiling: Tiling) -> np.ndarray:
        return FULL - self.mask.blocks(tiling)


def _is_trivial(components: tuple[MaskComponent, ...]) -> bool:
    return len(components) == 1 and components[0].is_trivial


def _alternatives(mask: Mask) -> list[Mask]:
    deeper = (mask.left, mask.right) if isinstance(mask, Or) else ()
    return [found for one in deeper for found in _alternatives(one)] or [mask]


def conjuncts(mask: Mask | None) -> Iterator[Mask]:
    """The masks that all have to allow a pair, without those that allow everything."""
    if isinstance(mask, And):
        yield from conjuncts(mask.left)
        yield from conjuncts(mask.right)
    elif mask is not None and not isinstance(mask, Everything):
        yield mask
