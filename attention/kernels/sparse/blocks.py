"""A visit of the sparse kernel to some cells: what it takes from arrays, and puts back."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from attention.kernels.sparse.schedule import Cells


class Cell(NamedTuple):
    """Where a cell begins; or several of one shape, worked on together.

    Of several, arrays have a batch for each cell, one after the other.
    """

    q_first_G: jax.Array
    k_first_GN: jax.Array

    def firsts(self, cells: Cells) -> list[tuple[jax.Array, list[jax.Array]]]:
        """Of each where its queries, and where its pieces of keys begin."""
        pieces = range(cells.k_first_PN.shape[1])
        return [
            (self.q_first_G[g], [self.k_first_GN[g, n] for n in pieces])
            for g in range(len(self.q_first_G))
        ]

    def q_of(self, x: jax.Array, cells: Cells, axis: int = 1) -> jax.Array:
        """The queries of an array with all of them along ``axis``."""
        return joined([_cut_out(x, q, cells.q_size, axis) for q, _ in self.firsts(cells)], 0)

    def k_of(self, x_BK: jax.Array, cells: Cells) -> jax.Array:
        """The keys, piece after piece."""
        return joined(
            [
                joined([_cut_out(x_BK, first, cells.k_size, 1) for first in firsts], 1)
                for _, firsts in self.firsts(cells)
            ],
            0,
        )

    def q_rows(self, x_BQHD: jax.Array, cells: Cells) -> jax.Array:
        """The queries by row, [R, C, D]; turned before they are joined, which is faster."""
        return joined(
            [_by_row(_cut_out(x_BQHD, q, cells.q_size, 1)) for q, _ in self.firsts(cells)], 0
        )

    def k_rows(self, x_BKHD: jax.Array, cells: Cells) -> jax.Array:
        """The keys by row, [R, L, D]."""
        return joined(
            [
                joined([_by_row(_cut_out(x_BKHD, k, cells.k_size, 1)) for k in firsts], 1)
                for _, firsts in self.firsts(cells)
            ],
            0,
        )

    def q_numbers(self, x_BHQ: jax.Array, cells: Cells) -> jax.Array:
        """A number of each query by row, [R, C]."""
        x_BHC = self.q_of(x_BHQ, cells, 2)
        return x_BHC.reshape(-1, x_BHC.shape[2])

    def q_set(self, x_BQHD: jax.Array, new_RCD: jax.Array) -> jax.Array:
        """The array with its queries replaced."""
        for q_first, mine_BHCD in self._split(new_RCD.astype(x_BQHD.dtype), x_BQHD.shape[2]):
            mine_BCHD = mine_BHCD.swapaxes(1, 2)
            x_BQHD = lax.dynamic_update_slice_in_dim(x_BQHD, mine_BCHD, q_first, 1)
        return x_BQHD

    def q_set_numbers(self, x_BHQ: jax.Array, new_RC: jax.Array) -> jax.Array:
        """The same where queries have a number each."""
        for q_first, mine_BHC in self._split(new_RC, x_BHQ.shape[1]):
            x_BHQ = lax.dynamic_update_slice_in_dim(x_BHQ, mine_BHC, q_first, 2)
        return x_BHQ

    def k_add(self, x_BHDK: jax.Array, more_RDL: jax.Array, cells: Cells) -> jax.Array:
        """The array with something added to its keys, which are last."""
        size, all_firsts = cells.k_size, self.firsts(cells)
        split = self._split(more_RDL, x_BHDK.shape[1])
        for (_, mine_BHDL), (_, firsts) in zip(split, all_firsts, strict=True):
            for n, first in enumerate(firsts):
                old = _cut_out(x_BHDK, first, size, 3)
                piece = mine_BHDL[..., n * size : (n + 1) * size]
                x_BHDK = lax.dynamic_update_slice_in_dim(x_BHDK, old + piece, first, 3)
        return x_BHDK

    def places(self, cells: Cells) -> tuple[jax.Array, jax.Array]:
        """The places of its queries and keys in the part's order."""
        q_place_GC = self.q_first_G[:, None] + jnp.arange(cells.q_size)[None]
        k_place_GNC = self.k_first_GN[..., None] + jnp.arange(cells.k_size)[None, None]
        k_place_GL = k_place_GNC.reshape(len(k_place_GNC), -1)
        return q_place_GC[:, None, :, None], k_place_GL[:, None, None, :]

    def _split(self, x_RX: jax.Array, heads: int) -> list[tuple[jax.Array, jax.Array]]:
        """Of each cell where its queries begin, and its part of rows, [B, H, ...]."""
        rows = len(x_RX) // len(self.q_first_G)
        return [
            (
                self.q_first_G[g],
                lax.slice_in_dim(x_RX, g * rows, (g + 1) * rows).reshape(
                    -1, heads, *x_RX.shape[1:]
                ),
            )
            for g in range(len(self.q_first_G))
        ]


def _cut_out(x: jax.Array, first: jax.Array, size: int, axis: int) -> jax.Array:
    return lax.dynamic_slice_in_dim(x, first, size, axis)


def joined(arrays: list[jax.Array], axis: int) -> jax.Array:
    """One array of several; the only one as it is."""
    return arrays[0] if len(arrays) == 1 else jnp.concatenate(arrays, axis)


def _by_row(x_BTHD: jax.Array) -> jax.Array:
    """[R, T, D], a row being a batch element and a head: one such axis is faster than two."""
    x_BHTD = x_BTHD.swapaxes(1, 2)
    return x_BHTD.reshape(-1, *x_BHTD.shape[2:])
