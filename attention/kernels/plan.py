"""How the tiled kernel cuts its work: a tile's sides, rows at a time, which tiles to visit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from attention.masks import FULL, MIXED, Mask, Tiling

SIDE = 512  # queries and keys of a tile, at most
SCORES = 2**20  # scores held at a time, in all rows of a group together: 4 MiB of float32
_UNIT = 16  # sides are multiples of this where a length is cut


@dataclass(frozen=True)
class Plan:
    """The tiles of one attention.

    Attributes:
      tiling: lengths and sides.
      group: rows worked on together, G; divides the rows.
      full_P2, mixed_P2: tiles seen whole, and in part or perhaps, as (i, j), int32. All others are
        hidden from every row, and never visited.
    """

    tiling: Tiling
    group: int
    full_P2: np.ndarray
    mixed_P2: np.ndarray

    def kinds(self) -> tuple[tuple[np.ndarray, bool], ...]:
        """The tiles to visit, with whether the mask has to be asked."""
        return (self.full_P2, False), (self.mixed_P2, True)

    @property
    def q_padded(self) -> int:
        """Queries, filled up to whole tiles."""
        return self.tiling.shape[0] * self.tiling.q_size

    @property
    def k_padded(self) -> int:
        """Keys, filled up to whole tiles."""
        return self.tiling.shape[1] * self.tiling.k_size


def plan(rows: int, q_len: int, k_len: int, mask: Mask) -> Plan:
    """Cuts [rows, q_len, k_len] scores under a mask."""
    tiling = Tiling(q_len, k_len, _side(q_len), _side(k_len))
    blocks = mask.blocks(tiling).copy()
    if k_len % tiling.k_size:  # the last keys of the last tile are none
        blocks[:, -1] = np.minimum(blocks[:, -1], MIXED)
    tile = tiling.q_size * tiling.k_size
    fitting = [g for g in range(1, rows + 1) if rows % g == 0 and (g == 1 or g * tile <= SCORES)]
    full_P2, mixed_P2 = (np.argwhere(blocks == kind).astype(np.int32) for kind in (FULL, MIXED))
    return Plan(tiling, fitting[-1], full_P2, mixed_P2)


def _side(length: int) -> int:
    """The side that cuts a length most evenly into the fewest tiles."""
    tiles = -(-length // SIDE)
    even = -(-length // tiles)
    return even if tiles == 1 else -(-even // _UNIT) * _UNIT
