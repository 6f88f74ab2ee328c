"""How the sparse kernel computes a component of a mask: blocks of queries with all their keys."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from attention.kernels.limits import divisor
from attention.masks import EMPTY, FULL, MIXED, Tiling
from attention.masks.components import DynamicRange, MaskComponent
from attention.masks.tiling import in_tiles

_TILE_SIDES = (512, 256, 128, 64, 32)
_MIN_TILE_SIDE = 16  # within diagonal blocks
_MAX_RANGES = 16
_MAX_WASTE = 1.8  # scores, relative to those of the smallest tiles
# The cost of a score, and of each query and key of a block, relative to a score of the tiled
# kernel; a block larger than the caches costs more.
_SCORE_COST, _EDGE_COST, _BLOCK_COST = 0.9, 55, 13_000
_LARGE_BLOCK, _LARGE_BLOCK_FACTOR = 2**18, 2.0
_MAX_SCORES = 3 * 2**19  # of the blocks that are computed together, on a CPU
_MAX_TOGETHER = 8  # each block of them adds operations to the program


@dataclass(frozen=True)
class BlockGroup:
    """Blocks of one shape.

    Attributes:
      q_first_P: the first query of each block, int32; every query is in one block at most.
      k_first_PN: the first key of each of its N ranges of keys, int32.
      q_size, k_size: queries of a block, and keys of a range.
      masked: whether the mask has to be applied.
    """

    q_first_P: np.ndarray
    k_first_PN: np.ndarray
    q_size: int
    k_size: int
    masked: bool

    @property
    def num_keys(self) -> int:
        """Keys of a block."""
        return self.k_first_PN.shape[1] * self.k_size

    @property
    def num_scores(self) -> int:
        """Scores of all blocks."""
        return len(self.q_first_P) * self.q_size * self.num_keys

    def num_together(self, rows: int, max_scores: int) -> int:
        """How many blocks are computed together, with at most ``max_scores`` scores in ``rows``."""
        count = len(self.q_first_P)
        fitting = max_scores // (rows * self.q_size * self.num_keys)
        most = max(1, min(count, _MAX_TOGETHER, fitting))
        even = divisor(count, most)
        return even if 2 * even > most else most


@dataclass(frozen=True)
class Schedule:
    """All blocks of a component, and the lengths to which its queries and keys are padded."""

    groups: tuple[BlockGroup, ...]
    q_padded: int
    k_padded: int

    @property
    def num_scores(self) -> int:
        """Scores of all blocks."""
        return sum(group.num_scores for group in self.groups)

    def cost(self, rows: int) -> float:
        """The estimated cost of all blocks, in scores of the tiled kernel."""
        total = 0.0
        for group in self.groups:
            large = group.q_size * group.num_keys > _LARGE_BLOCK
            count = len(group.q_first_P)
            factor = _LARGE_BLOCK_FACTOR if large else 1.0
            total += rows * _SCORE_COST * factor * group.num_scores
            total += rows * _EDGE_COST * count * (group.q_size + group.num_keys)
            total += _BLOCK_COST * count / group.num_together(rows, _MAX_SCORES)
        return total


def make_schedule(component: MaskComponent, rows: int, q_len: int, k_len: int) -> Schedule:
    """The cheapest of several schedules, for ``rows`` heads of all batch elements together."""
    q_ordered = q_len if component.q_order is None else len(component.q_order)
    k_ordered = k_len if component.k_order is None else len(component.k_order)
    schedules = [
        _schedule(component, Tiling(q_ordered, k_ordered, *sides), q_len, k_len)
        for sides in _tile_sides(component, q_ordered, k_ordered)
    ]
    least = min(one.num_scores for one in schedules)
    thrifty = [one for one in schedules if one.num_scores <= _MAX_WASTE * least]
    return min(thrifty, key=lambda one: one.cost(rows))


def _tile_sides(component: MaskComponent, q_len: int, k_len: int) -> Iterator[tuple[int, int]]:
    """Sides of tiles to try."""
    if component.diagonal_block is not None:
        block, k_block = component.diagonal_block
        if block != k_block:
            yield block, k_block
            return
        even = [side for side in (*_TILE_SIDES, _MIN_TILE_SIDE) if block % side == 0]
        even = even or [block // n for n in (2**i for i in range(12)) if block % n == 0]
        yield from ((n, n) for n in even if n <= _TILE_SIDES[0] or n == even[-1])
        return
    tried = set()
    for side in _TILE_SIDES:
        for k_side in {side, min(side, 64)}:
            sides = min(side, q_len), min(k_side, k_len)
            if sides not in tried:
                tried.add(sides)
                yield sides


def _schedule(component: MaskComponent, tiling: Tiling, q_len: int, k_len: int) -> Schedule:
    """The schedule with tiles of one size: a block is a row of tiles without the hidden ones."""
    shapes: dict[tuple[int, int, bool], list[tuple[int, list[int]]]] = {}
    n_k = tiling.shape[1]
    for i, row in enumerate(_tile_kinds(component, tiling, q_len, k_len)):
        seen = np.flatnonzero(row != EMPTY)
        if not len(seen):
            continue
        span = int(seen[-1] - seen[0]) + 1
        masked = bool((row[seen] == MIXED).any())
        if span <= len(seen) + 1 or len(seen) > _MAX_RANGES:
            masked |= span != len(seen)
            shapes.setdefault((1, span, masked), []).append((i, [int(seen[0])]))
        else:
            shapes.setdefault((len(seen), 1, masked), []).append((i, [int(j) for j in seen]))
    groups, spare = [], False
    for (ranges, span, masked), members in _merge_shapes(shapes).items():
        firsts = []
        for _, tiles in members:
            if ranges == 1:
                firsts.append([min(tiles[0], n_k - span)])
            else:
                spare |= len(tiles) < ranges
                firsts.append(tiles + [n_k] * (ranges - len(tiles)))
        q_first_P = np.array([i for i, _ in members], np.int32) * tiling.q_size
        k_first_PN = np.array(firsts, np.int32) * tiling.k_size
        k_size = span * tiling.k_size
        groups.append(BlockGroup(q_first_P, k_first_PN, tiling.q_size, k_size, masked))
    return Schedule(tuple(groups), tiling.shape[0] * tiling.q_size, (n_k + spare) * tiling.k_size)


def _merge_shapes(shapes: dict) -> dict:
    """Merges blocks of similar shapes, since every shape is a program of its own.

    A range may be lengthened, and a list of ranges padded, if the mask is applied to the block.
    """
    merged: dict = {}
    spare = sum(len(found) * key[0] * key[1] for key, found in shapes.items()) // 8
    for ranges, span, masked in sorted(shapes, reverse=True):
        members = shapes[ranges, span, masked]
        larger = [key for key in merged if key[2] and (key[0] > 1) == (ranges > 1)]
        waste, best = min(
            ((len(members) * (key[0] * key[1] - ranges * span), key) for key in larger),
            default=(0, None),
        )
        if best is not None and waste <= spare:
            spare -= waste
            merged[best] += members
        else:
            merged[ranges, span, masked] = list(members)
    return merged


def _tile_kinds(component: MaskComponent, tiling: Tiling, q_len: int, k_len: int) -> np.ndarray:
    """EMPTY, MIXED or FULL for each tile of a component; padded keys are hidden."""
    sides, q_order, k_order = (tiling.q_size, tiling.k_size), component.q_order, component.k_order
    if isinstance(q_order, DynamicRange) or isinstance(k_order, DynamicRange):
        return np.full(tiling.shape, MIXED, np.int8)
    kinds = component.mask.blocks(Tiling(q_len, k_len, *sides, q_order, k_order)).copy()
    if component.permuted_mask is not None:
        kinds = np.minimum(kinds, component.permuted_mask.blocks(tiling))
    if component.diagonal_block is not None:
        q_block, k_block = (
            np.arange(n) * size // block
            for n, size, block in zip(tiling.shape, sides, component.diagonal_block, strict=True)
        )
        kinds = np.where(q_block[:, None] == k_block[None], kinds, EMPTY)
    if q_order is not None:
        some_N, _ = _any_and_all(q_order, tiling.q_size)
        kinds[~some_N] = EMPTY
    if k_order is not None:
        some_N, all_N = _any_and_all(k_order, tiling.k_size)
        kinds[:, ~some_N] = EMPTY
        kinds[:, ~all_N] = np.minimum(kinds[:, ~all_N], MIXED)
    elif k_len % tiling.k_size:
        kinds[:, -1] = np.minimum(kinds[:, -1], MIXED)
    assert kinds.max(initial=EMPTY) <= FULL
    return kinds


def _any_and_all(order: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Whether any, and whether all, indices of each tile hold a position."""
    none_N = (in_tiles(order, size) < 0).sum(1)
    return none_N < size, none_N == 0
