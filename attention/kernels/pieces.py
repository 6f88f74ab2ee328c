"""A part of a mask as the sparse kernel works through it: its cells, and what acts on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from attention.kernels.cells import Cells, Cut, cut
from attention.kernels.orders import ordered
from attention.kernels.plan import Limits
from attention.kernels.tiles import Extras
from attention.masks.parts import Part
from attention.shapes import Tree, accumulator


class Own(NamedTuple):
    """What acts on the scores of a part, in the part's order; each leaf has the batch first."""

    extras: Extras
    q_pos_BQ: jax.Array
    k_pos_BK: jax.Array


class Piece(NamedTuple):
    """A part, its cells, and what acts on their scores."""

    part: Part
    cut: Cut
    own: Own

    def scores(self, cells: Cells, cell: Cell, q_BHCD: jax.Array, k_BHLD: jax.Array) -> jax.Array:
        """Scores of scaled queries, -inf where hidden."""
        dtype = accumulator(q_BHCD.dtype)
        s_BHCL = jnp.einsum("bhqd,bhkd->bhqk", q_BHCD, k_BHLD, preferred_element_type=dtype)
        q_pos, k_pos = self.positions(cells, cell)
        if self.own.extras.bias is not None:
            s_BHCL += self.own.extras.bias.at(q_pos, k_pos).astype(dtype)
        if not cells.masked:
            return s_BHCL
        see = self.own.extras.mask.at(q_pos, k_pos) & (k_pos >= 0)
        q_place, k_place = cell.places(cells)
        if self.part.near is not None:
            see &= self.part.near.at(q_place, k_place)
        if self.part.block is not None:
            see &= q_place // self.part.block[0] == k_place // self.part.block[1]
        return jnp.where(see, s_BHCL, -jnp.inf)

    def positions(self, cells: Cells, cell: Cell) -> tuple[jax.Array, jax.Array]:
        """The positions of a cell's queries and keys, as masks and biases take them."""
        q_pos_BC = cell.q_of(self.own.q_pos_BQ, cells)
        k_pos_BL = cell.k_of(self.own.k_pos_BK, cells)
        return q_pos_BC[:, None, :, None], k_pos_BL[:, None, None, :]

    def factors(self, cells: Cells, cell: Cell, dtype: Any) -> jax.Array | None:
        """What dropout multiplies the weights by; None without dropout."""
        if self.own.extras.dropped is None:
            return None
        tiles = [
            self.own.extras.dropped.tile(cell.q_first, first, cells.q_size, cells.k_size)
            for first in cell.k_firsts(cells)
        ]
        return jnp.concatenate(tiles, axis=3).astype(dtype)


class Cell(NamedTuple):
    """Where a cell begins."""

    q_first: jax.Array
    k_first_N: jax.Array

    def k_firsts(self, cells: Cells) -> list[jax.Array]:
        """Where its pieces of keys begin."""
        return [self.k_first_N[n] for n in range(cells.k_first_PN.shape[1])]

    def q_of(self, x: jax.Array, cells: Cells, axis: int = 1) -> jax.Array:
        """The queries of an array with all of them along ``axis``."""
        return lax.dynamic_slice_in_dim(x, self.q_first, cells.q_size, axis)

    def k_of(self, x: jax.Array, cells: Cells, axis: int = 1) -> jax.Array:
        """The keys, piece after piece."""
        firsts, size = self.k_firsts(cells), cells.k_size
        pieces = [lax.dynamic_slice_in_dim(x, first, size, axis) for first in firsts]
        return pieces[0] if len(pieces) == 1 else jnp.concatenate(pieces, axis)

    def q_set(self, x: jax.Array, new: jax.Array, axis: int = 1) -> jax.Array:
        """The array with its queries replaced."""
        return lax.dynamic_update_slice_in_dim(x, new.astype(x.dtype), self.q_first, axis)

    def k_add(self, x: jax.Array, more: jax.Array, cells: Cells, axis: int = 1) -> jax.Array:
        """The array with something added to its keys."""
        size = cells.k_size
        for n, first in enumerate(self.k_firsts(cells)):
            piece = lax.slice_in_dim(more, n * size, (n + 1) * size, axis=axis)
            old = lax.dynamic_slice_in_dim(x, first, size, axis)
            x = lax.dynamic_update_slice_in_dim(x, old + piece, first, axis)
        return x

    def places(self, cells: Cells) -> tuple[jax.Array, jax.Array]:
        """The places of its queries and keys in the part's order."""
        q_place_C = self.q_first + jnp.arange(cells.q_size)
        k_place_NC = self.k_first_N[:, None] + jnp.arange(cells.k_size)[None]
        return q_place_C[None, None, :, None], k_place_NC.reshape(1, 1, 1, -1)


def pieces_of(q_BQHD: jax.Array, k_BKHD: jax.Array, extras: Extras) -> list[Piece]:
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
            ordered(jnp.arange(length, dtype=jnp.int32)[None], order, padded, 1, fill=-1)
            for length, order, padded in sides
        )
        own = Own(Extras(part.mask, extras.bias, dropped), q_pos_BQ, k_pos_BK)
        pieces.append(Piece(part, cells, own))
    return pieces


def by_batch(
    body: Callable[..., tuple[Tree, Tree]], piece: Piece, limits: Limits, *arrays: jax.Array
) -> tuple[Tree, Tree]:
    """``body(piece, *arrays)``, for as many batch elements at a time as have room.

    It gives arrays with the batch first, and the gradient of the bias, which may have none.
    """
    batch, heads = arrays[0].shape[0], arrays[0].shape[2]
    largest = max((c.q_size * c.keys for c in piece.cut.cells), default=1)
    room = max(1, limits.scores // (largest * heads))
    group = max(n for n in range(1, min(batch, room) + 1) if batch % n == 0)
    if group == batch:
        return body(piece, *arrays)

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
        results, more = body(here, *mine)
        return jax.tree.map(add, d_bias, more), results

    first_N = jnp.arange(0, batch, group)
    xs = [x.reshape(batch // group, group, *x.shape[1:]) for x in arrays]
    d_bias = jax.tree.map(jnp.zeros_like, piece.own.extras.bias)
    d_bias, results = lax.scan(some, d_bias, (first_N, *xs))
    return jax.tree.map(lambda x: x.reshape(batch, *x.shape[2:]), results), d_bias


def over_cells(visit: Callable[..., Tree], state: Tree, cut: Cut) -> Tree:
    """``visit(state, cells, cell) -> state`` for every cell."""
    for cells in cut.cells:

        def body(state: Tree, first: tuple, cells: Cells = cells) -> tuple[Tree, None]:
            return visit(state, cells, Cell(*first)), None

        firsts = jnp.asarray(cells.q_first_P), jnp.asarray(cells.k_first_PN)
        state, _ = lax.scan(body, state, firsts)
    return state
