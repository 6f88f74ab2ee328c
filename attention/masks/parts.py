"""Masks cut into disjoint parts, in each of which what is seen lies together in blocks.

A pattern of few pairs may touch every tile, as every l-th key does. In another order of queries
and keys the same pairs are blocks: attention is then worked out part by part, each in its own
order, and the parts are joined by their log-sum-exps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class Run:
    """An order known only when arrays are: for each batch element some positions in a row.

    Attributes:
      first_B: the first of each, int [B].
      size: how many; those beyond the sequence are none.
    """

    first_B: Any
    size: int

    def __len__(self) -> int:
        return self.size


Order = np.ndarray | Run | None


@dataclass(frozen=True, eq=False)
class Part:
    """Some of the pairs that a mask shows; its other parts show the others.

    Attributes:
      mask: who sees whom, by the positions of the sequence.
      q_order, k_order: the positions of the part's own queries [Q'] and keys [K'] in its order, -1
        for none; keys may stand there several times; None as they are; or a Run.
      block: sides (C_q, C_k) of the blocks on the diagonal in which alone something is seen, in the
        part's order; None for anywhere.
      near: who sees whom by the places in the part's order; None for everyone.
    """

    mask: Any
    q_order: Order = None
    k_order: Order = None
    block: tuple[int, int] | None = None
    near: Any = None

    @property
    def plain(self) -> bool:
        """Whether it is a mask and nothing else."""
        return self.q_order is None and self.k_order is None and self.near is None


def by_residue(length: int, step: int) -> tuple[np.ndarray, int]:
    """The positions by their remainders, each class filled up to one size: the order, the size."""
    size = -(-length // step)
    unit = 64 if size >= 512 else 16 if size >= 16 else 1
    size = -(-size // unit) * unit
    order = np.arange(step)[:, None] + step * np.arange(size)[None]
    return np.where(order < length, order, -1).reshape(-1).astype(np.int32), size


def by_square(length: int, width: int, side: int, rows: int, columns: int) -> Part:
    """An image in squares of ``side``, each with the pixels around it; the part lacks its mask."""
    height = -(-length // width)
    tops, lefts = np.arange(0, height, side), np.arange(0, width, side)

    def pixels(down: np.ndarray, across: np.ndarray) -> np.ndarray:
        y, x = tops[:, None] + down, lefts[:, None] + across
        inside = ((y >= 0) & (y < height))[:, None, :, None] & ((x >= 0) & (x < width))[
            None, :, None
        ]
        place = y[:, None, :, None] * width + x[None, :, None]
        place = np.where(inside & (place < length), place, -1)
        return place.reshape(-1).astype(np.int32)

    q_side, down, across = (
        np.arange(side),
        np.arange(-rows, side + rows),
        np.arange(-columns, side + columns),
    )
    return Part(
        None,
        pixels(q_side, q_side),
        pixels(down, across),
        block=(side * side, len(down) * len(across)),
    )
