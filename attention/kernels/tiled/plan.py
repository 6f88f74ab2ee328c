"""The plan of the tiled kernel: sides of tiles, rows at a time, and which tiles to compute."""

from dataclasses import dataclass

import numpy as np

from attention.kernels.limits import Limits, divisor
from attention.masks import FULL, MIXED, Mask, Tiling


@dataclass(frozen=True)
class Plan:
    """The tiles of one attention.

    Attributes:
      tiling: lengths and sides.
      group: rows that are computed together, G; divides the rows.
      full_P2, mixed_P2: tiles that are visible, and that may be so in part, as (i, j), int32. All
        others are hidden from every row, and never computed.
    """

    tiling: Tiling
    group: int
    full_P2: np.ndarray
    mixed_P2: np.ndarray

    def kinds(self) -> tuple[tuple[np.ndarray, bool], ...]:
        """The tiles to compute, with whether the mask has to be applied."""
        return (self.full_P2, False), (self.mixed_P2, True)

    def cost(self, rows: int, limits: Limits) -> int:
        """The estimated cost of all tiles, in scores."""
        q_size, k_size = self.tiling.q_size, self.tiling.k_size
        if self.tiling.shape == (1, 1):
            return rows * q_size * k_size
        row = q_size * k_size + limits.edge_cost * (q_size + k_size)
        tiles = len(self.full_P2) + len(self.mixed_P2)
        return tiles * (rows * row + rows // self.group * limits.tile_cost)

    @property
    def q_padded(self) -> int:
        """Queries, padded to whole tiles."""
        return self.tiling.shape[0] * self.tiling.q_size

    @property
    def k_padded(self) -> int:
        """Keys, padded to whole tiles."""
        return self.tiling.shape[1] * self.tiling.k_size


def make_plan(rows: int, q_len: int, k_len: int, mask: Mask, limits: Limits) -> Plan:
    """The cheapest plan, over several sizes of tiles, for [rows, q_len, k_len] scores under a mask.

    Small tiles follow a pattern closely, large ones are fewer.
    """
    sides = [limits.side]
    while sides[-1] // 2 >= limits.least and sides[-1] // 2 < max(q_len, k_len):
        sides.append(sides[-1] // 2)
    plans = [_plan(rows, q_len, k_len, mask, limits, side) for side in sides]
    return min(plans, key=lambda plan: plan.cost(rows, limits))


def _plan(rows: int, q_len: int, k_len: int, mask: Mask, limits: Limits, side: int) -> Plan:
    """The plan with tiles of at most a side."""
    tiling = Tiling(q_len, k_len, _even(q_len, side, limits), _even(k_len, side, limits))
    blocks = mask.blocks(tiling).copy()
    if k_len % tiling.k_size:  # the last tile has padding
        blocks[:, -1] = np.minimum(blocks[:, -1], MIXED)
    tile = tiling.q_size * tiling.k_size
    group = divisor(rows, limits.scores // tile)
    full_P2, mixed_P2 = (np.argwhere(blocks == kind).astype(np.int32) for kind in (FULL, MIXED))
    return Plan(tiling, group, full_P2, mixed_P2)


def _even(length: int, side: int, limits: Limits) -> int:
    """The side that splits a length most evenly into the fewest tiles of at most ``side``."""
    tiles = -(-length // side)
    even = -(-length // tiles)
    return even if tiles == 1 else -(-even // limits.unit) * limits.unit
