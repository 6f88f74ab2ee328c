"""A part of a mask as the sparse kernel works through it: its cells, and what acts on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from attention.kernels.sparse.blocks import Cell, joined
from attention.kernels.sparse.permute import ordered
from attention.kernels.sparse.schedule import Cells, Cut, cut
from attention.kernels.tiled.plan import divisor
from attention.kernels.tiled.tiles import Extras
from attention.masks.parts import Part
from attention.shapes import Tree, accumulator

_LARGE = 2**16  # numbers of a mask or a bias that are not asked for several cells at a time


class Own(NamedTuple):
    """What acts on the scores of a part, in the part's order; each leaf has the batch first.

    Positions are None where they are the places themselves.
    """

    extras: Extras
    q_pos_BQ: jax.Array | None
    k_pos_BK: jax.Array | None


class Piece(NamedTuple):
    """A part, its cells, and what acts on their scores."""

    part: Part
    cut: Cut
    own: Own
    heads: int
    k_len: int
    room: int  # scores held at a time, unless one cell has more

    def together(self, cells: Cells, batch: int) -> int:
        """How many cells are worked on at a time; several only of a single batch element."""
        large = any(jnp.size(leaf) > _LARGE for leaf in jax.tree.leaves(self.own.extras))
        return 1 if batch > 1 or large else cells.together(self.heads, self.room)

    def scores(self, cells: Cells, cell: Cell, q_RCD: jax.Array, k_RLD: jax.Array) -> jax.Array:
        """Scores of scaled queries, -inf where hidden."""
        dtype = accumulator(q_RCD.dtype)
        s_RCL = jnp.einsum("RCD,RLD->RCL", q_RCD, k_RLD, preferred_element_type=dtype)
        q_pos, k_pos = self.positions(cells, cell)
        added = None
        if self.own.extras.bias is not None:
            added = self.own.extras.bias.at(q_pos, k_pos).astype(dtype)
        if not cells.masked:
            return s_RCL if added is None else s_RCL + self._by_row(added, s_RCL.shape)
        q_place, k_place = cell.places(cells)
        real = k_pos >= 0 if self.own.k_pos_BK is not None else k_pos < self.k_len
        see = self.own.extras.mask.at(q_pos, k_pos) & real
        if self.part.near is not None:
            see &= self.part.near.at(q_place, k_place)
        if self.part.block is not None:
            see &= q_place // self.part.block[0] == k_place // self.part.block[1]
        # Added rather than selected: XLA then makes one pass of it on a CPU.
        added = jnp.where(see, jnp.zeros((), dtype) if added is None else added, -jnp.inf)
        return s_RCL + self._by_row(added, s_RCL.shape)

    def _by_row(self, x_BHCL: jax.Array, shape_RCL: tuple[int, ...]) -> jax.Array:
        """What broadcasts over batch and heads, by row."""
        shape_BHCL = (shape_RCL[0] // self.heads, self.heads, *shape_RCL[1:])
        return jnp.broadcast_to(x_BHCL, shape_BHCL).reshape(shape_RCL)

    def positions(self, cells: Cells, cell: Cell) -> tuple[jax.Array, jax.Array]:
        """The positions of a cell's queries and keys, as masks and biases take them; -1 is none."""
        q_pos, k_pos = cell.places(cells)
        if self.own.q_pos_BQ is not None:
            q_pos = cell.q_of(self.own.q_pos_BQ, cells)[:, None, :, None]
        if self.own.k_pos_BK is not None:
            k_pos = cell.k_of(self.own.k_pos_BK, cells)[:, None, None, :]
        return q_pos, k_pos

    def factors(self, cells: Cells, cell: Cell, dtype: Any) -> jax.Array | None:
        """What dropout multiplies the weights by; None without dropout."""
        if self.own.extras.dropped is None:
            return None
        tiles = [
            joined(
                [
                    self.own.extras.dropped.tile(q_first, k_first, cells.q_size, cells.k_size)
                    for k_first in k_firsts
                ],
                3,
            )
            for q_first, k_firsts in cell.firsts(cells)
        ]
        factor_BHCL = joined(tiles, 0).astype(dtype)
        return factor_BHCL.reshape(-1, *factor_BHCL.shape[2:])


def pieces_of(q_BQHD: jax.Array, k_BKHD: jax.Array, extras: Extras, room: int) -> list[Piece]:
    """The parts of a mask as the kernel works through them, ``room`` scores at a time."""
    (batch, q_len, heads, _), k_len = q_BQHD.shape, k_BKHD.shape[1]
    pieces = []
    for part in extras.mask.parts(q_len, k_len):
        cells = cut(part, batch * heads, q_len, k_len)
        dropped = extras.dropped
        if dropped is not None:
            dropped = type(dropped)(
                ordered(dropped.q_bits_BHQ1, part.q_order, cells.q_padded, 2),
                ordered(dropped.k_bits_BH1K, part.k_order, cells.k_padded, 3),
                dropped.rate,
            )
        sides = ((q_len, part.q_order, cells.q_padded), (k_len, part.k_order, cells.k_padded))
        q_pos_BQ, k_pos_BK = (
            None
            if order is None
            else ordered(jnp.arange(length, dtype=jnp.int32)[None], order, padded, 1, fill=-1)
            for length, order, padded in sides
        )
        own = Own(Extras(part.mask, extras.bias, dropped), q_pos_BQ, k_pos_BK)
        pieces.append(Piece(part, cells, own, heads, k_len, room))
    return pieces


def by_batch(
    body: Callable[..., tuple[Tree, Tree]], piece: Piece, *arrays: jax.Array
) -> tuple[Tree, Tree]:
    """``body(piece, *arrays)``, for as many batch elements at a time as have room.

    It gives arrays with the batch first, and the gradient of the bias, which may have none.
    """
    batch, heads = arrays[0].shape[0], arrays[0].shape[2]
    largest = max((c.q_size * c.keys for c in piece.cut.cells), default=1)
    room = piece.room // largest  # rows at a time
    group = divisor(batch, room // heads)
    if group == batch:
        return _by_heads(body, piece, room // batch, *arrays)

    def some(d_bias: Tree, xs: tuple) -> tuple[Tree, Tree]:
        first, *mine = xs

        def own(leaf: jax.Array) -> jax.Array:
            leaf = jnp.asarray(leaf)
            return leaf if leaf.shape[0] == 1 else lax.dynamic_slice_in_dim(leaf, first, group)

        def add(old: jax.Array, new: jax.Array) -> jax.Array:
            if old.shape[0] == 1:
                return old + new
            return lax.dynamic_update_slice_in_dim(old, new, first, 0)

        here = piece._replace(own=jax.tree.map(own, piece.own))
        results, more = _by_heads(body, here, room // group, *mine)
        return jax.tree.map(add, d_bias, more), results

    first_N = jnp.arange(0, batch, group)
    xs = [x.reshape(batch // group, group, *x.shape[1:]) for x in arrays]
    d_bias = jax.tree.map(jnp.zeros_like, piece.own.extras.bias)
    d_bias, results = lax.scan(some, d_bias, (first_N, *xs))
    return jax.tree.map(lambda x: x.reshape(batch, *x.shape[2:]), results), d_bias


def _by_heads(
    body: Callable[..., tuple[Tree, Tree]], piece: Piece, room: int, *arrays: jax.Array
) -> tuple[Tree, Tree]:
    """``body(piece, *arrays)``, for some heads at a time where not all have room.

    Heads are the third of four axes, and the second of three, in arrays and results.
    """
    heads = piece.heads
    group = divisor(heads, room)
    if group == heads:
        return body(piece, *arrays)

    def own(leaf: Any, first: Any) -> jax.Array:
        leaf = jnp.asarray(leaf)
        whole = leaf.ndim != 4 or leaf.shape[1] == 1
        return leaf if whole else lax.dynamic_slice_in_dim(leaf, first, group, 1)

    def some(first: Any) -> tuple[Tree, Tree]:
        here = piece._replace(
            own=jax.tree.map(lambda leaf: own(leaf, first), piece.own), heads=group
        )
        return body(here, *(lax.dynamic_slice_in_dim(x, first, group, x.ndim - 2) for x in arrays))

    def body_of_loop(state: tuple[Tree, Tree], first: Any) -> tuple[tuple[Tree, Tree], None]:
        (results, d_bias), (new, more) = state, some(first)

        def put(old: jax.Array, x: jax.Array) -> jax.Array:
            return lax.dynamic_update_slice_in_dim(old, x, first, x.ndim - 2)

        def add(old: jax.Array, x: jax.Array) -> jax.Array:
            if old.shape == x.shape:
                return old + x
            return lax.dynamic_update_slice_in_dim(old, x, first, 1)

        return (jax.tree.map(put, results, new), jax.tree.map(add, d_bias, more)), None

    def whole(x: Any) -> jax.Array:
        axis = x.ndim - 2
        return jnp.zeros((*x.shape[:axis], heads, *x.shape[axis + 1 :]), x.dtype)

    results = jax.tree.map(whole, jax.eval_shape(some, 0)[0])
    d_bias = jax.tree.map(jnp.zeros_like, piece.own.extras.bias)
    (results, d_bias), _ = lax.scan(body_of_loop, (results, d_bias), jnp.arange(0, heads, group))
    return results, d_bias


def over_cells(visit: Callable[..., Tree], state: Tree, piece: Piece, batch: int) -> Tree:
    """``visit(state, cells, cell) -> state`` for all cells, several of one shape at a time.

    Args:
      visit: what is done with a ``Cell``.
      state: what is handed from visit to visit.
      piece: whose cells these are.
      batch: elements that are worked on.
    """
    for cells in piece.cut.cells:
        count, group = len(cells.q_first_P), piece.together(cells, batch)
        even = count - count % group

        def body(state: Tree, first: tuple, cells: Cells = cells) -> tuple[Tree, None]:
            return visit(state, cells, Cell(*first)), None

        for first, last, size in ((0, even, group), (even, count, 1)):
            firsts = tuple(
                jnp.asarray(x[first:last].reshape(-1, size, *x.shape[1:]))
                for x in (cells.q_first_P, cells.k_first_PN)
            )
            if last > first:
                state, _ = lax.scan(body, state, firsts)
    return state
