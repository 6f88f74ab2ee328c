"""Blocks of positions: those nearby, random ones, and the last of each sequence."""

import functools
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from attention.masks.arrays import INTEGER, check_whole, set_array
from attention.masks.base import Everything, Mask, Positions
from attention.masks.components import DynamicRange, MaskComponent
from attention.masks.tiling import Tiling, by_difference, kinds
from attention.masks.trees import pytree


@pytree()
@dataclass(frozen=True)
class NearBlocks(Mask):
    """A query sees its block of positions and those next to it.

    Attributes:
      size: positions of a block.
      near: how many blocks before and after its own it sees.

    Raises:
      ValueError: size is below 1, or near negative.
    """

    size: int
    near: int = 1

    def __post_init__(self):
        check_whole(self, 1, "size")
        check_whole(self, 0, "near")

    def at(self, q_pos: Positions, k_pos: Positions) -> jax.Array:
        return jnp.asarray(abs(k_pos // self.size - q_pos // self.size) <= self.near)

    def blocks(self, tiling: Tiling) -> np.ndarray:
        bounds = [pos // self.size for pos in tiling.bounds()]
        return by_difference(bounds, -self.near, self.near)


@pytree("lengths_B")
@dataclass(frozen=True, eq=False)
class LastBlock(Mask):
    """The tokens of a sequence's last block see all and are seen by all.

    Attributes:
      size: positions of a block; the last may be cut short.
      lengths_B: tokens of each sequence, int [B].

    Raises:
      ValueError: size is below 1, or the lengths have other axes.
    """

    size: int
    lengths_B: Any

    def __post_init__(self):
        check_whole(self, 1, "size")
        set_array(self, "lengths_B", (1,), INTEGER)

    def at(self, q_pos: Positions, k_pos: Positions) -> jax.Array:
        return self.contains(q_pos) | self.contains(k_pos)

    def decompose(self, q_len: int, k_len: int) -> tuple[MaskComponent, ...]:
        """All queries with the keys of the block; and its queries with the other keys."""
        last = DynamicRange(self.first_B(), self.size)
        return (
            MaskComponent(Everything(), k_order=last),
            MaskComponent(~_LastKeys(self), q_order=last),
        )

    def first_B(self) -> jax.Array:
        """The first position of the last block."""
        return jnp.maximum(jnp.asarray(self.lengths_B) - 1, 0) // self.size * self.size

    def contains(self, pos: Positions) -> jax.Array:
        """Whether positions lie in it, bool of the positions' axes."""
        first = self.first_B()[:, None, None, None]
        return (pos >= first) & (pos < first + self.size)


@pytree("last")
@dataclass(frozen=True, eq=False)
class _LastKeys(Mask):
    """All see the keys of the last block, and none else."""

    last: Any

    def at(self, q_pos: Positions, k_pos: Positions) -> jax.Array:
        return self.last.contains(k_pos)


@pytree()
@dataclass(frozen=True)
class RandomBlocks(Mask):
    """Each block of queries sees a few blocks of keys, drawn once from a seed.

    Attributes:
      size: positions of a block.
      count: blocks of keys that each block of queries sees, or all candidates if they are fewer.
      blocks_in_all: blocks of the longest sequence; tokens beyond see nothing and are unseen.
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
        q_block, k_block = jnp.asarray(q_pos) // self.size, jnp.asarray(k_pos) // self.size
        drawn_NR = jnp.asarray(self.drawn())
        seen = jnp.take(drawn_NR, q_block, axis=0, mode="fill", fill_value=-1)
        return (k_block[..., None] == seen).any(axis=-1)

    def blocks(self, tiling: Tiling) -> np.ndarray:
        n = self.blocks_in_all
        q_first, q_last, k_first, k_last = (np.minimum(b // self.size, n) for b in tiling.bounds())
        sums = _sums(self)
        seen = (
            sums[q_last + 1, k_last + 1]
            - sums[q_first, k_last + 1]
            - sums[q_last + 1, k_first]
            + sums[q_first, k_first]
        )
        return kinds(seen > 0, seen == (q_last - q_first + 1) * (k_last - k_first + 1))

    def drawn(self) -> np.ndarray:
        """The blocks of keys that each block of queries sees, int32 [N, count]; -1 is none."""
        return _drawn(self.count, self.blocks_in_all, self.seed, self.apart, self.ends)

    def table(self) -> np.ndarray:
        """The same as bool [N, N]."""
        table = np.zeros((self.blocks_in_all, self.blocks_in_all + 1), bool)
        table[np.arange(self.blocks_in_all)[:, None], self.drawn()] = True  # -1 in what is cut off
        return table[:, :-1]


@functools.lru_cache(maxsize=4)  # for every trace, and for several tilings
def _sums(mask: RandomBlocks) -> np.ndarray:
    """Of how many blocks are seen above and to the left, [N + 2, N + 2]; the last adds nothing."""
    sums = np.pad(mask.table().cumsum(0, np.int32).cumsum(1, np.int32), 1)
    sums[-1], sums[:, -1] = sums[-2], sums[:, -2]
    sums.setflags(write=False)
    return sums


@functools.lru_cache(maxsize=16)
def _drawn(count: int, n: int, seed: int, apart: int, ends: bool) -> np.ndarray:
    """``RandomBlocks.drawn``, read-only."""
    drawn = np.full((n, count), -1, np.int32)
    for i in range(n):
        j = np.arange(n)
        allowed = np.abs(j - i) >= apart
        if not ends:
            allowed &= (j > 0) & (j < n - 1)
        candidates = j[allowed]
        # A generator for each row, so that a row does not depend on the number of rows before it.
        random = np.random.default_rng((seed, i))
        chosen = random.permutation(candidates)[:count]
        drawn[i, : len(chosen)] = chosen
    drawn.setflags(write=False)
    return drawn
