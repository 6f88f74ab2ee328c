"""Scores split into tiles, and whether a tile is hidden or visible before any array is known."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

EMPTY, MIXED, FULL = 0, 1, 2  # so that & is min, | is max and ~ is 2 - x


@dataclass(frozen=True)
class Tiling:
    """[Q, K] scores split into tiles of ``q_size`` by ``k_size``; the last ones may be smaller.

    Attributes:
      q_len, k_len: queries and keys.
      q_size, k_size: sides of a tile.
      q_order, k_order: the positions in the order in which they are split, int [Q'] and [K'], -1
        for none; None is the order of the sequence. Bounds are then least and greatest positions.
    """

    q_len: int
    k_len: int
    q_size: int
    k_size: int
    q_order: np.ndarray | None = None
    k_order: np.ndarray | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Tiles along the queries and along the keys."""
        q_len = self.q_len if self.q_order is None else len(self.q_order)
        k_len = self.k_len if self.k_order is None else len(self.k_order)
        return -(-q_len // self.q_size), -(-k_len // self.k_size)

    def bounds(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """First and last positions of each tile: queries' as [N_q, 1], keys' as [1, N_k]."""
        q_first, q_last = _ends(self.q_len, self.q_size, self.q_order)
        k_first, k_last = _ends(self.k_len, self.k_size, self.k_order)
        return q_first[:, None], q_last[:, None], k_first[None], k_last[None]


def _ends(length: int, size: int, order: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """The least and the greatest position of each tile; 0 where it has none."""
    if order is None:
        first = np.arange(-(-length // size)) * size
        return first, np.minimum(first + size, length) - 1
    order_NC = in_tiles(order, size)
    last = np.maximum(order_NC.max(1), 0)
    return np.minimum(np.where(order_NC < 0, length, order_NC).min(1), last), last


def in_tiles(order: np.ndarray, size: int) -> np.ndarray:
    """An order split into tiles, [N, size], the last one padded with -1."""
    order_NC = np.full((-(-len(order) // size), size), -1)
    order_NC.reshape(-1)[: len(order)] = order
    return order_NC


def by_difference(bounds: Sequence[np.ndarray], low: float, high: float) -> np.ndarray:
    """Tiles of the pattern low <= k - q <= high: EMPTY, MIXED or FULL, int8 [N_q, N_k].

    ``bounds`` are as ``Tiling.bounds`` returns them, of positions or of a function that grows with
    them.
    """
    q_first, q_last, k_first, k_last = bounds
    least, most = k_first - q_last, k_last - q_first
    return kinds((most >= low) & (least <= high), (least >= low) & (most <= high))


def kinds(some: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """EMPTY, MIXED or FULL from whether something, and whether all, of a tile is seen."""
    return np.where(whole, FULL, np.where(some, MIXED, EMPTY)).astype(np.int8)


def any_and_all(see_T: np.ndarray, first: np.ndarray, last: np.ndarray) -> tuple[Any, Any]:
    """Whether some, and whether all, of the positions first..last of each tile are seen."""
    seen = np.concatenate([[0], np.cumsum(see_T)])
    count = seen[last + 1] - seen[first]
    return count > 0, count == last - first + 1
