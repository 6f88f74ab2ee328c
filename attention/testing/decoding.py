"""Decoding from a cache is the full pass: step by step, in chunks, and after a beam reorder."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from attention.masks import Causal, Lengths
from attention.shapes import Sizes, Tree
from attention.testing.case import Case, Inputs
from attention.testing.draw import Drawn, draw
from attention.testing.law import assert_close, expect, law
from attention.testing.masks import Setting

TOLERANCE = 1e-5
ROOM = 9  # positions of the cache, more than are used
LENGTH = 7


@functools.cache
def extend(case: Case, sizes: Sizes) -> Callable:
    """The jitted extension of a cache by the next positions."""
    return jax.jit(functools.partial(case.extend, sizes))


def start(drawn: Drawn, batch: int, room: int = ROOM) -> Tree:
    make = drawn.case.start_cross if drawn.case.stateful else drawn.case.start
    return make(drawn.sizes, drawn.variables, batch, room)


def advance(
    drawn: Drawn, cache: Tree, first: int, last: int, mask: Any = None, inputs: Inputs | None = None
) -> tuple[jax.Array, Tree]:
    """Outputs of the positions from first to last - 1, and the cache after them."""
    inputs = {
        name: np.asarray(x) if drawn.case.stateful and name != "q" else np.asarray(x)[:, first:last]
        for name, x in (inputs or drawn.inputs).items()
    }
    batch = next(iter(inputs.values())).shape[0]
    pos_BQ = np.broadcast_to(np.arange(first, last), (batch, last - first))
    bias = drawn.bias
    if bias is not None and hasattr(bias, "shape"):  # an array: its rows are these queries
        bias = np.pad(np.asarray(bias), ((0, 0),) * 3 + ((0, ROOM - LENGTH),))
        bias = bias[:, :, first:last]
    function = extend(drawn.case, drawn.sizes)
    return function(drawn.variables, cache, inputs, pos_BQ, mask, bias)


@law
def cached_decoding_is_the_full_pass(setting: Setting, ends: tuple[int, ...]) -> None:
    """In steps, or chunks, that end at these positions."""
    bias = setting.mask == "all" and setting.case.alone
    bias = bias and setting.case.attention.capabilities.bias
    drawn = draw(setting, q_len=LENGTH, k_len=ROOM, bias=bias)
    if setting.case.stateful:  # all queries are real
        drawn = replace(drawn, mask=drawn.mask and Lengths(None, drawn.mask.k_lengths_B))
    # The cache is causal by itself.
    mask = None if isinstance(drawn.mask, Causal) else getattr(drawn.mask, "right", drawn.mask)
    full, cache, first = drawn.out(), start(drawn, 2), 0
    for last in ends:
        ours, cache = advance(drawn, cache, first, last, mask)
        what = f"outputs of positions {first} to {last - 1}"
        assert_close(ours, full[:, first:last], TOLERANCE, what)
        first = last


@law
def a_query_depends_on_those_before(setting: Setting) -> None:
    """Else the law above would hold for an attention that keeps no state."""
    drawn = draw(setting._replace(mask="all"), q_len=LENGTH, k_len=ROOM)
    alone, _ = advance(drawn, start(drawn, 2), 3, 4)
    change = np.abs(alone - drawn.out()[:, 3:4]).max()
    expect(change > 1e-3, f"without them its output differs by {change:.2g}")


@law
def a_cache_survives_a_beam_reorder(setting: Setting) -> None:
    """With rows at unequal lengths."""
    drawn = draw(setting, q_len=LENGTH)
    full = np.asarray(drawn.out())
    # Row 0 has two positions behind it, row 1 four; each begins in a cache of its own.
    behind, caches = (2, 4), []
    for row, last in enumerate(behind):
        own = {name: np.asarray(x)[row : row + 1] for name, x in drawn.inputs.items()}
        cache = start(drawn, 1)
        for first in range(last):  # one token at a time: one program serves both rows
            _, cache = advance(drawn, cache, first, first + 1, inputs=own)
        caches.append(cache)
    cache = jax.tree.map(lambda *leaves: np.concatenate(leaves), *caches)
    # As a beam search does: row 1 survives twice, and then the last of three goes first.
    rows, orders = [0, 1], {0: [1, 0, 1], 2: [2, 0, 1]}
    function = extend(drawn.case, drawn.sizes)
    for step in range(3):
        if order := orders.get(step):
            rows = [rows[i] for i in order]
            cache = jax.tree.map(lambda leaf, i=order: np.asarray(leaf)[i], cache)
        pairs = [(row, behind[row] + step) for row in rows]
        inputs = {
            name: np.stack([np.asarray(x)[row, i] for row, i in pairs])[:, None]
            for name, x in drawn.inputs.items()
        }
        pos_BQ = np.array([at for _, at in pairs])[:, None]
        ours, cache = function(drawn.variables, cache, inputs, pos_BQ, None, drawn.bias)
        theirs = np.stack([full[row, i] for row, i in pairs])
        assert_close(np.asarray(ours)[:, 0], theirs, TOLERANCE, f"outputs of step {step}")


@law
def a_cache_may_grow(setting: Setting) -> None:
    """As in a search, which begins with little room: what is kept goes into a longer one."""
    drawn = draw(setting, q_len=LENGTH)
    full, first, cache = np.asarray(drawn.out()), 0, start(drawn, 2, 2)

    def put_first(longer: jax.Array, shorter: jax.Array) -> np.ndarray:
        filled = np.array(longer)
        filled[tuple(slice(n) for n in shorter.shape)] = np.asarray(shorter)
        return filled

    for last, room in ((2, 2), (7, ROOM)):
        cache = jax.tree.map(put_first, start(drawn, 2, room), cache)
        ours, cache = advance(drawn, cache, first, last)
        assert_close(ours, full[:, first:last], TOLERANCE)
        first = last


@law
def a_cache_has_the_batch_first(case: Case) -> None:
    cache = start(draw(Setting(case, case.slots[-1], "all"), q_len=LENGTH), 11)
    found = {leaf.shape[:1] for leaf in jax.tree.leaves(cache)}
    expect(found == {(11,)}, f"leaves of a cache for 11 rows begin with {sorted(found)}")
