"""Single positions and blocks that are chosen: global tokens, random blocks."""

from __future__ import annotations

import functools
from dataclasses import dataclass

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
        check_whole(self, 0, "first")
        object.__setattr__(self, "positions", tuple(int(p) for p in self.positions))
        if min(self.positions, default=0) < 0:
            raise ValueError(f"Global(positions={self.positions}): needs positions of 0 or more")

    def check(self, q_len: int | None, k_len: int | None) -> None:
        last = max(self.first - 1, *self.positions, 0)
        for length, what in ((q_len, "queries"), (k_len, "keys")):
            if length is not None and last >= length > 1 and self.positions:
                raise ValueError(f"Global: position {last} lies beyond the {length} {what}")

    def at(self, q_pos: Positions, k_pos: Positions) -> jax.Array:
        return self._chosen(q_pos) | self._chosen(k_pos)

    def _chosen(self, pos: Positions) -> jax.Array:
        chosen = jnp.asarray(pos) < self.first
        for position in self.positions:
            chosen = chosen | (pos == position)
        return chosen

    def blocks(self, tiling: Tiling) -> np.ndarray:
        q_first, q_last, k_first, k_last = tiling.bounds()
        q_some, q_whole = of_tiles(self._seen(tiling.q_len), q_first, q_last)
        k_some, k_whole = of_tiles(self._seen(tiling.k_len), k_first, k_last)
        return kinds(q_some | k_some, q_whole | k_whole)

    def parts(self, q_len: int, k_len: int) -> tuple[Part, ...]:
        """The chosen keys, put together; and the chosen queries, less those keys."""
        q_order, k_order = (
            np.flatnonzero(self._seen(length)).astype(np.int32) for length in (q_len, k_len)
        )
        if not len(q_order) or not len(k_order):
            return (Part(self),)
        others = ~_Keys(self)
        return Part(Everything(), k_order=k_order), Part(others, q_order=q_order)

    def _seen(self, length: int) -> np.ndarray:
        see_T = np.arange(length) < self.first
        see_T[[p for p in self.positions if p < length]] = True
        return see_T


@pytree()
@dataclass(frozen=True)
class _Keys(Mask):
    """All see the chosen keys, and none else."""

    chosen: Global

    def at(self, q_pos: Positions, k_pos: Positions) -> jax.Array:
        return self.chosen._chosen(k_pos)

    def blocks(self, tiling: Tiling) -> np.ndarray:
        _, _, k_first, k_last = tiling.bounds()
        seen = kinds(*of_tiles(self.chosen._seen(tiling.k_len), k_first, k_last))
        return np.broadcast_to(seen, tiling.shape)


@pytree()
@dataclass(frozen=True)
class RandomBlocks(Mask):
    """Each block of queries sees a few blocks of keys, drawn once from a seed.

    Attributes:
      size: positions of a block.
      count: blocks of keys that each block of queries sees, or all candidates if they are fewer.
      blocks_in_all: blocks of the longest sequence; what lies beyond sees and is seen by nothing.
      seed: of the draw, which is the same for every batch, head and length.
      apart: only blocks at least so many blocks away are drawn.
      ends: whether the first and the last block may be drawn.

    Raises:
      ValueError: a number is out of range.
    """

    size: int
    count: int
    blocks_in_all: int
    seed: int = 0
    apart: int = 0
    ends: bool = True

    def __post_init__(self):
        check_whole(self, 1, "size", "count", "blocks_in_all")
        check_whole(self, 0, "seed", "apart")

    def at(self, q_pos: Positions, k_pos: Positions) -> jax.Array:
        n = self.blocks_in_all
        q_block, k_block = jnp.asarray(q_pos) // self.size, jnp.asarray(k_pos) // self.size
        inside = (q_block < n) & (k_block < n)
        drawn = jnp.asarray(self.table())[jnp.minimum(q_block, n - 1), jnp.minimum(k_block, n - 1)]
        return drawn & inside

    def blocks(self, tiling: Tiling) -> np.ndarray:
        n = self.blocks_in_all
        q_first, q_last, k_first, k_last = (np.minimum(b // self.size, n) for b in tiling.bounds())
        sums = np.zeros((n + 2, n + 2), int)  # of all above and to the left; one row of nothing
        sums[1 : n + 1, 1 : n + 1] = self.table().cumsum(0).cumsum(1)
        sums[n + 1], sums[:, n + 1] = sums[n], sums[:, n]
        seen = (
            sums[q_last + 1, k_last + 1]
            - sums[q_first, k_last + 1]
            - sums[q_last + 1, k_first]
            + sums[q_first, k_first]
        )
        return kinds(seen > 0, seen == (q_last - q_first + 1) * (k_last - k_first + 1))

    def table(self) -> np.ndarray:
        """Which block of keys each block of queries sees, bool [N, N]."""
        return _drawn(self.count, self.blocks_in_all, self.seed, self.apart, self.ends)


@functools.lru_cache(maxsize=16)  # it is asked for at every trace, and for several tilings
def _drawn(count: int, n: int, seed: int, apart: int, ends: bool) -> np.ndarray:
    """Draws ``RandomBlocks.table``, which nobody may change."""
    table = np.zeros((n, n), bool)
    for i in range(n):
        j = np.arange(n)
        allowed = np.abs(j - i) >= apart
        if not ends:
            allowed &= (j > 0) & (j < n - 1)
        candidates = j[allowed]
        # A generator for each row, so that a row does not hang on how many there are before it.
        random = np.random.default_rng((seed, i))
        table[i, random.permutation(candidates)[:count]] = True
    table.setflags(write=False)
    return table
