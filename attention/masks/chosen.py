"""Single positions that are chosen: global tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from attention.masks.arrays import check_whole
from attention.masks.base import Everything, Mask, Positions
from attention.masks.parts import Part
from attention.masks.tiling import Tiling, kinds, of_tiles
from attention.masks.trees import pytree


@pytree()
@dataclass(frozen=True)
class Global(Mask):
    """Chosen tokens see all and are seen by all.

    Attributes:
      first: how many tokens from the start are global.
      positions: further ones, by position.

    Raises:
      ValueError: a position is negative; in use, one lies beyond the length.
    """

    first: int = 0
    positions: tuple[int, ...] = ()

    def __post_init__(self):
        _set_chosen(self)

    def check(self, q_len: int | None, k_len: int | None) -> None:
        _check_length(self, q_len, "queries")
        _check_length(self, k_len, "keys")

    def at(self, q_pos: Positions, k_pos: Positions) -> jax.Array:
        return _chosen(self, q_pos) | _chosen(self, k_pos)

    def blocks(self, tiling: Tiling) -> np.ndarray:
        return np.maximum(self.queries().blocks(tiling), self.keys().blocks(tiling))

    def parts(self, q_len: int, k_len: int) -> tuple[Part, ...]:
        """The chosen keys, put together; and the chosen queries, less those keys."""
        q_order, k_order = positions_of(self, q_len), positions_of(self, k_len)
        if not len(q_order) or not len(k_order):
            return (Part(self),)
        return Part(Everything(), k_order=k_order), Part(~self.keys(), q_order=q_order)

    def queries(self) -> GlobalQueries:
        """What the chosen tokens see."""
        return GlobalQueries(self.first, self.positions)

    def keys(self) -> GlobalKeys:
        """That the chosen tokens are seen."""
        return GlobalKeys(self.first, self.positions)


@pytree()
@dataclass(frozen=True)
class GlobalKeys(Mask):
    """Chosen tokens are seen by all; one half of ``Global``, with the same attributes."""

    first: int = 0
    positions: tuple[int, ...] = ()

    def __post_init__(self):
        _set_chosen(self)

    def check(self, q_len: int | None, k_len: int | None) -> None:
        _check_length(self, k_len, "keys")

    def at(self, q_pos: Positions, k_pos: Positions) -> jax.Array:
        return _chosen(self, k_pos)

    def blocks(self, tiling: Tiling) -> np.ndarray:
        return np.broadcast_to(_kinds(self, tiling.k_len, tiling.bounds()[2:]), tiling.shape)

    def parts(self, q_len: int, k_len: int) -> tuple[Part, ...]:
        """The chosen keys, put together."""
        k_order = positions_of(self, k_len)
        return (Part(Everything(), k_order=k_order) if len(k_order) else Part(self),)


@pytree()
@dataclass(frozen=True)
class GlobalQueries(Mask):
    """Chosen tokens see all; the other half of ``Global``, with the same attributes."""

    first: int = 0
    positions: tuple[int, ...] = ()

    def __post_init__(self):
        _set_chosen(self)

    def check(self, q_len: int | None, k_len: int | None) -> None:
        _check_length(self, q_len, "queries")

    def at(self, q_pos: Positions, k_pos: Positions) -> jax.Array:
        return _chosen(self, q_pos)

    def blocks(self, tiling: Tiling) -> np.ndarray:
        return np.broadcast_to(_kinds(self, tiling.q_len, tiling.bounds()[:2]), tiling.shape)

    def parts(self, q_len: int, k_len: int) -> tuple[Part, ...]:
        """The chosen queries, put together."""
        q_order = positions_of(self, q_len)
        return (Part(Everything(), q_order=q_order) if len(q_order) else Part(self),)


Chosen = Global | GlobalKeys | GlobalQueries


def positions_of(mask: Chosen, length: int) -> np.ndarray:
    """The chosen positions of a sequence in their order, int32."""
    return np.flatnonzero(_seen(mask, length)).astype(np.int32)


def _seen(mask: Chosen, length: int) -> np.ndarray:
    see_T = np.arange(length) < mask.first
    see_T[[p for p in mask.positions if p < length]] = True
    return see_T


def _kinds(mask: Chosen, length: int, ends: Any) -> np.ndarray:
    return kinds(*of_tiles(_seen(mask, length), *ends))


def _chosen(mask: Chosen, pos: Positions) -> jax.Array:
    chosen = jnp.asarray(pos) < mask.first
    for position in mask.positions:
        chosen = chosen | (pos == position)
    return chosen


def _set_chosen(mask: Chosen) -> None:
    check_whole(mask, 0, "first")
    given, name = mask.positions, type(mask).__name__
    whole = isinstance(given, Sequence) and all(isinstance(p, int | np.integer) for p in given)
    if not whole or min(given, default=0) < 0:
        raise ValueError(f"{name}(positions={given!r}): needs positions of 0 or more, as in (0, 5)")
    object.__setattr__(mask, "positions", tuple(int(p) for p in given))


def _check_length(mask: Chosen, length: int | None, what: str) -> None:
    last = max(mask.positions, default=0)
    if length is not None and last >= length > 1:  # one token: a step of decoding
        raise ValueError(
            f"Global: position {last} lies beyond the {length} {what}; name "
            f"positions below {length}, or pad the sequences to more than {last}"
        )
