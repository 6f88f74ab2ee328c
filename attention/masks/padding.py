"""Padding and packing: masks that hold an array for each batch."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from attention.masks.arrays import BOOLEAN, INTEGER, check_length, gather, set_array, set_sides
from attention.masks.base import Mask, Padding, Positions
from attention.masks.trees import pytree


@pytree("q_lengths_B", "k_lengths_B")
@dataclass(frozen=True, eq=False)
class Lengths(Mask):
    """Padding at the end: positions from a row's length on neither see nor are seen.

    ``Lengths(lengths)`` serves self-attention, ``Lengths(q_lengths, k_lengths)`` cross-attention;
    with ``Lengths(None, k_lengths)`` every query is real.
    """

    q_lengths_B: Any
    k_lengths_B: Any = None

    def __post_init__(self):
        set_sides(self, "q_lengths_B", "k_lengths_B", 1, INTEGER)

    def at(self, q_pos: Positions, k_pos: Positions) -> jax.Array:
        see = k_pos < jnp.asarray(self.k_lengths_B)[:, None, None, None]
        if self.q_lengths_B is not None:
            see = see & (q_pos < jnp.asarray(self.q_lengths_B)[:, None, None, None])
        return see

    def padding(self, q_len: int | None, k_len: int | None) -> Padding:
        q_BQ, k_BK = (
            None
            if length is None or lengths_B is None
            else jnp.arange(length)[None, :] < jnp.asarray(lengths_B)[:, None]
            for length, lengths_B in ((q_len, self.q_lengths_B), (k_len, self.k_lengths_B))
        )
        return q_BQ, k_BK


@pytree("q_valid_BQ", "k_valid_BK")
@dataclass(frozen=True, eq=False)
class Valid(Mask):
    """Padding anywhere: positions marked False neither see nor are seen.

    ``Valid(valid)`` serves self-attention, ``Valid(q_valid, k_valid)`` cross-attention;
    with ``Valid(None, k_valid)`` every query is real.
    """

    q_valid_BQ: Any
    k_valid_BK: Any = None

    def __post_init__(self):
        set_sides(self, "q_valid_BQ", "k_valid_BK", 2, BOOLEAN)

    def at(self, q_pos: Positions, k_pos: Positions) -> jax.Array:
        see = gather(self.k_valid_BK, k_pos, axis=3, fill=False)
        if self.q_valid_BQ is not None:
            see = see & gather(self.q_valid_BQ, q_pos, axis=2, fill=False)
        return see

    def check(self, q_len: int | None, k_len: int | None) -> None:
        if self.q_valid_BQ is not None:
            check_length("Valid(q_valid_BQ)", self.q_valid_BQ, 1, q_len, "queries")
        check_length("Valid(k_valid_BK)", self.k_valid_BK, 1, k_len, "keys")

    def padding(self, q_len: int | None, k_len: int | None) -> Padding:
        return self.q_valid_BQ, self.k_valid_BK


@pytree("q_segments_BQ", "k_segments_BK")
@dataclass(frozen=True, eq=False)
class Segments(Mask):
    """Packed sequences: a query sees the keys of its own segment; segment 0 is padding."""

    q_segments_BQ: Any
    k_segments_BK: Any = None

    def __post_init__(self):
        set_array(self, "q_segments_BQ", (2,), INTEGER)
        set_sides(self, "q_segments_BQ", "k_segments_BK", 2, INTEGER)

    def at(self, q_pos: Positions, k_pos: Positions) -> jax.Array:
        q_segment = gather(self.q_segments_BQ, q_pos, axis=2, fill=0)
        k_segment = gather(self.k_segments_BK, k_pos, axis=3, fill=0)
        return (q_segment == k_segment) & (k_segment != 0)

    def check(self, q_len: int | None, k_len: int | None) -> None:
        check_length("Segments(q_segments_BQ)", self.q_segments_BQ, 1, q_len, "queries")
        check_length("Segments(k_segments_BK)", self.k_segments_BK, 1, k_len, "keys")

    def padding(self, q_len: int | None, k_len: int | None) -> Padding:
        return jnp.asarray(self.q_segments_BQ) != 0, jnp.asarray(self.k_segments_BK) != 0
