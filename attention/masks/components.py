"""A mask decomposed into disjoint components, in each of which the visible pairs form blocks.

A pattern of few pairs may touch every tile, as every l-th key does. In another order of queries
and keys the same pairs are blocks: attention is then computed component by component, each in its
own order, and the outputs are combined by their log-sum-exps.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class DynamicRange:
    """An order that depends on arrays: consecutive positions of each batch element.

    Attributes:
      first_B: the first position of each, int [B].
      size: how many positions; those beyond the sequence are ignored.
    """

    first_B: Any
    size: int

    def __len__(self) -> int:
        return self.size


Order = np.ndarray | DynamicRange | None


@dataclass(frozen=True, eq=False)
class MaskComponent:
    """Some of the pairs that a mask shows; its other components show the other pairs.

    Attributes:
      mask: who may attend to whom, by positions of the sequence.
      q_order, k_order: the positions of the component's queries [Q'] and keys [K'] in its order, -1
        for none; a key may occur several times. None is the order of the sequence.
      diagonal_block: sides (C_q, C_k) of blocks on the diagonal, in the component's order, outside
        of which nothing is visible; None where there are no such blocks.
      permuted_mask: who may attend to whom, by indices in the component's order; None is everyone.
    """

    mask: Any
    q_order: Order = None
    k_order: Order = None
    diagonal_block: tuple[int, int] | None = None
    permuted_mask: Any = None

    @property
    def is_trivial(self) -> bool:
        """Whether the component is a mask in the order of the sequence, and nothing else."""
        return self.q_order is None and self.k_order is None and self.permuted_mask is None


def by_residue(length: int, step: int) -> tuple[np.ndarray, int]:
    """The positions sorted by remainder, each class padded to one size: the order, the size."""
    size = -(-length // step)
    unit = 64 if size >= 512 else 16 if size >= 16 else 1
    size = -(-size // unit) * unit
    order = np.arange(step)[:, None] + step * np.arange(size)[None]
    return np.where(order < length, order, -1).reshape(-1).astype(np.int32), size


def by_square(
    mask: Any, length: int, width: int, side: int, rows: int, columns: int
) -> MaskComponent:
    """A mask of an image cut into squares of ``side``, each with the pixels around it as keys."""
    height = -(-length // width)
    tops, lefts = np.arange(0, height, side), np.arange(0, width, side)

    def pixels(down: np.ndarray, across: np.ndarray) -> np.ndarray:
        y = (tops[:, None] + down)[:, None, :, None]
        x = (lefts[:, None] + across)[None, :, None]
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        pos = y * width + x
        return np.where(inside & (pos < length), pos, -1).reshape(-1).astype(np.int32)

    own = np.arange(side)
    down, across = np.arange(-rows, side + rows), np.arange(-columns, side + columns)
    sides = side * side, len(down) * len(across)
    return MaskComponent(mask, pixels(own, own), pixels(down, across), diagonal_block=sides)
