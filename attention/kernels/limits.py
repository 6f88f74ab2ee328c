"""How large the parts of a computation may be."""

from dataclasses import dataclass

import jax


@dataclass(frozen=True)
class Limits:
    """How large the parts of a computation may be.

    Attributes:
      side: queries and keys of a tile, at most.
      scores: scores in memory, of all rows of a group together, unless one tile has more.
      unit: sides are multiples of this where a length is split.
      least: the smallest side that is tried where a mask hides tiles.
      tile_cost, edge_cost: the cost of a tile, and of each query and key of it, in scores that
        could be computed instead; a single tile costs its scores alone.
    """

    side: int
    scores: int
    unit: int = 16
    least: int = 64
    tile_cost: int = 15_000
    edge_cost: int = 96


_CPU = Limits(512, 2**20)  # 4 MiB of float32, which the caches hold
_ACCELERATOR = Limits(512, 2**26, least=128, tile_cost=2**20)


def limits() -> Limits:
    """The limits of the default backend."""
    return _CPU if jax.default_backend() == "cpu" else _ACCELERATOR


def divisor(count: int, most: int) -> int:
    """The greatest divisor of ``count`` up to ``most``; 1 where that is below 1."""
    return max(n for n in range(1, max(1, min(count, most)) + 1) if count % n == 0)
