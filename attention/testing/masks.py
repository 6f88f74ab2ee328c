"""The masks that the laws draw, by kind and slot."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np

from attention.masks import (
    And,
    Array,
    Causal,
    Edges,
    Lengths,
    Mask,
    Segments,
    Valid,
    Window,
    as_mask,
)
from attention.testing.case import Case


class Shape(NamedTuple):
    """What a mask is drawn for: [B, H, Q, K], and whether queries and keys are one sequence."""

    batch: int
    heads: int
    q_len: int
    k_len: int
    one: bool


def _lengths(random: np.random.Generator, shape: Shape) -> Mask:
    q_lengths_B, k_lengths_B = (
        jax.device_put(random.integers(1, n + 1, shape.batch)) for n in (shape.q_len, shape.k_len)
    )
    return Lengths(q_lengths_B) if shape.one else Lengths(q_lengths_B, k_lengths_B)


def _gaps(random: np.random.Generator, shape: Shape) -> Mask:
    q_valid_BQ, k_valid_BK = (
        jax.device_put((random.random((shape.batch, n)) < 0.6) | (n == 1))  # one token is real
        for n in (shape.q_len, shape.k_len)
    )
    return Valid(q_valid_BQ) if shape.one else Valid(q_valid_BQ, k_valid_BK)


def _segments(random: np.random.Generator, shape: Shape) -> Mask:
    q_BQ, k_BK = (
        jax.device_put(np.sort(random.integers(0, 4, (shape.batch, n)))[:, ::-1].copy())
        for n in (shape.q_len, shape.k_len)
    )
    return Segments(q_BQ) if shape.one else Segments(q_BQ, k_BK)


def _any(random: np.random.Generator, shape: Shape) -> Mask:
    see_BHQK = random.random((shape.batch, shape.heads, shape.q_len, shape.k_len)) < 0.6
    see_BHQK[:, :, 0] &= shape.q_len == 1  # the first query sees nothing
    see_BHQK[:, :, -1, 0] = True
    return Array(jax.device_put(see_BHQK))


def _edges(random: np.random.Generator, shape: Shape) -> Mask:
    """A graph a row: nodes without edges, edges given twice, loops, and lists filled up."""
    nodes = shape.q_len
    edges_BE2 = random.integers(0, nodes, (shape.batch, 2 * nodes, 2))
    edges_BE2[edges_BE2[..., 0] % 3 == 1] = -1
    edges_BE2 = np.concatenate([edges_BE2, edges_BE2[:, :nodes], edges_BE2[:, :1, [0, 0]]], axis=1)
    return Edges(jax.device_put(edges_BE2.astype("int32")), nodes) & _lengths(random, shape)


MAKERS = {
    "all": lambda random, shape: None,
    "lengths": _lengths,
    "gaps": _gaps,
    "segments": _segments,
    "window": lambda random, shape: Window(2, 1),
    "any": _any,
    "edges": _edges,
}


def make_mask(kind: str, slot: str, random: np.random.Generator, shape: Shape) -> Mask | None:
    """A mask of a kind; in a decoder also causal."""
    mask = MAKERS[kind](random, shape)
    if slot != "decoder":
        return mask
    return Causal() if mask is None else Causal() & mask


def with_loops(mask: Any) -> Any:
    """The mask with an edge from every node to itself."""
    if isinstance(mask, And):
        return with_loops(mask.left) & with_loops(mask.right)
    return mask | Window(0, 0) if isinstance(mask, Edges) else mask


def see_of(mask: Any, shape: Shape) -> np.ndarray:
    """The dense mask of all heads, [B, H, Q, K]."""
    see = as_mask(mask).dense(shape.q_len, shape.k_len)
    return np.broadcast_to(see, shape[:4])


class Setting(NamedTuple):
    """A case in one of its slots under one kind of mask."""

    case: Case
    slot: str
    mask: str

    def __str__(self) -> str:
        return f"{self.case}-{self.slot}-{self.mask}"


def settings_of(case: Case, kinds: tuple[str, ...] = tuple(MAKERS)) -> list[Setting]:
    """A case in each of its slots under each kind of mask that it takes."""
    return [
        Setting(case, slot, kind)
        for slot in case.slots
        for kind in case.masks
        if kind in kinds and not (slot == "cross" and kind == "window")
    ]


def somewhere(case: Case) -> Setting:
    """The case in one of its slots, a decoder where it may be, with padding at the end."""
    slot = "decoder" if "decoder" in case.slots else case.slots[0]
    return Setting(case, slot, case.padded)
