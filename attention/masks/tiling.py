"""Scores cut into tiles, and what a mask can say of a tile before any array is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

EMPTY, MIXED, FULL = 0, 1, 2  # so that & is min, | is max and ~ is 2 - x


@dataclass(frozen=True)
class Tiling:
    """[Q, K] scores cut into tiles of ``q_size`` by ``k_size``; the last ones may be cut short.

    Attributes:
      q_len, k_len: queries and keys.
      q_size, k_size: sides of a tile.
    """

    q_len: int
    k_len: int
    q_size: int
    k_size: int

    @property
    def shape(self) -> tuple[int, int]:
        """Tiles along the queries and along the keys."""
        return -(-self.q_len // self.q_size), -(-self.k_len // self.k_size)

    def bounds(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """First and last positions of each tile: queries' as [N_q, 1], keys' as [1, N_k]."""
        n_q, n_k = self.shape
        q_first, k_first = np.arange(n_q) * self.q_size, np.arange(n_k) * self.k_size
        q_last = np.minimum(q_first + self.q_size, self.q_len) - 1
        k_last = np.minimum(k_first + self.k_size, self.k_len) - 1
        return q_first[:, None], q_last[:, None], k_first[None], k_last[None]


def by_difference(bounds: Sequence[np.ndarray], low: float, high: float) -> np.ndarray:
    """Tiles of the pattern low <= k - q <= high: EMPTY, MIXED or FULL, int8 [N_q, N_k].

    ``bounds`` are as ``Tiling.bounds`` gives them, of positions or of what grows with them.
    """
    q_first, q_last, k_first, k_last = bounds
    least, most = k_first - q_last, k_last - q_first
    return kinds((most >= low) & (least <= high), (least >= low) & (most <= high))


def kinds(some: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """EMPTY, MIXED or FULL from whether something, and whether all, of a tile is seen."""
    return np.where(whole, FULL, np.where(some, MIXED, EMPTY)).astype(np.int8)


def of_tiles(see_T: np.ndarray, first: np.ndarray, last: np.ndarray) -> tuple[Any, Any]:
    """Whether some, and whether all, of the positions first..last of each tile are seen."""
    seen = np.concatenate([[0], np.cumsum(see_T)])
    count = seen[last + 1] - seen[first]
    return count > 0, count == last - first + 1
