"""Blocks of the sparse kernel: slices of arrays, and slices put back."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from attention.kernels.sparse.schedule import BlockGroup


class Block(NamedTuple):
    """Where a block begins; or G of one shape, whose batches are concatenated.

    Attributes:
      group: the shape.
      q_first_G: the first query.
      k_first_GN: the first key of each of its N ranges.
    """

    group: BlockGroup
    q_first_G: jax.Array
    k_first_GN: jax.Array

    def q_firsts(self) -> list[list[jax.Array]]:
        """The first query of each block, as the only one of a list."""
        return [[self.q_first_G[g]] for g in range(len(self.q_first_G))]

    def k_firsts(self) -> list[list[jax.Array]]:
        """The first keys of each block's ranges."""
        blocks, ranges = self.k_first_GN.shape
        return [[self.k_first_GN[g, n] for n in range(ranges)] for g in range(blocks)]

    def queries(self, x_BQ: jax.Array) -> jax.Array:
        """The block's queries of an array with all of them."""
        return _slices(x_BQ, self.q_firsts(), self.group.q_size)

    def keys(self, x_BK: jax.Array) -> jax.Array:
        """The block's keys."""
        return _slices(x_BK, self.k_firsts(), self.group.k_size)

    def query_rows(self, x_BQHD: jax.Array) -> jax.Array:
        """The block's queries by row, [R, C, D]."""
        return _slices(x_BQHD, self.q_firsts(), self.group.q_size, _by_row)

    def key_rows(self, x_BKHD: jax.Array) -> jax.Array:
        """The block's keys by row, [R, L, D]."""
        return _slices(x_BKHD, self.k_firsts(), self.group.k_size, _by_row)

    def query_numbers(self, x_BHQ: jax.Array) -> jax.Array:
        """A number for each query by row, [R, C]."""
        x_BHC = _slices(x_BHQ, self.q_firsts(), self.group.q_size, axis=2)
        return x_BHC.reshape(-1, x_BHC.shape[2])

    def set_queries(self, x_BQHD: jax.Array, new_RCD: jax.Array) -> jax.Array:
        """The array with the block's queries replaced."""
        parts = self._split(new_RCD.astype(x_BQHD.dtype), x_BQHD.shape[2])
        for (first,), new_BHCD in zip(self.q_firsts(), parts, strict=True):
            x_BQHD = lax.dynamic_update_slice_in_dim(x_BQHD, new_BHCD.swapaxes(1, 2), first, 1)
        return x_BQHD

    def set_query_numbers(self, x_BHQ: jax.Array, new_RC: jax.Array) -> jax.Array:
        """The same where queries have a number each."""
        parts = self._split(new_RC, x_BHQ.shape[1])
        for (first,), new_BHC in zip(self.q_firsts(), parts, strict=True):
            x_BHQ = lax.dynamic_update_slice_in_dim(x_BHQ, new_BHC, first, 2)
        return x_BHQ

    def add_to_keys(self, x_BHDK: jax.Array, more_RDL: jax.Array) -> jax.Array:
        """The array, whose last axis is the keys, with something added to the block's keys."""
        size, parts = self.group.k_size, self._split(more_RDL, x_BHDK.shape[1])
        for firsts, more_BHDL in zip(self.k_firsts(), parts, strict=True):
            for n, first in enumerate(firsts):
                old = lax.dynamic_slice_in_dim(x_BHDK, first, size, 3)
                more = more_BHDL[..., n * size : (n + 1) * size]
                x_BHDK = lax.dynamic_update_slice_in_dim(x_BHDK, old + more, first, 3)
        return x_BHDK

    def indices(self) -> tuple[jax.Array, jax.Array]:
        """The indices of its queries and keys in the component's order."""
        q_index_GC = self.q_first_G[:, None] + jnp.arange(self.group.q_size)[None]
        k_index_GNC = self.k_first_GN[..., None] + jnp.arange(self.group.k_size)[None, None]
        k_index_GL = k_index_GNC.reshape(len(k_index_GNC), -1)
        return q_index_GC[:, None, :, None], k_index_GL[:, None, None, :]

    def _split(self, x_RX: jax.Array, heads: int) -> list[jax.Array]:
        """The rows of each block, [B, H, ...]."""
        blocks = len(self.q_first_G)
        rows = len(x_RX) // blocks
        return [
            lax.slice_in_dim(x_RX, g * rows, (g + 1) * rows).reshape(-1, heads, *x_RX.shape[1:])
            for g in range(blocks)
        ]


def concatenate(arrays: list[jax.Array], axis: int) -> jax.Array:
    """One array of several; a single one is returned as it is."""
    return arrays[0] if len(arrays) == 1 else jnp.concatenate(arrays, axis)


def _slices(
    x: jax.Array,
    firsts: list[list[jax.Array]],
    size: int,
    change: Callable[[jax.Array], jax.Array] = lambda x: x,
    axis: int = 1,
) -> jax.Array:
    """The ranges of each block concatenated along axis 1, then the blocks along the batch.

    ``change`` is applied before they are concatenated, which is faster than after.
    """
    blocks = [
        concatenate([change(lax.dynamic_slice_in_dim(x, first, size, axis)) for first in ranges], 1)
        for ranges in firsts
    ]
    return concatenate(blocks, 0)


def _by_row(x_BTHD: jax.Array) -> jax.Array:
    """[R, T, D], a row being a batch element and a head: one such axis is faster than two."""
    x_BHTD = x_BTHD.swapaxes(1, 2)
    return x_BHTD.reshape(-1, *x_BHTD.shape[2:])
