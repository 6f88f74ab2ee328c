"""A mask from the edges of a graph."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from attention.masks.arrays import check_whole
from attention.masks.base import Mask, Positions, as_mask
from attention.masks.trees import pytree


@pytree("edges_BE2")
@dataclass(frozen=True, eq=False)
class Edges(Mask):
    """A graph: a query sees the keys to which it has an edge.

    Attributes:
      edges_BE2: (query, key) of each edge, int [E, 2] or [B, E, 2]; -1 fills lists up.
      nodes: how many nodes there are.

    Raises:
      ValueError: the shape is another, or an edge leads to a node that is not there.
    """

    edges_BE2: Any
    nodes: int

    def __post_init__(self):
        check_whole(self, 1, "nodes")
        edges = self.edges_BE2
        edges = edges if hasattr(edges, "dtype") else np.asarray(edges, np.int32).reshape(-1, 2)
        if not jnp.issubdtype(edges.dtype, jnp.integer):
            raise TypeError(f"Edges has dtype {edges.dtype}; it needs an integer dtype")
        if edges.ndim not in (2, 3) or edges.shape[-1] != 2:
            raise ValueError(f"Edges has shape {edges.shape}; it needs [E, 2] or [B, E, 2]")
        if isinstance(edges, np.ndarray) and edges.size and edges.max() >= self.nodes:
            raise ValueError(f"Edges: node {edges.max()} is missing, there are {self.nodes} nodes")
        object.__setattr__(self, "edges_BE2", edges if edges.ndim == 3 else edges[None])

    def check(self, q_len: int | None, k_len: int | None) -> None:
        for length, what in ((q_len, "queries"), (k_len, "keys")):
            if length not in (None, self.nodes):
                raise ValueError(f"Edges has {self.nodes} nodes; attention has {length} {what}")

    def pairs(self) -> jax.Array:
        """The edges as integers of at least 32 bits."""
        edges_BE2 = jnp.asarray(self.edges_BE2)
        return edges_BE2.astype(jnp.promote_types(edges_BE2.dtype, jnp.int32))

    def at(self, q_pos: Positions, k_pos: Positions) -> jax.Array:
        edges_BE2 = self.pairs()

        def adjacency(edges_E2: jax.Array) -> jax.Array:
            ends = jnp.where(edges_E2 < 0, self.nodes, edges_E2)
            see_QK = jnp.zeros((self.nodes, self.nodes), bool)
            return see_QK.at[ends[:, 0], ends[:, 1]].set(True, mode="drop")

        see_BQK = jax.vmap(adjacency)(edges_BE2)
        return as_mask(see_BQK).at(q_pos, k_pos)
