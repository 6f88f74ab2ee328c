"""Who may look at whom: frozen masks that compose with ``&``, ``|`` and ``~``.

A mask is a predicate over positions. True means "may look". Static fields are ints; arrays are
pytree leaves, so a mask passes through jit, vmap, scan and remat like any value.

    >>> from attention.masks import Causal, Window
    >>> (Causal() & Window(left=1, right=0)).dense(3, 3)[0, 0].astype(int)
    Array([[1, 0, 0],
           [1, 1, 0],
           [0, 1, 1]], dtype=int32)
"""

from attention.masks.base import (
    And,
    Array,
    Everything,
    Mask,
    Not,
    Or,
    as_mask,
    conjuncts,
)
from attention.masks.blocks import LastBlock, NearBlocks, RandomBlocks
from attention.masks.global_tokens import Global, GlobalKeys, GlobalQueries, positions_of
from attention.masks.graphs import Edges
from attention.masks.heads import PerHead
from attention.masks.padding import Lengths, Segments, Valid
from attention.masks.patterns import Causal, Window
from attention.masks.strided import Completed, Dilated, Fixed, Grid, Strided
from attention.masks.tiling import EMPTY, FULL, MIXED, Tiling
from attention.masks.trees import dense_positions

__all__ = [
    "EMPTY",
    "FULL",
    "MIXED",
    "And",
    "Array",
    "Causal",
    "Completed",
    "Dilated",
    "Edges",
    "Everything",
    "Fixed",
    "Global",
    "GlobalKeys",
    "GlobalQueries",
    "Grid",
    "LastBlock",
    "Lengths",
    "Mask",
    "NearBlocks",
    "Not",
    "Or",
    "PerHead",
    "RandomBlocks",
    "Segments",
    "Strided",
    "Tiling",
    "Valid",
    "Window",
    "as_mask",
    "conjuncts",
    "dense_positions",
    "positions_of",
]
