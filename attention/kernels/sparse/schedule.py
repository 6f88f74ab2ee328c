"""How the sparse kernel cuts one part of a mask: cells of some queries and all keys they see."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from attention.kernels.tiled.plan import divisor
from attention.masks import EMPTY, FULL, MIXED, Tiling
from attention.masks.parts import Part, Run
from attention.masks.tiling import in_tiles

_SIDES = (512, 256, 128, 64, 32)
_LEAST = 16  # the least side of a tile within blocks
_MOST_PIECES = 16
_MOST_WASTE = 1.8  # scores, measured by those of the smallest tiles
# What a score costs, and each query and key of a cell, measured by a score of the tiled kernel; a
# cell larger than the caches costs more.
_SCORE, _EDGE, _VISIT = 0.9, 55, 13_000
_LARGE, _SLOWER = 2**18, 2.0
_TOGETHER = 3 * 2**19  # scores of the cells that are worked on at a time, on a CPU
_MOST_TOGETHER = 8  # each is a part of the program


@dataclass(frozen=True)
class Cells:
    """Cells of one shape.

    Attributes:
      q_first_P: the first query of each, int32; every query is in one cell at most.
      k_first_PN: where its pieces of keys begin, int32.
      q_size, k_size: queries of a cell, and keys of a piece.
      masked: whether the mask has to be asked.
    """

    q_first_P: np.ndarray
    k_first_PN: np.ndarray
    q_size: int
    k_size: int
    masked: bool

    @property
    def keys(self) -> int:
        """Keys of a cell."""
        return self.k_first_PN.shape[1] * self.k_size

    def together(self, rows: int, room: int) -> int:
        """How many are worked on at a time where ``room`` scores are held, for so many rows."""
        count = len(self.q_first_P)
        most = max(1, min(count, _MOST_TOGETHER, room // (rows * self.q_size * self.keys)))
        even = divisor(count, most)
        return even if 2 * even > most else most

    @property
    def scores(self) -> int:
        """Scores of all cells together."""
        return len(self.q_first_P) * self.q_size * self.keys


@dataclass(frozen=True)
class Cut:
    """All cells of a part, and the lengths to which its queries and keys are filled up."""

    cells: tuple[Cells, ...]
    q_padded: int
    k_padded: int

    @property
    def scores(self) -> int:
        """Scores of all cells together."""
        return sum(cells.scores for cells in self.cells)

    def cost(self, rows: int) -> float:
        """What all visits cost together, in scores."""
        total = 0.0
        for cells in self.cells:
            slower = _SLOWER if cells.q_size * cells.keys > _LARGE else 1.0
            count = len(cells.q_first_P)
            total += rows * _SCORE * slower * cells.scores
            total += rows * _EDGE * count * (cells.q_size + cells.keys)
            total += _VISIT * count / cells.together(rows, _TOGETHER)
        return total


def cut(part: Part, rows: int, q_len: int, k_len: int) -> Cut:
    """Cuts a part in the cheapest of several ways, for ``rows`` heads of all batch elements."""
    q_own = q_len if part.q_order is None else len(part.q_order)
    k_own = k_len if part.k_order is None else len(part.k_order)
    cuts = [
        _cut(part, Tiling(q_own, k_own, *sides), q_len, k_len)
        for sides in _sides(part, q_own, k_own)
    ]
    least = min(cut.scores for cut in cuts)
    thrifty = [cut for cut in cuts if cut.scores <= _MOST_WASTE * least]
    return min(thrifty, key=lambda cut: cut.cost(rows))


def _sides(part: Part, q_len: int, k_len: int) -> Iterator[tuple[int, int]]:
    """Sides of tiles to try."""
    if part.block is not None and part.block[0] != part.block[1]:
        yield part.block
        return
    if part.block is not None:
        block = part.block[0]
        even = [side for side in (*_SIDES, _LEAST) if block % side == 0]
        sides = even or [block // n for n in (2**i for i in range(12)) if block % n == 0]
        yield from ((n, n) for n in sides if n <= _SIDES[0] or n == sides[-1])
        return
    tried = set()
    for side in _SIDES:
        for k_side in {side, min(side, 64)}:
            both = min(side, q_len), min(k_side, k_len)
            if both not in tried:
                tried.add(both)
                yield both


def _cut(part: Part, tiling: Tiling, q_len: int, k_len: int) -> Cut:
    """The cells with tiles of one size."""
    kinds = _kinds(part, tiling, q_len, k_len)
    shapes: dict[tuple[int, int, bool], list[tuple[int, list[int]]]] = {}
    n_k = tiling.shape[1]
    for i, row in enumerate(kinds):
        seen = np.flatnonzero(row != EMPTY)
        if not len(seen):
            continue
        span = int(seen[-1] - seen[0]) + 1
        masked = bool((row[seen] == MIXED).any())
        if span == len(seen) or len(seen) > _MOST_PIECES or span <= len(seen) + 1:
            masked |= span != len(seen)
            shapes.setdefault((1, span, masked), []).append((i, [int(seen[0])]))
        else:
            shapes.setdefault((len(seen), 1, masked), []).append((i, [int(j) for j in seen]))
    cells, spare = [], False
    for (pieces, span, masked), members in _fewer(shapes).items():
        firsts = []
        for _, tiles in members:
            if pieces == 1:
                firsts.append([min(tiles[0], n_k - span)])
            else:
                spare |= len(tiles) < pieces
                firsts.append(tiles + [n_k] * (pieces - len(tiles)))
        q_first_P = np.array([i for i, _ in members], np.int32) * tiling.q_size
        k_first_PN = np.array(firsts, np.int32) * tiling.k_size
        cells.append(Cells(q_first_P, k_first_PN, tiling.q_size, span * tiling.k_size, masked))
    return Cut(tuple(cells), tiling.shape[0] * tiling.q_size, (n_k + spare) * tiling.k_size)


def _fewer(shapes: dict) -> dict:
    """Puts cells of nearly one shape together, since every shape is a program of its own.

    A run may be lengthened and a list filled up, if the mask is asked of what is added.
    """
    kept: dict = {}
    room = sum(len(found) * key[0] * key[1] for key, found in shapes.items()) // 8
    for pieces, span, masked in sorted(shapes, reverse=True):
        members = shapes[pieces, span, masked]
        larger = [key for key in kept if key[2] and (key[0] > 1) == (pieces > 1)]
        waste, best = min(
            ((len(members) * (key[0] * key[1] - pieces * span), key) for key in larger),
            default=(0, None),
        )
        if best is not None and waste <= room:
            room -= waste
            kept[best] += members
        else:
            kept[pieces, span, masked] = list(members)
    return kept


def _kinds(part: Part, tiling: Tiling, q_len: int, k_len: int) -> np.ndarray:
    """EMPTY, MIXED or FULL for each tile of a part, keys filled up being hidden."""
    sizes = tiling.q_size, tiling.k_size
    if isinstance(part.q_order, Run) or isinstance(part.k_order, Run):
        return np.full(tiling.shape, MIXED, np.int8)
    kinds = part.mask.blocks(Tiling(q_len, k_len, *sizes, part.q_order, part.k_order)).copy()
    if part.near is not None:
        kinds = np.minimum(kinds, part.near.blocks(tiling))
    if part.block is not None:
        q_block, k_block = (
            np.arange(n) * size // block
            for n, size, block in zip(tiling.shape, sizes, part.block, strict=True)
        )
        kinds = np.where(q_block[:, None] == k_block[None], kinds, EMPTY)
    if part.q_order is not None:
        some_N, _ = _members(part.q_order, tiling.q_size)
        kinds[~some_N] = EMPTY
    if part.k_order is not None:
        some_N, all_N = _members(part.k_order, tiling.k_size)
        kinds[:, ~some_N] = EMPTY
        kinds[:, ~all_N] = np.minimum(kinds[:, ~all_N], MIXED)
    elif k_len % tiling.k_size:
        kinds[:, -1] = np.minimum(kinds[:, -1], MIXED)
    assert kinds.max(initial=EMPTY) <= FULL
    return kinds


def _members(order: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Of each tile whether some, and whether all, of its places hold a position."""
    none_N = (in_tiles(order, size) < 0).sum(1)
    return none_N < size, none_N == 0
