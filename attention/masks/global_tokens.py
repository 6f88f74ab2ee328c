"""Global tokens: single positions, given by their index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from attention.masks.arrays import check_whole
from attention.masks.base import Everything, Mask, Positions
from attention.masks.components import MaskComponent
from attention.masks.tiling import Tiling, any_and_all, kinds
from attention.masks.trees import pytree


@dataclass(frozen=True)
class _GlobalTokens(Mask):
    """Masks of global tokens.

    Attributes:
      first: how many tokens from the start are global.
      positions: further global tokens, by position.

    Raises:
      ValueError: a position is negative; in use, one lies beyond the length.
    """

    first: int = 0
    positions: tuple[int, ...] = ()

    def __post_init__(self):
        check_whole(self, 0, "first")
        given, name = self.positions, type(self).__name__
        whole = isinstance(given, Sequence) and all(isinstance(p, int | np.integer) for p in given)
        if not whole or min(given, default=0) < 0:
            raise ValueError(
                f"{name}(positions={given!r}): needs positions of 0 or more, as in (0, 5)"
            )
        object.__setattr__(self, "positions", tuple(int(p) for p in given))

    def _check_length(self, length: int | None, what: str) -> None:
        last = max(self.positions, default=0)
        if length is not None and last >= length > 1:  # one token: a step of decoding
            raise ValueError(
                f"Global: position {last} lies beyond the {length} {what}; name "
                f"positions below {length}, or pad the sequences to more than {last}"
            )

    def _is_global(self, pos: Positions) -> jax.Array:
        found = jnp.asarray(pos) < self.first
        for position in self.positions:
            found = found | (pos == position)
        return found

    def _kinds(self, length: int, first: np.ndarray, last: np.ndarray) -> np.ndarray:
        """EMPTY, MIXED or FULL for tiles of positions first..last."""
        return kinds(*any_and_all(_global_T(self, length), first, last))


@pytree()
@dataclass(frozen=True)
class Global(_GlobalTokens):
    """Global tokens see all and are seen by all.

    Attributes:
      first: how many tokens from the start are global.
      positions: further global tokens, by position.

    Raises:
      ValueError: a position is negative; in use, one lies beyond the length.
    """

    def check(self, q_len: int | None, k_len: int | None) -> None:
        self._check_length(q_len, "queries")
        self._check_length(k_len, "keys")

    def at(self, q_pos: Positions, k_pos: Positions) -> jax.Array:
        return self._is_global(q_pos) | self._is_global(k_pos)

    def blocks(self, tiling: Tiling) -> np.ndarray:
        return np.maximum(self.queries().blocks(tiling), self.keys().blocks(tiling))

    def decompose(self, q_len: int, k_len: int) -> tuple[MaskComponent, ...]:
        """All queries with the global keys; and the global queries with the other keys."""
        q_order, k_order = positions_of(self, q_len), positions_of(self, k_len)
        if not len(q_order) or not len(k_order):
            return (MaskComponent(self),)
        return (
            MaskComponent(Everything(), k_order=k_order),
            MaskComponent(~self.keys(), q_order=q_order),
        )

    def queries(self) -> GlobalQueries:
        """The pairs whose query is global."""
        return GlobalQueries(self.first, self.positions)

    def keys(self) -> GlobalKeys:
        """The pairs whose key is global."""
        return GlobalKeys(self.first, self.positions)


@pytree()
@dataclass(frozen=True)
class GlobalKeys(_GlobalTokens):
    """Global tokens are seen by all; one half of ``Global``, with the same attributes."""

    def check(self, q_len: int | None, k_len: int | None) -> None:
        self._check_length(k_len, "keys")

    def at(self, q_pos: Positions, k_pos: Positions) -> jax.Array:
        return self._is_global(k_pos)

    def blocks(self, tiling: Tiling) -> np.ndarray:
        return np.broadcast_to(self._kinds(tiling.k_len, *tiling.bounds()[2:]), tiling.shape)

    def decompose(self, q_len: int, k_len: int) -> tuple[MaskComponent, ...]:
        """All queries with the global keys."""
        k_order = positions_of(self, k_len)
        trivial = MaskComponent(self)
        return (MaskComponent(Everything(), k_order=k_order) if len(k_order) else trivial,)


@pytree()
@dataclass(frozen=True)
class GlobalQueries(_GlobalTokens):
    """Global tokens see all; the other half of ``Global``, with the same attributes."""

    def check(self, q_len: int | None, k_len: int | None) -> None:
        self._check_length(q_len, "queries")

    def at(self, q_pos: Positions, k_pos: Positions) -> jax.Array:
        return self._is_global(q_pos)

    def blocks(self, tiling: Tiling) -> np.ndarray:
        return np.broadcast_to(self._kinds(tiling.q_len, *tiling.bounds()[:2]), tiling.shape)

    def decompose(self, q_len: int, k_len: int) -> tuple[MaskComponent, ...]:
        """The global queries with all keys."""
        q_order = positions_of(self, q_len)
        trivial = MaskComponent(self)
        return (MaskComponent(Everything(), q_order=q_order) if len(q_order) else trivial,)


def positions_of(mask: Global | GlobalKeys | GlobalQueries, length: int) -> np.ndarray:
    """The global tokens of a sequence in their order, int32."""
    return np.flatnonzero(_global_T(mask, length)).astype(np.int32)


def _global_T(mask: _GlobalTokens, length: int) -> np.ndarray:
    global_T = np.arange(length) < mask.first
    global_T[[p for p in mask.positions if p < length]] = True
    return global_T
