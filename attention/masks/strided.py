"""Patterns with a period: every so many positions, blocks of them, rows of an image."""

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np

from attention.masks.arrays import check_whole
from attention.masks.base import Everything, Mask, Positions
from attention.masks.components import MaskComponent, by_residue, by_square
from attention.masks.patterns import Window
from attention.masks.tiling import Tiling, any_and_all, by_difference, kinds
from attention.masks.trees import pytree


@pytree()
@dataclass(frozen=True)
class Dilated(Mask):
    """Every ``step``-th key around the query: i + step·m for -left <= m <= right.

    Raises:
      ValueError: left or right is negative, or step below 1.
    """

    left: int
    right: int
    step: int

    def __post_init__(self):
        check_whole(self, 0, "left", "right")
        check_whole(self, 1, "step")

    def at(self, q_pos: Positions, k_pos: Positions) -> jax.Array:
        apart = k_pos - q_pos
        near = (apart >= -self.left * self.step) & (apart <= self.right * self.step)
        return jnp.asarray(near & (apart % self.step == 0))

    def blocks(self, tiling: Tiling) -> np.ndarray:
        near = by_difference(tiling.bounds(), -self.left * self.step, self.right * self.step)
        return np.minimum(near, _residues(tiling, self.step))

    def decompose(self, q_len: int, k_len: int) -> tuple[MaskComponent, ...]:
        """A window over the keys of the same remainder."""
        if self.step == 1 or q_len != k_len:
            return (MaskComponent(self),)
        order, size = by_residue(q_len, self.step)
        near = Window(self.left, self.right)
        return (MaskComponent(Everything(), order, order, (size, size), near),)


def _residues(tiling: Tiling, step: int) -> np.ndarray:
    """Tiles of the pattern k - q = 0 modulo ``step``."""
    q_first, q_last, k_first, k_last = tiling.bounds()
    least, most = k_first - q_last, k_last - q_first
    some = most // step >= -(-least // step)
    return kinds(some, some & ((least == most) | (step == 1)))


@pytree()
@dataclass(frozen=True)
class Strided(Mask):
    """Sparse Transformer's strided pattern: |i - j| < stride, or i - j = 0 modulo stride.

    With ``& Causal()`` as in Child et al. 2019, "Generating Long Sequences with Sparse
    Transformers".

    Attributes:
      stride: l, best near the root of the length.
      local, columns: whether to see the near keys, and every stride-th one.

    Raises:
      ValueError: stride is below 1, or neither part is seen.
    """

    stride: int
    local: bool = True
    columns: bool = True

    def __post_init__(self):
        check_whole(self, 1, "stride")
        _check_any(self, "local", "columns")

    def at(self, q_pos: Positions, k_pos: Positions) -> jax.Array:
        apart = k_pos - q_pos
        near = (apart < self.stride) & (apart > -self.stride) & self.local
        return jnp.asarray(near | ((apart % self.stride == 0) & self.columns))

    def blocks(self, tiling: Tiling) -> np.ndarray:
        near = Window(self.stride - 1, self.stride - 1).blocks(tiling) * self.local
        return np.maximum(near, _residues(tiling, self.stride) * self.columns).astype(np.int8)

    def decompose(self, q_len: int, k_len: int) -> tuple[MaskComponent, ...]:
        """The window; and, of each remainder, all further keys."""
        if not self.columns or self.stride == 1 or q_len != k_len:
            return (MaskComponent(self),)
        near = Window(self.stride - 1, self.stride - 1)
        order, size = by_residue(q_len, self.stride)
        columns = MaskComponent(~near if self.local else Everything(), order, order, (size, size))
        return (MaskComponent(near), columns) if self.local else (columns,)


@pytree()
@dataclass(frozen=True)
class Fixed(Mask):
    """Sparse Transformer's fixed pattern: the same block, or the last keys of any block.

    i // size = j // size, or j mod size >= size - summary; with ``& Causal()`` as in Child et al.
    2019.

    Attributes:
      size: l, the positions of a block.
      summary: c, how many keys at the end of a block all may see.
      local, columns: whether to see the own block, and the summaries.

    Raises:
      ValueError: size or summary is below 1, summary exceeds size, or neither part is seen.
    """

    size: int
    summary: int = 1
    local: bool = True
    columns: bool = True

    def __post_init__(self):
        check_whole(self, 1, "size", "summary")
        _check_any(self, "local", "columns")
        if self.summary > self.size:
            raise ValueError(f"Fixed(summary={self.summary}): needs at most size, {self.size}")

    def at(self, q_pos: Positions, k_pos: Positions) -> jax.Array:
        own = (q_pos // self.size == k_pos // self.size) & self.local
        return jnp.asarray(own | ((k_pos % self.size >= self.size - self.summary) & self.columns))

    def blocks(self, tiling: Tiling) -> np.ndarray:
        own = by_difference([pos // self.size for pos in tiling.bounds()], 0, 0)
        see_K = np.arange(tiling.k_len) % self.size >= self.size - self.summary
        columns = kinds(*any_and_all(see_K, *tiling.bounds()[2:]))
        return np.maximum(own * self.local, columns * self.columns).astype(np.int8)

    def decompose(self, q_len: int, k_len: int) -> tuple[MaskComponent, ...]:
        """The own block; and the summaries of the others, put together."""
        if not self.columns or self.summary == self.size:
            return (MaskComponent(self),)
        own = replace(self, local=True, columns=False)
        k_pos = np.arange(k_len, dtype=np.int32)
        k_order = k_pos[k_pos % self.size >= self.size - self.summary]
        columns = MaskComponent(~own if self.local else Everything(), k_order=k_order)
        near = (MaskComponent(own),) if self.local else ()
        return (*near, columns) if len(k_order) else near or (MaskComponent(self),)


@pytree()
@dataclass(frozen=True)
class Completed(Mask):
    """Keys that summarise several positions each, seen from the last of these positions on.

    Key j summarises the ``size`` positions from ``step``·j on.

    Raises:
      ValueError: size or step is below 1.
    """

    size: int
    step: int

    def __post_init__(self):
        check_whole(self, 1, "size", "step")

    def at(self, q_pos: Positions, k_pos: Positions) -> jax.Array:
        return jnp.asarray(k_pos * self.step + self.size - 1 <= q_pos)

    def blocks(self, tiling: Tiling) -> np.ndarray:
        q_first, q_last, *k_ends = tiling.bounds()
        k_first, k_last = (k_pos * self.step + self.size - 1 for k_pos in k_ends)
        return by_difference([q_first, q_last, k_first, k_last], -np.inf, 0)


def _check_any(mask: Mask, *names: str) -> None:
    if not any(getattr(mask, name) for name in names):
        raise ValueError(f"{type(mask).__name__}: needs {' or '.join(names)} to be seen")


@pytree()
@dataclass(frozen=True)
class Grid(Mask):
    """The neighbourhood of a pixel, positions running through an image row by row.

    Attributes:
      width: pixels of a row of the image.
      rows, columns: how far a pixel sees up and down, and to the left and right.

    Raises:
      ValueError: width is below 1, or rows or columns negative.
    """

    width: int
    rows: int
    columns: int

    def __post_init__(self):
        check_whole(self, 1, "width")
        check_whole(self, 0, "rows", "columns")

    def at(self, q_pos: Positions, k_pos: Positions) -> jax.Array:
        down = k_pos // self.width - q_pos // self.width
        across = k_pos % self.width - q_pos % self.width
        return jnp.asarray((abs(down) <= self.rows) & (abs(across) <= self.columns))

    def blocks(self, tiling: Tiling) -> np.ndarray:
        rows = [pos // self.width for pos in tiling.bounds()]
        columns = [pos % self.width for pos in tiling.bounds()]
        for first in (0, 2):  # a tile of several rows is taken for all of their columns
            several = rows[first] != rows[first + 1]
            columns[first] = np.where(several, 0, columns[first])
            columns[first + 1] = np.where(several, self.width - 1, columns[first + 1])
        down = by_difference(rows, -self.rows, self.rows)
        return np.minimum(down, by_difference(columns, -self.columns, self.columns))

    def decompose(self, q_len: int, k_len: int) -> tuple[MaskComponent, ...]:
        """Squares of the image, each with what lies around it."""
        side = max(self.rows, self.columns) + 1
        if q_len != k_len or side >= self.width:
            return (MaskComponent(self),)
        return (by_square(self, q_len, self.width, side, self.rows, self.columns),)
