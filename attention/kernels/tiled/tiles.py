"""A tile of scores, and the loops over tiles and over groups of rows."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from attention.kernels.rows import Extras, broadcast_rows, take_rows
from attention.kernels.tiled.plan import Plan
from attention.shapes import Tree, accumulator


class Tile(NamedTuple):
    """One tile: where it begins, and its sides."""

    q_first: jax.Array
    k_first: jax.Array
    q_size: int
    k_size: int

    def q_of(self, x: jax.Array, axis: int = 1) -> jax.Array:
        """The tile's queries of an array with all of them along ``axis``."""
        return lax.dynamic_slice_in_dim(x, self.q_first, self.q_size, axis)

    def k_of(self, x: jax.Array, axis: int = 1) -> jax.Array:
        """The tile's keys."""
        return lax.dynamic_slice_in_dim(x, self.k_first, self.k_size, axis)

    def q_set(self, x: jax.Array, new: jax.Array, axis: int = 1) -> jax.Array:
        """The array with its queries of the tile replaced."""
        return lax.dynamic_update_slice_in_dim(x, new, self.q_first, axis)

    def k_set(self, x: jax.Array, new: jax.Array, axis: int = 1) -> jax.Array:
        """The array with its keys of the tile replaced."""
        return lax.dynamic_update_slice_in_dim(x, new, self.k_first, axis)


def tile_scores(
    extras: Extras, tile: Tile, q_GQD: jax.Array, k_GKD: jax.Array, k_len: int, *, masked: bool
) -> jax.Array:
    """Scores of a tile of scaled queries, -inf where hidden."""
    dtype = accumulator(q_GQD.dtype)
    s_GQK = jnp.einsum("GQD,GKD->GQK", q_GQD, k_GKD, preferred_element_type=dtype)
    if extras.bias is not None:
        s_GQK += extras.bias.tile(*tile)[:, 0].astype(dtype)
    if masked:
        k_pos = tile.k_first + jnp.arange(tile.k_size)
        see_GQK = extras.mask.tile(*tile)[:, 0] & (k_pos < k_len)[None, None, :]
        s_GQK = jnp.where(see_GQK, s_GQK, -jnp.inf)
    return s_GQK


def tile_factors(extras: Extras, tile: Tile, dtype: Any) -> jax.Array | None:
    """The factors of a tile's weights under dropout; None without dropout."""
    return None if extras.dropped is None else extras.dropped.tile(*tile)[:, 0].astype(dtype)


def over_tiles(body: Callable[..., Tree], state: Tree, plan: Plan) -> Tree:
    """``body(state, tile, masked) -> state`` for every tile that is not hidden."""
    sides = plan.tiling.q_size, plan.tiling.k_size
    if plan.tiling.shape == (1, 1):  # no loop, so that XLA may split the rows over devices
        zero = jnp.int32(0)
        kinds = [masked for tiles, masked in plan.kinds() if len(tiles)]
        return body(state, Tile(zero, zero, *sides), kinds[0]) if kinds else state
    for tiles_P2, masked in plan.kinds():

        def step(state: Tree, ij_2: jax.Array, masked: bool = masked) -> tuple[Tree, None]:
            tile = Tile(ij_2[0] * sides[0], ij_2[1] * sides[1], *sides)
            return body(state, tile, masked), None

        if len(tiles_P2):
            state, _ = lax.scan(step, state, jnp.asarray(tiles_P2))
    return state


def over_groups(
    body: Callable[..., tuple[Tree, Tree]],
    carry: Tree,
    arrays: tuple[jax.Array, ...],
    plan: Plan,
    heads: int,
) -> tuple[Tree, Tree]:
    """Computes groups of rows, one after another.

    Args:
      body: ``body(carry, take, *arrays) -> (carry, results)`` for the G rows of a group, where
        ``take`` maps a mask, a bias or a dropout to that of the rows.
      carry: passed from group to group.
      arrays: [R, ...] each.
      plan: how many rows a group has.
      heads: rows of a batch element.

    Returns:
      The carry, and the results as [R, ...] each.
    """
    rows = len(arrays[0])
    if plan.group == rows:  # no loop, so that XLA may split the rows over devices
        return body(carry, partial(broadcast_rows, batch=rows // heads, heads=heads), *arrays)
    row_R = jnp.arange(rows, dtype=jnp.int32)

    def step(carry: Tree, xs: tuple) -> tuple[Tree, Tree]:
        row_G, *chunks = xs
        take = partial(take_rows, row_b_G=row_G // heads, row_h_G=row_G % heads)
        return body(carry, take, *chunks)

    xs = [x.reshape(rows // plan.group, plan.group, *x.shape[1:]) for x in (row_R, *arrays)]
    carry, results = lax.scan(step, carry, tuple(xs))
    return carry, jax.tree.map(lambda x: x.reshape(rows, *x.shape[2:]), results)
