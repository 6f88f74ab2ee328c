"""Law 7: decoding from a cache is the full pass, at unequal lengths, after a beam reorder."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention.masks import Causal
from attention.testing.case import qkv
from attention.testing.draw import assert_close, draw
from tests.laws.cases import CASES, declaring
from tests.laws.settings import settings_of

TOLERANCE = 1e-5
ROOM = 9  # positions of the cache, more than are used
LENGTH = 7
CACHED = declaring(CASES, decoding="cached")


def start(drawn, batch, room=ROOM):
    case, sizes, dtype = drawn.case, drawn.sizes, jnp.float32
    if case.module is not None:
        layer = case.layer(sizes, dtype)
        return layer.apply(drawn.variables, batch, room, sizes.model_size, method="start")
    return case.attend.init_cache(
        drawn.variables["params"], drawn.variables["state"], sizes, batch, room, dtype
    )


@functools.cache
def extend(case, sizes):
    """The jitted extension of a cache by the next positions of q, k, v or x."""

    def alone(variables, cache, inputs, pos_BQ, mask, bias):
        params, state = variables["params"], variables["state"]
        x_BTM = inputs.get("x")
        return case.attend.extend(params, state, cache, *qkv(inputs), mask, bias=bias, x_BTM=x_BTM)

    def within(variables, cache, inputs, pos_BQ, mask, bias):
        layer = case.layer(sizes, jnp.float32)
        return layer.apply(variables, cache, inputs["x"], pos_BQ, mask, method="extend")

    return jax.jit(alone if case.module is None else within)


def advance(drawn, cache, first, last, mask=None, inputs=None):
    """Outputs of the positions from first to last - 1, and the cache after them."""
    inputs = {name: np.asarray(x)[:, first:last] for name, x in (inputs or drawn.inputs).items()}
    batch = next(iter(inputs.values())).shape[0]
    pos_BQ = np.broadcast_to(np.arange(first, last), (batch, last - first))
    bias = drawn.bias
    if bias is not None and hasattr(bias, "shape"):  # an array: its rows are these queries
        bias = np.pad(np.asarray(bias), ((0, 0),) * 3 + ((0, ROOM - LENGTH),))
        bias = bias[:, :, first:last]
    function = extend(drawn.case, drawn.sizes)
    return function(drawn.variables, cache, inputs, pos_BQ, mask, bias)


def put_first(longer, shorter):
    longer[tuple(slice(n) for n in shorter.shape)] = shorter
    return longer


def decoders(kinds):
    return [p for p in settings_of(CACHED, kinds) if p.values[0].place == "decoder"]


def without_causal(mask):
    """What the cache is told: it is causal by itself."""
    return None if isinstance(mask, Causal) else mask.right


@pytest.mark.parametrize("setting", decoders(("all", "lengths", "window")))
@pytest.mark.parametrize("ends", [(1, 2, 3, 4, 5, 6, 7), (3, 4, 7)], ids=["tokens", "chunks"])
def test_step_by_step_is_the_full_pass(setting, ends):
    bias = setting.mask == "all" and setting.case.module is None
    bias = bias and setting.case.attend.capabilities.bias
    drawn = draw(setting, q_len=LENGTH, bias=bias)
    full, mask = np.asarray(drawn.out()), without_causal(drawn.mask)
    cache, first = start(drawn, 2), 0
    for last in ends:
        ours, cache = advance(drawn, cache, first, last, mask)
        assert_close(ours, full[:, first:last], TOLERANCE)
        first = last


@pytest.mark.parametrize("setting", decoders(("all",)))
def test_rows_at_unequal_lengths_survive_a_beam_reorder(setting):
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
    rows = [1, 0, 1]
    cache = jax.tree.map(lambda leaf: np.asarray(leaf)[rows], cache)
    function = extend(drawn.case, drawn.sizes)
    for step in range(3):
        if step == 2:
            order = [2, 0, 1]
            rows = [rows[i] for i in order]
            cache = jax.tree.map(lambda leaf: np.asarray(leaf)[order], cache)  # noqa: B023
        at = [behind[row] + step for row in rows]
        pairs = list(zip(rows, at, strict=True))
        inputs = {
            name: np.stack([np.asarray(x)[row, i] for row, i in pairs])[:, None]
            for name, x in drawn.inputs.items()
        }
        pos_BQ = np.array(at)[:, None]
        ours, cache = function(drawn.variables, cache, inputs, pos_BQ, None, drawn.bias)
        theirs = np.stack([full[row, i] for row, i in pairs])
        assert_close(np.asarray(ours)[:, 0], theirs, TOLERANCE)


@pytest.mark.parametrize("setting", decoders(("all",)))
def test_a_cache_may_grow_on_the_way(setting):
    """As in a search, which begins with little room: what is kept goes into a longer one."""
    drawn = draw(setting, q_len=LENGTH)
    full, first, cache = np.asarray(drawn.out()), 0, start(drawn, 2, 2)
    for last, room in ((2, 2), (7, ROOM)):
        longer = start(drawn, 2, room)
        cache = jax.tree.map(
            lambda empty, kept: put_first(np.array(empty), np.asarray(kept)),
            longer, cache,
        )  # fmt: skip
        ours, cache = advance(drawn, cache, first, last)
        assert_close(ours, full[:, first:last], TOLERANCE)
        first = last


@pytest.mark.parametrize("case", CACHED, ids=str)
def test_a_cache_has_the_batch_first(case):
    drawn = draw(decoders(("all",))[0].values[0]._replace(case=case), q_len=LENGTH)
    cache = start(drawn, 11)
    assert {leaf.shape[0] for leaf in jax.tree.leaves(cache)} == {11}
