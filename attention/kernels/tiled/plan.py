"""How the tiled kernel cuts its work: a tile's sides, rows at a time, which tiles to visit."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import numpy as np

from attention.masks import FULL, MIXED, Mask, Tiling


@dataclass(frozen=True)
class Limits:
    """How large the pieces may be.

    Attributes:
      side: queries and keys of a tile, at most.
      scores: scores held at a time, in all rows of a group together, unless one tile has more.
      unit: sides are multiples of this where a length is cut.
      least: the smallest side that is tried where a mask hides tiles.
      visit, edge: what it costs to visit a tile, and each query and key of it, in scores that could
        be computed instead; a single tile is not visited, but all there is.
    """

    side: int
    scores: int
    unit: int = 16
    least: int = 64
    visit: int = 15_000
    edge: int = 96


def divisor(count: int, most: int) -> int:
    """The greatest divisor of ``count`` up to ``most``; 1 where that is below 1."""
    return max(n for n in range(1, max(1, min(count, most)) + 1) if count % n == 0)


_LIMITS = {"cpu": Limits(512, 2**20)}  # 4 MiB of float32, as the caches like it
_ACCELERATOR = Limits(512, 2**26, least=128, visit=2**20)


def limits() -> Limits:
    """What suits the default backend."""
    return _LIMITS.get(jax.default_backend(), _ACCELERATOR)


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

    def cost(self, rows: int, limits: Limits) -> int:
        """What all visits cost together, in scores."""
        q_size, k_size = self.tiling.q_size, self.tiling.k_size
        if self.tiling.shape == (1, 1):
            return rows * q_size * k_size
        row = q_size * k_size + limits.edge * (q_size + k_size)
        visits = len(self.full_P2) + len(self.mixed_P2)
        return visits * (rows * row + rows // self.group * limits.visit)

    @property
    def q_padded(self) -> int:
        """Queries, filled up to whole tiles."""
        return self.tiling.shape[0] * self.tiling.q_size

    @property
    def k_padded(self) -> int:
        """Keys, filled up to whole tiles."""
        return self.tiling.shape[1] * self.tiling.k_size


def make_plan(rows: int, q_len: int, k_len: int, mask: Mask, limits: Limits) -> Plan:
    """Cuts [rows, q_len, k_len] scores under a mask: of several sizes of tiles into the cheapest.

    Small tiles follow a pattern closely, large ones are fewer to visit.
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
    if k_len % tiling.k_size:  # the last keys of the last tile are none
        blocks[:, -1] = np.minimum(blocks[:, -1], MIXED)
    tile = tiling.q_size * tiling.k_size
    group = divisor(rows, limits.scores // tile)
    full_P2, mixed_P2 = (np.argwhere(blocks == kind).astype(np.int32) for kind in (FULL, MIXED))
    return Plan(tiling, group, full_P2, mixed_P2)


def _even(length: int, side: int, limits: Limits) -> int:
    """The side that cuts a length most evenly into the fewest tiles of at most ``side``."""
    tiles = -(-length // side)
    even = -(-length // tiles)
    return even if tiles == 1 else -(-even // limits.unit) * limits.unit
